"""Pairing: sentences, quotations, speakers, boilerplate, candidates and links, on invented texts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from toy_model import word_tokenizer

from stance.errors import CheckpointError
from stance.pairing import Finder, find, read
from stance.pairing.actors import answer_actor, charge_actors
from stance.pairing.boilerplate import mark_boilerplate
from stance.pairing.candidates import CUES, Reading, Unit, cue_matrix, split, split_point
from stance.pairing.finder import load, save, scorer
from stance.pairing.layout import FARTHEST, PAIR_FACTS, WINDOW, distances, lay_out
from stance.pairing.links import LINK_COLUMNS, Head, Passage, chosen, find_passages
from stance.pairing.names import keys, names_in, people_in, same_actor, without_title
from stance.pairing.network import Scores, merged
from stance.pairing.quotes import attribute, find_quotes
from stance.pairing.sentences import split_sentences
from stance.records import Accusation, Document, Span


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


# -- finding pairs, with a network made by hand


def _by_cues(
    charge: float = 4.0, reply: float = 4.0, goes_on: float = 0.0, only_one: bool = True
) -> Callable[[Reading], Scores]:
    """A network that goes by words of charge and of reply; of a sentence with both it says that it replies."""

    def score(reading: Reading) -> Scores:
        cues = cue_matrix(reading)
        cuts = {i: cut for i, unit in enumerate(reading.units) if (cut := split(reading, unit)) is not None}
        n = len(reading.units)
        charged, replied = (cues[:, CUES.index(name)] > 0 for name in ("charge", "reply"))
        logits = np.stack(
            [np.where(charged & ~(replied & only_one), charge, -4.0), np.where(replied, reply, -4.0)], axis=1
        )
        rows = {i: (n + 2 * k, n + 2 * k + 1) for k, i in enumerate(cuts)}
        links = np.full((n + 2 * len(cuts),) * 2, -4.0, np.float32)
        for i, (a, b) in rows.items():
            links[a, b] = 4.0 * bool(charged[i])
        sides = 1 / (1 + np.exp(-np.vstack([logits, *([[4.0, -4.0], [-4.0, 4.0]] for _ in cuts)])))
        return Scores(
            units=(*reading.units, *(unit for cut in cuts.values() for unit in cut)),
            cuts=rows,
            sides=sides.astype(np.float32),
            goes_on=np.full((max(0, n - 1), 2), goes_on, np.float32),
            links=links,
        )

    return score


THRESHOLDS = dict.fromkeys(
    (
        "accusation", "response", "both", "continues_accusation", "continues_response", "link", "link_more",
        "accusation_shown",
    ),
    0.5,
)  # fmt: skip


def _finder(score: Callable[[Reading], Scores] | None = None, **thresholds: float) -> Finder:
    columns = LINK_COLUMNS
    wanted = {"after": 3.0, "answerer_is_charged": 3.0}
    n = len(columns)
    link = Head(
        np.zeros(n, np.float32),
        np.ones(n, np.float32),
        np.array([wanted.get(name, 0.0) for name in columns], np.float32),
        -4.0,
    )
    return Finder(score=score or _by_cues(), link=link, thresholds={**THRESHOLDS, **thresholds})


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


def test_a_pair_is_found_with_exact_spans_speakers_and_reasons() -> None:
    found = find(Document(text=ARTICLE, id="n1"), _finder())
    (pair,) = found.pairs
    assert pair.accusation == "Nordia accused Sudland on Monday of moving tanks to the river."
    assert pair.response == "Sudland denied the charge."
    for text, span in ((pair.accusation, pair.accusation_span), (pair.response, pair.response_span)):
        assert span is not None and ARTICLE[span.start : span.end] == text
    assert (pair.accuser, pair.accused, pair.responder) == ("Nordia", "Sudland", "Sudland")
    assert pair.document_id == "n1" and 0.5 < pair.link_probability < 1
    assert "den" in pair.cue and any("named in the accusation" in reason for reason in pair.why)


def test_an_accusation_that_nobody_answers_is_listed() -> None:
    found = find(Document(text=ARTICLE), _finder())
    answered = {pair.accusation_span for pair in found.pairs}
    (left,) = [a for a in found.accusations if a.span not in answered]
    assert left.text.startswith("A monitor") and left.accused == "Westmark"


def test_charge_and_answer_in_one_sentence_make_a_pair() -> None:
    text = "Nils Holm accused Ada Berg of taking bribes, but Ada Berg denied it."
    found = find(Document(text=text), _finder())
    (pair,) = found.pairs
    assert (pair.accusation, pair.response) == (
        "Nils Holm accused Ada Berg of taking bribes",
        "but Ada Berg denied it.",
    )
    assert pair.accusation_sentences == pair.response_sentences


def test_a_counter_accusation_that_is_answered_makes_a_chain() -> None:
    text = (
        "Nordia accused Sudland of spying.\nSudland rejected it and accused Nordia of piracy.\n"
        "Nordia denied any piracy."
    )
    found = find(Document(text=text), _finder(_by_cues(only_one=False), both=1.1))
    assert len(found.chains) >= 1
    i, j = found.chains[0]
    assert found.pairs[i].response_span == found.pairs[j].accusation_span


@pytest.mark.parametrize("text", ["", "   \n\n", "Share\nComments", "!!! ???", "Nothing happened here today."])
def test_a_text_without_charges_gives_nothing(text: str) -> None:
    found = find(Document(text=text), _finder())
    assert (found.pairs, found.accusations, found.chains) == ((), (), ())


def test_a_megabyte_is_read_in_pieces() -> None:
    filler = "".join(f"On day {i} some filler stood between the stories.\n" for i in range(20))
    text = "".join(ARTICLE.replace("Sudland", f"Sudland{i}").replace("Monday", f"day {i}") + filler for i in range(60))
    largest = 0

    def counted(reading: Reading) -> Scores:
        nonlocal largest
        largest = max(largest, len(reading.units))
        return _by_cues()(reading)

    found = find(Document(text=text), _finder(counted))
    assert len(found.pairs) > 3 and largest < 300
    assert all(text[p.response_span.start : p.response_span.end] == p.response for p in found.pairs if p.response_span)


# -- what the network reads


WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "nordia", "sudland", "denied", "accused", "the", "of", "day", ".")
TOKENIZER = word_tokenizer(WORDS)


def _long(n: int) -> Reading:
    text = "".join(f"On day {i} Nordia accused Sudland of a thing number {i}.\n" for i in range(n))
    return read(Document(text=text + "Sudland denied accusing Nordia, which accused it of lies.", title="The day"))


@pytest.mark.parametrize("first", [WINDOW, WINDOW // 2])
def test_windows_hold_every_row_and_overlap(first: int) -> None:
    reading = _long(150)
    layout = lay_out(reading, TOKENIZER, first=first)
    held = np.concatenate([w.rows for w in layout.windows])
    assert set(held.tolist()) == set(range(len(layout.units))) and len(held) > len(layout.units)
    assert max(len(w.ids) for w in layout.windows) <= WINDOW
    for window in layout.windows:
        assert window.ids[0] == TOKENIZER.token_to_id("[CLS]") and (window.types[:3] == 0).all()
        for row, (start, stop) in zip(window.rows, window.spans, strict=True):
            words = reading.words_of(layout.units[row])
            ids = TOKENIZER.encode(words, add_special_tokens=False).ids
            assert window.ids[start:stop].tolist() == ids


def test_a_sentence_longer_than_a_window_is_read_as_far_as_it_goes() -> None:
    reading = read(Document(text="accused " * 60 + "and then, " * 400 + "denied."))
    layout = lay_out(reading, TOKENIZER)
    assert layout.windows and max(len(w.ids) for w in layout.windows) <= WINDOW


def test_facts_of_pairs_tell_who_is_named_and_who_speaks() -> None:
    text = "Nordia accused Sudland of spying.\n\nSudland denied the spying. Snow fell on the hills of Westmark."
    facts = lay_out(read(Document(text=text)), TOKENIZER).pair_facts
    told = {name: facts[:, :, i] for i, name in enumerate(PAIR_FACTS)}
    assert told["answerer_named_in_charge"][0, 1] and not told["answerer_named_in_charge"][0, 2]
    assert told["same_paragraph"][1, 2] and not told["same_paragraph"][0, 1]
    assert told["shared_words"][0, 1] > told["shared_words"][0, 2]
    assert told["charge_first"][0, 1] and not told["charge_first"][1, 0]


def test_the_row_of_a_document_is_the_mean_over_its_windows() -> None:
    layout = lay_out(_long(100), TOKENIZER)

    def vectors(ids: np.ndarray, mask: np.ndarray, types: np.ndarray, pool: np.ndarray) -> np.ndarray:
        return pool @ np.stack([ids, mask], axis=2).astype(np.float32)

    rows = merged(layout, vectors)
    whole = TOKENIZER.encode(_long(100).words_of(layout.units[3]), add_special_tokens=False).ids
    assert rows.shape == (len(layout.units), 2)
    assert rows[3] == pytest.approx([np.mean(whole), 1.0], abs=1e-5)


def test_no_distance_is_farther_than_the_farthest() -> None:
    apart = distances(np.array([0, 1, 500]))
    assert apart.tolist()[0] == [FARTHEST, FARTHEST + 1, 2 * FARTHEST] and apart[2, 0] == 0


# -- the file of the finder


def _weights(size: int = 3) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    shapes = {
        "mix": (5, size + len(CUES)), "sides": (2, 5), "goes_on": (2, 10), "charge": (4, 5), "answer": (4, 5),
        "pair_charge": (6, 5), "pair_answer": (6, 5), "pair_facts": (6, len(PAIR_FACTS)),
        "distance": (2 * FARTHEST + 1, 6), "pair": (1, 6),
    }  # fmt: skip
    return {f"{name}.weight": draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def _vectors(ids: np.ndarray, mask: np.ndarray, types: np.ndarray, pool: np.ndarray) -> np.ndarray:
    return np.asarray(pool @ np.stack([ids, mask, types], axis=2).astype(np.float32))


def test_a_finder_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    path, made = tmp_path / "documents.npz", _finder()
    save(path, _weights(), made.link, made.thresholds)
    again = load(path, _vectors, TOKENIZER)
    reading = _long(4)
    assert (again.score(reading).links == scorer(_weights(), _vectors, TOKENIZER)(reading).links).all()
    rows = np.random.default_rng(0).normal(size=(5, len(LINK_COLUMNS))).astype(np.float32)
    assert np.allclose(again.link.probability(rows), made.link.probability(rows))
    assert again.thresholds == made.thresholds


def test_a_missing_a_damaged_and_a_foreign_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "documents.npz"
    with pytest.raises(CheckpointError, match="missing"):
        load(path, _vectors, TOKENIZER)
    path.write_bytes(b"no zip at all")
    with pytest.raises(CheckpointError, match="damaged"):
        load(path, _vectors, TOKENIZER)
    np.savez(path, format=np.array(99))
    with pytest.raises(CheckpointError, match="format 99"):
        load(path, _vectors, TOKENIZER)
    weights = _weights()
    del weights["pair.weight"]
    save(path, weights, _finder().link, THRESHOLDS)
    with pytest.raises(CheckpointError, match="damaged: KeyError: 'pair'"):
        load(path, _vectors, TOKENIZER)


# -- whom a charge names


def _passage(unit: Unit, place: int = 0) -> Passage:
    return Passage(units=(unit,), place=place, probability=0.9)


def _actors(text: str) -> tuple[str, str]:
    reading = read(Document(text=text))
    return charge_actors(reading, _passage(reading.units[0]), people_in(text))


@pytest.mark.parametrize(
    ("text", "accuser", "accused"),
    [
        ("Nils Holm, the opposition leader, accused Ada Berg of taking bribes.", "Nils Holm", "Ada Berg"),
        ("Nils Holm, who accused Ada Berg of lying, was there.", "Nils Holm", "Ada Berg"),
        ("Nordia said Sudland was accused of spying.", "Nordia", "Sudland"),
        ("On Monday Ada Berg was accused of lying.", "", "Ada Berg"),
        ("Ada Berg faces charges of bribery.", "", "Ada Berg"),
        ("Ada Berg was accused by Nils Holm of lying.", "Nils Holm", "Ada Berg"),
        ("Berg has denied allegations that she took bribes.", "", "Berg"),
        ("Nils Holm accused the company of fraud.", "Nils Holm", "the company"),
        ("Corruption was rampant, Holm said.", "Holm", ""),
        ("“They accuse us of spying,” said Ada Berg.", "", "Ada Berg"),
        ("The suit alleges that the company lied to investors.", "suit", "the company"),
        ("Critics have accused the White House of lying, Holm said.", "critics", "White House"),
        ("Berg dismissed claims that he lied as nonsense.", "", "Berg"),
        ("Nordia said Uber had robbed drivers.", "Nordia", "Uber"),
    ],
)
def test_accuser_and_accused_are_read_from_the_grammar(text: str, accuser: str, accused: str) -> None:
    assert _actors(text) == (accuser, accused)


def test_you_in_a_transcript_is_who_speaks_next() -> None:
    text = "MR. HOLM: You took bribes for years.\nMS. BERG: We did not.\nMR. HOLM: Say more."
    assert _actors(text) == ("Holm", "Berg")


def test_who_answers_is_the_accused_where_the_charge_names_nobody() -> None:
    reading = read(Document(text="Millions were stolen, a report found. Ada Berg denied it."))
    charge, reply = (_passage(unit, i) for i, unit in enumerate(reading.units))
    assert charge_actors(reading, charge, ("Ada Berg",), reply)[1] == "Ada Berg"


def test_a_clause_beside_the_accusers_own_is_answered_by_the_accused() -> None:
    text = "Nordia accused Sudland of spying, which it denied."
    reading = read(Document(text=text))
    cut = split(reading, reading.units[0])
    assert cut is not None
    charge = Accusation(text=text, span=Span(start=0, end=9), accuser="Nordia", accused="Sudland", probability=0.9)
    assert answer_actor(reading, _passage(cut[1]), charge, ()) == "Sudland"


def test_who_rejects_a_charge_and_makes_another_is_its_accuser() -> None:
    reading = read(Document(text="Sudland rejected it and accused Nordia of piracy."))
    cut = split(reading, reading.units[0])
    assert cut is not None and charge_actors(reading, _passage(cut[0]), ()) == ("Sudland", "Nordia")


def test_without_a_speaker_the_accused_answers() -> None:
    reading = read(Document(text="Calls to Nordia Steel were not returned."))
    charge = Accusation(text="x", span=Span(start=0, end=1), accuser="Holm", accused="Nordia Steel", probability=0.9)
    assert answer_actor(reading, _passage(reading.units[0]), charge, ()) == "Nordia Steel"


@pytest.mark.parametrize(
    ("text", "speaker"),
    [
        ("The White House denied it.", "White House"),
        ("The company lied to regulators, Holm said.", "Holm"),
        ("The company lied to Ada Berg, Holm said.", "Holm"),
        ("While Berg expressed concern, North Korea has dismissed the claim.", "North Korea"),
        ("Similarly, Pyongyang labeled it false.", "Pyongyang"),
        ("“It is false,” said Mr. Berg.", "Berg"),
        ("“It is false,” said Sen. Ada Berg.", "Ada Berg"),
        ("“It is false,” insisted Ada Berg.", "Ada Berg"),
        ("According to Mr. Holm, nothing happened.", "Holm"),
        ("Berg was asked about it.", ""),
        ("Holm’s claims were dismissed.", ""),
    ],
)
def test_the_actor_beside_the_verb_speaks(text: str, speaker: str) -> None:
    assert [name.removeprefix("The ") for name in _speakers(text)] == [speaker]


def test_names_keep_their_bodies_and_stay_on_one_line() -> None:
    for name in ("Justice Department", "Republican Party", "General Motors"):
        assert without_title(name) == name
    assert (
        keys("Justice Department") and keys("the Senate") and not same_actor("Foreign Ministry", "Justice Department")
    )
    assert [name for _, name in names_in("Ada Berg\nNils Holm")] == ["Ada Berg", "Nils Holm"]


def test_a_long_row_of_titles_is_read_in_no_time() -> None:
    assert without_title("Minister of " * 4000 + "X")
    assert names_in("The " * 100_000) == []


def test_labels_need_no_colon_after_q_and_a_and_headings_are_none() -> None:
    assert _speakers("Q    Did you lie?\nA    We never did.")[:2] == ["Q", "A"]
    assert _speakers("Background: Tanks moved.\nThe rain fell.\nConclusion: Nothing came of it.") == ["", "", ""]
    text = "MS. BERG: We did not.\nHe said it and I heard it.\nMR. HOLM: Fine."
    assert _speakers(text) == ["Ms. Berg", "Ms. Berg", "Mr. Holm"]


def test_sentences_of_the_article_are_no_boilerplate() -> None:
    answer = "MS. BERG: I have no knowledge of that at all."
    lines = [
        "Most of the charges were false.",
        "He denied robbing the store.",
        "Copyright theft is what Nordia accuses Sudland of.",
        "Holm asked a banker to make a donation to the mayor.",
        answer,
        "Did you?",
        answer,
        "Nordia Store",
    ]
    text = "\n".join(lines)
    assert mark_boilerplate(text, split_sentences(text)) == [False] * 7 + [True]


def test_an_inch_mark_opens_no_quotation() -> None:
    assert _quoted('The 6" pipe burst. "It was old," Holm said.') == ['"It was old,"']


def test_a_line_wrapped_by_hand_goes_on() -> None:
    assert _sentences("Nordia accused Sudland of\nspying. It lied.\n\nnext part") == [
        "Nordia accused Sudland of\nspying.",
        "It lied.",
        "next part",
    ]


def test_a_sentence_that_is_charge_and_reply_keeps_the_probability_of_the_charge() -> None:
    text = "Nordia accused Sudland of spying.\nSudland rejected it and accused Nordia of piracy."
    found = find(Document(text=text), _finder(_by_cues(charge=2.0, reply=9.0, only_one=False), both=1.1))
    assert [round(a.probability, 3) for a in found.accusations] == [0.881, 0.881]


def test_passages_are_not_joined_across_what_was_left_out() -> None:
    for between, count in (("\n", 1), ("\nAdvertisement\n", 2)):
        reading = read(Document(text=f"Sudland denied the story.{between}Sudland rejected the story too."))
        assert len(find_passages(reading, _by_cues(goes_on=1.0)(reading), THRESHOLDS)[1]) == count


def test_only_most_of_a_stretch_that_asks_for_money_is_left_out() -> None:
    asking = "Please make a donation to our work."
    text = "\n".join([asking, "Nordia accused Sudland.", "Sudland denied it.", "Rain fell.", asking + " Now."])
    assert mark_boilerplate(text, split_sentences(text))[1:4] == [False] * 3


def test_white_space_by_the_thousand_is_read_in_no_time() -> None:
    text = "Nordia accused Sudland of spying," + " " * 20_000 + "which it denied."
    assert split_point(text, text) is not None
    assert len(split_sentences(text + ' "' * 2000)) > 0
