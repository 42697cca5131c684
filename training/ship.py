"""Make a trained checkpoint the default one: ``python -m training.ship runs/stance-minilm-0``.

Copies what serving needs, without the float weights, and writes the pairs that ``stance.fine_tune`` replays and scores.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from stance.checkpoint import (
    ARTICLES_FILE,
    DEFAULT,
    HEADS_FILE,
    ONNX_FILE,
    TOKENIZER_FILE,
    read_settings,
    verify,
    write_settings,
)
from stance.errors import CheckpointError
from stance.finetuning.retraining import KNOWN
from stance.records import LabelledPair
from training.corpora import read_written, split_of

SERVED = (ONNX_FILE, TOKENIZER_FILE, ARTICLES_FILE, HEADS_FILE, "config.json", "tokenizer_config.json")
MOST_REPLAYED = 800


def main(checkpoint: Annotated[Path, typer.Argument(help="A checkpoint with the network that finds pairs.")]) -> None:
    """Put a checkpoint in the place of the default one."""
    settings = read_settings(checkpoint)
    verify(checkpoint, settings)
    if missing := [name for name in SERVED if not (checkpoint / name).is_file()]:
        raise CheckpointError(f"{checkpoint} lacks {', '.join(missing)}; train it with python -m training.articles")
    for name in SERVED:
        shutil.copyfile(checkpoint / name, DEFAULT / name)
    counts = write_known(KNOWN)
    write_settings(DEFAULT, settings)
    print(f"{DEFAULT} now holds {settings.name} {settings.version}; {counts[0]} pairs to replay, {counts[1]} to score")


def write_known(path: Path) -> tuple[int, int]:
    """Write the pairs to replay (of the training split, chosen by hash) and to score (the written test pairs)."""
    pairs = read_written()
    splits = split_of(pairs)
    parts = {
        "replay": _chosen(pairs, splits, "train")[:MOST_REPLAYED],
        "kept": _chosen(pairs, splits, "test"),
    }
    rows = [
        {
            "part": part,
            "accusation": pair.accusation,
            "response": pair.response,
            "labels": list(pair.labels),
            "label": pair.label,
            "document_id": pair.document_id,
            "source": "written",
            "id": pair.id,
        }
        for part, chosen in parts.items()
        for pair in chosen
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return len(parts["replay"]), len(parts["kept"])


def _chosen(pairs: Sequence[LabelledPair], splits: Sequence[str], split: str) -> list[LabelledPair]:
    inside = [pair for pair, held in zip(pairs, splits, strict=True) if held == split]
    return sorted(inside, key=lambda pair: hashlib.sha256(pair.id.encode()).hexdigest())


if __name__ == "__main__":
    typer.run(main)
