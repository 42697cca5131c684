"""Which pairs to label next, and which to label again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from stance.api import Model, open_model
from stance.encoding import as_pair
from stance.errors import InputError, MissingExtraError
from stance.records import LabelledPair, Pair, Prediction
from stance.sampling.heads import document_keys, out_of_fold, outcome_columns, require_sklearn

_POOL = 10
"""Diversity is sought among this many times as many pairs as are asked for, the least sure ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A pair worth labelling.

    Attributes:
        index: Its position in the pairs that were given.
        pair: The pair.
        uncertainty: How unsure the model is, 0 (sure) to 1 (every outcome alike).
        prediction: What the model says.
    """

    index: int
    pair: Pair
    uncertainty: float
    prediction: Prediction


def suggest(
    pairs: Iterable[Pair | Sequence[str]], n: int, *, model: Model = "default", seed: int = 0
) -> list[Suggestion]:
    """Choose the pairs whose labels would teach the model most: unsure ones, and unlike each other.

    The least sure pairs are clustered by what the encoder sees in them, weighted by how unsure the model is; the pair
    nearest to the centre of each cluster is taken. The same pair is never suggested twice.

    Args:
        pairs: Unlabelled ``Pair`` objects or ``(accusation, response)``.
        n: How many to choose; all come back, least sure first, where there are no more.
        model: A checkpoint's name or folder, or an open classifier.
        seed: Seed of the clustering.

    Returns:
        At most ``n`` suggestions, least sure first.

    Raises:
        InputError: ``n`` is below 1, or a pair cannot be judged.

    Source: Zhdanov 2019, "Diverse mini-batch active learning".
    """
    if n < 1:
        raise InputError(f"n is how many pairs to suggest, at least 1, not {n}")
    judge = open_model(model)
    checked = [as_pair(item, index) for index, item in enumerate(pairs)]
    first = {(pair.accusation, pair.response): index for index, pair in reversed(list(enumerate(checked)))}
    places = sorted(first.values())
    predictions = judge.classify_pairs(checked[i] for i in places)
    unsure = np.array([_entropy(p) for p in predictions])
    pool = np.argsort(-unsure, kind="stable")[: _POOL * n]
    chosen = (
        pool
        if len(pool) <= n
        else pool[_spread(judge.features([checked[places[i]] for i in pool]), unsure[pool], n, seed)]
    )
    return [
        Suggestion(index=places[i], pair=checked[places[i]], uncertainty=float(unsure[i]), prediction=predictions[i])
        for i in sorted(chosen, key=lambda i: -unsure[i])
    ]


def _entropy(prediction: Prediction) -> float:
    p = np.array(list(prediction.probabilities.values()))
    return float(-(p * np.log(np.maximum(p, 1e-12))).sum() / np.log(len(p)))


def _spread(features: np.ndarray, weights: np.ndarray, n: int, seed: int) -> np.ndarray:
    """The rows nearest to the centres of ``n`` weighted clusters, each taken once."""
    require_sklearn("suggest")
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import normalize

    points = normalize(features.astype(np.float64))
    clusters = min(n, len(np.unique(points.round(6), axis=0)))
    fit = KMeans(clusters, n_init=3, random_state=seed).fit(points, sample_weight=np.maximum(weights, 1e-6))
    free = np.ones(len(points), dtype=bool)
    taken: list[int] = []
    for centre in fit.cluster_centers_:  # one at a time: all differences at once can take tens of GB
        distance = ((points - centre) ** 2).sum(1)
        taken.append(int(np.where(free, distance, np.inf).argmin()))
        free[taken[-1]] = False
    rest = np.flatnonzero(free)[: n - clusters]  # where there are fewer distinct rows than are asked for, by order
    return np.array([*taken, *rest])


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelIssue:
    """A label that is likely to be wrong.

    Attributes:
        index: Position of the pair in what was given.
        pair: The pair as labelled.
        given: Its label, ``none`` included.
        suggested: The outcome that a model which never saw this pair's document holds likeliest.
        quality: The probability that model gives to the label as it stands, 0..1; low is suspect.
    """

    index: int
    pair: LabelledPair
    given: str
    suggested: str
    quality: float


def label_issues(
    pairs: Sequence[LabelledPair], *, model: Model = "default", folds: int = 5, seed: int = 0
) -> list[LabelIssue]:
    """Find labels that are likely to be wrong, by confident learning on out-of-fold probabilities.

    Each pair is judged by a head that was trained on other documents alone. A label is reported where that head is
    surer of another outcome than it usually is of that outcome's own pairs. Read each one: it may be right and hard.

    Args:
        pairs: Labelled pairs; those that share a document stay in one fold.
        model: The checkpoint whose encoder is used.
        folds: How many parts to cut the documents into.
        seed: Seed of the cut.

    Returns:
        The suspect labels, most suspect first.

    Raises:
        InputError: There are fewer than two outcomes, or fewer documents than folds.
        MissingExtraError: cleanlab or scikit-learn is not installed.

    Source: Northcutt, Jiang and Chuang 2021, as built in cleanlab.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        raise MissingExtraError("cleanlab", "train", "label_issues") from None
    names, gold = outcome_columns(pairs)
    probabilities = out_of_fold(
        open_model(model).features(list(pairs)), gold, document_keys(pairs), folds=folds, seed=seed
    )
    found = find_label_issues(
        gold, probabilities, return_indices_ranked_by="self_confidence", filter_by="confident_learning", n_jobs=1
    )
    return [
        LabelIssue(
            index=int(i),
            pair=pairs[i],
            given=names[gold[i]],
            suggested=names[int(probabilities[i].argmax())],
            quality=float(probabilities[i, gold[i]]),
        )
        for i in found
    ]
