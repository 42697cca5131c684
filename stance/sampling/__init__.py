"""What to label next, what is labelled wrongly, how far readers agree, and what more labels would bring.

All of it rests on the encoder of a checkpoint, held fixed: its features under a logistic regression stand in for a
model that would take minutes to train.
"""

from stance.api import Model, open_model
from stance.sampling.growth import LearningCurve, learning_curve
from stance.sampling.heads import light_head
from stance.sampling.readers import Agreement, agreement
from stance.sampling.selection import LabelIssue, Suggestion, label_issues, suggest

__all__ = [
    "Agreement",
    "LabelIssue",
    "LearningCurve",
    "Model",
    "Suggestion",
    "agreement",
    "label_issues",
    "learning_curve",
    "light_head",
    "open_model",
    "suggest",
]
