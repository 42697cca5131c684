import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stance import LABELS, Label, metrics
from stance.errors import InputError, LabelError

VERDICTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40)
OUTCOMES = (*LABELS, None)


def sets_of(rows):
    return metrics.membership([[LABELS[k] for k in row] for row in rows])


# Against scikit-learn


@given(VERDICTS)
def test_scores_are_those_of_scikit_learn(rows):
    reference = pytest.importorskip("sklearn.metrics")
    gold, predicted = (np.array(column) for column in zip(*rows, strict=True))
    got = metrics.evaluate_verdicts(
        [OUTCOMES[k] for k in predicted],
        [[LABELS[k]] if k < 4 else [] for k in predicted],
        [OUTCOMES[k] for k in gold],
        [[LABELS[k]] if k < 4 else [] for k in gold],
        resamples=2,
    )
    options = {"labels": range(5), "zero_division": 0}
    there = {**options, "labels": sorted(set(gold.tolist()))}
    precision, recall, f1, support = reference.precision_recall_fscore_support(gold, predicted, **options)
    assert got.macro_f1.value == pytest.approx(reference.f1_score(gold, predicted, average="macro", **there))
    assert got.accuracy.value == pytest.approx(reference.accuracy_score(gold, predicted))
    assert np.array(got.confusion).tolist() == reference.confusion_matrix(gold, predicted, labels=range(5)).tolist()
    assert [s.precision for s in got.labels.values()] == pytest.approx(precision)
    assert [s.recall for s in got.labels.values()] == pytest.approx(recall)
    assert [s.f1 for s in got.labels.values()] == pytest.approx(f1)
    assert [s.support for s in got.labels.values()] == support.tolist()


@given(st.lists(st.tuples(st.sets(st.integers(0, 3)), st.sets(st.integers(0, 3))), min_size=1, max_size=20))
def test_micro_f1_of_sets_is_that_of_scikit_learn(rows):
    reference = pytest.importorskip("sklearn.metrics")
    gold, predicted = (sets_of(column) for column in zip(*rows, strict=True))
    expected = reference.f1_score(gold, predicted, average="micro", zero_division=1)
    assert metrics.micro_f1(gold, predicted) == pytest.approx(expected)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=2, max_size=30))
def test_kappa_is_that_of_scikit_learn(rows):
    reference = pytest.importorskip("sklearn.metrics")
    first, second = zip(*rows, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = reference.cohen_kappa_score(first, second)
    got = metrics.cohen_kappa(first, second)
    assert got == pytest.approx(expected, nan_ok=True)


# Worked by hand


def test_an_outcome_without_gold_has_no_f1_and_one_that_is_never_predicted_has_0():
    gold = np.array([0, 1, 2, 4])
    assert metrics.macro_f1(gold, gold, 5) == 1.0
    assert metrics.macro_f1(gold, np.array([0, 1, 3, 4]), 5) == pytest.approx(3 / 4)
    assert metrics.macro_f1(gold, gold, 5, np.ones(5, bool)) == pytest.approx(4 / 5)
    assert metrics.f1_by_outcome(metrics.confusion(gold, gold, 5)).tolist() == [1, 1, 1, 0, 1]


def test_a_confusion_matrix_has_gold_in_rows():
    assert metrics.confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist() == [[1, 1], [0, 1]]


def test_micro_f1_by_hand():
    # hits: denial, counter; missed: demand; wrong: acknowledgment -> 2*2 / (2*2 + 2)
    assert metrics.micro_f1(sets_of([{0, 1}, {2}]), sets_of([{0}, {2, 3}])) == pytest.approx(4 / 6)
    assert metrics.micro_f1(sets_of([set()]), sets_of([set()])) == 1.0


def test_a_prediction_inside_the_gold_set_is_admitted_and_none_only_by_the_empty_set():
    gold = sets_of([{0, 2}, {0, 2}, set(), set(), {1}])
    assert metrics.share_inside(gold, np.array([2, 1, 4, 0, 4])) == pytest.approx(2 / 5)


def test_calibration_error_by_hand():
    # two bins of twenty: sure .6 and right half the time; sure .9 and always right
    probabilities = np.repeat([[0.6, 0.4], [0.4, 0.6], [0.9, 0.1], [0.1, 0.9]], 10, axis=0)
    gold = np.repeat([0, 0, 0, 1], 10)
    assert metrics.calibration_error(probabilities, gold, bins=2) == pytest.approx((0.1 + 0.1) / 2)


def test_calibration_error_does_not_depend_on_the_order_of_pairs_that_are_equally_sure():
    probabilities = np.tile([0.7, 0.3], (40, 1))
    gold = np.array([0] * 28 + [1] * 12)
    for order in (slice(None), slice(None, None, -1)):
        assert metrics.calibration_error(probabilities, gold[order], bins=2) == pytest.approx(0)


def test_few_pairs_make_fewer_bins():
    probabilities = np.repeat([[0.6, 0.4], [0.9, 0.1]], 10, axis=0)
    gold = np.array([0] * 9 + [1] + [0] * 6 + [1] * 4)  # over- and underconfident halves, which one bin evens out
    assert metrics.calibration_error(probabilities, gold, bins=10) == pytest.approx(0.0)
    assert metrics.calibration_error(np.array([[0.7, 0.3]]), np.array([0])) == pytest.approx(0.3)


def test_kappa_by_hand():
    # 20 + 15 of 50 agree (.70); by chance .5 * .6 + .5 * .4 = .50 (Cohen's textbook table)
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert metrics.cohen_kappa(first, second) == pytest.approx(0.4)
    assert metrics.cohen_kappa([None, "denial"], [None, "denial"]) == 1.0


def test_agreement_on_one_category_throughout_is_undefined():
    assert np.isnan(metrics.cohen_kappa([None, None], [None, "none"]))
    assert np.isnan(metrics.krippendorff_alpha([(("a",), ("a",)), (("a",), ("a",))]))


def test_kappa_takes_none_and_its_name_for_one_outcome_and_arrays_for_lists():
    assert metrics.cohen_kappa([None, "denial", "none"], ["none", "denial", None]) == 1.0
    assert metrics.cohen_kappa(np.array(["a", "b"]), np.array(["a", "b"])) == 1.0
    with pytest.raises(InputError, match="0 and 0 were given"):
        metrics.cohen_kappa(np.array([]), np.array([]))


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        ("ab", "ab", 0),
        ("", "", 0),
        ("a", "b", 1),
        ("", "a", 1),
        ("ab", "a", 1 - 1 / 2 * 2 / 3),
        ("ab", "bc", 1 - 1 / 3 * 1 / 3),
        ("abc", "ab", 1 - 2 / 3 * 2 / 3),
    ],
)
def test_masi_distance_by_hand(first, second, distance):
    assert metrics.masi_distance(set(first), set(second)) == pytest.approx(distance)
    assert metrics.masi_distance(set(second), set(first)) == pytest.approx(distance)


def test_a_string_is_a_set_of_one_stance_and_not_of_its_letters():
    assert metrics.masi_distance("denial", "acknowledgment") == 1
    assert metrics.masi_distance("denial", {"denial"}) == metrics.masi_distance("none", ()) == 0
    words = [("denial", "acknowledgment"), ("denial", "denial"), (None, "none")]
    sets = [({"denial"}, {"acknowledgment"}), ({"denial"}, {"denial"}), ((), ())]
    assert metrics.krippendorff_alpha(words) == pytest.approx(metrics.krippendorff_alpha(sets))


def nominal(a, b):
    return float(a != b)


def test_alpha_is_that_of_krippendorffs_own_example():
    # Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C: four observers, missing data, .743
    table = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    votes = [[v for v in column if v is not None] for column in zip(*table, strict=True)]
    assert metrics.krippendorff_alpha(votes, nominal) == pytest.approx(0.743, abs=5e-4)


def test_alpha_with_masi_by_hand():
    # three items, two votes each; one partial agreement, ({a, b}, {a}), at squared distance (2/3)^2
    votes = [(("a", "b"), ("a",)), (("a",), ("a",)), ((), ())]
    observed = 2 * (2 / 3) ** 2
    # values {a,b} x1, {a} x3, {} x2: pairs of different values by distance
    expected = 2 * (1 * 3 * (2 / 3) ** 2 + 1 * 2 * 1 + 3 * 2 * 1) / (6 - 1)
    assert metrics.krippendorff_alpha(votes) == pytest.approx(1 - observed / expected)


def test_alpha_does_not_care_for_the_order_in_which_a_set_is_written():
    assert metrics.krippendorff_alpha([(("a", "b"), ["b", "a"]), ({"c"}, ("c",))]) == 1.0


def test_alpha_forgives_a_subset_and_not_a_contradiction():
    rest = [(("a",), ("a",)), (("b",), ("b",)), ((), ())] * 3
    forgiving = metrics.krippendorff_alpha([(("a", "b"), ("a",)), *rest])
    strict = metrics.krippendorff_alpha([(("b",), ("a",)), *rest])
    assert strict < forgiving < 1


def test_agreement_needs_something_to_agree_on():
    with pytest.raises(InputError, match="two votes"):
        metrics.krippendorff_alpha([[("a",)], [("b",)]])
    with pytest.raises(InputError, match="2 and 1 were given"):
        metrics.cohen_kappa(["a", "b"], ["a"])


# Intervals


def mean_of(values):
    return lambda rows: float(np.asarray(values)[rows].mean())


def test_an_interval_holds_the_figure_and_is_the_same_each_time():
    values = np.random.default_rng(1).normal(size=200)
    first, second = (metrics.bootstrap(mean_of(values), range(200)) for _ in range(2))
    assert first == second
    assert first.low < first.value < first.high
    assert first.value == pytest.approx(values.mean())
    assert (first.high - first.low) / 2 == pytest.approx(1.96 * values.std() / np.sqrt(200), rel=0.15)


def test_rows_of_one_document_are_drawn_together_and_widen_the_interval():
    values = np.repeat(np.random.default_rng(1).normal(size=20), 10)
    rows = metrics.bootstrap(mean_of(values), range(200))
    documents = metrics.bootstrap(mean_of(values), [f"d{i // 10}" for i in range(200)])
    ratio = (documents.high - documents.low) / (rows.high - rows.low)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.3)


def test_a_draw_holds_whole_clusters():
    clusters = ["a", "b", "a", "c", "b", "a"]
    sizes = {"a": 3, "b": 2, "c": 1}

    def check(rows):
        drawn = [clusters[i] for i in rows]
        assert all(drawn.count(key) % sizes[key] == 0 for key in sizes)
        return 0.0

    metrics.bootstrap(check, clusters, resamples=50)


def test_one_cluster_gives_no_interval():
    got = metrics.bootstrap(mean_of([1, 2, 3]), ["d"] * 3, resamples=10)
    assert got.value == 2 and np.isnan([got.low, got.high]).all()
    assert str(got) == "2.000 (no interval: too few documents)"


def test_clusters_are_told_apart_by_their_keys_and_rows_without_one_stand_alone():
    assert len(set(metrics.cluster_numbers([1, "1", 1]).tolist())) == 2
    assert len(set(metrics.cluster_numbers([float("nan"), float("nan"), None, None, "d", "d"]).tolist())) == 5


def test_draws_without_a_figure_do_not_count():
    def score(rows):
        return float("nan") if len(set(rows.tolist())) == 1 else 1.0

    got = metrics.bootstrap(score, range(2), resamples=50)
    assert (got.low, got.value, got.high) == (1, 1, 1)
    assert str(metrics.Interval(float("nan"), float("nan"), float("nan"))) == "undefined"


def test_a_rare_outcome_that_a_draw_does_not_hold_is_not_counted_against_it():
    verdicts = ["denial"] * 99 + ["acknowledgment"]
    held = [[v] for v in verdicts]
    got = metrics.evaluate_verdicts(verdicts, held, verdicts, held, resamples=50)
    assert (got.macro_f1.low, got.macro_f1.value, got.macro_f1.high) == (1, 1, 1)


# Verdicts by name


def test_names_enums_and_none_become_the_same_columns():
    got = metrics.indices(["denial", Label.ACKNOWLEDGMENT, None, "none"])
    assert got.tolist() == [0, 3, 4, 4]
    assert metrics.membership([{Label.DENIAL}, ["denial"], frozenset({"denial"}), ()])[:, 0].tolist() == [1, 1, 1, 0]


def test_an_unknown_label_is_named_with_those_there_are():
    with pytest.raises(LabelError, match="'refusal' is not a label; the labels are denial, "):
        metrics.indices(["refusal"])
    with pytest.raises(LabelError, match="item 1: \\['refusal'\\] are not labels"):
        metrics.membership([("denial",), ("refusal", "denial")])


def test_lists_that_do_not_align_are_refused():
    for predicted, gold in ((["denial"], [None, None]), ([], [])):
        with pytest.raises(InputError, match="must align and not be empty"):
            metrics.evaluate_verdicts(predicted, [()] * len(predicted), gold, [()] * len(gold))


def test_an_evaluation_reports_each_source_and_prints_and_serialises():
    gold, predicted = ["denial", None, "denial", None], ["denial", "denial", None, None]
    held = [[v] if v else [] for v in gold]
    got = metrics.evaluate_verdicts(
        predicted, [[v] if v else [] for v in predicted], gold, held, sources=["a", "a", "b", "b"], resamples=5
    )
    assert {name: part.n for name, part in got.by_source.items()} == {"a": 2, "b": 2}
    assert got.calibration_error is None
    assert json.loads(json.dumps(got.to_dict()))["by_source"]["a"]["accuracy"][0] == 0.5
    assert "macro-F1" in str(got) and "counter_accusation" in str(got)
    assert got.absent == ("demand_for_evidence", "counter_accusation", "acknowledgment")
    assert "leaves out demand_for_evidence, counter_accusation, acknowledgment" in str(got)


def test_other_label_sets_are_scored_like_ours():
    got = metrics.evaluate_verdicts(
        ["x", None], [["x"], []], ["x", "y"], [["x"], ["y"]], labels=("x", "y"), resamples=2
    )
    assert got.macro_f1.value == pytest.approx(1 / 2)
    assert list(got.labels) == ["x", "y", "none"]


@pytest.mark.parametrize(
    ("what", "short"),
    [("clusters", ["d"]), ("sources", ["a"]), ("probabilities", np.ones((1, 5)) / 5)],
)
def test_what_goes_with_the_pairs_must_be_as_long_and_is_named_where_it_is_not(what, short):
    with pytest.raises(InputError, match=f"1 {what} and 2 gold verdicts were given"):
        metrics.evaluate_verdicts([None] * 2, [()] * 2, [None] * 2, [()] * 2, **{what: short}, resamples=2)


def test_pairs_without_a_source_are_one_part():
    got = metrics.evaluate_verdicts(
        [None] * 4, [()] * 4, [None] * 4, [()] * 4, sources=["news", None, float("nan"), ""], resamples=2
    )
    assert {name: part.n for name, part in got.by_source.items()} == {"": 3, "news": 1}
    assert "(no source)" in str(got)


def test_an_evaluation_without_intervals_is_still_json():
    got = metrics.evaluate_verdicts([None], [()], [None], [()])
    assert json.loads(json.dumps(got.to_dict(), allow_nan=False))["accuracy"] == [1.0, None, None]
    assert "no interval" in str(got)
