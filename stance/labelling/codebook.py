"""The codebook (version 1.2) as the page shows it: short, one key away. ``data/CODEBOOK.md`` is the whole of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stance.labels import DEFINITIONS, NONE, Label

_CUES: dict[str, str] = {
    Label.DENIAL: "“categorically reject”, “baseless”, “fabricated”, “we had no part in it”, “it was within the law”",
    Label.DEMAND_FOR_EVIDENCE: "“show us”, “where is the evidence?”, “no proof has been presented”, “unsubstantiated”",
    Label.COUNTER_ACCUSATION: "“look at your own record”, “a smear”, “provocative”, “the rebels fired it”",
    Label.ACKNOWLEDGMENT: "“mistakes were made”, “we are sorry”, “we had the right to”, “an inquiry is open”",
    NONE: "“no comment”, thanks, a change of subject, “an internal affair”, an ally’s “we stand by our partner”",
}

_NONE_DEFINITION = (
    "takes no stance on the charge: no comment, another subject, a plain call for talks, displeasure alone"
)

_PRIMARY = (
    "A concession of the core charge wins, whatever else is said; where a position changed, the latest counts.",
    "Else the thrust wins: what takes most of the response, or would be the headline.",
    "A formula (“baseless”, a bare “denied”) yields to a worked-out move of another kind.",
    "Still level: demand for evidence, then counter-accusation, then denial.",
)

_LINES = (
    ("“There is no proof.”", "demand for evidence: it contests the grounds"),
    ("“These claims are baseless.” alone", "denial: a formula of rejection"),
    ("“Lies!”, “fake news”", "denial; counter-accusation too where a fabricator or motive is named"),
    ("“A smear”, “a witch hunt”", "counter-accusation; denial too where a clause says the charge is false"),
    ("“We did it, and any state has that right.”", "acknowledgment"),
    ("“We did nothing wrong”, act undisputed", "denial"),
    ("“It was an accident / a rogue employee.”", "acknowledgment: act conceded, intent denied"),
    ("“The rebels fired it.”", "counter-accusation first, and denial"),
    ("“Two of the forty did sign.”", "acknowledgment first, and denial"),
    ("“If there is evidence, hand it over.”", "demand for evidence"),
    ("“We will study the report.”", "acknowledgment if it treats the concern as legitimate, else none"),
    ("“We regret how this was perceived.”", "none, or acknowledgment if any fault is taken"),
)


def codebook(labels: Sequence[str]) -> dict[str, Any]:
    """What the page shows for these labels; the rules and lines belong to the four stances alone.

    Returns:
        ``labels`` (name, definition and cues of each label and of none), ``primary`` (the rules in order) and
        ``lines`` (what a response says, how it is labelled).
    """
    names = [str(label) for label in labels]
    ours = set(names) <= {str(label) for label in Label}
    definitions = {str(label): text for label, text in DEFINITIONS.items()} | {NONE: _NONE_DEFINITION}
    cues = {str(label): text for label, text in _CUES.items()}
    return {
        "labels": [
            {"name": name, "definition": definitions.get(name, ""), "cues": cues.get(name, "") if ours else ""}
            for name in (*names, NONE)
        ],
        "primary": list(_PRIMARY) if ours else [],
        "lines": [list(line) for line in _LINES] if ours else [],
    }
