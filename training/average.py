"""Average the weights of checkpoints: ``python -m training.average runs/a runs/b --output runs/averaged``.

The checkpoints must come from one run and its continuations, so that they lie in one valley (Izmailov et al. 2018).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from stance.backends.torch_network import read_model
from stance.checkpoint import TOKENIZER_FILE, read_settings
from stance.encoding import Encoder
from stance.errors import CheckpointError
from stance.finetuning import Recipe, write_checkpoint
from training.corpora import digest, read_split


def main(
    checkpoints: Annotated[list[Path], typer.Argument(help="Two checkpoints or more.")],
    output: Annotated[Path, typer.Option(help="The averaged checkpoint's folder.")],
    texts: Annotated[Path | None, typer.Option(help="Folder of the corpora; ../shared if not given.")] = None,
) -> None:
    """Average, calibrate on validation, write."""
    if len(checkpoints) < 2:
        raise CheckpointError("name two checkpoints or more to average")
    settings = read_settings(checkpoints[-1])
    draft = output.with_name(output.name + ".partial")
    draft.mkdir(parents=True, exist_ok=True)
    for name in (TOKENIZER_FILE, "tokenizer_config.json"):
        shutil.copyfile(checkpoints[-1] / name, draft / name)
    validation = read_split("validation", texts=texts)
    folder = write_checkpoint(
        averaged([read_model(path) for path in checkpoints]),
        Encoder.from_file(draft / TOKENIZER_FILE, settings.max_tokens, settings.max_accusation_tokens),
        validation,
        recipe=Recipe(**settings.provenance["recipe"]),
        labels=settings.labels,
        draft=draft,
        target=output,
        base=settings.base,
        name=settings.name,
        version=settings.version,
        provenance={
            **{key: settings.provenance[key] for key in ("base", "train") if key in settings.provenance},
            "averaged": [read_settings(path).digest for path in checkpoints],
            "validation_digest": digest(validation),
        },
    )
    print(f"wrote {folder}: validation macro-F1 {read_settings(folder).provenance['validation']['macro_f1']}")


def averaged(models: list[Any]) -> Any:
    """The first model with the mean of all models' weights."""
    states = [model.state_dict() for model in models]
    mean = {
        name: torch.stack([state[name].float() for state in states]).mean(0) if value.is_floating_point() else value
        for name, value in states[0].items()
    }
    models[0].load_state_dict(mean)
    return models[0].eval()


if __name__ == "__main__":
    typer.run(main)
