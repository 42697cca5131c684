"""Serves ``model.onnx`` with onnxruntime: int8 on any CPU, no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stance.backends.processor import available_threads
from stance.checkpoint import ONNX_FILE, Settings
from stance.encoding import Batch


class OnnxGraph:
    """One onnxruntime session."""

    name = "onnx"

    def __init__(self, path: Path, threads: int | None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or available_threads()
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # shapes differ from batch to batch; patterns would only grow memory
        options.add_session_config_entry(
            "session.disable_quant_qdq", "1"
        )  # multiply int8 weights out once, at the start
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

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
