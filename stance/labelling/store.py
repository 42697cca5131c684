"""What has been labelled: the pairs of a table, the votes on them, and the rules for changing a vote."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stance.errors import InputError
from stance.exchange import read_labelled, read_pairs, write_labelled
from stance.exchange.tables import read_rows
from stance.labelling.journal import Journal
from stance.labels import LABELS, NONE, as_label
from stance.metrics import cohen_kappa, krippendorff_alpha
from stance.records import LabelledPair, Pair

BLIND_STEP = 10
"""A blind reader sees agreement on whole tens of pairs, so that no figure gives away a single vote."""


TABLE = "table"
"""The name of the reader of labels that stand in the table without one."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One reader's verdict on one pair.

    Attributes:
        version: How often it was changed; 0 where there is nothing yet.
        labels: The stances, primary first; empty for none; ``None`` while undecided.
        done: Whether the reader has gone on to the next pair.
        saw_model: Whether the model's opinion was asked for before.
    """

    version: int = 0
    labels: tuple[str, ...] | None = None
    done: bool = False
    saw_model: bool = False

    @property
    def primary(self) -> str | None:
        """The primary stance; ``None`` for none and while undecided."""
        return self.labels[0] if self.labels else None


class Conflict(Exception):
    """A vote was changed elsewhere since it was read."""


class Store:
    """The pairs and every reader's votes on them. Safe to use from several threads and processes.

    Args:
        path: The table of pairs. Labels in it count as votes of the readers that its column ``annotator`` names.
        output: The CSV that ``export`` writes; ``<table>.labelled.csv`` beside the table if ``None``. The journal of
            votes lies beside it and ends in ``.votes.jsonl``; where the CSV is there and the journal is not, somebody else
            wrote it, and it is refused.
        annotator: Who labels.
        blind: Whether other readers' votes are kept from this one.
        labels: The stances to choose from, nine at most; none is always offered beside them.

    Raises:
        InputError: The table, the journal, the output or the labels cannot be used.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        output: str | os.PathLike[str] | None = None,
        annotator: str = "",
        blind: bool = False,
        labels: Sequence[str] = LABELS,
    ) -> None:
        source = Path(path)
        self.annotator = annotator or "reader"
        self.blind = blind
        self.labels = _label_set(labels)
        self.output = Path(output) if output is not None else source.with_name(f"{source.stem}.labelled.csv")
        if self.output.resolve() == source.resolve():
            raise InputError(f"output is the table itself ({source}); name another file")
        journal = self.output.with_name(f"{self.output.stem}.votes.jsonl")
        if self.output.exists() and not journal.exists():
            raise InputError(
                f"{self.output} is there already, and not from this page: no {journal.name} lies beside it. So that it is "
                f"not overwritten, name another output, such as {self.output.stem}-2{self.output.suffix}"
            )
        self._pairs: dict[str, Pair] = {}
        self._votes: dict[str, dict[str, Vote]] = {}
        self._past: dict[str, list[tuple[str, Vote]]] = {}
        self._lock = threading.RLock()
        self._read_table(source)
        self.keys = tuple(self._pairs)
        self._position = {key: i for i, key in enumerate(self.keys)}
        self.journal = Journal(journal, self._apply)

    def __len__(self) -> int:
        return len(self.keys)

    def pair(self, position: int) -> Pair:
        """The pair at a place in the table."""
        return self._pairs[self.keys[position]]

    def vote(self, position: int) -> Vote:
        """This reader's verdict."""
        with self._lock:
            return self._votes.get(self.keys[position], {}).get(self.annotator, Vote())

    def others(self, position: int) -> dict[str, Vote]:
        """What other readers decided; empty for a blind reader."""
        if self.blind:
            return {}
        with self._lock:
            return {who: v for who, v in self._finished(self.keys[position]).items() if who != self.annotator}

    def change(self, position: int, version: int, labels: Sequence[str] | None, *, done: bool) -> Vote:
        """Set this reader's verdict; it is on disk when this returns.

        Args:
            position: Which pair.
            version: The version that the change was made on.
            labels: The stances, primary first; empty for none; ``None`` for undecided.
            done: Whether the reader goes on.

        Raises:
            Conflict: The verdict has another version by now; nothing is changed.
            InputError: The labels are not those of the page, or an undecided pair is called done.
        """
        self._check(labels, done)
        with self._lock, self.journal.turn() as append:
            before = self.vote(position)
            if before.version != version:
                raise Conflict
            append(
                self._event("vote", position, replace(before, version=version + 1, labels=_tuple(labels), done=done))
            )
            return self.vote(position)

    def undo(self, position: int, version: int) -> tuple[int, Vote]:
        """Take back this reader's last change on a pair that is in the table.

        Args:
            position: The pair that the page believes was changed last.
            version: The version that it knows of it.

        Returns:
            Which pair it was, and its verdict now.

        Raises:
            Conflict: Something else was changed since.
            InputError: There is nothing to take back.
        """
        with self._lock, self.journal.turn() as append:
            if (last := self._last()) is None:
                gone = self._past.get(self.annotator)
                what = "the last change was on a pair that is no longer in the table" if gone else ""
                raise InputError(what or "there is nothing to undo")
            at, earlier = last
            now = self.vote(at)
            if (at, now.version) != (position, version):
                raise Conflict
            append(self._event("undo", at, replace(earlier, version=now.version + 1, saw_model=now.saw_model)))
            return at, self.vote(at)

    def look(self, position: int) -> None:
        """Record that this reader asked for the model's opinion."""
        with self._lock, self.journal.turn() as append:
            vote = self.vote(position)
            if not vote.saw_model:
                append(self._event("look", position, replace(vote, saw_model=True)))

    def last_change(self) -> tuple[int, int] | None:
        """The pair that ``undo`` would take back, and its version."""
        with self._lock:
            last = self._last()
            return None if last is None else (last[0], self.vote(last[0]).version)

    def refresh(self) -> None:
        """Read what other processes have added."""
        with self._lock:
            self.journal.refresh()

    def progress(self) -> int:
        """How many pairs this reader has finished."""
        with self._lock:
            return sum(self.vote(i).done for i in range(len(self)))

    def unfinished(self) -> int:
        """How many pairs this reader has marked and not finished; ``export`` leaves them out."""
        with self._lock:
            votes = [self.vote(i) for i in range(len(self))]
        return sum(vote.labels is not None and not vote.done for vote in votes)

    def astray(self) -> int:
        """How many votes of the journal, by any reader, are on pairs that are not in the table."""
        with self._lock:
            gone = [vote for key in self._votes if key not in self._position for vote in self._votes[key].values()]
        return sum(vote.labels is not None for vote in gone)

    def next_open(self, after: int) -> int | None:
        """The first pair behind ``after`` that this reader has not finished, from the start again at the end."""
        order = [*range(after + 1, len(self)), *range(min(after + 1, len(self)))]
        with self._lock:
            return next((i for i in order if not self.vote(i).done), None)

    def agreement(self) -> dict[str, Any] | None:
        """Kappa with each other reader, and alpha over all; ``None`` until there is enough to show."""
        with self._lock:
            finished = [self._finished(key) for key in self._votes]
        shared = [held for held in finished if self.annotator in held and len(held) > 1]
        if self.blind:
            shared = shared[: len(shared) // BLIND_STEP * BLIND_STEP]
        if not shared:
            return None
        kappa = {}
        for other in sorted({who for held in shared for who in held} - {self.annotator}):
            both = [(held[self.annotator].primary, held[other].primary) for held in shared if other in held]
            if not self.blind or len(both) >= BLIND_STEP:
                kappa[other] = {"kappa": cohen_kappa([a for a, _ in both], [b for _, b in both]), "n": len(both)}
        votes = [[vote.labels for vote in held.values()] for held in shared]
        return {"n": len(shared), "alpha": krippendorff_alpha(votes), "kappa": kappa}

    def export(self) -> Path:
        """Write every finished vote, of every reader, as a table that ``read_labelled`` and ``fine_tune`` take.

        The table that was there before is kept beside it as ``<name>.bak`` where it differs.
        """
        with self._lock, self.journal.turn():
            rows = [
                _labelled(self._pairs[key], vote, who)
                for who in sorted({who for held in self._votes.values() for who in held})
                for key in self._pairs
                if (vote := self._finished(key).get(who)) is not None
            ]
            self.journal.path.touch()  # even without votes: by its journal the page knows the table for its own
            with TemporaryDirectory(dir=self.output.parent, prefix=".stance-") as folder:
                draft = write_labelled(rows, Path(folder) / self.output.name)
                if self.output.exists() and self.output.read_bytes() != draft.read_bytes():
                    shutil.copy2(self.output, self.output.with_name(f"{self.output.name}.bak"))
                os.replace(draft, self.output)
        return self.output

    def _last(self) -> tuple[int, Vote] | None:
        """This reader's newest change on a pair of the table: where the pair stands, and its verdict before."""
        past = self._past.get(self.annotator, [])
        return next(((self._position[key], vote) for key, vote in reversed(past) if key in self._position), None)

    def _finished(self, key: str) -> dict[str, Vote]:
        return {who: v for who, v in self._votes.get(key, {}).items() if v.done and v.labels is not None}

    def _check(self, labels: Sequence[str] | None, done: bool) -> None:
        if labels is None:
            if done:
                raise InputError(f"choose a stance, or {NONE}, before going on")
        elif stray := [name for name in labels if name not in self.labels]:
            raise InputError(f"{stray} are not labels of this page; they are {', '.join(self.labels)}")
        elif len(set(labels)) != len(labels):
            raise InputError(f"a stance is named twice: {list(labels)}")

    def _event(self, kind: str, position: int, vote: Vote) -> dict[str, Any]:
        pair = self.pair(position)
        return {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "kind": kind,
            "annotator": self.annotator,
            "item": self.keys[position],
            **asdict(vote),
            "label": vote.primary,
            "accusation": pair.accusation,
            "response": pair.response,
            "document_id": pair.document_id,
        }

    def _apply(self, event: Mapping[str, Any]) -> None:
        """Take one event of the journal into account; also of pairs that have left the table since."""
        key, who = event["item"], event["annotator"]
        texts = {name: event[name] for name in ("accusation", "response", "document_id")}
        self._pairs.setdefault(key, Pair(**texts))
        held = self._votes.setdefault(key, {})
        past = self._past.setdefault(who, [])
        if event["kind"] == "vote":
            past.append((key, held.get(who, Vote())))
        elif event["kind"] == "undo":
            undone = [at for at, (other, _) in enumerate(past) if other == key]
            if undone:  # else its line was removed by hand, as damaged
                del past[undone[-1]]
        if event["kind"] != "look":  # the pair changed last stands last: the order in which pairs came to be shared
            self._votes[key] = self._votes.pop(key)
        held[who] = Vote(event["version"], _tuple(event["labels"]), event["done"], event["saw_model"])

    def _read_table(self, source: Path) -> None:
        rows = list(read_rows(source))
        for pair in read_pairs(rows):
            self._pairs.setdefault(_key(pair), pair)
        labelled = [row for row in rows if row.values.get("label") or row.values.get("labels")]
        for vote in read_labelled(labelled, labels=self.labels) if labelled else ():
            held = self._votes.setdefault(_key(vote), {})
            held[vote.annotator or TABLE] = Vote(labels=_primary_first(vote), done=True)


def _key(pair: Pair) -> str:
    """A name for a pair that stays when the table is sorted anew."""
    return hashlib.sha256("\0".join((pair.accusation, pair.response, pair.document_id)).encode()).hexdigest()[:16]


def _label_set(labels: Sequence[str]) -> tuple[str, ...]:
    """The names of the labels, if the page and the table can hold them."""
    names = tuple(str(label) for label in labels)
    if not 1 <= len(names) <= 9:
        raise InputError(f"the page has keys for 1 to 9 labels, not {len(names)}")
    if NONE in names:
        raise InputError(f"the labels hold {NONE!r}, which the page always offers, on key 0; leave it out")
    if unusable := [name for name in names if not name.strip() or name != name.strip() or set(name) & set("|;,")]:
        raise InputError(
            f"{unusable} cannot be labels: a name is not blank, has no space around it and none of | ; , in it"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"the labels hold {', '.join(twice)} more than once; name each once")
    return names


def _tuple(labels: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if labels is None else tuple(labels)


def _primary_first(pair: LabelledPair) -> tuple[str, ...]:
    names = [str(label) for label in pair.labels]
    return tuple(sorted(names, key=lambda name: name != pair.label))


def _labelled(pair: Pair, vote: Vote, annotator: str) -> LabelledPair:
    held = tuple(as_label(name) for name in vote.labels or ())
    texts = {name: getattr(pair, name) for name in ("accusation", "response", "document_id", "accuser", "accused")}
    return LabelledPair(**texts, labels=held, label=held[0] if held else None, annotator=annotator)
