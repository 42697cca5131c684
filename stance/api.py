"""The verbs. Each is one call on a classifier that is loaded once and kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from stance.checkpoint import SETTINGS_FILE
from stance.classifier import StanceClassifier
from stance.records import LabelledPair, Pair, Prediction

Model: TypeAlias = str | os.PathLike[str] | StanceClassifier
"""A checkpoint: ``"default"``, a folder, a name on the hub, or one that is open already."""


@lru_cache(maxsize=4)
def _load(name: str, backend: str, threads: int | None, written: int) -> StanceClassifier:
    return StanceClassifier.load(name, backend=backend, threads=threads)


def load(
    name: str | os.PathLike[str] = "default", *, backend: str = "auto", threads: int | None = None
) -> StanceClassifier:
    """Open a checkpoint, or give back the one opened before.

    Args:
        name: ``"default"`` for the one that ships, a folder, or a name on the Hugging Face hub.
        backend: ``"onnx"``, ``"torch"`` or ``"auto"`` (onnx where there is a graph).
        threads: Threads to compute with; what the process may use if ``None``.

    Raises:
        CheckpointError: It is missing, damaged, or of another format.
        MissingExtraError: The backend's package is not installed.
    """
    settings = Path(name) / SETTINGS_FILE
    written = settings.stat().st_mtime_ns if settings.is_file() else 0  # a folder written anew is opened anew
    return _load(os.fspath(name), backend, threads, written)


def open_model(model: Model, backend: str = "auto", threads: int | None = None) -> StanceClassifier:
    """Give back a classifier that is open already, or ``load`` the checkpoint of that name."""
    return model if isinstance(model, StanceClassifier) else load(model, backend=backend, threads=threads)


def classify(accusation: str, response: str, *, coverage: float = 1.0) -> Prediction:
    """Judge one pair with the default checkpoint: how does the response stand to the accusation?

    Args:
        accusation: A statement that somebody did something blameworthy.
        response: What the accused, or somebody who speaks for them, says to it.
        coverage: Share of the predictions of each outcome to keep, above 0 and at most 1. Below 1 the least sure ones
            come back with ``abstained=True``.

    Raises:
        PairError: A text is missing, blank or not valid Unicode.

    Examples:
        >>> stance.classify("You sold them rockets.", "Where is your evidence?").label
        <Label.DEMAND_FOR_EVIDENCE: 'demand_for_evidence'>
    """
    return load().classify(accusation, response, coverage=coverage)


def classify_pairs(
    pairs: Iterable[Pair | Sequence[str]], *, coverage: float = 1.0, progress: Callable[[int], Any] | None = None
) -> list[Prediction]:
    """Judge many pairs with the default checkpoint; see ``StanceClassifier.classify_pairs``."""
    return load().classify_pairs(pairs, coverage=coverage, progress=progress)


def iter_pairs(
    pairs: Iterable[Pair | Sequence[str]], *, coverage: float = 1.0, progress: Callable[[int], Any] | None = None
) -> Iterator[Prediction]:
    """Judge a stream of pairs in constant memory; see ``StanceClassifier.iter_pairs``."""
    return load().iter_pairs(pairs, coverage=coverage, progress=progress)


def evaluate(
    predictions: Sequence[Prediction], gold: Sequence[LabelledPair | str | Collection[str] | None], **options: Any
) -> Any:
    """Score predictions against gold verdicts.

    Args:
        predictions: What ``classify_pairs`` gave.
        gold: Aligned with them: ``LabelledPair`` objects, or primary labels (``None`` or ``"none"`` for none of the
            four), or sequences of stances whose first member is the primary, empty for none.
        **options: Passed on to ``metrics.evaluate_verdicts`` (``clusters``, ``sources``, ``resamples``).

    Returns:
        An ``Evaluation``; print it.

    Raises:
        InputError: The lists do not align, a prediction abstained, a gold verdict is missing, or a gold ``set`` has no
            first member.
        LabelError: A gold verdict is not a label of the predictions.
    """
    import numpy as np

    from stance.errors import InputError
    from stance.metrics import evaluate_verdicts

    predictions, gold = list(predictions), list(gold)
    if len(predictions) != len(gold) or not predictions:
        raise InputError(
            f"{len(predictions)} predictions and {len(gold)} gold verdicts: they must align and not be empty"
        )
    if abstained := sum(p.abstained for p in predictions):
        raise InputError(
            f"{abstained} of the predictions abstained, which is no verdict to score; classify with coverage=1, or leave "
            "them and their gold out"
        )
    verdicts = [_gold_verdict(item, i) for i, item in enumerate(gold)]
    if all(isinstance(item, LabelledPair) for item in gold):
        options.setdefault("clusters", [item.document_id or ("", i) for i, item in enumerate(gold)])  # type: ignore[union-attr]
        options.setdefault("sources", [item.source for item in gold])  # type: ignore[union-attr]
    labels = tuple(predictions[0].presence)
    return evaluate_verdicts(
        [p.label for p in predictions],
        [p.stances for p in predictions],
        [label for label, _ in verdicts],
        [held for _, held in verdicts],
        labels=labels,
        probabilities=np.array([[p.probabilities[k] for k in predictions[0].probabilities] for p in predictions]),
        **options,
    )


def _gold_verdict(item: LabelledPair | str | Collection[str] | None, i: int) -> tuple[str | None, tuple[str, ...]]:
    from stance.errors import InputError

    if isinstance(item, LabelledPair):
        return item.label, item.labels
    if item is None or (isinstance(item, str) and item == "none"):
        return None, ()
    if isinstance(item, str) and item:
        return item, (item,)
    if isinstance(item, str) or not isinstance(item, Collection):
        raise InputError(f"gold {i} is {item!r}, which is no verdict; give a label, or None where there is no stance")
    if isinstance(item, (set, frozenset)) and len(item) > 1:
        raise InputError(f"a set has no first member, so its primary stance is not known: {set(item)}; give a list")
    held = tuple(item)
    return (held[0], held) if held else (None, ())
