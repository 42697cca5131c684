"""Labelled pairs in and out: tables of any kind, and the formats of other labelling tools."""

from stance.exchange.tables import read_labelled, read_pairs, write_labelled
from stance.exchange.tools import (
    from_argilla,
    from_doccano,
    from_label_studio,
    label_studio_config,
    to_argilla,
    to_doccano,
    to_label_studio,
    write_json,
)

__all__ = [
    "from_argilla",
    "from_doccano",
    "from_label_studio",
    "label_studio_config",
    "read_labelled",
    "read_pairs",
    "to_argilla",
    "to_doccano",
    "to_label_studio",
    "write_json",
    "write_labelled",
]
