"""Token ids -> logits. Each backend is one module; nothing else imports onnxruntime or torch to serve."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np

from stance.checkpoint import ONNX_FILE, TORCH_FILE, Settings
from stance.encoding import Batch
from stance.errors import CheckpointError, InputError, MissingExtraError

NAMES = ("auto", "onnx", "torch")


class Backend(Protocol):
    """What runs the network."""

    name: str

    def logits(self, batch: Batch) -> np.ndarray:
        """Score a padded batch.

        Returns:
            float32, shape (n_pairs, n_labels + 1): one for each stance, then one for none.
        """
        ...

    def features(self, batch: Batch) -> np.ndarray:
        """Pool the hidden states, for ``suggest`` and ``StanceEstimator``; float32, shape (n_pairs, n_features)."""
        ...


def open_backend(name: str, folder: Path, settings: Settings, *, threads: int | None = None) -> Backend:
    """Open the network of a checkpoint.

    Args:
        name: ``"onnx"``, ``"torch"``, or ``"auto"``: onnx where the checkpoint holds a graph, else torch.
        folder: The checkpoint.
        settings: Its settings.
        threads: Threads to compute with; what the process may use if ``None``.

    Raises:
        InputError: No backend has that name.
        CheckpointError: The checkpoint lacks the file that the backend needs.
        MissingExtraError: The package that the backend needs is not installed.
    """
    if name not in NAMES:
        raise InputError(f"no backend {name!r}; choose from {', '.join(NAMES)}")
    if name == "auto":
        name = "onnx" if (folder / ONNX_FILE).is_file() else "torch"
    if name == "onnx" and not (folder / ONNX_FILE).is_file():
        raise CheckpointError(f"{folder} has no {ONNX_FILE}; serve it with backend='torch'")
    if name == "torch" and not ((folder / TORCH_FILE).is_file() or (folder / ONNX_FILE).is_file()):
        raise CheckpointError(f"{folder} has neither {TORCH_FILE} nor {ONNX_FILE}")
    module, package, extra = {
        "onnx": ("onnx_graph", "onnxruntime", "all"),
        "torch": ("torch_network", "torch", "train"),
    }[name]
    if find_spec(package) is None:
        raise MissingExtraError(package, extra, f"backend={name!r}")
    backend: Backend = import_module(f"stance.backends.{module}").open_network(folder, settings, threads)
    return backend
