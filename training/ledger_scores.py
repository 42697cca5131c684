"""How well pairs are found in documents: precision, recall and F1 of accusations, responses, links and of the whole.

A span is found where it shares half of the shorter one's characters with a marked one (``covers``); the strict figures
ask for half of all characters that either covers (``resembles``). Each marked item is found at most once.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stance.pairing.names import same_actor
from stance.records import Document, Ledger, Span
from training.documents import Found, LabelledDocument, covers, gold_of, read_documents, resembles

Match = Callable[[Span, Span], bool]


def found_in(ledger: Ledger) -> Found:
    """The spans and links of a ledger."""
    spans = {item.pair.response_span: None for item in ledger.pairs if item.pair.response_span}
    return Found(
        accusations=tuple(accusation.span for accusation in ledger.accusations),
        responses=tuple(spans),
        links=tuple(
            (item.pair.accusation_span, item.pair.response_span, item.prediction.label)
            for item in ledger.pairs
            if item.pair.accusation_span and item.pair.response_span
        ),
    )


PARTS = ("accusations", "responses", "links", "whole")


def counts(predicted: Found, gold: Found, match: Match = covers) -> dict[str, tuple[int, int, int]]:
    """Right, predicted and gold, by part, of one document; each gold item is found at most once."""
    pairs: dict[str, tuple[Sequence[Any], Sequence[Any], Callable[[Any, Any], bool]]] = {
        "accusations": (predicted.accusations, gold.accusations, match),
        "responses": (predicted.responses, gold.responses, match),
        "links": (predicted.links, gold.links, lambda p, g: match(p[0], g[0]) and match(p[1], g[1])),
        "whole": (
            predicted.links,
            gold.links,
            lambda p, g: match(p[0], g[0]) and match(p[1], g[1]) and p[2] == g[2],
        ),
    }
    return {part: (most_matches(p, g, ok), len(p), len(g)) for part, (p, g, ok) in pairs.items()}


def most_matches(predicted: Sequence[Any], gold: Sequence[Any], ok: Callable[[Any, Any], bool]) -> int:
    """The largest number of one-to-one matches (augmenting paths)."""
    choices = [[j for j, g in enumerate(gold) if ok(p, g)] for p in predicted]
    taken: dict[int, int] = {}

    def place(i: int, tried: set[int]) -> bool:
        for j in choices[i]:
            if j not in tried:
                tried.add(j)
                if j not in taken or place(taken[j], tried):
                    taken[j] = i
                    return True
        return False

    return sum(place(i, set()) for i in range(len(predicted)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Precision, recall and F1 with the interval of F1 over resampled documents."""

    precision: float
    recall: float
    f1: float
    low: float
    high: float
    predicted: int
    gold: int


def score(rows: Sequence[tuple[int, int, int]], *, resamples: int = 2000, seed: int = 0) -> Score:
    """Pool ``(right, predicted, gold)`` of documents; the interval holds 95 % of bootstrap samples of documents."""
    table = np.array(rows, dtype=float).reshape(-1, 3)
    right, predicted, gold = table.sum(0)
    draws = np.random.default_rng(seed).integers(0, len(table), (resamples, len(table)))
    sums = table[draws].sum(1)
    spread = 2 * sums[:, 0] / np.maximum(1, sums[:, 1] + sums[:, 2])
    return Score(
        precision=right / max(1, predicted),
        recall=right / max(1, gold),
        f1=2 * right / max(1, predicted + gold),
        low=float(np.quantile(spread, 0.025)),
        high=float(np.quantile(spread, 0.975)),
        predicted=int(predicted),
        gold=int(gold),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentEvaluation:
    """Scores by system and part, and speakers.

    Attributes:
        scores: System -> part -> score, by ``covers``.
        strict: The same by ``resembles``.
        speakers: Share of matched links whose accuser, accused and responder are named as the reader named them.
        documents: How many documents were read.
    """

    scores: Mapping[str, Mapping[str, Score]]
    strict: Mapping[str, Mapping[str, Score]]
    speakers: Mapping[str, float]
    documents: int

    def __str__(self) -> str:
        lines = [
            f"{self.documents} documents; spans match where they share half of the shorter one (strict: IoU >= 0.5)"
        ]
        lines.append(
            f"{'':30}{'part':14}{'P':>7}{'R':>7}{'F1':>7}  {'95 %':>13}{'found':>7}{'gold':>6}{'strict F1':>11}"
        )
        for system, parts in self.scores.items():
            for part, s in parts.items():
                lines.append(
                    f"{system:30}{part:14}{s.precision:7.3f}{s.recall:7.3f}{s.f1:7.3f}  {s.low:6.3f}-{s.high:5.3f}"
                    f"{s.predicted:7}{s.gold:6}{self.strict[system][part].f1:11.3f}"
                )
        lines.append("named as the reader named them: " + ", ".join(f"{k} {v:.2f}" for k, v in self.speakers.items()))
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        from dataclasses import asdict

        return {
            "documents": self.documents,
            "speakers": dict(self.speakers),
            **{
                kind: {system: {part: asdict(s) for part, s in parts.items()} for system, parts in table.items()}
                for kind, table in (("coverage", self.scores), ("iou", self.strict))
            },
        }


def evaluate_documents(
    model: str = "default", split: str = "test", *, texts: str | os.PathLike[str] | None = None
) -> DocumentEvaluation:
    """Judge how well a checkpoint finds pairs in documents, beside the baselines.

    Args:
        model: The checkpoint.
        split: ``"test"``, ``"validation"`` or ``"five"``.
        texts: The folder of the texts.
    """
    from stance import ledgers

    gold = read_documents(split, texts=texts)
    found = [ledgers.analyze(item.document, model=model) for item in gold]
    systems = {
        "stance": [found_in(ledger) for ledger in found],
        "nearest sentence (cue words)": [nearest_by_cues(item.document, model) for item in gold],
        "nearest (our detectors)": [
            nearest_of(ledger, item.document, model) for ledger, item in zip(found, gold, strict=True)
        ],
        "most similar (our detectors)": [
            similar_of(ledger, item.document, model) for ledger, item in zip(found, gold, strict=True)
        ],
    }
    return _evaluation(systems, gold, speakers_named(found, gold))


def _evaluation(
    systems: Mapping[str, Sequence[Found]], gold: Sequence[LabelledDocument], speakers: Mapping[str, float]
) -> DocumentEvaluation:
    def table(match: Match) -> dict[str, dict[str, Score]]:
        out = {}
        for system, found in systems.items():
            rows = [counts(p, gold_of(g), match) for p, g in zip(found, gold, strict=True)]
            out[system] = {part: score([row[part] for row in rows]) for part in PARTS}
        return out

    return DocumentEvaluation(scores=table(covers), strict=table(resembles), speakers=speakers, documents=len(gold))


def agreement(*, texts: str | os.PathLike[str] | None = None, match: Match = covers) -> dict[str, Score]:
    """F1 of one reader against another, over the documents that two have read, as they were before any settling."""
    first = read_documents(texts=texts, reading=2)
    second = {item.document.id: item for item in read_documents(texts=texts, reading=3)}
    rows = [counts(gold_of(second[item.document.id]), gold_of(item), match) for item in first]
    return {part: score([row[part] for row in rows]) for part in PARTS}


def speakers_named(ledgers: Sequence[Ledger], gold: Sequence[LabelledDocument]) -> dict[str, float]:
    """Of the links found, the share whose speakers are named as the reader named them; a surname or state suffices."""
    right, asked = Counter[str](), Counter[str]()
    for ledger, item in zip(ledgers, gold, strict=True):
        for link in item.links:
            a, r = item.accusations[link.accusation], item.responses[link.response]
            match = next(
                (
                    i.pair
                    for i in ledger.pairs
                    if covers(i.pair.accusation_span or a.span, a.span)
                    and covers(i.pair.response_span or r.span, r.span)
                ),
                None,
            )
            if match is None:
                continue
            for role, named, known in (
                ("accuser", match.accuser, a.accuser),
                ("accused", match.accused, a.accused),
                ("responder", match.responder, r.responder),
            ):
                if known:
                    asked[role] += 1
                    right[role] += bool(named) and same_actor(named, known)
    return {role: right[role] / asked[role] for role in asked}


def nearest_by_cues(document: Document, model: str = "default") -> Found:
    """Sentences with a word of reply, each linked to the nearest sentence before it with a word of charge."""
    from stance.pairing.candidates import _PATTERNS, read

    reading = read(document)
    charges = [i for i, u in enumerate(reading.units) if _PATTERNS["charge"].search(reading.words_of(u))]
    replies = [
        i for i, u in enumerate(reading.units) if _PATTERNS["reply"].search(reading.words_of(u)) and i not in charges
    ]
    links = [(max(c for c in charges if c < r), r) for r in replies if any(c < r for c in charges)]
    spans = [unit.span for unit in reading.units]
    return _judged(
        document,
        Found(
            accusations=tuple(spans[i] for i in charges),
            responses=tuple(spans[i] for i in replies),
            links=tuple((spans[a], spans[r], None) for a, r in links),
        ),
        model,
    )


def nearest_of(ledger: Ledger, document: Document, model: str = "default") -> Found:
    """Our accusations and responses, each response linked to the nearest accusation before it (else after it)."""

    def nearest(response: Span, accusations: Sequence[Span]) -> Span | None:
        before = [a for a in accusations if a.end <= response.start]
        after = [a for a in accusations if a.start >= response.end]
        return before[-1] if before else after[0] if after else None

    return _relinked(ledger, document, nearest, model)


def similar_of(ledger: Ledger, document: Document, model: str = "default") -> Found:
    """Our accusations and responses, each response linked to the accusation that shares most words with it."""

    def words(span: Span) -> set[str]:
        return {w[:6] for w in re.findall(r"\w{4,}", span.of(document.text).lower())}

    def similar(response: Span, accusations: Sequence[Span]) -> Span | None:
        free = [a for a in accusations if not a.overlaps(response)]
        mine = words(response)
        return max(free, key=lambda a: len(words(a) & mine) / (1 + len(words(a) | mine)), default=None)

    return _relinked(ledger, document, similar, model)


def _relinked(
    ledger: Ledger, document: Document, choose: Callable[[Span, Sequence[Span]], Span | None], model: str
) -> Found:
    found = found_in(ledger)
    chosen = [(choose(r, found.accusations), r) for r in found.responses]
    links = tuple((a, r, None) for a, r in chosen if a is not None)
    return _judged(document, Found(accusations=found.accusations, responses=found.responses, links=links), model)


def _judged(document: Document, found: Found, model: str) -> Found:
    """Let the stance model judge the links of a baseline."""
    from stance.api import load

    texts = [(a.of(document.text), r.of(document.text)) for a, r, _ in found.links]
    verdicts = load(model).classify_pairs(texts)
    links = tuple((a, r, v.label) for (a, r, _), v in zip(found.links, verdicts, strict=True))
    return Found(accusations=found.accusations, responses=found.responses, links=links)
