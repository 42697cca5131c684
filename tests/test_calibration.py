import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stance import calibration
from stance.calibration import Calibration
from stance.errors import CheckpointError, InputError

LOGITS = arrays(np.float32, (6, 5), elements=st.floats(-80, 80, width=32))


def held_out(n=400, seed=0, sharpness=1.0):
    """Logits, primary verdicts drawn from their softmax, and sets that hold the primary and now and then a second."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 5))
    gold = np.array([rng.choice(5, p=row) for row in calibration.softmax(logits)])
    sets = np.zeros((n, 4), dtype=bool)
    stanced = gold < 4
    sets[stanced, gold[stanced]] = True
    second = stanced & (rng.random(n) < 0.3)
    sets[second, rng.integers(0, 4, second.sum())] = True
    return (logits * sharpness).astype(np.float32), gold, sets


@pytest.fixture(scope="module")
def large():
    """Many logits and the calibration fitted on them."""
    logits, gold, sets = held_out(n=2000)
    return logits, calibration.fit(logits, gold, sets)


# Worked by hand


def test_the_softmax_is_that_of_the_formula():
    got = calibration.softmax(np.log(np.array([[1.0, 2.0, 5.0]])))
    assert got == pytest.approx(np.array([[0.125, 0.25, 0.625]]))


def test_large_logits_do_not_overflow():
    assert calibration.softmax(np.array([[1e4, 0, -1e4]])).tolist() == [[1, 0, 0]]
    assert calibration.sigmoid(np.array([-1e4, 0, 1e4])).tolist() == [0, 0.5, 1]


def test_half_precision_logits_are_widened_before_the_softmax():
    assert calibration.softmax(np.zeros((1, 5), dtype=np.float16)).dtype == np.float64
    assert calibration.sigmoid(np.zeros(5, dtype=np.float16)).dtype == np.float64


def test_temperature_divides_the_logits():
    fit = replace(Calibration.identity(2), temperature=2.0)
    assert fit.probabilities(np.log(np.array([[1.0, 4.0, 16.0]]))) == pytest.approx(np.array([[1, 2, 4]]) / 7)


def test_presence_is_a_logistic_regression_on_all_logits():
    fit = Calibration(
        temperature=1.0, weight=((1.0, 0.0, -1.0), (0.0, 0.5, 0.0)), bias=(0.5, -1.0), threshold=(0.5, 0.5)
    )
    got = fit.presence(np.array([[2.0, 4.0, 1.0]]))
    assert got == pytest.approx(np.array([[1 / (1 + np.exp(-1.5)), 1 / (1 + np.exp(-1.0))]]))


def test_the_identity_takes_each_logit_as_it_is():
    fit = Calibration.identity(4)
    logits = np.array([[0.5, -1.0, 2.0, 0.0, 3.0]])
    assert fit.probabilities(logits) == pytest.approx(calibration.softmax(logits))
    assert fit.presence(logits) == pytest.approx(calibration.sigmoid(logits[:, :4]))


# What must always hold


@given(LOGITS, st.floats(0.05, 20))
def test_temperature_never_changes_the_label(logits, temperature):
    fit = replace(Calibration.identity(4), temperature=temperature)
    got = fit.probabilities(logits)
    rows = np.arange(len(logits))
    assert (got[rows, logits.argmax(1)] == got.max(1)).all()


@given(LOGITS, st.floats(0.05, 20))
def test_probabilities_sum_to_one_and_presence_stays_between_zero_and_one(logits, temperature):
    fit = replace(Calibration.identity(4), temperature=temperature)
    got = fit.probabilities(logits)
    assert got.sum(1) == pytest.approx(np.ones(len(logits)))
    assert (got >= 0).all()
    presence = fit.presence(logits)
    assert ((presence >= 0) & (presence <= 1)).all()


# Fitting


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 4.0])
def test_the_fitted_temperature_undoes_a_known_distortion(sharpness):
    logits, gold, _ = held_out(n=4000, sharpness=sharpness)
    assert calibration.fit_temperature(logits, gold) == pytest.approx(sharpness, rel=0.1)


def test_the_fitted_temperature_is_the_best_on_a_fine_grid():
    logits, gold, _ = held_out(sharpness=3.0)

    def loss(t):
        fit = -np.log(calibration.softmax(logits / t)[np.arange(len(gold)), gold]).mean()
        return fit + np.log(t) ** 2 / (2 * len(gold))

    fitted = calibration.fit_temperature(logits, gold)
    assert loss(fitted) <= min(loss(t) for t in np.geomspace(0.1, 15, 300)) + 1e-6


def test_a_few_pairs_that_are_all_right_do_not_make_everything_sure():
    logits = np.eye(3, dtype=np.float32)[np.arange(24) % 3] * 2
    fitted = calibration.fit_temperature(logits, np.arange(24) % 3)
    assert 0.2 < fitted < 1
    assert calibration.softmax(logits / fitted).max() < 0.9999


def test_the_fitted_presence_is_that_of_a_reference():
    linear = pytest.importorskip("sklearn.linear_model")
    logits, _, sets = held_out(n=3000)
    weight, bias = calibration.fit_presence(logits, sets[:, 1])
    reference = linear.LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(logits, sets[:, 1])
    assert np.array(weight) == pytest.approx(reference.coef_[0], abs=0.02)
    assert bias == pytest.approx(reference.intercept_[0], abs=0.05)


def test_presence_can_be_fitted_where_a_stance_is_never_or_always_carried():
    logits, _, _ = held_out(n=60)
    for carried in (False, True):
        weight, bias = calibration.fit_presence(logits, np.full(60, carried))
        got = calibration.sigmoid(logits @ np.array(weight) + bias)
        assert np.isfinite(got).all()
        assert ((got > 0.5) == carried).all()


def test_a_fit_changes_no_primary_label_and_survives_its_json():
    logits, gold, sets = held_out()
    fit = calibration.fit(logits, gold, sets)
    assert (fit.probabilities(logits).argmax(1) == logits.argmax(1)).all()
    back = Calibration.from_dict(json.loads(json.dumps(fit.to_dict())))
    assert replace(back, surest=()) == replace(fit, surest=())
    assert np.array(back.surest) == pytest.approx(np.array(fit.surest), abs=1e-5)


def test_an_outcome_that_is_never_predicted_still_gets_an_abstention_table():
    logits, gold, sets = held_out()
    logits[:, 2] = -50
    fit = calibration.fit(logits, gold, sets)
    assert len(fit.surest) == 5
    assert np.isfinite(fit.least_confidence(0.5)).all()


# Sets of stances


def test_the_primary_stance_is_always_carried_and_none_carries_nothing():
    presence = np.array([[0.1, 0.9, 0.2, 0.5], [0.9, 0.9, 0.9, 0.9], [0.0, 0.0, 0.0, 0.0]])
    got = calibration.sets(np.array([0, 4, 3]), presence, (0.5, 0.5, 0.5, 0.5))
    assert got.tolist() == [[True, True, False, True], [False] * 4, [False, False, False, True]]


# Abstention


@pytest.mark.parametrize("coverage", [0.9, 0.75, 0.5, 0.2])
def test_coverage_keeps_that_share_of_the_predictions_of_each_outcome(large, coverage):
    logits, fit = large
    probabilities = fit.probabilities(logits)
    chosen = probabilities.argmax(1)
    kept = probabilities.max(1) >= fit.least_confidence(coverage)[chosen]
    shares = [kept[chosen == k].mean() for k in range(5)]
    assert shares == pytest.approx([coverage] * 5, abs=0.02)


def test_full_coverage_keeps_everything_even_without_a_table():
    assert Calibration.identity(4).least_confidence(1).tolist() == [0] * 5


def test_abstention_without_a_table_is_refused():
    with pytest.raises(CheckpointError, match="no abstention table"):
        Calibration.identity(4).least_confidence(0.5)


@pytest.mark.parametrize("coverage", [0, -0.1, 1.01, float("nan")])
def test_a_coverage_out_of_range_is_named(coverage):
    with pytest.raises(InputError, match="above 0 and at most 1"):
        Calibration.identity(4).least_confidence(coverage)


def test_a_threshold_is_written_rounded_down_so_that_the_surest_prediction_still_reaches_it():
    fit = replace(Calibration.identity(1), surest=((0.999997, 0.94983), (0.5, 0.123456789)))
    written = fit.to_dict()["surest"]
    assert written == [[0.99999, 0.94983], [0.5, 0.12345]]
    assert Calibration.from_dict(fit.to_dict()).to_dict()["surest"] == written
