"""Ledgers of several documents -> how an actor's position on one accusation moves over time, with the quotations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from datetime import date as Day
from itertools import pairwise
from typing import Any

from stance.errors import InputError
from stance.pairing.names import keys
from stance.records import ABSTAINED, Document, Ledger, LedgerItem

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
        stance: The primary stance, ``none``, or ``abstained``.
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
        actor: Who is charged and answers, in the form found most often; of equals, the longest.
        accusation: The fullest statement of the charge.
        positions: Their replies, oldest first.
    """

    actor: str
    accusation: str
    positions: tuple[Position, ...]

    @property
    def changes(self) -> tuple[tuple[Position, Position], ...]:
        """The pairs of consecutive positions between which the stance changes.

        Those without a date have no place in time, and those on which the model abstained no stance: both are passed over.
        """
        known = [p for p in self.positions if p.date.strip() and p.stance != ABSTAINED]
        return tuple((before, after) for before, after in pairwise(known) if before.stance != after.stance)

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
        ledgers: From ``stance.analyze``, in any order; documents without a date come first and make no change. A date
            begins with YYYY-MM-DD; a time may follow, and a zone (without one, UTC).
        similarity: Two charges against one actor are one accusation where they share at least this part of their words
            (0 to 1, of the shorter one), or every word. Lower joins more.

    Returns:
        The threads, those in which the stance changes first.

    Raises:
        InputError: A document's date has another form.
    """
    dated = sorted(((_day(ledger.document), ledger) for ledger in ledgers), key=lambda entry: entry[0])
    threads: list[list[_Charge]] = []
    for _, ledger in dated:
        for item in ledger:
            charge = _charge(ledger.document, item)
            home = next((t for t in threads if _belongs(charge, t, similarity)), None)
            if home is None:
                threads.append(home := [])
            home.append(charge)
    made = [_thread(t) for t in threads]
    return Timeline(threads=tuple(sorted(made, key=lambda t: (not t.moved, -len(t.positions)))))


@dataclass(frozen=True, slots=True)
class _Charge:
    """A judged pair, and what it is compared by."""

    document: Document
    item: LedgerItem
    actor: frozenset[str]  # who is charged and answers, by every key of their names
    names: frozenset[str]  # the stems of the names of both sides
    words: frozenset[str]  # the stems of the charge's words


def _charge(document: Document, item: LedgerItem) -> _Charge:
    actor = keys(_actor(item)) | keys(item.pair.accused)
    return _Charge(
        document=document,
        item=item,
        actor=frozenset(actor),
        names=frozenset(_stems(actor | keys(item.pair.accuser))),
        words=frozenset(_words(item.pair.accusation)),
    )


def _day(document: Document) -> tuple[datetime, str, str]:
    """Where a document stands in time: by its moment in UTC, then by what else its date says, then by its id."""
    try:
        text = document.date.strip()
        return (*(_moment(text) if text else (datetime.min, "")), document.id)
    except (AttributeError, ValueError):
        raise InputError(
            f"document {document.id or document.title!r} is dated {document.date!r}; "
            "give Document(date=...) as YYYY-MM-DD, such as '2031-05-02', or leave it empty"
        ) from None


def _moment(text: str) -> tuple[datetime, str]:
    """The moment that a text begins with, in UTC, and what of the text is not part of it."""
    try:
        found = datetime.fromisoformat(text)
        return (found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found, "")
    except (OverflowError, ValueError):
        return (datetime.combine(Day.fromisoformat(text[:10]), datetime.min.time()), text[10:])


def _actor(item: LedgerItem) -> str:
    return item.pair.responder or item.pair.accused


def _belongs(charge: _Charge, thread: Sequence[_Charge], similarity: float) -> bool:
    """The same actor answers, and the charges are the same word for word or share enough words."""
    for other in thread:
        if not charge.actor & other.actor:
            continue
        if charge.item.pair.accusation == other.item.pair.accusation:
            return True
        # those who charge and answer are named in every charge between them: their names tell nothing
        names = charge.names | other.names
        mine, theirs = charge.words - names, other.words - names
        if len(mine & theirs) >= similarity * max(2, min(len(mine), len(theirs))):
            return True
    return False


def _stems(words: Iterable[str]) -> set[str]:
    return {word[:6] for phrase in words for word in phrase.split()}


def _words(text: str) -> set[str]:
    found = ("".join(c for c in word.lower() if c.isalpha()) for word in text.split())
    return {word[:6] for word in found if len(word) > 3 and word not in _COMMON}


def _thread(charges: Sequence[_Charge]) -> Thread:
    actors = [_actor(charge.item) for charge in charges]
    return Thread(
        actor=max(actors, key=lambda name: (actors.count(name), len(name))),
        accusation=max((charge.item.pair.accusation for charge in charges), key=len),
        positions=tuple(_position(charge.document, charge.item) for charge in charges),
    )


def _position(document: Document, item: LedgerItem) -> Position:
    return Position(
        date=document.date,
        document_id=document.id,
        stance=item.prediction.outcome,
        confidence=item.prediction.confidence,
        accusation=item.pair.accusation,
        response=item.pair.response,
        responder=item.pair.responder,
        accuser=item.pair.accuser,
    )


def _short(text: str, most: int = 90) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= most else line[: most - 1] + "…"
