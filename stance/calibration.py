"""Logits -> calibrated probabilities, sets of stances, and abstention.

Everything is fitted on validation pairs and stored with the checkpoint as plain numbers. No fit changes which outcome
is the largest, so the primary label of a checkpoint is that of its logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np

from stance.errors import CheckpointError, InputError
from stance.metrics import micro_f1

_GRID = 101
"""Abstention tables hold one confidence for each whole per cent of coverage."""


def softmax(logits: np.ndarray) -> np.ndarray:
    """Row-wise softmax in float64; half precision would make ties."""
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    e = np.exp(z)
    return e / e.sum(axis=1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Element-wise logistic function in float64, safe for large values."""
    return 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The numbers that turn logits into probabilities.

    The network gives one logit per outcome (the stances, then none), trained so that a second stance raises its logit
    too. Which stances are present is read from the same logits, by one logistic regression per stance.

    Attributes:
        temperature: Divides the logits; above 0; above 1 softens.
        weight: Per stance, a weight for each outcome's logit.
        bias: Per stance, added to the weighted logits.
        threshold: Per stance, the calibrated presence from which it counts as carried, 0..1.
        surest: Per outcome, the confidences on validation that 0, 1, ... 100 % of the predictions of that outcome
            exceed; empty if it was never fitted.
    """

    temperature: float
    weight: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]
    threshold: tuple[float, ...]
    surest: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        n = len(self.bias)
        rows = [len(row) for row in self.weight]
        if (
            not self.temperature > 0
            or rows != [n + 1] * n
            or len(self.threshold) != n
            or len(self.surest) not in (0, n + 1)
        ):
            raise InputError(
                f"the numbers of this calibration do not fit {n} stances, or its temperature is not above 0"
            )

    @classmethod
    def identity(cls, n_labels: int) -> Calibration:
        """The calibration that takes each logit as it is, and 0.5 for a threshold."""
        return cls(
            temperature=1.0,
            weight=tuple(tuple(float(i == k) for i in range(n_labels + 1)) for k in range(n_labels)),
            bias=(0.0,) * n_labels,
            threshold=(0.5,) * n_labels,
        )

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Logits, shape (n, n_labels + 1), to probabilities of the primary outcome whose rows sum to 1."""
        return softmax(logits / self.temperature)

    def presence(self, logits: np.ndarray) -> np.ndarray:
        """Logits, shape (n, n_labels + 1), to the presence of each stance, each on its own in 0..1."""
        return sigmoid(logits.astype(np.float64) @ np.array(self.weight).T + np.array(self.bias))

    def least_confidence(self, coverage: float) -> np.ndarray:
        """The confidence that a prediction of each outcome must reach, shape (n_labels + 1,).

        Args:
            coverage: The share of predictions *of each outcome* to keep, above 0 and at most 1.

        Raises:
            InputError: ``coverage`` is no number, or out of range.
            CheckpointError: The checkpoint holds no abstention table.
        """
        if not isinstance(coverage, Real) or not 0 < coverage <= 1:
            raise InputError(f"coverage is a share above 0 and at most 1, not {coverage!r}")
        if coverage == 1:
            return np.zeros(len(self.bias) + 1)
        if not self.surest:
            raise CheckpointError("this checkpoint has no abstention table; fit one with fine_tune or leave coverage=1")
        grid = np.linspace(0, 1, _GRID)
        return np.array([np.interp(coverage, grid, row) for row in self.surest])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``stance.json``."""
        return {
            "temperature": self.temperature,
            "weight": [list(row) for row in self.weight],
            "bias": list(self.bias),
            "threshold": list(self.threshold),
            "surest": [[_rounded_down(x) for x in row] for row in self.surest],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Read what ``to_dict`` wrote."""
        return cls(
            temperature=float(values["temperature"]),
            weight=tuple(tuple(row) for row in values["weight"]),
            bias=tuple(values["bias"]),
            threshold=tuple(values["threshold"]),
            surest=tuple(tuple(row) for row in values["surest"]),
        )


def _rounded_down(confidence: float) -> float:
    """To five places: rounded up, a confidence near 1 would become one that no prediction reaches."""
    near = round(confidence, 5)
    return near if near <= confidence else round(near - 1e-5, 5)


def fit_temperature(logits: np.ndarray, gold: np.ndarray) -> float:
    """Find the temperature that minimises log loss on held-out pairs.

    A unit Gaussian prior on its logarithm keeps a few dozen pairs that are all right from making everything sure; on a
    thousand it is not felt.

    Args:
        logits: Shape (n_pairs, n_outcomes), from pairs the model was not trained on.
        gold: Shape (n_pairs,), column numbers.

    Returns:
        A temperature in 0.05..20; above 1 softens the scores. The predicted label never changes.

    Source: Guo et al. 2017, section 4.2.
    """
    rows = np.arange(len(gold))

    def loss(log_temperature: float) -> float:
        fit = -np.log(softmax(logits / np.exp(log_temperature))[rows, gold] + 1e-12).mean()
        return float(fit + log_temperature**2 / (2 * len(gold)))

    return float(np.exp(_minimise(loss, np.log(0.05), np.log(20))))


def fit_presence(logits: np.ndarray, gold: np.ndarray, steps: int = 100) -> tuple[tuple[float, ...], float]:
    """Find the weights and the bias with which logits tell whether one stance is present.

    Logistic regression by Newton's method with a unit Gaussian prior on the weights and Platt's smoothed targets.

    Args:
        logits: Shape (n_pairs, n_outcomes), from pairs the model was not trained on.
        gold: Shape (n_pairs,), whether the stance is carried.
        steps: Newton steps at most.

    Source: Platt 1999.
    """
    positives = int(gold.sum())
    target = np.where(gold, (positives + 1) / (positives + 2), 1 / (len(gold) - positives + 2))
    x = np.hstack([logits.astype(np.float64), np.ones((len(logits), 1))])
    prior = np.diag([1.0] * logits.shape[1] + [1e-3])
    theta = np.zeros(x.shape[1])
    for _ in range(steps):
        p = sigmoid(x @ theta)
        hessian = x.T @ (x * (p * (1 - p))[:, None]) + prior
        step = np.linalg.solve(hessian, x.T @ (p - target) + prior @ theta)
        theta = theta - step
        if np.abs(step).max() < 1e-9:
            break
    return tuple(theta[:-1].tolist()), float(theta[-1])


def fit(logits: np.ndarray, gold: np.ndarray, gold_sets: np.ndarray) -> Calibration:
    """Fit every number of a ``Calibration`` on held-out pairs.

    Args:
        logits: Shape (n, n_labels + 1).
        gold: Column numbers of the primary verdicts, shape (n,).
        gold_sets: Which stances are carried, boolean, shape (n, n_labels).
    """
    n_labels = gold_sets.shape[1]
    fits = [fit_presence(logits, gold_sets[:, k]) for k in range(n_labels)]
    draft = Calibration(
        temperature=fit_temperature(logits, gold),
        weight=tuple(weight for weight, _ in fits),
        bias=tuple(bias for _, bias in fits),
        threshold=(0.5,) * n_labels,
    )
    probabilities = draft.probabilities(logits)
    return replace(
        draft,
        threshold=_fit_thresholds(probabilities.argmax(1), draft.presence(logits), gold_sets),
        surest=_fit_surest(probabilities),
    )


def sets(chosen: np.ndarray, presence: np.ndarray, threshold: Sequence[float]) -> np.ndarray:
    """Which stances count as carried, boolean, shape (n, n_labels).

    The primary stance always does; where the primary outcome is none, nothing does.
    """
    carried = presence >= np.array(threshold)
    n_labels = presence.shape[1]
    carried[chosen == n_labels] = False
    stanced = np.flatnonzero(chosen < n_labels)
    carried[stanced, chosen[stanced]] = True
    return np.asarray(carried)


def _fit_thresholds(chosen: np.ndarray, presence: np.ndarray, gold_sets: np.ndarray) -> tuple[float, ...]:
    """Coordinate ascent on micro-F1 of the sets, over a coarse grid that a few hundred pairs can support."""
    thresholds = [0.5] * presence.shape[1]
    for _ in range(2):
        for k in range(len(thresholds)):
            scores = {
                value: micro_f1(gold_sets, sets(chosen, presence, [*thresholds[:k], value, *thresholds[k + 1 :]]))
                for value in np.round(np.arange(0.25, 0.76, 0.05), 2)
            }
            best = max(scores.values())
            thresholds[k] = float(min((v for v, s in scores.items() if s >= best - 1e-9), key=lambda v: abs(v - 0.5)))
    return tuple(thresholds)


def _fit_surest(probabilities: np.ndarray) -> tuple[tuple[float, ...], ...]:
    confidence, chosen = probabilities.max(1), probabilities.argmax(1)
    share = 1 - np.linspace(0, 1, _GRID)
    return tuple(
        tuple(np.quantile(confidence[chosen == k] if (chosen == k).any() else confidence, share).tolist())
        for k in range(probabilities.shape[1])
    )


def _minimise(loss: Any, low: float, high: float, steps: int = 80) -> float:
    """Golden-section search for the minimum of a function with one valley."""
    ratio = (np.sqrt(5) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = loss(a), loss(b)
    for _ in range(steps):
        if at_a < at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = loss(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = loss(b)
    return float((low + high) / 2)
