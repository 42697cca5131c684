"""The four stances, their order and their definitions. This module imports nothing of ours."""

from __future__ import annotations

from enum import Enum


class Label(str, Enum):  # noqa: UP042 - StrEnum would print the bare name in repr
    """How a response stands to an accusation (codebook 1.2).

    A ``Label`` is a string: ``Label.DENIAL == "denial"``, and it prints and serialises as one.
    """

    DENIAL = "denial"
    DEMAND_FOR_EVIDENCE = "demand_for_evidence"
    COUNTER_ACCUSATION = "counter_accusation"
    ACKNOWLEDGMENT = "acknowledgment"

    def __str__(self) -> str:
        return self.value


LABELS: tuple[Label, ...] = tuple(Label)
"""The one order of labels: column *i* of every array of stances is ``LABELS[i]``."""

NONE = "none"
"""The name of the fifth outcome, a response that carries none of the stances. Always the last column."""

DEFINITIONS: dict[Label, str] = {
    Label.DENIAL: "says that the charge, or a substantive part of it, is not so",
    Label.DEMAND_FOR_EVIDENCE: "challenges the grounds of the charge: asks for proof, or rests on proof being absent",
    Label.COUNTER_ACCUSATION: "turns the charge against the accuser, the accuser's side or a third party",
    Label.ACKNOWLEDGMENT: "concedes the charge or a substantive part of it, or justifies an act that it does not dispute",
}


def as_label(name: str) -> str:
    """Give the ``Label`` of that name, or the name itself where a checkpoint brings labels of its own."""
    return Label(name) if name in Label._value2member_map_ else name
