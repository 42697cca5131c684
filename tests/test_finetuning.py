import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stance import LABELS, LabelledPair, StanceClassifier, metrics
from stance.checkpoint import read_settings
from stance.errors import CheckpointError, InputError, LabelError

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytest.importorskip("onnx")

from toy_model import FILLERS, toy_pairs

from stance.finetuning import Recipe, train_checkpoint, training
from stance.finetuning.rows import LengthBuckets, Rows

QUICK = Recipe(
    epochs=2, learning_rate=3e-3, layer_decay=1.0, batch_size=16, balance=0.0, freeze_embeddings=False,
    max_tokens=48, max_accusation_tokens=16, seed=3,
)  # fmt: skip


def splits(train=80, validation=20):
    """Pairs that follow a trivial rule, apart by document."""
    return toy_pairs(train, seed=1), [
        replace(p, document_id=f"v{i}") for i, p in enumerate(toy_pairs(validation, seed=2))
    ]


def weights(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


def accuracy(classifier: StanceClassifier, pairs: list[LabelledPair]) -> float:
    gold = metrics.indices([p.label for p in pairs], classifier.labels)
    return float((classifier.logits(pairs).argmax(1) == gold).mean())


class Killed(BaseException):
    """Not an Exception, so that nothing on the way may swallow it."""


@pytest.fixture(scope="module")
def learned(tiny_bert, tmp_path_factory) -> Path:
    train, validation = splits(320, 60)
    return train_checkpoint(
        train,
        validation,
        output=tmp_path_factory.mktemp("learned") / "toy",
        base=tiny_bert,
        recipe=replace(QUICK, epochs=14),
        version="3",
        provenance={"train": {"n": 320}},
        progress=False,
    )


# Learning


def test_questions_beside_the_stances_are_learned_too(tiny_bert, tmp_path):
    """What an untrained encoder's features tell poorly, those of one that was asked tell well."""
    sklearn = pytest.importorskip("sklearn.linear_model")
    train, validation = splits(96)
    early = set(FILLERS[: len(FILLERS) // 2])
    asked = [(p, {"early": p.accusation.split()[3] in early}) for p in toy_pairs(200, seed=5)]
    truth = np.array([answers["early"] for _, answers in asked])
    assert 0.3 < truth.mean() < 0.7
    losses = {}
    for name, beside in (("alone", []), ("beside", asked)):
        folder = train_checkpoint(
            train, validation, output=tmp_path / name, base=tiny_bert, recipe=replace(QUICK, epochs=6, beside=2.0),
            beside=beside, progress=False,
        )  # fmt: skip
        features = StanceClassifier.load(folder, backend="torch").features([p for p, _ in asked])
        head = sklearn.LogisticRegression(max_iter=50, C=1.0).fit(features[:100], truth[:100])
        losses[name] = -head.predict_log_proba(features[100:])[np.arange(100), truth[100:].astype(int)].mean()
    assert losses["beside"] < losses["alone"]


def test_a_question_about_a_training_pair_takes_no_row_of_its_own(learned):
    encoder = StanceClassifier.load(learned, threads=1)._encoder
    pairs = toy_pairs(4, seed=1)
    spaced = replace(pairs[2], response=f"  {pairs[2].response} ")
    rows = Rows(
        pairs,
        encoder,
        LABELS,
        [(spaced, {"answers": True}), (toy_pairs(1, seed=9)[0], {"odd": False})],
        ["answers", "odd"],
    )
    assert len(rows) == 5 and rows[4]["weight"] == 0
    assert rows[2]["answers"].tolist()[0] == 1 and np.isnan(rows[2]["answers"][1])
    assert np.isnan(rows[0]["answers"]).all() and rows[4]["answers"][1] == 0


def test_a_trivial_rule_is_learned_from_random_weights(learned):
    unseen = toy_pairs(100, seed=77)
    for backend in ("torch", "onnx"):
        assert accuracy(StanceClassifier.load(learned, backend=backend, threads=1), unseen) > 0.9


def test_the_checkpoint_is_whole_calibrated_and_says_how_it_was_made(learned):
    settings = read_settings(learned)
    assert (settings.name, settings.version, settings.labels) == ("toy", "3", LABELS)
    assert set(settings.files) == {"tokenizer.json", "model.onnx", "model.safetensors"}
    assert len(settings.calibration.surest) == 5
    assert settings.provenance["train"] == {"n": 320}
    assert settings.provenance["recipe"]["seed"] == 3
    assert settings.provenance["validation"]["n"] == 60
    assert settings.provenance["validation"]["macro_f1"] > 0.9
    assert not list(learned.parent.glob("*.partial"))
    assert not (learned / "run").exists() and not (learned / "run.txt").exists()


def test_reloaded_scores_are_those_of_plain_transformers(learned):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(learned),
        AutoTokenizer.from_pretrained(learned),
    )
    classifier = StanceClassifier.load(learned, backend="torch")
    for pair in toy_pairs(5, seed=8):
        with torch.inference_mode():
            plain = model.eval()(**tokenizer(pair.accusation, pair.response, return_tensors="pt")).logits[0]
        assert classifier.logits([pair])[0] == pytest.approx(plain.numpy(), abs=1e-5)


def test_a_checkpoint_that_scores_differently_when_reopened_gets_no_name(tiny_bert, tmp_path, monkeypatch):
    from stance.backends import torch_network

    read = torch_network.read_model

    def wrong(folder):
        model = read(folder)
        model.classifier.bias.data += 0.01
        return model

    monkeypatch.setattr(torch_network, "read_model", wrong)
    with pytest.raises(CheckpointError, match="scores differently when it is opened again"):
        train_checkpoint(
            *splits(16, 8), output=tmp_path / "new", base=tiny_bert, recipe=replace(QUICK, epochs=1), progress=False
        )
    assert not (tmp_path / "new").exists()


def test_a_checkpoint_can_be_trained_further_and_keeps_what_it_knew(learned, tmp_path):
    train, validation = splits(40, 20)
    folder = train_checkpoint(
        train, validation, output=tmp_path / "more", base=learned, recipe=replace(QUICK, epochs=1, learning_rate=1e-4),
        progress=False,
    )  # fmt: skip
    assert accuracy(StanceClassifier.load(folder, threads=1), toy_pairs(60, seed=78)) > 0.9


# Other labels


def renamed(pairs, names):
    table = dict(zip(map(str, LABELS), names, strict=True)) | {None: None}
    return [replace(p, label=table[p.label], labels=tuple(table[x] for x in p.labels)) for p in pairs]


@pytest.mark.parametrize("base", ["encoder", "checkpoint"])
def test_new_label_sets_are_learned_and_served(base, tiny_bert, learned, tmp_path):
    names = ("praise", "blame", "advice") if base == "encoder" else ("w", "x", "y", "z")
    train, validation = splits(160, 40)
    if base == "encoder":
        train, validation = ([p for p in part if p.label != LABELS[3]] for part in (train, validation))
        table = dict(zip(LABELS, names, strict=False))
        train, validation = (
            [replace(p, label=p.label and table[p.label], labels=tuple(table[x] for x in p.labels)) for p in part]
            for part in (train, validation)
        )
    else:
        train, validation = renamed(train, names), renamed(validation, names)
    folder = train_checkpoint(
        train,
        validation,
        output=tmp_path / "new",
        base=tiny_bert if base == "encoder" else learned,
        labels=names,
        recipe=replace(QUICK, epochs=14),
        progress=False,
    )
    classifier = StanceClassifier.load(folder, threads=1)
    assert classifier.labels == names
    assert accuracy(classifier, validation) > 0.8
    assert list(classifier.classify("they said", "never untrue").probabilities) == [*names, "none"]
    config = json.loads((folder / "config.json").read_text())
    assert list(config["id2label"].values()) == [*names, "none"]


def test_a_head_of_other_labels_starts_anew_even_where_the_count_is_the_same(learned, tmp_path):
    from stance.finetuning.network import start

    names = tuple(reversed(LABELS))
    model, _ = start(learned, names, QUICK, tmp_path)
    assert model.config.id2label[0] == "acknowledgment"
    assert not np.array_equal(model.classifier.weight.detach().numpy(), weights(learned)["classifier.weight"])
    kept = "bert.encoder.layer.0.attention.self.query.weight"
    assert np.array_equal(model.state_dict()[kept].numpy(), weights(learned)[kept])


# Killed and taken up again


@pytest.mark.parametrize("steps", [2, 7])
def test_a_killed_run_goes_on_and_ends_with_the_weights_of_an_unbroken_one(steps, tiny_bert, tmp_path, monkeypatch):
    train, validation = splits(80, 20)  # five steps an epoch, so the second kill falls into the second epoch
    recipe = replace(QUICK, accusation_dropout=0.3)
    arguments = {"base": tiny_bert, "recipe": recipe, "progress": False}
    unbroken = train_checkpoint(train, validation, output=tmp_path / "unbroken", **arguments)
    _kill_after(steps, monkeypatch)
    with pytest.raises(Killed):
        train_checkpoint(train, validation, output=tmp_path / "broken", **arguments)
    monkeypatch.undo()
    saved = sorted(p.name for p in (tmp_path / "broken.partial" / "run").glob("checkpoint-*"))
    assert saved == ([] if steps < 5 else ["checkpoint-5"])
    assert not (tmp_path / "broken").exists()
    resumed = train_checkpoint(train, validation, output=tmp_path / "broken", **arguments)
    expected, got = weights(unbroken), weights(resumed)
    assert expected.keys() == got.keys()
    assert all(np.array_equal(expected[name], got[name]) for name in expected)
    assert read_settings(resumed).calibration == read_settings(unbroken).calibration


def _kill_after(steps: int, monkeypatch) -> None:
    original, taken = training.LayerwiseTrainer.training_step, []

    def step(self, *args, **options):
        if len(taken) == steps:
            raise Killed
        taken.append(1)
        return original(self, *args, **options)

    monkeypatch.setattr(training.LayerwiseTrainer, "training_step", step)


def test_a_save_that_was_cut_short_is_passed_over(tiny_bert, tmp_path, monkeypatch):
    train, validation = splits(80, 20)
    arguments = {"base": tiny_bert, "recipe": QUICK, "progress": False}
    _kill_after(7, monkeypatch)
    with pytest.raises(Killed):
        train_checkpoint(train, validation, output=tmp_path / "new", **arguments)
    monkeypatch.undo()
    run = tmp_path / "new.partial" / "run"
    (shutil.copytree(run / "checkpoint-5", run / "checkpoint-10") / "trainer_state.json").unlink()
    assert train_checkpoint(train, validation, output=tmp_path / "new", **arguments).is_dir()


def test_a_run_on_other_pairs_is_not_taken_up(tiny_bert, tmp_path, monkeypatch):
    train, validation = splits(32, 10)
    _kill_after(1, monkeypatch)
    with pytest.raises(Killed):
        train_checkpoint(train, validation, output=tmp_path / "new", base=tiny_bert, recipe=QUICK, progress=False)
    monkeypatch.undo()
    for pairs, recipe in ((train[1:], QUICK), (train, replace(QUICK, seed=4))):
        with pytest.raises(CheckpointError, match=r"new\.partial holds an unfinished run on other pairs or settings"):
            train_checkpoint(pairs, validation, output=tmp_path / "new", base=tiny_bert, recipe=recipe, progress=False)


def test_a_folder_that_is_not_a_run_is_left_alone(tiny_bert, tmp_path):
    (tmp_path / "new.partial").mkdir()
    (tmp_path / "new.partial" / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="unfinished run"):
        train_checkpoint(*splits(16, 8), output=tmp_path / "new", base=tiny_bert, recipe=QUICK, progress=False)
    assert (tmp_path / "new.partial" / "notes.txt").read_text() == "mine"


# What is refused before anything is written


def refused(tmp_path, train, validation, **options):
    try:
        train_checkpoint(
            train, validation, output=tmp_path / "new", recipe=QUICK, progress=False, **{"base": "no-such", **options}
        )
    finally:
        assert list(tmp_path.iterdir()) == []


def test_splits_that_share_a_document_are_refused(tmp_path):
    train, validation = splits()
    with pytest.raises(InputError, match="1 documents are in both splits, 'd3' first; split by document"):
        refused(tmp_path, train, [*validation, replace(validation[0], document_id="d3")])


@pytest.mark.parametrize(("train", "validation"), [(0, 5), (5, 0)])
def test_an_empty_split_is_refused(tmp_path, train, validation):
    with pytest.raises(InputError, match=f"{train} train, {validation} validation"):
        refused(tmp_path, *splits(train, validation))


def test_a_label_outside_the_set_is_refused(tmp_path, tiny_bert):
    train, validation = splits(16, 8)
    with pytest.raises(LabelError, match="'denial' is not a label; the labels are praise, none"):
        refused(tmp_path, train, validation, labels=("praise",), base=tiny_bert)


def test_an_output_that_exists_is_refused(tiny_bert, tmp_path):
    (tmp_path / "new").mkdir()
    with pytest.raises(CheckpointError, match="exists; name a new folder"):
        train_checkpoint(*splits(16, 8), output=tmp_path / "new", base=tiny_bert, recipe=QUICK)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch_size": 0}, {"smoothing": 0.6, "second_stance": 0.4}])
def test_a_recipe_that_cannot_be_is_refused(wrong):
    with pytest.raises(InputError):
        Recipe(**wrong)


# Batches


def test_batches_hold_like_lengths_and_every_row_once():
    lengths = np.random.default_rng(0).integers(5, 200, 330)
    sampler = LengthBuckets(lengths, 16, seed=0)
    order = list(sampler)
    assert sorted(order) == list(range(330))
    assert len(sampler) == 330
    spread = [np.ptp(lengths[order[i : i + 16]]) for i in range(0, 320, 16)]
    assert np.mean(spread) < 0.2 * np.ptp(lengths)


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        sampler = LengthBuckets(range(100), 8, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(1, 1) == order(1, 1)
    assert order(1, 1) != order(1, 2) != order(2, 2)


# An encoder of another family


def test_a_deberta_trains_and_serves_with_both_backends(tiny_deberta, tmp_path):
    train, validation = splits(160, 40)
    folder = train_checkpoint(
        train,
        validation,
        output=tmp_path / "deberta",
        base=tiny_deberta,
        recipe=replace(QUICK, epochs=14),
        progress=False,
    )
    network, graph = (StanceClassifier.load(folder, backend=name, threads=1) for name in ("torch", "onnx"))
    unseen = toy_pairs(60, seed=79)
    assert accuracy(network, unseen) > 0.8
    assert (network.logits(unseen).argmax(1) == graph.logits(unseen).argmax(1)).mean() >= 0.95
    long = [LabelledPair(accusation="they " * 30, response=f"never {n} " * 30) for n in ("a", "of")]
    assert np.abs(network.logits(long) - graph.logits(long)).max() < 0.5 * network.logits(unseen).std()
