"""The scikit-learn estimator."""

import json
import pickle
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn")

from sklearn.base import clone  # noqa: E402
from sklearn.calibration import CalibratedClassifierCV  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict, cross_val_score  # noqa: E402
from sklearn.pipeline import Pipeline  # noqa: E402
from sklearn.preprocessing import FunctionTransformer  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402
from sklearn.utils.validation import validate_data  # noqa: E402
from toy_model import toy_pairs  # noqa: E402

from stance.classifier import StanceClassifier  # noqa: E402
from stance.errors import ColumnError, InputError, PairError  # noqa: E402
from stance.estimator import EXPECTED_FAILED_CHECKS, StanceEstimator  # noqa: E402

PAIRS = toy_pairs(100)
X = [(p.accusation, p.response) for p in PAIRS]
Y = np.array(["none" if p.label is None else str(p.label) for p in PAIRS])
DOCUMENTS = [i // 4 for i in range(100)]


def test_it_learns_and_gives_probabilities_in_the_order_of_its_classes(toy):
    fitted = StanceEstimator(model=toy).fit(X[:60], Y[:60])
    assert fitted.score(X[60:], Y[60:]) > 0.9
    probabilities = fitted.predict_proba(X[60:])
    assert list(fitted.classes_) == sorted(set(Y)) and probabilities.shape == (40, 5)
    assert probabilities.sum(1) == pytest.approx(1)
    assert (fitted.classes_[probabilities.argmax(1)] == fitted.predict(X[60:])).all()


def test_every_shape_of_pairs_gives_the_same_answer(toy):
    pandas = pytest.importorskip("pandas")
    fitted = StanceEstimator(model=toy).fit(X, Y)
    expected = fitted.predict_proba(X[:7])
    frame = pandas.DataFrame(X[:7], columns=["accusation", "response"])
    for same in (np.array(X[:7]), np.array(X[:7], dtype=object), PAIRS[:7], frame, frame[["response", "accusation"]]):
        assert (fitted.predict_proba(same) == expected).all()


def test_it_works_in_cross_validation_with_groups_kept_whole(toy):
    seen = []

    class Watched(StanceEstimator):
        def fit(self, X, y, groups=None):
            seen.append({x[0] for x in X})
            return super().fit(X, y, groups)

    folds = list(GroupKFold(5).split(X, Y, DOCUMENTS))
    scores = cross_val_score(Watched(model=toy), X, Y, groups=DOCUMENTS, cv=GroupKFold(5), scoring="f1_macro")
    assert scores.mean() > 0.9 and len(seen) == 5
    for trained, (_, test) in zip(seen, folds, strict=True):
        assert not trained & {X[i][0] for i in test}
    assert cross_val_predict(StanceEstimator(model=toy), X, Y, method="predict_proba", cv=3).shape == (100, 5)


def test_it_works_in_a_grid_search_and_remembers_features(toy, tmp_path):
    calls = []

    class Counting(StanceClassifier):
        def features(self, pairs):
            calls.append(len(pairs))
            return super().features(pairs)

    model = Counting(toy.settings, toy._encoder, toy.backend, toy.path)
    estimator = StanceEstimator(model=model, memory=str(tmp_path))
    grid = GridSearchCV(estimator, {"strength": [0.01, 10.0]}, cv=GroupKFold(3), scoring="neg_log_loss")
    grid.fit(X, Y, groups=DOCUMENTS)
    assert grid.best_params_ == {"strength": 10.0}
    assert len(calls) == 7  # three folds, a training and a test side each, and the last fit on all


def test_it_works_in_a_pipeline_and_under_a_calibrator(toy):
    shout = FunctionTransformer(lambda pairs: [(a, r.upper()) for a, r in pairs])
    pipeline = Pipeline([("shout", shout), ("stance", StanceEstimator(model=toy))]).fit(X, Y)
    assert pipeline.score(X, Y) > 0.95
    pipeline.set_params(stance__strength=0.5)
    assert pipeline.named_steps["stance"].strength == 0.5
    calibrated = CalibratedClassifierCV(StanceEstimator(model=toy), cv=3).fit(X, Y)
    assert calibrated.predict_proba(X[:5]).sum(1) == pytest.approx(1)
    assert (calibrated.predict(X) == Y).mean() > 0.95


def test_a_clone_has_the_settings_shares_the_model_and_is_not_fitted(toy):
    fitted = StanceEstimator(model=toy, strength=3.0, options={"epochs": 2}).fit(X, Y)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params() and copy.model is toy
    with pytest.raises(NotFittedError):
        copy.predict(X)


def test_a_pickled_estimator_judges_the_same(toy):
    fitted = StanceEstimator(model=toy).fit(X, Y)
    assert (pickle.loads(pickle.dumps(fitted)).predict_proba(X) == fitted.predict_proba(X)).all()


def test_labels_may_be_numbers_or_any_names(toy):
    numbers = np.unique(Y, return_inverse=True)[1]
    fitted = StanceEstimator(model=toy).fit(X, numbers)
    assert fitted.classes_.dtype.kind == "i" and (fitted.predict(X) == numbers).mean() > 0.95


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (X[:3], ["a", "b"], InputError, "3 pairs and y 2 labels"),
        (X[:2], ["a", "a"], InputError, "1 class: 'a'"),
        (X[:2], ["a", None], InputError, "y holds None at position 1; .* write 'none'"),
        (X[:3], ["a", "b", float("nan")], InputError, "y holds nan at position 2"),
        (X[:3], np.array(["a", np.float64("nan"), "b"], dtype=object), InputError, "y holds .*nan.* at position 1"),
        (X[:3], [1.0, 2.0, float("nan")], InputError, "y holds nan at position 2"),
        (X[:2], None, InputError, "y is None"),
        ([], [], InputError, "no pairs"),
        ([("a", "b"), ("a", "")], ["a", "b"], PairError, "pair 1: the response is blank"),
        (["a text", "another"], ["a", "b"], PairError, "one string was given where a pair is needed"),
        ("a text", ["a"], InputError, "one string"),
        (np.array([["a", "b", "c"]]), ["a"], InputError, r"two columns, accusation and response; found .* 3 feature"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(toy, x, y, error, message):
    with pytest.raises(error, match=message):
        StanceEstimator(model=toy).fit(x, y)


def test_a_label_that_pandas_calls_missing_is_no_class(toy):
    pandas = pytest.importorskip("pandas")
    for labels in (pandas.Series(["a", "b", pandas.NA], dtype="string"), pandas.Series(["a", "b", None])):
        with pytest.raises(InputError, match="at position 2; leave the pair out"):
            StanceEstimator(model=toy).fit(X[:3], labels)
        with pytest.raises(InputError, match="at position 2; leave the pair out"):
            StanceEstimator(model=toy).fit(X[:3], labels.astype("category"))


def test_wrong_settings_and_wrong_frames_are_refused(toy):
    pandas = pytest.importorskip("pandas")
    with pytest.raises(InputError, match="no method 'magic'; choose from head, fine_tune"):
        StanceEstimator("magic", model=toy).fit(X, Y)
    with pytest.raises(ColumnError, match="no column response"):
        StanceEstimator(model=toy).fit(pandas.DataFrame({"accusation": ["a"]}), ["b"])


@pytest.fixture
def handed(toy, monkeypatch):
    """What ``fine_tune`` is handed by the estimator; nothing is trained, and the toy judges in its place."""
    handed = {}

    def fine_tune(pairs, *, output, base="default", **options):
        handed.update(pairs=list(pairs), output=Path(output), base=base, options=options)

    module = types.ModuleType("stance.finetuning")
    module.fine_tune = fine_tune
    module.default_recipe = lambda base: Training(epochs=4) if base == "default" else Training()
    monkeypatch.setitem(sys.modules, "stance.finetuning", module)
    monkeypatch.setattr("stance.finetuning", module, raising=False)
    monkeypatch.setattr("stance.estimator.open_model", lambda model: toy)
    return handed


@dataclass(frozen=True)
class Training:
    epochs: int = 9
    seed: int = 0


def test_fine_tuning_is_handed_pairs_with_documents_and_its_checkpoint_judges(handed):
    estimator = StanceEstimator("fine_tune", model="some/base", options={"replay": 1}).fit(X, Y, groups=DOCUMENTS)
    assert handed["base"] == "some/base" and handed["options"] == {"replay": 1, "recipe": Training()}
    assert [p.document_id for p in handed["pairs"]] == [str(d) for d in DOCUMENTS]
    assert [p.label for p in handed["pairs"]] == [p.label for p in PAIRS]
    assert handed["output"].parent.is_dir()
    assert (estimator.predict(X) == Y).mean() > 0.95 and estimator.predict_proba(X).shape == (100, 5)
    with pytest.raises(InputError, match="100 pairs and 3 groups"):
        StanceEstimator("fine_tune", model="some/base").fit(X, Y, groups=[1, 2, 3])


def test_the_random_state_reaches_the_recipe_of_fine_tuning(handed):
    own = {"recipe": Training(epochs=2, seed=3)}
    for model, options, state, recipe in [
        ("some/base", None, 7, Training(epochs=9, seed=7)),
        ("default", None, 7, Training(epochs=4, seed=7)),
        ("default", own, np.int64(7), Training(epochs=2, seed=7)),
        ("default", own, None, Training(epochs=2, seed=3)),
        ("default", None, None, None),
    ]:
        StanceEstimator("fine_tune", model=model, options=options, random_state=state).fit(X, Y)
        assert handed["options"].get("recipe") == recipe
    assert own == {"recipe": Training(epochs=2, seed=3)}


def test_a_fit_by_one_method_leaves_nothing_of_the_other_to_judge(handed, toy):
    estimator = StanceEstimator(model=toy).fit(X, Y)
    estimator.set_params(method="fine_tune", model="some/base").fit(X, Y)
    assert not hasattr(estimator, "head_") and hasattr(estimator, "checkpoint_")
    estimator.set_params(method="head", model=toy).fit(X, Y)
    assert hasattr(estimator, "head_") and not hasattr(estimator, "checkpoint_")
    with pytest.raises(InputError):
        estimator.fit(X[:1], Y[:1])
    with pytest.raises(NotFittedError):
        estimator.predict(X)


# scikit-learn's own checks feed numbers. Given texts that spell those numbers, the estimator must pass them.


class Numbers(StanceClassifier):
    """Its features are the numbers that the response spells."""

    def features(self, pairs):
        return np.array([json.loads(pair.response) for pair in pairs], dtype=float)


class SpelledOut(StanceEstimator):
    """Hands each row of numbers to the estimator as a text."""

    def fit(self, X, y, groups=None):
        if y is None:
            return super().fit(X, y, groups)
        X, y = validate_data(self, X, y, dtype=float)
        width = self.n_features_in_
        super().fit([("row", json.dumps(row)) for row in X.tolist()], y, groups)
        self.n_features_in_ = width
        return self

    def predict_proba(self, X):
        if not self.__sklearn_is_fitted__():
            return super().predict_proba(X)
        X = validate_data(self, X, dtype=float, reset=False)
        return super().predict_proba([("row", json.dumps(row)) for row in X.tolist()])


def failed(estimator):
    results = check_estimator(estimator, on_fail=None, on_skip=None)
    return {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}


@pytest.mark.filterwarnings("ignore")
def test_it_passes_all_checks_of_scikit_learn_on_numbers_that_are_spelled_out(toy):
    assert failed(SpelledOut(model=Numbers(toy.settings, toy._encoder, toy.backend, toy.path))) == {}


@pytest.mark.filterwarnings("ignore")
def test_of_the_checks_on_bare_numbers_only_the_expected_ones_fail_and_they_do(toy):
    assert set(failed(StanceEstimator(model=toy))) == set(EXPECTED_FAILED_CHECKS)
    assert all(EXPECTED_FAILED_CHECKS.values())
