"""How a graph holds the weights of the network it was made from, and how the network is rebuilt from them.

``stance.exporting`` writes by these names, ``torch_network`` reads by them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stance.checkpoint import ONNX_FILE
from stance.errors import CheckpointError, MissingExtraError

_FUSED = {"self.query": 0, "self.key": 1, "self.value": 2}


def channel_axis(name: str) -> int:
    """Along which axis a stored matrix has its channels: a transposed one along the columns, any other along the rows."""
    return 1 if name.endswith(".T") else 0


def stored_forms(state: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Each parameter in the forms in which a graph may hold it: as it is, transposed (``.T``), joined (``.qkv``)."""
    arrays = {name: value.detach().cpu().numpy() for name, value in state.items()}
    for name, array in arrays.items():
        if array.ndim == 2:
            yield f"{name}.T", np.ascontiguousarray(array.T)
        yield name, array
        if "self.query." in name:
            parts = [arrays[name.replace("self.query", kind)] for kind in _FUSED]
            joined = name.replace("self.query", "self.qkv")
            if array.ndim == 2:
                yield f"{joined}.T", np.ascontiguousarray(np.concatenate([part.T for part in parts], axis=1))
            else:
                yield joined, np.concatenate(parts)


def model_from_graph(folder: Path) -> Any:
    """Rebuild the ``transformers`` classifier whose weights a graph holds.

    Raises:
        CheckpointError: The graph lacks a weight.
        MissingExtraError: onnx is not installed.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise MissingExtraError("onnx", "train", "reading weights from model.onnx") from None
    graph = onnx.load(str(folder / ONNX_FILE))
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    for alias in graph.metadata_props:
        for suffix in ("", "_quantized", "_scale"):
            if alias.value + suffix in stored:
                stored[alias.key + suffix] = stored[alias.value + suffix]
    model = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(folder))
    state = {}
    for name, value in model.state_dict().items():
        found = _find_weight(name, stored)
        if found is None and name.endswith("position_ids"):
            continue
        if found is None or found.shape != tuple(value.shape):
            raise CheckpointError(f"{folder / ONNX_FILE} does not hold the weight {name}")
        state[name] = torch.from_numpy(np.array(found, dtype=np.float32))
    model.load_state_dict(state, strict=False)
    return model.eval()


def _find_weight(name: str, stored: dict[str, np.ndarray]) -> np.ndarray | None:
    if (array := _dequantised(name, stored)) is not None:
        return array
    if (array := _dequantised(f"{name}.T", stored)) is not None:
        return array.T
    for kind, place in _FUSED.items():
        if kind in name:
            joined = name.replace(kind, "self.qkv")
            if (array := _dequantised(joined, stored)) is not None:
                return np.split(array, 3)[place]
            if (array := _dequantised(f"{joined}.T", stored)) is not None:
                return np.split(array, 3, axis=1)[place].T
    return None


def _dequantised(name: str, stored: dict[str, np.ndarray]) -> np.ndarray | None:
    if name in stored:
        return stored[name]
    if f"{name}_quantized" not in stored:
        return None
    scale = np.expand_dims(stored[f"{name}_scale"], 1 - channel_axis(name))
    return np.asarray(stored[f"{name}_quantized"].astype(np.float32) * scale, dtype=np.float32)
