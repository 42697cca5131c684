"""The loop: ``transformers.Trainer`` with rates that fall with depth. Nothing else imports it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import EarlyStoppingCallback, Trainer, TrainingArguments

from stance import metrics
from stance.backends.processor import has_bfloat16
from stance.encoding import Encoder
from stance.finetuning.network import Trainee
from stance.finetuning.recipe import Recipe
from stance.finetuning.rows import Collator, LengthBuckets, Question, Rows
from stance.records import LabelledPair

RUN = "run"
"""The subfolder of a draft that holds the Trainer's own checkpoints."""


class LayerwiseTrainer(Trainer):
    """A Trainer whose learning rate falls with depth, with batches of like length, which shows accusations to judge."""

    recipe: Recipe

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler[int]:
        rows = train_dataset or self.train_dataset
        return LengthBuckets(rows.lengths, self.recipe.batch_size, self.recipe.seed)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW with one rate per layer."""
        if getattr(self, "optimizer", None) is None:
            groups = _parameter_groups(self.model, self.recipe)
            self.optimizer = torch.optim.AdamW(groups, fused=not torch.cuda.is_available())
        return self.optimizer

    def evaluation_loop(self, *args: Any, **options: Any) -> Any:
        """Evaluate with every accusation shown."""
        self.data_collator.training = False
        try:
            return super().evaluation_loop(*args, **options)
        finally:
            self.data_collator.training = True


def _parameter_groups(trainee: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """One group per layer and kind of decay; heads learn at the full rate, the lowest layer at the lowest."""
    depth = {name: _layer_of(name) for name, p in trainee.named_parameters() if p.requires_grad}
    top = max((d for d in depth.values() if d is not None), default=0)
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in trainee.named_parameters():
        if not parameter.requires_grad:
            continue
        layer = depth[name]
        below = -1 if layer is None else top - layer
        decays = parameter.ndim > 1
        rate = recipe.learning_rate * (1.5 if layer is None else recipe.layer_decay**below)
        group = groups.setdefault(
            (below, decays), {"params": [], "lr": rate, "weight_decay": recipe.weight_decay if decays else 0.0}
        )
        group["params"].append(parameter)
    return list(groups.values())


def _layer_of(name: str) -> int | None:
    """The layer that a parameter belongs to: 0 for embeddings, from 1 for encoder layers, ``None`` for heads."""
    if "embeddings" in name:
        return 0
    numbers = [int(part) for part in name.split(".") if part.isdigit()]
    return numbers[0] + 1 if numbers and "layer" in name else None


def fit(
    model: Any,
    encoder: Encoder,
    train: Sequence[LabelledPair],
    validation: Sequence[LabelledPair],
    recipe: Recipe,
    labels: Sequence[str],
    draft: Path,
    progress: bool,
    beside: Sequence[Question] = (),
) -> Any:
    """Train a classifier, taking up the run that lies in ``draft`` if there is one; give back its best epoch."""
    if recipe.freeze_embeddings:
        for name, parameter in model.named_parameters():
            parameter.requires_grad = "embeddings" not in name
    names = sorted({name for _, answers in beside for name in answers})
    rows = Rows(train, encoder, labels, beside, names)
    counts = np.bincount(metrics.indices([p.label for p in train], labels), minlength=len(labels) + 1)
    weight = (counts.mean() / np.maximum(counts, 1)) ** recipe.balance
    trainee = Trainee(model, weight.astype(np.float32).tolist(), recipe, len(names))
    trainer = LayerwiseTrainer(
        model=trainee,
        args=_arguments(draft / RUN, recipe, progress, len(rows)),
        train_dataset=rows,
        eval_dataset=Rows(validation, encoder, labels, names=names),
        data_collator=Collator(encoder, recipe.accusation_dropout),
        compute_metrics=lambda p: _validation_scores(p, len(labels) + 1),
        callbacks=[EarlyStoppingCallback(recipe.patience)] if recipe.patience else [],
    )
    trainer.recipe = recipe
    trainer.train(resume_from_checkpoint=_last_whole_save(draft / RUN))
    return trainer.model.model.cpu().float().eval()


def _last_whole_save(folder: Path) -> str | None:
    """The newest of the Trainer's saves that was written to its end; one cut short by a kill is removed."""
    saves = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rsplit("-", 1)[1]))
    for path in reversed(saves):
        if (path / "trainer_state.json").is_file():
            return str(path)
        shutil.rmtree(path)
    return None


def _arguments(folder: Path, recipe: Recipe, progress: bool, n: int) -> TrainingArguments:
    steps = recipe.epochs * -(-n // recipe.batch_size)
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=64,
        warmup_steps=max(1, round(recipe.warmup * steps)),
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        restore_callback_states_from_checkpoint=True,
        metric_for_best_model="macro_f1",
        logging_steps=50,
        bf16=torch.cuda.is_available() or has_bfloat16(),
        remove_unused_columns=False,
        label_names=["labels", "sets", "weight"],
        dataloader_pin_memory=False,
        disable_tqdm=not progress,
        report_to="none",
        seed=recipe.seed,
        data_seed=recipe.seed,
    )


def _validation_scores(prediction: Any, size: int) -> dict[str, float]:
    gold, predicted = prediction.label_ids[0], prediction.predictions.argmax(1)
    return {"macro_f1": metrics.macro_f1(gold, predicted, size), "accuracy": float((gold == predicted).mean())}
