"""The network that learns: where it starts from, and what it is punished for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from stance import metrics
from stance.backends.torch_network import forward, read_model
from stance.checkpoint import TOKENIZER_FILE, is_checkpoint, read_settings, resolve
from stance.encoding import Encoder
from stance.errors import CheckpointError
from stance.exporting import write_tokenizer
from stance.finetuning.recipe import Recipe


class Trainee(nn.Module):
    """The classifier with its loss, and the linear maps that are refitted after training.

    One maps logits to sets, the other the features that ``stance.pairing`` reads to the questions beside the stances.
    """

    def __init__(self, model: Any, class_weight: Sequence[float], recipe: Recipe, questions: int = 0) -> None:
        super().__init__()
        self.model = model
        self.questions = nn.Linear(4 * model.config.hidden_size, questions) if questions else None
        self.presence = nn.Linear(len(class_weight), len(class_weight) - 1)
        nn.init.eye_(self.presence.weight)
        nn.init.zeros_(self.presence.bias)
        self.recipe = recipe
        self.register_buffer("class_weight", torch.tensor(class_weight), persistent=False)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor,
        labels: torch.Tensor,
        sets: torch.Tensor,
        weight: torch.Tensor,
        answers: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Logits, and the loss that ``Recipe`` describes."""
        logits, features = forward(self.model, input_ids, attention_mask, token_type_ids)
        logits = logits.float()
        target = _soft_target(labels, sets, self.recipe)
        primary = -(target * logits.log_softmax(1)).sum(1) * self.class_weight[labels]
        softened = sets * (1 - self.recipe.smoothing) + self.recipe.smoothing / 2
        held = nn.functional.binary_cross_entropy_with_logits(self.presence(logits), softened, reduction="none").sum(1)
        loss = ((primary + self.recipe.presence * held) * weight).mean()
        if self.questions is not None:
            asked = ~answers.isnan()
            wrong = nn.functional.binary_cross_entropy_with_logits(
                self.questions(features.float()), answers.nan_to_num(), reduction="none"
            )
            loss = loss + self.recipe.beside * (wrong * asked).sum(1).mean()
        return {"loss": loss, "logits": logits}


def _soft_target(labels: torch.Tensor, sets: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Most of the mass on the primary verdict, some shared by the gold set, a little everywhere."""
    primary = nn.functional.one_hot(labels, sets.shape[1] + 1).float()
    admitted = torch.cat([sets, (sets.sum(1, keepdim=True) == 0).float()], dim=1)
    shared = admitted / admitted.sum(1, keepdim=True)
    core = 1 - recipe.smoothing - recipe.second_stance
    return core * primary + recipe.second_stance * shared + recipe.smoothing / primary.shape[1]


def start(base: str | os.PathLike[str], labels: Sequence[str], recipe: Recipe, draft: Path) -> tuple[Any, Encoder]:
    """The network before training, and the encoder that goes with it."""
    outcomes = metrics.outcomes(labels)
    names = {"id2label": dict(enumerate(outcomes)), "label2id": {name: i for i, name in enumerate(outcomes)}}
    if is_checkpoint(base):
        folder = resolve(base)
        settings = read_settings(folder)
        model = read_model(folder)
        write_tokenizer(folder / TOKENIZER_FILE, draft, recipe.max_tokens)
        if tuple(settings.labels) != tuple(labels):
            model = _with_new_head(model, names)
    else:
        try:
            config = AutoConfig.from_pretrained(base, num_labels=len(outcomes), **names)
            model = AutoModelForSequenceClassification.from_pretrained(base, config=config)
            tokenizer = AutoTokenizer.from_pretrained(base)
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"cannot start from {str(base)!r}: it is no checkpoint or encoder here, and a hub gave none: {error}"
            ) from error
        if not tokenizer.is_fast:
            raise CheckpointError(f"{base} has no fast tokenizer (tokenizer.json), which serving needs")
        tokenizer.save_pretrained(draft)
        write_tokenizer(draft / TOKENIZER_FILE, draft, recipe.max_tokens)
    _set_dropout(model, recipe)
    return model, Encoder.from_file(draft / TOKENIZER_FILE, recipe.max_tokens, recipe.max_accusation_tokens)


def _with_new_head(model: Any, names: Mapping[str, Any]) -> Any:
    """The same encoder under a fresh head for other labels."""
    config = AutoConfig.for_model(**{**model.config.to_dict(), **names, "num_labels": len(names["id2label"])})
    fresh = AutoModelForSequenceClassification.from_config(config)
    encoder = f"{model.base_model_prefix}."
    fresh.load_state_dict({k: v for k, v in model.state_dict().items() if k.startswith(encoder)}, strict=False)
    return fresh


def _set_dropout(model: Any, recipe: Recipe) -> None:
    """Dropout on hidden states only: without it on attention, CPUs use the fused attention kernel."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0 if "attention.self" in name else recipe.dropout
        if hasattr(module, "dropout_prob"):
            module.dropout_prob = 0.0
