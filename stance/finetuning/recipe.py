"""How a network is trained, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

from stance.errors import InputError


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
        beside: Weight of the loss on the questions beside the stances, where a run has any.
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
    beside: float = 0.5
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
