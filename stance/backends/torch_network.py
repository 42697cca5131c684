"""Serves and holds the network with torch: for GPUs, for training, and as the reference the graph is checked against.

The network is an ordinary ``AutoModelForSequenceClassification`` with one output per outcome. Where a checkpoint holds
only the int8 graph, its weights are read from there, so that both backends serve the same numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from stance.backends.graph_weights import model_from_graph
from stance.checkpoint import TORCH_FILE, Settings
from stance.encoding import Batch


class StanceNetwork(nn.Module):
    """Logits and pooled hidden states of a sequence classifier."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Score a batch: logits (n, n_outcomes) and features (n, 4 * hidden size)."""
        return forward(self.model, input_ids, attention_mask, token_type_ids)


def forward(
    model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (n, n_outcomes) and features (n, 4 * hidden size) of a sequence classifier.

    Features are the mean hidden states of the response and of the accusation, at the middle and at the last layer.
    """
    inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
    if getattr(model.config, "type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = token_type_ids
    out = model(**inputs, output_hidden_states=True)
    layers = (out.hidden_states[len(out.hidden_states) // 2], out.hidden_states[-1])
    masks = (attention_mask * token_type_ids, attention_mask * (1 - token_type_ids))
    return out.logits, torch.cat([_mean(layer, mask) for layer in layers for mask in masks], dim=1)


def _mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)


class TorchNetwork:
    """A network on the best device there is: CUDA in bfloat16, else the CPU in float32."""

    name = "torch"

    def __init__(self, network: StanceNetwork, threads: int | None = None) -> None:
        if threads:
            torch.set_num_threads(threads)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.to(self.device).eval()

    def logits(self, batch: Batch) -> np.ndarray:
        """One logit per outcome, float32, shape (n_pairs, n_labels + 1)."""
        return self._run(batch)[0]

    def features(self, batch: Batch) -> np.ndarray:
        """Pooled hidden states, float32, shape (n_pairs, n_features)."""
        return self._run(batch)[1]

    def _run(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        try:
            return self._forward(batch)
        except torch.cuda.OutOfMemoryError:
            n = len(batch.input_ids)
            if n == 1:
                raise
            torch.cuda.empty_cache()
            halves = [self._run(_rows(batch, part)) for part in (slice(0, n // 2), slice(n // 2, n))]
            return np.concatenate([h[0] for h in halves]), np.concatenate([h[1] for h in halves])

    @torch.inference_mode()
    def _forward(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        arrays = (batch.input_ids, batch.attention_mask, batch.token_type_ids)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits, features = self.network(*(torch.from_numpy(a).to(self.device) for a in arrays))
        return logits.float().cpu().numpy(), features.float().cpu().numpy()  # float32 before softmax: bf16 makes ties


def _rows(batch: Batch, part: slice) -> Batch:
    return Batch(batch.input_ids[part], batch.attention_mask[part], batch.token_type_ids[part])


def open_network(folder: Path, settings: Settings, threads: int | None) -> TorchNetwork:
    """Open the network of a checkpoint."""
    return TorchNetwork(StanceNetwork(read_model(folder)), threads)


def read_model(folder: Path) -> Any:
    """The ``transformers`` classifier of a checkpoint, from its safetensors file or, failing that, from its graph."""
    from transformers import AutoModelForSequenceClassification

    if (folder / TORCH_FILE).is_file():
        return AutoModelForSequenceClassification.from_pretrained(folder)
    return model_from_graph(folder)
