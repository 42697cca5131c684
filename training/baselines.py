"""What the model is measured against: word counts, with and without the accusation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from stance.metrics import indices
from stance.records import LabelledPair


def word_counts(train: Sequence[LabelledPair], *, reads: Sequence[str] = ("accusation", "response")) -> Pipeline:
    """Fit TF-IDF and logistic regression on the primary verdict.

    Args:
        train: Pairs to fit on.
        reads: Which of the two texts it sees.

    Returns:
        A fitted pipeline; use it through ``predict``.
    """
    columns = ["accusation", "response"]
    vectorizers = [
        (name, TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True), columns.index(name)) for name in reads
    ]
    model = make_pipeline(
        ColumnTransformer(vectorizers), LogisticRegression(C=10, max_iter=2000, class_weight="balanced")
    )
    return model.fit(as_table(train), indices([pair.label for pair in train]))


def as_table(pairs: Sequence[LabelledPair]) -> np.ndarray:
    """The two texts of each pair, shape (n, 2)."""
    return np.array([(pair.accusation, pair.response) for pair in pairs], dtype=object)
