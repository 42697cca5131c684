"""A cheap model over a fixed encoder: logistic regression on its features, trained and judged out of fold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stance.errors import InputError, MissingExtraError
from stance.labels import NONE
from stance.records import LabelledPair


def light_head(strength: float = 10.0, *, balanced: bool = True, seed: int = 0) -> Any:
    """A scikit-learn pipeline that learns a verdict from an encoder's features: unit rows, then logistic regression.

    Args:
        strength: scikit-learn's ``C``; smaller is simpler. Rows have length 1, so it means the same for any encoder.
        balanced: Whether rare outcomes count as much as common ones.
        seed: Seed of the solver.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    require_sklearn("a head over the encoder's features")
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer, StandardScaler

    weights = "balanced" if balanced else None
    solver = LogisticRegression(C=strength, max_iter=2000, class_weight=weights, random_state=seed)
    return make_pipeline(StandardScaler(), Normalizer(), solver)


def require_sklearn(purpose: str) -> None:
    """Raise ``MissingExtraError`` where scikit-learn is not installed."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise MissingExtraError("scikit-learn", "train", purpose) from None


def out_of_fold(
    features: np.ndarray, gold: np.ndarray, groups: Sequence[str], *, folds: int = 5, seed: int = 0
) -> np.ndarray:
    """Probabilities of each outcome from heads that never saw the row's group, shape (n, noutcomes)."""
    require_sklearn("cross-validation")
    from sklearn.model_selection import StratifiedGroupKFold

    if folds < 2:
        raise InputError(f"folds is how many parts to cut the documents into, at least 2, not {folds}")
    if np.bincount(gold).max() < 2:
        raise InputError(
            f"{len(gold)} pairs with an outcome each leave none to learn from; label two or more of an outcome"
        )
    if len(set(groups)) < folds:
        raise InputError(f"{folds} folds need at least {folds} documents; there are {len(set(groups))}. Lower folds=")
    found = np.zeros((len(gold), int(gold.max()) + 1))
    splitter = StratifiedGroupKFold(n_splits=min(folds, int(np.bincount(gold).max())), shuffle=True, random_state=seed)
    for train, test in splitter.split(features, gold, groups):
        found[test] = fit_predict(features[train], gold[train], features[test], found.shape[1], seed)
    return found


def fit_predict(x: np.ndarray, y: np.ndarray, new: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Train a head and judge new rows, shape (n, size); an outcome that was not seen gets 0."""
    found = np.zeros((len(new), size))
    if len(np.unique(y)) == 1:
        found[:, y[0]] = 1
        return found
    head = light_head(seed=seed).fit(x, y)
    found[:, head.classes_] = head.predict_proba(new)
    return found


def outcome_columns(pairs: Sequence[LabelledPair]) -> tuple[list[str], np.ndarray]:
    """The names of the outcomes that occur, sorted, and the column number of each pair's."""
    labels = [NONE if pair.label is None else str(pair.label) for pair in pairs]
    names = sorted(set(labels))
    if len(names) < 2:
        raise InputError(f"at least two outcomes are needed; the {len(pairs)} pairs hold {names}")
    return names, np.array([names.index(label) for label in labels])


def document_keys(pairs: Sequence[LabelledPair]) -> list[str]:
    """One key for each pair; pairs without a document stand alone, but for copies of the same texts."""
    return [pair.document_id or f"\0{pair.accusation}\0{pair.response}" for pair in pairs]
