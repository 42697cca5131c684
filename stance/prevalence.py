"""How common each stance is, corrected for the classifier's errors.

Counting predictions gives biased shares: a classifier that takes one denial in ten for a counter-accusation moves a
tenth of the denials. What it confuses is known from validation pairs, so the true shares can be solved for.

Both methods assume that the classifier errs on the new pairs as it did on the validation pairs *of the same stance*;
only the mix of stances may differ. Where texts of another kind are counted, label some and pass their confusion.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stance.errors import CheckpointError, InputError, MissingExtraError
from stance.labels import LABELS
from stance.metrics import Interval, cluster_numbers, indices, is_missing, outcomes
from stance.records import Prediction

ALL = "all"
"""The name of the one group where no groups are given."""

METHODS = ("confusion", "probabilities")
_STEPS = 2000
_TOLERANCE = 1e-7
_SMALLEST = 1e-300
_CELLS = 10_000_000
"""Numbers that a block of draws may hold at once (80 MB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How common one outcome is in one group.

    Attributes:
        group: The actor, outlet or month; ``"all"`` where there are none.
        outcome: A stance, or ``none``.
        n: Pairs in the group.
        counted: The share of predictions, uncorrected, 0..1.
        share: The corrected share, 0..1, with an interval that holds both the sampling of the pairs and what is not
            known of the classifier's errors.
    """

    group: Any
    outcome: str
    n: int
    counted: float
    share: Interval


@dataclass(frozen=True, slots=True)
class Shares:
    """Corrected shares by group and outcome; print it, iterate over it, or turn it into a frame.

    Attributes:
        rows: One for each group and outcome, outcomes in column order; those of a group sum to 1.
        method: Which method made them.
        level: Coverage of the intervals, 0..1.
    """

    rows: tuple[Share, ...]
    method: str
    level: float

    def __iter__(self) -> Iterator[Share]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, outcome: str, group: Any = ALL) -> Share:
        """The share of one outcome in one group.

        Raises:
            InputError: There is no such group or outcome.
        """
        for row in self.rows:
            if row.outcome == outcome and row.group == group:
                return row
        groups = list(dict.fromkeys(row.group for row in self.rows))
        raise InputError(f"no share of {outcome!r} in {group!r}; the groups are {groups}")

    def to_frame(self) -> Any:
        """A DataFrame with the columns group, outcome, n, counted, share, low, high."""
        try:
            import pandas
        except ImportError:
            raise MissingExtraError("pandas", "frames", "Shares.to_frame") from None
        return pandas.DataFrame(
            [(r.group, r.outcome, r.n, r.counted, r.share.value, r.share.low, r.share.high) for r in self.rows],
            columns=["group", "outcome", "n", "counted", "share", "low", "high"],
        )

    def __str__(self) -> str:
        width = max(len(str(row.group)) for row in self.rows)
        lines = [
            f"{'':<{width}}  {'outcome':<22}{'pairs':>7}{'counted':>9}{'corrected':>11}   {self.level:.0%} interval"
        ]
        lines += [
            f"{row.group!s:<{width}}  {row.outcome:<22}{row.n:>7}{row.counted:>9.1%}{row.share.value:>11.1%}"
            f"   {row.share.low:.1%} to {row.share.high:.1%}"
            for row in self.rows
        ]
        return "\n".join(lines)


def shares(
    predictions: Sequence[Prediction | str | None],
    groups: Sequence[Hashable] | None = None,
    *,
    confusion: Sequence[Sequence[int]] | np.ndarray | None = None,
    model: str | os.PathLike[str] = "default",
    method: str = "confusion",
    clusters: Sequence[Hashable] | None = None,
    labels: Sequence[str] = LABELS,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Shares:
    """Estimate how common each primary stance is, corrected for the classifier's errors, by group.

    Args:
        predictions: What ``classify_pairs`` gave, with ``coverage`` 1; or primary labels alone, ``None`` for none.
        groups: One key for each prediction, none of them missing: an actor, an outlet, a month. ``None`` takes all as one
            group.
        confusion: Whole counts on labelled pairs, ``confusion[gold][predicted]``, in the order of the labels and none;
            ``None`` takes the validation counts that the checkpoint carries. An outcome that is neither among the gold
            pairs nor among the predictions is taken as never confused.
        model: The checkpoint that made the predictions, where ``confusion`` is ``None``.
        method: ``"confusion"`` solves for the shares that would be counted as these were (adjusted counts, by maximum
            likelihood, so that no share is negative). ``"probabilities"`` re-weighs the calibrated probabilities, which
            is sharper where they are well calibrated; it needs ``Prediction`` objects.
        clusters: One key for each prediction; those that share one (a document) are drawn together, those whose key is
            ``None`` or NaN alone. A group of one cluster has the interval 0 to 1: it does not tell how clusters vary.
        labels: The stances, in column order; those of the predictions where they are ``Prediction`` objects.
        resamples: How many draws, of the predictions and of the confusion counts at once. Both are drawn with a prior
            that is worth one more prediction (or cluster), so that what was not seen is not taken for impossible.
        level: Coverage of the intervals, 0..1.
        seed: Seed of the draws.

    Returns:
        The shares of every group, groups in the order in which they first occur.

    Raises:
        InputError: The lists do not align, a group is missing, an argument is out of range, the confusion does not hold
            counts, the checkpoint has other outcomes than the predictions, or an outcome was predicted of which the
            confusion has no gold pair or, for ``"confusion"``, no prediction.
        CheckpointError: The checkpoint carries no confusion counts.

    Source: Forman 2008 for adjusted counts; Saerens, Latinne and Decaestecker 2002 for the probabilities; Rubin 1981
        for the draws of clusters and probabilities, the Bayesian bootstrap.
    """
    predictions = list(predictions)  # a pandas Series counts from its own index
    if not predictions:
        raise InputError("there are no predictions to count")
    if isinstance(predictions[0], Prediction):
        labels = tuple(predictions[0].presence)
    _check_options(method, resamples, level)
    names = outcomes(labels)
    members = _members([ALL] * len(predictions) if groups is None else _aligned(predictions, groups, "groups"))
    documents = None if clusters is None else cluster_numbers(_aligned(predictions, clusters, "clusters"))
    votes = np.eye(len(names))[_chosen(predictions, labels)]
    counts = _check_confusion(_of_checkpoint(model, names) if confusion is None else confusion, names)
    counts, seen = _fill_unseen(counts, names, votes.any(0), method)
    evidence = votes if method == "confusion" else _evidence(predictions, names) * seen
    rng = np.random.default_rng(seed)
    rows: list[Share] = []
    for group, own in members.items():
        values = _estimates(
            evidence[own], None if documents is None else documents[own], counts, method, resamples, rng
        )
        low, high = np.quantile(values[1:], [(1 - level) / 2, (1 + level) / 2], axis=0)
        low, high = np.minimum(low, values[0]), np.maximum(high, values[0])
        if documents is not None and len(np.unique(documents[own])) < 2:
            low, high = np.zeros(len(names)), np.ones(len(names))
        rows += [
            Share(group=group, outcome=name, n=len(own), counted=float(votes[own, k].mean()),
                  share=Interval(float(values[0, k]), float(low[k]), float(high[k])))
            for k, name in enumerate(names)
        ]  # fmt: skip
    return Shares(tuple(rows), method, level)


def _check_options(method: str, resamples: int, level: float) -> None:
    if method not in METHODS:
        raise InputError(f"no method {method!r}; choose from {', '.join(METHODS)}")
    if not 0 < level < 1:
        raise InputError(f"level is the coverage of the intervals, above 0 and below 1, not {level}")
    if resamples < 1:
        raise InputError(f"resamples is how many draws to make, at least 1, not {resamples}")


def _aligned(predictions: Sequence[Any], keys: Sequence[Hashable], what: str) -> list[Hashable]:
    if len(keys) != len(predictions):
        raise InputError(f"{len(predictions)} predictions and {len(keys)} {what}: they must align")
    return list(keys)


def _members(keys: Sequence[Hashable]) -> dict[Hashable, list[int]]:
    """The rows of each group, groups in the order in which they first occur."""
    found: dict[Hashable, list[int]] = {}
    for i, key in enumerate(keys):
        if is_missing(key):
            raise InputError(f"row {i} has no group ({key!r}); name its group, or leave the row out")
        found.setdefault(key, []).append(i)
    return found


def _of_checkpoint(model: str | os.PathLike[str], names: Sequence[str]) -> Sequence[Sequence[int]]:
    """The validation counts of the checkpoint, whose outcomes must be those of the predictions."""
    from stance.checkpoint import read_settings, resolve

    settings = read_settings(resolve(model))
    if (own := outcomes(settings.labels)) != tuple(names):
        raise InputError(
            f"the predictions are of {', '.join(names)}, and the checkpoint {settings.name!r} gives {', '.join(own)}, in "
            "this order; pass model=..., the checkpoint that made them"
        )
    try:
        found: Sequence[Sequence[int]] = settings.provenance["validation"]["confusion"]
    except (KeyError, TypeError):
        raise CheckpointError(
            f"the checkpoint {settings.name!r} carries no validation counts, so its shares cannot be corrected; pass "
            "confusion=evaluate(predictions, gold).confusion from labelled pairs"
        ) from None
    return found


def _check_confusion(confusion: Sequence[Sequence[int]] | np.ndarray, names: Sequence[str]) -> np.ndarray:
    what = f"confusion must hold counts of shape ({len(names)}, {len(names)}) for {', '.join(names)}"
    try:
        counts = np.array(confusion, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{what}; its rows differ in length or hold no numbers: {str(confusion)[:60]}") from None
    if counts.shape != (len(names), len(names)):
        raise InputError(f"{what}; its shape is {counts.shape}")
    wrong = ~(np.isfinite(counts) & (counts >= 0) & (counts == np.floor(counts)))
    if wrong.any():
        gold, predicted = np.argwhere(wrong)[0]
        raise InputError(
            f"{what}; confusion[{gold}][{predicted}] is {counts[gold, predicted]:g}, which is no count. Pass counts, not "
            "shares: how many pairs there are tells how far the errors are known"
        )
    return counts


def _fill_unseen(
    counts: np.ndarray, names: Sequence[str], predicted: np.ndarray, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """Take an outcome without gold pairs as never confused, where it was never predicted; and say which have some."""
    seen = counts.sum(1) > 0
    if unknown := [name for name, missing in zip(names, predicted & ~seen, strict=True) if missing]:
        raise InputError(f"confusion has no gold pair of {', '.join(unknown)}; label some, for its errors are unknown")
    never = predicted & (counts.sum(0) == 0)
    if method == "confusion" and never.any():
        unknown = [name for name, missing in zip(names, never, strict=True) if missing]
        raise InputError(
            f"confusion has no pair that was predicted as {', '.join(unknown)}, and some predictions are, so it does not "
            "tell what they stand for; count the errors of the classifier that made them, on more labelled pairs"
        )
    return np.where(np.diag(~seen), 1.0, counts), seen


def _chosen(predictions: Sequence[Prediction | str | None], labels: Sequence[str]) -> np.ndarray:
    if any(isinstance(p, Prediction) and p.abstained for p in predictions):
        raise InputError("some predictions abstained; shares need every pair judged, so classify with coverage=1")
    return indices([p.label if isinstance(p, Prediction) else p for p in predictions], labels)


def _evidence(predictions: Sequence[Any], names: Sequence[str]) -> np.ndarray:
    """The calibrated probabilities, shape (n, size)."""
    if not all(isinstance(p, Prediction) for p in predictions):
        raise InputError("method='probabilities' needs Prediction objects; for labels alone use method='confusion'")
    return np.array([[p.probabilities[name] for name in names] for p in predictions])


def _estimates(
    rows: np.ndarray,
    documents: np.ndarray | None,
    counts: np.ndarray,
    method: str,
    resamples: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Shares of one group: from the data as they are, then from each draw; shape (resamples + 1, size)."""
    size = len(counts)
    solve = _from_counts if method == "confusion" else _from_probabilities
    found = [solve(rows, np.ones((1, len(rows))), counts, None)]
    if documents is None and method == "confusion":  # rows of one kind are alike: draw how many
        drawn = rng.dirichlet(rows.sum(0) + 1 / size, size=resamples)  # knows that 0 of 20 is not never
        return np.vstack([*found, _solve(drawn, _error_rates(counts, resamples, rng))])
    member = np.arange(len(rows)) if documents is None else np.unique(documents, return_inverse=True)[1]
    rows = np.vstack([rows, np.eye(size)])
    block = max(1, _CELLS // len(rows))
    for start in range(0, resamples, block):
        weights = _weights(member, size, min(block, resamples - start), rng)
        found.append(solve(rows, weights, counts, rng))
    return np.vstack(found)


def _weights(member: np.ndarray, size: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How much each row counts in each draw, shape (draws, n + size): a weight for each cluster, by Rubin 1981.

    The last rows stand for one more cluster of the mean size, shared among the outcomes. Clusters of one row that are
    sure of their outcome come to what is drawn of counts: a Dirichlet distribution with ``1 / size`` for a prior.
    """
    clusters = int(member.max()) + 1
    drawn = rng.standard_gamma([1.0] * clusters + [1 / size] * size, size=(draws, clusters + size))
    return np.hstack([drawn[:, member], drawn[:, clusters:] * (len(member) / clusters)])


def _error_rates(counts: np.ndarray, draws: int, rng: np.random.Generator | None) -> np.ndarray:
    """P(predicted | gold), shape (draws, size, size): as counted where ``rng`` is ``None``, else from its posterior."""
    if rng is None:
        return np.asarray((counts / counts.sum(1, keepdims=True))[None])
    return np.stack([rng.dirichlet(row + 1 / len(counts), size=draws) for row in counts], axis=1)


def _from_counts(
    votes: np.ndarray, weights: np.ndarray, counts: np.ndarray, rng: np.random.Generator | None
) -> np.ndarray:
    """Shares that explain the counted predictions, shape (draws, size)."""
    observed = weights @ votes
    return _solve(observed / observed.sum(1, keepdims=True), _error_rates(counts, len(weights), rng))


def _solve(observed: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Maximum-likelihood shares of a mixture with known parts: the inverse where it is possible, EM where it is not."""
    size = observed.shape[1]
    found = np.einsum("bj,bjk->bk", observed, np.linalg.pinv(rates))
    open_rows = np.flatnonzero((found < 0).any(1) | ~np.isfinite(found).all(1))
    guess = np.full((len(open_rows), size), 1 / size)
    seen, parts = observed[open_rows], rates[open_rows]
    for _ in range(_STEPS if len(open_rows) else 0):
        expected = np.einsum("bk,bkj->bj", guess, parts)
        ratio = np.divide(seen, expected, out=np.zeros_like(seen), where=expected > 0)
        better = guess * np.einsum("bkj,bj->bk", parts, ratio)
        better /= better.sum(1, keepdims=True)
        moved = np.abs(better - guess).max()
        guess = better
        if moved < _TOLERANCE:
            break
    found[open_rows] = guess
    return np.asarray(found / found.sum(1, keepdims=True))


def _from_probabilities(
    probabilities: np.ndarray, weights: np.ndarray, counts: np.ndarray, rng: np.random.Generator | None
) -> np.ndarray:
    """Shares by EM over calibrated probabilities, shape (draws, size); the prior is the mix of the validation pairs."""
    gold = counts.sum(1)
    priors = (gold / gold.sum())[None] if rng is None else rng.dirichlet(gold, size=len(weights))
    guess = priors
    for _ in range(_STEPS):
        ratio = guess / priors
        scale = weights / np.maximum(ratio @ probabilities.T, _SMALLEST)
        better = ratio * (scale @ probabilities)
        better /= better.sum(1, keepdims=True)
        moved = np.abs(better - guess).max()
        guess = better
        if moved < _TOLERANCE:
            break
    return np.asarray(guess)
