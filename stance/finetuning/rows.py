"""Labelled pairs as the Trainer takes them: encoded rows, batches of like length, padding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

from stance import metrics
from stance.encoding import Encoder
from stance.records import LabelledPair, Pair

Question: TypeAlias = tuple[Pair, Mapping[str, bool]]
"""Two texts and the answers, by name, to yes-or-no questions about them: what an encoder may learn beside stances."""


class Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """Encoded pairs with their targets: stances, and answers to the questions about them or about other texts."""

    def __init__(
        self,
        pairs: Sequence[LabelledPair],
        encoder: Encoder,
        labels: Sequence[str],
        beside: Sequence[Question] = (),
        names: Sequence[str] = (),
    ) -> None:
        places = {_words(pair): i for i, pair in enumerate(pairs)}
        others = [(texts, answers) for texts, answers in beside if _words(texts) not in places]
        n = len(others)
        places |= {_words(texts): i for i, (texts, _) in enumerate(others, len(pairs))}
        self._encoded = encoder.encode([*pairs, *(texts for texts, _ in others)])
        self._labels = np.pad(metrics.indices([p.label for p in pairs], labels), (0, n))
        self._sets = np.pad(metrics.membership([p.labels for p in pairs], labels).astype(np.float32), ((0, n), (0, 0)))
        self._weight = [*(p.weight for p in pairs), *[0.0] * n]
        self._answers = np.full((len(self._encoded), len(names)), np.nan, np.float32)
        for texts, answers in beside:
            for name, answer in answers.items():
                self._answers[places[_words(texts)], list(names).index(name)] = answer
        self.lengths = [len(row.ids) for row in self._encoded]

    def __len__(self) -> int:
        return len(self._encoded)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {
            "row": self._encoded[i],
            "labels": self._labels[i],
            "sets": self._sets[i],
            "weight": self._weight[i],
            "answers": self._answers[i],
        }


def _words(pair: Pair) -> tuple[str, str]:
    return " ".join(pair.accusation.split()), " ".join(pair.response.split())


class Collator:
    """Pads rows to a batch, and hides accusations from a share of them while training."""

    def __init__(self, encoder: Encoder, hidden: float) -> None:
        self._encoder = encoder
        self._hidden = hidden
        self.training = True

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Pad rows to one batch of tensors."""
        encoded = [row["row"] for row in rows]
        if self._hidden and self.training:
            hide = (torch.rand(len(rows)) < self._hidden) & torch.tensor([row["weight"] > 0 for row in rows])
            encoded = [self._encoder.hide(e, "accusation") if h else e for e, h in zip(encoded, hide, strict=True)]
        batch = self._encoder.pad(encoded)
        return {
            "input_ids": torch.from_numpy(batch.input_ids),
            "attention_mask": torch.from_numpy(batch.attention_mask),
            "token_type_ids": torch.from_numpy(batch.token_type_ids),
            "labels": torch.tensor(np.array([row["labels"] for row in rows])),
            "sets": torch.tensor(np.array([row["sets"] for row in rows])),
            "weight": torch.tensor([row["weight"] for row in rows]),
            "answers": torch.tensor(np.array([row["answers"] for row in rows])),
        }


class LengthBuckets(torch.utils.data.Sampler[int]):
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
