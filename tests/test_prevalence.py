"""Shares corrected for the classifier's errors."""

import numpy as np
import pytest

from stance.errors import CheckpointError, InputError
from stance.labels import LABELS
from stance.prevalence import shares
from stance.records import Prediction

NAMES = (*(str(label) for label in LABELS), "none")
RATES = np.array(
    [
        [0.80, 0.05, 0.10, 0.05, 0.00],
        [0.10, 0.80, 0.05, 0.00, 0.05],
        [0.20, 0.05, 0.70, 0.00, 0.05],
        [0.10, 0.00, 0.00, 0.85, 0.05],
        [0.05, 0.10, 0.05, 0.10, 0.70],
    ]
)
CONFUSION = (RATES * 400).astype(int)
TRUE = np.array([0.10, 0.05, 0.50, 0.05, 0.30])


def predicted_labels(n: int, true=TRUE, seed: int = 0) -> list[str | None]:
    rng = np.random.default_rng(seed)
    gold = rng.choice(5, size=n, p=true)
    return [None if (k := rng.choice(5, p=RATES[g])) == 4 else NAMES[k] for g in gold]


def soft_predictions(n: int, true=TRUE, seed: int = 0) -> list[Prediction]:
    """Predictions whose probabilities are exactly calibrated for equal shares: one noisy sign for each pair."""
    rng = np.random.default_rng(seed)
    found = []
    for gold in rng.choice(5, size=n, p=true):
        p = RATES[:, rng.choice(5, p=RATES[gold])]
        p = p / p.sum()
        top = int(p.argmax())
        label = None if top == 4 else NAMES[top]
        found.append(
            Prediction(
                label=label,
                stances=(label,) if label else (),
                probabilities=dict(zip(NAMES, p.tolist(), strict=True)),
                presence=dict.fromkeys(NAMES[:4], 0.5),
            )
        )
    return found


def test_exact_counts_give_back_the_true_shares():
    observed = TRUE @ RATES
    labels = [name for name, share in zip(NAMES, observed, strict=True) for _ in range(round(share * 10000))]
    found = shares(labels, confusion=CONFUSION, resamples=20)
    assert [row.share.value for row in found] == pytest.approx(TRUE, abs=1e-3)
    assert [row.counted for row in found] == pytest.approx(observed, abs=1e-3)


def test_the_corrected_share_is_nearer_to_the_truth_than_the_counted_one():
    found = shares(predicted_labels(3000), confusion=CONFUSION, resamples=50)
    wrong = sum(abs(row.counted - true) for row, true in zip(found, TRUE, strict=True))
    left = sum(abs(row.share.value - true) for row, true in zip(found, TRUE, strict=True))
    assert left < wrong / 2


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    held = []
    for seed in range(40):
        rng = np.random.default_rng(1000 + seed)
        confusion = np.stack([rng.multinomial(80, row) for row in RATES])
        found = shares(predicted_labels(400, seed=seed), confusion=confusion, resamples=200, seed=seed)
        held += [row.share.low <= true <= row.share.high for row, true in zip(found, TRUE, strict=True)]
    assert 0.90 <= np.mean(held) <= 0.995


def test_calibrated_probabilities_give_the_true_shares_too():
    found = shares(soft_predictions(3000), confusion=CONFUSION, method="probabilities", resamples=20)
    assert [row.share.value for row in found] == pytest.approx(TRUE, abs=0.04)


def test_no_share_is_negative_and_each_group_sums_to_one():
    labels = ["denial"] * 30 + ["none"] * 3  # fewer counter-accusations than the errors alone would make
    found = shares(labels, ["a"] * 20 + ["b"] * 13, confusion=CONFUSION, resamples=200)
    for group in ("a", "b"):
        rows = [row for row in found if row.group == group]
        assert sum(row.share.value for row in rows) == pytest.approx(1)
        assert all(0 <= row.share.low <= row.share.value <= row.share.high <= 1 for row in rows)
    assert [row.n for row in found] == [20] * 5 + [13] * 5


def test_groups_are_told_apart():
    labels = predicted_labels(1500) + predicted_labels(1500, true=np.array([0.7, 0.1, 0.1, 0.05, 0.05]))
    found = shares(labels, ["A"] * 1500 + ["B"] * 1500, confusion=CONFUSION, resamples=100)
    assert found.of("denial", "A").share.high < found.of("denial", "B").share.low
    with pytest.raises(InputError, match=r"no share of 'denial' in 'C'; the groups are \['A', 'B'\]"):
        found.of("denial", "C")


def test_fewer_validation_pairs_and_whole_documents_widen_the_interval():
    labels = predicted_labels(600)

    def width(**options):
        row = shares(labels, resamples=400, **options).of("denial")
        return row.share.high - row.share.low

    wide = width(confusion=CONFUSION)
    assert width(confusion=CONFUSION // 10) > 1.2 * wide
    same = sorted(labels, key=str)
    row = shares(same, confusion=CONFUSION, clusters=[i // 30 for i in range(600)], resamples=400).of("denial")
    assert row.share.high - row.share.low > 2 * wide


def test_what_was_not_seen_in_a_small_group_is_not_said_to_be_impossible():
    rows = shares(["denial"] * 20, confusion=np.eye(5) * 1000, resamples=400)
    assert rows.of("none").share.value == 0 and 0.01 < rows.of("none").share.high < 0.2


LETTERS = {"confusion": [[80, 10, 10], [10, 80, 10], [10, 10, 80]], "labels": ("a", "b"), "resamples": 200}


def test_documents_of_one_pair_each_are_as_uncertain_as_pairs_without_documents():
    alone, own = (shares(["a"] * 10, clusters=keys, **LETTERS).of("a").share for keys in (None, range(10)))
    assert own.high == 1 and own.low == pytest.approx(alone.low, abs=0.06) and own.low < 0.95
    apart = shares(["a"] * 10, clusters=[None, float("nan")] * 5, **LETTERS).of("a").share
    assert apart.low == pytest.approx(own.low, abs=0.06)


def test_one_document_does_not_tell_how_documents_vary():
    found = shares(["a", "b"] * 5 + ["a"], ["x"] * 10 + ["y"], clusters=[0] * 10 + [1], **LETTERS)
    assert found.of("a", "x").share.value == pytest.approx(0.5)
    assert {(row.share.low, row.share.high) for row in found} == {(0, 1)}


def test_one_probability_is_not_taken_for_certainty():
    prediction = Prediction(
        label="a", stances=("a",), probabilities={"a": 0.6, "b": 0.3, "none": 0.1}, presence={"a": 0.6, "b": 0.3}
    )
    found = shares([prediction], method="probabilities", **LETTERS)
    assert found.of("a").share.low < 0.2 and found.of("b").share.high > 0.8


@pytest.mark.parametrize("method", ["confusion", "probabilities"])
def test_intervals_of_few_documents_hold_the_truth_about_as_often_as_they_say(method):
    """In 200 repeats 95 % intervals held 0.944 of the truths by counts (0.945 where documents differ), 0.975 by the other."""
    held = []
    for seed in range(20):
        predictions = soft_predictions(60, seed=seed)
        documents = [i // 3 for i in range(60)]
        found = shares(predictions, clusters=documents, confusion=CONFUSION, method=method, resamples=60, seed=seed)
        held += [row.share.low <= true <= row.share.high for row, true in zip(found, TRUE, strict=True)]
    assert 0.86 <= np.mean(held) <= 1


def test_a_column_of_a_table_is_counted_whatever_its_index():
    pandas = pytest.importorskip("pandas")
    labels = pandas.Series(["a", "b", "a"], index=[7, 8, 9])
    found = shares(labels, pandas.Series(["x", "y", "x"], index=[7, 8, 9]), **LETTERS)
    assert [found.of("a", group).counted for group in "xy"] == [1, 0]


def test_the_same_seed_gives_the_same_interval():
    labels = predicted_labels(100)
    assert shares(labels, confusion=CONFUSION, resamples=50) == shares(labels, confusion=CONFUSION, resamples=50)


def test_other_labels_are_followed():
    found = shares(["yes", "no", "none"], confusion=np.eye(3) * 10, labels=("yes", "no"), resamples=10)
    assert [row.outcome for row in found] == ["yes", "no", "none"]


def test_it_prints_and_becomes_a_frame():
    found = shares(predicted_labels(50), confusion=CONFUSION, resamples=20)
    assert "counter_accusation" in str(found) and "95% interval" in str(found)
    frame = found.to_frame()
    assert list(frame.columns) == ["group", "outcome", "n", "counted", "share", "low", "high"]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([],), {}, "no predictions"),
        ((["denial"], ["a", "b"]), {}, "1 predictions and 2 groups"),
        ((["denial"],), {"confusion": np.eye(4)}, r"shape \(5, 5\)"),
        ((["denial", None],), {"confusion": np.diag([1, 1, 1, 1, 0])}, "no gold pair of none"),
        ((["denial"],), {"confusion": np.zeros((5, 5))}, "no gold pair of denial; label some"),
        ((["denial"],), {"level": 95}, "above 0 and below 1, not 95"),
        ((["denial"],), {"level": 0}, "above 0 and below 1, not 0"),
        ((["denial"],), {"resamples": 0}, "at least 1, not 0"),
        ((["denial", "none"], ["a", None]), {}, r"row 1 has no group \(None\)"),
        ((["denial", "none"], [float("nan"), "a"]), {}, r"row 0 has no group \(nan\)"),
        ((["denial"],), {"confusion": [[1, 2], [3]]}, "rows differ in length or hold no numbers"),
        ((["denial"],), {"confusion": [["many"] * 5] * 5}, "rows differ in length or hold no numbers"),
        ((["denial"],), {"confusion": np.full((5, 5), np.nan)}, r"confusion\[0\]\[0\] is nan"),
        ((["denial"],), {"confusion": -np.eye(5)}, r"confusion\[0\]\[0\] is -1"),
        ((["denial"],), {"confusion": RATES}, "is 0.8, which is no count. Pass counts, not shares"),
        ((["denial"],), {"confusion": np.eye(5)[[1, 1, 2, 3, 4]] * 9}, "no pair that was predicted as denial"),
        ((["denial"],), {"method": "magic"}, "no method 'magic'"),
        ((["denial"],), {"method": "probabilities"}, "needs Prediction objects"),
    ],
)
def test_what_cannot_be_counted_is_refused(arguments, options, message):
    with pytest.raises(InputError, match=message):
        shares(*arguments, **({"confusion": CONFUSION} | options))


@pytest.mark.parametrize("method", ["confusion", "probabilities"])
def test_an_outcome_that_was_neither_labelled_nor_predicted_hinders_nobody(method):
    confusion = CONFUSION.astype(float)
    confusion[3] = 0
    before = confusion.copy()
    mix = np.array([0.3, 0.3, 0.2, 0, 0.2])
    predictions = [p for p in soft_predictions(400, true=mix) if p.label != NAMES[3]]
    found = shares(predictions, confusion=confusion, method=method, resamples=50)
    assert (confusion == before).all()
    assert found.of("acknowledgment").share.value < 0.02
    assert sum(row.share.value for row in found) == pytest.approx(1)
    assert all(0 <= row.share.low <= row.share.value <= row.share.high <= 1 for row in found)


def test_abstentions_are_refused():
    (prediction,) = soft_predictions(1)
    silent = Prediction(
        label=None, stances=(), probabilities=prediction.probabilities, presence=prediction.presence, abstained=True
    )
    with pytest.raises(InputError, match="coverage=1"):
        shares([silent], confusion=CONFUSION)


def test_the_counts_of_the_checkpoint_are_taken_and_their_absence_named(tmp_path):
    from stance.checkpoint import Settings, write_settings

    write_settings(tmp_path, Settings(name="bare"))
    with pytest.raises(CheckpointError, match="'bare' carries no validation counts"):
        shares(["denial"], model=tmp_path)
    write_settings(tmp_path, Settings(name="full", provenance={"validation": {"confusion": CONFUSION.tolist()}}))
    assert shares(predicted_labels(50), model=tmp_path, resamples=20) == shares(
        predicted_labels(50), confusion=CONFUSION, resamples=20
    )


def test_the_counts_of_a_checkpoint_with_other_outcomes_are_refused(tmp_path):
    from stance.checkpoint import Settings, write_settings

    counts = {"validation": {"confusion": CONFUSION.tolist()}}
    write_settings(tmp_path, Settings(name="full", provenance=counts))
    others = ("yes", "no", "perhaps", "later")  # as many, so that the counts would fit
    with pytest.raises(InputError, match=r"of yes, no, perhaps, later, none, .* 'full' gives denial, .* pass model="):
        shares(["yes", "no"], model=tmp_path, labels=others)
    with pytest.raises(InputError, match="in this order"):
        shares(["denial"], model=tmp_path, labels=LABELS[::-1])
