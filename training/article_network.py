"""The network that reads whole articles, while it learns: an encoder over windows, and heads over rows and pairs of rows.

It starts from the encoder of a checkpoint that judges pairs. ``training.articles`` trains it and writes what is served.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoModel

from stance.backends.torch_network import read_model
from stance.exporting import store_graph, with_plain_attention
from stance.pairing.candidates import CUES
from stance.pairing.layout import FARTHEST, PAIR_FACTS, Layout, distances
from stance.pairing.network import batch

WIDTH = 256
LINK_WIDTH = 128
PAIR_WIDTH = 48
AT_ONCE = 4
"""Windows of like length that go through the encoder together."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What a reader marked in a layout.

    Attributes:
        sides: Whether each row belongs to an accusation, to a response; NaN where nobody said. Shape (n_rows, 2).
        goes_on: Whether sentence *i + 1* belongs to the accusation, the response of sentence *i*; NaN elsewhere.
        links: Whether row *j* answers row *i*; NaN where it is not asked. Shape (n_rows, n_rows).
        weight: What the document counts.
    """

    sides: np.ndarray
    goes_on: np.ndarray
    links: np.ndarray
    weight: float


class ArticleNetwork(nn.Module):
    """An encoder, and the heads over its rows."""

    def __init__(self, encoder: nn.Module, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = encoder
        self.drop = nn.Dropout(dropout)
        size = encoder.config.hidden_size
        self.mix = nn.Linear(size + len(CUES), WIDTH)
        self.sides = nn.Linear(WIDTH, 2)
        self.goes_on = nn.Linear(2 * WIDTH, 2)
        self.charge = nn.Linear(WIDTH, LINK_WIDTH)
        self.answer = nn.Linear(WIDTH, LINK_WIDTH)
        self.pair_charge = nn.Linear(WIDTH, PAIR_WIDTH)
        self.pair_answer = nn.Linear(WIDTH, PAIR_WIDTH, bias=False)
        self.pair_facts = nn.Linear(len(PAIR_FACTS), PAIR_WIDTH, bias=False)
        self.distance = nn.Embedding(2 * FARTHEST + 1, PAIR_WIDTH)
        self.pair = nn.Linear(PAIR_WIDTH, 1)
        nn.init.normal_(self.distance.weight, std=0.1)
        nn.init.constant_(self.sides.bias, -2.0)
        nn.init.constant_(self.pair.bias, -4.0)

    def vectors(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor, pool: torch.Tensor) -> torch.Tensor:
        """The mean hidden state of each row of each window, shape (n_windows, n_rows, size)."""
        hidden = self.encoder(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state
        return pool @ hidden

    def heads(
        self, rows: torch.Tensor, facts: torch.Tensor, pair_facts: torch.Tensor, apart: torch.Tensor, n_sentences: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits of sides (n_rows, 2), of going on (n_sentences - 1, 2) and of links (n_rows, n_rows)."""
        x = self.drop(torch.relu(self.mix(torch.cat([self.drop(rows), facts], 1))))
        inside = x[:n_sentences]
        goes_on = self.goes_on(torch.cat([inside[:-1], inside[1:]], 1))
        both = self.charge(x) @ self.answer(x).T / LINK_WIDTH**0.5
        joint = self.pair_charge(x)[:, None] + self.pair_answer(x)[None]
        joint = joint + self.pair_facts(pair_facts) + self.distance(apart)
        return self.sides(x), goes_on, both + self.pair(torch.relu(joint)).squeeze(-1)

    def head_weights(self) -> dict[str, np.ndarray]:
        """The weights of the heads, as ``stance.pairing.network`` reads them."""
        return {
            name: value.detach().numpy().copy()
            for name, value in self.state_dict().items()
            if not name.startswith("encoder.")
        }


class _Rows(nn.Module):
    """What the graph computes."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor, pool: torch.Tensor
    ) -> torch.Tensor:
        """The mean hidden state of each row."""
        out = self.encoder(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return pool @ out.last_hidden_state


def read_through(network: ArticleNetwork, layouts: Sequence[Layout]) -> list[tuple[torch.Tensor, ...]]:
    """Run a batch of documents: the logits of each."""
    windows = [(i, window) for i, layout in enumerate(layouts) for window in layout.windows]
    windows.sort(key=lambda item: len(item[1].ids))
    vectors: list[list[torch.Tensor]] = [[] for _ in layouts]
    places: list[list[np.ndarray]] = [[] for _ in layouts]
    for start in range(0, len(windows), AT_ONCE):
        part = windows[start : start + AT_ONCE]
        found = network.vectors(*map(torch.from_numpy, batch([window for _, window in part])))
        for (i, window), rows in zip(part, found, strict=True):
            vectors[i].append(rows[: len(window.rows)])
            places[i].append(window.rows)
    out = []
    for layout, seen, at in zip(layouts, vectors, places, strict=True):
        out.append(
            network.heads(
                _merged(len(layout.units), torch.cat(seen), np.concatenate(at)),
                torch.from_numpy(layout.facts),
                torch.from_numpy(layout.pair_facts),
                torch.from_numpy(distances(layout.places)),
                len(layout.units) - 2 * len(layout.cuts),
            )
        )
    return out


def _merged(n: int, vectors: torch.Tensor, at: np.ndarray) -> torch.Tensor:
    """The vectors of the rows of a document: the mean over the windows in which a row stands."""
    rows = vectors.new_zeros(n, vectors.shape[1]).index_add(0, torch.from_numpy(at), vectors)
    times = np.maximum(np.bincount(at, minlength=n), 1).astype(np.float32)
    return rows / torch.from_numpy(times)[:, None]


def loss_of(logits: tuple[torch.Tensor, ...], truth: Truth, positive: float, positive_link: float) -> torch.Tensor:
    """What a document costs: binary losses over what was asked, per row.

    Args:
        logits: From ``read_through``.
        truth: Of the same layout.
        positive: Weight of a "yes" among charges and replies.
        positive_link: Weight of a "yes" among links.
    """
    sides, goes_on, links = logits
    total = sides.new_zeros(())
    for predicted, told, yes, share in (
        (sides, truth.sides, positive, 1.0),
        (goes_on, truth.goes_on, 1.0, 0.5),
        (links, truth.links, positive_link, 1.0),
    ):
        target = torch.from_numpy(told)
        asked = ~target.isnan()
        wrong = nn.functional.binary_cross_entropy_with_logits(
            predicted, target.nan_to_num(), reduction="none", pos_weight=predicted.new_tensor(yes)
        )
        total = total + share * (wrong * asked).sum() / len(sides)
    return truth.weight * total


def write_graph(network: ArticleNetwork, path: Path) -> None:
    """Write the encoder as a fused graph with int8 weights and float arithmetic, like that of the judge."""
    ids = torch.arange(10, 34).reshape(2, 12)
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "token_type_ids": torch.ones_like(ids),
        "pool": torch.full((2, 3, 12), 1 / 12),
    }
    axes = {name: {0: "windows", 1: "tokens"} for name in list(inputs)[:3]}
    axes |= {"pool": {0: "windows", 1: "rows", 2: "tokens"}, "rows": {0: "windows", 1: "rows"}}
    encoder = with_plain_attention(network.encoder, AutoModel, add_pooling_layer=False)
    store_graph(_Rows(encoder), network.encoder, inputs, {"rows": axes.pop("rows")}, axes, path)


def start_from(folder: Path) -> ArticleNetwork:
    """The network before training, from the encoder of a checkpoint that judges pairs."""
    model = read_model(folder)
    encoder = getattr(model, model.base_model_prefix)
    encoder.pooler = None
    for name, module in encoder.named_modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0 if "attention.self" in name else 0.1
        if hasattr(module, "dropout_prob"):
            module.dropout_prob = 0.0
    return ArticleNetwork(encoder)
