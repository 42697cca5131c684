"""DataFrames in, DataFrames out: pandas, polars, and batches of ``datasets``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from stance.api import Model, open_model
from stance.classifier import StanceClassifier
from stance.columns import (
    check_clash,
    check_pairs,
    column_kinds,
    find_columns,
    prediction_columns,
    score_pairs,
    summary_of_faults,
)
from stance.errors import ColumnError, InputError, PairError
from stance.records import Prediction

OnMissing: TypeAlias = Literal["raise", "skip"]


def classify_frame(
    df: Any,
    *,
    accusation: str | None = None,
    response: str | None = None,
    model: Model = "default",
    backend: str = "auto",
    coverage: float = 1.0,
    on_missing: OnMissing = "raise",
    prefix: str = "",
    progress: bool | None = None,
) -> Any:
    """Judge every row of a pandas or polars DataFrame.

    Args:
        df: The frame; it is left as it is.
        accusation: The column of the charges; if ``None``, the one called "accusation", in whatever case.
        response: The column of the replies; if ``None``, the one called "response".
        model: A checkpoint, as in ``stance.load``, or an open ``StanceClassifier``.
        backend: As in ``stance.load``.
        coverage: Share of the predictions of each outcome to keep; below 1, the least sure ones abstain.
        on_missing: What to do with rows whose texts are missing, blank or no strings: ``"raise"``, naming their
            positions, or ``"skip"`` them, which leaves the new columns empty there.
        prefix: Put before the name of every added column.
        progress: Whether to draw a progress bar; if ``None``, where standard error is a terminal.

    Returns:
        A new frame of the same kind: all columns, dtypes and the index of ``df``, and the columns that
        ``stance.columns`` lists. ``label`` is ``"none"`` where the response carries no stance.

    Raises:
        ColumnError: A column is missing, or one of the added names is taken.
        PairError: Rows cannot be judged and ``on_missing="raise"``; none has been judged then.
        InputError: ``df`` is no DataFrame.
    """
    kind = _library(df)
    if kind == "pandas" and df.columns.nlevels > 1:
        raise ColumnError("the frame has columns of several levels; flatten them first")
    columns = list(df.columns)
    names = find_columns(columns, accusation, response, "the frame")
    classifier = open_model(model, backend)
    check_clash(columns, classifier.labels, prefix, "the frame")
    texts = [_pandas_texts(df[name]) if kind == "pandas" else df[name].to_list() for name in names]
    predictions = _judge(texts[0], texts[1], classifier, coverage, on_missing, progress)
    added = prediction_columns(predictions, classifier, prefix)
    kinds = column_kinds(classifier.labels, prefix)
    return _extend_pandas(df, added, kinds) if kind == "pandas" else _extend_polars(df, added, kinds)


def classify_batch(
    batch: Mapping[str, Sequence[Any]],
    *,
    accusation: str | None = None,
    response: str | None = None,
    model: Model = "default",
    backend: str = "auto",
    coverage: float = 1.0,
    on_missing: OnMissing = "raise",
    prefix: str = "",
) -> dict[str, list[Any]]:
    """Judge a batch of columns, for ``datasets.Dataset.map``.

    Args and errors are those of ``classify_frame``; hand arguments over with ``fn_kwargs=``.

    Returns:
        The added columns.

    Examples:
        >>> dataset.map(stance.classify_batch, batched=True)  # doctest: +SKIP
    """
    names = find_columns(list(batch), accusation, response, "the batch")
    classifier = open_model(model, backend)
    check_clash(batch, classifier.labels, prefix, "the batch")
    predictions = _judge(batch[names[0]], batch[names[1]], classifier, coverage, on_missing, progress=False)
    return prediction_columns(predictions, classifier, prefix)


def _judge(
    accusations: Sequence[Any],
    responses: Sequence[Any],
    classifier: StanceClassifier,
    coverage: float,
    on_missing: OnMissing,
    progress: bool | None,
) -> list[Prediction | None]:
    if on_missing not in ("raise", "skip"):
        raise InputError(f"on_missing is 'raise' or 'skip', not {on_missing!r}")
    pairs, faults = check_pairs(zip(accusations, responses, strict=True))
    if faults and on_missing == "raise":
        raise PairError(f"{summary_of_faults(faults, len(pairs))}. Drop or fill them, or pass on_missing='skip'.")
    from tqdm import tqdm

    disable = None if progress is None else not progress  # None: not if stderr is no terminal
    with tqdm(total=len(pairs) - len(faults), unit=" rows", unit_scale=True, disable=disable, delay=1) as bar:
        return score_pairs(classifier, pairs, coverage, bar.update)


def _library(df: object) -> Literal["pandas", "polars"]:
    """Which library a frame belongs to, without importing either."""
    if (pandas := sys.modules.get("pandas")) and isinstance(df, pandas.DataFrame):
        return "pandas"
    if (polars := sys.modules.get("polars")) and isinstance(df, polars.DataFrame):
        return "polars"
    remedy = "call .collect() on it" if type(df).__name__ == "LazyFrame" else "pass a pandas or polars DataFrame"
    raise InputError(f"{type(df).__module__}.{type(df).__name__} is no DataFrame; {remedy}")


def _pandas_texts(column: Any) -> list[Any]:
    """Values with every kind of missing (NaN, NaT, NA) as ``None``."""
    return [None if gone else value for value, gone in zip(column.tolist(), column.isna().tolist(), strict=True)]


def _extend_pandas(df: Any, added: Mapping[str, list[Any]], kinds: Mapping[str, str]) -> Any:
    import pandas as pd

    dtypes = {"text": "string", "number": "float64", "flag": "boolean"}  # these hold missing values
    cells = {name: pd.array(values, dtype=dtypes[kinds[name]]) for name, values in added.items()}
    return df.copy().assign(**cells)


def _extend_polars(df: Any, added: Mapping[str, list[Any]], kinds: Mapping[str, str]) -> Any:
    import polars as pl

    dtypes = {"text": pl.String, "number": pl.Float64, "flag": pl.Boolean}
    return df.with_columns([pl.Series(name, values, dtype=dtypes[kinds[name]]) for name, values in added.items()])
