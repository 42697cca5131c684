"""Serves ``model.onnx`` with onnxruntime: int8 on any CPU, no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stance.backends.processor import available_threads
from stance.checkpoint import ONNX_FILE, Settings
from stance.encoding import Batch
from stance.errors import CheckpointError


class OnnxGraph:
    """One onnxruntime session."""

    name = "onnx"

    def __init__(self, path: Path, threads: int | None) -> None:
        self._session = _session(path, threads)

    def logits(self, batch: Batch) -> np.ndarray:
        """One logit per outcome, float32, shape (n_pairs, n_labels + 1)."""
        return self._run("logits", batch)

    def features(self, batch: Batch) -> np.ndarray:
        """Pooled hidden states, float32, shape (n_pairs, n_features)."""
        return self._run("features", batch)

    def _run(self, output: str, batch: Batch) -> np.ndarray:
        feed = {
            "input_ids": batch.input_ids,
            "attention_mask": batch.attention_mask,
            "token_type_ids": batch.token_type_ids,
        }
        return np.asarray(self._session.run([output], feed)[0], dtype=np.float32)


def open_network(folder: Path, settings: Settings, threads: int | None) -> OnnxGraph:
    """Open the graph of a checkpoint."""
    return OnnxGraph(folder / ONNX_FILE, threads)


def open_articles(path: Path, threads: int | None = None) -> Callable[..., np.ndarray]:
    """Open ``documents.onnx``: windows of an article in, the vectors of their rows out (``stance.pairing.network``).

    Raises:
        CheckpointError: The file is missing.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; get the checkpoint anew, or train it: python -m training.articles")
    session = _session(path, threads)

    def vectors(ids: np.ndarray, mask: np.ndarray, types: np.ndarray, pool: np.ndarray) -> np.ndarray:
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types, "pool": pool}
        return np.asarray(session.run(["rows"], feed)[0], dtype=np.float32)

    return vectors


def _session(path: Path, threads: int | None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or available_threads()
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # shapes differ from batch to batch; patterns would only grow memory
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # multiply int8 weights out once, at the start
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
