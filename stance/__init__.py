"""How a response stands to an accusation: denial, demand for evidence, counter-accusation, acknowledgment, or none.

Importing this package loads nothing heavy: each public name is fetched from its module on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stance.api import classify, classify_pairs, evaluate, iter_pairs, load
    from stance.classifier import StanceClassifier
    from stance.errors import (
        CheckpointError,
        ColumnError,
        DocumentError,
        InputError,
        LabelError,
        MissingExtraError,
        PairError,
        StanceError,
    )
    from stance.labels import LABELS, Label
    from stance.metrics import Evaluation
    from stance.records import Accusation, Document, LabelledPair, Ledger, LedgerItem, Pair, Prediction, Span

__version__ = "0.1.0"

_HOME = {
    "classify": "api",
    "classify_pairs": "api",
    "iter_pairs": "api",
    "evaluate": "api",
    "load": "api",
    "StanceClassifier": "classifier",
    "Label": "labels",
    "LABELS": "labels",
    "Evaluation": "metrics",
    "Accusation": "records",
    "Document": "records",
    "LabelledPair": "records",
    "Ledger": "records",
    "LedgerItem": "records",
    "Pair": "records",
    "Prediction": "records",
    "Span": "records",
    "StanceError": "errors",
    "InputError": "errors",
    "PairError": "errors",
    "ColumnError": "errors",
    "DocumentError": "errors",
    "LabelError": "errors",
    "CheckpointError": "errors",
    "MissingExtraError": "errors",
}
"""Public name -> the module that owns it."""

__all__ = list(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
