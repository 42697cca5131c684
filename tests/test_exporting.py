import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import stance
from stance import LABELS, Pair
from stance.checkpoint import Settings, read_settings, verify, write_settings
from stance.classifier import StanceClassifier
from stance.errors import CheckpointError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("onnx")

from toy_model import toy_pairs  # noqa: E402

from stance import exporting  # noqa: E402
from stance.backends.graph_weights import model_from_graph  # noqa: E402
from stance.exporting import export, write_graph, write_tokenizer  # noqa: E402

DATA = Path(__file__).parent.parent / "data"
OUTCOMES = [*map(str, LABELS), "none"]
STEPS = 127
"""Weights run from -127 to 127 times a scale."""


@pytest.fixture(scope="module")
def random_classifier(tiny_bert):
    """A BERT classifier in which no two parameters are alike and every logit differs."""
    torch.manual_seed(1)
    config = transformers.AutoConfig.from_pretrained(
        tiny_bert, id2label=dict(enumerate(OUTCOMES)), label2id={name: i for i, name in enumerate(OUTCOMES)}
    )
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny_bert, config=config).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@pytest.fixture(scope="module")
def served(random_classifier, tiny_bert, tmp_path_factory) -> Path:
    """A checkpoint as it ships: the graph and no safetensors."""
    folder = tmp_path_factory.mktemp("served") / "model"
    folder.mkdir()
    random_classifier.config.save_pretrained(folder)
    write_tokenizer(tiny_bert / "tokenizer.json", folder, 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "_SMALL", 0)  # so that these small matrices are quantised too
        write_graph(random_classifier, folder)
    write_settings(folder, Settings(name="random", version="7", max_tokens=64, max_accusation_tokens=24))
    return folder


@pytest.fixture(scope="module")
def exported(served, tmp_path_factory) -> Path:
    return export(tmp_path_factory.mktemp("exported") / "plain", model=served)


# The graph and the classifier that is rebuilt from it


def test_weights_read_back_from_the_graph_are_those_that_went_in_within_half_a_step(random_classifier, served):
    rebuilt = model_from_graph(served).state_dict()
    for name, weight in random_classifier.state_dict().items():
        if weight.is_floating_point():
            step = weight.abs().max() / STEPS
            assert (rebuilt[name] - weight).abs().max() <= 0.51 * step, name


def test_weights_that_are_not_quantised_come_back_exactly(random_classifier, served):
    rebuilt = model_from_graph(served).state_dict()
    exact = [name for name in rebuilt if "LayerNorm" in name or name.endswith("dense.bias")]
    assert len(exact) > 8
    assert all(torch.equal(rebuilt[name], random_classifier.state_dict()[name]) for name in exact)


def test_the_weights_in_the_graph_are_int8(served):
    import onnx

    stored = {tensor.name: tensor for tensor in onnx.load(served / "model.onnx").graph.initializer}
    assert sum(tensor.data_type == onnx.TensorProto.INT8 for tensor in stored.values()) >= 12
    assert not [n for n, t in stored.items() if len(t.dims) == 2 and t.data_type == onnx.TensorProto.FLOAT]


def test_both_backends_serve_the_same_numbers_from_one_graph(served):
    pairs = toy_pairs(40, seed=9)
    graph, network = (StanceClassifier.load(served, backend=name, threads=1) for name in ("onnx", "torch"))
    assert graph.logits(pairs) == pytest.approx(network.logits(pairs), abs=1e-4)
    assert graph.features(pairs) == pytest.approx(network.features(pairs), abs=1e-4)


def test_the_graph_scores_as_the_network_it_was_made_from_within_quantisation_error(random_classifier, served):
    from stance.backends.torch_network import StanceNetwork, TorchNetwork

    pairs = toy_pairs(40, seed=9)
    graph = StanceClassifier.load(served, backend="onnx", threads=1)
    exact = StanceClassifier(graph.settings, graph._encoder, TorchNetwork(StanceNetwork(random_classifier)), served)
    apart = np.abs(graph.logits(pairs) - exact.logits(pairs)).max()
    assert 0 < apart < 0.1 * exact.logits(pairs).std()


def test_a_graph_that_lacks_a_weight_is_named(served, tiny_folder, tmp_path):
    shutil.copyfile(served / "config.json", tmp_path / "config.json")
    shutil.copyfile(tiny_folder / "model.onnx", tmp_path / "model.onnx")
    with pytest.raises(CheckpointError, match=r"model\.onnx does not hold the weight bert\.embeddings"):
        model_from_graph(tmp_path)


# The exported folder


def test_plain_transformers_opens_the_export_and_scores_as_we_do(exported):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(exported).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported)
    classifier = stance.load(exported, backend="torch")
    for pair in toy_pairs(6, seed=2):
        with torch.inference_mode():
            plain = model(**tokenizer(pair.accusation, pair.response, return_tensors="pt")).logits[0].numpy()
        assert classifier.logits([pair])[0] == pytest.approx(plain, abs=1e-5)


def test_a_plain_batch_with_padding_scores_as_ours(exported):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(exported).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported)
    pairs = [Pair(accusation="they said", response="we admit"), *toy_pairs(5)]
    texts = [p.accusation for p in pairs], [p.response for p in pairs]
    with torch.inference_mode():
        plain = model(**tokenizer(*texts, padding=True, return_tensors="pt")).logits.numpy()
    assert stance.load(exported, backend="torch").logits(pairs) == pytest.approx(plain, abs=1e-5)


def test_token_types_survive_the_reload(exported):
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported)
    encoded = tokenizer("they said", "we admit")
    assert "token_type_ids" in tokenizer.model_input_names
    assert set(encoded["token_type_ids"]) == {0, 1}
    assert tokenizer.model_max_length == 64


def test_the_labels_names_are_in_the_config(exported):
    config = json.loads((exported / "config.json").read_text())
    assert [config["id2label"][str(i)] for i in range(5)] == OUTCOMES
    assert config["label2id"] == {name: i for i, name in enumerate(OUTCOMES)}


def test_the_export_is_a_checkpoint_with_the_same_calibration_and_the_same_answers(served, exported):
    before, after = read_settings(served), read_settings(exported)
    assert replace(after, files={}) == replace(before, files={})
    assert set(after.files) == {*before.files, "model.safetensors"}
    verify(exported, after)
    pairs = toy_pairs(10)
    assert StanceClassifier.load(exported, threads=1).classify_pairs(pairs) == StanceClassifier.load(
        served, threads=1
    ).classify_pairs(pairs)


def test_an_export_writes_over_nothing(served, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for target in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(CheckpointError, match="not an empty folder"):
            export(target, model=served)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_empty_folder_may_be_exported_to(served, tmp_path):
    assert export(tmp_path, model=served) == tmp_path


def test_an_export_that_breaks_off_leaves_nothing(served, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(exporting, "write_settings", full)
    with pytest.raises(OSError, match="no space left"):
        export(tmp_path / "half", model=served)
    assert not list(tmp_path.glob("half*"))


def test_what_is_not_a_checkpoint_is_not_exported(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        export(tmp_path / "out", model=tmp_path / "nothing")
    assert not (tmp_path / "out").exists()


def test_the_special_tokens_of_other_families_are_kept(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["<s>", "<pad>", "</s>", "<unk>", "they", "said"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(tmp_path / "roberta.json"))
    write_tokenizer(tmp_path / "roberta.json", tmp_path, 64)
    plain = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert plain(["they", "they said"], padding=True)["input_ids"] == [[0, 4, 2, 1], [0, 4, 5, 2]]


# The checkpoint that ships


def validation_pairs(n: int) -> list[Pair]:
    """Written pairs of the frozen validation split."""
    splits = json.loads((DATA / "splits.json").read_text(encoding="utf-8"))["documents"]
    rows = [json.loads(line) for line in (DATA / "written_pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if splits[f"written:{min([row['id'], *row['twins']])}"] == "validation"]
    return [Pair(accusation=row["accusation"], response=row["response"]) for row in rows[:: max(1, len(rows) // n)][:n]]


def test_both_backends_of_the_default_checkpoint_agree(default):
    pairs = validation_pairs(120)
    assert len(pairs) == 120
    graph, network = default.logits(pairs), stance.load(backend="torch").logits(pairs)
    same = (graph.argmax(1) == network.argmax(1)).mean()
    fit = default.settings.calibration
    apart = np.abs(fit.probabilities(graph) - fit.probabilities(network)).max()
    assert same >= 0.99, f"the same label on {same:.1%}"
    assert apart <= 0.05, f"probabilities {apart:.3f} apart"
