"""The verb for users: their pairs in, a checkpoint and an honest report of what it gained and lost out."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stance import api
from stance.cards import table, write_card
from stance.checkpoint import is_checkpoint, read_settings, resolve, write_settings
from stance.classifier import StanceClassifier
from stance.errors import InputError
from stance.finetuning.checkpoints import train_checkpoint
from stance.finetuning.recipe import Recipe
from stance.labels import LABELS, NONE
from stance.metrics import Evaluation
from stance.records import LabelledPair, Prediction

KNOWN = Path(__file__).parent.parent / "model" / "known_pairs.jsonl"
"""Pairs written for this project that ship with the library: some to replay, some to see what was forgotten."""

CONTINUED = Recipe(epochs=4, learning_rate=1e-4, layer_decay=0.85, balance=0.3)
"""How a checkpoint is trained further: gentler than from an encoder, so that it keeps what it knew."""

_WORST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuned:
    """A new checkpoint and what is known of it.

    Attributes:
        path: Its folder; open it with ``stance.load``.
        before: Scores of the base on your held-out pairs; ``None`` where the base knows other labels.
        after: Scores of the new checkpoint on the same pairs.
        kept_before: Scores of the base on the pairs that ship with the library.
        kept_after: Scores of the new checkpoint on them; compare the two to see what was forgotten.
        report: All of it in Markdown; also in the checkpoint's ``README.md``.
    """

    path: Path
    before: Evaluation | None
    after: Evaluation
    kept_before: Evaluation | None
    kept_after: Evaluation | None
    report: str

    def __str__(self) -> str:
        return self.report

    def load(self) -> StanceClassifier:
        """Open the new checkpoint."""
        return api.load(self.path)

    def push_to_hub(self, name: str, **options: Any) -> str:
        """Upload the checkpoint to the Hugging Face hub; needs a login there. Returns its address."""
        from huggingface_hub import HfApi

        hub = HfApi()
        hub.create_repo(name, exist_ok=True)
        return str(hub.upload_folder(repo_id=name, folder_path=str(self.path), **options))


def fine_tune(
    pairs: Any,
    *,
    output: str | os.PathLike[str],
    base: str | os.PathLike[str] = "default",
    labels: Sequence[str] | None = None,
    test: Any = None,
    test_share: float = 0.25,
    validation_share: float = 0.2,
    replay: int = 400,
    recipe: Recipe | None = None,
    name: str = "",
    progress: bool = True,
) -> FineTuned:
    """Train on labelled pairs and report the gain on held-out ones.

    Pairs are split by ``document_id``. From ``base="default"`` the training also replays pairs that ship with the
    library, so that little is forgotten; how little is measured and reported. A killed run goes on when the call is
    repeated.

    Args:
        pairs: ``LabelledPair`` objects, or a path (CSV, JSONL, Parquet), DataFrame or ``datasets.Dataset`` with columns
            ``accusation``, ``response``, ``label`` and optionally ``labels``, ``document_id``, ``annotator``.
        output: The new checkpoint's folder; must not exist.
        base: ``"default"``, another checkpoint, or any encoder by path or hub name.
        labels: The label set, in column order; the base's, or where ``pairs`` bring other labels, those, if ``None``.
        test: Pairs to report on; a share of ``pairs`` is held out if ``None``.
        test_share: That share of the documents.
        validation_share: Share of the remaining documents to choose the epoch and to calibrate on.
        replay: How many shipped pairs to mix in, at most; used only where the label set is the shipped one.
        recipe: How to train; gentle for a checkpoint, the default recipe for an encoder, if ``None``.
        name: What to call the checkpoint.
        progress: Whether to show a progress bar.

    Raises:
        InputError: The pairs have problems (all are listed), or are too few to split.
        CheckpointError: ``output`` exists, or the base cannot be used.
    """
    labelled = _read(pairs, labels)
    names = tuple(labels) if labels else _label_set(labelled, base)
    train, held_out = _part(labelled, test_share, "test") if test is None else (labelled, _read(test, names))
    train, validation = _part(train, validation_share, "validation")
    for part, size in (("train", len(train)), ("validation", len(validation)), ("test", len(held_out))):
        if size < 2:
            raise InputError(f"{len(labelled)} pairs leave {size} for {part}; give more pairs or more documents")
    known = _known() if names == tuple(LABELS) else {"replay": [], "kept": []}
    continued = is_checkpoint(base)
    folder = train_checkpoint(
        [*train, *known["replay"][:replay]],
        validation,
        output=output,
        base=base,
        recipe=recipe or (CONTINUED if continued else Recipe()),
        labels=names,
        name=name,
        provenance={"train": {"n": len(train), "replayed": len(known["replay"][:replay])}},
        progress=progress,
    )
    return _report(folder, base if continued else None, held_out, known["kept"], names)


def _read(source: Any, labels: Sequence[str] | None) -> list[LabelledPair]:
    if (
        isinstance(source, Sequence)
        and not isinstance(source, str)
        and all(isinstance(p, LabelledPair) for p in source)
    ):
        return list(source)
    from stance.exchange import read_labelled

    return read_labelled(source, labels=labels)


def _label_set(pairs: Sequence[LabelledPair], base: str | os.PathLike[str]) -> tuple[str, ...]:
    """The base's labels where they cover the pairs', else the pairs' own, by first appearance."""
    found = dict.fromkeys(label for pair in pairs for label in pair.labels)
    if is_checkpoint(base):
        known = tuple(read_settings(resolve(base)).labels)
        if set(found) <= set(known):
            return known
    elif set(found) <= set(LABELS):
        return tuple(LABELS)
    return tuple(found)


def _part(pairs: Sequence[LabelledPair], share: float, salt: str) -> tuple[list[LabelledPair], list[LabelledPair]]:
    """Split by document, the same way each time: documents in the order of a hash, the first ``share`` of them apart."""
    documents = sorted({_document(p) for p in pairs}, key=lambda d: hashlib.sha256(f"{salt}:{d}".encode()).digest())
    apart = set(documents[: round(share * len(documents))])
    inside = [_document(p) in apart for p in pairs]
    return [p for p, x in zip(pairs, inside, strict=True) if not x], [
        p for p, x in zip(pairs, inside, strict=True) if x
    ]


def _document(pair: LabelledPair) -> str:
    return pair.document_id or hashlib.sha256(f"{pair.accusation}\t{pair.response}".encode()).hexdigest()


def _known() -> dict[str, list[LabelledPair]]:
    """The shipped pairs by what they are for: ``replay`` and ``kept``."""
    parts: dict[str, list[LabelledPair]] = {"replay": [], "kept": []}
    for line in KNOWN.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        parts[row.pop("part")].append(LabelledPair(**{**row, "labels": tuple(row["labels"])}))
    return parts


def _report(
    folder: Path,
    base: str | os.PathLike[str] | None,
    held_out: Sequence[LabelledPair],
    kept: Sequence[LabelledPair],
    names: Sequence[str],
) -> FineTuned:
    new = StanceClassifier.load(folder)
    old = None if base is None else api.load(base)
    old = old if old is not None and tuple(old.labels) == tuple(names) else None
    predictions = new.classify_pairs(held_out)
    after = api.evaluate(predictions, held_out)
    before = None if old is None else api.evaluate(old.classify_pairs(held_out), held_out)
    kept_after = api.evaluate(new.classify_pairs(kept), kept) if kept else None
    kept_before = api.evaluate(old.classify_pairs(kept), kept) if kept and old is not None else None
    text = _text(before, after, kept_before, kept_after, predictions, held_out)
    settings = read_settings(folder)
    write_settings(folder, replace(settings, provenance={**settings.provenance, "report": text}))
    write_card(folder)
    return FineTuned(
        path=folder, before=before, after=after, kept_before=kept_before, kept_after=kept_after, report=text
    )


def _text(
    before: Evaluation | None,
    after: Evaluation,
    kept_before: Evaluation | None,
    kept_after: Evaluation | None,
    predictions: Sequence[Prediction],
    held_out: Sequence[LabelledPair],
) -> str:
    rows = [("your held-out pairs", after.n, _figure(before), str(after.macro_f1))]
    if kept_after is not None:
        rows.append(("shipped pairs (what it knew)", kept_after.n, _figure(kept_before), str(kept_after.macro_f1)))
    by_label = [(name, s.support, before.labels[name].f1 if before else "", s.f1) for name, s in after.labels.items()]
    calibration = f"{before.calibration_error:.3f} before, " if before and before.calibration_error is not None else ""
    return "\n\n".join(
        [
            "## What the new pairs changed",
            "Macro-F1 with 95 % bootstrap intervals over documents.",
            table(["pairs", "n", "before", "after"], rows),
            "### By outcome, F1 on your held-out pairs",
            table(["outcome", "n", "before", "after"], by_label),
            f"Calibration error: {calibration}{after.calibration_error or 0:.3f} after.",
            "### The worst errors",
            "Those of which the new checkpoint was surest.",
            table(["gold", "predicted", "sure", "accusation", "response"], _worst(predictions, held_out)),
        ]
    )


def _figure(evaluation: Evaluation | None) -> str:
    return "" if evaluation is None else str(evaluation.macro_f1)


def _worst(predictions: Sequence[Prediction], gold: Sequence[LabelledPair]) -> list[tuple[Any, ...]]:
    wrong = [(p, g) for p, g in zip(predictions, gold, strict=True) if p.label != g.label]
    wrong.sort(key=lambda pair: -pair[0].confidence)
    return [
        (str(g.label or NONE), str(p.label or NONE), p.confidence, _short(g.accusation), _short(g.response))
        for p, g in wrong[:_WORST]
    ]


def _short(text: str, width: int = 120) -> str:
    text = " ".join(text.split()).replace("|", "/")
    return text if len(text) <= width else text[: width - 1] + "…"
