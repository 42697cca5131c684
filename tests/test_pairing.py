"""Pairing: sentences, quotations, speakers, boilerplate, candidates and links, on invented texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from stance.errors import CheckpointError
from stance.pairing import Heads, find, read
from stance.pairing.boilerplate import mark_boilerplate
from stance.pairing.candidates import CUES, split
from stance.pairing.links import HEADS, LINK_CUES, Head, chosen
from stance.pairing.names import keys, names_in, same_actor, without_title
from stance.pairing.quotes import attribute, find_quotes
from stance.pairing.sentences import split_sentences
from stance.records import Document, Pair

STATES = 4


def _speakers(text: str) -> list[str]:
    sentences = split_sentences(text)
    return [speaker.name for speaker in attribute(text, sentences, find_quotes(text))]


def _sentences(text: str) -> list[str]:
    return [text[s.start : s.end] for s in split_sentences(text)]


def _quoted(text: str) -> list[str]:
    return [q.of(text) for q in find_quotes(text)]


# -- sentences


@pytest.mark.parametrize(
    "text", ["", "  \n\n ", "One.", "A\tB. C!\r\nD?", "“Odd", "x" * 70_000, "a b. " * 9000, "👩‍👩‍👧 ran. É1."]
)
def test_sentences_cover_every_word_in_order(text: str) -> None:
    found = split_sentences(text)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert "".join("".join(text[s.start : s.end].split()) for s in found) == "".join(text.split())


def test_titles_and_initials_end_no_sentence_and_lines_do() -> None:
    text = "Mr. A. Berg of the U.S. Navy denied it. He left.\nA new line"
    assert _sentences(text) == ["Mr. A. Berg of the U.S. Navy denied it.", "He left.", "A new line"]


def test_turns_inside_one_line_are_cut_at_their_labels() -> None:
    text = "ANNA LIND: Did you lie? SEN. ADA BERG: Never. Not once."
    assert _sentences(text)[0] == "ANNA LIND: Did you lie?"
    assert any(s.startswith("SEN. ADA BERG: Never.") for s in _sentences(text))


def test_a_very_long_sentence_is_cut_at_the_sentences_quoted_in_it() -> None:
    text = "“" + " ".join(f"This is claim number {i} and it is false." for i in range(40)) + "”"
    assert max(len(s) for s in _sentences(text)) < 500


# -- quotations


def test_quotations_with_straight_and_curly_marks() -> None:
    assert _quoted('He said “no” and "never".') == ["“no”", '"never"']


def test_a_quotation_over_several_paragraphs_goes_on() -> None:
    text = "Berg said: “First part.\n“Second part.\n“Third part,” she ended."
    assert _quoted(text) == ["“First part.", "“Second part.", "“Third part,”"]


def test_a_stray_mark_quotes_nothing() -> None:
    assert _quoted('The 6" pipe burst. Nobody lied.') == []


# -- names


def test_capitals_and_peoples_stand_for_states() -> None:
    assert same_actor("Moscow", "the Kremlin") and same_actor("South Korean", "Seoul")
    assert not same_actor("South Korea", "North Korea")
    assert not same_actor("President Berg", "President Lind")


def test_titles_are_taken_off_names() -> None:
    assert without_title("Nordian Foreign Minister Ada Berg") == "Ada Berg"
    assert [name for _, name in names_in("On Monday the envoy Ada Berg met Lind’s aide.")] == ["Ada Berg", "Lind"]
    assert keys("Ms. Berg") == {"berg"}


# -- speakers


@pytest.mark.parametrize(
    ("text", "speakers"),
    [
        ("“It is false,” said Ada Berg.", ["Ada Berg"]),
        ("Ada Berg, the envoy, denied it.", ["Ada Berg"]),
        ("According to Ada Berg, nothing happened.", ["Ada Berg"]),
        ("Ada Berg spoke on Monday. She denied it.", ["", "Ada Berg"]),
        ("Ada Berg denied it. “Not one tank moved,” Berg added.", ["Ada Berg", "Ada Berg"]),
        ("Spokeswoman Ada Berg arrived. The spokeswoman rejected the claim.", ["", "Ada Berg"]),
        ("Ada Berg was blunt, saying:\n“We did nothing.”", ["Ada Berg", "Ada Berg"]),
        ("“It is false,” said Ada Berg. “It never was true.”", ["Ada Berg", "Ada Berg"]),
        ("Nordia accused Sudland of spying.", ["Nordia"]),
    ],
)
def test_speakers_are_named_from_verbs_pronouns_and_titles(text: str, speakers: list[str]) -> None:
    assert _speakers(text) == speakers


def test_labels_speak_until_the_next_one() -> None:
    turns = (
        "Q: Did you?",
        "MS. BERG: We did not. Nobody did.",
        "Reuters: The pictures show it.",
        "MS. BERG: Old ones.",
    )
    text = "\n".join(turns)
    assert _speakers(text) == ["Q", "Ms. Berg", "Ms. Berg", "Reuters", "Ms. Berg"]


# -- boilerplate


def test_menus_appeals_and_related_stories_are_left_out_and_the_article_stays() -> None:
    lines = [
        ("Share", True),
        ("By Nils Holm | May 2, 2031", True),
        ("Nordia accused Sudland of moving tanks.", False),
        ("Sudland denied it.", False),
        ("A Message from The Fable:", True),
        ("We need your help to go on.", True),
        ("Your support, however small, makes a difference.", True),
        ("Related Articles", True),
        ("A minister resigns after a long...", True),
        ("Who is Nils Holm?", True),
    ]
    text = "\n\n".join(line for line, _ in lines)
    sentences = split_sentences(text)
    dropped = dict(zip((text[s.start : s.end] for s in sentences), mark_boilerplate(text, sentences), strict=True))
    for line, is_boilerplate in lines[:8]:
        assert dropped[line] == is_boilerplate, line


def test_a_text_that_is_all_boilerplate_is_kept() -> None:
    text = "Share\nComments"
    assert mark_boilerplate(text, split_sentences(text)) == [False, False]


# -- one sentence that holds both


@pytest.mark.parametrize(
    ("text", "charge", "reply"),
    [
        (
            "Holm accused Berg of taking bribes, but Berg denied it.",
            "Holm accused Berg of taking bribes",
            "but Berg denied it.",
        ),
        ("Berg has denied allegations that she took bribes.", "allegations that she took bribes.", "Berg has denied"),
        (
            "Berg pleaded guilty to charges that she took bribes.",
            "to charges that she took bribes.",
            "Berg pleaded guilty",
        ),
        (
            "Nordia demanded an apology for accusing it of piracy at sea.",
            "for accusing it of piracy at sea.",
            "Nordia demanded an apology",
        ),
    ],
)
def test_charge_and_answer_in_one_sentence_are_told_apart(text: str, charge: str, reply: str) -> None:
    reading = read(Document(text=text))
    cut = split(reading, reading.units[0])
    assert cut is not None
    assert [u.span.of(text) for u in cut] == [charge, reply]


def test_a_plain_sentence_is_not_cut() -> None:
    reading = read(Document(text="The river froze on Monday and the ferry stayed in port."))
    assert split(reading, reading.units[0]) is None


# -- finding pairs, with heads made by hand


def _hand_made(columns: Sequence[str], weights: Mapping[str, float], bias: float) -> Head:
    matrix = np.array([[weights.get(name, 0.0)] for name in columns], np.float32)
    n = len(columns)
    return Head(
        mean=np.zeros(n, np.float32), scale=np.ones(n, np.float32), layers=((matrix, np.array([bias], np.float32)),)
    )


def _columns(*, neighbours: bool) -> list[str]:
    names = [f"state{i}" for i in range(STATES)] + list(CUES)
    return names + ([f"{side}:{c}" for side in ("before", "after") for c in CUES] if neighbours else [])


@pytest.fixture
def heads() -> Heads:
    cues = _columns(neighbours=True)
    links = [f"state{i}" for i in range(STATES)] + list(LINK_CUES)
    both = [f"state{i}" for i in range(STATES)] + ["a", "r", *CUES, "x", "y", "z"]
    on = ["a", "r", "a2", "r2", "joined", "paragraph", "voice", "next", "q1", "q2", *CUES, *(f"2{c}" for c in CUES)]
    made = {
        "screen": _hand_made(cues[STATES:], {}, 5.0),
        "accusation": _hand_made(cues, {"charge": 8.0, "reply": -6.0}, -4.0),
        "response": _hand_made(cues, {"reply": 8.0}, -4.0),
        "both": _hand_made(both, {"reply": 2.0, "charge": 2.0}, -3.0),
        "continues_accusation": _hand_made(on, {}, -5.0),
        "continues_response": _hand_made(on, {"joined": 8.0}, -4.0),
        "link_screen": _hand_made(list(LINK_CUES), {}, 5.0),
        "link": _hand_made(links, {"after": 3.0, "answerer_is_charged": 3.0}, -4.0),
    }
    names = (*HEADS, "accusation_shown", "link_more")
    return Heads(heads=made, thresholds=dict.fromkeys(names, 0.5))


def _features(pairs: Sequence[Pair]) -> np.ndarray:
    return np.zeros((len(pairs), STATES), np.float32)


ARTICLE = (
    "Tanks at the river\n\nNordia accused Sudland on Monday of moving tanks to the river.\n\n"
    "The weather was mild.\n\nSudland denied the charge. “Not one tank has moved,” said its envoy, Ada Berg.\n\n"
    "A monitor also charged Westmark with flying drones.\n"
)


def test_a_response_keeps_its_likeliest_accusation_and_further_ones_only_where_they_are_surer_still() -> None:
    links = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (0, 2)]
    odds = np.array([0.9, 0.75, 0.6, 0.35, 0.3, 0.2], np.float32)
    kept = chosen(links, odds, {"link": 0.3, "link_more": 0.7})
    assert kept.tolist() == [True, True, False, True, False, False]
    assert chosen([], np.zeros(0), {"link": 0.3, "link_more": 0.7}).tolist() == []


def test_a_pair_is_found_with_exact_spans_speakers_and_reasons(heads: Heads) -> None:
    found = find(Document(text=ARTICLE, id="n1"), heads, _features)
    (pair,) = found.pairs
    assert pair.accusation == "Nordia accused Sudland on Monday of moving tanks to the river."
    assert pair.response == "Sudland denied the charge."
    for text, span in ((pair.accusation, pair.accusation_span), (pair.response, pair.response_span)):
        assert span is not None and ARTICLE[span.start : span.end] == text
    assert (pair.accuser, pair.accused, pair.responder) == ("Nordia", "Sudland", "Sudland")
    assert pair.document_id == "n1" and 0.5 < pair.link_probability < 1
    assert "den" in pair.cue and any("named in the accusation" in reason for reason in pair.why)


def test_an_accusation_that_nobody_answers_is_listed(heads: Heads) -> None:
    found = find(Document(text=ARTICLE), heads, _features)
    answered = {pair.accusation_span for pair in found.pairs}
    (left,) = [a for a in found.accusations if a.span not in answered]
    assert left.text.startswith("A monitor") and left.accused == "Westmark"


def test_charge_and_answer_in_one_sentence_make_a_pair(heads: Heads) -> None:
    text = "Nils Holm accused Ada Berg of taking bribes, but Ada Berg denied it."
    found = find(Document(text=text), heads, _features)
    (pair,) = found.pairs
    assert (pair.accusation, pair.response) == (
        "Nils Holm accused Ada Berg of taking bribes",
        "but Ada Berg denied it.",
    )
    assert pair.accusation_sentences == pair.response_sentences


def test_a_counter_accusation_that_is_answered_makes_a_chain(heads: Heads) -> None:
    text = (
        "Nordia accused Sudland of spying.\nSudland rejected it and accused Nordia of piracy.\n"
        "Nordia denied any piracy."
    )
    heads = Heads(
        heads={**heads.heads, "accusation": _hand_made(_columns(neighbours=True), {"charge": 8.0}, -4.0)},
        thresholds={**heads.thresholds, "both": 1.1},
    )
    found = find(Document(text=text), heads, _features)
    assert len(found.chains) >= 1
    i, j = found.chains[0]
    assert found.pairs[i].response_span == found.pairs[j].accusation_span


@pytest.mark.parametrize("text", ["", "   \n\n", "Share\nComments", "!!! ???", "Nothing happened here today."])
def test_a_text_without_charges_gives_nothing(text: str, heads: Heads) -> None:
    found = find(Document(text=text), heads, _features)
    assert (found.pairs, found.accusations, found.chains) == ((), (), ())


def test_a_megabyte_is_read_in_pieces(heads: Heads) -> None:
    filler = "".join(f"On day {i} some filler stood between the stories.\n" for i in range(20))
    text = "".join(ARTICLE.replace("Sudland", f"Sudland{i}").replace("Monday", f"day {i}") + filler for i in range(60))
    largest = 0

    def counted(pairs: Sequence[Pair]) -> np.ndarray:
        nonlocal largest
        largest = max(largest, len(pairs))
        return _features(pairs)

    found = find(Document(text=text), heads, counted)
    assert len(found.pairs) > 3 and largest < 300
    assert all(text[p.response_span.start : p.response_span.end] == p.response for p in found.pairs if p.response_span)


# -- the file of the heads


def test_heads_come_back_from_their_file_as_they_were(heads: Heads, tmp_path: Path) -> None:
    path = tmp_path / "documents.npz"
    heads.save(path)
    again = Heads.load(path)
    rows = np.random.default_rng(0).normal(size=(5, STATES + 3 * len(CUES))).astype(np.float32)
    assert np.allclose(again["accusation"].probability(rows), heads["accusation"].probability(rows))
    assert again.thresholds == heads.thresholds and set(again.heads) == set(HEADS)


def test_a_missing_a_damaged_and_a_foreign_file_are_named(heads: Heads, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot find them in documents"):
        Heads.load(tmp_path / "documents.npz")
    path = tmp_path / "documents.npz"
    path.write_bytes(b"no zip at all")
    with pytest.raises(CheckpointError, match="damaged"):
        Heads.load(path)
    np.savez(path, format=np.array(99))
    with pytest.raises(CheckpointError, match="format 99"):
        Heads.load(path)


def test_heads_for_another_encoder_say_so(heads: Heads) -> None:
    with pytest.raises(CheckpointError, match="features"):
        find(Document(text=ARTICLE), heads, lambda pairs: np.zeros((len(pairs), STATES + 1), np.float32))
