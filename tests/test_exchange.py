"""Labelled pairs in and out."""

import json
from dataclasses import replace

import pytest

from stance.errors import ColumnError, InputError
from stance.exchange import (
    from_argilla,
    from_doccano,
    from_label_studio,
    label_studio_config,
    read_labelled,
    read_pairs,
    to_argilla,
    to_doccano,
    to_label_studio,
    write_json,
    write_labelled,
)
from stance.labels import LABELS, Label
from stance.records import LabelledPair

VOTES = [
    LabelledPair(
        accusation="You let the dam silt up.",
        response="We did, and the dredgers start on Monday; but ask who cut our budget.",
        labels=(Label.ACKNOWLEDGMENT, Label.COUNTER_ACCUSATION),
        label=Label.ACKNOWLEDGMENT,
        document_id="d1",
        annotator="anna",
        accused="the water board",
        id="p-1",
    ),
    LabelledPair(
        accusation="You let the dam silt up.",
        response="We did, and the dredgers start on Monday; but ask who cut our budget.",
        labels=(Label.ACKNOWLEDGMENT,),
        label=Label.ACKNOWLEDGMENT,
        document_id="d1",
        annotator="ben",
        accused="the water board",
        id="p-1",
    ),
    LabelledPair(
        accusation='He said: "They sold, \n and lied, about it."',
        response="Which buyer? On which day?; show the receipt | if there is one",
        labels=(Label.DEMAND_FOR_EVIDENCE,),
        label=Label.DEMAND_FOR_EVIDENCE,
        document_id="d2",
        annotator="anna",
        weight=0.5,
    ),
    LabelledPair(accusation="You broke the truce.", response="No comment.", document_id="d3", annotator="anna"),
]
ROWS = [
    {"accusation": "You lied.", "response": "Never.", "label": "denial", "labels": "denial|counter_accusation"},
    {"accusation": "You stole.", "response": "We wish you well.", "label": "none", "labels": ""},
]


@pytest.mark.parametrize(
    ("out", "back"),
    [(to_label_studio, from_label_studio), (to_argilla, from_argilla), (to_doccano, from_doccano)],
    ids=["label-studio", "argilla", "doccano"],
)
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_what_goes_to_a_tool_comes_back_from_it(tmp_path, out, back, suffix):
    assert back(write_json(out(VOTES), tmp_path / f"votes{suffix}")) == VOTES


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_what_is_written_to_a_table_is_read_back(tmp_path, suffix):
    assert read_labelled(write_labelled(VOTES, tmp_path / f"votes{suffix}")) == VOTES


def test_every_kind_of_table_gives_the_same_pairs(tmp_path):
    pandas = pytest.importorskip("pandas")
    datasets = pytest.importorskip("datasets")
    frame = pandas.DataFrame(ROWS)
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "semicolon.csv", index=False, sep=";")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    expected = read_labelled(ROWS)
    assert [p.labels for p in expected] == [("denial", "counter_accusation"), ()]
    for source in [
        frame,
        datasets.Dataset.from_pandas(frame),
        *(tmp_path / name for name in ("t.parquet", "t.csv", "semicolon.csv", "t.jsonl")),
    ]:
        assert read_labelled(source) == expected


def test_every_problem_is_reported_with_its_row_at_once(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(
        "accusation,response,label,labels\n"
        "You lied.,,denial,\n"
        'You stole.,"Not\nus.",Denail,\n'
        "You hid it.,So what.,,\n"
        "You ran.,We walked.,denial,counter_accusation\n"
        "You fell.,We rose.,,denial|acknowledgment\n"
    )
    with pytest.raises(InputError) as caught:
        read_labelled(path)
    message = str(caught.value)
    assert message.startswith("5 problems in 5 rows")
    assert "row 1 (line 2): the response is missing" in message
    assert "row 2 (line 4): 'Denail' is not a label; did you mean 'denial'?" in message
    assert "row 3 (line 5): the label is missing; write 'none'" in message
    assert "row 4 (line 6): the label 'denial' is not a member of labels ['counter_accusation']" in message
    assert "row 5 (line 7): the label is missing, and labels holds" in message


def test_twenty_problems_are_shown_and_the_rest_counted():
    rows = [{"accusation": f"charge {i}", "response": "", "label": "denial"} for i in range(33)]
    with pytest.raises(InputError, match=r"33 problems in 33 rows(.|\n)*row 20(.|\n)*and 13 more$") as caught:
        read_labelled(rows)
    assert "row 21" not in str(caught.value)


def test_one_person_cannot_label_a_pair_in_two_ways_and_two_people_can():
    rows = [{"accusation": "a", "response": "b", "label": x, "annotator": "anna"} for x in ("denial", "none")]
    with pytest.raises(InputError, match="row 2: the same pair is labelled none here and denial in row 1 by anna"):
        read_labelled(rows)
    assert len(read_labelled([rows[0], {**rows[1], "annotator": "ben"}])) == 2


def test_a_missing_column_names_those_that_are_there():
    with pytest.raises(ColumnError, match=r"no column 'label'; the table has 'accusation', 'response', 'y'"):
        read_labelled([{"accusation": "a", "response": "b", "y": "denial"}])


def test_columns_may_have_other_names():
    rows = [{"claim": "a", "reply": "b", "y": "denial", "doc": 7.0}]
    names = {"accusation": "claim", "response": "reply", "label": "y", "document_id": "doc"}
    assert read_labelled(rows, columns=names)[0].document_id == "7"


def test_every_column_that_is_named_must_be_there_in_some_row():
    rows = [{"accusation": "a", "response": "b", "label": "denial"}] * 150
    with pytest.raises(ColumnError, match="no column 'readr'"):
        read_labelled(rows, columns={"annotator": "readr"})
    with pytest.raises(ColumnError, match="no column 'y'"):
        read_labelled([{**row, "labels": "denial"} for row in rows], columns={"label": "y"})
    with pytest.raises(ColumnError, match="columns= has 'anotator'; the names used here are accusation"):
        read_labelled(rows, columns={"anotator": "reader"})
    late = [*rows, {**rows[0], "reader": "anna"}]
    assert read_labelled(late, columns={"annotator": "reader"})[-1].annotator == "anna"
    assert read_pairs(rows, columns={"label": "y"})[0].accusation == "a"  # which read_pairs does not read


def test_columns_may_differ_in_case_and_white_space_where_one_fits(tmp_path):
    (tmp_path / "t.csv").write_text("Accusation, Response , Label,ANNOTATOR\na,b,denial,anna\n")
    (pair,) = read_labelled(tmp_path / "t.csv")
    assert (pair.accusation, pair.response, pair.label, pair.annotator) == ("a", "b", "denial", "anna")
    assert read_pairs(tmp_path / "t.csv")[0].response == "b"
    with pytest.raises(ColumnError, match="no column 'label'"):
        read_labelled([{"accusation": "a", "response": "b", "Label": "denial", "LABEL": "none"}])


def test_two_columns_of_one_name_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("accusation,response,label,label\na,b,denial,none\n")
    with pytest.raises(ColumnError, match="more than one column called 'label'"):
        read_labelled(tmp_path / "t.csv")


def test_a_table_with_an_index_that_has_no_name_is_read_and_so_are_long_texts(tmp_path):
    long = "word " * 40_000
    (tmp_path / "t.csv").write_text(f",accusation,response,label\n0,a,{long},denial\n")
    assert read_labelled(tmp_path / "t.csv")[0].response == long


def test_labels_that_are_no_list_are_a_problem_of_their_row():
    rows = [{"accusation": "a", "response": "b", "label": "denial", "labels": labels} for labels in (3, {"denial": 1})]
    with pytest.raises(InputError, match=r"2 problems(.|\n)*row 1: labels holds 3, not a list of names"):
        read_labelled(rows)


def test_other_label_sets_are_allowed_when_named():
    rows = [{"accusation": "a", "response": "b", "label": "support"}]
    with pytest.raises(InputError, match="'support' is not a label; the labels are denial"):
        read_labelled(rows)
    assert read_labelled(rows, labels=("support", "query"))[0].label == "support"
    assert read_labelled(rows, labels=None)[0].label == "support"
    with pytest.raises(InputError, match="did you mean 'query'"):
        read_labelled([{**rows[0], "label": "querry"}], labels=("support", "query"))


def test_an_empty_list_of_labels_is_none_and_an_empty_cell_is_a_gap():
    assert read_labelled([{"accusation": "a", "response": "b", "label": None, "labels": []}])[0].label is None
    with pytest.raises(InputError, match="the label is missing"):
        read_labelled([{"accusation": "a", "response": "b", "label": None, "labels": ""}])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"accusation,response,label\n\xff,b,denial\n", "not UTF-8"),
        ("t.csv", b"accusation,response,label\na,b,denial,oops\n", "more cells than the header"),
        ("t.jsonl", b'{"accusation": \n', "line 1 is not JSON"),
        ("t.json", b"{}", "not a list of records"),
        ("t.parquet", b"nothing", "not a Parquet file"),
        ("t.xlsx", b"", "ends in .csv"),
        ("t.csv", b"", "no rows"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_labelled(path)


def test_pairs_without_labels_are_read_and_checked_too():
    assert read_pairs([{"accusation": "a", "response": "b", "document_id": 3}])[0].document_id == "3"
    with pytest.raises(InputError, match="row 1: the response is blank"):
        read_pairs([{"accusation": "a", "response": "\u200b"}])


def test_a_label_studio_export_as_the_tool_writes_it_is_read(tmp_path):
    task = {
        "id": 12,
        "data": {"accusation": "You lied.", "response": "Never."},
        "annotations": [
            {
                "id": 5,
                "completed_by": {"id": 3, "email": "c@example.org"},
                "was_cancelled": False,
                "result": [
                    {"id": "x", "from_name": "primary", "to_name": "response", "type": "choices", "origin": "manual",
                     "value": {"choices": ["denial"]}},
                ],
            },
            {"id": 6, "completed_by": 4, "was_cancelled": True, "result": []},
        ],
        "predictions": [],
    }  # fmt: skip
    (tmp_path / "export.json").write_text(json.dumps([task]))
    (pair,) = from_label_studio(tmp_path / "export.json")
    assert (pair.label, pair.labels, pair.annotator) == ("denial", ("denial",), "c@example.org")
    task["annotations"][0]["result"][0]["value"]["choices"] = ["refusal"]
    with pytest.raises(InputError, match="task 12, annotation 1: 'refusal' is not a label"):
        from_label_studio([task])


def test_an_annotation_without_an_answer_is_no_verdict():
    task = {"data": {"accusation": "a", "response": "b"}, "annotations": [{"result": []}]}
    with pytest.raises(InputError, match="task 1, annotation 1: the label is missing"):
        from_label_studio([task])
    other = {"from_name": "sentiment", "value": {"choices": ["denial"]}}
    with pytest.raises(InputError, match="the label is missing"):
        from_label_studio([{**task, "annotations": [{"result": [other]}]}])
    record = {"fields": task["data"], "responses": {"sentiment": [{"user_id": "u", "value": "denial"}]}}
    with pytest.raises(InputError, match="user u: the label is missing"):
        from_argilla([record])


def test_none_beside_a_stance_is_a_contradiction():
    results = [
        {"from_name": "stances", "value": {"choices": ["none", "denial"]}},
        {"from_name": "primary", "value": {"choices": ["denial"]}},
    ]
    task = {"data": {"accusation": "a", "response": "b"}, "annotations": [{"result": results}]}
    with pytest.raises(InputError, match="labels holds 'none' beside stances"):
        from_label_studio([task])


@pytest.mark.parametrize("field", [{"weight": 0.25}, {"source": "other"}, {"twin": "t-2"}, {"accuser": "the mayor"}])
@pytest.mark.parametrize(
    ("out", "back"),
    [(to_label_studio, from_label_studio), (to_argilla, from_argilla)],
    ids=["label-studio", "argilla"],
)
def test_votes_on_one_pair_keep_what_they_differ_in(out, back, field):
    votes = [VOTES[0], replace(VOTES[1], **field)]
    assert back(out(votes)) == votes
    assert len({record.get("id", number) for number, record in enumerate(out(votes))}) == 2


def test_the_label_studio_interface_offers_every_label_and_none():
    config = label_studio_config()
    assert all(config.count(f'<Choice value="{name}"/>') == 2 for name in (*LABELS, "none"))


def test_argilla_reads_our_records_itself():
    argilla = pytest.importorskip("argilla", reason="argilla is not installed")
    records = to_argilla(VOTES)
    assert from_argilla([argilla.Record.from_dict(record).to_dict() for record in records]) == VOTES


def test_a_doccano_line_made_by_hand_is_read_from_its_text():
    line = {"id": 1, "text": "ACCUSATION\nYou lied.\n\nRESPONSE\nNever.", "label": ["denial"], "Comments": []}
    (pair,) = from_doccano([line], annotator="anna")
    assert (pair.accusation, pair.response, pair.annotator) == ("You lied.", "Never.", "anna")


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (["denial", "acknowledgment"], "say which is primary"),
        (["denial", "primary:denial", "primary:acknowledgment"], "say which is primary"),
        ([], "the label is missing"),
    ],
)
def test_a_doccano_set_with_no_clear_primary_is_refused(tags, message):
    with pytest.raises(InputError, match=message):
        from_doccano([{"text": "ACCUSATION\na\n\nRESPONSE\nb", "label": tags}])
