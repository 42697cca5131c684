"""The behaviour suite: that its file is sound, and that the shipped checkpoint passes no less than was recorded."""

import json
from collections import Counter
from pathlib import Path

import pytest
from behaviour.suite import (
    RATES_FILE,
    Check,
    Outcome,
    by_kind,
    lowered,
    read_checks,
    read_rates,
    run_checks,
    write_rates,
)

from stance.errors import InputError
from stance.records import Prediction

GOOD = {"kind": "case", "id": "case-01", "accusation": "You did it.", "response": "No.", "expect": {"label": "denial"}}


class Parrot:
    """Judges by the first word of the response: its label, and how present that stance is."""

    def classify_pairs(self, pairs):
        return [self.read(*response.split()) for _, response in pairs]

    def read(self, label, presence="0.5"):
        return Prediction(
            label=None if label == "none" else label,
            stances=() if label == "none" else (label,),
            probabilities={label: 1.0},
            presence={"denial": 0.0, "acknowledgment": 0.0, label: float(presence)},
        )


def check(number: int, response: str, **expect: object) -> Check:
    return Check(kind="case", id=f"case-{number:02d}", accusation="You did it.", response=response, expect=expect)


def verdicts(*checks: Check) -> list[bool]:
    return [outcome.passed for outcome in run_checks(checks, Parrot())]


def written(folder: Path, *rows: dict) -> Path:
    path = folder / "checks.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return run_checks(read_checks())


def test_the_file_holds_at_least_300_checks_of_12_to_30_a_kind():
    kinds = Counter(check.kind for check in read_checks())
    assert sum(kinds.values()) >= 300
    assert {kind: n for kind, n in kinds.items() if not 12 <= n <= 30} == {}


def test_no_check_is_made_twice():
    seen = Counter((c.accusation, c.response, json.dumps(c.expect, sort_keys=True)) for c in read_checks())
    assert [key for key, n in seen.items() if n > 1] == []


def test_no_check_was_in_the_training_data():
    data = Path(__file__).parents[1] / "data" / "written_pairs.jsonl"
    pairs = {(row["accusation"], row["response"]) for row in map(json.loads, data.read_text("utf-8").splitlines())}
    assert [c.id for c in read_checks() if (c.accusation, c.response) in pairs] == []


def test_no_outcome_alone_passes_more_than_half_of_the_checks_that_name_a_label():
    labels = Counter(check.expect["label"] for check in read_checks() if "label" in check.expect)
    assert len(labels) == 5
    assert max(labels.values()) < sum(labels.values()) / 2


def test_a_label_is_met_by_the_primary_stance_only():
    assert verdicts(check(1, "denial", label="denial"), check(2, "none", label="denial")) == [True, False]
    assert verdicts(check(1, "none", label="none"), check(2, "denial", one_of=["none"])) == [True, False]


def test_the_set_of_stances_is_looked_into():
    assert verdicts(check(1, "denial", carries="denial"), check(2, "denial", lacks="denial")) == [True, False]


def test_an_invariant_check_follows_the_first_of_its_group():
    first = check(1, "denial", label="acknowledgment")
    assert verdicts(first, check(2, "denial", same_as="case-01"), check(3, "none", same_as="case-01")) == [
        False,
        True,
        False,
    ]


def test_a_direction_needs_a_rise():
    first = check(1, "denial 0.5", label="denial")
    more = check(2, "denial 0.6", rises="denial", over="case-01")
    even = check(3, "denial 0.5", rises="denial", over="case-01")
    assert verdicts(first, more, even) == [True, True, False]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"expect": {"label": "denail"}}, "denail"),
        ({"expect": {"carries": "none"}}, "none"),
        ({"expect": {"same_as": "case-09"}}, "case-09"),
        ({"expect": {}}, "forms"),
        ({"response": " "}, "blank"),
        ({"labels": []}, "not a check"),
    ],
)
def test_a_faulty_line_is_named(tmp_path, change, named):
    with pytest.raises(InputError, match=rf"checks\.jsonl:1.*{named}"):
        read_checks(written(tmp_path, {**GOOD, **change}))


def test_an_id_is_taken_once(tmp_path):
    with pytest.raises(InputError, match=r"checks\.jsonl:2 .*taken"):
        read_checks(written(tmp_path, GOOD, GOOD))


def test_a_lower_rate_is_seen_after_a_round_trip(tmp_path):
    write_rates({"case": (4, 3), "typos": (2, 1)}, "toy", tmp_path / "rates.json")
    rates = read_rates(tmp_path / "rates.json")
    assert rates == {"case": 0.75, "typos": 0.5}
    assert lowered({"case": (4, 2), "typos": (2, 1)}, rates) == {"case": (0.75, 0.5)}


def test_missing_rates_say_how_to_write_them(tmp_path):
    with pytest.raises(InputError, match="--write"):
        read_rates(tmp_path / "rates.json")


def test_the_recorded_rates_are_of_these_checks():
    recorded = json.loads(RATES_FILE.read_text("utf-8"))["kinds"]
    assert {kind: row["checks"] for kind, row in recorded.items()} == Counter(c.kind for c in read_checks())


def test_the_shipped_checkpoint_lowers_no_kind(outcomes):
    worse = lowered(by_kind(outcomes), read_rates())
    lines = [f"{kind}: recorded {recorded:.1%}, now {now:.1%}" for kind, (recorded, now) in worse.items()]
    lines += [str(outcome) for outcome in outcomes if not outcome.passed and outcome.check.kind in worse]
    assert not worse, "\n".join(lines)
