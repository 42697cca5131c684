"""Labelled pairs -> a new checkpoint. ``transformers.Trainer`` lives here and nowhere else.

``train_checkpoint`` trains on given splits; ``fine_tune`` is the verb for users: it splits by document, keeps what the
base knew by replaying old pairs, and reports what was gained and what was lost.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    EarlyStoppingCallback,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_utils import get_last_checkpoint

from stance import calibration, metrics
from stance.backends.torch_network import StanceNetwork, TorchNetwork, read_model
from stance.checkpoint import SETTINGS_FILE, TOKENIZER_FILE, Settings, read_settings, resolve, write_settings
from stance.classifier import StanceClassifier
from stance.encoding import Encoder
from stance.errors import CheckpointError, InputError, LabelError, MissingExtraError
from stance.exporting import write_graph, write_tokenizer
from stance.labels import LABELS, NONE
from stance.records import LabelledPair

_RUN = "run"
_SAME_SCORES = 1e-4
_GRAPH_AGREES = 0.97


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained.

    Attributes:
        epochs: Passes over the training pairs, at most.
        learning_rate: Peak rate of the last layer; linear warm-up and decay.
        layer_decay: Factor on the rate for each layer further down, 0..1; 1 trains all layers alike.
        batch_size: Pairs in a step.
        warmup: Share of the steps in which the rate rises.
        weight_decay: Decoupled weight decay (Loshchilov and Hutter 2019).
        smoothing: Mass of the target spread over all outcomes, 0..1.
        second_stance: Mass of the target shared by all stances in the gold set, 0..1; this is how one row of logits
            tells of more than one stance.
        presence: Weight of the loss on the sets beside the loss on the primary verdict.
        balance: Exponent, 0..1, on the inverse frequency of an outcome; 0 weighs every pair alike.
        accusation_dropout: Share of training pairs shown without their accusation, 0..1.
        dropout: Dropout of hidden states.
        freeze_embeddings: Keep the token embeddings as they are; they are half of a small model.
        max_tokens: Window of the model.
        max_accusation_tokens: How much of it an accusation may take.
        patience: Epochs without gain on validation after which training stops; 0 never stops early.
        seed: Of initial weights, order and dropout.
    """

    epochs: int = 4
    learning_rate: float = 3e-4
    layer_decay: float = 0.8
    batch_size: int = 32
    warmup: float = 0.08
    weight_decay: float = 0.01
    smoothing: float = 0.04
    second_stance: float = 0.16
    presence: float = 0.5
    balance: float = 0.4
    accusation_dropout: float = 0.0
    dropout: float = 0.1
    freeze_embeddings: bool = True
    max_tokens: int = 256
    max_accusation_tokens: int = 96
    patience: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1:
            raise InputError(f"epochs and batch_size must be at least 1: {self.epochs}, {self.batch_size}")
        if not 0 <= self.smoothing + self.second_stance < 1:
            raise InputError("smoothing + second_stance must be at least 0 and below 1")


class _Trainee(nn.Module):
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


class _Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """Encoded pairs with their targets."""

    def __init__(self, pairs: Sequence[LabelledPair], encoder: Encoder, labels: Sequence[str]) -> None:
        self._encoded = encoder.encode(pairs)
        self._labels = metrics.indices([p.label for p in pairs], labels)
        self._sets = metrics.membership([p.labels for p in pairs], labels).astype(np.float32)
        self._weight = [p.weight for p in pairs]
        self.lengths = [len(row.ids) for row in self._encoded]

    def __len__(self) -> int:
        return len(self._encoded)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {
            "row": self._encoded[i],
            "labels": self._labels[i],
            "sets": self._sets[i],
            "weight": self._weight[i],
        }


class _Collator:
    """Pads rows to a batch, and hides accusations from a share of them while training."""

    def __init__(self, encoder: Encoder, hidden: float) -> None:
        self._encoder = encoder
        self._hidden = hidden
        self.training = True

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        encoded = [row["row"] for row in rows]
        if self._hidden and self.training:
            hide = torch.rand(len(rows)) < self._hidden
            encoded = [self._encoder.without_accusation(e) if h else e for e, h in zip(encoded, hide, strict=True)]
        batch = self._encoder.pad(encoded)
        return {
            "input_ids": torch.from_numpy(batch.input_ids),
            "attention_mask": torch.from_numpy(batch.attention_mask),
            "token_type_ids": torch.from_numpy(batch.token_type_ids),
            "labels": torch.tensor(np.array([row["labels"] for row in rows])),
            "sets": torch.tensor(np.array([row["sets"] for row in rows])),
            "weight": torch.tensor([row["weight"] for row in rows]),
        }


class _LengthBuckets(torch.utils.data.Sampler[int]):
    """Row numbers in which each run of ``batch_size`` has rows of like length, the runs in random order.

    The Trainer's own grouping sorts whole stretches from long to short, and with them the sources of the pairs.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths, self._size, self._seed = np.array(lengths), batch_size, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer; makes the order depend on the epoch alone, so that a resumed run sees the same."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self._seed, self._epoch])
        order = rng.permutation(len(self._lengths))
        span = self._size * 20
        batches: list[np.ndarray] = []
        for start in range(0, len(order), span):
            part = order[start : start + span]
            part = part[np.argsort(self._lengths[part], kind="stable")]
            batches += [part[i : i + self._size] for i in range(0, len(part), self._size)]
        whole = [b for b in batches if len(b) == self._size]
        rest = [b for b in batches if len(b) < self._size]
        for i in rng.permutation(len(whole)):
            yield from whole[i].tolist()
        for batch in rest:
            yield from batch.tolist()


class _LayerwiseTrainer(Trainer):
    """A Trainer whose learning rate falls with depth, with batches of like length, which shows accusations to judge."""

    recipe: Recipe

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler[int]:
        rows = train_dataset or self.train_dataset
        return _LengthBuckets(rows.lengths, self.recipe.batch_size, self.recipe.seed)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            groups = _parameter_groups(self.model, self.recipe)
            self.optimizer = torch.optim.AdamW(groups, fused=not torch.cuda.is_available())
        return self.optimizer

    def evaluation_loop(self, *args: Any, **options: Any) -> Any:
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


def train_checkpoint(
    train: Sequence[LabelledPair],
    validation: Sequence[LabelledPair],
    *,
    output: str | os.PathLike[str],
    base: str | os.PathLike[str] = "default",
    recipe: Recipe | None = None,
    labels: Sequence[str] = LABELS,
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
        name: What the checkpoint is called; the folder's name if empty.
        version: Its version.
        provenance: What to record of the data; validation scores are added.
        progress: Whether to show a progress bar.

    Raises:
        InputError: A split is empty, or the splits share a document.
        LabelError: A pair carries a label that is not in ``labels``.
        CheckpointError: ``output`` exists, or the written checkpoint scores differently when it is opened again.
    """
    recipe, target = recipe or Recipe(), Path(output)
    _check_splits(train, validation)
    if target.exists():
        raise CheckpointError(f"{target} exists; name a new folder or remove it")
    draft = target.with_name(target.name + ".partial")
    _claim(draft, _fingerprint(train, validation, base, recipe, labels))
    torch.manual_seed(recipe.seed)
    model, encoder = _start(base, labels, recipe, draft)
    model = _fit(model, encoder, train, validation, recipe, labels, draft, progress)
    return _write(model, encoder, validation, recipe, labels, draft, target, str(base), name, version, provenance or {})


def _check_splits(train: Sequence[LabelledPair], validation: Sequence[LabelledPair]) -> None:
    if not train or not validation:
        raise InputError(f"training needs pairs in both splits: {len(train)} train, {len(validation)} validation")
    shared = {p.document_id for p in train if p.document_id} & {p.document_id for p in validation}
    if shared:
        raise InputError(f"{len(shared)} documents are in both splits, {sorted(shared)[0]!r} first; split by document")


def _fingerprint(
    train: Sequence[LabelledPair], validation: Sequence[LabelledPair], base: Any, recipe: Recipe, labels: Sequence[str]
) -> str:
    """A hash of all that decides a run, so that only the same run is resumed."""
    rows = [(p.accusation, p.response, p.label, p.labels, p.weight) for part in (train, validation) for p in part]
    decided = [rows, str(base), asdict(recipe), [str(label) for label in labels]]
    return hashlib.sha256(json.dumps(decided, ensure_ascii=True).encode()).hexdigest()


def _claim(draft: Path, fingerprint: str) -> None:
    """Take the working folder, or find that it belongs to this very run and may be resumed."""
    mark = draft / "run.txt"
    if draft.exists() and (not mark.is_file() or mark.read_text() != fingerprint):
        raise CheckpointError(f"{draft} holds an unfinished run on other pairs or settings; remove it to start anew")
    draft.mkdir(parents=True, exist_ok=True)
    mark.write_text(fingerprint)


def _start(base: str | os.PathLike[str], labels: Sequence[str], recipe: Recipe, draft: Path) -> tuple[Any, Encoder]:
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
    config = AutoConfig.for_model(**{**model.config.to_dict(), **names, "num_labels": len(names["id2label"])})
    fresh = AutoModelForSequenceClassification.from_config(config)
    kept = {k: v for k, v in model.state_dict().items() if fresh.state_dict()[k].shape == v.shape}
    head = set(fresh.state_dict()) - set(kept)
    fresh.load_state_dict({k: v for k, v in kept.items() if k.rsplit(".", 1)[0] not in {h.rsplit(".", 1)[0] for h in head}}, strict=False)
    return fresh


def _set_dropout(model: Any, recipe: Recipe) -> None:
    """Dropout on hidden states only: without it on attention, CPUs use the fused attention kernel."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0 if "attention.self" in name else recipe.dropout
        if hasattr(module, "dropout_prob"):
            module.dropout_prob = 0.0


def _fit(
    model: Any,
    encoder: Encoder,
    train: Sequence[LabelledPair],
    validation: Sequence[LabelledPair],
    recipe: Recipe,
    labels: Sequence[str],
    draft: Path,
    progress: bool,
) -> Any:
    if recipe.freeze_embeddings:
        for name, parameter in model.named_parameters():
            parameter.requires_grad = "embeddings" not in name
    rows = _Rows(train, encoder, labels)
    counts = np.bincount(metrics.indices([p.label for p in train], labels), minlength=len(labels) + 1)
    weight = (counts.mean() / np.maximum(counts, 1)) ** recipe.balance
    trainee = _Trainee(model, weight.astype(np.float32).tolist(), recipe)
    trainer = _LayerwiseTrainer(
        model=trainee,
        args=_arguments(draft / _RUN, recipe, progress, len(train)),
        train_dataset=rows,
        eval_dataset=_Rows(validation, encoder, labels),
        data_collator=_Collator(encoder, recipe.accusation_dropout),
        compute_metrics=lambda p: _validation_scores(p, len(labels) + 1),
        callbacks=[EarlyStoppingCallback(recipe.patience)] if recipe.patience else [],
    )
    trainer.recipe = recipe
    last = get_last_checkpoint(str(draft / _RUN)) if (draft / _RUN).is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    return trainer.model.model.cpu().float().eval()


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
        metric_for_best_model="macro_f1",
        logging_steps=50,
        bf16=torch.cuda.is_available() or _cpu_has_bfloat16(),
        remove_unused_columns=False,
        label_names=["labels", "sets", "weight"],
        dataloader_pin_memory=False,
        disable_tqdm=not progress,
        report_to="none",
        seed=recipe.seed,
        data_seed=recipe.seed,
    )


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 itself; where it does not, autocast is many times slower than float32."""
    info = Path("/proc/cpuinfo")
    return info.is_file() and any(flag in info.read_text() for flag in ("avx512_bf16", "amx_bf16"))


def _validation_scores(prediction: Any, size: int) -> dict[str, float]:
    gold, predicted = prediction.label_ids[0], prediction.predictions.argmax(1)
    return {"macro_f1": metrics.macro_f1(gold, predicted, size), "accuracy": float((gold == predicted).mean())}


def _write(
    model: Any,
    encoder: Encoder,
    validation: Sequence[LabelledPair],
    recipe: Recipe,
    labels: Sequence[str],
    draft: Path,
    target: Path,
    base: str,
    name: str,
    version: str,
    provenance: Mapping[str, Any],
) -> Path:
    """Write, calibrate and check a checkpoint in the draft folder, then give it its name."""
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
    write_graph(_eager(model, draft), draft)
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
        **provenance,
        "recipe": asdict(recipe),
        "graph_agreement": round(agreement, 4),
        "validation": {
            "n": len(validation),
            "macro_f1": round(metrics.macro_f1(gold, chosen, len(labels) + 1), 4),
            "confusion": metrics.confusion(gold, chosen, len(labels) + 1).tolist(),
        },
    }
    write_settings(
        draft,
        Settings(
            name=settings.name,
            version=version,
            labels=settings.labels,
            max_tokens=recipe.max_tokens,
            max_accusation_tokens=recipe.max_accusation_tokens,
            calibration=fitted,
            base=base,
            provenance=record,
        ),
    )
    shutil.rmtree(draft / _RUN, ignore_errors=True)
    (draft / "run.txt").unlink()
    os.replace(draft, target)
    return target


def _eager(model: Any, folder: Path) -> Any:
    """The same weights with the plain attention that the graph exporter can fuse."""
    fresh = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager")
    fresh.load_state_dict(model.state_dict())
    return fresh.eval()
