"""The classifier as a scikit-learn estimator: to cross-validate, to search over, to calibrate, to put in a pipeline."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from stance.api import Model, open_model
from stance.encoding import as_pair
from stance.errors import ColumnError, InputError, MissingExtraError
from stance.labels import NONE, as_label
from stance.records import LabelledPair, Pair
from stance.sampling import light_head

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, column_or_1d
except ImportError:
    raise MissingExtraError("scikit-learn", "train", "StanceEstimator") from None

METHODS = ("head", "fine_tune")

_NUMBERS = "the check fits on numbers; this estimator reads texts and refuses numbers by name"
EXPECTED_FAILED_CHECKS: dict[str, str] = {
    **dict.fromkeys(
        (
            "check_fit_score_takes_y",
            "check_estimators_overwrite_params",
            "check_dont_overwrite_parameters",
            "check_estimators_fit_returns_self",
            "check_readonly_memmap_input",
            "check_n_features_in_after_fitting",
            "check_positive_only_tag_during_fit",
            "check_estimators_dtypes",
            "check_dtype_object",
            "check_pipeline_consistency",
            "check_estimators_pickle",
            "check_f_contiguous_array_estimator",
            "check_classifier_data_not_an_array",
            "check_classifiers_classes",
            "check_classifiers_train",
            "check_supervised_y_2d",
            "check_methods_sample_order_invariance",
            "check_methods_subset_invariance",
            "check_dict_unchanged",
            "check_fit_idempotent",
            "check_fit_check_is_fitted",
            "check_n_features_in",
            "check_fit2d_predict1d",
        ),
        _NUMBERS,
    ),
    "check_estimators_nan_inf": "NaN and infinity are refused, as any number is, in words that the check does not know",
    "check_classifiers_one_label": "the numbers are refused before the one class is; one class of texts is refused too",
    "check_fit2d_1sample": "the numbers are refused before the one sample is",
}
"""The checks of scikit-learn's ``check_estimator`` that cannot pass on texts, each with its reason. All of them pass
where the same numbers are spelled out as texts; the tests hold both."""


class StanceEstimator(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Learns verdicts on pairs, as scikit-learn expects of a classifier.

    ``X`` holds pairs: a list of ``(accusation, response)`` or of ``Pair`` objects, an array of shape (n, 2), or a
    DataFrame with the columns ``accusation`` and ``response``. ``y`` holds labels of any names, ``"none"`` for a
    response that carries no stance.

    Args:
        method: ``"head"`` trains a logistic regression on the features of a fixed encoder, in seconds; ``"fine_tune"``
            trains the encoder too, in minutes, and is better where there are some hundred pairs or more; it sets aside a
            quarter of the documents for its own report, as ``stance.fine_tune`` does (``options={"test_share": 0.1}``).
        model: The checkpoint to start from: a name, a folder, or an open classifier.
        strength: For ``"head"``: scikit-learn's ``C``; smaller is simpler. Rows have length 1.
        balanced: For ``"head"``: whether rare labels count as much as common ones.
        output: For ``"fine_tune"``: the folder of the checkpoint; a temporary one, kept as long as the estimator, if
            ``None``.
        options: For ``"fine_tune"``: further arguments of ``stance.fine_tune``.
        memory: For ``"head"``: a folder, or a ``joblib.Memory``, that keeps features between fits. A search over
            settings then encodes each fold once.
        random_state: Seed, as an int. For ``"fine_tune"`` it takes the place of the seed in the recipe, also of a recipe
            in ``options``, whose own seed stands where this is ``None``.

    Attributes:
        classes_: The labels, sorted; columns of ``predict_proba``.
        head_: The fitted pipeline, for ``"head"``.
        checkpoint_: Where the trained checkpoint lies, for ``"fine_tune"``.

    Examples:
        >>> cross_val_score(StanceEstimator(), pairs, labels, groups=documents, cv=GroupKFold(5), scoring="f1_macro")
    """

    def __init__(
        self,
        method: str = "head",
        *,
        model: Model = "default",
        strength: float = 10.0,
        balanced: bool = True,
        output: str | os.PathLike[str] | None = None,
        options: dict[str, Any] | None = None,
        memory: Any = None,
        random_state: int | None = 0,
    ) -> None:
        self.method = method
        self.model = model
        self.strength = strength
        self.balanced = balanced
        self.output = output
        self.options = options
        self.memory = memory
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Sequence[Hashable] | None = None) -> StanceEstimator:
        """Learn from labelled pairs.

        Args:
            X: The pairs.
            y: A label for each.
            groups: For ``"fine_tune"``: the document of each pair, so that its validation split keeps documents whole.

        Raises:
            InputError: An argument is out of range, a label is missing, or ``X`` and ``y`` do not align.
            PairError: A pair cannot be judged; says which.
        """
        for earlier in ("head_", "checkpoint_"):  # else a fit by one method would leave that of the other to judge
            self.__dict__.pop(earlier, None)
        if self.method not in METHODS:
            raise InputError(f"no method {self.method!r}; choose from {', '.join(METHODS)}")
        labels = _labels(y)
        pairs = as_pairs(X)
        if len(labels) != len(pairs):
            raise InputError(f"X holds {len(pairs)} pairs and y {len(labels)} labels: give one label for each pair")
        self.classes_ = np.unique(labels)
        self.n_features_in_ = 2
        if len(self.classes_) < 2:
            raise InputError(f"fit needs pairs of at least two classes; y holds 1 class: {self.classes_.tolist()[0]!r}")
        if self.method == "head":
            head = light_head(self.strength, balanced=self.balanced, seed=self.random_state or 0)
            self.head_ = head.fit(self._features(pairs), labels)
        else:
            self._fine_tune(pairs, labels, groups)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest label of each pair, shape (n,)."""
        check_is_fitted(self)
        return np.asarray(self.classes_[self.predict_proba(X).argmax(1)])

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities, shape (n, n_classes), in the order of ``classes_``; rows sum to 1."""
        check_is_fitted(self)
        pairs = as_pairs(X)
        if hasattr(self, "head_"):
            return np.asarray(self.head_.predict_proba(self._features(pairs)))
        predictions = open_model(self.checkpoint_).classify_pairs(pairs)
        found = np.array([[p.probabilities.get(str(name), 0.0) for name in self.classes_] for p in predictions])
        return np.asarray(found / found.sum(1, keepdims=True))

    def _features(self, pairs: Sequence[Pair]) -> np.ndarray:
        from joblib import Memory

        memory = self.memory if hasattr(self.memory, "cache") else Memory(self.memory, verbose=0)
        encode = memory.cache(_encode, ignore=["model"])
        judge = open_model(self.model)
        texts = [(pair.accusation, pair.response) for pair in pairs]
        return cast(np.ndarray, encode(judge, judge.settings.digest, texts))

    def _fine_tune(self, pairs: Sequence[Pair], labels: np.ndarray, groups: Sequence[Hashable] | None) -> None:
        from tempfile import TemporaryDirectory

        from stance import finetuning

        if groups is not None and len(groups) != len(pairs):
            raise InputError(f"{len(pairs)} pairs and {len(groups)} groups: they must align")
        documents = [""] * len(pairs) if groups is None else [str(group) for group in groups]
        self._folder = TemporaryDirectory(prefix="stance-") if self.output is None else None
        output = Path(self._folder.name) / "model" if self._folder is not None else Path(cast(Any, self.output))
        rows = [_labelled(*row) for row in zip(pairs, labels, documents, strict=True)]
        base = os.fspath(self.model) if not hasattr(self.model, "path") else os.fspath(self.model.path)
        options = dict(self.options or {})
        if self.random_state is not None:
            recipe = options.get("recipe") or finetuning.default_recipe(base)
            options["recipe"] = replace(recipe, seed=int(self.random_state))
        finetuning.fine_tune(rows, output=output, base=base, **options)
        self.checkpoint_ = str(output)

    def __sklearn_clone__(self) -> StanceEstimator:
        return type(self)(**self.get_params(deep=False))  # an open model is shared, not copied

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "head_") or hasattr(self, "checkpoint_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = True
        tags.input_tags.allow_nan = False
        return tags


def as_pairs(X: Any) -> list[Pair]:
    """Turn what scikit-learn hands over into checked pairs.

    Raises:
        ColumnError: A DataFrame lacks the columns ``accusation`` and ``response``.
        InputError: ``X`` is no table of two columns.
        PairError: A pair cannot be judged; says which.
    """
    if hasattr(X, "columns"):
        missing = [name for name in ("accusation", "response") if name not in X.columns]
        if missing:
            raise ColumnError(f"no column {', '.join(missing)}; the frame has {list(X.columns)}. Rename yours")
        X = list(zip(X["accusation"], X["response"], strict=True))
    elif hasattr(X, "shape") or hasattr(X, "__array__"):
        X = _two_columns(X)
    elif isinstance(X, str):
        raise InputError("X is one string; pass a list of (accusation, response)")
    pairs = [as_pair(item, index) for index, item in enumerate(X)]
    if not pairs:
        raise InputError("X holds no pairs; found array with 0 sample(s) where at least 1 is needed")
    return pairs


def _two_columns(X: Any) -> list[tuple[Any, Any]]:
    """The rows of an array, which must hold two texts each."""
    if hasattr(X, "tocsr"):
        raise InputError(
            f"X is sparse ({type(X).__name__}), and sparse numbers are no texts; pass (accusation, response)"
        )
    table = np.asarray(X)
    if table.dtype.kind == "c":
        raise InputError("Complex data not supported: X holds texts, an accusation and a response for each row")
    if table.ndim != 2 or table.shape[1] != 2:
        columns = table.shape[1] if table.ndim == 2 else 1
        raise InputError(
            f"X must have two columns, accusation and response; found array with {columns} feature(s) "
            f"(shape={table.shape}) while a minimum of 2 is required. Reshape your data"
        )
    return [(row[0], row[1]) for row in table.astype(object)]


def _labels(y: Any) -> np.ndarray:
    """Check the labels, and give them as an array of shape (n,)."""
    if y is None:
        raise InputError("fit requires y to be passed, but the target y is None: give a label for each pair")
    for index, label in enumerate(np.asarray(y, dtype=object).ravel()):  # as given: an array of texts spells NaN "nan"
        if _is_missing(label):
            raise InputError(
                f"y holds {label!r} at position {index}; leave the pair out, or write {NONE!r} for a response that "
                "carries no stance"
            )
    labels = np.asarray(y)
    if labels.dtype == object:
        labels = labels.astype(str)
    check_classification_targets(labels)
    return cast(np.ndarray, column_or_1d(labels, warn=True))


def _is_missing(label: Any) -> bool:
    nan = isinstance(label, (float, np.floating)) and np.isnan(label)
    return label is None or bool(nan) or type(label).__name__ in ("NAType", "NaTType")  # pandas.NA, pandas.NaT


def _encode(model: Any, digest: str, texts: Sequence[tuple[str, str]]) -> np.ndarray:
    """Features of texts by an open model; ``digest`` stands for the model where results are kept."""
    return cast(np.ndarray, model.features([Pair(accusation=a, response=r) for a, r in texts]))


def _labelled(pair: Pair, label: Any, document: str) -> LabelledPair:
    name = None if str(label) == NONE else as_label(str(label))
    return LabelledPair(
        accusation=pair.accusation,
        response=pair.response,
        document_id=document or pair.document_id,
        label=name,
        labels=() if name is None else (name,),
    )
