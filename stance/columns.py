"""Predictions as columns of a table: which columns are read, which are added, and what these hold.

Frames, files and clusters share it, so that a verdict looks the same in all of them:

    label            the primary stance, or "none"; empty where there is no verdict (abstained, or the row was skipped)
    stances          every stance carried, the primary first, joined by "|"; empty where there is none
    confidence       the calibrated probability of the most likely outcome, 0..1
    p_<outcome>      calibrated probabilities; they sum to 1
    presence_<stance>  calibrated, each on its own in 0..1
    truncated        whether text was left unread
    abstained        whether ``coverage`` put the prediction aside
    model            the digest of the checkpoint
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias

from stance.classifier import StanceClassifier
from stance.encoding import as_pair
from stance.errors import ColumnError, PairError
from stance.labels import NONE
from stance.records import Pair, Prediction

Kind: TypeAlias = Literal["text", "number", "flag"]

_DECIMALS = 6
_SHOWN = 5


def find_columns(
    columns: Sequence[str], accusation: str | None, response: str | None, where: str = "the table"
) -> tuple[str, str]:
    """Name the two columns to read.

    Args:
        columns: The columns that there are.
        accusation: The column of the charges; if ``None``, the one called "accusation", in whatever case.
        response: The column of the replies; if ``None``, the one called "response".
        where: What holds the columns, for the message.

    Raises:
        ColumnError: One of them is missing, or stands there twice.
    """
    return _find(columns, accusation, "accusation", where), _find(columns, response, "response", where)


def _find(columns: Sequence[str], given: str | None, role: str, where: str) -> str:
    wanted = given if given is not None else role
    found = [name for name in columns if name == wanted]
    if not found and given is None:
        found = [name for name in columns if isinstance(name, str) and name.strip().casefold() == role]
    if len(found) == 1:
        return found[0]
    problem = f"no column {wanted!r}" if not found else f"{len(found)} columns called {wanted!r}"
    raise ColumnError(f"{problem} in {where}, which has {list(columns)}. Pass {role}=... to name yours.")


def column_kinds(labels: Sequence[str], prefix: str = "") -> dict[str, Kind]:
    """The columns that are added, in order, and what each holds."""
    outcomes: list[str] = [*labels, NONE]
    kinds: dict[str, Kind] = {"label": "text", "stances": "text", "confidence": "number"}
    kinds |= {f"p_{name}": "number" for name in outcomes}
    kinds |= {f"presence_{name}": "number" for name in labels}
    kinds |= {"truncated": "flag", "abstained": "flag", "model": "text"}
    return {prefix + name: kind for name, kind in kinds.items()}


def arrow_types() -> dict[Kind, Any]:
    """The pyarrow type of each kind of column."""
    import pyarrow as pa

    return {"text": pa.string(), "number": pa.float64(), "flag": pa.bool_()}


def check_clash(columns: Iterable[str], labels: Sequence[str], prefix: str = "", where: str = "the table") -> None:
    """Refuse a table that already has a column of a name that would be added.

    Raises:
        ColumnError: It has.
    """
    if clash := [name for name in columns if name in column_kinds(labels, prefix)]:
        raise ColumnError(
            f"{where} already has {clash}, which the predictions would overwrite. "
            "Rename or drop them, or pass prefix='stance_' to name the new columns otherwise."
        )


def prediction_columns(
    predictions: Sequence[Prediction | None], classifier: StanceClassifier, prefix: str = ""
) -> dict[str, list[Any]]:
    """Lay predictions out as columns; ``None``, a row that was skipped, is empty in every one of them."""
    names = list(column_kinds(classifier.labels, prefix))
    digest = classifier.settings.digest
    rows = [[None] * len(names) if p is None else _cells(p, digest) for p in predictions]
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _cells(prediction: Prediction, digest: str) -> list[Any]:
    label = None if prediction.abstained else str(prediction.label or NONE)
    return [
        label,
        "|".join(str(stance) for stance in prediction.stances),
        round(prediction.confidence, _DECIMALS),
        *(round(value, _DECIMALS) for value in prediction.probabilities.values()),
        *(round(value, _DECIMALS) for value in prediction.presence.values()),
        prediction.truncated,
        prediction.abstained,
        digest,
    ]


def check_pairs(texts: Iterable[tuple[object, object]]) -> tuple[list[Pair | None], dict[int, str]]:
    """Turn rows into pairs; those that cannot be judged become ``None``, with the reason by position."""
    pairs: list[Pair | None] = []
    faults: dict[int, str] = {}
    for position, item in enumerate(texts):
        try:
            pairs.append(as_pair(item))
        except PairError as error:
            pairs.append(None)
            faults[position] = error.reason
    return pairs, faults


def score_pairs(
    classifier: StanceClassifier,
    pairs: Sequence[Pair | None],
    coverage: float = 1.0,
    progress: Callable[[int], Any] | None = None,
) -> list[Prediction | None]:
    """Judge the pairs that there are, in place; ``None`` stays ``None``."""
    scored = classifier.iter_pairs((pair for pair in pairs if pair is not None), coverage=coverage, progress=progress)
    judged = [None if pair is None else next(scored) for pair in pairs]
    next(scored, None)  # runs the stream to its end: arguments are checked and progress told even if no pair is there
    return judged


def summary_of_faults(faults: dict[int, str], rows: int) -> str:
    """Say which rows cannot be judged, and why, in a line."""
    shown = "; ".join(f"row {at}: {reason}" for at, reason in list(faults.items())[:_SHOWN])
    more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    positions = list(faults)[:50]
    return f"{len(faults)} of {rows} rows cannot be judged (positions {positions}): {shown}{more}"
