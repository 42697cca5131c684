"""What more labels would bring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stance.api import Model, open_model
from stance.errors import InputError
from stance.metrics import Interval, macro_f1
from stance.records import LabelledPair
from stance.sampling.heads import document_keys, fit_predict, outcome_columns


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningCurve:
    """What more labels would bring: an estimate, with 95 % intervals that hold how it varies between splits.

    Attributes:
        sizes: Numbers of labels that were tried.
        scores: Cross-validated macro-F1 at each.
        n: Labels at hand.
        more: Labels to be added.
        now: Macro-F1 that the fitted curve gives for ``n`` labels.
        then: The same for ``n + more``.
        gain: ``then`` less ``now``.
    """

    sizes: tuple[int, ...]
    scores: tuple[float, ...]
    n: int
    more: int
    now: Interval
    then: Interval
    gain: Interval

    def __str__(self) -> str:
        points = "\n".join(
            f"{size:>8} labels  {score:.3f}" for size, score in zip(self.sizes, self.scores, strict=True)
        )
        return (
            f"macro-F1 of a light head, by number of labels\n{points}\n"
            f"With {self.n} labels: {self.now}. With {self.more} more: {self.then}, a gain of "
            f"{self.gain.value:+.3f} [{self.gain.low:+.3f}, {self.gain.high:+.3f}].\n"
            "This is an estimate: a power law, fitted to a head over the encoder's fixed features and drawn on beyond "
            "the labels at hand. It takes the new pairs to be like the old ones; fine-tuning may gain more."
        )


def learning_curve(
    pairs: Sequence[LabelledPair], *, more: int = 100, model: Model = "default", repeats: int = 12, seed: int = 0
) -> LearningCurve:
    """Estimate what the next labels would bring.

    A head is trained on growing parts of the labels and scored on documents that it never saw; a power law
    ``ceiling - b * n ** -c`` through the scores is drawn on to the labels that are not there yet.

    Args:
        pairs: Labelled pairs, 40 or more; those that share a document stay on one side of each split. A document of over
            two fifths of them is trained on wherever possible, for what is left without it is too little.
        more: How many labels to add.
        model: The checkpoint whose encoder is used.
        repeats: How many splits.
        seed: Seed of the splits.

    Raises:
        InputError: There are too few pairs or documents, one document holds over four fifths of the pairs, or there is one
            outcome only.

    Source: Figueroa et al. 2012 for the law; Nadeau and Bengio 2003 for how much repeated splits know.
    """
    if more < 1:
        raise InputError(f"more is how many labels to add, at least 1, not {more}")
    documents = document_keys(pairs)
    if len(pairs) < 40 or len(set(documents)) < 10:
        raise InputError(
            f"a learning curve needs 40 pairs from 10 documents; there are {len(pairs)} from {len(set(documents))}"
        )
    _, gold = outcome_columns(pairs)
    most = max(Counter(documents).values())
    if len(pairs) - most < len(pairs) // 5:  # nowhere to cut where that document comes last
        raise InputError(
            f"one document holds {most} of the {len(pairs)} pairs, and no document may be trained and tested on at once; "
            f"add pairs of other documents, or leave all but {4 * (len(pairs) - most)} pairs of that one out"
        )
    features = open_model(model).features(list(pairs))
    splits = list(_splits(documents, repeats, seed))
    largest = min(len(train) for train, _ in splits)
    sizes = np.unique(np.geomspace(max(15, largest // 8), largest, 6).round().astype(int))
    scores = np.array([[_score(features, gold, train[:size], test, seed) for size in sizes] for train, test in splits])
    ends = np.array([len(pairs), len(pairs) + more])
    known = max(2, round(1 / (1 / repeats + 0.25)))  # splits overlap, so they are worth fewer: Nadeau and Bengio
    rng = np.random.default_rng(seed)
    draws = [_law(sizes, scores[rng.integers(0, repeats, known)].mean(0), ends) for _ in range(200)]
    values = np.array([_law(sizes, scores.mean(0), ends), *draws])
    return LearningCurve(
        sizes=tuple(sizes.tolist()),
        scores=tuple(scores.mean(0).tolist()),
        n=len(pairs),
        more=more,
        now=_interval(values[:, 0]),
        then=_interval(values[:, 1]),
        gain=_interval(values[:, 1] - values[:, 0]),
    )


def _splits(groups: Sequence[str], repeats: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Training rows in random order of documents, and the fifth of the rows that is tested on."""
    keys = np.unique(groups, return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    for _ in range(repeats):
        place = rng.permutation(keys.max() + 1)
        place[np.bincount(keys) > len(keys) * 2 / 5] += len(
            keys
        )  # last, so that two fifths or more are left to train on
        order = np.argsort(place[keys], kind="stable")
        cut = next(i for i in range(len(order) // 5, len(order)) if i and keys[order[i]] != keys[order[i - 1]])
        yield order[cut:], order[:cut]


def _score(features: np.ndarray, gold: np.ndarray, train: np.ndarray, test: np.ndarray, seed: int) -> float:
    size = int(gold.max()) + 1
    predicted = fit_predict(features[train], gold[train], features[test], size, seed).argmax(1)
    return macro_f1(gold[test], predicted, size)


def _law(sizes: np.ndarray, scores: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Fit ``ceiling - b * n ** -c`` and read it at other sizes; the ceiling is at most 1, and it never falls."""
    from scipy.optimize import least_squares

    def curve(theta: np.ndarray, n: np.ndarray) -> np.ndarray:
        return np.asarray(theta[0] - theta[1] * (n / sizes[0]) ** -theta[2])

    start = [min(0.99, scores[-1] + 0.02), max(0.02, scores[-1] - scores[0]), 0.5]
    bounds = ([0, 0, 0.1], [1, 1, 2])
    weights = np.sqrt(sizes / sizes[-1])  # the far end is what is drawn on from
    fit = least_squares(lambda theta: weights * (curve(theta, sizes) - scores), start, bounds=bounds)
    return curve(fit.x, at)


def _interval(values: np.ndarray) -> Interval:
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return Interval(float(values[0]), float(min(low, values[0])), float(max(high, values[0])))
