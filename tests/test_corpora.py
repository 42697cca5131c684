import json
import lzma
import re
from collections import defaultdict

import pytest

pytest.importorskip("pandas")

from stance.errors import InputError
from training import corpora
from training.corpora import SPLITS, collapse, read_real, read_split, read_written, split_of, text_hash

TEXT = "The mayor said  the harbour board took bribes.\nThe board called that   a lie and asked for proof."
OWN = collapse(TEXT)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def place(unit, piece):
    start = OWN.index(piece)
    return {"unit": unit, "span": [start, start + len(piece)], "sha256": text_hash(piece)}


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Corpora and labels of one invented article, a briefing and a window."""
    folder = tmp_path / "texts"
    folder.mkdir()
    accusation, response = "the harbour board took bribes", "called that a lie"
    rows = [
        {
            "id": f"p{i}", "source": source, "document": "d1", "label": "denial", "labels": ["denial"], "sure": sure,
            "accusation": place(unit, accusation), "response": place(unit, response),
        }
        for i, (source, unit, sure) in enumerate(
            [("news", "article:d1", 3), ("news", "window:w1", 2), ("briefing", "briefing:b1:answer", 1)]
        )
    ]  # fmt: skip
    with lzma.open(folder / "articles.jsonl.xz", "wt", encoding="utf-8") as stream:
        stream.write(json.dumps({"document": "d1", "text": TEXT}) + "\n")
    with lzma.open(folder / "press_briefings.jsonl.xz", "wt", encoding="utf-8") as stream:
        stream.write(json.dumps({"id": "b1", "question": "Why?", "answer": TEXT}) + "\n")
    (folder / "news_pairs.jsonl").write_text("")
    (folder / "windows_unlabelled.jsonl").write_text(json.dumps({"id": "w1", "text": TEXT}) + "\n")
    labels = tmp_path / "real_pairs.jsonl"
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(corpora, "REAL_FILE", labels)
    return folder


# Rejoining


def test_texts_are_rejoined_from_every_kind_of_corpus(small):
    pairs = read_real(small)
    assert {(p.accusation, p.response) for p in pairs} == {("the harbour board took bribes", "called that a lie")}
    assert [(p.id, p.source, p.weight) for p in pairs] == [
        ("p0", "news", 1.0),
        ("p1", "news", 0.85),
        ("p2", "briefing", 0.5),
    ]


def test_a_folder_with_the_corpora_inside_serves_too(small, tmp_path):
    (tmp_path / "shared").mkdir()
    small.rename(tmp_path / "shared" / "corpora")
    assert len(read_real(tmp_path / "shared")) == 3


def test_a_text_that_differs_from_its_hash_is_refused(small):
    changed = TEXT.replace("bribes", "brides")
    with lzma.open(small / "articles.jsonl.xz", "wt", encoding="utf-8") as stream:
        stream.write(json.dumps({"document": "d1", "text": changed}) + "\n")
    with pytest.raises(InputError, match=r"1 of 3 pairs could not be rejoined .*\(first: p0\).*differs from its hash"):
        read_real(small)


def test_a_text_that_is_missing_is_refused(small):
    (small / "windows_unlabelled.jsonl").write_text("")
    with pytest.raises(InputError, match=r"1 of 3 pairs could not be rejoined .*first: p1"):
        read_real(small)


def test_white_space_is_read_as_one_space_so_spans_hold_in_other_copies(small):
    with lzma.open(small / "articles.jsonl.xz", "wt", encoding="utf-8") as stream:
        stream.write(json.dumps({"document": "d1", "text": TEXT.replace(" ", "\n\t ")}) + "\n")
    assert len(read_real(small)) == 3


def test_a_clone_of_the_public_corpus_gives_the_articles(small, tmp_path, monkeypatch):
    clone = tmp_path / "clone" / "data" / "jsons"
    clone.mkdir(parents=True)
    (clone / "d1.json").write_text(json.dumps({"content_original": TEXT}))
    rows = lines(corpora.REAL_FILE)
    corpora.REAL_FILE.write_text(json.dumps(rows[0]) + "\n")
    assert [p.id for p in read_real(tmp_path / "clone")] == ["p0"]


def test_a_folder_without_corpora_says_what_is_needed(tmp_path):
    with pytest.raises(InputError, match=r"holds neither articles.jsonl.xz nor data/jsons"):
        read_real(tmp_path)


def test_the_folder_may_be_named_in_the_environment(small, monkeypatch):
    monkeypatch.setenv("STANCE_TEXTS", str(small))
    assert len(read_real()) == 3


# Splits


def test_every_pair_lies_in_a_split_and_every_split_has_every_outcome():
    splits = json.loads(corpora.SPLITS_FILE.read_text(encoding="utf-8"))["documents"]
    assert set(splits.values()) == set(SPLITS)
    outcomes = defaultdict(set)
    for row in lines(corpora.REAL_FILE):
        outcomes[splits[row["document"]]].add(row["label"])
    for pair, split in zip(read_written(), split_of(read_written()), strict=True):
        outcomes[split].add(pair.label)
    assert {len(found) for found in outcomes.values()} == {5}


def test_twins_lie_in_one_split_together():
    by_twin = defaultdict(set)
    pairs = read_written()
    for pair, split in zip(pairs, split_of(pairs), strict=True):
        if pair.twin:
            by_twin[pair.twin].add(split)
    assert by_twin
    assert all(len(found) == 1 for found in by_twin.values())


def test_no_written_text_of_the_test_set_shares_nine_words_in_a_row_with_training():
    runs = {name: {} for name in SPLITS}
    pairs = read_written()
    for pair, split in zip(pairs, split_of(pairs), strict=True):
        for text in (pair.accusation, pair.response):
            words = re.findall(r"\w+", text.lower())
            for i in range(len(words) - 8):
                runs[split][" ".join(words[i : i + 9])] = pair.id
    shared = {
        run: (runs["test"][run], runs[other][run])
        for other in ("train", "validation")
        for run in runs["test"] & runs[other].keys()
    }
    assert not shared, dict(list(shared.items())[:5])


def test_a_document_in_no_split_is_named():
    pair = read_written()[0]
    object.__setattr__(pair, "document_id", "unheard-of")
    with pytest.raises(InputError, match="document 'unheard-of' is in no split"):
        split_of([pair])


def test_an_unknown_split_is_named_with_those_there_are():
    with pytest.raises(InputError, match=r"no split \['dev'\]; the splits are train, validation, test"):
        read_split("dev")


# What the labels look like


def test_labels_are_stored_without_any_text():
    allowed = {"unit", "span", "sha256", "article_span"}
    for row in lines(corpora.REAL_FILE):
        assert set(row["accusation"]) | set(row["response"]) <= allowed
        assert not {"text", "accusation_text", "response_text"} & set(row)


def test_ids_are_unique_and_primary_labels_are_members_of_their_sets():
    rows = [*lines(corpora.REAL_FILE), *lines(corpora.WRITTEN_FILE)]
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        assert row["label"] in (row["labels"] or [None]), row["id"]
        assert set(row["labels"]) <= {"denial", "demand_for_evidence", "counter_accusation", "acknowledgment"}


def test_the_digest_follows_texts_and_labels_and_not_the_order():
    pairs = read_written()[:20]
    assert corpora.digest(pairs) == corpora.digest(pairs[::-1])
    other = next(p for p in pairs if p.label is not None)
    object.__setattr__(other, "label", None)
    assert corpora.digest(pairs) != corpora.digest(read_written()[:20])


@pytest.mark.skipif(not (corpora.texts_folder() / "corpora").is_dir(), reason="the corpora are not on this machine")
def test_the_real_pairs_rejoin_to_the_corpora():
    pairs = read_split("test")
    assert {p.source for p in pairs} == {"news", "briefing", "written"}
    assert len(pairs) > 500
