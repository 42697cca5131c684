"""How a response stands to an accusation: denial, demand for evidence, counter-accusation, acknowledgment, or none.

Importing this package loads nothing heavy: each public name is fetched from its module on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stance import distributed, exchange
    from stance.api import classify, classify_pairs, evaluate, iter_pairs, load
    from stance.attribution import Explanation, explain
    from stance.classifier import StanceClassifier
    from stance.documents import read_document
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
    from stance.estimator import StanceEstimator
    from stance.exchange import read_labelled
    from stance.exporting import export
    from stance.files import classify_file
    from stance.finetuning import FineTuned, fine_tune
    from stance.frames import classify_batch, classify_frame
    from stance.labels import LABELS, Label
    from stance.ledgers import analyze, extract_pairs
    from stance.metrics import Evaluation
    from stance.prevalence import shares
    from stance.records import Accusation, Document, LabelledPair, Ledger, LedgerItem, Pair, Prediction, Span
    from stance.sampling import agreement, label_issues, learning_curve, suggest
    from stance.timelines import timeline

__version__ = "0.1.0"

_HOME = {
    "classify": "api",
    "classify_pairs": "api",
    "iter_pairs": "api",
    "evaluate": "api",
    "load": "api",
    "classify_frame": "frames",
    "classify_batch": "frames",
    "classify_file": "files",
    "extract_pairs": "ledgers",
    "analyze": "ledgers",
    "timeline": "timelines",
    "read_document": "documents",
    "explain": "attribution",
    "Explanation": "attribution",
    "fine_tune": "finetuning",
    "FineTuned": "finetuning",
    "read_labelled": "exchange",
    "suggest": "sampling",
    "label_issues": "sampling",
    "agreement": "sampling",
    "learning_curve": "sampling",
    "shares": "prevalence",
    "StanceEstimator": "estimator",
    "export": "exporting",
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

_MODULES = ("distributed", "exchange")
"""Modules that are used by their name, as in ``stance.distributed.classify_dataset``."""


__all__ = [
    "LABELS",
    "Accusation",
    "CheckpointError",
    "ColumnError",
    "Document",
    "DocumentError",
    "Evaluation",
    "Explanation",
    "FineTuned",
    "InputError",
    "Label",
    "LabelError",
    "LabelledPair",
    "Ledger",
    "LedgerItem",
    "MissingExtraError",
    "Pair",
    "PairError",
    "Prediction",
    "Span",
    "StanceClassifier",
    "StanceError",
    "StanceEstimator",
    "agreement",
    "analyze",
    "classify",
    "classify_batch",
    "classify_file",
    "classify_frame",
    "classify_pairs",
    "distributed",
    "evaluate",
    "exchange",
    "explain",
    "export",
    "extract_pairs",
    "fine_tune",
    "iter_pairs",
    "label_issues",
    "learning_curve",
    "load",
    "read_document",
    "read_labelled",
    "shares",
    "suggest",
    "timeline",
]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
