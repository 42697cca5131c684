import json
import pickle

import pytest

import stance
from stance.labels import DEFINITIONS, LABELS, NONE, as_label


def test_the_labels_are_spelled_as_files_spell_them_and_in_one_order():
    names = ("denial", "demand_for_evidence", "counter_accusation", "acknowledgment")
    assert names == LABELS
    assert NONE not in LABELS


def test_a_label_is_its_name_in_comparisons_sets_mappings_text_and_json():
    label = stance.Label.DENIAL
    assert label == "denial"
    assert "denial" in {label}
    assert label in {"denial"}
    assert {label: 1}["denial"] == 1
    assert f"{label} {label!s} {label:>8}" == "denial denial   denial"
    assert json.dumps({"label": label}) == '{"label": "denial"}'
    assert pickle.loads(pickle.dumps(label)) is label


def test_every_label_has_a_definition():
    assert set(DEFINITIONS) == set(LABELS)
    assert all(DEFINITIONS.values())


@pytest.mark.parametrize(
    ("name", "expected"), [("denial", stance.Label.DENIAL), ("apology", "apology"), ("DENIAL", "DENIAL")]
)
def test_names_of_ours_become_labels_and_others_stay_as_they_are(name, expected):
    assert as_label(name) == expected
    assert type(as_label(name)) is type(expected)
