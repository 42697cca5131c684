"""What this machine can do at most: its name, and its matrix multiplication in int8 and float32."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from stance.backends.processor import available_threads

SHAPES = ((2048, 384, 1536), (2048, 1536, 384), (1024, 1024, 1024))
"""Rows, depth and columns: a small encoder's two large products, and a square."""


def describe() -> dict[str, Any]:
    """Processor, threads, system and the versions of what serves."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for package in ("onnxruntime", "torch", "transformers", "sentence-transformers", "numpy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "processor": _processor(),
        "threads": available_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def peaks(seconds: float = 1.0) -> dict[str, float]:
    """The best rate over ``SHAPES``, in thousand million multiplications and additions a second, by number type."""
    return {kind: max(_rate(kind, *shape, seconds) for shape in SHAPES) / 1e9 for kind in ("int8", "fp32")}


def _rate(kind: str, rows: int, depth: int, columns: int, seconds: float) -> float:
    session, feed = _product(kind, rows, depth, columns)
    session.run(None, feed)
    best = float("inf")
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        session.run(None, feed)
        best = min(best, time.perf_counter() - began)
    return 2 * rows * depth * columns / best


def _product(kind: str, rows: int, depth: int, columns: int) -> tuple[Any, dict[str, np.ndarray]]:
    """A graph of one product; the right side is a constant, as weights are."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(0)
    if kind == "int8":
        left, right = draw.integers(0, 127, (rows, depth), np.uint8), draw.integers(-63, 63, (depth, columns), np.int8)
        operator, left_type, out_type = "MatMulInteger", TensorProto.UINT8, TensorProto.INT32
    else:
        left, right = (draw.normal(size=s).astype(np.float32) for s in ((rows, depth), (depth, columns)))
        operator, left_type, out_type = "MatMul", TensorProto.FLOAT, TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node(operator, ["left", "right"], ["out"])],
        "product",
        [helper.make_tensor_value_info("left", left_type, [rows, depth])],
        [helper.make_tensor_value_info("out", out_type, [rows, columns])],
        [numpy_helper.from_array(right, "right")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_threads()
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session, {"left": left}


def operations(lengths: list[int], *, layers: int, hidden: int, inner: int) -> float:
    """Multiplications and additions of a transformer encoder over texts of so many tokens, padding not counted."""
    products = 2 * (4 * hidden * hidden + 2 * hidden * inner)
    return float(sum(layers * (n * products + 4 * n * n * hidden) for n in lengths))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
