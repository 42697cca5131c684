"""A whole checkpoint folder of a few kilobytes, made from scratch, for tests that need other processes.

Each word has fixed logits and a pair's are the sum over its words, so the verdicts differ from pair to pair and are the
same in every batch.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from toy_model import SPECIAL, word_tokenizer

from stance.checkpoint import ONNX_FILE, TOKENIZER_FILE, Settings, write_settings

WORDS = tuple(f"word{i}" for i in range(200))


def write_tiny_checkpoint(folder: Path) -> Path:
    """Write the checkpoint; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    words = (*SPECIAL, *WORDS)
    word_tokenizer(words).save(str(folder / TOKENIZER_FILE))
    _write_graph(folder, len(words))
    write_settings(folder, Settings(name="tiny", max_tokens=64, max_accusation_tokens=24))
    return folder


def tiny_pairs(n: int, seed: int = 0) -> list[tuple[str, str]]:
    """Distinct pairs of 3 to 40 words."""
    draw = random.Random(seed)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(3, 20))) for _ in range(2 * n)]
    return [(f"{texts[2 * i]} {i}", texts[2 * i + 1]) for i in range(n)]


def _write_graph(folder: Path, n_words: int, n_outcomes: int = 5) -> None:
    from onnx import TensorProto, helper, numpy_helper, save

    weights = np.random.default_rng(0).normal(0, 1, (n_words, n_outcomes)).astype(np.float32)
    weights[:4] = 0
    names = ("input_ids", "attention_mask", "token_type_ids")
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["words", "input_ids"], ["vectors"]),
            helper.make_node("ReduceSum", ["vectors", "axis"], ["logits"], keepdims=0),
            helper.make_node("Identity", ["logits"], ["features"]),
        ],
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "tokens"]) for name in names],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", n_outcomes])
            for name in ("logits", "features")
        ],
        [numpy_helper.from_array(weights, "words"), numpy_helper.from_array(np.array([1]), "axis")],
    )
    save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        str(folder / ONNX_FILE),
    )
