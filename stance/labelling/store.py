"""What has been labelled: the pairs of a table, the votes on them, and the rules for changing a vote."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stance.errors import InputError
from stance.exchange import read_labelled, read_pairs, write_labelled
from stance.exchange.tables import labelled_rows, plain_fields, read_rows
from stance.labelling.journal import Journal
from stance.labels import LABELS, NONE, as_label
from stance.metrics import cohen_kappa, krippendorff_alpha
from stance.records import LabelledPair, Pair

BLIND_STEP = 10
"""A blind reader sees agreement on whole tens of pairs, so that no figure gives away a single vote."""


_WRITTEN = (".csv", ".tsv", ".jsonl")

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
        output: The CSV, TSV or JSONL that ``export`` writes; ``<table>.labelled.csv`` beside the table if ``None``. The
            journal of votes lies beside it and ends in ``.votes.jsonl``; where the output is there and the journal is
            not, somebody else wrote it, and it is refused.
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
        if self.output.suffix.lower() not in _WRITTEN:
            raise InputError(
                f"cannot write the labelled table to {self.output}: name an output that ends in {', '.join(_WRITTEN)}"
            )
        journal = self.output.with_name(f"{self.output.stem}.votes.jsonl")
        if self.output.exists() and not journal.exists():
            raise InputError(
                f"{self.output} is there already, and not from this page: no {journal.name} lies beside it. So that it is "
                f"not overwritten, name another output, such as {self.output.stem}-2{self.output.suffix}"
            )
        self._pairs: dict[str, LabelledPair] = {}
        self._given: dict[tuple[str, str], LabelledPair] = {}  # the votes of the table, by pair and reader
        self._votes: dict[str, dict[str, Vote]] = {}
        self._past: dict[str, list[tuple[str, Vote]]] = {}
        self._done: set[str] = set()  # what this reader has finished
        self._agreement: dict[str, Any] | None = None
        self._agreement_is_known = False
        self._exported: set[str] = set()  # digests of the tables that this page wrote
        self._lock = threading.RLock()
        self._read_table(source)
        self.keys = tuple(self._pairs)
        self._position = {key: i for i, key in enumerate(self.keys)}
        self.journal = Journal(journal, self._apply)
        self._check_journal()

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
            return len(self._done & self._position.keys())

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
        order = chain(range(after + 1, len(self)), range(min(after + 1, len(self))))
        with self._lock:
            return next((i for i in order if self.keys[i] not in self._done), None)

    def agreement(self) -> dict[str, Any] | None:
        """Kappa with each other reader, and alpha over all; ``None`` until there is enough to show."""
        with self._lock:
            if not self._agreement_is_known:
                self._agreement = self._find_agreement()
                self._agreement_is_known = True
            return self._agreement

    def _find_agreement(self) -> dict[str, Any] | None:
        finished = [self._finished(key) for key in self._votes if key in self._done]
        shared = [held for held in finished if self.annotator in held and len(held) > 1]
        if self.blind:
            shared = shared[: len(shared) // BLIND_STEP * BLIND_STEP]
        if not shared:
            return None
        kappa = {}
        for other in sorted({who for held in shared for who in held} - {self.annotator}):
            both = [(held[self.annotator].primary, held[other].primary) for held in shared if other in held]
            if not self.blind or len(both) >= BLIND_STEP:
                found = cohen_kappa([a for a, _ in both], [b for _, b in both])
                kappa[other] = {"kappa": _unless_undefined(found), "n": len(both)}
        votes = [[vote.labels for vote in held.values()] for held in shared]
        return {"n": len(shared), "alpha": _unless_undefined(krippendorff_alpha(votes)), "kappa": kappa}

    def export(self) -> Path:
        """Write every finished vote, of every reader, as a table that ``read_labelled`` and ``fine_tune`` take.

        What the table brought with a pair (its id, source, responder and the like) is written with each vote, and the
        weight of a vote in the table with that vote, as long as its stances are the same. The table that was there before
        is kept beside it as ``<name>.bak`` where it differs. A file of that name that this page did not write, as after
        changes by hand, stays; then ``<name>.bak2`` is taken, and so on.
        """
        with self._lock, self.journal.turn() as append:
            rows = [
                _labelled(self._given.get((key, who), self._pairs[key]), vote, who)
                for who in sorted({who for held in self._votes.values() for who in held})
                for key in self._pairs
                if (vote := self._finished(key).get(who)) is not None
            ]
            with TemporaryDirectory(dir=self.output.parent, prefix=".stance-") as folder:
                draft = write_labelled(rows, Path(folder) / self.output.name)
                digest = _digest(draft)
                if self.output.exists() and _digest(self.output) != digest:
                    shutil.copy2(self.output, self._backup())
                if digest not in self._exported:  # even without votes: so the page knows the table for its own
                    append({"time": _now(), "kind": "export", "sha256": digest})
                os.replace(draft, self.output)
        return self.output

    def _backup(self) -> Path:
        """The first name for the table before that is free, or taken by a table of this page."""
        names = chain([".bak"], (f".bak{i}" for i in count(2)))
        paths = (self.output.with_name(self.output.name + name) for name in names)
        return next(path for path in paths if not path.exists() or _digest(path) in self._exported)

    def _last(self) -> tuple[int, Vote] | None:
        """This reader's newest change on a pair of the table: where the pair stands, and its verdict before."""
        past = self._past.get(self.annotator, [])
        return next(((self._position[key], vote) for key, vote in reversed(past) if key in self._position), None)

    def _finished(self, key: str) -> dict[str, Vote]:
        return {who: v for who, v in self._votes.get(key, {}).items() if v.done and v.labels is not None}

    def _check_journal(self) -> None:
        """Refuse a journal with stances that the page cannot show, nor undo bring back."""
        votes = [vote for held in self._votes.values() for vote in held.values()]
        votes += [vote for past in self._past.values() for _, vote in past]
        if stray := sorted({name for vote in votes for name in vote.labels or ()} - set(self.labels)):
            raise InputError(
                f"{self.journal.path} holds verdicts with {', '.join(stray)}, which are not among the labels of this page "
                f"({', '.join(self.labels)}); give the earlier labels again (--labels), or name another output (--output)"
            )

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
            "time": _now(),
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
        if event["kind"] == "export":
            self._exported.add(event["sha256"])
            return
        key, who = event["item"], event["annotator"]
        texts = {name: event[name] for name in ("accusation", "response", "document_id")}
        self._pairs.setdefault(key, LabelledPair(**texts))
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
        self._hold(key, who, Vote(event["version"], _tuple(event["labels"]), event["done"], event["saw_model"]))

    def _hold(self, key: str, who: str, vote: Vote) -> None:
        """Set a verdict, and what is counted by it."""
        self._votes.setdefault(key, {})[who] = vote
        mine = key in self._done
        if who == self.annotator:
            (self._done.add if vote.done else self._done.discard)(key)
        if mine or key in self._done:  # agreement is on what this reader has finished, and on nothing else
            self._agreement_is_known = False

    def _read_table(self, source: Path) -> None:
        rows = list(read_rows(source))
        for pair, fields in zip(read_pairs(rows), plain_fields(rows), strict=True):
            kept = LabelledPair(accusation=pair.accusation, response=pair.response, **fields)
            self._pairs.setdefault(_key(kept), kept)
        labelled = labelled_rows(rows)
        for vote in read_labelled(labelled, labels=self.labels) if labelled else ():
            key, who = _key(vote), vote.annotator or TABLE
            self._given[key, who] = vote
            self._hold(key, who, Vote(labels=_primary_first(vote), done=True))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _key(pair: Pair) -> str:
    """A name for a pair that stays when the table is sorted anew."""
    return hashlib.sha256("\0".join((pair.accusation, pair.response, pair.document_id)).encode()).hexdigest()[:16]


def _label_set(labels: Sequence[str]) -> tuple[str, ...]:
    """The names of the labels, if the page and the table can hold them."""
    if isinstance(labels, str):
        raise InputError(f"the labels are the text {labels!r}, not a list of names; pass {labels.split(',')}")
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


def _unless_undefined(agreement: float) -> float | None:
    """``None`` where kappa or alpha is NaN: all verdicts are alike, as they often are on the first pairs."""
    return None if math.isnan(agreement) else agreement


def _labelled(pair: LabelledPair, vote: Vote, annotator: str) -> LabelledPair:
    """A vote as a row; ``pair`` is that reader's own row of the table where there is one."""
    held = tuple(as_label(name) for name in vote.labels or ())
    same = pair.label == vote.primary and set(pair.labels) == set(held)  # the weight was given to those stances
    weight = pair.weight if same else 1.0
    return replace(pair, labels=held, label=held[0] if held else None, annotator=annotator, weight=weight)
