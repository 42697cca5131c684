"""Ledgers of several documents -> how an actor's position on one accusation moves over time, with the quotations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stance.labels import NONE
from stance.pairing.names import keys
from stance.records import Ledger, LedgerItem

_COMMON_LIST = """
    that this with from have been were they their will would about said which there what when also after over
    other people more than them some into accused accusing accusation accusations allegation allegations charge
    charges claim claims alleged according report reported saying told state statement
"""
_COMMON = frozenset(_COMMON_LIST.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What an actor said to an accusation in one document.

    Attributes:
        date: The document's date, as given there.
        document_id: The document.
        stance: The primary stance, or ``none``.
        confidence: How sure the model is of it, 0 to 1.
        accusation: The charge, verbatim.
        response: The reply, verbatim.
        responder: Who speaks, as that document names them.
        accuser: Who charges, as that document names them.
    """

    date: str
    document_id: str
    stance: str
    confidence: float
    accusation: str
    response: str
    responder: str = ""
    accuser: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """One actor and one accusation, over time.

    Attributes:
        actor: Who is charged and answers, in the fullest form found.
        accusation: The fullest statement of the charge.
        positions: Their replies, oldest first.
    """

    actor: str
    accusation: str
    positions: tuple[Position, ...]

    @property
    def changes(self) -> tuple[tuple[Position, Position], ...]:
        """The pairs of consecutive positions between which the stance changes."""
        pairs = zip(self.positions, self.positions[1:], strict=False)
        return tuple((before, after) for before, after in pairs if before.stance != after.stance)

    @property
    def moved(self) -> bool:
        """Whether the position changes at all."""
        return bool(self.changes)

    def __repr__(self) -> str:
        path = " -> ".join(f"{p.stance} ({p.date})" if p.date else p.stance for p in self.positions)
        return f"Thread({self.actor!r}: {path})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "actor": self.actor,
            "accusation": self.accusation,
            "positions": [asdict(p) for p in self.positions],
            "changes": [[asdict(a), asdict(b)] for a, b in self.changes],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Every thread found; those that move come first, then the longest."""

    threads: tuple[Thread, ...]

    def __iter__(self) -> Iterator[Thread]:
        return iter(self.threads)

    def __len__(self) -> int:
        return len(self.threads)

    def of(self, actor: str) -> Timeline:
        """The threads of one actor."""
        wanted = keys(actor)
        return Timeline(threads=tuple(t for t in self.threads if keys(t.actor) & wanted))

    def __str__(self) -> str:
        lines: list[str] = []
        for thread in self.threads:
            lines.append(f"{thread.actor or 'somebody'}: {_short(thread.accusation)}")
            lines.extend(f"  {p.date or '?':10}  {p.stance:20} {_short(p.response)}" for p in thread.positions)
        return "\n".join(lines)


def timeline(ledgers: Iterable[Ledger], *, similarity: float = 0.2) -> Timeline:
    """Follow each actor's answers to each accusation through dated documents.

    Args:
        ledgers: From ``stance.analyze``, in any order; documents without a date come first.
        similarity: Two charges against one actor are one accusation where they share at least this part of their words
            (0 to 1, of the shorter one). Lower joins more.

    Returns:
        The threads, those in which the stance changes first.
    """
    entries = sorted(
        ((ledger.document.date, ledger.document.id, i, item) for ledger in ledgers for i, item in enumerate(ledger)),
        key=lambda entry: entry[:3],
    )
    threads: list[list[tuple[str, str, LedgerItem]]] = []
    for date, document_id, _, item in entries:
        home = next((t for t in threads if _belongs(item, t, similarity)), None)
        if home is None:
            threads.append(home := [])
        home.append((date, document_id, item))
    made = [_thread(t) for t in threads]
    return Timeline(threads=tuple(sorted(made, key=lambda t: (not t.moved, -len(t.positions)))))


def _actor(item: LedgerItem) -> str:
    return item.pair.responder or item.pair.accused


def _belongs(item: LedgerItem, thread: Sequence[tuple[str, str, LedgerItem]], similarity: float) -> bool:
    """The same actor answers, and the charges share words; within one document, the same charge also counts."""
    actor, words = keys(_actor(item)) | keys(item.pair.accused), _words(item.pair.accusation)
    for _, _, other in thread:
        known = keys(_actor(other)) | keys(other.pair.accused)
        if not actor & known:
            continue
        theirs = _words(other.pair.accusation)
        # those who charge and answer are named in every charge between them: their names tell nothing
        names = _stems(actor | known | keys(item.pair.accuser) | keys(other.pair.accuser))
        mine, theirs = words - names, theirs - names
        if len(mine & theirs) >= similarity * max(2, min(len(mine), len(theirs))):
            return True
    return False


def _stems(words: Iterable[str]) -> set[str]:
    return {word[:6] for phrase in words for word in phrase.split()}


def _words(text: str) -> set[str]:
    found = ("".join(c for c in word.lower() if c.isalpha()) for word in text.split())
    return {word[:6] for word in found if len(word) > 3 and word not in _COMMON}


def _thread(entries: Sequence[tuple[str, str, LedgerItem]]) -> Thread:
    actors = [_actor(item) for _, _, item in entries]
    return Thread(
        actor=max(actors, key=lambda name: (actors.count(name), len(name))),
        accusation=max((item.pair.accusation for _, _, item in entries), key=len),
        positions=tuple(
            Position(
                date=date,
                document_id=document_id,
                stance=str(item.prediction.label or NONE),
                confidence=item.prediction.confidence,
                accusation=item.pair.accusation,
                response=item.pair.response,
                responder=item.pair.responder,
                accuser=item.pair.accuser,
            )
            for date, document_id, item in entries
        ),
    )


def _short(text: str, most: int = 90) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
