"""The values that cross the borders between modules: frozen, picklable, free of numpy."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date as Day
from typing import Any

from stance.labels import NONE

ABSTAINED = "abstained"
"""The outcome of a prediction that ``coverage`` put aside."""

_MAX_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A piece of a document's text, as character offsets: ``document.text[start:end]``."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"a span needs 0 <= start <= end, not start={self.start}, end={self.end}")

    def __len__(self) -> int:
        return self.end - self.start

    def of(self, text: str) -> str:
        """The piece of ``text`` that this span covers."""
        return text[self.start : self.end]

    def overlaps(self, other: Span) -> bool:
        """Whether the two share at least one character."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A text and what is known of it.

    Attributes:
        text: The text; offsets everywhere count its characters as given.
        id: Its name; for a file, the file's name without the suffix.
        title: Its heading.
        date: ``YYYY-MM-DD``, with a time behind it or not; ``timeline`` sorts by it and refuses another form. A
            ``datetime.date`` is kept as its text, ``None`` as no date.
        outlet: Who published it.
        language: Two-letter code, for the page, ``"en"`` for ``None``; the models read English.
    """

    text: str
    id: str = ""
    title: str = ""
    date: str = ""
    outlet: str = ""
    language: str = "en"

    def __post_init__(self) -> None:
        given: Day | str | None = self.date
        object.__setattr__(
            self, "date", given.isoformat() if isinstance(given, Day) else "" if given is None else given
        )
        object.__setattr__(self, "language", "en" if self.language is None else self.language)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An accusation and the passage that answers it.

    Only the two texts are judged. The rest says where they stand and who speaks; ``extract_pairs`` fills it.

    Attributes:
        accusation: The charge, verbatim.
        response: The reply, verbatim.
        document_id: Pairs that share it stay in one split.
        accusation_span: Where the charge stands in the document, if it came from one.
        response_span: Where the reply stands.
        accusation_sentences: The span of the whole sentences around the charge.
        response_sentences: The span of the whole sentences around the reply.
        accuser: Who makes the charge, as the text names them; empty where it does not say.
        accused: Whom it charges.
        responder: Who replies.
        cue: The word or mark that gave the reply away ("denied", a quotation mark, a speaker label).
        link_probability: How sure the link is, 0 to 1; 1.0 for pairs that a person made.
        why: The reasons for the link, in words, always in one order.
    """

    accusation: str
    response: str
    document_id: str = ""
    accusation_span: Span | None = None
    response_span: Span | None = None
    accusation_sentences: Span | None = None
    response_sentences: Span | None = None
    accuser: str = ""
    accused: str = ""
    responder: str = ""
    cue: str = ""
    link_probability: float = 1.0
    why: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPair(Pair):
    """A pair with a reader's verdict: a person's, or a machine reader's.

    Attributes:
        labels: Every stance that the response carries.
        label: The primary one, a member of ``labels``; ``None`` where it carries none.
        weight: How much this verdict counts in training, above 0 (1 for a clear case).
        annotator: Who labelled it.
        source: The corpus it comes from; scores are reported by it.
        id: Its name in the corpus.
        twin: Pairs that share it have the same response and different accusations.
    """

    labels: tuple[str, ...] = ()
    label: str | None = None
    weight: float = 1.0
    annotator: str = ""
    source: str = ""
    id: str = ""
    twin: str = ""

    def __post_init__(self) -> None:
        if (self.label is None) != (not self.labels) or (self.label is not None and self.label not in self.labels):
            raise ValueError(f"label must be a member of labels: label={self.label!r}, labels={self.labels!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """How one response stands to its accusation.

    Attributes:
        label: The primary stance, or ``None`` where the response carries none of them. After ``coverage=`` it is
            ``None`` too where the model abstains; ``abstained`` tells the two apart.
        stances: Every stance that the response carries: ``label`` first, then by falling presence. It may hold
            stances beside ``label``; a ``label`` that is not ``None`` is always among them.
        probabilities: Calibrated, over the labels and ``none``; they sum to 1 and the largest is ``label``'s.
        presence: Calibrated, by stance, each in 0..1 on its own; they do not sum to 1.
        truncated: Whether any text was left unread because it did not fit the model's window.
        abstained: Whether ``coverage=`` was asked for and this prediction is not among the surest of its class.
    """

    label: str | None
    stances: tuple[str, ...]
    probabilities: Mapping[str, float]
    presence: Mapping[str, float]
    truncated: bool = False
    abstained: bool = False

    def __post_init__(self) -> None:
        for name in ("probabilities", "presence"):
            object.__setattr__(self, name, dict(getattr(self, name)))

    def __hash__(self) -> int:
        return hash((self.label, self.stances, tuple(self.probabilities.items()), tuple(self.presence.items())))

    @property
    def outcome(self) -> str:
        """The primary stance by name, ``"none"`` where there is none, or ``"abstained"``."""
        return ABSTAINED if self.abstained else str(self.label or NONE)

    @property
    def confidence(self) -> float:
        """The calibrated probability of the most likely outcome, 0 to 1."""
        return max(self.probabilities.values())

    def __repr__(self) -> str:
        also = [str(stance) for stance in self.stances if stance != self.label]
        parts = [f"{self.outcome} {self.confidence:.0%}"]
        if also:
            parts.append("also " + ", ".join(f"{name} {self.presence[name]:.0%}" for name in also))
        if self.truncated:
            parts.append("truncated")
        return f"Prediction({'; '.join(parts)})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='text-align:left'>{html.escape(name)}</td><td>{value:.2f}</td>"
            f"<td>{self.presence[name]:.2f}</td></tr>"
            if name in self.presence
            else f"<tr><td style='text-align:left'>{html.escape(name)}</td><td>{value:.2f}</td><td></td></tr>"
            for name, value in self.probabilities.items()
        )
        return (
            f"<div><b>{html.escape(repr(self)[11:-1])}</b><table><thead><tr><th>outcome</th><th>probability</th>"
            f"<th>presence</th></tr></thead><tbody>{rows}</tbody></table></div>"
        )

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain strings, numbers and lists, ready for JSON."""
        return {
            "label": None if self.label is None else str(self.label),
            "stances": [str(stance) for stance in self.stances],
            "probabilities": {str(name): value for name, value in self.probabilities.items()},
            "presence": {str(name): value for name, value in self.presence.items()},
            "truncated": self.truncated,
            "abstained": self.abstained,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Accusation:
    """A charge found in a document, whether or not anybody answers it."""

    text: str
    span: Span
    accuser: str = ""
    accused: str = ""
    probability: float = 1.0
    """How sure the model is that this is an accusation, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerItem:
    """One pair of a document and how it was judged."""

    pair: Pair
    prediction: Prediction

    def to_dict(self) -> dict[str, Any]:
        """Pair and prediction in one flat record."""
        return {**self.pair.to_dict(), **self.prediction.to_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What a document says of accusations and answers.

    Attributes:
        document: The text that was read.
        pairs: The judged pairs, in the order of their responses in the text.
        accusations: Every accusation found, in the order of the text.
        model: The name and hash of the checkpoint that read it.
    """

    document: Document
    pairs: tuple[LedgerItem, ...] = ()
    accusations: tuple[Accusation, ...] = ()
    model: str = ""
    chains: tuple[tuple[int, int], ...] = field(default=())
    """Pairs ``(i, j)`` of positions in ``pairs``: the response of *i* is the accusation that *j* answers."""

    @property
    def unanswered(self) -> tuple[Accusation, ...]:
        """The accusations to which no response was found."""
        answered = {item.pair.accusation_span for item in self.pairs}
        return tuple(accusation for accusation in self.accusations if accusation.span not in answered)

    def responses_to(self, accusation: Accusation) -> tuple[LedgerItem, ...]:
        """The judged responses to one accusation."""
        return tuple(item for item in self.pairs if item.pair.accusation_span == accusation.span)

    def __iter__(self) -> Iterator[LedgerItem]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __repr__(self) -> str:
        name = self.document.id or self.document.title or "document"
        return (
            f"Ledger({name[:_MAX_SHOWN]!r}: {len(self.pairs)} pairs, {len(self.accusations)} accusations, "
            f"{len(self.unanswered)} unanswered)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything but the document's text, ready for JSON."""
        return {
            "document_id": self.document.id,
            "title": self.document.title,
            "date": self.document.date,
            "outlet": self.document.outlet,
            "model": self.model,
            "pairs": [item.to_dict() for item in self.pairs],
            "accusations": [asdict(accusation) for accusation in self.accusations],
            "unanswered": [asdict(accusation) for accusation in self.unanswered],
            "chains": [list(chain) for chain in self.chains],
        }
