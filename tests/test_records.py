import dataclasses
import datetime
import json
import pickle

import pytest

from stance import Accusation, Document, Label, LabelledPair, Ledger, LedgerItem, Pair, Prediction, Span

DENIAL, COUNTER = Label.DENIAL, Label.COUNTER_ACCUSATION


def prediction(**changes):
    values = {
        "label": DENIAL,
        "stances": (DENIAL, COUNTER),
        "probabilities": {DENIAL: 0.75, COUNTER: 0.125, "none": 0.125},
        "presence": {DENIAL: 0.9, COUNTER: 0.6},
    }
    return Prediction(**{**values, **changes})


def ledger():
    text = "They sold rockets. We did not. They dumped oil."
    first, second = Span(start=0, end=18), Span(start=31, end=47)
    pair = Pair(
        accusation=first.of(text), response="We did not.", accusation_span=first, response_span=Span(start=19, end=30)
    )
    return Ledger(
        document=Document(text=text, id="d1"),
        pairs=(LedgerItem(pair=pair, prediction=prediction()),),
        accusations=(Accusation(text=first.of(text), span=first), Accusation(text=second.of(text), span=second)),
    )


@pytest.mark.parametrize(
    "value", [prediction(), ledger(), Pair(accusation="a", response="b")], ids=lambda v: type(v).__name__
)
def test_records_survive_pickling_and_are_frozen(value):
    assert pickle.loads(pickle.dumps(value)) == value
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, None)


def test_a_span_is_the_piece_of_text_between_its_offsets():
    span = Span(start=5, end=12)
    assert span.of("They sold rockets") == "sold ro"
    assert len(span) == 7


@pytest.mark.parametrize(("other", "expected"), [((0, 5), False), ((0, 6), True), ((11, 20), True), ((12, 20), False)])
def test_spans_overlap_when_they_share_a_character(other, expected):
    span, second = Span(start=5, end=12), Span(start=other[0], end=other[1])
    assert span.overlaps(second) is expected
    assert second.overlaps(span) is expected


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (4, 3)])
def test_a_span_that_runs_backwards_is_refused_with_both_offsets(start, end):
    with pytest.raises(ValueError, match=f"start={start}, end={end}"):
        Span(start=start, end=end)


@pytest.mark.parametrize(("label", "labels"), [("denial", ()), (None, ("denial",)), ("denial", ("acknowledgment",))])
def test_a_primary_label_outside_its_set_is_refused(label, labels):
    with pytest.raises(ValueError, match="label must be a member of labels"):
        LabelledPair(accusation="a", response="b", label=label, labels=labels)


def test_a_prediction_prints_its_verdict_and_what_else_it_carries():
    assert repr(prediction()) == "Prediction(denial 75%; also counter_accusation 60%)"
    assert repr(prediction(truncated=True, stances=(DENIAL,))) == "Prediction(denial 75%; truncated)"
    assert repr(prediction(label=None, stances=(), abstained=True)) == "Prediction(abstained 75%)"
    assert repr(prediction(label=None, stances=())) == "Prediction(none 75%)"


def test_a_prediction_has_a_table_for_notebooks_with_names_escaped():
    page = prediction()._repr_html_()
    assert page.count("<tr>") == 4
    assert "0.75" in page and "0.90" in page
    other = prediction(label="<b>", stances=("<b>",), probabilities={"<b>": 0.7, "none": 0.3}, presence={"<b>": 0.7})
    assert "<b>" not in other._repr_html_().replace("<div><b>", "")


def test_a_prediction_becomes_plain_json_and_plain_strings():
    values = prediction().to_dict()
    assert json.loads(json.dumps(values)) == values
    assert {type(name) for name in [values["label"], *values["stances"], *values["presence"]]} == {str}


def test_predictions_can_be_looked_up_in_sets():
    assert len({prediction(), prediction(), prediction(truncated=True, label=COUNTER)}) == 2


def test_changing_the_mapping_that_was_given_does_not_change_the_prediction():
    given = {DENIAL: 0.75, "none": 0.25}
    made = prediction(probabilities=given)
    given[DENIAL] = 0
    assert made.confidence == 0.75


def test_a_ledger_knows_which_accusations_nobody_answered():
    found = ledger()
    assert [a.text for a in found.unanswered] == ["They dumped oil."]
    assert found.responses_to(found.accusations[0]) == found.pairs
    assert found.responses_to(found.accusations[1]) == ()
    assert len(found) == 1 and list(found) == list(found.pairs)
    assert repr(found) == "Ledger('d1': 1 pairs, 2 accusations, 1 unanswered)"


def test_a_ledger_becomes_json_without_the_documents_text():
    values = json.loads(json.dumps(ledger().to_dict()))
    assert values["pairs"][0]["label"] == "denial"
    assert values["pairs"][0]["accusation_span"] == {"start": 0, "end": 18}
    assert "text" not in values and "We did not. They" not in json.dumps(values)


def test_a_document_keeps_a_day_as_its_text_and_knows_no_missing_date_or_language():
    document = Document(text="x", date=datetime.date(2031, 5, 2), language=None)
    assert (document.date, document.language) == ("2031-05-02", "en")
    assert Document(text="x", date=None).date == ""


def test_a_prediction_names_its_outcome():
    silent = prediction(label=None, stances=())
    assert prediction().outcome == "denial" and type(prediction().outcome) is str
    assert silent.outcome == "none"
    assert dataclasses.replace(silent, abstained=True).outcome == "abstained"
