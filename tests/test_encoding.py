import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_model import WORDS, toy_classifier

from stance import LabelledPair, Pair
from stance.encoding import Encoded, Encoder, as_pair, check_text
from stance.errors import CheckpointError, InputError, PairError

PAD, UNK, CLS, SEP = range(4)
WINDOW, CAP = 64, 24


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return toy_classifier()._encoder


def words(n: int) -> str:
    return " ".join(["river"] * n)


def one(encoder: Encoder, accusation: str, response: str) -> Encoded:
    return encoder.encode([Pair(accusation=accusation, response=response)])[0]


def lengths(row: Encoded) -> tuple[int, int]:
    """Tokens of the accusation and of the response, without the three special ones."""
    first = row.types.index(1)
    return first - 2, len(row.ids) - first - 1


# The window


def test_a_short_pair_is_read_whole_between_the_special_tokens(encoder):
    row = one(encoder, "they said", "we admit")
    they, said, we, admit = (WORDS.index(w) for w in ("they", "said", "we", "admit"))
    assert row.ids == (CLS, they, said, SEP, we, admit, SEP)
    assert row.types == (0, 0, 0, 0, 1, 1, 1)
    assert not row.truncated


@pytest.mark.parametrize(
    ("accusation", "response", "kept", "truncated"),
    [
        (24, 37, (24, 37), False),
        (25, 37, (24, 37), True),
        (24, 38, (24, 37), True),
        (10, 51, (10, 51), False),
        (10, 52, (10, 51), True),
        (300, 1, (24, 1), True),
        (300, 300, (24, 37), True),
        (1, 300, (1, 60), True),
    ],
)
def test_the_accusation_is_capped_first_and_the_response_gets_all_that_is_left(
    encoder, accusation, response, kept, truncated
):
    row = one(encoder, words(accusation), words(response))
    assert lengths(row) == kept
    assert row.truncated is truncated
    assert len(row.ids) <= WINDOW


@given(st.integers(1, 90), st.integers(1, 90))
def test_no_pair_outgrows_the_window_and_every_cut_is_reported(accusation, response):
    row = one(toy_classifier()._encoder, words(accusation), words(response))
    assert len(row.ids) == len(row.types) <= WINDOW
    assert row.truncated is (lengths(row) != (accusation, response))


@pytest.mark.parametrize("part", ["accusation", "response"])
def test_a_megabyte_of_text_is_cut_and_reported(encoder, part):
    texts = {"accusation": "they said", "response": "we admit", part: "river " * 170_000}
    row = one(encoder, **texts)
    assert row.truncated
    assert len(row.ids) <= WINDOW


def test_a_megabyte_in_one_word_is_cut_and_reported(encoder):
    assert one(encoder, "they said", "x" * 1_000_000).truncated


def test_pairs_are_encoded_alike_alone_and_together(encoder):
    pairs = [Pair(accusation=words(i), response=words(40 - i)) for i in range(1, 40)]
    assert encoder.encode(pairs) == [encoder.encode([pair])[0] for pair in pairs]


def test_a_text_that_spells_a_special_token_opens_no_boundary(encoder):
    row = one(encoder, "they [SEP] said", "[CLS] we [PAD]")
    assert [row.ids.count(mark) for mark in (CLS, SEP, PAD)] == [1, 2, 0]
    assert row.ids[-1] == SEP and row.types.count(1) == row.ids[::-1].index(SEP, 1)


def test_white_space_around_a_text_takes_no_room_however_much(encoder):
    blank = " " * 100_000
    assert one(encoder, f"{blank}they said", f"\n{blank}we admit{blank}") == one(encoder, "they said", "we admit")


def test_a_window_that_leaves_no_room_for_a_response_is_refused(encoder):
    for window, cap in ((64, 61), (64, 0), (4, 4)):
        with pytest.raises(CheckpointError, match="must leave room for a response"):
            Encoder(encoder._tokenizer, window, cap)


def test_the_tokenizers_own_truncation_and_padding_are_switched_off(encoder):
    tokenizer = toy_classifier()._encoder._tokenizer
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=60)
    assert one(Encoder(tokenizer, WINDOW, CAP), words(20), words(30)) == one(encoder, words(20), words(30))


def test_a_checkpoint_without_a_tokenizer_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is missing"):
        Encoder.from_file(tmp_path / "tokenizer.json", WINDOW, CAP)


# Batches


def test_padding_is_masked_and_of_no_segment(encoder):
    batch = encoder.pad(
        encoder.encode([Pair(accusation="they", response="we"), Pair(accusation="they", response=words(3))])
    )
    assert batch.input_ids.shape == batch.attention_mask.shape == batch.token_type_ids.shape == (2, 7)
    assert batch.input_ids[0].tolist()[5:] == [PAD, PAD]
    assert batch.attention_mask.sum(1).tolist() == [5, 7]
    assert batch.token_type_ids[0].tolist() == [0, 0, 0, 1, 1, 0, 0]
    assert {array.dtype for array in (batch.input_ids, batch.attention_mask, batch.token_type_ids)} == {
        np.dtype(np.int64)
    }


@pytest.mark.parametrize(
    ("part", "ids", "types"),
    [
        ("accusation", (CLS, SEP, WORDS.index("we"), WORDS.index("admit"), SEP), (0, 0, 1, 1, 1)),
        ("response", (CLS, WORDS.index("they"), WORDS.index("said"), SEP, SEP), (0, 0, 0, 0, 1)),
    ],
)
def test_hiding_a_text_leaves_the_other_and_the_special_tokens(encoder, part, ids, types):
    hidden = encoder.hide(one(encoder, "they said", "we admit"), part)
    assert (hidden.ids, hidden.types) == (ids, types)


def test_hiding_something_else_is_refused(encoder):
    with pytest.raises(InputError, match="'acusation'"):
        encoder.hide(one(encoder, "they said", "we admit"), "acusation")


# Texts and pairs


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "missing"),
        (float("nan"), "missing"),
        (np.float64("nan"), "missing"),
        (3, "is a int, not a string: 3"),
        (b"We did not.", "is a bytes, not a string"),
        (["We did not."], "is a list, not a string"),
        ("", "blank"),
        (" \t\n\u00a0\u2003", "blank"),
        ("\x00\x07\x1b", "blank"),
        ("\u200b\ufeff", "blank"),
        ("We did \ud800 not.", "lone surrogate at character 7"),
    ],
)
def test_a_text_that_cannot_be_judged_is_named_with_its_place(text, reason):
    with pytest.raises(PairError, match=reason) as caught:
        check_text(text, "response", 12)
    assert caught.value.index == 12
    assert str(caught.value).startswith("pair 12: the response ")


def test_an_error_is_printable_anywhere_and_short_whatever_the_text():
    with pytest.raises(PairError) as caught:
        check_text(["\ud800é" * 10_000], "response")
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["We did\x00 not\x07.", "Нет.", "‮we did not", "🙂", "?"])
def test_unusual_text_that_says_something_is_taken(text):
    assert check_text(text, "response") == text


def test_a_string_type_of_another_library_comes_back_as_a_plain_string():
    assert type(check_text(np.str_("We did not."), "response")) is str


@pytest.mark.parametrize(
    "item",
    [
        ("They lied.", "We did not."),
        ["They lied.", "We did not."],
        {"accusation": "They lied.", "response": "We did not.", "id": 3},
        Pair(accusation="They lied.", response="We did not."),
    ],
)
def test_pairs_come_in_several_forms(item):
    assert as_pair(item) == Pair(accusation="They lied.", response="We did not.")


def test_a_labelled_pair_stays_what_it_is():
    pair = LabelledPair(accusation="They lied.", response="We did not.", id="p1")
    assert as_pair(pair) is pair


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("ab", "one string was given where a pair is needed"),
        ("They lied.", "one string was given where a pair is needed"),
        (b"ab", "a pair is a stance.Pair or"),
        (("They lied.",), "a pair is a stance.Pair or"),
        (("a", "b", "c"), "a pair is a stance.Pair or"),
        ({"accusation": "They lied."}, "a pair is a stance.Pair or"),
        (None, "a pair is a stance.Pair or"),
        (7, "a pair is a stance.Pair or"),
        ({"a", "b"}, "a pair is a stance.Pair or"),
        (("They lied.", None), "the response is missing"),
        ((float("nan"), "We did not."), "the accusation is missing"),
        (Pair(accusation=" ", response="We did not."), "the accusation is blank"),
        (Pair(accusation="They lied.", response=None), "the response is missing"),
    ],
)
def test_what_is_not_a_pair_is_refused_with_its_place(item, reason):
    with pytest.raises(PairError, match=f"pair 4: {reason}"):
        as_pair(item, 4)


@given(st.text(max_size=40))
def test_any_text_is_either_taken_or_refused_by_name(text):
    try:
        pair = as_pair((text, "We did not."))
    except PairError as error:
        assert "accusation" in error.reason
    else:
        one(toy_classifier()._encoder, pair.accusation, pair.response)
