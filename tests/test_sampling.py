"""What to label next, what is labelled wrongly, how far readers agree, what more labels would bring."""

from dataclasses import replace

import numpy as np
import pytest
from toy_model import toy_pairs

from stance.errors import CheckpointError, InputError, PairError
from stance.labels import LABELS
from stance.metrics import cohen_kappa, krippendorff_alpha
from stance.records import LabelledPair, Pair
from stance.sampling import agreement, growth, label_issues, learning_curve, open_model, selection, suggest

pytest.importorskip("sklearn")


def test_unsure_pairs_are_suggested_before_sure_ones(toy):
    sure = [("They lied.", "Never never never.")] * 1 + [("They hid.", "Sorry sorry sorry we admit.")]
    unsure = [("They ran.", "The river said it."), ("They fell.", "Never sorry.")]
    found = suggest([*sure, *unsure], 2, model=toy)
    assert [s.index for s in found] == [2, 3]
    assert found[0].uncertainty == pytest.approx(1, abs=1e-6) and 0 < found[1].uncertainty < 1
    assert found[1].prediction == toy.classify("They fell.", "Never sorry.")


def test_suggestions_are_unlike_each_other(toy):
    alike = [(f"They sold lot {i}.", "Never sorry the harbour." + " the" * (i % 2)) for i in range(20)]
    other = [("They ran.", "Proof worse the mine."), ("They hid.", "Show weather the river.")]
    found = suggest([*alike, *other], 3, model=toy)
    assert {20, 21} < {s.index for s in found}


def test_the_same_pair_is_suggested_once_and_all_come_back_where_there_are_few(toy):
    pairs = [Pair(accusation="They lied.", response="The river.")] * 5 + [("They hid.", "Never.")]
    assert [s.index for s in suggest(pairs, 10, model=toy)] == [0, 5]


def test_suggestions_do_not_change_between_calls(toy):
    pairs = toy_pairs(80, cues=1)
    assert suggest(pairs, 7, model=toy) == suggest(pairs, 7, model=toy)
    assert len({s.index for s in suggest(pairs, 7, model=toy)}) == 7


def test_spreading_out_a_large_pool_takes_no_more_memory_than_the_pool():
    import tracemalloc

    points = np.random.default_rng(0).normal(size=(600, 128)).astype(np.float32)
    tracemalloc.start()
    chosen = selection._spread(points, np.ones(600), 60, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(set(chosen.tolist())) == 60
    assert peak < 600 * 60 * 128 * 8 / 4


def test_more_suggestions_than_distinct_rows_go_on_in_order():
    points = np.repeat(np.eye(2, dtype=np.float32), 4, axis=0)
    assert selection._spread(points, np.ones(8), 4, seed=0)[2:].tolist() == [1, 2]


def test_suggest_refuses_what_it_cannot_use(toy):
    with pytest.raises(InputError, match="at least 1, not 0"):
        suggest([("a", "b")], 0, model=toy)
    with pytest.raises(PairError, match="pair 1: the response is blank"):
        suggest([("a", "b"), ("a", " ")], 1, model=toy)
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        suggest([("a", "b")], 1, model="/nowhere/at/all")


def test_an_open_model_is_used_as_it_is(toy):
    assert open_model(toy) is toy


def test_wrong_labels_are_found_and_right_ones_are_left_alone(toy):
    pytest.importorskip("cleanlab")
    pairs = toy_pairs(150)
    planted = (3, 50, 77, 98, 121)
    for i in planted:
        wrong = LABELS[0] if pairs[i].label != LABELS[0] else LABELS[1]
        pairs[i] = replace(pairs[i], label=wrong, labels=(wrong,))
    found = label_issues(pairs, model=toy)
    suspects = {issue.index for issue in found}
    assert suspects <= set(planted) and len(suspects) >= 4
    worst = found[0]
    assert worst.quality < 0.2 and worst.given == str(pairs[worst.index].label) != worst.suggested


def test_label_issues_never_train_on_the_document_of_the_pair(toy):
    pytest.importorskip("cleanlab")
    pairs = toy_pairs(100, per_document=50)
    with pytest.raises(InputError, match="5 folds need at least 5 documents; there are 2"):
        label_issues(pairs, model=toy)
    with pytest.raises(InputError, match="at least two outcomes"):
        label_issues([p for p in pairs if p.label == "denial"], model=toy)


def test_label_issues_needs_an_outcome_that_occurs_twice_and_two_folds(toy):
    pytest.importorskip("cleanlab")
    pairs = [replace(p, document_id="") for p in {p.label: p for p in toy_pairs(100)}.values()]
    with pytest.raises(InputError, match=f"{len(pairs)} pairs with an outcome each"):
        label_issues(pairs, model=toy, folds=2)
    with pytest.raises(InputError, match="at least 2, not 1"):
        label_issues(toy_pairs(100), model=toy, folds=1)


VERDICTS = [("denial", "denial"), ("denial", "none"), ("acknowledgment", "acknowledgment"), ("none", "none")] * 5


def votes():
    return [
        {"accusation": "a", "response": f"r{i}", "label": label, "annotator": name}
        for i, verdicts in enumerate(VERDICTS)
        for name, label in zip(("anna", "ben"), verdicts, strict=True)
    ]


def test_agreement_is_that_of_the_metrics_with_intervals_around_it():
    found = agreement(votes())
    assert found.n == 20
    assert found.kappa.value == pytest.approx(cohen_kappa(*zip(*VERDICTS, strict=True)))
    sets = [[set() if v == "none" else {v} for v in pair] for pair in VERDICTS]
    assert found.alpha.value == pytest.approx(krippendorff_alpha(sets))
    assert found.kappa.low < found.kappa.value < found.kappa.high <= 1
    assert set(found.by_pair) == {("anna", "ben")} and "kappa" in str(found)


def test_agreement_takes_three_readers_who_did_not_read_everything():
    third = [
        {"accusation": "a", "response": f"r{i}", "label": VERDICTS[i][0], "annotator": "cleo"} for i in range(0, 20, 2)
    ]
    alone = {"accusation": "x", "response": "y", "label": "denial", "annotator": "cleo"}
    found = agreement([*votes(), *third, alone])
    assert found.n == 20 and found.by_pair["anna", "cleo"].value == 1
    assert found.by_pair["anna", "ben"].value < found.kappa.value < 1


def test_agreement_on_one_category_or_in_one_document_is_not_overstated():
    alike = [{**vote, "label": "denial"} for vote in votes()]
    found = agreement(alike, resamples=20)
    assert np.isnan([found.kappa.value, found.alpha.value, found.by_pair["anna", "ben"].value]).all()
    assert str(found).count("undefined: one category") == 2
    one = agreement([{**vote, "document_id": "d"} for vote in votes()], resamples=20)
    assert one.kappa.value < 1 and np.isnan(one.kappa.low) and "no interval" in str(one)


def test_a_couple_without_a_kappa_does_not_count_in_the_mean():
    third = [{"accusation": "a", "response": f"r{i}", "label": "denial", "annotator": "cleo"} for i in range(0, 20, 4)]
    found = agreement([*votes(), *third], resamples=20)
    assert np.isnan(found.by_pair["anna", "cleo"].value) and np.isnan(found.by_pair["ben", "cleo"].value)
    assert found.kappa.value == pytest.approx(found.by_pair["anna", "ben"].value)


def test_agreement_of_one_reader_is_refused():
    with pytest.raises(InputError, match=r"no pair was labelled by two annotators: 20 pairs, annotators \['anna'\]"):
        agreement([vote for vote in votes() if vote["annotator"] == "anna"])


def test_agreement_takes_labelled_pairs_and_sets():
    pair = LabelledPair(accusation="a", response="b", labels=(LABELS[0], LABELS[2]), label=LABELS[0], annotator="anna")
    other = replace(pair, labels=(LABELS[0],), annotator="ben")
    rest = [replace(p, response="c", label=None, labels=()) for p in (pair, other)]
    found = agreement([pair, other, *rest])
    assert found.kappa.value == 1 and found.alpha.value < 1


def test_the_learning_curve_rises_where_there_is_more_to_learn(toy):
    found = learning_curve(toy_pairs(120, cues=1), model=toy, repeats=6)
    assert found.n == 120 and found.more == 100
    assert list(found.sizes) == sorted(set(found.sizes)) and found.sizes[-1] <= 96
    assert found.scores[-1] > found.scores[0] + 0.1
    assert 0 <= found.gain.low <= found.gain.value <= found.gain.high
    assert found.then.value == pytest.approx(found.now.value + found.gain.value)
    assert found.then.value <= 1 and "This is an estimate" in str(found)


def test_the_learning_curve_is_flat_where_labels_are_noise(toy):
    rng = np.random.default_rng(3)
    pairs = toy_pairs(120, cues=1)
    shuffled = [
        replace(p, label=q.label, labels=q.labels)
        for p, q in zip(pairs, (pairs[i] for i in rng.permutation(120)), strict=True)
    ]
    found = learning_curve(shuffled, model=toy, repeats=6)
    assert found.now.value < 0.4 and found.gain.low < 0.03


def test_the_learning_curve_needs_pairs_and_documents(toy):
    with pytest.raises(InputError, match="40 pairs from 10 documents; there are 20 from 20"):
        learning_curve(toy_pairs(20), model=toy)
    with pytest.raises(InputError, match="there are 60 from 3"):
        learning_curve(toy_pairs(60, per_document=20), model=toy)
    with pytest.raises(InputError, match="at least 1, not 0"):
        learning_curve(toy_pairs(60), model=toy, more=0)


@pytest.mark.parametrize("seed", range(3))
def test_the_learning_curve_names_a_document_that_holds_nearly_all_pairs(toy, seed):
    pairs = [replace(p, document_id=f"d{max(i - 90, 0)}") for i, p in enumerate(toy_pairs(101))]
    with pytest.raises(InputError, match=r"one document holds 91 of the 101 pairs.*leave all but 40 pairs"):
        learning_curve(pairs, model=toy, seed=seed)
    learning_curve([*pairs[:40], *pairs[91:]], model=toy, seed=seed, repeats=12)


@pytest.mark.parametrize("seed", range(3))
def test_the_learning_curve_trains_on_as_many_pairs_as_it_says(toy, monkeypatch, seed):
    pairs = [replace(p, document_id=f"d{max(i - 39, 0)}") for i, p in enumerate(toy_pairs(52))]
    trained = []
    score = growth._score
    monkeypatch.setattr(
        growth, "_score", lambda f, g, train, *rest: trained.append(len(train)) or score(f, g, train, *rest)
    )
    found = learning_curve(pairs, model=toy, seed=seed, repeats=4)
    assert trained == list(found.sizes) * 4
    assert found.sizes[-1] >= 40
