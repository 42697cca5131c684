import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_model import CUES, WORDS, BagOfWords, toy_classifier, toy_pairs

from stance import Label, LabelledPair, Pair, Prediction, StanceClassifier, load, metrics
from stance import calibration as calibrating
from stance import classifier as classifying
from stance.checkpoint import Settings
from stance.encoding import as_pair
from stance.errors import CheckpointError, InputError, PairError

TOY = toy_classifier()
SENTENCES = st.lists(st.sampled_from(WORDS[4:]), min_size=1, max_size=50).map(" ".join)
PAIRS = st.tuples(SENTENCES, SENTENCES)
WRITTEN = Path(__file__).parent.parent / "data" / "written_pairs.jsonl"


class Counting(BagOfWords):
    """Remembers the shape of every batch."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def logits(self, batch):
        self.shapes.append(batch.input_ids.shape)
        return super().logits(batch)


@pytest.fixture
def counting() -> StanceClassifier:
    return StanceClassifier(Settings(name="toy"), TOY._encoder, Counting(), Path("toy"))


@pytest.fixture(scope="module")
def fitted() -> StanceClassifier:
    """The toy with a calibration of its own, so that it can abstain."""
    pairs = mixed(100, seed=0)
    fit = calibrating.fit(
        TOY.logits(pairs) + np.random.default_rng(0).normal(0, 1.5, (300, 5)),
        metrics.indices([p.label for p in pairs]),
        metrics.membership([p.labels for p in pairs]),
    )
    assert fit.temperature > 0.3
    return StanceClassifier(Settings(name="toy", calibration=fit), TOY._encoder, BagOfWords(), Path("toy"))


def mixed(n: int, seed: int) -> list[LabelledPair]:
    """Easy and hard pairs: one cue, two and three."""
    return [pair for cues in (1, 2, 3) for pair in toy_pairs(n, seed=seed + cues, cues=cues)]


def nearly(first: Prediction, second: Prediction, tolerance: float) -> bool:
    return all(
        abs(getattr(first, name)[key] - getattr(second, name)[key]) <= tolerance
        for name in ("probabilities", "presence")
        for key in getattr(first, name)
    )


# One path


@given(st.lists(PAIRS, min_size=1, max_size=12))
def test_one_pair_scores_as_it_does_in_a_batch(pairs):
    assert TOY.classify_pairs(pairs) == [TOY.classify(*pair) for pair in pairs]


@given(st.lists(PAIRS, min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_pairs_is_kept_whatever_it_is(pairs, random):
    shuffled = random.sample(range(len(pairs)), len(pairs))
    first = TOY.classify_pairs(pairs)
    assert TOY.classify_pairs([pairs[i] for i in shuffled]) == [first[i] for i in shuffled]


@given(st.lists(PAIRS, min_size=1, max_size=4), st.integers(2, 5))
def test_duplicates_are_answered_alike_each_in_its_place(pairs, times):
    assert TOY.classify_pairs(pairs * times) == TOY.classify_pairs(pairs) * times


@given(PAIRS)
def test_a_prediction_is_consistent_in_itself(pair):
    got = TOY.classify(*pair)
    assert sum(got.probabilities.values()) == pytest.approx(1)
    best = max(got.probabilities, key=got.probabilities.get)
    assert got.probabilities[str(got.label or "none")] == got.probabilities[best] == got.confidence
    assert (got.label is None) == (got.stances == ())
    assert got.label is None or got.stances[0] == got.label
    rest = [got.presence[stance] for stance in got.stances[1:]]
    assert rest == sorted(rest, reverse=True)
    assert all(0 <= value <= 1 for value in got.presence.values())


def test_cue_words_decide_and_a_second_stance_is_carried_too(toy):
    assert toy.classify("they said", "never untrue false").label is Label.DENIAL
    both = toy.classify("they said", "never untrue false hypocrites")
    assert both.stances == (Label.DENIAL, Label.COUNTER_ACCUSATION)
    none = toy.classify("they said", "weather thanks tomorrow")
    assert none.label is None and none.stances == ()


def test_names_of_outcomes_stand_in_column_order(toy):
    got = toy.classify("they said", "we admit")
    assert list(got.probabilities) == [*CUES]
    assert list(got.presence) == list(toy.labels)


def test_a_pair_may_come_in_any_form_and_in_any_iterable(toy):
    pair = ("they said", "we admit")
    expected = [toy.classify(*pair)] * 3
    forms = [pair, list(pair), Pair(accusation=pair[0], response=pair[1])]
    assert toy.classify_pairs(forms) == expected
    assert toy.classify_pairs(iter(forms)) == expected
    assert toy.classify_pairs(form for form in forms) == expected
    assert toy.classify_pairs(dict.fromkeys(map(tuple, forms[:2]))) == expected[:1]


def test_nothing_comes_of_nothing(toy):
    assert toy.classify_pairs([]) == []
    assert list(toy.iter_pairs(iter(()))) == []


def test_cut_text_is_reported_with_the_right_pair(toy):
    long = "river " * 100
    got = toy.classify_pairs([("they", "we"), ("they", long), (long, "we"), ("they", "it")])
    assert [p.truncated for p in got] == [False, True, True, False]


def test_a_text_that_spells_a_special_token_is_not_taken_for_another_pair(toy):
    first, second = ("they [SEP] never", "admit"), ("they", "never [SEP] admit")
    assert toy.classify_pairs([first, second]) == [toy.classify(*first), toy.classify(*second)]


# Streams


def test_a_stream_is_read_a_chunk_at_a_time_and_not_further(toy, monkeypatch):
    monkeypatch.setattr(classifying, "CHUNK", 8)
    taken = Counter()

    def endless():
        while True:
            taken["pairs"] += 1
            yield ("they said", f"never {taken['pairs']}")

    predictions = toy.iter_pairs(endless())
    assert taken["pairs"] == 0
    assert len(list(islice(predictions, 20))) == 20
    assert taken["pairs"] == 24


@pytest.mark.parametrize("n", [7, 8, 9, 16, 25])
def test_chunks_change_nothing(toy, monkeypatch, n):
    pairs = [(p.accusation, p.response) for p in toy_pairs(n)]
    whole = toy.classify_pairs(pairs)
    monkeypatch.setattr(classifying, "CHUNK", 8)
    assert toy.classify_pairs(pairs) == whole


def test_progress_counts_every_pair_once(toy, monkeypatch):
    monkeypatch.setattr(classifying, "CHUNK", 8)
    steps: list[int] = []
    toy.classify_pairs([("they", "we")] * 20, progress=steps.append)
    assert steps == [8, 8, 4]


def test_equal_pairs_are_scored_once_and_batches_hold_like_lengths(counting):
    short, long = [("they", f"we {w}") for w in WORDS[4:20]], [("they", f"{w} " * 50) for w in WORDS[4:20]]
    counting.classify_pairs([*long, *short] * 50)
    shapes = counting.backend.shapes
    assert sum(rows for rows, _ in shapes) == 32
    assert [width for _, width in shapes] == sorted(width for _, width in shapes)


def test_a_batch_never_holds_more_tokens_than_it_may(counting):
    counting.classify_pairs([("they", f"{a} {b} " * 25) for a in WORDS[4:] for b in WORDS[4:]])
    shapes = counting.backend.shapes
    assert len(shapes) > 3
    assert all(rows * width <= classifying.TOKENS_PER_BATCH for rows, width in shapes)


def test_threads_may_share_a_classifier(toy):
    pairs = [(p.accusation, p.response) for p in toy_pairs(40)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda pair: toy.classify(*pair), pairs)) == toy.classify_pairs(pairs)


# Errors


def test_the_pair_that_cannot_be_judged_is_named_by_its_place(toy, monkeypatch):
    monkeypatch.setattr(classifying, "CHUNK", 8)
    pairs = [("they", "we")] * 19 + [("they", "")] + [("they", "we")] * 5
    with pytest.raises(PairError, match="pair 19: the response is blank") as caught:
        toy.classify_pairs(pairs)
    assert caught.value.index == 19


def test_pairs_before_one_that_cannot_be_judged_are_given_first(toy):
    stream = toy.iter_pairs([("they", "never"), ("they", "admit"), ("they", None), ("they", "we")])
    assert [p.label for p in islice(stream, 2)] == ["denial", "acknowledgment"]
    with pytest.raises(PairError, match="pair 2: the response is missing"):
        next(stream)


def test_a_single_call_names_no_place(toy):
    with pytest.raises(PairError, match=r"^the accusation is blank") as caught:
        toy.classify(" ", "we")
    assert caught.value.index is None


@pytest.mark.parametrize("pairs", ["They lied.", b"xy", ("They lied.", "We did not."), [("a", "b", "c")], [None], [7]])
def test_what_holds_no_pairs_is_refused_by_name(toy, pairs):
    with pytest.raises(PairError, match="pair 0: "):
        toy.classify_pairs(pairs)


@pytest.mark.parametrize("pairs", [None, 7])
def test_what_cannot_be_gone_through_is_refused_by_name(toy, pairs):
    with pytest.raises(InputError, match="pairs"):
        toy.classify_pairs(pairs)


def test_an_error_of_the_callers_own_generator_comes_through(toy):
    def broken():
        yield ("they", "we")
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        toy.classify_pairs(broken())


# Abstention


def test_abstaining_takes_the_verdict_and_leaves_the_numbers(fitted):
    pairs = [(p.accusation, p.response) for p in mixed(30, seed=30)]
    full, part = fitted.classify_pairs(pairs), fitted.classify_pairs(pairs, coverage=0.5)
    assert not any(p.abstained for p in full)
    assert 0 < sum(p.abstained for p in part) < len(part)
    for before, after in zip(full, part, strict=True):
        assert (after.probabilities, after.presence) == (before.probabilities, before.presence)
        if after.abstained:
            assert after.label is None and after.stances == ()
        else:
            assert after == before


def test_less_coverage_never_brings_a_verdict_back(fitted):
    pairs = [(p.accusation, p.response) for p in mixed(20, seed=40)]
    kept = [
        {i for i, p in enumerate(fitted.classify_pairs(pairs, coverage=c)) if not p.abstained} for c in (0.9, 0.6, 0.3)
    ]
    assert kept[2] <= kept[1] <= kept[0]


def test_coverage_that_cannot_be_is_refused_before_anything_is_read(toy):
    with pytest.raises(InputError, match="above 0 and at most 1"):
        next(toy.iter_pairs([], coverage=0), None)
    with pytest.raises(CheckpointError, match="no abstention table"):
        toy.classify("they", "we", coverage=0.5)


@pytest.mark.parametrize("coverage", ["0.5", None, [0.5]])
def test_a_coverage_that_is_no_number_is_refused_by_name(fitted, coverage):
    with pytest.raises(InputError, match="coverage is a share above 0 and at most 1, not "):
        fitted.classify("they", "we", coverage=coverage)
    with pytest.raises(InputError, match="coverage"):
        fitted.classify_pairs([("they", "we")], coverage=coverage)


@pytest.mark.parametrize("coverage", [0.5, np.float32(0.5), 1, np.int64(1)])
def test_any_kind_of_number_is_a_coverage(fitted, coverage):
    assert fitted.classify("they", "we", coverage=coverage) == fitted.classify("they", "we", coverage=float(coverage))


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2"])
def test_threads_that_cannot_be_are_refused(tiny_folder, threads):
    with pytest.raises(InputError, match=f"threads is a whole number from 1 on.*, not {threads!r}"):
        StanceClassifier.load(tiny_folder, threads=threads)
    with pytest.raises(InputError, match="threads"):
        load(tiny_folder, threads=threads)


# Logits and features


def test_hiding_a_text_takes_its_words_out_of_the_score(toy):
    pair = as_pair(("they said", "never untrue"))
    assert toy.logits([pair]).argmax() == 0
    assert np.ptp(toy.logits([pair], hide="response")) == 0
    assert (toy.logits([pair], hide="accusation") == toy.logits([pair])).all()
    with pytest.raises(InputError, match="'both'"):
        toy.logits([pair], hide="both")


def test_features_keep_the_order_of_pairs(toy):
    pairs = toy_pairs(30)
    assert (toy.features(pairs) == np.concatenate([toy.features([p]) for p in pairs])).all()


def test_a_classifier_tells_its_name_digest_and_backend(toy):
    assert repr(toy) == f"StanceClassifier('toy' 1, {toy.settings.digest}, backend='toy')"


# The checkpoint that ships


def written_pairs(n: int) -> list[tuple[str, str]]:
    rows = [json.loads(line) for line in WRITTEN.read_text(encoding="utf-8").splitlines()]
    return [(row["accusation"], row["response"]) for row in rows[:: len(rows) // n]][:n]


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_a_pair_gets_the_same_answer_in_any_company(default, data):
    pool = written_pairs(24)
    company = data.draw(st.lists(st.sampled_from(pool), min_size=2, max_size=12, unique=True))
    together = default.classify_pairs(company)
    place = data.draw(st.integers(0, len(company) - 1))
    assert nearly(together[place], default.classify(*company[place]), 1e-4)


def test_company_of_extreme_texts_moves_no_answer(default):
    pair = ("The ministry says that the company poured acid into the river.", "We did no such thing.")
    alone = default.classify(*pair)
    for other in ("?", "!!!! ЖЖЖЖ 9999 €€€€", "never " * 400, pair[1] + " " + "And you did worse. " * 20):
        assert nearly(default.classify_pairs([pair, (other, other)])[0], alone, 1e-4)


def test_bad_characters_and_a_megabyte_are_answered(default):
    control = default.classify("They\x00 sold\x07 rockets.", "We\x1b did not.")
    assert control.label is Label.DENIAL and not control.truncated
    assert default.classify("They sold rockets.", "We did not. " * 90_000).truncated


@pytest.mark.parametrize(
    ("accusation", "response", "label"),
    [
        ("You sold rockets to both sides.", "That is completely false. We never sold anything to anyone.", "denial"),
        (
            "You sold rockets to both sides.",
            "Where is the evidence for that? Show us one document.",
            "demand_for_evidence",
        ),
        (
            "You sold rockets to both sides.",
            "You are the ones who armed every militia in the region.",
            "counter_accusation",
        ),
        ("You sold rockets to both sides.", "Yes, we did, and we regret it deeply. We apologise.", "acknowledgment"),
        ("You sold rockets to both sides.", "The next session of the council is on Tuesday.", None),
    ],
)
def test_plain_cases_are_judged_plainly(default, accusation, response, label):
    assert default.classify(accusation, response).label == label
