"""The labelling page: its journal, its server, and the page itself in a browser."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("filelock")

from toy_model import toy_classifier

from stance.errors import InputError
from stance.exchange import read_labelled
from stance.labelling import Store, serve
from stance.labelling.server import LabellingServer
from stance.labelling.store import Conflict
from stance.labels import LABELS

ROOT = Path(__file__).parents[1]
N = 30


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "pairs.csv"
    rows = [
        f"The mayor of village {i} said the mill had poisoned the stream.,"
        f'"Never, said the miller of village {i}; show us <b>one</b> document.",d{i}'
        for i in range(N)
    ]
    path.write_text("accusation,response,document_id\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


# The store


def test_a_verdict_is_on_disk_when_change_returns_and_another_process_sees_it(table):
    first = Store(table, annotator="anna")
    second = Store(table, annotator="anna")
    first.change(3, 0, ["denial", "counter_accusation"], done=True)
    lines = [json.loads(line) for line in first.journal.path.read_text().splitlines()]
    assert lines[-1]["labels"] == ["denial", "counter_accusation"] and lines[-1]["label"] == "denial"
    second.refresh()
    assert second.vote(3) == first.vote(3) and second.progress() == 1
    assert Store(table, annotator="anna").vote(3) == first.vote(3)


def test_two_windows_do_not_overwrite_each_other(table):
    first, second = Store(table, annotator="anna"), Store(table, annotator="anna")
    first.change(0, 0, ["denial"], done=True)
    with pytest.raises(Conflict):
        second.change(0, 0, ["acknowledgment"], done=True)
    assert second.vote(0).labels == ("denial",) and second.vote(0).version == 1
    second.change(0, 1, ["acknowledgment"], done=True)
    first.refresh()
    assert first.vote(0).labels == ("acknowledgment",)


def test_undo_walks_back_through_everything_also_after_a_restart(table):
    store = Store(table, annotator="anna")
    store.change(0, 0, ["denial"], done=False)
    store.change(0, 1, ["denial"], done=True)
    store.change(1, 0, [], done=True)
    store = Store(table, annotator="anna")
    assert store.undo(*store.last_change())[0] == 1 and store.vote(1).labels is None
    assert store.undo(*store.last_change())[1].done is False
    assert store.undo(*store.last_change())[1].labels is None
    assert store.last_change() is None and store.progress() == 0
    with pytest.raises(InputError, match="nothing to undo"):
        store.undo(0, 0)


def test_a_journal_from_which_a_damaged_line_was_removed_is_read(table):
    store = Store(table)
    store.change(0, 0, ["denial"], done=True)
    store.change(1, 0, ["denial"], done=True)
    store.undo(*store.last_change())
    lines = store.journal.path.read_text().splitlines(keepends=True)
    store.journal.path.write_text("".join([lines[0], lines[2]]))
    assert Store(table).last_change() == (0, 1)


def test_undo_of_what_another_window_changed_is_refused(table):
    first, second = Store(table, annotator="anna"), Store(table, annotator="anna")
    first.change(0, 0, ["denial"], done=True)
    known = first.last_change()
    second.change(5, 0, [], done=True)
    with pytest.raises(Conflict):
        first.undo(*known)
    assert first.vote(5).done


def test_the_table_that_is_written_is_the_one_that_training_reads(table):
    anna, ben = Store(table, annotator="anna"), Store(table, annotator="ben")
    anna.change(0, 0, ["counter_accusation", "denial"], done=True)
    anna.change(1, 0, [], done=True)
    anna.change(2, 0, ["denial"], done=False)
    ben.change(0, 0, ["denial"], done=True)
    pairs = read_labelled(anna.export())
    assert [(p.annotator, p.label, p.labels, p.document_id) for p in pairs] == [
        ("anna", "counter_accusation", ("counter_accusation", "denial"), "d0"),
        ("anna", None, (), "d1"),
        ("ben", "denial", ("denial",), "d0"),
    ]
    assert pairs[0].response.endswith("show us <b>one</b> document.")


def test_labels_in_the_table_are_another_readers_votes_and_a_blind_reader_does_not_see_them(table):
    anna = Store(table, annotator="anna")
    anna.change(0, 0, ["denial"], done=True)
    labelled = anna.export()
    assert Store(labelled, annotator="ben").others(0)["anna"].labels == ("denial",)
    assert Store(labelled, annotator="ben", blind=True).others(0) == {}


def test_agreement_grows_and_is_shown_to_a_blind_reader_by_tens(table):
    anna = Store(table, annotator="anna")
    for i in range(N):
        anna.change(i, 0, ["denial"] if i % 2 else [], done=True)
    ben, blind = Store(table, annotator="ben"), Store(table, annotator="cleo", blind=True)
    for i in range(13):
        assert (ben.agreement() or {"n": 0})["n"] == i
        ben.change(i, 0, ["denial"] if i % 2 else [], done=True)
        blind.change(i, 0, ["denial"] if i % 3 else [], done=True)
        assert (blind.agreement() or {"n": 0})["n"] == (i + 1) // 10 * 10
    assert ben.agreement()["kappa"]["anna"] == {"kappa": 1.0, "n": 13}
    assert blind.agreement()["kappa"]["anna"]["n"] == 10 and blind.agreement()["kappa"]["anna"]["kappa"] < 1


def test_a_line_cut_off_by_a_crash_is_dropped_and_a_damaged_one_is_named(table):
    store = Store(table)
    store.change(0, 0, ["denial"], done=True)
    journal = store.journal.path
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"format": 1, "kind": "vo')
    store = Store(table)
    assert store.vote(0).labels == ("denial",) and journal.read_bytes() == whole
    journal.write_bytes(whole.rstrip(b"\n"))
    assert Store(table).vote(0).labels == ("denial",) and journal.read_bytes() == whole
    journal.write_bytes(b"garbage\n" + whole)
    with pytest.raises(InputError, match="line 1 is damaged"):
        Store(table)
    journal.write_bytes(whole.replace(b'"format": 1', b'"format": 9'))
    with pytest.raises(InputError, match="of format 9; this version of stance reads 1"):
        Store(table)


def test_votes_stay_with_their_pairs_when_the_table_is_sorted_anew_or_loses_rows(table):
    store = Store(table)
    store.change(0, 0, ["denial"], done=True)
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *rows[::-1]]) + "\n")
    assert Store(table).vote(N - 1).labels == ("denial",)
    table.write_text("\n".join([header, *rows[1:]]) + "\n")
    store = Store(table)
    assert len(store) == N - 1 and store.progress() == 0
    assert len(read_labelled(store.export())) == 1


def test_what_the_page_cannot_offer_is_refused(table, tmp_path):
    store = Store(table)
    for labels, done, message in [
        (None, True, "choose a stance, or none"),
        (["refusal"], False, r"\['refusal'\] are not labels"),
        (["denial", "denial"], False, "named twice"),
    ]:
        with pytest.raises(InputError, match=message):
            store.change(0, 0, labels, done=done)
    with pytest.raises(InputError, match="the table itself"):
        Store(table, output=table)
    with pytest.raises(InputError, match="1 to 9 labels"):
        Store(table, labels=[str(i) for i in range(10)])
    assert not store.journal.path.exists()


@pytest.mark.parametrize("change", ["the row is removed", "the text is corrected", "a document is named"])
def test_undo_passes_over_pairs_that_have_left_the_table(table, change):
    store = Store(table, annotator="anna")
    store.change(0, 0, ["denial"], done=True)
    store.change(1, 0, ["acknowledgment"], done=True)
    store.change(0, 1, [], done=True)
    store.change(2, 0, ["denial"], done=True)
    header, *rows = table.read_text().splitlines()
    rows[2] = {
        "the row is removed": rows[3],
        "the text is corrected": rows[2].replace("stream", "well"),
        "a document is named": rows[2].replace(",d2", ",e2"),
    }[change]
    table.write_text("\n".join([header, *rows]) + "\n")
    store = Store(table, annotator="anna")
    assert store.astray() == 1 and store.last_change() == (0, 2)
    assert store.undo(0, 2)[1].labels == ("denial",)
    assert Store(table, annotator="anna").last_change() == (1, 1)
    assert store.undo(*store.last_change())[0] == 1
    assert store.undo(*store.last_change())[1].labels is None
    assert store.last_change() is None
    with pytest.raises(InputError, match="the last change was on a pair that is no longer in the table"):
        store.undo(0, 0)


def test_a_file_that_the_page_did_not_write_is_not_overwritten(table):
    own = table.with_name("pairs.labelled.csv")
    own.write_text("the work of a month")
    with pytest.raises(
        InputError, match=r"no pairs.labelled.votes.jsonl .* another output, such as pairs.labelled-2.csv"
    ):
        Store(table)
    assert own.read_text() == "the work of a month"
    store = Store(table, output=table.with_name("pairs.labelled-2.csv"))
    store.export()
    assert Store(table, output=store.output).progress() == 0  # its own, though there are no votes


def test_the_table_before_is_kept_where_it_differs(table):
    store = Store(table)
    kept = table.with_name("pairs.labelled.csv.bak")
    store.change(0, 0, ["denial"], done=True)
    first = store.export().read_bytes()
    assert store.export().read_bytes() == first and not kept.exists()
    store.change(1, 0, [], done=True)
    second = store.export().read_bytes()
    assert kept.read_bytes() == first
    assert store.export().read_bytes() == second and kept.read_bytes() == first
    assert {path.name for path in table.parent.iterdir() if path.suffix != ".lock"} == {
        *("pairs.csv", "pairs.labelled.csv", "pairs.labelled.csv.bak", "pairs.labelled.votes.jsonl")
    }


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["yes", "none"], "hold 'none', which the page always offers"),
        (["yes", " "], r"\[' '\] cannot be labels"),
        (["yes", "no "], r"\['no '\] cannot be labels"),
        (["yes", "no|never"], r"\['no\|never'\] cannot be labels"),
        (["yes", "no", "yes"], "hold yes more than once"),
        ([], "1 to 9 labels, not 0"),
    ],
)
def test_a_set_of_labels_that_cannot_be_kept_apart_is_refused(table, labels, message):
    with pytest.raises(InputError, match=message):
        Store(table, labels=labels)


@pytest.mark.parametrize("ask", [Store.progress, Store.agreement, Store.last_change, Store.unfinished, Store.astray])
def test_nothing_is_counted_while_a_vote_is_being_taken_in(table, ask):
    store = Store(table)
    asking = threading.Thread(target=ask, args=(store,), daemon=True)
    with store._lock:
        asking.start()
        asking.join(0.1)
        assert asking.is_alive()
    asking.join(10)
    assert not asking.is_alive()


def torn(path):
    """Leave a line as a writer leaves it that is killed in the midst of it."""
    with path.open("ab") as stream:
        stream.write(b'{"format": 1, "kind": "vo')


@contextmanager
def disk_with_room_for(n_bytes, path):
    """Let no file grow by more than this beyond what the file at the path has: a write stops midway and fails."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_vote_after_another_writer_was_cut_off_stands_on_a_line_of_its_own(table):
    store = Store(table)
    store.change(0, 0, ["denial"], done=True)
    torn(store.journal.path)
    store.change(1, 0, ["acknowledgment"], done=True)
    assert [json.loads(line)["label"] for line in store.journal.path.read_text().splitlines()] == [
        "denial",
        "acknowledgment",
    ]
    assert store.progress() == Store(table).progress() == 2


def test_of_a_vote_that_could_not_be_written_whole_nothing_stays_in_the_journal(table):
    store = Store(table)
    store.change(0, 0, ["denial"], done=True)
    journal = store.journal.path
    whole = journal.read_bytes()
    with disk_with_room_for(40, journal), pytest.raises(OSError, match="File too large"):
        store.change(1, 0, ["denial"], done=True)
    assert journal.read_bytes() == whole and store.vote(1).version == 0
    store.change(1, 0, ["denial"], done=True)
    assert Store(table).progress() == 2


def test_a_damaged_line_keeps_its_number_and_the_lines_before_it_count_once(table):
    store, other = Store(table, annotator="anna"), Store(table, annotator="anna")
    other.change(0, 0, ["denial"], done=False)
    other.change(0, 1, ["denial"], done=True)
    with other.journal.path.open("ab") as stream:
        stream.write(b"garbage\n")
    for _ in range(3):
        with pytest.raises(InputError, match="line 3 is damaged"):
            store.refresh()
    assert len(store._past["anna"]) == 2 and store.vote(0).version == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"format": 1}, "its kind is None, not vote, undo, look, export"),
        ({"format": 1, "kind": "praise"}, "its kind is 'praise'"),
        ({"format": 1, "kind": "vote", "annotator": "anna", "item": "x"}, "it has no version, labels, done, saw_model"),
        ({"format": 1, "kind": "export"}, "it has no sha256"),
    ],
)
def test_a_line_that_lacks_what_its_kind_needs_is_named(table, line, message):
    path = table.with_name("pairs.labelled.votes.jsonl")
    path.write_text(json.dumps(line) + "\n")
    with pytest.raises(InputError, match=rf"votes.jsonl, line 1 is damaged \({message}.*; remove that line"):
        Store(table)


WIDE = "accusation,response,document_id,id,source,weight,responder,label,annotator,twin,accuser,accused,cue\n"


def test_what_the_table_says_of_a_pair_travels_into_the_labelled_table(table):
    table.write_text(
        WIDE
        + "You lied.,We did not.,d0,i0,news,0.5,the ministry,denial,ben,t0,the mayor,the miller,denied\n"
        + "You stole.,Did we?,d1,i1,written,,the party,,,t1,the press,the treasurer,asked\n"
    )
    store = Store(table, annotator="anna")
    store.change(0, 0, ["denial"], done=True)
    store.change(1, 0, ["demand_for_evidence"], done=True)
    first = {
        **{"document_id": "d0", "id": "i0", "source": "news", "responder": "the ministry", "twin": "t0"},
        **{"accuser": "the mayor", "accused": "the miller", "cue": "denied"},
    }
    second = {
        **{"document_id": "d1", "id": "i1", "source": "written", "responder": "the party", "twin": "t1"},
        **{"accuser": "the press", "accused": "the treasurer", "cue": "asked"},
    }
    written = read_labelled(store.export())
    assert [(pair.annotator, pair.weight) for pair in written] == [("anna", 1), ("anna", 1), ("ben", 0.5)]
    assert [{name: getattr(pair, name) for name in first} for pair in written] == [first, second, first]


def test_a_weight_stays_with_the_stances_that_it_was_given_to(table):
    table.write_text(WIDE + "You lied.,We did not.,d0,i0,news,0.5,,denial,ben,,,,\n")
    store = Store(table, annotator="ben")
    assert [pair.weight for pair in read_labelled(store.export())] == [0.5]
    store.change(0, 0, ["acknowledgment"], done=True)
    assert [pair.weight for pair in read_labelled(store.export())] == [1]
    store.undo(*store.last_change())
    assert [pair.weight for pair in read_labelled(store.export())] == [0.5]


def test_labels_are_found_under_a_header_in_capitals(table):
    table.write_text(
        "Accusation,Response, Label ,Annotator\nYou lied.,No.,denial,anna\nYou stole.,No.,,\nYou hid.,No.,none,anna\n"
    )
    store = Store(table, annotator="ben")
    assert [{who: vote.labels for who, vote in store.others(i).items()} for i in range(3)] == [
        {"anna": ("denial",)},
        {},
        {"anna": ()},
    ]


def test_an_explicit_none_in_jsonl_is_a_vote_and_an_empty_cell_is_not(tmp_path):
    path = tmp_path / "pairs.jsonl"
    verdicts = [{"label": None, "labels": []}, {"label": None, "labels": None}, {"label": "", "labels": ""}, {}]
    path.write_text(
        "".join(json.dumps({"accusation": f"{i}!", "response": "No.", **v}) + "\n" for i, v in enumerate(verdicts))
    )
    store = Store(path)
    assert [{who: vote.labels for who, vote in store.others(i).items()} for i in range(4)] == [
        {"table": ()},
        {},
        {},
        {},
    ]


def test_a_journal_with_stances_that_the_page_does_not_offer_is_refused(table):
    store = Store(table, labels=["yes", "no"])
    store.change(0, 0, ["yes"], done=True)
    message = r"votes.jsonl holds verdicts with yes, which are not .* \(denial, acknowledgment\); .*--labels.*--output"
    with pytest.raises(InputError, match=message):
        Store(table, labels=["denial", "acknowledgment"])
    assert Store(table, labels=["maybe", "yes"]).vote(0).labels == ("yes",)
    store.change(0, 1, ["no"], done=True)
    with pytest.raises(InputError, match="holds verdicts with yes,"):  # undo would bring it back
        Store(table, labels=["no"])


def test_an_output_that_cannot_be_written_is_refused_before_anybody_labels(table):
    with pytest.raises(InputError, match=r"done.parquet: name an output that ends in .csv, .tsv, .jsonl"):
        Store(table, output=table.with_name("done.parquet"))
    assert not table.with_name("done.votes.jsonl").exists()
    store = Store(table, output=table.with_name("DONE.TSV"))
    store.change(0, 0, ["denial"], done=True)
    assert "\t" in store.export().read_text() and read_labelled(store.output)[0].label == "denial"


def test_labels_given_as_one_text_are_refused(table):
    with pytest.raises(InputError, match=r"the text 'yes,no', not a list of names; pass \['yes', 'no'\]"):
        Store(table, labels="yes,no")


@pytest.mark.parametrize("port", [-1, 65536, 70000])
def test_a_port_that_does_not_exist_is_named(table, port):
    with pytest.raises(InputError, match=f"there is no port {port}; choose one up to 65535, or 0"):
        LabellingServer(Store(table), port=port)


def test_changes_by_hand_are_kept_through_every_export_and_the_pages_own_tables_do_not_pile_up(table):
    store = Store(table)
    by_hand = []
    for i in range(9):
        store.change(i, 0, ["denial"], done=True)
        written = store.export()
        if i in (2, 5):
            by_hand.append(written.read_text() + f"by hand,{i},denial\n")
            written.write_text(by_hand[-1])
        store = Store(table)
    kept = sorted(table.parent.glob("pairs.labelled.csv.bak*"))
    assert [path.name for path in kept] == [f"pairs.labelled.csv.bak{n}" for n in ("", 2, 3)]
    assert [path.read_text() for path in kept[:2]] == by_hand


def test_agreement_is_reckoned_anew_only_when_a_pair_that_is_finished_changes(table, monkeypatch):
    anna = Store(table, annotator="anna")
    for i in range(3):
        anna.change(i, 0, ["denial"], done=True)
    reckoned = []
    store = Store(table, annotator="ben")
    reckon = store._find_agreement
    monkeypatch.setattr(store, "_find_agreement", lambda: reckoned.append(1) or reckon())
    for i in range(2):
        store.change(i, 0, ["denial"], done=True)
    assert store.agreement()["n"] == 2 and len(reckoned) == 1
    store.change(2, 0, ["denial"], done=False)
    anna.change(4, 0, ["denial"], done=True)
    store.refresh()
    assert store.agreement()["n"] == 2 and len(reckoned) == 1
    store.change(2, 1, ["denial"], done=True)
    assert store.agreement()["n"] == 3 and store.agreement()["kappa"]["anna"]["kappa"] is None
    anna.change(0, 1, ["acknowledgment"], done=True)
    store.refresh()
    assert store.agreement()["kappa"]["anna"]["kappa"] < 1
    store.undo(*store.last_change())
    assert store.agreement()["n"] == 2 and len(reckoned) == 4


def test_progress_and_the_next_pair_follow_every_change(table):
    store = Store(table)
    for i in (0, 1, N - 1):
        store.change(i, 0, ["denial"], done=True)
    assert store.progress() == 3 and store.next_open(-1) == 2 and store.next_open(N - 2) == 2
    store.undo(*store.last_change())
    assert store.progress() == 2 and store.next_open(N - 2) == N - 1
    store.change(0, 1, None, done=False)
    assert store.progress() == 1 and store.next_open(N - 1) == 0


# The command and what it prints


@pytest.fixture
def stopped(monkeypatch):
    """A server that is stopped as soon as it runs."""
    monkeypatch.setattr(LabellingServer, "run", lambda self: self._socket.close())


def test_serve_says_what_has_left_the_table_and_what_is_not_finished(table, capsys, stopped):
    store = Store(table, annotator="anna")
    store.change(0, 0, ["denial"], done=True)
    store.change(1, 0, ["denial"], done=False)
    store.change(2, 0, None, done=False)
    serve(table, annotator="anna", open_browser=False)
    printed = capsys.readouterr().out
    assert "not in" not in printed.split("Ctrl-C ends it")[0]
    assert "Pairs that anna marked and did not finish: 1. They are not in pairs.labelled.csv" in printed
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *rows[2:]]) + "\n")
    serve(table, annotator="anna", open_browser=False)
    printed = capsys.readouterr().out
    assert f"Votes in pairs.labelled.votes.jsonl on pairs that are not in {table}: 2." in printed
    assert "did not finish" not in printed


def test_the_command_takes_the_labels_it_is_given_or_else_those_of_the_checkpoint(table, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from stance.calibration import Calibration
    from stance.checkpoint import Settings, write_settings
    from stance.cli import app

    given = []
    monkeypatch.setattr("stance.labelling.serve", lambda *_, labels, **__: given.append(tuple(labels)))
    folder = tmp_path / "model"
    folder.mkdir()
    write_settings(folder, Settings(name="other", labels=("yes", "no"), calibration=Calibration.identity(2)))
    for options in ([], ["--labels", "a, b,c"], ["--model", str(folder)], ["--model", str(folder), "--labels", "a"]):
        assert CliRunner().invoke(app, ["label", str(table), *options]).exit_code == 0
    assert given == [tuple(LABELS), ("a", "b", "c"), ("yes", "no"), ("a",)]


def test_the_command_explains_labels_that_cannot_be_used(table):
    from typer.testing import CliRunner

    from stance.cli import app

    result = CliRunner().invoke(app, ["label", str(table), "--labels", "a,,b"])
    assert result.exit_code == 2 and "[''] cannot be labels" in result.stderr


# The server


@contextmanager
def running(store, model=None):
    server = LabellingServer(store, model=model or toy_classifier())
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(10)


def ask(address, path, method="GET", body=None, headers=None, token=None):
    base, given = address.split("/?token=")
    request = urllib.request.Request(
        base + path, method=method, data=None if body is None else json.dumps(body).encode()
    )
    for name, value in {"X-Stance-Token": given if token is None else token, **(headers or {})}.items():
        request.add_header(name, value)
    for _ in range(50):
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return reply.status, reply.read().decode(), reply.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers
        except urllib.error.URLError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


def test_only_this_machine_with_the_token_under_its_own_name_is_answered(table):
    with running(Store(table)) as server:
        assert server.address.startswith("http://127.0.0.1:")
        assert ask(server.address, "/api/session")[0] == 200
        assert ask(server.address, "/?token=" + server.address.split("token=")[1], token="")[0] == 200
        for path in ("/", "/api/session", "/api/items/0", "/nowhere"):
            assert ask(server.address, path, token="wrong")[0] == 403
            assert ask(server.address, path, token="")[0] == 403
            assert ask(server.address, path, headers={"Host": "evil.example"})[0] == 403
            assert ask(server.address, path, headers={"Origin": "http://evil.example"})[0] == 403
        own = {"Origin": f"http://127.0.0.1:{server.port}"}
        assert ask(server.address, "/api/items/0", headers=own)[0] == 200


def test_the_page_needs_nothing_from_elsewhere_and_says_so(table):
    with running(Store(table)) as server:
        _, page, headers = ask(server.address, "/")
    assert "http://" not in page and "https://" not in page and "{{nonce}}" not in page
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert headers["Referrer-Policy"] == "no-referrer"


def test_a_stale_version_is_answered_with_what_is_saved(table):
    with running(Store(table)) as server:
        body = {"version": 0, "labels": ["denial"], "done": True}
        assert ask(server.address, "/api/items/0", "PUT", body)[0] == 200
        status, text, _ = ask(server.address, "/api/items/0", "PUT", {**body, "labels": []})
        reply = json.loads(text)
        assert status == 409 and "another tab" in reply["message"] and reply["vote"]["labels"] == ["denial"]


@pytest.mark.parametrize(
    "body",
    [{}, [], "x", {"version": "0", "labels": [], "done": True}, {"version": 0, "labels": "denial", "done": True}],
)
def test_a_malformed_request_is_refused_in_words(table, body):
    with running(Store(table)) as server:
        status, text, _ = ask(server.address, "/api/items/0", "PUT", body)
        assert status == 400 and json.loads(text)["message"]
        assert ask(server.address, f"/api/items/{N}")[0] == 400


def test_a_blind_readers_browser_is_never_sent_another_readers_vote(table):
    anna = Store(table, annotator="anna")
    for i in range(N):
        anna.change(i, 0, ["acknowledgment", "denial"], done=True)
    with running(Store(anna.export(), annotator="ben", blind=True)) as server:
        for path in ("/api/session", "/api/items/0"):
            text = ask(server.address, path)[1]
            assert "anna" not in text and json.loads(text).get("others", {}) == {}
        status, text, _ = ask(server.address, "/api/items/0/opinion", "POST")
        assert status == 403 and "probabilities" not in text
        reply = json.loads(ask(server.address, "/api/items/0", "PUT", {"version": 0, "labels": [], "done": True})[1])
        assert reply["others"] == {} and reply["agreement"] is None
        assert ask(server.address, "/api/items/0/opinion", "POST")[0] == 200


def test_asking_for_the_models_opinion_is_written_into_the_vote(table):
    store = Store(table)
    with running(store) as server:
        opinion = json.loads(ask(server.address, "/api/items/0/opinion", "POST")[1])["opinion"]
        assert sum(opinion["probabilities"].values()) == pytest.approx(1)
        ask(server.address, "/api/items/0", "PUT", {"version": 0, "labels": [], "done": True})
    assert Store(table).vote(0).saw_model and not Store(table).vote(1).saw_model


def test_an_opinion_that_cannot_be_had_is_explained(table):
    with running(Store(table), model="/nowhere/at/all") as server:
        status, text, _ = ask(server.address, "/api/items/0/opinion", "POST")
        assert status == 400 and "no checkpoint folder" in json.loads(text)["message"]


def test_an_undo_after_the_pair_has_left_the_table_is_answered_in_words(table):
    Store(table, annotator="anna").change(0, 0, ["denial"], done=True)
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *rows[1:]]) + "\n")
    with running(Store(table, annotator="anna")) as server:
        status, text, _ = ask(server.address, "/api/items/0")
        assert status == 200 and json.loads(text)["last"] is None
        status, text, _ = ask(server.address, "/api/undo", "POST", {"position": 0, "version": 1})
        assert status == 400 and "no longer in the table" in json.loads(text)["message"]


def test_a_full_disk_is_answered_in_words_that_name_the_journal(table):
    store = Store(table)
    with running(store) as server:
        body = {"version": 0, "labels": ["denial"], "done": True}
        assert ask(server.address, "/api/items/0", "PUT", body)[0] == 200
        with disk_with_room_for(40, store.journal.path):
            status, text, _ = ask(server.address, "/api/items/1", "PUT", body)
        message = json.loads(text)["message"]
        assert status == 500 and message.startswith("Not saved: ") and str(store.journal.path) in message
        assert ask(server.address, "/api/items/1", "PUT", body)[0] == 200
    assert Store(table).progress() == 2


def start(table, *more):
    code = "import sys; from stance.labelling import serve; serve(sys.argv[1], open_browser=False)"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(table), *more], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if "token=" in line:
            return process, line.strip()
    raise AssertionError("the server did not start")


def test_ten_kills_in_a_row_lose_nothing(table):
    acknowledged = {}
    for round_ in range(10):
        process, address = start(table)
        killer = threading.Timer(0.15 + 0.02 * round_, process.send_signal, [signal.SIGKILL])
        first = round_ * 3
        for i in range(first, first + 3):
            acknowledged[i] = _label(address, i, version=0)
        killer.start()
        version = acknowledged[first]["version"]
        while process.poll() is None:  # hammer one pair until the kill strikes in the midst of it
            try:
                reply = _label(address, first, version=version, patient=False)
            except (OSError, ValueError, http.client.HTTPException):  # cut off before, or in the midst of, the reply
                break
            version, acknowledged[first] = reply["version"], reply
        process.wait(10)
        process.stdout.close()
    store = Store(table)
    assert store.progress() == N
    for i, reply in acknowledged.items():
        vote = store.vote(i)
        assert (
            vote.version in (reply["version"], reply["version"] + 1) if i % 3 == 0 else vote.version == reply["version"]
        )
        assert vote.labels is not None and vote.done
    assert max(reply["version"] for reply in acknowledged.values()) > 3


def _label(address, position, version, patient=True):
    labels = [["denial"], ["acknowledgment", "denial"], []][(position + version) % 3]
    body = {"version": version, "labels": labels, "done": True}
    if patient:
        return json.loads(ask(address, f"/api/items/{position}", "PUT", body)[1])["vote"]
    base, token = address.split("/?token=")
    request = urllib.request.Request(f"{base}/api/items/{position}", method="PUT", data=json.dumps(body).encode())
    request.add_header("X-Stance-Token", token)
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.loads(reply.read())["vote"]


def test_ctrl_c_ends_the_server_and_writes_the_table(table):
    process, address = start(table)
    _label(address, 0, version=0)
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 0
    process.stdout.close()
    assert len(read_labelled(table.with_name("pairs.labelled.csv"))) == 1


def test_a_taken_port_is_named(table):
    with running(Store(table)) as server, pytest.raises(InputError, match=f"cannot listen on port {server.port}"):
        LabellingServer(Store(table), port=server.port)


# The page in a browser

CHROMIUM = next(
    (found for name in ("chromium", "google-chrome", "chromium-browser") if (found := shutil.which(name))), None
)
SHOTS = os.environ.get("STANCE_SCREENSHOTS")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium or google-chrome is installed")
    with playwright.sync_playwright() as p:
        opened = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser, table):
    """An open page, the store behind it, and a list of everything the page complained of."""
    with running(Store(table, annotator="anna")) as server:
        context = browser.new_context(viewport={"width": 1000, "height": 800})
        tab = context.new_page()
        complaints = []
        tab.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(server.address)
        tab.wait_for_selector("text=Pair 1 of 30")
        tab.address = server.address
        yield tab
        context.close()
        assert [text for text in complaints if "409" not in text and "400" not in text] == []


def shot(tab, name):
    if SHOTS:
        tab.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


def press(tab, *keys):
    for key in keys:
        tab.keyboard.press(key)


def heading(tab, text):
    tab.wait_for_function("text => document.getElementById('heading').textContent.startsWith(text)", arg=text)


def status(tab, text):
    tab.wait_for_function("text => document.getElementById('status').textContent.includes(text)", arg=text)


def test_a_reader_labels_by_keyboard_alone(page, table):
    press(page, "1", "3", "Enter", "0", "Enter", "2", "4", "4", "Enter", "1", "Shift+3", "Enter", "1", "Alt+2", "Enter")
    heading(page, "Pair 6")
    store = Store(table, annotator="anna")
    assert [store.vote(i).labels for i in range(6)] == [
        ("denial", "counter_accusation"),
        (),
        ("acknowledgment", "demand_for_evidence"),
        ("counter_accusation", "denial"),
        ("demand_for_evidence", "denial"),
        None,
    ]
    assert all(store.vote(i).done for i in range(5))
    status(page, "Pair 5: demand for evidence (primary), denial. Saved.")
    shot(page, "desktop")


def test_each_key_is_on_disk_before_anything_else_shows(page, table):
    press(page, "1")
    status(page, "Denial. Saved.")
    assert Store(table, annotator="anna").vote(0).labels == ("denial",)
    page.reload()
    page.wait_for_selector("#held-denial:checked", state="attached")


def test_a_press_marks_the_next_makes_primary_the_next_takes_off(page):
    press(page, "1", "2")
    status(page, "Denial (primary), demand for evidence")
    press(page, "2")
    status(page, "Demand for evidence (primary), denial")
    press(page, "2")
    status(page, "Denial. Saved")
    press(page, "1")
    status(page, "Undecided")
    press(page, "Enter")
    page.wait_for_selector("#alert:has-text('Mark a stance first')")
    heading(page, "Pair 1")


def test_undo_goes_back_to_the_pair_and_restores_it(page, table):
    press(page, "1", "Enter")
    heading(page, "Pair 2")
    press(page, "u")
    heading(page, "Pair 1")
    status(page, "Undone. Pair 1: denial.")
    assert not Store(table, annotator="anna").vote(0).done
    press(page, "u")
    status(page, "Undone. Pair 1: undecided.")
    assert page.locator("#undo").is_disabled()


def test_a_finished_pair_that_is_changed_stays_finished_and_an_undecided_one_does_not(page, table):
    press(page, "1", "Enter")
    heading(page, "Pair 2")
    press(page, "ArrowLeft")
    heading(page, "Pair 1 of 30 · done")
    press(page, "4", "4", "ArrowRight")
    heading(page, "Pair 2")
    vote = Store(table, annotator="anna").vote(0)
    assert vote.labels == ("acknowledgment", "denial") and vote.done
    press(page, "ArrowLeft")
    heading(page, "Pair 1 of 30 · done")
    press(page, "0", "0", "ArrowRight")
    heading(page, "Pair 2")
    vote = Store(table, annotator="anna").vote(0)
    assert vote.labels is None and not vote.done


def test_the_codebook_is_one_key_away_and_traps_no_one(page):
    press(page, "c")
    page.wait_for_selector("dialog[open]")
    assert "challenges the grounds of the charge" in page.inner_text("dialog")
    assert "A concession of the core charge wins" in page.inner_text("dialog")
    shot(page, "codebook")
    press(page, "1", "Escape")
    page.wait_for_selector("dialog:not([open])", state="attached")
    assert page.inner_text("#status") == ""
    press(page, "c", "c")
    assert not page.evaluate("document.getElementById('codebook').open")


def test_the_models_opinion_is_hidden_until_asked_for_and_again_on_the_next_pair(page, table):
    assert not page.is_visible("#opinion") and page.locator("#opinion-list li").count() == 0
    press(page, "m")
    page.wait_for_selector("#opinion:visible >> text=/denial \\d+ %/")
    assert page.get_attribute("#ask", "aria-expanded") == "true"
    shot(page, "opinion")
    press(page, "1", "Enter")
    heading(page, "Pair 2")
    assert not page.is_visible("#opinion")
    assert Store(table, annotator="anna").vote(0).saw_model


def test_two_tabs_do_not_overwrite_each_other(page, table):
    other = page.context.new_page()
    other.goto(page.address)
    other.wait_for_selector("text=Pair 1 of 30")
    press(page, "1", "Enter")
    heading(page, "Pair 2")
    press(other, "4")
    other.wait_for_selector("#alert:has-text('nothing was overwritten')")
    assert other.is_checked("#held-denial") and not other.is_checked("#held-acknowledgment")
    assert Store(table, annotator="anna").vote(0).labels == ("denial",)
    shot(other, "conflict")
    press(other, "4", "Enter")
    heading(other, "Pair 2")
    assert Store(table, annotator="anna").vote(0).labels == ("denial", "acknowledgment")


def burst(tab, *keys):
    """Press keys so fast that no answer comes between them, and wait until all that they asked for is done."""
    tab.evaluate(
        "keys => keys.forEach(key => document.body.dispatchEvent(new KeyboardEvent('keydown',"
        " { key, code: /[0-9]/.test(key) ? 'Digit' + key : key, bubbles: true, cancelable: true })))",
        list(keys),
    )
    tab.evaluate("() => chain.then(() => null)")


def test_keys_pressed_before_a_conflict_showed_are_dropped_and_the_alert_stays(page, table):
    Store(table, annotator="anna").change(0, 0, ["acknowledgment"], done=False)
    burst(page, "1", "Enter")
    assert "nothing was overwritten" in page.inner_text("#alert")
    assert page.inner_text("#heading") == "Pair 1 of 30" and page.is_checked("#held-acknowledgment")
    vote = Store(table, annotator="anna").vote(0)
    assert vote.labels == ("acknowledgment",) and not vote.done
    press(page, "Enter")
    heading(page, "Pair 2")
    assert not page.is_visible("#alert")


def test_keys_pressed_before_a_save_failed_are_dropped_and_the_alert_stays(page, table):
    press(page, "1")
    status(page, "Denial. Saved.")
    refuse = "**/api/items/0"
    page.route(refuse, lambda route: route.fulfill(status=400, json={"message": "the disk is full"}), times=1)
    burst(page, "4", "Enter")
    assert page.inner_text("#alert") == "the disk is full" and page.inner_text("#status") == ""
    assert page.inner_text("#heading") == "Pair 1 of 30" and page.is_checked("#held-denial")
    vote = Store(table, annotator="anna").vote(0)
    assert vote.labels == ("denial",) and not vote.done
    burst(page, "4", "Enter")
    heading(page, "Pair 2")
    assert Store(table, annotator="anna").vote(0).labels == ("denial", "acknowledgment")


def test_keys_pressed_before_an_undo_failed_are_dropped_and_the_alert_stays(page, table):
    press(page, "1", "Enter")
    heading(page, "Pair 2")
    Store(table, annotator="anna").change(4, 0, ["acknowledgment"], done=False)
    burst(page, "u", "2", "Enter")
    assert "nothing was overwritten" in page.inner_text("#alert") and page.inner_text("#heading") == "Pair 5 of 30"
    store = Store(table, annotator="anna")
    assert store.vote(4).labels == ("acknowledgment",) and store.progress() == 1 and store.vote(1).labels is None


def test_keys_meant_for_the_next_pair_do_not_mark_one_that_could_not_be_left(page, table):
    burst(page, "Enter", "1", "Enter")
    assert "Mark a stance first" in page.inner_text("#alert") and page.inner_text("#heading") == "Pair 1 of 30"
    assert Store(table, annotator="anna").vote(0).labels is None


def test_a_double_click_on_next_finishes_one_pair(page, table):
    Store(table, annotator="anna").change(1, 0, ["denial"], done=False)
    press(page, "1")
    status(page, "Denial. Saved.")
    page.dblclick("#next")
    page.evaluate("() => chain.then(() => null)")
    assert page.inner_text("#heading") == "Pair 2 of 30" and not Store(table, annotator="anna").vote(1).done
    page.click("#next")
    heading(page, "Pair 3")


def test_text_is_shown_as_text_and_never_run(page):
    assert "<b>one</b>" in page.inner_text("#response")
    assert page.locator("#response b").count() == 0


def test_agreement_is_shown_as_it_grows(page, table):
    assert not page.is_visible("#agreement")
    ben = Store(table, annotator="ben")
    for i in range(3):
        ben.change(i, 0, ["denial"] if i else [], done=True)
    press(page, "0", "Enter")
    page.wait_for_selector("#agreement:has-text('with ben: kappa undefined, all verdicts alike, on 1 pair')")
    page.wait_for_selector("#others:has-text('ben: denial')")
    press(page, "1", "Enter")
    page.wait_for_selector("#agreement:has-text('on 2 pairs')")
    press(page, "4", "Enter")
    page.wait_for_selector("#agreement:has-text('on 3 pairs')")
    shot(page, "agreement")


def test_the_mouse_does_what_the_keys_do(page, table):
    page.click("label:has(#held-denial)")
    page.click("label:has(#held-acknowledgment)")
    page.click("label:has(#primary-acknowledgment)")
    status(page, "Acknowledgment (primary), denial. Saved.")
    page.click("label:has(#held-denial)")
    status(page, "Acknowledgment. Saved.")
    page.click("#next")
    heading(page, "Pair 2")
    page.click("#back")
    heading(page, "Pair 1 of 30 · done")
    assert Store(table, annotator="anna").vote(0).labels == ("acknowledgment",)


def test_a_screen_reader_finds_names_roles_and_news(page):
    tree = page.locator("body").aria_snapshot()
    for part in (
        'checkbox "1 Denial',
        'radio "denial is primary"',
        'checkbox "0 None of these',
        'region "Accusation"',
        'region "Response"',
        'progressbar "Pairs labelled"',
        'button "Next',
        'group "What does the response do?',
    ):
        assert part.replace("1 ", "").replace("0 ", "") in tree.replace('"1 ', '"').replace('"0 ', '"'), (part, tree)
    assert page.get_attribute("#status", "aria-live") == "polite" and page.get_attribute("#alert", "role") == "alert"
    press(page, "1", "Enter")
    heading(page, "Pair 2")
    assert page.evaluate("document.activeElement.id") == "heading"
    for _ in range(3):
        press(page, "Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_arrow_keys_among_the_primary_buttons_re_order_stances_and_add_none(page, table):
    assert page.is_disabled("#primary-denial")
    press(page, "1", "4")
    status(page, "Denial (primary), acknowledgment. Saved.")
    assert page.is_disabled("#primary-demand_for_evidence") and page.is_disabled("#primary-counter_accusation")
    page.focus("#primary-denial")
    press(page, "ArrowDown")
    status(page, "Acknowledgment (primary), denial. Saved.")
    press(page, "ArrowDown")
    status(page, "Denial (primary), acknowledgment. Saved.")
    assert Store(table, annotator="anna").vote(0).labels == ("denial", "acknowledgment")


def test_a_primary_button_whose_click_was_not_saved_is_not_left_checked(page):
    press(page, "1", "4")
    status(page, "Denial (primary), acknowledgment. Saved.")
    page.route("**/api/items/0", lambda route: route.fulfill(status=400, json={"message": "the disk is full"}), times=1)
    page.click("label:has(#primary-acknowledgment)")
    page.wait_for_selector("#alert:has-text('the disk is full')")
    assert page.is_checked("#primary-denial") and not page.is_checked("#primary-acknowledgment")


def test_the_number_pad_marks_while_it_gives_digits_and_moves_while_it_gives_arrows(page, table):
    press(page, "ArrowRight")
    heading(page, "Pair 2")
    press(page, "Numpad4")  # the pad of this keyboard gives arrows, as without NumLock
    heading(page, "Pair 1")
    assert Store(table, annotator="anna").vote(1).labels is None
    page.evaluate(
        "document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '4', code: 'Numpad4', bubbles: true }))"
    )
    status(page, "Acknowledgment. Saved.")


def test_the_models_opinion_is_read_out_and_its_failure_leaves_no_word_of_asking(page):
    failing = "**/api/items/0/opinion"
    page.route(failing, lambda route: route.fulfill(status=400, json={"message": "no checkpoint folder"}), times=1)
    press(page, "m")
    page.wait_for_selector("#alert:has-text('no checkpoint folder')")
    assert page.inner_text("#status") == ""
    press(page, "m")
    status(page, "The model: ")
    assert page.inner_text("#opinion-list li >> nth=0") in page.inner_text("#status")
    press(page, "ArrowRight")
    heading(page, "Pair 2")
    assert page.inner_text("#status") == ""


def test_the_buttons_are_a_group_as_none_of_them_is_reached_by_arrow_keys(page):
    assert page.get_by_role("group", name="Actions").get_by_role("button").count() == 6
    assert page.get_by_role("toolbar").count() == 0


def test_keys_can_be_switched_off_for_those_whose_reader_uses_them(page):
    page.uncheck("#shortcuts")
    press(page, "1")
    page.focus("#held-denial")
    press(page, "Space")
    status(page, "Denial. Saved.")


def test_a_held_key_does_not_run_through_the_pairs(page):
    press(page, "1")
    page.keyboard.down("Enter")
    for _ in range(5):
        page.keyboard.down("Enter")  # the browser repeats a key that is held
    page.keyboard.up("Enter")
    heading(page, "Pair 2")
    assert not page.is_visible("#alert")


def test_the_end_says_where_the_table_is(page, table):
    for _ in range(N):
        press(page, "1", "Enter")
    page.wait_for_selector("#exported:has-text('pairs.labelled.csv')")
    status(page, "All 30 pairs are labelled")
    assert len(read_labelled(table.with_name("pairs.labelled.csv"))) == N


def test_a_dead_server_is_announced_and_nothing_is_shown_as_saved(browser, table):
    process, address = start(table)
    tab = browser.new_page()
    tab.goto(address)
    heading(tab, "Pair 1")
    process.kill()
    process.wait(10)
    process.stdout.close()
    press(tab, "1", "Enter")
    tab.wait_for_selector("#alert:visible")
    assert not tab.is_checked("#held-denial")
    heading(tab, "Pair 1")
    tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(browser, table, scheme):
    with running(Store(table, annotator="anna")) as server:
        context = browser.new_context(
            viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True, color_scheme=scheme
        )
        tab = context.new_page()
        tab.goto(server.address)
        heading(tab, "Pair 1")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        small = tab.evaluate(
            "[...document.querySelectorAll('button, .choice label')].filter(e => e.offsetParent)"
            ".map(e => [e.id || e.textContent, e.getBoundingClientRect().height]).filter(e => e[1] < 44)"
        )
        assert small == []
        tab.tap("label:has(#held-denial)")
        status(tab, "Denial. Saved.")
        shot(tab, f"phone-{scheme}")
        tab.tap("#next")
        heading(tab, "Pair 2")
        tab.tap("#open-codebook")
        tab.wait_for_selector("dialog[open]")
        assert tab.locator("#close-codebook").bounding_box()["y"] < 100
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        shot(tab, f"phone-codebook-{scheme}")
        context.close()


def test_it_fits_the_narrowest_of_phones(browser, table):
    with running(Store(table, annotator="anna")) as server:
        context = browser.new_context(viewport={"width": 320, "height": 568}, is_mobile=True, has_touch=True)
        tab = context.new_page()
        tab.goto(server.address)
        heading(tab, "Pair 1")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 320
        shot(tab, "phone-narrow")
        context.close()
