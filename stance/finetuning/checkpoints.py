"""Train and write a checkpoint: claim a folder, fit, calibrate, check the reload, give it its name."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stance import calibration, metrics
from stance.backends.torch_network import StanceNetwork, TorchNetwork
from stance.checkpoint import Settings, write_settings
from stance.classifier import StanceClassifier
from stance.encoding import Encoder
from stance.errors import CheckpointError, InputError, LabelError
from stance.exporting import write_graph
from stance.finetuning.network import start
from stance.finetuning.recipe import Recipe
from stance.finetuning.rows import Question
from stance.finetuning.training import RUN, fit
from stance.labels import LABELS, NONE
from stance.records import LabelledPair

_SAME_SCORES = 1e-4
_GRAPH_AGREES = 0.97


def train_checkpoint(
    train: Sequence[LabelledPair],
    validation: Sequence[LabelledPair],
    *,
    output: str | os.PathLike[str],
    base: str | os.PathLike[str] = "default",
    recipe: Recipe | None = None,
    labels: Sequence[str] = LABELS,
    beside: Sequence[Question] = (),
    name: str = "",
    version: str = "1",
    provenance: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Path:
    """Train on ``train``, choose and calibrate on ``validation``, write a checkpoint.

    A run that was killed goes on from its last saved step when it is called again with the same arguments, and ends
    with the same weights. The folder appears under its name only when it is whole.

    Args:
        train: Pairs to learn from.
        validation: Pairs to choose the epoch and to calibrate on; none of ``train``'s documents.
        output: The checkpoint's folder; must not exist.
        base: ``"default"``, a checkpoint, or an encoder by path or hub name.
        recipe: How to train.
        labels: The label set, in column order.
        beside: What else the encoder should learn: texts with answers to yes-or-no questions, by name.
        name: What the checkpoint is called; the folder's name if empty.
        version: Its version.
        provenance: What to record of the data; validation scores are added.
        progress: Whether to show a progress bar.

    Raises:
        InputError: A split is empty, or the splits share a document.
        LabelError: A pair carries a label that is not in ``labels``, or these are not distinct or hold ``"none"``.
        CheckpointError: ``output`` exists, or the written checkpoint scores differently when it is opened again.
    """
    recipe, target = recipe or Recipe(), Path(output)
    _check_splits(train, validation, labels)
    if target.exists():
        raise CheckpointError(f"{target} exists; name a new folder or remove it")
    draft = target.with_name(target.name + ".partial")
    _claim(draft, fingerprint(train, validation, base, recipe, labels, beside))
    torch.manual_seed(recipe.seed)
    try:
        model, encoder = start(base, labels, recipe, draft)
    except CheckpointError:
        if not (draft / RUN).exists():  # nothing is lost, and the next try may name another base
            shutil.rmtree(draft)
        raise
    model = fit(model, encoder, train, validation, recipe, labels, draft, progress, beside)
    return write_checkpoint(
        model,
        encoder,
        validation,
        recipe=recipe,
        labels=labels,
        draft=draft,
        target=target,
        base=str(base),
        name=name,
        version=version,
        provenance=provenance or {},
    )


def _check_splits(train: Sequence[LabelledPair], validation: Sequence[LabelledPair], labels: Sequence[str]) -> None:
    known = [str(label) for label in labels]
    if NONE in known or len(set(known)) < len(known) or not all(label.strip() for label in known):
        raise LabelError(f"labels must be distinct and must not hold {NONE!r}, which is always there: {known}")
    if not train or not validation:
        raise InputError(f"training needs pairs in both splits: {len(train)} train, {len(validation)} validation")
    for part in (train, validation):
        metrics.indices([p.label for p in part], labels)
        metrics.membership([p.labels for p in part], labels)
    shared = {p.document_id for p in train if p.document_id} & {p.document_id for p in validation}
    if shared:
        raise InputError(f"{len(shared)} documents are in both splits, {sorted(shared)[0]!r} first; split by document")


def fingerprint(
    train: Sequence[LabelledPair],
    validation: Sequence[LabelledPair],
    base: Any,
    recipe: Recipe,
    labels: Sequence[str],
    beside: Sequence[Question] = (),
) -> str:
    """A hash of all that decides a run, so that only the same run is resumed."""
    rows = [(p.accusation, p.response, p.label, p.labels, p.weight) for part in (train, validation) for p in part]
    asked = [(texts.accusation, texts.response, sorted(answers.items())) for texts, answers in beside]
    decided = [rows, str(base), asdict(recipe), [str(label) for label in labels], asked]
    return hashlib.sha256(json.dumps(decided, ensure_ascii=True).encode()).hexdigest()


def _claim(draft: Path, fingerprint: str) -> None:
    """Take the working folder, or find that it belongs to this very run and may be resumed."""
    mark = draft / "run.txt"
    if draft.exists() and (not mark.is_file() or mark.read_text() != fingerprint):
        raise CheckpointError(f"{draft} holds an unfinished run on other pairs or settings; remove it to start anew")
    draft.mkdir(parents=True, exist_ok=True)
    mark.write_text(fingerprint)


def write_checkpoint(
    model: Any,
    encoder: Encoder,
    validation: Sequence[LabelledPair],
    *,
    recipe: Recipe,
    labels: Sequence[str],
    draft: Path,
    target: Path,
    base: str,
    name: str = "",
    version: str = "1",
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write, calibrate and check a trained network in the draft folder, then give the folder its name.

    Args:
        model: The ``transformers`` classifier.
        encoder: The encoder that goes with it; its ``tokenizer.json`` lies in ``draft`` already.
        validation: Pairs to calibrate on.
        recipe: How it was trained.
        labels: Its label set.
        draft: The working folder.
        target: What the folder is called when it is whole.
        base: What it was trained from.
        name: What the checkpoint is called; ``target``'s name if empty.
        version: Its version.
        provenance: What to record; validation scores are added.

    Raises:
        CheckpointError: It scores differently when it is opened again.
    """
    model.save_pretrained(draft)
    settings = Settings(
        name=name or target.name,
        version=version,
        labels=tuple(labels),
        max_tokens=recipe.max_tokens,
        max_accusation_tokens=recipe.max_accusation_tokens,
        calibration=calibration.Calibration.identity(len(labels)),
        base=base,
    )
    torch_logits = StanceClassifier(settings, encoder, TorchNetwork(StanceNetwork(model)), draft).logits(validation)
    write_graph(model, draft)
    write_settings(draft, settings)
    reopened = StanceClassifier.load(draft, backend="torch").logits(validation[:10])
    if not np.allclose(reopened, torch_logits[:10], atol=_SAME_SCORES):
        raise CheckpointError(f"{draft} scores differently when it is opened again; it is not given its name")
    served = StanceClassifier.load(draft, backend="onnx").logits(validation)
    agreement = float((served.argmax(1) == torch_logits.argmax(1)).mean())
    if agreement < _GRAPH_AGREES and len(validation) >= 50:
        raise CheckpointError(f"the int8 graph agrees with the network on {agreement:.1%} of validation labels only")
    gold = metrics.indices([p.label for p in validation], labels)
    gold_sets = metrics.membership([p.labels for p in validation], labels)
    fitted = calibration.fit(served, gold, gold_sets)
    chosen = fitted.probabilities(served).argmax(1)
    record = {
        **(provenance or {}),
        "recipe": asdict(recipe),
        "graph_agreement": round(agreement, 4),
        "validation": {
            "n": len(validation),
            "macro_f1": round(metrics.macro_f1(gold, chosen, len(labels) + 1), 4),
            "confusion": metrics.confusion(gold, chosen, len(labels) + 1).tolist(),
        },
    }
    write_settings(draft, replace(settings, calibration=fitted, provenance=record))
    shutil.rmtree(draft / RUN, ignore_errors=True)
    (draft / "run.txt").unlink(missing_ok=True)
    os.replace(draft, target)
    return target
