"""What the article network says of a reading, from the vectors that its graph gives each row.

The graph (``documents.onnx``) is the encoder over windows of a layout; its heads are small, lie in ``documents.npz`` and
run here, because links join rows of different windows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stance.pairing.candidates import Unit
from stance.pairing.layout import Layout, Window, distances

Vectors = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Token ids, mask, types, shape (n_windows, n_tokens), and weights of tokens, shape (n_windows, n_rows, n_tokens)
-> float32, shape (n_windows, n_rows, size)."""

PARTS = (
    "mix", "sides", "goes_on", "charge", "answer", "pair_charge", "pair_answer", "pair_facts", "distance", "pair",
)  # fmt: skip
"""The heads, as ``training.article_network`` names them; each has weights, most have biases."""

_AT_ONCE = 4


@dataclass(frozen=True)
class Scores:
    """What the network says.

    Attributes:
        units: The rows: the sentences of the reading, then the clauses.
        cuts: By number of sentence, the rows of its charge and of its answer.
        sides: How likely each row belongs to an accusation, to a response; shape (n_rows, 2).
        goes_on: How likely the passage goes on with the next sentence; shape (n_sentences - 1, 2).
        links: Logits: column *j* answers row *i*; shape (n_rows, n_rows).
    """

    units: Sequence[Unit]
    cuts: Mapping[int, tuple[int, int]]
    sides: np.ndarray
    goes_on: np.ndarray
    links: np.ndarray

    @cached_property
    def row_of(self) -> dict[tuple[int, int], int]:
        """The number of a row by where it begins and ends; of two that are alike, the sentence."""
        return {(u.start, u.end): i for i, u in reversed(list(enumerate(self.units)))}


def score(layout: Layout, vectors: Vectors, weights: Mapping[str, np.ndarray]) -> Scores:
    """Read a layout with the graph and the heads.

    Args:
        layout: Of one piece of a document.
        vectors: The graph.
        weights: Of the heads, by names like ``mix.weight``.
    """
    rows = merged(layout, vectors)
    n_sentences = len(layout.units) - 2 * len(layout.cuts)
    x = np.maximum(_linear(np.hstack([rows, layout.facts]), weights, "mix"), 0)
    inside = x[:n_sentences]
    charge, answer = _linear(x, weights, "charge"), _linear(x, weights, "answer")
    joint = _linear(x, weights, "pair_charge")[:, None] + _linear(x, weights, "pair_answer")[None]
    joint += _linear(layout.pair_facts, weights, "pair_facts")
    joint += weights["distance.weight"][distances(layout.places)]
    links = charge @ answer.T / np.sqrt(charge.shape[1])
    links += _linear(np.maximum(joint, 0), weights, "pair")[:, :, 0]
    return Scores(
        units=layout.units,
        cuts=layout.cuts,
        sides=_sigmoid(_linear(x, weights, "sides")),
        goes_on=_sigmoid(_linear(np.hstack([inside[:-1], inside[1:]]), weights, "goes_on")),
        links=links.astype(np.float32),
    )


def _linear(x: np.ndarray, weights: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    y = x @ weights[f"{name}.weight"].T
    bias = weights.get(f"{name}.bias")
    return np.asarray(y if bias is None else y + bias, dtype=np.float32)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)), dtype=np.float32)


def merged(layout: Layout, vectors: Vectors) -> np.ndarray:
    """The vector of each row: the mean over the windows in which it stands; float32, shape (n_rows, size)."""
    windows = sorted(layout.windows, key=lambda w: len(w.ids))
    total, times = np.zeros((0, 0), np.float32), np.zeros(len(layout.units), np.float32)
    for start in range(0, len(windows), _AT_ONCE):
        part = windows[start : start + _AT_ONCE]
        for window, found in zip(part, vectors(*batch(part)), strict=True):
            if not total.size:
                total = np.zeros((len(layout.units), found.shape[1]), np.float32)
            total[window.rows] += found[: len(window.rows)]
            times[window.rows] += 1
    return np.asarray(total / np.maximum(times, 1)[:, None], dtype=np.float32)


def batch(windows: Sequence[Window]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Windows as the graph takes them, padded to one size; the weights of a row's tokens sum to 1."""
    width, height = max(len(w.ids) for w in windows), max(len(w.rows) for w in windows)
    ids, mask, types = (np.zeros((len(windows), width), np.int64) for _ in range(3))
    pool = np.zeros((len(windows), height, width), np.float32)
    for i, window in enumerate(windows):
        n = len(window.ids)
        ids[i, :n], mask[i, :n], types[i, :n] = window.ids, 1, window.types
        for k, (start, stop) in enumerate(window.spans):
            pool[i, k, start:stop] = 1 / max(1, stop - start)
    return ids, mask, types, pool
