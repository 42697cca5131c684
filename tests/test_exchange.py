"""Labelled pairs in and out."""

import json
from dataclasses import replace
from xml.etree import ElementTree

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


def test_two_columns_of_one_name_are_refused_in_frames_and_parquet_too(tmp_path):
    pandas, arrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    names, cells = ["accusation", "response", "label", "label"], ["a", "b", "denial", "none"]
    frame = pandas.DataFrame([cells], columns=names)
    parquet.write_table(arrow.table([[cell] for cell in cells], names=names), tmp_path / "t.parquet")
    for read in (read_labelled, read_pairs):
        with pytest.raises(ColumnError, match="the frame has more than one column called 'label'; rename or drop"):
            read(frame)
        with pytest.raises(ColumnError, match=r"t\.parquet has more than one column called 'label'"):
            read(tmp_path / "t.parquet")


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


@pytest.mark.parametrize(
    ("damaged", "line", "fault"),
    [('"You ran,b,denial\nc,d,none\n', 5, "unexpected end of data"), ('"You "ran"",b,denial\n', 4, "expected after")],
    ids=["open", "stray"],
)
def test_a_damaged_quote_is_told_with_its_lines_and_a_remedy(tmp_path, damaged, line, fault):
    path = tmp_path / "t.csv"
    path.write_text('accusation,response,label\n"You\nlied.",b,denial\n' + damaged)
    with pytest.raises(InputError) as caught:
        read_labelled(path)
    message = str(caught.value)
    assert str(path) in message and fault in message
    assert f"the row that begins after line 3 and was read up to line {line}; close its quotes" in message


@pytest.mark.parametrize("compression", ["snappy", "none"])
def test_a_parquet_file_with_damaged_pages_is_named(tmp_path, compression):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    columns = {"accusation": ["You lied."] * 9, "response": ["Never."] * 9, "label": ["denial"] * 9}
    parquet.write_table(arrow.table(columns), path, compression=compression)
    content = bytearray(path.read_bytes())
    page = parquet.ParquetFile(path).metadata.row_group(0).column(0)
    at = page.dictionary_page_offset
    content[at + 14 : at + page.total_compressed_size] = b"\xff" * (page.total_compressed_size - 14)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"t\.parquet is not a Parquet file, or is damaged: .*; write or copy"):
        read_labelled(path)


@pytest.mark.parametrize("field", ["document_id", "accuser", "annotator"])
def test_a_lone_surrogate_in_a_plain_field_is_a_problem_of_its_row(field):
    row = {"accusation": "a", "response": "b", "label": "denial", field: "d\ud800"}
    with pytest.raises(InputError, match=f"row 1: the {field} holds a lone surrogate at character 1; decode"):
        read_labelled([row])
    if field != "annotator":  # which pairs do not have
        with pytest.raises(InputError, match=f"row 1: the {field} holds a lone surrogate"):
            read_pairs([row])


def test_a_lone_surrogate_in_a_label_of_any_name_is_a_problem_of_its_row():
    with pytest.raises(InputError, match="row 1: the label holds a lone surrogate"):
        read_labelled([{"accusation": "a", "response": "b", "label": "\ud800"}], labels=None)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
@pytest.mark.parametrize(
    "names", [("yes, partly",), ("a|b", "c;d"), ("[sic]", "yes"), ('can\'t say, "really"', "né")], ids=lambda n: n[0]
)
def test_labels_that_hold_separators_come_back_from_a_table(tmp_path, suffix, names):
    pairs = [LabelledPair(accusation="a", response="b", labels=names, label=names[0])]
    assert read_labelled(write_labelled(pairs, tmp_path / f"t{suffix}"), labels=None) == pairs


@pytest.mark.parametrize(
    ("cell", "other"),
    [('["can\'t say", "yes"]', "can't say"), ("['cannot say', 'yes']", "cannot say"), ("can't say|yes", "can't say")],
)
def test_a_list_in_a_cell_is_read_as_json_and_as_python_prints_it(cell, other):
    row = {"accusation": "a", "response": "b", "label": "yes", "labels": cell}
    assert read_labelled([row], labels=None)[0].labels == ("yes", other)


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


def test_the_label_studio_interface_is_well_formed_whatever_the_labels_are_called():
    names = ("Q&A", "<none> of 'these'", 'the "other"')
    choices = ElementTree.fromstring(label_studio_config(names)).iter("Choice")
    assert [choice.get("value") for choice in choices] == [*names, "none"] * 2


def test_other_exports_of_label_studio_are_refused_with_the_remedy(tmp_path):
    remedy = "export the project as JSON, not as JSON-MIN or CSV"
    flat = {"id": 7, "accusation": "a", "response": "b", "primary": "denial", "annotator": "anna"}
    (tmp_path / "min.json").write_text(json.dumps([flat]))
    (tmp_path / "t.csv").write_text("accusation,response,primary\na,b,denial\n")
    task = {"data": {"accusation": "a", "response": "b"}}
    for source, fault in [
        (tmp_path / "min.json", "task 7 has no 'data', only 'id', 'accusation'"),
        (tmp_path / "t.csv", "task 1 has no 'data'"),
        ([task], "task 1 has no 'annotations', only 'data'"),
        ([{**task, "annotations": "3"}], "task 1: 'annotations' is '3', not a list of objects"),
        ([{**task, "annotations": ["denial"]}], "not a list of objects"),
        ([{**task, "data": "a"}], "task 1: 'data' is a str, not an object"),
        ({**task, "annotations": []}, "one record was given, with 'data', 'annotations'; pass a list of them"),
        ([{**task, "annotations": []}], "none of 1 tasks has an annotation; label some"),
    ]:
        with pytest.raises(InputError) as caught:
            from_label_studio(source)
        assert fault in str(caught.value) and remedy in str(caught.value)


def test_other_exports_of_argilla_are_refused_with_the_remedy():
    flat = {"id": "r-1", "accusation": "a", "response": "b", "primary.responses": ["denial"]}
    fields = {"fields": {"accusation": "a", "response": "b"}}
    for source, fault in [
        ([flat], "record r-1 has no 'fields', only 'id', 'accusation'"),
        ([fields], "record 1 has no 'responses', only 'fields'"),
        ([{**fields, "responses": [{"user_id": "u"}]}], "record 1: 'responses' is a list, not an object"),
        ([{**fields, "responses": {"primary": ["denial"]}}], "record 1: 'primary' is \"['denial']\", not a list"),
        ([{**fields, "responses": {"primary": [{"value": "denial"}]}}], "'primary' without a user_id"),
        (fields, "one record was given"),
        ([{**fields, "responses": {}}], "none of 1 records has a response"),
    ]:
        with pytest.raises(InputError) as caught:
            from_argilla(source)
        assert fault in str(caught.value) and "export with dataset.records.to_json" in str(caught.value)


@pytest.mark.parametrize(("annotator", "who"), [("anna", "'anna'"), ("", "nobody named")])
def test_two_votes_of_one_person_on_one_pair_do_not_become_one_in_argilla(annotator, who):
    votes = [replace(vote, annotator=annotator) for vote in VOTES[:2]]
    with pytest.raises(InputError, match=f"the pair that begins 'You let the dam silt up.' has .* by {who}"):
        to_argilla(votes)
    (record,) = to_argilla(VOTES[:2])
    record["responses"]["primary"].append(record["responses"]["primary"][0])
    with pytest.raises(InputError, match="question 'primary', has more than one vote by"):
        from_argilla([record])


def test_argilla_reads_our_records_itself():
    argilla = pytest.importorskip("argilla", reason="argilla is not installed")
    records = to_argilla(VOTES)
    assert from_argilla([argilla.Record.from_dict(record).to_dict() for record in records]) == VOTES


def test_a_doccano_line_made_by_hand_is_read_from_its_text():
    line = {"id": 1, "text": "ACCUSATION\nYou lied.\n\nRESPONSE\nNever.", "label": ["denial"], "Comments": []}
    (pair,) = from_doccano([line], annotator="anna")
    assert (pair.accusation, pair.response, pair.annotator) == ("You lied.", "Never.", "anna")


def test_one_doccano_label_may_stand_outside_a_list():
    line = {"text": "ACCUSATION\nYou lied.\n\nRESPONSE\nNever.", "label": "denial"}
    assert from_doccano([line])[0].labels == ("denial",)


def test_doccano_lines_without_a_text_or_none_at_all_are_refused(tmp_path):
    with pytest.raises(InputError, match="line 1: the accusation is missing"):
        from_doccano([{"text": None, "label": ["denial"]}])
    (tmp_path / "t.jsonl").write_text("")
    with pytest.raises(InputError, match="there are no lines; label some texts, then export the project as JSONL"):
        from_doccano(tmp_path / "t.jsonl")


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
