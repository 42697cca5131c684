"""What a checkpoint folder holds, reading and writing it.

    stance.json         settings, calibration, provenance, and the hash of every other file
    tokenizer.json      the tokenizer
    model.onnx          the served graph, int8                                  (one of the two,
    config.json, model.safetensors   an ordinary transformers classifier         or both)
    documents.onnx, documents.npz    the network that finds pairs in documents, and its heads (optional);
                        weights that it shares with model.onnx it reads from there
    README.md           the model card

No file is a pickle, so loading a checkpoint runs nobody's code.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stance.calibration import Calibration
from stance.errors import CheckpointError
from stance.labels import LABELS, as_label

FORMAT = 1
"""The number of this folder layout. Another number is another layout and is refused."""

SETTINGS_FILE = "stance.json"
TOKENIZER_FILE = "tokenizer.json"
ONNX_FILE = "model.onnx"
TORCH_FILE = "model.safetensors"
ARTICLES_FILE = "documents.onnx"
HEADS_FILE = "documents.npz"
CARD_FILE = "README.md"
_HASHED = (TOKENIZER_FILE, ONNX_FILE, TORCH_FILE, ARTICLES_FILE, HEADS_FILE)

DEFAULT = Path(__file__).parent / "model"
"""The folder of the checkpoint that ships with the library."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The content of ``stance.json``.

    Attributes:
        name: What the checkpoint is called in cards and records.
        version: Its version, free text.
        labels: The stances in column order; ``none`` follows as the last outcome.
        max_tokens: The window of the model.
        max_accusation_tokens: How much of it an accusation may take.
        calibration: How logits become probabilities.
        base: Which encoder it was fine-tuned from.
        provenance: Data, seeds and scores, as written by training.
        files: sha256 by file name.
    """

    name: str
    version: str = "1"
    labels: tuple[str, ...] = LABELS
    max_tokens: int = 256
    max_accusation_tokens: int = 96
    calibration: Calibration = field(default_factory=lambda: Calibration.identity(len(LABELS)))
    base: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """A short hash of everything that decides a prediction: files, calibration, labels and window."""
        decided = {
            "files": dict(self.files),
            "calibration": self.calibration.to_dict(),
            "labels": list(self.labels),
            "window": [self.max_tokens, self.max_accusation_tokens],
        }
        return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "labels": [str(label) for label in self.labels],
            "max_tokens": self.max_tokens,
            "max_accusation_tokens": self.max_accusation_tokens,
            "calibration": self.calibration.to_dict(),
            "base": self.base,
            "provenance": dict(self.provenance),
            "files": dict(self.files),
        }


def is_checkpoint(name: str | os.PathLike[str]) -> bool:
    """Whether a name is ``"default"`` or a folder written by stance, and not a bare encoder."""
    return str(name) == "default" or (Path(name) / SETTINGS_FILE).is_file()


def read_settings(folder: Path) -> Settings:
    """Read and check ``stance.json``.

    Raises:
        CheckpointError: The folder or the file is missing, damaged, or of another format.
    """
    path = folder / SETTINGS_FILE
    if not folder.is_dir():
        raise CheckpointError(f"no checkpoint folder at {folder}")
    if not path.is_file():
        raise CheckpointError(
            f"{folder} has no {SETTINGS_FILE}; it was not written by stance. To use an encoder as a start for training: "
            f"stance.fine_tune(pairs, output=..., base={str(folder)!r})"
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise CheckpointError(f"{path} is of format {values['format']!r}; this version of stance reads {FORMAT}")
        labels = tuple(as_label(name) for name in values["labels"])
        calibration = Calibration.from_dict(values["calibration"])
        if len(calibration.bias) != len(labels):
            raise ValueError(f"{len(labels)} labels, but a calibration for {len(calibration.bias)}")
        return Settings(
            name=values["name"],
            version=values["version"],
            labels=labels,
            max_tokens=int(values["max_tokens"]),
            max_accusation_tokens=int(values["max_accusation_tokens"]),
            calibration=calibration,
            base=values["base"],
            provenance=values["provenance"],
            files=values["files"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {type(error).__name__}: {error}") from error


def write_settings(folder: Path, settings: Settings) -> Settings:
    """Hash the files that lie in the folder and write ``stance.json`` last, atomically."""
    files = {name: file_hash(folder / name) for name in _HASHED if (folder / name).is_file()}
    settings = replace(settings, files=files)
    draft = folder / (SETTINGS_FILE + ".tmp")
    draft.write_text(json.dumps(settings.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(draft, folder / SETTINGS_FILE)
    return settings


def verify(folder: Path, settings: Settings) -> None:
    """Compare every file with its recorded hash.

    Raises:
        CheckpointError: A file is missing or differs.
    """
    for name, expected in settings.files.items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{path} is missing, though {SETTINGS_FILE} names it; get the checkpoint anew")
        if (found := file_hash(path)) != expected:
            raise CheckpointError(f"{path} has sha256 {found[:12]}, not {expected[:12]}: damaged or changed by hand")


def file_hash(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def resolve(name: str | os.PathLike[str]) -> Path:
    """Find the folder of ``"default"``, of a path, or of a name on the Hugging Face hub.

    Raises:
        CheckpointError: Nothing is there, or the hub cannot be reached.
    """
    if str(name) == "default":
        return DEFAULT
    path = Path(name).expanduser()
    if path.exists() or path.is_absolute() or len(path.parts) != 2 or str(name).startswith("."):
        if not path.is_dir():
            raise CheckpointError(f"no checkpoint folder at {path}; 'default' is the one that ships")
        return path
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise CheckpointError(
            f"no folder {path} here, and fetching {str(name)!r} from a hub needs huggingface_hub: "
            "in a clone of stance, pip install '.[train]'"
        ) from None
    try:
        return Path(snapshot_download(str(name)))
    except Exception as error:
        raise CheckpointError(f"no folder {path} here, and the hub did not give {str(name)!r}: {error}") from error
