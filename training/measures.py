"""The library's metrics as modules of ``evaluate``, defined here so that no hub is asked for them."""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from stance import metrics
from stance.labels import LABELS


def _features(sets: bool) -> datasets.Features:
    value = datasets.Value("string")
    column = datasets.Sequence(value) if sets else value
    return datasets.Features({"predictions": column, "references": column})


class PrimaryVerdict(evaluate.Metric):
    """Macro-F1 over the stances and none, and accuracy, of primary verdicts given by name."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="macro-F1 over all outcomes, absent ones included, and accuracy",
            citation="",
            inputs_description="predictions and references: 'none' or the name of a stance",
            features=_features(sets=False),
        )

    def _compute(self, predictions: list[str], references: list[str], **_: Any) -> dict[str, float]:
        gold, predicted = metrics.indices(references), metrics.indices(predictions)
        return {
            "macro_f1": metrics.macro_f1(gold, predicted, len(LABELS) + 1),
            "accuracy": float((gold == predicted).mean()),
        }


class StanceSets(evaluate.Metric):
    """Micro-F1 of sets of stances."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="micro-F1 of sets of stances",
            citation="",
            inputs_description="predictions and references: lists of names of stances, empty for none",
            features=_features(sets=True),
        )

    def _compute(self, predictions: list[list[str]], references: list[list[str]], **_: Any) -> dict[str, float]:
        return {"micro_f1": metrics.micro_f1(metrics.membership(references), metrics.membership(predictions))}
