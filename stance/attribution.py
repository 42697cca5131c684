"""Which words of each text an answer hangs on: each is left out in turn, and the pair is judged again."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from typing import Any

import numpy as np

from stance.api import open_model
from stance.classifier import StanceClassifier
from stance.encoding import as_pair, check_text
from stance.errors import LabelError, PairError
from stance.labels import NONE
from stance.records import Pair, Prediction, Span

_WORD = re.compile(r"\S+")
_FOR, _AGAINST = "0, 114, 178", "213, 94, 0"  # blue and vermilion, which colour-blind people tell apart
_FAINT = 0.05
"""A word that changes the probability by less is drawn as plain text."""

_LISTED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word and what it does to the answer.

    Attributes:
        text: The word, with the punctuation that touches it.
        part: ``"accusation"`` or ``"response"``.
        span: Where it stands in that text.
        change: The probability of the explained outcome, less what is left of it without this word, -1 to 1. Above 0
            the word speaks for the outcome, below 0 against it.
    """

    text: str
    part: str
    span: Span
    change: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What an answer hangs on. Print it, or let a notebook show it.

    Changes are measured one word at a time: where two words say the same, leaving out either changes little. They tell
    what the model reads, not why the speaker said it.

    Attributes:
        pair: The two texts.
        prediction: What the model says of them.
        outcome: The outcome that is explained.
        words: Every word of the accusation, then of the response. Words beyond the model's window have change 0.
        without: For ``"accusation"`` and ``"response"``: the outcome that the model gives, and the probability of the
            explained one, where that text is hidden as a whole.
    """

    pair: Pair
    prediction: Prediction
    outcome: str
    words: tuple[Word, ...]
    without: dict[str, tuple[str, float]]

    @property
    def probability(self) -> float:
        """The probability of the explained outcome, 0 to 1."""
        return self.prediction.probabilities[self.outcome]

    def of(self, part: str) -> tuple[Word, ...]:
        """The words of one text, ``"accusation"`` or ``"response"``, in their order."""
        return tuple(word for word in self.words if word.part == part)

    def top(self, n: int = _LISTED) -> tuple[Word, ...]:
        """The words that change the answer most, either way, strongest first."""
        return tuple(sorted(self.words, key=lambda word: -abs(word.change))[:n])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            **self.prediction.to_dict(),
            "accusation": self.pair.accusation,
            "response": self.pair.response,
            "outcome": str(self.outcome),
            "words": [asdict(word) for word in self.words],
            "without": {part: [str(outcome), value] for part, (outcome, value) in self.without.items()},
        }

    def __str__(self) -> str:
        lines = [f"{self.outcome} {self.probability:.0%}"]
        lines += [f"  {word.change:+.2f}  {word.text}  ({word.part})" for word in self.top()]
        return "\n".join([*lines, *(f"  {line}" for line in self._hidden())])

    def __repr__(self) -> str:
        strongest = ", ".join(f"{word.text!r} {word.change:+.2f}" for word in self.top(3))
        return f"Explanation({self.outcome} {self.probability:.0%}: {strongest})"

    def _repr_html_(self) -> str:
        texts = "".join(f"<p><b>{part}</b><br>{_marked(self._text(part), self.of(part))}</p>" for part in self.without)
        rows = "".join(
            f"<tr><td style='text-align:left'>{escape(word.text)}</td><td style='text-align:left'>{word.part}</td>"
            f"<td>{word.change:+.2f}</td></tr>"
            for word in self.top()
        )
        return (
            f"<div style='max-width:48em'><b>{escape(str(self.outcome))} {self.probability:.0%}</b>{texts}"
            f"<small><span style='{_style(0.4)}'>for it</span> · <span style='{_style(-0.4)}'>against it</span></small>"
            f"<table><thead><tr><th>word left out</th><th>text</th><th>change</th></tr></thead><tbody>{rows}</tbody>"
            f"</table><small>{'<br>'.join(escape(line) for line in self._hidden())}</small></div>"
        )

    def _text(self, part: str) -> str:
        return self.pair.accusation if part == "accusation" else self.pair.response

    def _hidden(self) -> list[str]:
        return [
            f"without the {part}: {outcome}; {self.outcome} has {value:.0%}"
            for part, (outcome, value) in self.without.items()
        ]


def explain(
    accusation: str,
    response: str,
    *,
    model: str | os.PathLike[str] | StanceClassifier = "default",
    outcome: str | None = None,
) -> Explanation:
    """Find the words of each text that an answer hangs on.

    Args:
        accusation: The charge.
        response: What the accused side says to it.
        model: A checkpoint, as in ``stance.load``, or an open classifier.
        outcome: The outcome to explain, a stance or ``"none"``; the most likely one if ``None``.

    Raises:
        PairError: A text is missing, blank or not valid Unicode.
        LabelError: The checkpoint does not know ``outcome``.

    Source: Li, Monroe and Jurafsky 2016, "Understanding neural networks through representation erasure".
    """
    classifier = open_model(model)
    pair = as_pair((accusation, response))
    names = (*classifier.labels, NONE)
    if outcome is not None and outcome not in names:
        raise LabelError(f"no outcome {outcome!r}; the checkpoint knows {', '.join(names)}")
    prediction = classifier.classify_pairs([pair])[0]
    explained = names[names.index(outcome or _likeliest(prediction))]
    hidden = {part: _hidden(classifier, pair, part) for part in ("accusation", "response")}
    without = {part: (names[int(p.argmax())], float(p[names.index(explained)])) for part, p in hidden.items()}
    words = [
        word
        for part in without
        for word in _words(classifier, pair, part, explained, prediction.probabilities[explained], without[part][1])
    ]
    return Explanation(pair=pair, prediction=prediction, outcome=explained, words=tuple(words), without=without)


def _likeliest(prediction: Prediction) -> str:
    return max(prediction.probabilities, key=lambda name: prediction.probabilities[name])


def _hidden(classifier: StanceClassifier, pair: Pair, part: str) -> np.ndarray:
    """The probabilities of all outcomes where one text is hidden, shape (n_outcomes,)."""
    return np.asarray(classifier.settings.calibration.probabilities(classifier.logits([pair], hide=part))[0])


def _words(classifier: StanceClassifier, pair: Pair, part: str, outcome: str, full: float, empty: float) -> list[Word]:
    """The words of one text, each with what it changes.

    Args:
        classifier: The judge.
        pair: Both texts.
        part: The text to take words from.
        outcome: The outcome whose probability is watched.
        full: Its probability with every word.
        empty: Its probability with this whole text hidden, which is what leaving out the only word that can be seen
            comes to.
    """
    text: str = getattr(pair, part)
    spans = [Span(start=found.start(), end=found.end()) for found in _WORD.finditer(text)]
    seen = spans[: classifier.settings.max_tokens]  # a word takes a token or more, so none after these is read
    rests = [_leave_out(text, span) for span in seen]
    judged = classifier.iter_pairs(_with(pair, part, rest) for rest in rests if not _is_blank(rest))
    left = [empty if _is_blank(rest) else next(judged).probabilities[outcome] for rest in rests]
    left += [full] * (len(spans) - len(seen))
    return [
        Word(text=span.of(text), part=part, span=span, change=full - rest)
        for span, rest in zip(spans, left, strict=True)
    ]


def _leave_out(text: str, span: Span) -> str:
    return f"{text[: span.start].rstrip()} {text[span.end :].lstrip()}".strip()


def _is_blank(text: str) -> bool:
    """Whether nothing is left that can be judged, by the rule that the texts themselves passed."""
    try:
        check_text(text, "text")
    except PairError:
        return True
    return False


def _marked(text: str, words: Sequence[Word]) -> str:
    """The text as HTML, shaded by what each word changes."""
    pieces, at = [], 0
    for word in words:
        pieces.append(escape(text[at : word.span.start]))
        shown = escape(word.text)
        strong = abs(word.change) >= _FAINT
        pieces.append(
            f"<span style='{_style(word.change)}' title='{word.change:+.2f}'>{shown}</span>" if strong else shown
        )
        at = word.span.end
    return "".join([*pieces, escape(text[at:])])


def _with(pair: Pair, part: str, text: str) -> Pair:
    """The pair with another text in the place of one of its two."""
    return replace(pair, accusation=text) if part == "accusation" else replace(pair, response=text)


def _style(change: float) -> str:
    """Shade and underline: solid for the outcome, dashed against it, so that colour never stands alone."""
    colour, line = (_FOR, "solid") if change > 0 else (_AGAINST, "dashed")
    strength = min(0.6, 0.1 + abs(change))
    return f"background:rgba({colour},{strength:.2f});border-bottom:2px {line} rgb({colour})"
