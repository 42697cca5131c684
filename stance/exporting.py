"""Between the two forms of a network: an ordinary ``transformers`` classifier and the int8 graph that is served.

The graph keeps the names of the weights it was made from, so the classifier can be rebuilt from it; the rebuilt one
carries the very weights that the graph serves, int8 times scale.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stance.checkpoint import (
    CARD_FILE,
    HEADS_FILE,
    ONNX_FILE,
    TOKENIZER_FILE,
    read_settings,
    resolve,
    verify,
    write_settings,
)
from stance.encoding import Batch
from stance.errors import CheckpointError, MissingExtraError

_FUSED = {"self.query": 0, "self.key": 1, "self.value": 2}
_OPSET = 17
_SMOOTH = ".smooth"
_SMOOTHING = 0.7
"""How much of a channel's range goes from the activations into the weights, 0..1; found by trial on validation."""


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
    source, target = resolve(model), Path(output)
    settings = read_settings(source)
    verify(source, settings)
    if target.exists() and any(target.iterdir()):
        raise CheckpointError(f"{target} is not empty; name a new folder")
    try:
        from stance.backends.torch_network import read_model
    except ImportError as error:
        raise MissingExtraError(str(error.name), "train", "export") from error
    target.mkdir(parents=True, exist_ok=True)
    read_model(source).save_pretrained(target)
    write_tokenizer(source / TOKENIZER_FILE, target, settings.max_tokens)
    for name in (ONNX_FILE, HEADS_FILE, CARD_FILE):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    write_settings(target, settings)
    return target


def write_tokenizer(source: Path, target: Path, max_tokens: int) -> None:
    """Write ``tokenizer.json`` and what ``AutoTokenizer`` needs beside it."""
    from transformers import PreTrainedTokenizerFast

    special = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(source))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    known = {key: value for key, value in special.items() if tokenizer.token_to_id(value) is not None}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_tokens,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **known,
    ).save_pretrained(target)


def write_graph(model: Any, folder: Path, sample: Sequence[Batch] = ()) -> Path:
    """Export a ``transformers`` classifier as a fused int8 graph.

    Weights take 7 of 8 bits, because CPUs without VNNI saturate on the eighth and would score differently. A few hidden
    channels are far larger than the rest; they are scaled down, and their weights up, before quantising.

    Args:
        model: An ``AutoModelForSequenceClassification``.
        folder: Where ``model.onnx`` goes.
        sample: Some batches of real pairs, from which the scales of the channels are measured; without them nothing is
            scaled.

    Source: Xiao et al. 2023 (SmoothQuant) for the scaling.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as scratch:
        plain, fused = Path(scratch) / "plain.onnx", Path(scratch) / "fused.onnx"
        _trace(model, plain)
        _fuse(model, plain, fused)
        if sample:
            _smooth(fused, sample)
        quantize_dynamic(
            str(fused),
            str(folder / ONNX_FILE),
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            op_types_to_quantize=["MatMul", "Attention", "EmbedLayerNormalization", "Gather"],
            extra_options={"DefaultTensorType": 1},  # float: shape inference cannot see through fused nodes
        )
    return folder / ONNX_FILE


def _trace(model: Any, path: Path) -> None:
    import torch

    from stance.backends.torch_network import StanceNetwork

    network = StanceNetwork(_with_plain_attention(model)).float().cpu().eval()
    ids = torch.arange(10, 34).reshape(2, 12)
    types = torch.zeros_like(ids)
    types[:, 6:] = 1
    names = ["input_ids", "attention_mask", "token_type_ids"]
    axes = {name: {0: "pairs", 1: "tokens"} for name in names} | {"logits": {0: "pairs"}, "features": {0: "pairs"}}
    with torch.inference_mode():
        torch.onnx.export(
            network,
            (ids, torch.ones_like(ids), types),
            str(path),
            input_names=names,
            output_names=["logits", "features"],
            dynamic_axes=axes,
            opset_version=_OPSET,
            dynamo=False,  # the newer exporter's graphs are not ones that onnxruntime's BERT fusion recognises
        )


def _with_plain_attention(model: Any) -> Any:
    """The same weights with attention written out, the form that the fusion knows."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.for_model(**model.config.to_dict())
    plain = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    plain.load_state_dict(model.state_dict())
    return plain


def _fuse(model: Any, plain: Path, fused: Path) -> None:
    import onnx
    from onnxruntime.transformers.optimizer import optimize_model

    config = model.config
    if config.model_type == "bert":
        graph = optimize_model(
            str(plain), model_type="bert", num_heads=config.num_attention_heads, hidden_size=config.hidden_size, opt_level=0
        ).model
    else:
        graph = onnx.load(str(plain))
    if not any(opset.domain == "com.microsoft" for opset in graph.opset_import):
        graph.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    _name_weights(graph, model)
    onnx.save(graph, str(fused))


def _name_weights(graph: Any, model: Any) -> None:
    """Give each weight of a float graph the name of the parameter that it equals."""
    from onnx import numpy_helper

    names = {(array.shape, array.tobytes()): name for name, array in _stored_forms(model.state_dict())}
    renamed: dict[str, str] = {}
    for tensor in graph.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if (name := names.get((array.shape, array.tobytes()))) and name not in renamed.values():
            renamed[tensor.name] = name
            tensor.name = name
    for node in graph.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)


def _smooth(path: Path, sample: Sequence[Batch]) -> None:
    """Move the outliers of activations into weights: each product ``x @ W`` becomes ``(x / s) @ (s W)``."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(path))
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) == 2}
    products = [n for n in graph.node if n.op_type in ("MatMul", "Attention") and n.input[1] in weights]
    largest = _largest_activations(model, {node.input[0] for node in products}, sample)
    nodes = []
    for node in graph.node:
        if node.op_type in ("MatMul", "Attention") and node.input[1] in weights:
            source, name = node.input[0], node.input[1]
            weight = numpy_helper.to_array(weights[name])
            scale = _channel_scale(largest[source], np.abs(weight).max(axis=1))
            weights[name].CopyFrom(numpy_helper.from_array(weight * scale[:, None], name))
            graph.initializer.append(numpy_helper.from_array(1 / scale, f"{name}{_SMOOTH}"))
            nodes.append(helper.make_node("Mul", [source, f"{name}{_SMOOTH}"], [f"{name}.input"]))
            node.input[0] = f"{name}.input"
        nodes.append(node)
    ordered = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(ordered)
    onnx.save(model, str(path))


def _channel_scale(activation: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Share the range of a channel between activation and weight; float32, geometric mean 1."""
    scale = np.maximum(activation, 1e-5) ** _SMOOTHING / np.maximum(weight, 1e-5) ** (1 - _SMOOTHING)
    return np.asarray(scale / np.exp(np.log(scale).mean()), dtype=np.float32)


def _largest_activations(model: Any, names: set[str], sample: Sequence[Batch]) -> dict[str, np.ndarray]:
    """The largest absolute value of each channel of some tensors of a graph, over the tokens of a sample."""
    import onnxruntime
    from onnx import helper

    probe = type(model).FromString(model.SerializeToString())
    wanted = sorted(names)
    probe.graph.output.extend(helper.make_tensor_value_info(name, 1, None) for name in wanted)
    session = onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    largest: dict[str, np.ndarray] = {}
    for batch in sample:
        feed = {name: getattr(batch, name) for name in ("input_ids", "attention_mask", "token_type_ids")}
        for name, values in zip(wanted, session.run(wanted, feed), strict=True):
            tokens = values[batch.attention_mask.astype(bool)] if values.ndim == 3 else values
            peak = np.abs(tokens).max(axis=0)
            largest[name] = np.maximum(largest[name], peak) if name in largest else peak
    return largest


def _stored_forms(state: Any) -> Iterator[tuple[str, np.ndarray]]:
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
    graph = onnx.load(str(folder / ONNX_FILE)).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    model = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(folder))
    state = {}
    for name, value in model.state_dict().items():
        found = _find_weight(name, stored)
        if found is None and name.endswith("position_ids"):
            continue
        if found is None or found.shape != tuple(value.shape):
            raise CheckpointError(f"{folder / ONNX_FILE} does not hold the weight {name}")
        state[name] = torch.from_numpy(np.ascontiguousarray(found, dtype=np.float32))
    model.load_state_dict(state, strict=False)
    return model.eval()


def _find_weight(name: str, stored: dict[str, np.ndarray]) -> np.ndarray | None:
    if (array := _dequantised(name, stored)) is not None:
        return array
    for transposed in (f"{name}.T", f"{name}_Transposed"):  # the second is the quantiser's own name
        if (array := _dequantised(transposed, stored)) is not None:
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
    integers = stored[f"{name}_quantized"].astype(np.float32)
    scale, zero = stored[f"{name}_scale"], stored[f"{name}_zero_point"].astype(np.float32)
    weight = (integers - zero) * scale
    if (smooth := stored.get(f"{name}{_SMOOTH}")) is not None:
        weight = weight * smooth[:, None]
    return np.asarray(weight, dtype=np.float32)
