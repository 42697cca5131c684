"""From a network to its two forms: an ordinary ``transformers`` classifier, and the int8 graph that is served.

The graph keeps the names of the weights it was made from, so that ``stance.backends.graph_weights`` can rebuild the
classifier; the rebuilt one carries the very weights that the graph serves, int8 times scale.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stance.backends.graph_weights import channel_axis, stored_forms
from stance.checkpoint import (
    ARTICLES_FILE,
    CARD_FILE,
    HEADS_FILE,
    ONNX_FILE,
    TOKENIZER_FILE,
    read_settings,
    resolve,
    verify,
    write_settings,
)
from stance.errors import CheckpointError, MissingExtraError

_OPSET = 17
_SPECIAL = {
    "unk_token": ("[UNK]", "<unk>"),
    "sep_token": ("[SEP]", "</s>"),
    "pad_token": ("[PAD]", "<pad>"),
    "cls_token": ("[CLS]", "<s>"),
    "mask_token": ("[MASK]", "<mask>"),
}
"""What families of encoders call their special tokens."""
_SMALL = 50_000
"""Matrices of fewer values stay float32; they weigh nothing."""


def export(output: str | os.PathLike[str], *, model: str | os.PathLike[str] = "default") -> Path:
    """Write a checkpoint as an ordinary classifier, for GPUs, for retraining and for other people's tools.

    ``AutoModelForSequenceClassification`` and ``AutoTokenizer`` open the folder; the labels' names are in its config.
    ``stance.load(output)`` opens it too, with the same calibration.

    Args:
        output: A folder that does not exist yet or is empty.
        model: The checkpoint to export.

    Raises:
        CheckpointError: ``output`` holds files already, or ``model`` is not a checkpoint.
        MissingExtraError: torch or transformers is not installed.
    """
    source, target = resolve(model), Path(output).resolve()
    settings = read_settings(source)
    verify(source, settings)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise CheckpointError(f"{target} is there already and is not an empty folder; name a new folder")
    try:
        from stance.backends.torch_network import read_model
    except ImportError as error:
        raise MissingExtraError(str(error.name), "train", "export") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{target.name}.", suffix=".partial", dir=target.parent))
    try:
        read_model(source).save_pretrained(draft)
        write_tokenizer(source / TOKENIZER_FILE, draft, settings.max_tokens)
        for name in (ONNX_FILE, ARTICLES_FILE, HEADS_FILE, CARD_FILE):
            if (source / name).is_file():
                shutil.copyfile(source / name, draft / name)
        write_settings(draft, settings)
        draft.chmod(0o755)
        if target.exists():
            target.rmdir()
        os.replace(draft, target)  # the folder has its name only when it is whole
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Path(output)


def write_tokenizer(source: Path, target: Path, max_tokens: int) -> None:
    """Write ``tokenizer.json`` and what ``AutoTokenizer`` needs beside it."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer.from_file(str(source))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    known = {
        role: name for role, names in _SPECIAL.items() for name in names if tokenizer.token_to_id(name) is not None
    }
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_tokens,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **known,
    ).save_pretrained(target)


def write_graph(model: Any, folder: Path) -> Path:
    """Export a ``transformers`` classifier as a fused graph with int8 weights.

    Each weight matrix is stored as int8 with one scale per output channel, each embedding as int8 with one scale per
    token; arithmetic is float32. So the file has a quarter of the size, scores are the same on every CPU, and they are
    those of the classifier that ``stance.backends.graph_weights`` rebuilds. ``training/EXPERIMENTS.md`` has what int8
    arithmetic cost.

    Args:
        model: An ``AutoModelForSequenceClassification``.
        folder: Where ``model.onnx`` goes.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    from stance.backends.torch_network import StanceNetwork

    ids = torch.arange(10, 34).reshape(2, 12)
    types = ids * 0
    types[:, 6:] = 1
    inputs = {"input_ids": ids, "attention_mask": ids * 0 + 1, "token_type_ids": types}
    axes = {name: {0: "pairs", 1: "tokens"} for name in inputs}
    outputs = {"logits": {0: "pairs"}, "features": {0: "pairs"}}
    network = StanceNetwork(with_plain_attention(model, AutoModelForSequenceClassification))
    return store_graph(network, model, inputs, outputs, axes, folder / ONNX_FILE)


def store_graph(
    network: Any,
    model: Any,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Mapping[int, str]],
    axes: Mapping[str, Mapping[int, str]],
    path: Path,
) -> Path:
    """Trace a network, fuse it, store its large matrices as int8.

    Args:
        network: What to trace.
        model: The ``transformers`` model in it, whose names the weights get.
        inputs: By name, in order: tensors to trace with.
        outputs: By name, in order: which of their axes vary.
        axes: The same for inputs.
        path: Where the graph goes.
    """
    import onnx

    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / "plain.onnx"
        _trace(network, inputs, outputs, axes, plain)
        graph = _fused(model, plain)
        _name_weights(graph, model)
        _store_as_int8(graph.graph)
        onnx.save(graph, str(path))
    return path


def share_weights(path: Path, other: Path) -> int:
    """Let a graph read those of its stored weights that another graph in the same folder holds too from there.

    Args:
        path: The graph that becomes smaller.
        other: The graph that it leans on, which must stay as it is.

    Returns:
        How many bytes are shared.
    """
    import onnx

    held = other.read_bytes()
    model = onnx.load(str(path))
    shared = 0
    for tensor in model.graph.initializer:
        size = len(tensor.raw_data)
        if size >= _SMALL and (offset := held.find(tensor.raw_data)) >= 0:
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", other.name), ("offset", offset), ("length", size)):
                tensor.external_data.add(key=key, value=str(value))
            shared += size
    path.write_bytes(model.SerializeToString())
    return shared


def _trace(
    network: Any,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Mapping[int, str]],
    axes: Mapping[str, Mapping[int, str]],
    path: Path,
) -> None:
    import torch

    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older exporter is deprecated, and the tracer warns of every shape
        torch.onnx.export(
            network.float().cpu().eval(),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={**axes, **outputs},
            opset_version=_OPSET,
            dynamo=False,  # the newer exporter's graphs are not ones that onnxruntime's BERT fusion recognises
        )


def with_plain_attention(model: Any, kind: Any, **options: Any) -> Any:
    """The same weights with attention written out, the form that the fusion knows.

    Args:
        model: A ``transformers`` model.
        kind: The ``Auto`` class to build it with.
        **options: Passed on to the model.
    """
    from transformers import AutoConfig

    config = AutoConfig.for_model(**model.config.to_dict())
    plain = kind.from_config(config, attn_implementation="eager", **options)
    plain.load_state_dict(model.state_dict())
    return plain


def _fused(model: Any, plain: Path) -> Any:
    import onnx
    from onnxruntime.transformers.optimizer import optimize_model

    config = model.config
    if config.model_type != "bert":
        return onnx.load(str(plain))
    heads, width = config.num_attention_heads, config.hidden_size
    graph = optimize_model(str(plain), model_type="bert", num_heads=heads, hidden_size=width, opt_level=0).model
    if not any(opset.domain == "com.microsoft" for opset in graph.opset_import):
        graph.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    return graph


def _name_weights(graph: Any, model: Any) -> None:
    """Give each weight of a float graph the name of the parameter that it equals.

    Where several parameters are equal, the first gives the name, and the graph's metadata says which others it is.
    """
    from onnx import helper, numpy_helper

    names: dict[tuple[tuple[int, ...], bytes], list[str]] = {}
    for name, array in stored_forms(model.state_dict()):
        names.setdefault((array.shape, array.tobytes()), []).append(name)
    renamed: dict[str, str] = {}
    aliases: dict[str, str] = {}
    for tensor in graph.graph.initializer:
        array = numpy_helper.to_array(tensor)
        equal = names.get((array.shape, array.tobytes()))
        if equal and equal[0] not in renamed.values():
            renamed[tensor.name] = equal[0]
            aliases |= dict.fromkeys(equal[1:], equal[0])
            tensor.name = equal[0]
    for node in graph.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
    helper.set_model_props(graph, aliases)


def _store_as_int8(graph: Any) -> None:
    """Replace each large matrix by int8 values, a scale per channel, and the node that multiplies them out."""
    from onnx import helper, numpy_helper

    kept, added, nodes = [], [], []
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.ndim != 2 or array.size < _SMALL or array.dtype != np.float32:
            kept.append(tensor)
            continue
        axis = channel_axis(tensor.name)
        scale = np.maximum(np.abs(array).max(axis=1 - axis), 1e-12) / 127
        integers = np.round(array / np.expand_dims(scale, 1 - axis)).astype(np.int8)
        stored = [f"{tensor.name}_quantized", f"{tensor.name}_scale"]
        added += [
            numpy_helper.from_array(integers, stored[0]),
            numpy_helper.from_array(scale.astype(np.float32), stored[1]),
        ]
        nodes.append(helper.make_node("DequantizeLinear", stored, [tensor.name], axis=axis))
    nodes += [type(node).FromString(node.SerializeToString()) for node in graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept + added)
    graph.node.extend(nodes)
