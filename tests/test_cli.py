import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

import stance
from stance.cli import _friendly, app
from stance.records import Document, Ledger

ROOT = Path(__file__).parent.parent
PAIR = ("word1 word2", "word3 word4")


@pytest.fixture
def run(tiny_folder):
    """Run a command on the tiny checkpoint, in this process."""

    def call(command, *arguments, code=0, model=True):
        result = CliRunner().invoke(app, [command, *arguments, *(["--model", str(tiny_folder)] if model else [])])
        assert result.exit_code == code, result.output
        return result

    return call


def test_classify_prints_every_outcome_and_how_sure_it_is(run, tiny):
    expected = tiny.classify(*PAIR)
    lines = run("classify", *PAIR).stdout.splitlines()
    assert lines[0].split()[0] == str(expected.label or "none")
    assert f"({expected.confidence:.0%} sure)" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == list(expected.probabilities)


def test_classify_prints_json_that_is_the_prediction(run, tiny):
    assert json.loads(run("classify", "--json", *PAIR).stdout) == tiny.classify(*PAIR).to_dict()


def test_classify_says_when_text_was_cut(run):
    assert "some text was cut" in run("classify", "word1", "word2 " * 100).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", "word1"), "stance: the accusation is blank"),
        (("word1", " "), "stance: the response is blank"),
        (("word1", "word2", "--coverage", "2"), "stance: coverage is a share above 0 and at most 1, not 2.0"),
        (("word1", "word2", "--coverage", "0.5"), "stance: this checkpoint has no abstention table"),
        (("word1", "bad \udc80 byte"), "stance: the response holds a lone surrogate"),
    ],
)
def test_an_error_is_one_line_and_exits_with_two(run, arguments, message):
    result = run("classify", *arguments, code=2)
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_checkpoint_that_is_not_there_is_named(run):
    result = run("info", "--model", "/no/such/model", code=2, model=False)
    assert "no checkpoint folder at /no/such/model" in result.stderr


def test_evaluate_scores_a_table(run, tiny, tmp_path):
    pairs = [(f"word{i}", f"word{i + 1} word{i + 7}") for i in range(12)]
    labels = [str(p.label or "none") for p in tiny.classify_pairs(pairs)]
    labels[0] = "none" if labels[0] != "none" else "denial"
    table = tmp_path / "gold.csv"
    rows = [f"{a},{r},{label}" for (a, r), label in zip(pairs, labels, strict=True)]
    table.write_text("accusation,response,label\n" + "\n".join(rows) + "\n")
    assert json.loads(run("evaluate", str(table), "--json").stdout)["accuracy"][0] == pytest.approx(11 / 12, abs=1e-4)
    assert "macro-F1" in run("evaluate", str(table)).stdout


@pytest.mark.parametrize("text", [None, "charge,reply\na,b\n", "accusation,response,label\nword1,word2,refusal\n"])
def test_a_table_that_cannot_be_scored_is_one_line_of_error(run, tmp_path, text):
    table = tmp_path / "gold.csv"
    if text is not None:
        table.write_text(text)
    result = run("evaluate", str(table), code=2)
    assert result.stderr.startswith("stance: ")
    assert "Traceback" not in result.output


def test_a_forgotten_output_does_not_replace_the_last_input(run, tmp_path):
    names = [tmp_path / f"{name}.csv" for name in "abc"]
    for path in names:
        path.write_text("accusation,response\nword1,word2\n")
    result = run("score", *map(str, names), code=2)
    assert "c.csv exists and was not written by stance; name the table to write last" in result.stderr
    assert names[2].read_text() == "accusation,response\nword1,word2\n"
    for _ in range(2):  # an output of ours may be replaced
        run("score", *map(str, names), str(tmp_path / "out.csv"), "--quiet")


def test_two_names_that_a_pattern_made_are_not_taken_for_in_and_out(run, tmp_path):
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    for path in (first, second):
        path.write_text("accusation,response\nword1,word2\n")
    result = run("score", str(first), str(second), "--quiet", code=2)
    assert "b.csv exists and was not written by stance" in result.stderr and "--overwrite" in result.stderr
    assert second.read_text() == "accusation,response\nword1,word2\n"
    run("score", str(first), str(second), "--quiet", "--overwrite")
    assert second.read_text().startswith("accusation,response,label,")
    run("score", str(first), str(second), "--quiet")  # now it is ours


def test_evaluate_reads_columns_of_other_names_and_says_how(run, tmp_path):
    table = tmp_path / "gold.csv"
    table.write_text("charge,reply,verdict\nword1,word2,denial\nword3,word4,none\n")
    result = run("evaluate", str(table), code=2)
    for option in ("--accusation NAME", "--response NAME", "--label NAME"):
        assert option in result.stderr
    options = ("--accusation", "charge", "--response", "reply", "--label", "verdict")
    assert json.loads(run("evaluate", str(table), "--json", *options).stdout)["n"] == 2


def test_a_bad_row_names_the_option_that_skips_it(run, tmp_path):
    table = tmp_path / "in.csv"
    table.write_text("accusation,response\nword1,\n")
    result = run("score", str(table), str(tmp_path / "out.csv"), "--quiet", code=2)
    assert "--on-error skip (on_error='skip' in Python)" in result.stderr


def test_a_format_that_is_none_is_refused_where_suffixes_decide_too(run, tmp_path):
    table = tmp_path / "in.csv"
    table.write_text("accusation,response\nword1,word2\n")
    result = run("score", str(table), str(tmp_path / "out.csv"), "--format", "xml", code=2)
    assert result.stderr.strip() == "stance: the format of a stream is csv, tsv or jsonl, not 'xml'"


def test_an_abstention_shows_in_the_json(run, tiny, monkeypatch):
    unsure = replace(tiny.classify(*PAIR), label=None, stances=(), abstained=True)
    monkeypatch.setattr("stance.api.load", lambda name: SimpleNamespace(classify=lambda *pair, coverage: unsure))
    found = json.loads(run("classify", "--json", "--coverage", "0.5", *PAIR).stdout)
    assert (found["label"], found["stances"], found["abstained"]) == (None, [], True)


def test_an_error_of_a_file_is_one_line_too(run, tmp_path):
    result = run("score", str(tmp_path / "in.csv"), str(tmp_path / "out.csv"), code=2)
    assert result.stderr.startswith("stance: no file")

    @_friendly
    def broken():
        raise PermissionError(13, "Permission denied", "/some/file")

    with pytest.raises(typer.Exit) as caught:
        broken()
    assert caught.value.exit_code == 2


def test_analyze_looks_for_the_folders_first_and_writes_ledger_by_ledger(run, tmp_path, monkeypatch):
    for option in ("--html", "--jsonl"):
        result = run("analyze", "in", option, str(tmp_path / "nowhere" / "out"), code=2)
        assert f"stance: no folder {tmp_path / 'nowhere'} to write out to" in result.stderr
    path, seen = tmp_path / "out.jsonl", []

    def ledgers(source, **options):
        for name in "abc":
            seen.append(path.exists())
            yield Ledger(document=Document(text="t", id=name))

    monkeypatch.setattr("stance.ledgers.analyze", ledgers)
    monkeypatch.setattr("stance.reports.ledger_table", lambda ledger: f"table {ledger.document.id}")
    monkeypatch.setattr("stance.reports.ledger_lines", lambda ledgers: [each.document.id for each in ledgers])
    monkeypatch.setattr("stance.reports.ledger_page", lambda ledgers: f"{len(ledgers)} ledgers")
    result = run("analyze", "in", "--jsonl", str(path), "--html", str(tmp_path / "out.html"))
    assert path.read_text() == "a\nb\nc\n" and all(seen)
    assert (tmp_path / "out.html").read_text() == "3 ledgers"
    assert result.stdout.split("\n")[:3] == ["table a", "table b", "table c"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_standard_input_is_read_in_any_common_encoding(encoding, tiny_folder, monkeypatch):
    words = "“Das stimmt nicht”, sagte Jörg Müller über die Vorwürfe – kein Wort sei wahr, so Müller später in Köln."
    read = []

    def ledger(document, **options):
        read.append(document)
        return Ledger(document=document)

    monkeypatch.setattr("stance.ledgers.analyze", ledger)
    result = CliRunner().invoke(app, ["analyze", "-", "--model", str(tiny_folder)], input=words.encode(encoding))
    assert result.exit_code == 0, result.output
    assert [(document.text, document.id) for document in read] == [(words, "stdin")]


def test_the_version_is_one_line_and_needs_no_command():
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"stance {stance.__version__}\n")


def test_the_help_of_evaluate_lists_what_it_reads():
    shown = " ".join(CliRunner().invoke(app, ["evaluate", "--help"]).stdout.split())
    assert all(suffix in shown for suffix in (".csv", ".tsv", ".jsonl", ".json", ".parquet"))


def test_info_says_what_is_served(run, tiny, tiny_folder):
    output = run("info").stdout
    for part in (stance.__version__, "tiny 1", tiny.settings.digest, str(tiny_folder), "onnx", "64 tokens, 24 of them"):
        assert part in output


def test_every_command_has_help_that_says_what_it_does():
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        result = CliRunner().invoke(app, [name, "--help"])
        assert result.exit_code == 0
        assert command.callback.__doc__.splitlines()[0] in " ".join(result.stdout.split())


def test_no_arguments_show_the_help_with_an_example():
    assert "stance classify" in " ".join(CliRunner().invoke(app, []).output.split())


def test_the_command_runs_as_a_module_and_speaks_utf8(tiny_folder):
    command = [sys.executable, "-m", "stance", "classify", "word1 ж", "word2 é", "--json", "--model", str(tiny_folder)]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) >= {"label", "stances", "probabilities", "presence", "truncated"}


def test_a_reader_that_goes_away_is_no_error(tiny_folder):
    command = f"{sys.executable} -m stance info --model {tiny_folder} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False)
    assert "Traceback" not in done.stderr
