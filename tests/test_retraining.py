"""The verb for users, on a toy: what it refuses, what it reports, and what it leaves behind."""

import math
from dataclasses import replace

import pytest

from stance import LabelledPair
from stance.checkpoint import read_settings
from stance.errors import CheckpointError, InputError, LabelError
from stance.metrics import Interval

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytest.importorskip("onnx")

from toy_model import toy_pairs

import stance
from stance.finetuning import Recipe, fine_tune, retraining

QUICK = Recipe(
    epochs=3, learning_rate=3e-3, layer_decay=1.0, batch_size=16, balance=0.0, freeze_embeddings=False,
    max_tokens=48, max_accusation_tokens=16, seed=3,
)  # fmt: skip


def own(pairs, names):
    """The same pairs under other label names, so that nothing is replayed and the toy stays small."""
    return [
        replace(p, label=p.label and names[p.label], labels=tuple(names[label] for label in p.labels)) for p in pairs
    ]


NAMES = {"denial": "no", "demand_for_evidence": "ask", "counter_accusation": "you", "acknowledgment": "yes"}


@pytest.fixture(scope="module")
def tuned(tiny_bert, tmp_path_factory):
    return fine_tune(
        own(toy_pairs(120, seed=1), NAMES), output=tmp_path_factory.mktemp("tuned") / "mine", base=tiny_bert,
        recipe=QUICK, progress=False,
    )  # fmt: skip


def test_it_writes_a_checkpoint_with_its_report_and_nothing_else(tuned):
    assert [p.name for p in tuned.path.parent.iterdir()] == ["mine"]
    settings = read_settings(tuned.path)
    assert settings.name == "mine" and set(settings.labels) == set(NAMES.values())
    assert settings.provenance["report"] == tuned.report == str(tuned)
    assert stance.load(tuned.path).classify("They sold it.", "Never.").probabilities.keys() >= set(NAMES.values())


def test_the_report_counts_what_was_used_and_says_that_there_is_no_score_before(tuned):
    train = 120 - tuned.after.n
    assert f"; {tuned.after.n} were held out" in tuned.report
    assert "There is no score before" in tuned.report and tuned.before is tuned.gain is None
    assert "beside" not in tuned.report and train > 60


def test_the_card_of_a_users_model_claims_nothing_of_ours(tuned):
    card = (tuned.path / "README.md").read_text()
    assert "machine readers" not in card and "license" not in card
    assert "The labels are those of whoever trained it" in card
    assert "- base: " in card and "- base: \n" not in card and "digest ``" not in card


def test_training_further_says_whether_the_gain_is_more_than_chance(tuned, tmp_path):
    again = fine_tune(
        own(toy_pairs(120, seed=9), NAMES), output=tmp_path / "again", base=tuned.path, recipe=QUICK, progress=False
    )
    assert again.gain.value == pytest.approx(again.after.macro_f1.value - again.before.macro_f1.value)
    assert again.gain.low <= again.gain.value <= again.gain.high
    verdicts = ("It is better", "It is worse", "within chance")
    assert sum(words in again.report for words in verdicts) == 1


def test_a_run_that_is_killed_before_its_report_is_taken_up(tuned, tiny_bert, tmp_path, monkeypatch):
    pairs = own(toy_pairs(120, seed=1), NAMES)
    options = {"output": tmp_path / "mine", "base": tiny_bert, "recipe": QUICK, "progress": False}

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(retraining, "_report", killed)
        with pytest.raises(Killed):
            fine_tune(pairs, **options)
    assert not (tmp_path / "mine").exists()
    monkeypatch.setattr(retraining, "train_checkpoint", killed)  # it must not train again
    assert fine_tune(pairs, **options).report == tuned.report
    with pytest.raises(CheckpointError, match="exists; name a new folder"):
        fine_tune(pairs, **options)


@pytest.mark.parametrize("label", ["Denial", "counter-accusation", "demand for evidence"])
def test_a_label_of_ours_spelled_otherwise_is_named_and_does_not_make_a_new_label_set(label, tmp_path):
    pairs = [*toy_pairs(40, seed=1), replace(toy_pairs(1)[0], label=label, labels=(label,), document_id="x")]
    with pytest.raises(LabelError, match=f"'{label}'.*not labels of 'default', though .* are"):
        fine_tune(pairs, output=tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_pairs_to_report_on_that_are_trained_on_too_are_refused(tmp_path):
    pairs = toy_pairs(60, seed=1)
    with pytest.raises(InputError, match=r"5 documents and 5 pairs to report on are trained on too"):
        fine_tune(pairs, output=tmp_path / "m", test=pairs[:5])


def test_without_document_ids_all_replies_to_one_accusation_stay_together():
    pairs = [
        LabelledPair(accusation="You lied.", response=f"No {i}.", label="denial", labels=("denial",)) for i in range(9)
    ]
    pairs += [replace(p, accusation="You stole.") for p in pairs]
    one, other = retraining._part(pairs, 0.5, "test")
    assert {p.accusation for p in one} & {p.accusation for p in other} == set() and one and other


def test_pairs_too_few_to_split_are_refused_with_the_remedy(tmp_path):
    pairs = [replace(p, document_id="one") for p in toy_pairs(60, seed=1)]
    with pytest.raises(InputError, match="give more pairs, or a document_id"):
        fine_tune(pairs, output=tmp_path / "m")


def test_several_verdicts_on_one_pair_count_as_one():
    pair = toy_pairs(1)[0]
    votes = [replace(pair, annotator=who) for who in ("ann", "ben")] + [
        replace(pair, annotator="cy", label=None, labels=())
    ]
    assert sum(p.weight for p in retraining._shared_weight(votes)) == pytest.approx(1)
    assert retraining._one_verdict(votes) == ([votes[0]], 0)
    assert retraining._one_verdict(votes[1:]) == ([], 1)


@pytest.mark.parametrize("labels", [["agree", "none"], ["agree", "agree"], ["agree", " "]])
def test_a_label_set_that_cannot_be_is_refused(labels, tmp_path, tiny_bert):
    pairs = [replace(p, label="agree", labels=("agree",)) for p in toy_pairs(60, seed=1)]
    with pytest.raises(LabelError, match="must be distinct and must not hold 'none'"):
        fine_tune(pairs, output=tmp_path / "m", base=tiny_bert, labels=labels, recipe=QUICK, progress=False)


def test_a_base_that_is_not_there_is_named_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # so that no hub is asked again and again
    with pytest.raises(CheckpointError, match="cannot start from 'no-such-encoder'"):
        fine_tune(own(toy_pairs(60, seed=1), NAMES), output=tmp_path / "m", base="no-such-encoder", progress=False)
    assert not list(tmp_path.iterdir())


def test_a_gain_measured_on_one_document_has_no_interval_and_says_so():
    verdict = retraining._verdict_on
    assert "one document" in verdict(Interval(0.1, math.nan, math.nan))
    assert "within chance" in verdict(Interval(0.1, -0.1, 0.3)) and "better" in verdict(Interval(0.1, 0.05, 0.2))
