from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tiny_checkpoint import tiny_pairs

from stance.classifier import StanceClassifier
from stance.errors import ColumnError, InputError, PairError
from stance.files import classify_file, journal
from stance.files.record import versions

ROOT = Path(__file__).parent.parent
FORMATS = [("csv", "csv"), ("jsonl.gz", "csv.zst"), ("parquet", "parquet")]


class Crash(BaseException):
    """Stands for the end of the process."""


def write(path: Path, n: int, bad: tuple[int, ...] = ()) -> Path:
    """A table of pairs whose rows ``bad`` cannot be judged."""
    rows = [{"id": str(i), "accusation": a, "response": b} for i, (a, b) in enumerate(tiny_pairs(n))]
    for i in bad:
        rows[i]["response"] = " "
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=17)
        return path
    if ".csv" in path.name:
        text = "id,accusation,response\n" + "".join(f'{r["id"]},{r["accusation"]},"{r["response"]}"\n' for r in rows)
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows)
    return pack(path, text.encode())


def pack(path: Path, data: bytes) -> Path:
    import gzip

    import pyarrow as pa

    pack = {".gz": gzip.compress, ".zst": lambda d: pa.Codec("zstd").compress(d, asbytes=True)}.get(path.suffix, bytes)
    path.write_bytes(pack(data))
    return path


def crash_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Let the process "die" in its ``step``-th write, sync, rename or removal, half of a write being done."""
    done = 0

    def dying(real: Callable[..., object], torn: bool) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal done
            done += 1
            if done >= step:  # nothing that Python does on the way out reaches the disk either
                if torn and done == step:
                    stream, data = args
                    real(stream, data[: len(data) // 2])  # type: ignore[index]
                raise Crash
            return real(*args, **kwargs)

        return call

    monkeypatch.setattr(journal, "_write_all", dying(journal._write_all, torn=True))
    monkeypatch.setattr(os, "fsync", dying(os.fsync, torn=False))
    monkeypatch.setattr(os, "replace", dying(os.replace, torn=False))
    monkeypatch.setattr(Path, "unlink", dying(Path.unlink, torn=False))
    return lambda: done


def outputs(target: Path) -> dict[str, bytes]:
    """What a user finds, without the record, which holds times."""
    return {p.name: p.read_bytes() for p in target.parent.iterdir() if not p.name.endswith(".run.json")}


@pytest.mark.parametrize(("start", "end"), FORMATS)
def test_a_crash_at_any_step_changes_no_byte(
    start: str, end: str, tmp_path: Path, tiny: StanceClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / f"in.{start}", 45, bad=(3, 30))
    options = {"model": tiny, "chunk_rows": 10, "on_error": "skip"}
    (tmp_path / "whole").mkdir()
    classify_file(source, tmp_path / "whole" / f"out.{end}", **options)
    expected = outputs(tmp_path / "whole" / f"out.{end}")
    assert len(expected) == 2
    step = resumed = 0
    while True:
        step += 1
        folder = tmp_path / f"step{step}"
        folder.mkdir()
        with monkeypatch.context() as patched:
            steps_done = crash_at(step, patched)
            with suppress(Crash):
                classify_file(source, folder / f"out.{end}", **options)
        if steps_done() < step:
            break
        resumed += classify_file(source, folder / f"out.{end}", **options).resumed
        assert outputs(folder / f"out.{end}") == expected, f"killed in step {step}"
    assert step > 20 and resumed > 10


@pytest.mark.parametrize("end", ["csv", "jsonl.gz", "parquet"])
def test_two_crashes_in_one_run_change_no_byte(
    end: str, tmp_path: Path, tiny: StanceClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "in.csv", 45)
    whole = classify_file(source, tmp_path / f"whole.{end}", model=tiny, chunk_rows=5)
    for step in (9, 8):
        with monkeypatch.context() as patched, pytest.raises(Crash):
            crash_at(step, patched)
            classify_file(source, tmp_path / f"out.{end}", model=tiny, chunk_rows=5)
    record = classify_file(source, tmp_path / f"out.{end}", model=tiny, chunk_rows=5)
    assert record.resumed and record.output_sha256 == whole.output_sha256
    assert record.rows_read == 45 and record.labels == whole.labels


def break_off(source: Path | list[Path], target: Path, tiny: StanceClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched, pytest.raises(Crash):
        crash_at(12, patched)
        classify_file(source, target, model=tiny, chunk_rows=10)


def test_what_was_done_is_not_done_again(
    tmp_path: Path, tiny: StanceClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    import stance.files as files

    source, target = write(tmp_path / "in.csv", 45), tmp_path / "out.csv"
    break_off(source, target, tiny, monkeypatch)
    scored = []
    real = files.score_pairs
    monkeypatch.setattr(files, "score_pairs", lambda c, pairs, k: scored.extend(pairs) or real(c, pairs, k))
    classify_file(source, target, model=tiny, chunk_rows=10)
    assert 0 < len(scored) < 45


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coverage": 0.5}, "coverage was 1.0 and is 0.5"),
        ({"chunk_rows": 11}, "chunk_rows was 10 and is 11"),
        ({"prefix": "x_"}, "prefix was '' and is 'x_'"),
    ],
)
def test_other_options_do_not_go_on(
    change: dict[str, object], message: str, tmp_path: Path, tiny: StanceClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    fit = replace(tiny.settings.calibration, surest=((0.5,) * 101,) * 5)
    fitted = StanceClassifier(replace(tiny.settings, calibration=fit), tiny._encoder, tiny.backend, tiny.path)
    source, target = write(tmp_path / "in.csv", 45), tmp_path / "out.csv"
    break_off(source, target, fitted, monkeypatch)
    options = {"model": fitted, "chunk_rows": 10, **change}
    before = (tmp_path / "out.csv.partial").read_bytes()
    with pytest.raises(InputError, match=message):
        classify_file(source, target, **options)
    assert (tmp_path / "out.csv.partial").read_bytes() == before
    assert not classify_file(source, target, resume=False, **options).resumed


def test_a_changed_input_or_checkpoint_does_not_go_on(
    tmp_path: Path, tiny: StanceClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    source, target = write(tmp_path / "in.csv", 45), tmp_path / "out.csv"
    break_off(source, target, tiny, monkeypatch)
    other = StanceClassifier(replace(tiny.settings, files={"x": "y"}), tiny._encoder, tiny.backend, tiny.path)
    with pytest.raises(InputError, match=f"model was '{tiny.settings.digest}' and is '{other.settings.digest}'"):
        classify_file(source, target, model=other, chunk_rows=10)
    with source.open("a") as stream:
        stream.write("46,word1,word2\n")
    with pytest.raises(InputError, match=r"source .*in\.csv was .* resume=False"):
        classify_file(source, target, model=tiny, chunk_rows=10)


def test_sources_in_another_order_do_not_go_on(
    tmp_path: Path, tiny: StanceClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, target = [write(tmp_path / "a.csv", 30), write(tmp_path / "b.csv", 30)], tmp_path / "out.csv"
    break_off(names, target, tiny, monkeypatch)
    with pytest.raises(InputError, match="sources was"):
        classify_file(names[::-1], target, model=tiny, chunk_rows=10)


def test_another_version_of_a_package_or_another_device_does_not_go_on(
    tmp_path: Path, tiny: StanceClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    import stance.files as files

    source, target = write(tmp_path / "in.csv", 45), tmp_path / "out.csv"
    break_off(source, target, tiny, monkeypatch)
    with monkeypatch.context() as patched, pytest.raises(InputError, match=r"onnxruntime was '.*' and is '0\.1'"):
        patched.setattr(files, "versions", lambda: {**versions(), "onnxruntime": "0.1"})
        classify_file(source, target, model=tiny, chunk_rows=10)
    monkeypatch.setattr(tiny.backend, "device", "cuda", raising=False)
    with pytest.raises(InputError, match="device was 'cpu' and is 'cuda'"):
        classify_file(source, target, model=tiny, chunk_rows=10)


def test_a_table_that_semicolons_separate_is_taken_up_too(
    tmp_path: Path, tiny: StanceClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "in.csv", 45)
    commas = classify_file(source, tmp_path / "commas.csv", model=tiny, chunk_rows=10)
    source.write_text(source.read_text().replace(",", ";"))
    break_off(source, tmp_path / "out.csv", tiny, monkeypatch)
    record = classify_file(source, tmp_path / "out.csv", model=tiny, chunk_rows=10)
    assert record.resumed and record.output_sha256 == commas.output_sha256


def test_what_starts_a_run_anew_is_named_for_the_shell_and_for_python(
    tmp_path: Path, tiny: StanceClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = write(tmp_path / "in.csv", 45), tmp_path / "out.csv"
    break_off(source, target, tiny, monkeypatch)
    with pytest.raises(InputError, match=r"--no-resume \(in Python resume=False\)"):
        classify_file(source, target, model=tiny, chunk_rows=11)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_other_columns_in_a_later_file_are_refused_as_often_as_they_are_tried(
    suffix: str, tmp_path: Path, tiny: StanceClassifier
) -> None:
    first, second = write(tmp_path / f"a.{suffix}", 20), tmp_path / "b.csv"
    second.write_text("accusation,response\nword1,word2\n")
    for _ in range(2):
        with pytest.raises(ColumnError, match=r"b\.csv has the columns"):
            classify_file([first, second], tmp_path / "out.jsonl", model=tiny, chunk_rows=10)


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_json_lines_that_begin_without_a_row_are_taken_up_too(
    end: str, tmp_path: Path, tiny: StanceClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty, bad = tmp_path / "empty.jsonl", tmp_path / "bad.jsonl"
    empty.touch()
    bad.write_text("nonsense\n" * 12 + write(tmp_path / "rows.jsonl", 30).read_text())
    options = {"model": tiny, "chunk_rows": 5, "on_error": "skip"}
    whole = classify_file([empty, bad], tmp_path / f"whole.{end}", **options)
    assert (whole.rows_written, whole.rows_bad) == (30, 12)
    with monkeypatch.context() as patched, pytest.raises(Crash):
        crash_at(14, patched)
        classify_file([empty, bad], tmp_path / f"out.{end}", **options)
    record = classify_file([empty, bad], tmp_path / f"out.{end}", **options)
    assert record.resumed and record.output_sha256 == whole.output_sha256


def test_rows_left_out_are_not_forgotten_by_a_stricter_call(
    tmp_path: Path, tiny: StanceClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = write(tmp_path / "in.csv", 45, bad=(2,)), tmp_path / "out.csv"
    with monkeypatch.context() as patched, pytest.raises(Crash):
        crash_at(12, patched)
        classify_file(source, target, model=tiny, chunk_rows=10, on_error="skip")
    with pytest.raises(InputError, match="leaves out 1 bad rows"):
        classify_file(source, target, model=tiny, chunk_rows=10)
    with pytest.raises(PairError, match="line 4"):
        classify_file(source, target, model=tiny, chunk_rows=10, resume=False)


def test_one_output_has_one_writer(tmp_path: Path, tiny: StanceClassifier) -> None:
    pytest.importorskip("fcntl")
    source, target = write(tmp_path / "in.csv", 45), tmp_path / "out.csv"
    first = journal.Journal(target, {}, resume=True)
    with pytest.raises(InputError, match="another process is writing"):
        classify_file(source, target, model=tiny)
    first.close()
    classify_file(source, target, model=tiny)


def test_ten_random_kills_give_ten_identical_outputs(tmp_path: Path, tiny: StanceClassifier) -> None:
    source = write(tmp_path / "in.csv", 2000)
    whole = classify_file(source, tmp_path / "whole.csv.gz", model=tiny, chunk_rows=20)
    size = (tmp_path / "whole.csv.gz").stat().st_size
    draw, killed = random.Random(13), 0
    for i in range(10):
        target = tmp_path / f"out{i}.csv.gz"
        _kill_at(_start(source, target, tiny.path), target, draw.uniform(0.0, 0.8) * size, draw.uniform(0, 0.01))
        killed += not target.exists()
        record = classify_file(source, target, model=tiny, chunk_rows=20)
        assert record.output_sha256 == whole.output_sha256
        assert {p.name for p in tmp_path.glob(f"out{i}*")} == {target.name, target.name + ".run.json"}
    assert killed >= 5, "the processes ended before they could be killed"


def _start(source: Path, target: Path, model: Path) -> subprocess.Popen[bytes]:
    code = (
        "import sys; from stance.files import classify_file;"
        "classify_file(sys.argv[1], sys.argv[2], model=sys.argv[3], chunk_rows=20)"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(source), str(target), str(model)], cwd=ROOT)


def _kill_at(process: subprocess.Popen[bytes], target: Path, size: float, delay: float) -> None:
    """Kill a process a moment after its partial output has passed a size."""
    partial = target.with_name(target.name + ".partial")
    while process.poll() is None:
        try:
            if partial.stat().st_size > size:
                break
        except FileNotFoundError:
            pass
        time.sleep(0.001)
    time.sleep(delay)
    if process.poll() is None:
        os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()
