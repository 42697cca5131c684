"""Files -> chunks of rows. Every chunk knows the place after it, so that reading can go on from there."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

from stance.errors import ColumnError, InputError
from stance.files.sources import STREAM, Format

_LONGEST_LINE = 64 * 2**20
_LONGEST_FIELD = 16 * 2**20
DELIMITERS = {"csv": ",", "tsv": "\t"}
_UTF16_MARKS = ("\udcff\udcfe", "\udcfe\udcff")  # as ``Lines`` gives their bytes


class Place(NamedTuple):
    """Where reading goes on.

    ``offset`` counts the unpacked bytes of a text file or the rows of a Parquet file; ``row`` counts rows from 0 and
    ``line`` the lines read.
    """

    source: int = 0
    offset: int = 0
    row: int = 0
    line: int = 0


BEGINNING = Place()


@dataclass(slots=True)
class Chunk:
    """Consecutive rows of one source: dictionaries, or a pyarrow table if it came from Parquet.

    Attributes:
        rows: The rows; an unreadable one is empty here and named in ``faults``.
        table: The rows of a Parquet file, in place of ``rows``.
        faults: Position in the chunk -> what is wrong with the row.
        lines: The line on which each row begins; empty for Parquet.
        first: The number of its first row in the source, from 0.
        columns: The columns of the source; for JSON Lines, all that this chunk has.
        end: The place after it.
        share: How much of its source has been read after it, 0..1; ``None`` for a stream.
    """

    source: str
    first: int
    end: Place
    columns: list[str]
    rows: list[dict[str, Any]] = field(default_factory=list)
    table: Any = None
    faults: dict[int, str] = field(default_factory=dict)
    lines: list[int] = field(default_factory=list)
    share: float | None = None

    def __len__(self) -> int:
        return len(self.rows) if self.table is None else int(self.table.num_rows)

    def texts(self, accusation: str, response: str) -> list[tuple[object, object]]:
        """The two texts of every row."""
        if self.table is None:
            return [(row.get(accusation), row.get(response)) for row in self.rows]
        return list(zip(self.table[accusation].to_pylist(), self.table[response].to_pylist(), strict=True))

    def records(self, keep: Sequence[int]) -> list[dict[str, Any]]:
        """The rows at some positions, as dictionaries."""
        if self.table is None:
            return [self.rows[i] for i in keep]
        rows: list[dict[str, Any]] = self.table.take(keep).to_pylist() if keep else []
        return rows

    def where(self, position: int) -> str:
        """Name a row for a message."""
        if self.lines:
            return f"{self.source}, line {self.lines[position]}"
        return f"{self.source}, row {self.first + position}"


def read_chunks(
    sources: Sequence[str], formats: Sequence[Format], size: int, start: Place = BEGINNING
) -> Generator[Chunk]:
    """Read sources one after the other in chunks of ``size`` rows; no chunk holds rows of two sources.

    A source without rows gives one empty chunk.

    Raises:
        ColumnError: Two sources have different columns.
        InputError: A source is not what its name says.
    """
    columns = None if start == BEGINNING else _columns_before(sources, formats, start)
    for number in range(start.source, len(sources)):
        path, form = sources[number], formats[number]
        place = start if number == start.source else Place(source=number)
        for chunk in _read(path, form, size, place):
            if form.kind != "jsonl":
                columns = columns or chunk.columns
                if chunk.columns != columns:
                    raise ColumnError(f"{path} has the columns {chunk.columns}, and the files before it {columns}")
            yield chunk


def _columns_before(sources: Sequence[str], formats: Sequence[Format], place: Place) -> list[str] | None:
    """The columns that the sources up to a place have, if one of them is a table: a run taken up compares with them."""
    for path, form in zip(sources[: place.source + 1], formats, strict=False):
        if form.kind != "jsonl":
            with closing(_read(path, form, 1, BEGINNING)) as chunks:
                return next(chunks).columns
    return None


def _read(path: str, form: Format, size: int, place: Place) -> Generator[Chunk]:
    yield from (_read_parquet if form.kind == "parquet" else _read_text)(path, form, size, place)


def _read_parquet(path: str, form: Format, size: int, place: Place) -> Iterator[Chunk]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, memory_map=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}") from error
    with file:
        schema, first = file.schema_arrow, place.offset
        total = file.metadata.num_rows
        batches = _batches_from(file, first, size)
        held = schema.empty_table()
        while first < total or total == 0:
            while held.num_rows < size and (batch := next(batches, None)) is not None:
                held = pa.concat_tables([held, pa.Table.from_batches([batch], schema)])
            table, held = held.slice(0, size), held.slice(size)
            end = Place(place.source, first + table.num_rows, first + table.num_rows)
            share = end.offset / total if total else 1.0
            yield Chunk(path, first, end, list(schema.names), table=table, share=share)
            first = end.offset
            if total == 0:
                return


def _batches_from(file: Any, row: int, size: int) -> Iterator[Any]:
    """Record batches from a row on; row groups before it are not read."""
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if row >= count:
            row -= count
            continue
        for batch in file.iter_batches(batch_size=size, row_groups=[group]):
            if row >= batch.num_rows:
                row -= batch.num_rows
                continue
            yield batch.slice(row)
            row = 0


def _read_text(path: str, form: Format, size: int, place: Place) -> Iterator[Chunk]:
    with ExitStack() as stack:
        raw = _open_raw(path, stack)
        lines = Lines(path, _unpacked(raw, form.packing, stack), seekable=path != STREAM and not form.packing)
        rows = _json_rows(lines, place) if form.kind == "jsonl" else _csv_rows(lines, place, DELIMITERS[form.kind])
        columns: list[str] = next(rows)  # the header comes first
        chunk = Chunk(path, place.row, place, columns)
        started = False
        for line, values, fault in rows:
            if fault:
                chunk.faults[len(chunk.rows)] = fault
            chunk.rows.append(values)
            chunk.lines.append(line)
            if len(chunk.rows) == size:
                yield _completed(chunk, form, lines, raw)
                started = True
                chunk = Chunk(path, chunk.end.row, chunk.end, columns)
        if chunk.rows or (not started and place.row == 0):
            yield _completed(chunk, form, lines, raw)


def _completed(chunk: Chunk, form: Format, lines: Lines, raw: IO[bytes]) -> Chunk:
    chunk.end = Place(chunk.end.source, lines.offset, chunk.first + len(chunk.rows), lines.line)
    if form.kind == "jsonl":
        chunk.columns = list(dict.fromkeys(chain.from_iterable(chunk.rows)))
    if chunk.source != STREAM:
        chunk.share = min(1.0, raw.tell() / max(1, Path(chunk.source).stat().st_size))
    return chunk


def _open_raw(path: str, stack: ExitStack) -> IO[bytes]:
    if path == STREAM:
        return stack.enter_context(open(sys.stdin.fileno(), "rb", closefd=False))
    return stack.enter_context(open(path, "rb"))


def _unpacked(raw: IO[bytes], packing: str, stack: ExitStack) -> IO[bytes]:
    """The unpacked bytes of a stream. Several members or frames count as one; one that is cut off raises OSError."""
    if packing == "gz":
        return stack.enter_context(io.BufferedReader(gzip.GzipFile(fileobj=raw, mode="rb")))
    if packing == "zst":
        import pyarrow as pa

        return stack.enter_context(io.BufferedReader(pa.CompressedInputStream(raw, "zstd")))
    return raw


class Lines:
    """The lines of a byte stream as text. Bytes that are not UTF-8 come as lone surrogates.

    Attributes:
        offset: Bytes given so far.
        line: Lines given so far.
    """

    def __init__(self, path: str, stream: IO[bytes], *, seekable: bool) -> None:
        self.path, self._stream, self._seekable = path, stream, seekable
        self.offset = self.line = 0

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        try:
            raw = self._stream.readline(_LONGEST_LINE)
        except (EOFError, OSError, zlib.error) as error:  # a packed file that is cut off or damaged
            raise InputError(f"{self.path} cannot be unpacked after line {self.line}: {error}") from error
        if not raw:
            raise StopIteration
        if len(raw) == _LONGEST_LINE and not raw.endswith(b"\n"):
            raise InputError(f"{self.path}, line {self.line + 1} is longer than {_LONGEST_LINE >> 20} MiB: not a table")
        self.offset += len(raw)
        self.line += 1
        text = raw.decode("utf-8", "surrogateescape")
        return text.removeprefix("\ufeff") if self.line == 1 else text

    def skip_to(self, place: Place) -> None:
        """Go to a place further on."""
        if place.offset <= self.offset:
            return
        if self._seekable:
            self._stream.seek(place.offset)
        else:
            left = place.offset - self.offset
            while left and (block := self._stream.read(min(left, 2**20))):
                left -= len(block)
        self.offset, self.line = place.offset, place.line


def _csv_rows(lines: Lines, place: Place, delimiter: str) -> Iterator[Any]:
    """The header, then ``(line, values, fault)`` for each row that is not blank."""
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    first = next(lines, "")
    _check_start(lines.path, first)
    reader = csv.reader(chain([first], lines), delimiter=_delimiter(first, delimiter), strict=True)
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise InputError(f"{lines.path}, line 1: the header cannot be read: {_reason(error)}") from error
    if fault := _not_utf8("".join(header), "header"):
        raise InputError(f"{lines.path}, line 1: {fault}")
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise ColumnError(f"{lines.path} has more than one column called {twice}; rename them")
    yield header
    lines.skip_to(place)
    while True:
        line = lines.line + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, {}, f"the row cannot be read: {_reason(error)}"
            continue
        if not cells:
            continue
        fault = _not_utf8("".join(cells))
        if len(cells) != len(header):
            fault = f"the row has {len(cells)} fields and the header {len(header)}"
        yield (line, {}, fault) if fault else (line, dict(zip(header, cells, strict=True)), "")


def _check_start(path: str, first: str) -> None:
    """Refuse a table whose first line shows that there is no header, or that it is not UTF-8 throughout."""
    if not first.strip("\r\n"):
        what = f"{path}, line 1: the line is blank" if first else f"{path}: the file is empty"
        raise InputError(f"{what}; a table begins with a line that names its columns")
    if "\x00" in first or first.startswith(_UTF16_MARKS):
        raise InputError(f"{path}, line 1: the file is UTF-16, or no text at all; convert it to UTF-8")


def _delimiter(header: str, usual: str) -> str:
    """What separates the cells: the usual mark, or where it stands nowhere in the header the commonest other one."""
    bare = re.sub(r'"[^"]*"', "", header)
    return usual if usual in bare else max((usual, *",;\t"), key=bare.count)


def _reason(error: csv.Error) -> str:
    """What is wrong with a row, without advice on how to open a file in Python."""
    if "new-line character" in str(error):
        return "line ends are CR only; save the file with LF or CRLF"
    return str(error)


def _json_rows(lines: Lines, place: Place) -> Iterator[Any]:
    """An empty header, then ``(line, values, fault)`` for each line that is not blank."""
    yield []
    lines.skip_to(place)
    for text in lines:
        if not text.strip():
            continue
        values, fault = _parse(text)
        yield lines.line, values, fault


def _parse(text: str) -> tuple[dict[str, Any], str]:
    if fault := _not_utf8(text):
        return {}, fault
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        return {}, f"the line is not JSON: {error}"
    if not isinstance(values, dict):
        return {}, f"the line is a JSON {type(values).__name__}, not an object"
    if "\\u" in text and (fault := _not_utf8(json.dumps(values, ensure_ascii=False))):
        return {}, "the line holds a lone surrogate (\\ud800 to \\udfff), which is no character"
    return values, ""


def _not_utf8(text: str, part: str = "row") -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"the {part} is not valid UTF-8 (byte 0x{ord(text[error.start]) & 0xFF:02x}); convert the file to UTF-8"
    return ""
