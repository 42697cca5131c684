"""What the tests share: classifiers and encoders made from nothing, and the checkpoint that ships."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from tiny_checkpoint import write_tiny_checkpoint
from tiny_encoders import write_tiny_encoder
from toy_model import toy_classifier

import stance
from stance.checkpoint import DEFAULT, ONNX_FILE
from stance.classifier import StanceClassifier

settings.register_profile("stance", deadline=None, max_examples=50)  # a busy machine is no failure
settings.load_profile("stance")


@pytest.fixture(scope="session")
def toy() -> StanceClassifier:
    """A bag of words in memory: right about cue words, the same on every machine."""
    return toy_classifier()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint of a few kilobytes on disk. Do not change it; copy it."""
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> StanceClassifier:
    """That checkpoint, opened."""
    return StanceClassifier.load(tiny_folder, threads=1)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of two layers with a vocabulary of its own, as a bare encoder."""
    return write_tiny_encoder(tmp_path_factory.mktemp("bert") / "encoder", "bert")


@pytest.fixture(scope="session")
def tiny_deberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random DeBERTa-v2 of two layers, which knows no token types."""
    return write_tiny_encoder(tmp_path_factory.mktemp("deberta") / "encoder", "deberta")


@pytest.fixture(scope="session")
def default() -> StanceClassifier:
    """The checkpoint that ships, served as users get it."""
    if not (DEFAULT / ONNX_FILE).is_file():
        pytest.skip("no default checkpoint in stance/model")
    return stance.load()
