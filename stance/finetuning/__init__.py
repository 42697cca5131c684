"""Labelled pairs -> a new checkpoint.

``fine_tune`` is the verb for users; ``train_checkpoint`` trains on given splits and is what it is made of.
"""

from importlib.util import find_spec

from stance.errors import MissingExtraError

for _package in ("torch", "transformers", "accelerate", "onnx"):
    if find_spec(_package) is None:
        raise MissingExtraError(_package, "train", "training a checkpoint")

from stance.finetuning.checkpoints import train_checkpoint, write_checkpoint  # noqa: E402
from stance.finetuning.recipe import Recipe  # noqa: E402
from stance.finetuning.retraining import CONTINUED, FineTuned, default_recipe, fine_tune  # noqa: E402

__all__ = ["CONTINUED", "FineTuned", "Recipe", "default_recipe", "fine_tune", "train_checkpoint", "write_checkpoint"]
