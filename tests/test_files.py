from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_checkpoint import tiny_pairs

from stance.classifier import StanceClassifier
from stance.errors import ColumnError, InputError, PairError
from stance.files import classify_file

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402

ADDED = [
    *("label", "stances", "confidence"),
    *("p_denial", "p_demand_for_evidence", "p_counter_accusation", "p_acknowledgment", "p_none"),
    *("presence_denial", "presence_demand_for_evidence", "presence_counter_accusation", "presence_acknowledgment"),
    *("truncated", "abstained", "model"),
]
PAIRS = tiny_pairs(25)


def records(pairs: list[tuple[str, str]] = PAIRS) -> list[dict[str, object]]:
    return [{"id": i, "accusation": a, "response": b, "né": 'ü,"x"\n'} for i, (a, b) in enumerate(pairs)]


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    """Write rows in the format of the suffix, with no help from the code under test."""
    name = path.name
    if ".parquet" in name:
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)
        return path
    if ".jsonl" in name:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        buffer = io.StringIO(newline="")
        writer = csv.DictWriter(buffer, list(rows[0]), delimiter="\t" if ".tsv" in name else ",")
        writer.writeheader()
        writer.writerows(rows)
        text = buffer.getvalue()
    data = text.encode()
    if name.endswith(".gz"):
        data = gzip.compress(data[:100]) + gzip.compress(data[100:])
    if name.endswith(".zst"):
        codec = pa.Codec("zstd")
        data = codec.compress(data[:100], asbytes=True) + codec.compress(data[100:], asbytes=True)
    path.write_bytes(data)
    return path


def read(path: Path) -> list[dict[str, object]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    if path.suffix == ".zst":
        data = pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()
    text = data.decode()
    if ".jsonl" in path.name:
        return [json.loads(line) for line in text.splitlines()]
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if ".tsv" in path.name else ","))


@pytest.mark.parametrize("end", ["csv", "tsv", "jsonl", "parquet", "csv.gz", "jsonl.zst", "tsv.zst", "jsonl.gz"])
@pytest.mark.parametrize("start", ["csv.zst", "tsv", "jsonl.gz", "parquet"])
def test_every_format_turns_into_every_other_and_keeps_its_columns(
    start: str, end: str, tmp_path: Path, tiny: StanceClassifier
) -> None:
    source, target = write(tmp_path / f"in.{start}", records()), tmp_path / f"out.{end}"
    record = classify_file(source, target, model=tiny, chunk_rows=10)
    rows = read(target)
    assert list(rows[0]) == ["id", "accusation", "response", "né", *ADDED]
    assert [(row["accusation"], row["response"], row["né"]) for row in rows] == [(*pair, 'ü,"x"\n') for pair in PAIRS]
    expected = tiny.classify_pairs(PAIRS)
    assert [row["label"] for row in rows] == [p.label or "none" for p in expected]
    assert [row["stances"] for row in rows] == ["|".join(p.stances) for p in expected]
    assert [float(row["p_none"]) for row in rows] == [round(p.probabilities["none"], 6) for p in expected]
    assert {str(row["truncated"]).lower() for row in rows} == {"false"}
    assert (record.rows_read, record.rows_written, record.rows_bad) == (25, 25, 0)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([source.name, target.name, target.name + ".run.json"])


def test_types_of_parquet_columns_stay(tmp_path: Path, tiny: StanceClassifier) -> None:
    from datetime import datetime
    from decimal import Decimal

    n = len(PAIRS)
    table = pa.table(
        {
            "accusation": pa.array([a for a, _ in PAIRS], pa.large_string()),
            "response": pa.array([b for _, b in PAIRS]).dictionary_encode(),
            "when": pa.array([datetime(2026, 1, 1)] * n, pa.timestamp("ns")),
            "sum": pa.array([Decimal("1.10")] * n, pa.decimal128(8, 2)),
            "tags": pa.array([["a", None]] * n),
            "gone": pa.nulls(n, pa.int16()),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    classify_file(tmp_path / "in.parquet", tmp_path / "out.parquet", model=tiny, chunk_rows=4)
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.select(table.column_names).schema.types == table.schema.types
    assert found.select(table.column_names).to_pylist() == table.to_pylist()
    classify_file(tmp_path / "in.parquet", tmp_path / "out.csv", model=tiny)
    assert (
        (row := read(tmp_path / "out.csv")[0])["sum"] == "1.10" and row["tags"] == '["a", null]' and row["gone"] == ""
    )


def test_parquet_row_groups_do_not_follow_the_chunks(tmp_path: Path, tiny: StanceClassifier) -> None:
    source = write(tmp_path / "in.jsonl", records())
    classify_file(source, tmp_path / "out.parquet", model=tiny, chunk_rows=2)
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 1


def test_bad_rows_are_listed_with_their_lines_and_reasons(tmp_path: Path, tiny: StanceClassifier) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes(
        b"accusation,response\n"
        b'"two\nlines",word1\n'
        b"word2,\n"
        b"one,two,three\n"
        b"\n"
        b"caf\xe9,word3\n"
        b'"quoted" badly,word3\n'
        b"word4,word5\n"
    )
    record = classify_file(source, tmp_path / "out.csv", model=tiny, on_error="skip", chunk_rows=2)
    listed = read(tmp_path / "out.csv.errors.jsonl")
    assert [(row["line"], row["row"]) for row in listed] == [(4, 1), (5, 2), (7, 3), (8, 4)]
    assert [
        r for row, r in zip(listed, ("blank", "3 fields", "UTF-8", "cannot be read"), strict=True) if r in row["reason"]
    ]
    assert all(word in row["reason"] for row, word in zip(listed, ("blank", "3 fields", "UTF-8", "read"), strict=True))
    assert [row["response"] for row in read(tmp_path / "out.csv")] == ["word1", "word5"]
    assert (record.rows_read, record.rows_written, record.rows_bad) == (6, 2, 4)


def test_bad_json_lines_are_listed(tmp_path: Path, tiny: StanceClassifier) -> None:
    source = tmp_path / "in.jsonl"
    lines = [
        json.dumps({"accusation": "word1", "response": "word2"}),
        '{"accusation": "word1", "resp',
        "[1]",
        json.dumps({"accusation": "word1", "response": None}),
        json.dumps({"accusation": "word1", "response": 5}),
        json.dumps({"accusation": "word1", "response": "word1", "x": "\ud800"}),
        json.dumps({"accusation": "\U0001f600 word1", "response": "word2"}),
    ]
    source.write_text("\n".join(lines))
    classify_file(source, tmp_path / "out.jsonl", model=tiny, on_error="skip")
    listed = read(tmp_path / "out.jsonl.errors.jsonl")
    assert [row["line"] for row in listed] == [2, 3, 4, 5, 6]
    assert [row["accusation"] for row in read(tmp_path / "out.jsonl")] == ["word1", "\U0001f600 word1"]


def test_a_bad_row_stops_the_run_and_names_file_and_line(tmp_path: Path, tiny: StanceClassifier) -> None:
    rows = records()
    rows[17]["response"] = " "
    source, target = write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    with pytest.raises(PairError, match=r"in\.jsonl, line 18: the response is blank") as caught:
        classify_file(source, target, model=tiny, chunk_rows=5)
    assert caught.value.index == 17
    assert not target.exists()
    record = classify_file(source, target, model=tiny, chunk_rows=5, on_error="skip")
    assert record.resumed and record.rows_written == 24
    again = classify_file(source, tmp_path / "straight.jsonl", model=tiny, chunk_rows=5, on_error="skip")
    assert record.output_sha256 == again.output_sha256


def test_columns_are_named_or_guessed_and_a_missing_one_is_reported(tmp_path: Path, tiny: StanceClassifier) -> None:
    rows = [{"Accusation ": a, "reply": b} for a, b in PAIRS]
    source = write(tmp_path / "in.csv", rows)
    with pytest.raises(ColumnError, match=r"no column 'response' in .*in\.csv, which has \['Accusation ', 'reply'\]"):
        classify_file(source, tmp_path / "out.csv", model=tiny)
    classify_file(source, tmp_path / "out.csv", model=tiny, response="reply")
    assert len(read(tmp_path / "out.csv")) == len(PAIRS)
    assert not (tmp_path / "out.csv.journal").exists()


def test_a_taken_column_name_is_reported_and_a_prefix_helps(tmp_path: Path, tiny: StanceClassifier) -> None:
    source = write(tmp_path / "in.csv", [{**row, "label": "gold"} for row in records()])
    with pytest.raises(ColumnError, match=r"already has \['label'\]"):
        classify_file(source, tmp_path / "out.csv", model=tiny)
    classify_file(source, tmp_path / "out.csv", model=tiny, prefix="stance_")
    row = read(tmp_path / "out.csv")[0]
    assert row["label"] == "gold" and row["stance_label"]


def test_a_key_that_appears_late_stops_a_table_but_not_json_lines(tmp_path: Path, tiny: StanceClassifier) -> None:
    rows = records()
    rows[20]["late"] = 1
    source = write(tmp_path / "in.jsonl", rows)
    classify_file(source, tmp_path / "out.jsonl", model=tiny, chunk_rows=10)
    assert read(tmp_path / "out.jsonl")[20]["late"] == 1
    with pytest.raises(ColumnError, match=r"line 21: the keys \['late'\]"):
        classify_file(source, tmp_path / "out.csv", model=tiny, chunk_rows=10)
    rows[20]["label"] = 1
    write(source, rows)
    with pytest.raises(ColumnError, match="already has"):
        classify_file(source, tmp_path / "out2.jsonl", model=tiny, chunk_rows=10)


def test_a_glob_and_a_list_read_one_file_after_the_other(tmp_path: Path, tiny: StanceClassifier) -> None:
    for name, part in (("b.csv", PAIRS[10:]), ("a.csv", PAIRS[:10])):
        write(tmp_path / name, [{"accusation": a, "response": b} for a, b in part])
    (tmp_path / "empty.csv").write_text("accusation,response\n")
    target = tmp_path / "out.jsonl"
    for source in (str(tmp_path / "*.csv"), [tmp_path / "empty.csv", tmp_path / "a.csv", tmp_path / "b.csv"]):
        classify_file(source, target, model=tiny, chunk_rows=4)
        assert [(row["accusation"], row["response"]) for row in read(target)] == PAIRS
    classify_file([tmp_path / "empty.csv", tmp_path / "a.csv"], tmp_path / "all.csv", model=tiny)
    assert (tmp_path / "all.csv").read_text().count("presence_denial") == 1
    write(tmp_path / "c.csv", [{"accusation": "word1", "response": "word2", "more": "x"}])
    with pytest.raises(ColumnError, match=r"c\.csv has the columns"):
        classify_file([tmp_path / "a.csv", tmp_path / "c.csv"], target, model=tiny)


@pytest.mark.parametrize("end", ["csv", "tsv.gz", "jsonl", "parquet"])
def test_a_table_without_rows_gives_one(end: str, tmp_path: Path, tiny: StanceClassifier) -> None:
    (tmp_path / "in.csv").write_text("accusation,response\n")
    record = classify_file(tmp_path / "in.csv", tmp_path / f"out.{end}", model=tiny)
    assert record.rows_read == 0 and (tmp_path / f"out.{end}").exists()
    assert read(tmp_path / f"out.{end}") == []
    if end == "parquet":
        assert pq.read_schema(tmp_path / "out.parquet").names == ["accusation", "response", *ADDED]
        classify_file(tmp_path / "out.parquet", tmp_path / "again.csv", model=tiny, prefix="b_")


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path, tiny: StanceClassifier) -> None:
    (tmp_path / "in.csv").write_bytes(b"\xef\xbb\xbfaccusation,response\r\nword1,word2\r\n")
    classify_file(tmp_path / "in.csv", tmp_path / "out.jsonl", model=tiny)
    assert read(tmp_path / "out.jsonl")[0]["response"] == "word2"


def test_a_lone_carriage_return_is_quoted(tmp_path: Path, tiny: StanceClassifier) -> None:
    rows = [{"accusation": "word1", "response": "word2", "note": "a\rb"}]
    classify_file(write(tmp_path / "in.jsonl", rows), tmp_path / "out.csv", model=tiny)
    assert read(tmp_path / "out.csv")[0]["note"] == "a\rb"


def test_numbers_that_json_lacks_become_null(tmp_path: Path, tiny: StanceClassifier) -> None:
    rows = [{"accusation": "word1", "response": "word2", "x": float("nan"), "y": [1.5, float("inf")]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    classify_file(tmp_path / "in.parquet", tmp_path / "out.jsonl", model=tiny)
    (row,) = read(tmp_path / "out.jsonl")
    assert (row["x"], row["y"]) == (None, [1.5, None])


def test_a_header_that_is_not_utf8_is_named(tmp_path: Path, tiny: StanceClassifier) -> None:
    (tmp_path / "in.csv").write_bytes(b"accusation,response,caf\xe9\nword1,word2,x\n")
    with pytest.raises(InputError, match=r"in\.csv, line 1: the header is not valid UTF-8 \(byte 0xe9\)"):
        classify_file(tmp_path / "in.csv", tmp_path / "out.csv", model=tiny)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_csv_that_another_mark_separates_is_read_and_written_with_commas(
    separator: str, tmp_path: Path, tiny: StanceClassifier
) -> None:
    rows = [separator.join(row) for row in (("id", "accusation", "response"), ("1", "word1, word2", "word3"))]
    (tmp_path / "in.csv").write_text("\n".join([*rows, separator.join(("2", "word4", '"word5\nword6"'))]) + "\n")
    classify_file(tmp_path / "in.csv", tmp_path / "out.csv", model=tiny, chunk_rows=1)
    found = [(row["id"], row["accusation"], row["response"]) for row in read(tmp_path / "out.csv")]
    assert found == [("1", "word1, word2", "word3"), ("2", "word4", "word5\nword6")]


def test_marks_within_a_header_separate_nothing_where_the_usual_one_does(
    tmp_path: Path, tiny: StanceClassifier
) -> None:
    (tmp_path / "in.csv").write_text("accusation,response,tags (a;b;c;d)\nword1,word2,x\n")
    classify_file(tmp_path / "in.csv", tmp_path / "out.csv", model=tiny)
    assert read(tmp_path / "out.csv")[0]["tags (a;b;c;d)"] == "x"


TABLE = "accusation,response\nword1,word2\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TABLE.encode("utf-16"), "line 1: the file is UTF-16, or no text at all; convert it to UTF-8"),
        (TABLE.encode("utf-16-be"), "line 1: the file is UTF-16, or no text at all; convert it to UTF-8"),
        ("обвинение,ответ\n".encode("utf-16"), "the file is UTF-16"),
        (TABLE.replace("\n", "\r").encode(), "line 1: .*line ends are CR only; save the file with LF or CRLF"),
        (b"", "in.csv: the file is empty; a table begins with a line that names its columns"),
        (b"\xef\xbb\xbf", "in.csv: the file is empty"),
        (b"\r\n" + TABLE.encode(), "in.csv, line 1: the line is blank"),
    ],
)
def test_a_file_that_is_no_table_in_utf8_is_told_what_to_do(
    content: bytes, message: str, tmp_path: Path, tiny: StanceClassifier
) -> None:
    (tmp_path / "in.csv").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        classify_file(tmp_path / "in.csv", tmp_path / "out.csv", model=tiny)
    assert "newline" not in str(caught.value)


def test_a_header_without_rows_may_end_in_a_carriage_return(tmp_path: Path, tiny: StanceClassifier) -> None:
    (tmp_path / "in.csv").write_bytes(b"accusation,response\r")
    assert classify_file(tmp_path / "in.csv", tmp_path / "out.csv", model=tiny).rows_read == 0


def test_the_library_replaces_a_file_as_it_promises(tmp_path: Path, tiny: StanceClassifier) -> None:
    (tmp_path / "out.csv").write_text("something else\n")
    classify_file(write(tmp_path / "in.csv", records()), tmp_path / "out.csv", model=tiny)
    assert len(read(tmp_path / "out.csv")) == len(PAIRS)


def shard(path: Path, numbers: object) -> Path:
    table = pa.table({"accusation": ["word1", "word2"], "response": ["word3", "word4"], "n": numbers})
    pq.write_table(table, path)
    return path


def test_parquet_files_of_other_types_are_cast_where_nothing_is_lost(tmp_path: Path, tiny: StanceClassifier) -> None:
    first = shard(tmp_path / "a.parquet", pa.array([1, 2]))
    floats = shard(tmp_path / "b.parquet", pa.array([3.0, None]))
    classify_file([first, floats], tmp_path / "out.parquet", model=tiny)
    assert pq.read_table(tmp_path / "out.parquet")["n"].to_pylist() == [1, 2, 3, None]
    for lossy in (pa.array([0.5, 1.0]), pa.array(["007", "8"]), pa.array([[1], []])):
        other = shard(tmp_path / "c.parquet", lossy)
        with pytest.raises(ColumnError, match=r"c\.parquet, .*'n' began as int64 and goes on .*write \.jsonl"):
            classify_file([first, other], tmp_path / "out2.parquet", model=tiny, resume=False)


def test_json_lines_and_tables_are_read_together_and_both_are_checked(tmp_path: Path, tiny: StanceClassifier) -> None:
    lines = write(tmp_path / "a.jsonl", records())
    table = write(tmp_path / "b.parquet", [{"Accusation": a, "response": b} for a, b in PAIRS])
    classify_file([lines, table], tmp_path / "out.jsonl", model=tiny)
    assert [row["label"] for row in read(tmp_path / "out.jsonl")] == [
        p.label or "none" for p in tiny.classify_pairs(PAIRS)
    ] * 2
    with pytest.raises(ColumnError, match=r"b\.parquet, row 0: the keys \['Accusation'\]"):
        classify_file([lines, table], tmp_path / "out.csv", model=tiny)
    write(table, [{"claim": a, "response": b} for a, b in PAIRS])
    with pytest.raises(ColumnError, match=r"no column 'accusation' in .*b\.parquet"):
        classify_file([lines, table], tmp_path / "out2.jsonl", model=tiny)
    write(table, [{**row, "label": "x"} for row in records()])
    with pytest.raises(ColumnError, match=r"b\.parquet already has \['label'\]"):
        classify_file([lines, table], tmp_path / "out3.jsonl", model=tiny)


def test_a_glob_leaves_out_the_output_however_it_is_spelled(
    tmp_path: Path, tiny: StanceClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = records()
    rows[3]["response"] = ""
    write(tmp_path / "in.jsonl", rows)
    for _ in range(2):
        record = classify_file("*.jsonl", tmp_path / "out.jsonl", model=tiny, on_error="skip")
        assert record.sources == ("in.jsonl",)
    with pytest.raises(InputError, match="both read and written"):
        classify_file("out.jsonl.errors.jsonl", tmp_path / "out.jsonl", model=tiny)


def test_abstentions_have_no_label(tmp_path: Path, tiny: StanceClassifier) -> None:
    from dataclasses import replace

    fit = replace(tiny.settings.calibration, surest=tuple((1.0, *([0.5] * 100)) for _ in range(5)))
    unsure = StanceClassifier(replace(tiny.settings, calibration=fit), tiny._encoder, tiny.backend, tiny.path)
    record = classify_file(write(tmp_path / "in.csv", records()), tmp_path / "out.csv", model=unsure, coverage=0.005)
    rows = read(tmp_path / "out.csv")
    assert record.labels["abstained"] == sum(row["abstained"] == "true" for row in rows) > 0
    assert all((row["label"] == "") == (row["abstained"] == "true") for row in rows)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("nothing.csv", "out.csv", "no file nothing.csv"),
        ("nothing*.csv", "out.csv", "no file matches"),
        ("in.csv", "out.xlsx", "suffix does not name a format"),
        ("in.csv", "out.parquet.gz", "packed inside"),
        ("in.csv", "in.csv", "both read and written"),
        ("in.csv", "nowhere/out.csv", "no folder nowhere"),
        (".", "out.csv", "is a folder"),
        ("cut.jsonl.gz", "out.csv", "cannot be unpacked"),
        ("cut.jsonl.zst", "out.csv", "cannot be unpacked"),
        ("fake.parquet", "out.csv", "cannot be read as Parquet"),
    ],
)
def test_what_cannot_be_read_or_written_is_named(
    source: str, target: str, message: str, tmp_path: Path, tiny: StanceClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("in.csv"), records())
    for name in ("cut.jsonl.gz", "cut.jsonl.zst"):
        Path(name).write_bytes(write(Path(name), records()).read_bytes()[:-9])
    Path("fake.parquet").write_text("no")
    with pytest.raises(InputError, match=message):
        classify_file(source, target, model=tiny)


def test_a_stream_goes_through_a_pipe(tmp_path: Path, tiny: StanceClassifier) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in [*records(), {"accusation": "word1", "response": ""}])
    code = (
        "from stance.files import classify_file;"
        f"classify_file('-', '-', model={str(tiny.path)!r}, on_error='skip', chunk_rows=10)"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], input=lines.encode(), capture_output=True, cwd=root, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["accusation"], row["response"]) for row in rows] == PAIRS
    assert json.loads(done.stderr)["line"] == 26  # and no progress bar


def test_a_stream_may_begin_with_lines_that_cannot_be_read(tmp_path: Path, tiny: StanceClassifier) -> None:
    import stance.files as files

    lines = tmp_path / "in.jsonl"
    lines.write_text("no\n" * 5 + json.dumps({"Accusation": "word1", "response": "word2"}) + "\n")
    form = files.Format("jsonl")
    reader = files._Reader.__new__(files._Reader)
    reader._job = SimpleNamespace(sources=("-",), forms=(form,), target="-", skip=True)
    assert len(list(reader._up_to_columns(files.read_chunks([str(lines)], [form], 2)))) == 3
    reader._job.skip = False
    with pytest.raises(PairError, match="line 1: the line is not JSON"):
        list(reader._up_to_columns(files.read_chunks([str(lines)], [form], 2)))
    reader._job.skip = True
    lines.write_text("no\n" * 70)
    with pytest.raises(InputError, match="first 64 chunks of standard input hold no row"):
        list(reader._up_to_columns(files.read_chunks([str(lines)], [form], 1)))


def test_memory_holds_one_chunk(tmp_path: Path, tiny: StanceClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    import stance.files as files

    sizes = []
    real = files.score_pairs
    monkeypatch.setattr(files, "score_pairs", lambda c, pairs, k: sizes.append(len(pairs)) or real(c, pairs, k))
    classify_file(write(tmp_path / "in.parquet", records()), tmp_path / "out.parquet", model=tiny, chunk_rows=10)
    assert sizes == [10, 10, 5]
