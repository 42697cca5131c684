"""How right predictions are: scores, intervals, calibration error, agreement. Needs numpy alone.

Gold and predicted verdicts are passed as two aligned lists. A primary verdict is a label's name or ``None``; a set
verdict is a collection of names, empty for none. Nothing here knows which labels there are unless it is told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np

from stance.errors import InputError, LabelError
from stance.labels import LABELS, NONE


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with a bootstrap percentile interval, all on the figure's own scale.

    ``low`` and ``high`` are NaN where there is too little to draw from, and ``value`` too where it is undefined.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "undefined"
        known = f"[{self.low:.3f}, {self.high:.3f}]"
        return f"{self.value:.3f} {'(no interval: too few documents)' if math.isnan(self.low) else known}"


@dataclass(frozen=True, slots=True)
class LabelScore:
    """Precision, recall and F1 of one outcome, each in 0..1, and its number of gold pairs."""

    precision: float
    recall: float
    f1: float
    support: int


def outcomes(labels: Sequence[str] = LABELS) -> tuple[str, ...]:
    """The labels and ``none``, in column order."""
    return (*(str(label) for label in labels), NONE)


def indices(verdicts: Sequence[str | None], labels: Sequence[str] = LABELS) -> np.ndarray:
    """Turn primary verdicts into column numbers, shape (n,), ``None`` into the last.

    Raises:
        LabelError: A verdict is not one of ``labels``.
    """
    column: dict[str | None, int] = {name: i for i, name in enumerate(outcomes(labels))}
    column[None] = len(labels)
    try:
        return np.array([column[None if v is None else str(v)] for v in verdicts], dtype=np.int64)
    except KeyError as missing:
        raise LabelError(f"{missing} is not a label; the labels are {', '.join(outcomes(labels))}") from None


def membership(sets: Sequence[Collection[str]], labels: Sequence[str] = LABELS) -> np.ndarray:
    """Turn sets of stances into a boolean array, shape (n, n_labels)."""
    known = [str(label) for label in labels]
    for n, members in enumerate(sets):
        if stray := {str(member) for member in members} - set(known):
            raise LabelError(f"item {n}: {sorted(stray)} are not labels; the labels are {', '.join(known)}")
    return np.array([[name in members for name in known] for members in sets], dtype=bool).reshape(-1, len(known))


def confusion(gold: np.ndarray, predicted: np.ndarray, size: int) -> np.ndarray:
    """Count pairs by (gold, predicted), shape (size, size)."""
    return np.bincount(gold * size + predicted, minlength=size * size).reshape(size, size)


def f1_by_outcome(matrix: np.ndarray) -> np.ndarray:
    """F1 of each outcome from a confusion matrix; 0 where an outcome is neither gold nor predicted."""
    hits = np.diag(matrix).astype(float)
    total = matrix.sum(0) + matrix.sum(1)
    return np.divide(2 * hits, total, out=np.zeros_like(hits), where=total > 0)


def macro_f1(gold: np.ndarray, predicted: np.ndarray, size: int, among: np.ndarray | None = None) -> float:
    """Mean F1 over outcomes.

    Args:
        gold: Column numbers, shape (n,).
        predicted: Column numbers, shape (n,).
        size: How many outcomes there are.
        among: Which to average over, bool, shape (size,); those that occur in ``gold`` if ``None``. One that never occurs
            there has no F1: it is left out, and counting it as 0 would only lower the ceiling.
    """
    scores = f1_by_outcome(confusion(gold, predicted, size))
    kept = np.bincount(gold, minlength=size) > 0 if among is None else among
    return float(scores[kept].mean()) if kept.any() else 0.0


def micro_f1(gold: np.ndarray, predicted: np.ndarray) -> float:
    """Micro-averaged F1 of sets; boolean arrays of shape (n, n_labels). 1.0 where both are empty throughout."""
    hits, wrong = int((gold & predicted).sum()), int((gold ^ predicted).sum())
    return 2 * hits / (2 * hits + wrong) if hits + wrong else 1.0


def share_inside(gold_sets: np.ndarray, predicted: np.ndarray) -> float:
    """Share of primary predictions that a gold set admits; ``none`` is admitted by the empty set alone."""
    admitted = np.hstack([gold_sets, ~gold_sets.any(axis=1, keepdims=True)])
    return float(admitted[np.arange(len(predicted)), predicted].mean())


def calibration_error(probabilities: np.ndarray, gold: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error of the top outcome, in 0..1.

    Args:
        probabilities: Shape (n, n_outcomes), rows sum to 1.
        gold: Shape (n,), column numbers.
        bins: Number of bins of equal count, at most; fewer where a bin would hold less than 20 pairs.

    Source: Naeini et al. 2015; Nixon et al. 2019 for equal-mass bins.
    """
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == gold
    tied = np.unique(confidence, return_inverse=True)[1]
    hit = (np.bincount(tied, hit) / np.bincount(tied))[tied]  # so that no bin depends on the order of the pairs
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, max(1, len(order) // 20)))
    return float(sum(len(part) * abs(confidence[part].mean() - hit[part].mean()) for part in parts) / len(gold))


def is_missing(key: object) -> bool:
    """Whether a key, such as a document's id in a table, is ``None`` or one of the kinds of NaN."""
    try:
        return key is None or bool(key != key)
    except TypeError:  # pandas.NA says of no comparison whether it holds
        return True


def cluster_numbers(clusters: Iterable[Hashable]) -> np.ndarray:
    """The number of each row's cluster from 0, shape (n,), the same for equal keys; a row without a key stands alone."""
    keys = [("", i) if is_missing(key) else key for i, key in enumerate(clusters)]
    place = {key: i for i, key in enumerate(sorted(dict.fromkeys(keys), key=str))}  # whatever the order of the rows
    return np.array([place[key] for key in keys], dtype=np.int64)


def bootstrap(
    score: Callable[[np.ndarray], float],
    clusters: Sequence[Hashable],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a score by resampling whole clusters (documents), not rows.

    Args:
        score: Takes row numbers, shape (m,), gives the score of those rows; draws for which it is NaN do not count.
        clusters: One key per row; rows that share a key are drawn together, rows whose key is ``None`` or NaN alone.
        resamples: How many draws.
        level: Coverage of the interval, in 0..1.
        seed: Seed of the draws.

    Returns:
        The interval; its bounds are NaN where there are fewer than two clusters, which tell nothing of how they vary.
    """
    group = cluster_numbers(clusters)
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    value = float(score(np.arange(len(group))))
    if len(members) < 2:
        return Interval(value, math.nan, math.nan)
    rng = np.random.default_rng(seed)
    draws = [
        score(np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))]))
        for _ in range(resamples)
    ]
    known = [draw for draw in draws if not math.isnan(draw)] or [math.nan]
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def cohen_kappa(first: Sequence[str | None], second: Sequence[str | None]) -> float:
    """Agreement of two annotators on the primary verdict beyond chance, at most 1 (Cohen 1960).

    ``None`` and ``"none"`` are one outcome. NaN where both give one outcome throughout: nothing could go by chance.
    """
    if len(first) != len(second) or len(first) == 0:
        raise InputError(f"kappa needs two verdicts for each item: {len(first)} and {len(second)} were given")
    a, b = ([NONE if v is None else v for v in verdicts] for verdicts in (first, second))
    names = {v: i for i, v in enumerate(dict.fromkeys([*a, *b]))}
    matrix = confusion(np.array([names[v] for v in a]), np.array([names[v] for v in b]), len(names))
    observed = np.trace(matrix) / matrix.sum()
    expected = float((matrix.sum(0) * matrix.sum(1)).sum() / matrix.sum() ** 2)
    return math.nan if expected == 1 else float((observed - expected) / (1 - expected))


def masi_distance(first: Collection[str] | None, second: Collection[str] | None) -> float:
    """Distance of two sets, 0 (equal) to 1 (disjoint), which forgives a subset (Passonneau 2006).

    A string is the set of this one stance; ``None``, ``"none"`` and ``""`` are the empty set.
    """
    a, b = _as_set(first), _as_set(second)
    if a == b:
        return 0.0
    shared = a & b
    monotonic = 0.0 if not shared else 2 / 3 if shared in (a, b) else 1 / 3
    return 1 - len(shared) / len(a | b) * monotonic


def _as_set(vote: Collection[str] | None) -> set[str]:
    if vote is None or isinstance(vote, str):
        return set() if vote in (None, "", NONE) else {str(vote)}
    return set(vote)


def krippendorff_alpha(votes: Sequence[Sequence[Any]], distance: Callable[[Any, Any], float] = masi_distance) -> float:
    """Agreement of any number of annotators, missing votes allowed, at most 1 (Krippendorff 2011).

    Args:
        votes: One sequence of votes per item, of any length; items with fewer than two votes do not count.
        distance: Takes two votes, gives 0..1; squared inside, as the coefficient asks.

    Returns:
        Alpha; NaN where all votes are the same, so that nothing could go by chance.
    """
    items = [[frozenset(v) if isinstance(v, (set, list, tuple, frozenset)) else v for v in item] for item in votes]
    items = [item for item in items if len(item) > 1]
    if not items:
        raise InputError("alpha needs at least one item with two votes")
    values = sorted({v for item in items for v in item}, key=repr)
    place = {v: i for i, v in enumerate(values)}
    coincidence = np.zeros((len(values), len(values)))
    for item in items:
        for i, a in enumerate(item):
            for j, b in enumerate(item):
                if i != j:
                    coincidence[place[a], place[b]] += 1 / (len(item) - 1)
    gap = np.array([[distance(a, b) ** 2 for b in values] for a in values])
    margin = coincidence.sum(0)
    expected = (np.outer(margin, margin) - np.diag(margin)) / (margin.sum() - 1)
    disagreement = (expected * gap).sum()
    return math.nan if disagreement == 0 else float(1 - (coincidence * gap).sum() / disagreement)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How predictions stand to gold labels.

    Attributes:
        n: Number of pairs.
        macro_f1: Over the outcomes that occur in the gold labels, with a 95 % bootstrap interval over documents; the
            ``absent`` ones are left out, and in each draw those that it happens not to hold.
        accuracy: Of the primary verdict, with interval.
        micro_f1: Of the sets of stances, with interval.
        inside: Share of primary predictions that the gold set admits, with interval.
        calibration_error: Expected calibration error of the primary verdict; ``None`` without probabilities.
        labels: Scores by outcome.
        confusion: Counts, ``confusion[gold][predicted]``, in the order of ``labels``.
        by_source: The same figures for each source of pairs.
    """

    n: int
    macro_f1: Interval
    accuracy: Interval
    micro_f1: Interval
    inside: Interval
    calibration_error: float | None
    labels: Mapping[str, LabelScore]
    confusion: tuple[tuple[int, ...], ...]
    by_source: Mapping[str, Evaluation]

    @property
    def absent(self) -> tuple[str, ...]:
        """Outcomes of which there is no gold pair; macro-F1 leaves them out."""
        return tuple(name for name, score in self.labels.items() if not score.support)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; ``None`` for the bounds where there is no interval."""
        interval = {name: getattr(self, name) for name in ("macro_f1", "accuracy", "micro_f1", "inside")}
        return {
            "n": self.n,
            **{
                name: [None if math.isnan(x) else round(x, 4) for x in (v.value, v.low, v.high)]
                for name, v in interval.items()
            },
            "calibration_error": None if self.calibration_error is None else round(self.calibration_error, 4),
            "labels": {
                name: {
                    "precision": round(s.precision, 4),
                    "recall": round(s.recall, 4),
                    "f1": round(s.f1, 4),
                    "n": s.support,
                }
                for name, s in self.labels.items()
            },
            "confusion": [list(row) for row in self.confusion],
            "by_source": {name: part.to_dict() for name, part in self.by_source.items()},
        }

    def __str__(self) -> str:
        lines = [
            f"pairs               {self.n}",
            f"macro-F1            {self.macro_f1}",
            f"accuracy            {self.accuracy}",
            f"micro-F1 of sets    {self.micro_f1}",
            f"inside the gold set {self.inside}",
        ]
        if self.calibration_error is not None:
            lines.append(f"calibration error   {self.calibration_error:.3f}")
        if self.absent:
            lines.append(f"macro-F1 leaves out {', '.join(self.absent)}: no gold pair")
        lines += ["", f"{'':<22}{'precision':>10}{'recall':>8}{'F1':>8}{'n':>7}"]
        lines += [
            f"{name:<22}{s.precision:>10.3f}{s.recall:>8.3f}{s.f1:>8.3f}{s.support:>7}"
            for name, s in self.labels.items()
        ]
        names = list(self.labels)
        lines += ["", "gold (rows) against predicted (columns)", " " * 22 + "".join(f"{n[:10]:>12}" for n in names)]
        lines += [
            f"{name:<22}" + "".join(f"{c:>12}" for c in row) for name, row in zip(names, self.confusion, strict=True)
        ]
        if self.by_source:
            lines += [
                "",
                f"{'by source':<22}{'n':>6}{'macro-F1':>10}{'micro-F1':>10}{'inside':>8}{'calibration error':>19}",
            ]
            lines += [_source_line(name, part) for name, part in self.by_source.items()]
        return "\n".join(lines)


def _source_line(name: str, part: Evaluation) -> str:
    scores = f"{part.macro_f1.value:>10.3f}{part.micro_f1.value:>10.3f}{part.inside.value:>8.3f}"
    error = "" if part.calibration_error is None else f"{part.calibration_error:.3f}"
    without = f"  without {', '.join(part.absent)}" if part.absent else ""
    return f"{name or '(no source)'!s:<22}{part.n:>6}{scores}{error:>19}{without}"


def evaluate_verdicts(
    predicted: Sequence[str | None],
    predicted_sets: Sequence[Collection[str]],
    gold: Sequence[str | None],
    gold_sets: Sequence[Collection[str]],
    *,
    labels: Sequence[str] = LABELS,
    probabilities: np.ndarray | None = None,
    clusters: Sequence[Hashable] | None = None,
    sources: Sequence[str | None] | None = None,
    resamples: int = 1000,
) -> Evaluation:
    """Score aligned verdicts; see ``Evaluation`` for what comes out.

    Args:
        predicted: Primary verdicts.
        predicted_sets: Every stance predicted, for each pair.
        gold: Primary verdicts.
        gold_sets: Every stance carried, for each pair.
        labels: The stances, in column order.
        probabilities: Of each outcome, shape (n, n_labels + 1).
        clusters: One key for each pair, for the intervals; see ``bootstrap``. Each pair stands alone if ``None``.
        sources: One name for each pair, to report by; ``None`` and NaN are no source, like ``""``.
        resamples: How many bootstrap draws.

    Raises:
        InputError: The lists differ in length or are empty.
        LabelError: A verdict is not one of ``labels``.
    """
    _check_lengths(
        len(gold),
        {"predictions": predicted, "predicted sets": predicted_sets, "gold sets": gold_sets}
        | {"probabilities": probabilities, "clusters": clusters, "sources": sources},
    )
    y, z = indices(gold, labels), indices(predicted, labels)
    Y, Z = membership(gold_sets, labels), membership(predicted_sets, labels)
    size = len(labels) + 1
    keys = list(range(len(y))) if clusters is None else list(clusters)

    def interval(score: Callable[[np.ndarray], float]) -> Interval:
        return bootstrap(score, keys, resamples=resamples)

    def part(rows: Sequence[int]) -> Evaluation:
        return evaluate_verdicts(
            [predicted[i] for i in rows],
            [predicted_sets[i] for i in rows],
            [gold[i] for i in rows],
            [gold_sets[i] for i in rows],
            labels=labels,
            probabilities=None if probabilities is None else probabilities[rows],
            clusters=[keys[i] for i in rows],
            resamples=resamples,
        )

    matrix = confusion(y, z, size)
    return Evaluation(
        n=len(y),
        macro_f1=interval(lambda r: macro_f1(y[r], z[r], size)),
        accuracy=interval(lambda r: float((y[r] == z[r]).mean())),
        micro_f1=interval(lambda r: micro_f1(Y[r], Z[r])),
        inside=interval(lambda r: share_inside(Y[r], z[r])),
        calibration_error=None if probabilities is None else calibration_error(probabilities, y),
        labels=_by_label(matrix, labels),
        confusion=tuple(tuple(int(c) for c in row) for row in matrix),
        by_source={name: part(rows) for name, rows in _by_source(sources).items()},
    )


def _check_lengths(n: int, aligned: Mapping[str, Sized | None]) -> None:
    for what, items in aligned.items():
        if items is not None and (len(items) != n or n == 0):
            raise InputError(
                f"{what} and gold must align and not be empty: {len(items)} {what} and {n} gold verdicts were given; give "
                "one for each pair"
            )


def _by_label(matrix: np.ndarray, labels: Sequence[str]) -> dict[str, LabelScore]:
    hits, drawn, support = np.diag(matrix), matrix.sum(0), matrix.sum(1)
    return {
        name: LabelScore(
            float(hits[i] / drawn[i]) if drawn[i] else 0.0,
            float(hits[i] / support[i]) if support[i] else 0.0,
            float(f1),
            int(support[i]),
        )
        for i, (name, f1) in enumerate(zip(outcomes(labels), f1_by_outcome(matrix), strict=True))
    }


def _by_source(sources: Sequence[str | None] | None) -> dict[str, list[int]]:
    """The rows of each source, in the order of their names; none where there are not several."""
    parts: dict[str, list[int]] = {}
    for i, source in enumerate(sources if sources is not None else ()):
        parts.setdefault("" if source is None or is_missing(source) else source, []).append(i)
    return {name: parts[name] for name in sorted(parts, key=str)} if len(parts) > 1 else {}
