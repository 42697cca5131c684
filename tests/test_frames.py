from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_checkpoint import tiny_pairs

from stance.classifier import StanceClassifier
from stance.errors import ColumnError, InputError, PairError
from stance.frames import classify_batch, classify_frame

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")

PAIRS = tiny_pairs(6)
ADDED = 15


def columns() -> dict[str, list[Any]]:
    return {"accusation": [a for a, _ in PAIRS], "response": [b for _, b in PAIRS], "n": [1, 2, 3, 4, 5, 6]}


def test_a_pandas_frame_keeps_its_index_and_dtypes_and_is_left_alone(tiny: StanceClassifier) -> None:
    df = pd.DataFrame(columns(), index=[7, 7, 7, 1, 2, 2])
    df["n"] = df["n"].astype("int8")
    df["kind"] = pd.Categorical(list("ababab"))
    before = df.copy(deep=True)
    scored = classify_frame(df, model=tiny)
    pd.testing.assert_frame_equal(df, before)
    pd.testing.assert_frame_equal(scored[df.columns], before)
    expected = tiny.classify_pairs(PAIRS)
    assert scored["label"].tolist() == [p.label or "none" for p in expected]
    assert scored["p_denial"].tolist() == pytest.approx([p.probabilities["denial"] for p in expected], abs=1e-6)
    assert scored["model"].unique().tolist() == [tiny.settings.digest]
    scored.loc[:, "n"] = 0
    pd.testing.assert_frame_equal(df, before)


def test_a_polars_frame_gives_the_same_verdicts(tiny: StanceClassifier) -> None:
    df = pl.DataFrame(columns(), schema_overrides={"n": pl.Int8})
    before = df.clone()
    scored = classify_frame(df, model=tiny)
    assert df.equals(before) and scored.select(df.columns).equals(df)
    pandas = classify_frame(pd.DataFrame(columns()), model=tiny)
    assert scored.select(pl.exclude(df.columns)).rows() == list(pandas.drop(columns=df.columns).itertuples(False, None))


@pytest.mark.parametrize("library", [pd, pl])
def test_an_empty_frame_gains_the_columns_with_their_types(library: Any, tiny: StanceClassifier) -> None:
    df = library.DataFrame(columns())
    empty, full = classify_frame(df[:0], model=tiny), classify_frame(df, model=tiny)
    assert empty.shape == (0, 3 + ADDED)
    assert list(empty.columns) == list(full.columns) and list(empty.dtypes) == list(full.dtypes)


@pytest.mark.parametrize("library", [pd, pl])
def test_missing_values_are_reported_by_position_or_left_empty(library: Any, tiny: StanceClassifier) -> None:
    values = columns()
    values["accusation"][1], values["response"][4] = None, "  "
    df = library.DataFrame(values)
    with pytest.raises(PairError, match=r"2 of 6 rows cannot be judged \(positions \[1, 4\]\).*accusation is missing"):
        classify_frame(df, model=tiny)
    scored = classify_frame(df, model=tiny, on_missing="skip")
    whole = classify_frame(library.DataFrame(columns()), model=tiny)
    assert [i for i, label in enumerate(_list(scored, "label")) if label is None] == [1, 4]
    assert [i for i, flag in enumerate(_list(scored, "abstained")) if flag is None] == [1, 4]
    assert _list(scored, "p_none")[5] == _list(whole, "p_none")[5]
    assert list(scored.dtypes) == list(whole.dtypes)


def _list(df: Any, name: str) -> list[Any]:
    return [None if value is pd.NA else value for value in df[name].to_list()]


@pytest.mark.parametrize("gone", [None, float("nan"), pd.NA, pd.NaT])
def test_every_kind_of_missing_is_missing(gone: object, tiny: StanceClassifier) -> None:
    df = pd.DataFrame({"accusation": ["word1", "word2"], "response": pd.Series(["word3", gone], dtype=object)})
    with pytest.raises(PairError, match=r"row 1: the response is missing"):
        classify_frame(df, model=tiny)


def test_columns_can_be_named_and_mistakes_are_explained(tiny: StanceClassifier) -> None:
    df = pd.DataFrame(columns()).rename(columns={"response": "reply"})
    with pytest.raises(
        ColumnError, match=r"no column 'response' in the frame, which has \['accusation', 'reply', 'n'\]"
    ):
        classify_frame(df, model=tiny)
    assert len(classify_frame(df, response="reply", model=tiny)) == 6
    with pytest.raises(ColumnError, match="2 columns called 'accusation'"):
        classify_frame(df.rename(columns={"n": "accusation"}), response="reply", model=tiny)
    with pytest.raises(ColumnError, match=r"already has \['label'\]"):
        classify_frame(df.rename(columns={"n": "label"}), response="reply", model=tiny)
    levels = pd.DataFrame(columns()).set_axis(
        pd.MultiIndex.from_product([["accusation", "response", "n"], [1]]), axis=1
    )
    with pytest.raises(ColumnError, match="several levels"):
        classify_frame(levels, model=tiny)
    with pytest.raises(InputError, match="is no DataFrame"):
        classify_frame(columns(), model=tiny)
    with pytest.raises(InputError, match="collect"):
        classify_frame(pl.LazyFrame(columns()), model=tiny)
    with pytest.raises(InputError, match="on_missing"):
        classify_frame(pd.DataFrame(columns()), model=tiny, on_missing="drop")
    with pytest.raises(InputError, match="coverage"):
        classify_frame(pd.DataFrame(columns()), model=tiny, coverage=2)


@pytest.mark.parametrize("library", [pd, pl])
def test_columns_of_the_usual_names_are_found_in_whatever_case(library: Any, tiny: StanceClassifier) -> None:
    shouted = {" Accusation": columns()["accusation"], "RESPONSE ": columns()["response"]}
    usual = classify_frame(library.DataFrame(columns()), model=tiny)
    assert _list(classify_frame(library.DataFrame(shouted), model=tiny), "p_none") == _list(usual, "p_none")
    assert classify_batch(shouted, model=tiny)["p_none"] == _list(usual, "p_none")
    with pytest.raises(ColumnError, match="no column 'accusation' in the frame"):
        classify_frame(library.DataFrame(shouted), accusation="accusation", model=tiny)


def test_a_frame_can_be_scored_twice_under_a_prefix(tiny: StanceClassifier) -> None:
    twice = classify_frame(classify_frame(pd.DataFrame(columns()), model=tiny), model=tiny, prefix="again_")
    assert twice["label"].tolist() == twice["again_label"].tolist()


def test_a_dataset_is_scored_in_one_line(tiny: StanceClassifier, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_dict(columns())
    options = {"model": str(tiny.path)}
    scored = dataset.map(classify_batch, batched=True, batch_size=4, fn_kwargs=options)
    assert scored["label"][:] == [p.label or "none" for p in tiny.classify_pairs(PAIRS)]
    assert scored["n"][:] == [1, 2, 3, 4, 5, 6]
