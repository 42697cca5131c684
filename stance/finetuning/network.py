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
from stance.backends.torch_network import read_model
from stance.checkpoint import SETTINGS_FILE, TOKENIZER_FILE, read_settings, resolve
from stance.encoding import Encoder
from stance.errors import CheckpointError
from stance.exporting import write_tokenizer
from stance.finetuning.recipe import Recipe


class Trainee(nn.Module):
    """The classifier with its loss, and the linear map from logits to sets that is refitted after training."""

    def __init__(self, model: Any, class_weight: Sequence[float], recipe: Recipe) -> None:
        super().__init__()
        self.model = model
        self.presence = nn.Linear(len(class_weight), len(class_weight) - 1)
        nn.init.eye_(self.presence.weight)
        nn.init.zeros_(self.presence.bias)
        self.recipe = recipe
        self.reads_types = getattr(model.config, "type_vocab_size", 0) > 1
        self.register_buffer("class_weight", torch.tensor(class_weight), persistent=False)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor,
        labels: torch.Tensor,
        sets: torch.Tensor,
        weight: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Logits, and the loss that ``Recipe`` describes."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self.reads_types:
            inputs["token_type_ids"] = token_type_ids
        logits = self.model(**inputs).logits.float()
        target = _soft_target(labels, sets, self.recipe)
        primary = -(target * logits.log_softmax(1)).sum(1) * self.class_weight[labels]
        softened = sets * (1 - self.recipe.smoothing) + self.recipe.smoothing / 2
        held = nn.functional.binary_cross_entropy_with_logits(self.presence(logits), softened, reduction="none").sum(1)
        return {"loss": ((primary + self.recipe.presence * held) * weight).mean(), "logits": logits}


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
    folder = resolve(base) if str(base) == "default" or Path(base).is_dir() else None
    if folder is not None and (folder / SETTINGS_FILE).is_file():
        settings = read_settings(folder)
        model = read_model(folder)
        write_tokenizer(folder / TOKENIZER_FILE, draft, recipe.max_tokens)
        if tuple(settings.labels) != tuple(labels):
            model = _with_new_head(model, names)
    else:
        config = AutoConfig.from_pretrained(base, num_labels=len(outcomes), **names)
        model = AutoModelForSequenceClassification.from_pretrained(base, config=config)
        tokenizer = AutoTokenizer.from_pretrained(base)
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
