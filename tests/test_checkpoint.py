import json
import shutil
import sys
import types
from dataclasses import replace

import pytest

from stance.calibration import Calibration
from stance.checkpoint import (
    DEFAULT,
    FORMAT,
    SETTINGS_FILE,
    TOKENIZER_FILE,
    Settings,
    read_settings,
    resolve,
    verify,
    write_settings,
)
from stance.classifier import StanceClassifier
from stance.errors import CheckpointError
from stance.labels import LABELS, Label


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A checkpoint to damage."""
    return shutil.copytree(tiny_folder, tmp_path / "model")


def edit(folder, **changes):
    path = folder / SETTINGS_FILE
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not ...}))


def test_settings_come_back_as_they_were_written(tmp_path):
    settings = Settings(
        name="mine",
        version="2.1",
        labels=(*LABELS[:2], "apology"),
        max_tokens=128,
        max_accusation_tokens=40,
        calibration=replace(Calibration.identity(3), temperature=1.25, surest=((0.5,) * 101,) * 4),
        base="some/encoder",
        provenance={"train": {"n": 3}, "note": "größer"},
    )
    assert write_settings(tmp_path, settings) == settings
    assert read_settings(tmp_path) == settings


def test_our_labels_come_back_as_labels_and_others_as_names(tmp_path):
    write_settings(tmp_path, Settings(name="mine", labels=("denial", "apology"), calibration=Calibration.identity(2)))
    assert [type(label) for label in read_settings(tmp_path).labels] == [Label, str]


def test_every_file_is_hashed_and_no_draft_is_left(tiny_folder):
    settings = read_settings(tiny_folder)
    assert set(settings.files) == {"tokenizer.json", "model.onnx"}
    assert not list(tiny_folder.glob("*.tmp"))
    verify(tiny_folder, settings)


def test_the_digest_follows_what_decides_a_prediction_and_nothing_else(tiny_folder):
    settings = read_settings(tiny_folder)
    assert replace(settings, name="other", provenance={"x": 1}).digest == settings.digest
    warmer = replace(settings.calibration, temperature=2.0)
    assert replace(settings, calibration=warmer).digest != settings.digest
    assert replace(settings, files={**settings.files, "model.onnx": "0"}).digest != settings.digest
    assert replace(settings, max_tokens=128).digest != settings.digest
    assert replace(settings, max_accusation_tokens=25).digest != settings.digest


# Damage


def test_a_changed_file_is_refused_before_it_is_opened(folder):
    (folder / "model.onnx").write_bytes(b"\0" + (folder / "model.onnx").read_bytes()[1:])
    with pytest.raises(CheckpointError, match=r"model\.onnx has sha256 [0-9a-f]{12}, not [0-9a-f]{12}"):
        StanceClassifier.load(folder)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        StanceClassifier.load(folder)


def test_another_format_is_refused_with_both_numbers(folder):
    edit(folder, format=FORMAT + 1)
    with pytest.raises(CheckpointError, match=f"is of format {FORMAT + 1}; this version of stance reads {FORMAT}"):
        read_settings(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}', "\xff"])
def test_a_damaged_record_is_named(folder, text):
    (folder / SETTINGS_FILE).write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"stance\.json is damaged"):
        StanceClassifier.load(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"calibration": ...},
        {"calibration": {}},
        {"calibration": None},
        {"labels": 4},
        {"max_tokens": "many"},
        {"files": ...},
        {"labels": ["denial"]},
    ],
)
def test_a_record_whose_parts_do_not_fit_is_damaged(folder, changes):
    edit(folder, **changes)
    with pytest.raises(CheckpointError, match=r"stance\.json is damaged"):
        StanceClassifier.load(folder)


@pytest.mark.parametrize(
    "change", [{"temperature": 0}, {"bias": [0, 0, 0]}, {"weight": [[1, 0, 0]] * 4}, {"threshold": [0.5]}]
)
def test_a_calibration_that_does_not_fit_the_labels_is_damaged(folder, change):
    values = json.loads((folder / SETTINGS_FILE).read_text())["calibration"]
    edit(folder, calibration={**values, **change})
    with pytest.raises(CheckpointError, match=r"stance\.json is damaged"):
        StanceClassifier.load(folder)


def test_a_folder_of_another_tool_is_told_apart_and_its_use_is_shown(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"was not written by stance.*fine_tune"):
        read_settings(tmp_path)


def test_a_checkpoint_without_a_network_is_named(folder):
    (folder / "model.onnx").unlink()
    write_settings(folder, read_settings(folder))
    for backend, message in (("onnx", "has no model.onnx"), ("torch", "has neither"), ("auto", "has neither")):
        with pytest.raises(CheckpointError, match=message):
            StanceClassifier.load(folder, backend=backend)


def test_a_window_that_cannot_be_is_refused(folder):
    edit(folder, max_accusation_tokens=64)
    with pytest.raises(CheckpointError, match="must leave room"):
        StanceClassifier.load(folder)


# Names


def test_default_is_the_checkpoint_inside_the_package():
    assert resolve("default") == DEFAULT
    assert DEFAULT.parent.name == "stance"


@pytest.mark.parametrize("name", ["nowhere", "./a/b", "/no/such/folder", "a/b/c", "~/no-such-checkpoint"])
def test_a_path_that_is_not_there_is_never_looked_up_on_a_hub(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match="no checkpoint folder at"):
        resolve(name)


def test_a_file_is_not_a_checkpoint(folder):
    with pytest.raises(CheckpointError, match="no checkpoint folder at"):
        resolve(folder / TOKENIZER_FILE)


def test_a_hub_name_is_fetched_and_a_hub_that_fails_is_reported(tmp_path, monkeypatch):
    def fetch(name):
        if name == "somebody/model":
            return str(tmp_path)
        raise OSError("offline")

    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(snapshot_download=fetch))
    assert resolve("somebody/model") == tmp_path
    with pytest.raises(CheckpointError, match="did not give 'somebody/other': offline"):
        resolve("somebody/other")


def test_a_hub_name_without_the_hubs_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match="needs huggingface_hub"):
        resolve("somebody/model")
