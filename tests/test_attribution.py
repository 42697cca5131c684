import json
from pathlib import Path

import pytest
from tiny_checkpoint import write_tiny_checkpoint
from toy_model import toy_classifier

from stance.attribution import explain
from stance.classifier import StanceClassifier
from stance.errors import LabelError, PairError

TOY = toy_classifier()


def test_the_cue_word_carries_the_answer_and_a_filler_nothing() -> None:
    found = explain("They sold the mine.", "The minister said it never", model=TOY)
    changes = {word.text: word.change for word in found.of("response")}
    assert found.outcome == "denial" and found.top(1)[0].text == "never"
    assert changes["never"] > 0.3 and abs(changes["minister"]) < 1e-6


def test_each_change_is_the_probability_less_what_is_left_without_the_word() -> None:
    response = "never proof sorry never"
    found = explain("They sold it.", response, model=TOY)
    for i, word in enumerate(found.of("response")):
        rest = " ".join(w for j, w in enumerate(response.split()) if j != i)
        left = TOY.classify("They sold it.", rest).probabilities["denial"]
        assert word.change == pytest.approx(found.probability - left, abs=1e-9)


def test_words_of_both_texts_are_judged_and_the_toy_reads_the_response_alone() -> None:
    found = explain("Never, they said.", "proof of it", model=TOY)
    assert [word.text for word in found.of("accusation")] == ["Never,", "they", "said."]
    assert all(abs(word.change) < 1e-9 for word in found.of("accusation"))
    assert found.without["accusation"] == ("demand_for_evidence", pytest.approx(found.probability))


def test_a_word_against_the_outcome_is_below_zero() -> None:
    found = explain("They sold it.", "never sorry", model=TOY, outcome="acknowledgment")
    changes = {word.text: word.change for word in found.of("response")}
    assert changes["never"] < 0 < changes["sorry"]


def test_leaving_out_an_only_word_is_hiding_the_text() -> None:
    found = explain("Thieves!", "never", model=TOY)
    assert found.of("response")[0].change == pytest.approx(found.probability - found.without["response"][1])


@pytest.mark.parametrize("response", ["never \u200b", "\u200b never \u200b", "never \u00ad\u200d"])
def test_leaving_out_the_only_word_that_can_be_seen_is_hiding_the_text(response: str) -> None:
    found = explain("You lied.", response, model=TOY)
    changes = {word.text: word.change for word in found.of("response")}
    assert changes.pop("never") == pytest.approx(found.probability - found.without["response"][1])
    assert changes and all(change == pytest.approx(0, abs=1e-9) for change in changes.values())


def test_spans_give_the_words_back() -> None:
    texts = {"accusation": "They  sold\tthe\nmine .", "response": " We did \u2014 never. "}
    found = explain(*texts.values(), model=TOY)
    assert all(word.span.of(texts[word.part]) == word.text for word in found.words)


def test_words_beyond_the_window_change_nothing_and_cost_nothing() -> None:
    found = explain("They sold it.", "never " * 2000, model=TOY)
    assert found.prediction.truncated and len(found.of("response")) == 2000
    assert all(word.change == 0 for word in found.of("response")[100:])


def test_a_checkpoint_on_disk_is_explained_by_its_folder(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    found = explain("word1 word2", "word3 word4 word5", model=folder)
    again = explain("word1 word2", "word3 word4 word5", model=StanceClassifier.load(folder, threads=1))
    assert [w.change for w in found.words] == pytest.approx([w.change for w in again.words], abs=1e-6)
    assert any(abs(word.change) > 0.01 for word in found.of("accusation"))


def test_the_html_escapes_the_texts_and_shows_the_sign_without_colour() -> None:
    shown = explain("<script>alert(1)</script> they", "never <b> sorry", model=TOY)._repr_html_()
    assert "<script>" not in shown and "<b> sorry" not in shown
    assert "solid" in shown and "dashed" in shown


def test_it_prints_and_turns_into_json() -> None:
    found = explain("They sold it.", "never", model=TOY)
    assert "never  (response)" in str(found) and "without the accusation: denial" in str(found)
    record = json.loads(json.dumps(found.to_dict()))
    assert record["outcome"] == "denial" and record["words"][-1]["text"] == "never"


def test_an_unknown_outcome_and_a_blank_text_are_refused() -> None:
    with pytest.raises(LabelError, match="denial"):
        explain("They sold it.", "never", model=TOY, outcome="refusal")
    with pytest.raises(PairError, match="blank"):
        explain("They sold it.", "  ", model=TOY)
