"""Files and streams of pairs, scored in constant memory, resumable to the byte.

``classify_file`` reads a chunk of rows, judges it, and commits it to the journal, until nothing is left. What a chunk
becomes depends on that chunk alone, so a run that was killed and taken up again writes what an unbroken one writes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from stance.api import Model, open_model
from stance.checkpoint import file_hash
from stance.classifier import CHUNK, StanceClassifier
from stance.columns import (
    Kind,
    check_clash,
    check_pairs,
    column_kinds,
    find_columns,
    prediction_columns,
    score_pairs,
)
from stance.errors import InputError, PairError
from stance.files.journal import Entry, Journal
from stance.files.reading import Chunk, read_chunks
from stance.files.record import RunRecord, versions, write_record
from stance.files.sources import STREAM, Format, Source, find_sources, format_of, identity
from stance.files.writing import Pieces, pieces_for

__all__ = ["RunRecord", "classify_file"]

OnError: TypeAlias = Literal["fail", "skip"]

_AHEAD = 64
"""How many chunks of a stream without a readable row are held in the search for one."""


def classify_file(
    src: Source | Sequence[Source],
    dst: Source,
    *,
    accusation: str | None = None,
    response: str | None = None,
    model: Model = "default",
    backend: str = "auto",
    coverage: float = 1.0,
    on_error: OnError = "fail",
    format: Literal["csv", "tsv", "jsonl"] | None = None,
    prefix: str = "",
    progress: bool | None = None,
    resume: bool = True,
    chunk_rows: int = CHUNK,
) -> RunRecord:
    """Judge every pair of a table on disk or in a pipe and write the table with the verdicts added.

    The suffixes say what is read and written: ``.csv``, ``.tsv``, ``.jsonl``, ``.parquet``, the text formats also with
    ``.gz`` or ``.zst``. Every column of the input is kept; ``stance.columns`` lists those that are added. Memory does
    not grow with the input. The output appears under its name when it is complete. A run that was killed goes on where
    it was when the same call is made again, and ends in the same bytes as an unbroken one. Streams cannot be taken up.

    Args:
        src: A file, a glob such as ``"in/*.csv"``, a list of files, or ``"-"`` for standard input. Several files are
            read one after the other and must have the same columns.
        dst: The file to write, or ``"-"`` for standard output. An existing file is replaced.
        accusation: The column of the charges; if ``None``, the one called "accusation".
        response: The column of the replies; if ``None``, the one called "response".
        model: A checkpoint, as in ``stance.load``, or an open ``StanceClassifier``.
        backend: As in ``stance.load``.
        coverage: Share of the predictions of each outcome to keep; below 1, the least sure ones abstain.
        on_error: What to do with a row that cannot be read or judged: ``"fail"``, or ``"skip"`` it and list it, with
            line and reason, in ``OUT.errors.jsonl`` (standard error if the output is a stream).
        format: The format of a stream; JSON Lines if ``None``.
        prefix: Put before the name of every added column.
        progress: Whether to draw a progress bar; if ``None``, where standard error is a terminal.
        resume: Whether to take up a run that was broken off; ``False`` throws away what it had done.
        chunk_rows: Rows that are judged and committed together.

    Returns:
        What was done; for an output on disk it is also written to ``OUT.run.json``.

    Raises:
        InputError: A file is missing or not what its suffix says, or the run to take up was begun with other options,
            another input or another checkpoint.
        ColumnError: The columns cannot be found, or one of the added names is taken.
        PairError: A row cannot be judged and ``on_error="fail"``. What was done before it is kept.
        MissingExtraError: The format needs a package that is not installed.
    """
    if on_error not in ("fail", "skip"):
        raise InputError(f"on_error is 'fail' or 'skip', not {on_error!r}")
    if chunk_rows < 1:
        raise InputError(f"chunk_rows is at least 1, not {chunk_rows!r}")
    target = os.fspath(dst)
    sources = find_sources(src, target)
    job = _Job(
        sources=sources,
        forms=tuple(format_of(source, format) for source in sources),
        target=target,
        form=format_of(target, format),
        classifier=open_model(model, backend),
        accusation=accusation,
        response=response,
        coverage=coverage,
        skip=on_error == "skip",
        prefix=prefix,
        progress=progress,
        chunk_rows=chunk_rows,
    )
    job.classifier.settings.calibration.least_confidence(coverage)  # an argument out of range shows before any work
    return _to_stream(job) if target == STREAM else _to_file(job, resume and STREAM not in sources)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A call of ``classify_file`` with everything looked up."""

    sources: tuple[str, ...]
    forms: tuple[Format, ...]
    target: str
    form: Format
    classifier: StanceClassifier
    accusation: str | None
    response: str | None
    coverage: float
    skip: bool
    prefix: str
    progress: bool | None
    chunk_rows: int

    @property
    def kinds(self) -> dict[str, Kind]:
        """The columns that are added."""
        return column_kinds(self.classifier.labels, self.prefix)

    @property
    def options(self) -> dict[str, Any]:
        """What decides the output, beside the input and the checkpoint."""
        return {
            "accusation": self.accusation,
            "response": self.response,
            "coverage": self.coverage,
            "prefix": self.prefix,
            "chunk_rows": self.chunk_rows,
            "formats": ["".join(form) for form in (*self.forms, self.form)],
        }

    def fingerprint(self) -> dict[str, Any]:
        """What must be the same for a run to be taken up, as plain JSON values."""
        backend = self.classifier.backend
        return {
            **versions(),
            **self.options,
            "sources": list(self.sources),
            "model": self.classifier.settings.digest,
            "backend": backend.name,
            "device": str(getattr(backend, "device", "cpu")),
            **{f"source {source}": identity(source) for source in self.sources},
        }


class _Sink(Protocol):
    """Where pieces go: a journalled file, or standard output."""

    last: Entry

    def commit(self, data: bytes, errors: bytes, entry: Entry) -> None:
        """Write a piece and the bad rows that belong to it."""
        ...


def _to_file(job: _Job, resume: bool) -> RunRecord:
    target = Path(job.target)
    if not target.parent.is_dir():
        raise InputError(f"no folder {target.parent} to write {target.name} to; make it first")
    if target.is_dir():
        raise InputError(f"{target} is a folder; name a file")
    with closing(Journal(target, job.fingerprint(), resume=resume)) as journal:
        if journal.last.rows_bad and not job.skip:
            raise InputError(
                f"{journal.partial} leaves out {journal.last.rows_bad} bad rows; "
                "go on with --on-error skip (on_error='skip' in Python), or start anew with --no-resume (in Python "
                "resume=False)"
            )
        reader = _Reader(job)
        pieces = pieces_for(job.form, reader.first, job.kinds)
        if not journal.last.done:
            _score(job, reader, pieces, journal)
        journal.complete()
        if journal.partial.exists():  # not if the run was killed after this step
            pieces.finish(journal.partial, target)
        journal.publish_errors()
        record = _record(job, journal.last, resumed=journal.resumed)
        write_record(journal.record, record)
        journal.clear()
    return record


def _to_stream(job: _Job) -> RunRecord:
    reader, sink = _Reader(job), _Stdout()
    _score(job, reader, pieces_for(job.form, reader.first, job.kinds), sink)
    return _record(job, sink.last, resumed=False)


class _Stdout:
    """Standard output for the pieces, standard error for the bad rows."""

    def __init__(self) -> None:
        self.last = Entry()

    def commit(self, data: bytes, errors: bytes, entry: Entry) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        sys.stderr.write(errors.decode("utf-8"))
        self.last = entry


class _Reader:
    """The chunks of a job, and the first of them, which decides columns and types."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        chunks = read_chunks(job.sources, job.forms, job.chunk_rows)
        streaming = STREAM in job.sources
        held = deque(self._up_to_columns(chunks), maxlen=None if streaming else 1)
        self.first = held[-1]
        self._stream: Iterator[Chunk] | None = None
        if streaming:  # it cannot be opened a second time
            self._stream = chain(held, chunks)
        else:
            chunks.close()  # the file
        self._names = job.accusation or "accusation", job.response or "response"
        if self._has_columns(self.first):
            self._names = find_columns(self.first.columns, job.accusation, job.response, self.first.source)

    def _has_columns(self, chunk: Chunk) -> bool:
        """Whether there is something to choose columns from; JSON Lines can begin with unreadable rows, or be empty."""
        return bool(chunk.columns) or self._is_table(chunk)

    def _is_table(self, chunk: Chunk) -> bool:
        return self._job.forms[chunk.end.source].kind != "jsonl"

    def _up_to_columns(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """The chunks up to the first that has columns."""
        job = self._job
        for number, chunk in enumerate(chunks, 1):
            yield chunk
            if self._has_columns(chunk):
                return
            if chunk.faults and not job.skip:
                raise _failure(job, chunk, chunk.faults)
            if number == _AHEAD and STREAM in job.sources:
                reason = next(iter(chunk.faults.values()), "the objects are empty")
                raise InputError(f"the first {_AHEAD} chunks of standard input hold no row that can be read: {reason}")

    def columns(self, chunk: Chunk) -> tuple[str, str]:
        """The two columns to read from a chunk: those of its table, or for JSON Lines those of the first rows."""
        job, table = self._job, self._is_table(chunk)
        where = chunk.source if table else f"{chunk.source}, from row {chunk.first} on,"  # keys may come at any line
        check_clash(chunk.columns, job.classifier.labels, job.prefix, where)
        return find_columns(chunk.columns, job.accusation, job.response, chunk.source) if table else self._names

    def chunks(self, last: Entry) -> Iterator[Chunk]:
        """The chunks after what has been done."""
        job = self._job
        return self._stream or read_chunks(job.sources, job.forms, job.chunk_rows, last.place)


def _score(job: _Job, reader: _Reader, pieces: Pieces, sink: _Sink) -> None:
    """Judge and commit chunk after chunk."""
    with closing(_Bar(job, sink.last)) as bar:
        began = time.perf_counter()
        for chunk in reader.chunks(sink.last):
            pairs, faults = check_pairs(chunk.texts(*reader.columns(chunk)))
            faults |= chunk.faults
            if faults and not job.skip:
                raise _failure(job, chunk, faults)
            judged = score_pairs(
                job.classifier, [None if i in faults else pair for i, pair in enumerate(pairs)], job.coverage
            )
            keep = [i for i in range(len(chunk)) if i not in faults]
            added = prediction_columns([judged[i] for i in keep], job.classifier, job.prefix)
            data = pieces.encode(chunk, keep, added, first=sink.last.chunks == 0)
            now = time.perf_counter()
            sink.commit(data, _error_lines(chunk, faults), _advance(job, sink.last, chunk, added, now - began))
            began = now
            bar.advance(chunk)


def _advance(job: _Job, last: Entry, chunk: Chunk, added: Mapping[str, list[Any]], seconds: float) -> Entry:
    labels = Counter(last.labels)
    labels.update(label or "abstained" for label in added[job.prefix + "label"])
    written = len(added[job.prefix + "label"])
    return replace(
        last,
        place=chunk.end,
        chunks=last.chunks + 1,
        rows_read=last.rows_read + len(chunk),
        rows_written=last.rows_written + written,
        rows_bad=last.rows_bad + len(chunk) - written,
        labels=dict(labels),
        seconds=last.seconds + seconds,
    )


def _failure(job: _Job, chunk: Chunk, faults: Mapping[int, str]) -> PairError:
    position = min(faults)
    error = PairError(
        f"{chunk.where(position)}: {faults[position]}. With --on-error skip (on_error='skip' in Python) the run "
        "goes on and lists such rows" + ("." if job.target == STREAM else f" in {job.target}.errors.jsonl.")
    )
    error.index = chunk.first + position
    return error


def _error_lines(chunk: Chunk, faults: Mapping[int, str]) -> bytes:
    rows = (
        {
            "source": chunk.source,
            "row": chunk.first + position,
            **({"line": chunk.lines[position]} if chunk.lines else {}),
            "reason": faults[position],
        }
        for position in sorted(faults)
    )
    return "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows).encode()


class _Bar:
    """A progress bar with the rate and the time left; the number of rows is estimated from the bytes read."""

    def __init__(self, job: _Job, last: Entry) -> None:
        from tqdm import tqdm

        disable = None if job.progress is None else not job.progress  # None: not if stderr is no terminal
        self._sizes = [0 if s == STREAM else Path(s).stat().st_size for s in job.sources]
        self._bar = tqdm(initial=last.rows_read, unit=" rows", unit_scale=True, disable=disable, desc="scoring")
        self._rows = last.rows_read

    def advance(self, chunk: Chunk) -> None:
        """Count a chunk as done."""
        self._rows += len(chunk)
        if chunk.share is not None and (
            done := self._bytes_before(chunk) + chunk.share * self._sizes[chunk.end.source]
        ):
            self._bar.total = max(self._rows, round(self._rows * sum(self._sizes) / done))
        self._bar.update(len(chunk))

    def _bytes_before(self, chunk: Chunk) -> int:
        return sum(self._sizes[: chunk.end.source])

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()


def _record(job: _Job, last: Entry, *, resumed: bool) -> RunRecord:
    on_disk = job.target != STREAM
    settings = job.classifier.settings
    return RunRecord(
        sources=job.sources,
        output=job.target,
        output_sha256=file_hash(Path(job.target)) if on_disk else "",
        errors=f"{job.target}.errors.jsonl" if on_disk and last.rows_bad else "",
        rows_read=last.rows_read,
        rows_written=last.rows_written,
        rows_bad=last.rows_bad,
        labels=dict(last.labels),
        model={
            "name": settings.name,
            "version": settings.version,
            "digest": settings.digest,
            "backend": job.classifier.backend.name,
        },
        options={**job.options, "on_error": "skip" if job.skip else "fail"},
        versions=versions(),
        seconds=round(last.seconds, 3),
        resumed=resumed,
        finished=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
