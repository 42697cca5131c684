"""Labelled pairs -> a new checkpoint.

``fine_tune`` is the verb for users; ``train_checkpoint`` trains on given splits and is what it is made of.
"""

from stance.finetuning.checkpoints import train_checkpoint, write_checkpoint
from stance.finetuning.recipe import Recipe
from stance.finetuning.retraining import CONTINUED, FineTuned, fine_tune

__all__ = ["CONTINUED", "FineTuned", "Recipe", "fine_tune", "train_checkpoint", "write_checkpoint"]
