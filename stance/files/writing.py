"""Chunks of rows -> pieces of bytes. Pieces laid end to end are the output, so a file can be cut after any of them.

A piece is CSV or JSON lines, packed as a gzip member or a zstandard frame of its own where the output is packed.
Parquet cannot be appended to: its pieces are Arrow streams, and ``finish`` turns them into one Parquet file.
"""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from stance.columns import Kind, arrow_types
from stance.errors import ColumnError
from stance.files.reading import DELIMITERS, Chunk
from stance.files.sources import Format

_ROW_GROUP = 65_536
_LEVEL = {"gz": 6, "zst": 3}


class Pieces(Protocol):
    """Encodes the rows of a chunk that were judged, with their predictions."""

    def encode(self, chunk: Chunk, keep: Sequence[int], added: Mapping[str, list[Any]], *, first: bool) -> bytes:
        """Encode the rows at ``keep``, aligned with the columns ``added``; ``first`` asks for a header."""
        ...

    def finish(self, partial: Path, target: Path) -> None:
        """Turn the pieces in ``partial`` into ``target``, at once or not at all."""
        ...


def pieces_for(form: Format, first: Chunk, kinds: Mapping[str, Kind]) -> Pieces:
    """Choose an encoder.

    Args:
        form: The format to write.
        first: The first chunk of the input, which decides columns and types.
        kinds: The columns that are added.
    """
    if form.kind == "parquet":
        return ParquetPieces(first, kinds)
    if form.kind == "jsonl":
        return JsonPieces(form.packing)
    return CsvPieces(form.packing, DELIMITERS[form.kind], first.columns, list(kinds))


class _TextPieces:
    """What CSV and JSON Lines share."""

    def __init__(self, packing: str) -> None:
        self._packing = packing

    def _pack(self, text: str) -> bytes:
        data = text.encode("utf-8")
        if self._packing == "gz":
            return gzip.compress(data, _LEVEL["gz"], mtime=0)  # the same bytes at any time
        if self._packing == "zst":
            import pyarrow as pa

            packed: bytes = pa.Codec("zstd", compression_level=_LEVEL["zst"]).compress(data, asbytes=True)
            return packed
        return data

    def finish(self, partial: Path, target: Path) -> None:
        """Give the file its name."""
        os.replace(partial, target)


class JsonPieces(_TextPieces):
    """JSON Lines: each row's own keys in their order, then the added ones."""

    def encode(self, chunk: Chunk, keep: Sequence[int], added: Mapping[str, list[Any]], *, first: bool) -> bytes:
        """See ``Pieces``."""
        rows = chunk.records(keep)
        new = ({name: cells[i] for name, cells in added.items()} for i in range(len(rows)))
        lines = [_json({**row, **more}) + "\n" for row, more in zip(rows, new, strict=True)]
        return self._pack("".join(lines)) if lines else b""


class CsvPieces(_TextPieces):
    """CSV or TSV; nested values are written as JSON, absent ones as nothing."""

    def __init__(self, packing: str, delimiter: str, columns: Sequence[str], added: Sequence[str]) -> None:
        super().__init__(packing)
        self._delimiter, self._columns, self._added = delimiter, list(columns), list(added)

    def encode(self, chunk: Chunk, keep: Sequence[int], added: Mapping[str, list[Any]], *, first: bool) -> bytes:
        """See ``Pieces``."""
        buffer = io.StringIO(newline="")
        # lines end as RFC 4180 says; Python before 3.11.9 quotes a lone "\r" only then
        writer = csv.writer(buffer, delimiter=self._delimiter)
        if first:
            writer.writerow([*self._columns, *self._added])
        _check_known(chunk, self._columns)
        rows = ([_cell(row.get(name)) for name in self._columns] for row in chunk.records(keep))
        new = ([_cell(cells[i]) for cells in added.values()] for i in range(len(keep)))
        writer.writerows(row + more for row, more in zip(rows, new, strict=True))
        return self._pack(buffer.getvalue()) if buffer.tell() else b""


class ParquetPieces:
    """Arrow streams, one for each chunk, that become one Parquet file."""

    def __init__(self, first: Chunk, kinds: Mapping[str, Kind]) -> None:
        import pyarrow as pa

        types = arrow_types()
        self._own = _schema_of(first)
        self._added = pa.schema([(name, types[kind]) for name, kind in kinds.items()])
        self._schema = pa.schema([*self._own, *self._added], metadata=self._own.metadata)

    def encode(self, chunk: Chunk, keep: Sequence[int], added: Mapping[str, list[Any]], *, first: bool) -> bytes:
        """See ``Pieces``."""
        import pyarrow as pa

        _check_known(chunk, self._own.names)
        own = self._own_columns(chunk, keep)
        new = [pa.array(added[field.name], field.type) for field in self._added]
        table = pa.table([*own, *new], schema=self._schema)
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, self._schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_table(table.combine_chunks())
        return sink.getvalue()

    def _own_columns(self, chunk: Chunk, keep: Sequence[int]) -> list[Any]:
        import pyarrow as pa

        if chunk.table is not None:
            taken = chunk.table.take(pa.array(keep, pa.int64()))
            return [_column(taken, field, chunk) for field in self._own]
        rows = chunk.records(keep)
        columns = []
        for field in self._own:
            try:
                columns.append(pa.array([row.get(field.name) for row in rows], field.type))
            except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
                raise _other_type(chunk, field, str(error)) from error
        return columns

    def finish(self, partial: Path, target: Path) -> None:
        """Gather the pieces into row groups of one size and write them beside the target first."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        draft = target.with_name(target.name + ".draft")
        with partial.open("rb") as stream, pq.ParquetWriter(draft, self._schema, compression="zstd") as writer:
            held: list[Any] = []
            for table in _arrow_streams(stream):
                held.append(table)
                if sum(t.num_rows for t in held) >= _ROW_GROUP:
                    writer.write_table(pa.concat_tables(held).combine_chunks(), row_group_size=_ROW_GROUP)
                    held = []
            if held:
                writer.write_table(pa.concat_tables(held).combine_chunks(), row_group_size=_ROW_GROUP)
        with draft.open("r+b") as written:
            os.fsync(written.fileno())  # before the pieces that it was made of are gone
        os.replace(draft, target)
        partial.unlink()


def _column(table: Any, field: Any, chunk: Chunk) -> Any:
    """A column of a Parquet file in the type of the first file; a type that loses something is refused."""
    import pyarrow as pa

    if field.name not in table.column_names:  # JSON Lines came first and had more keys
        return pa.nulls(table.num_rows, field.type)
    column = table[field.name]
    if column.type == field.type:
        return column
    try:
        cast = column.cast(field.type)
        kept = repr(cast.cast(column.type).to_pylist()) == repr(column.to_pylist())  # as text, for NaN is not NaN
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise _other_type(chunk, field, str(error)) from error
    if not kept:
        raise _other_type(chunk, field, f"{column.type}, whose values {field.type} does not hold")
    return cast


def _other_type(chunk: Chunk, field: Any, reason: str) -> ColumnError:
    return ColumnError(
        f"{chunk.source}, rows from {chunk.first}: column {field.name!r} began as {field.type} and goes on "
        f"otherwise ({reason}); write .jsonl, which needs no types"
    )


def _arrow_streams(stream: io.BufferedReader) -> Iterator[Any]:
    import pyarrow as pa

    while stream.peek(1):
        with pa.ipc.open_stream(stream) as reader:
            yield reader.read_all()


def _schema_of(first: Chunk) -> Any:
    """The types of the input: its own if it has any, else those of the rows of the first chunk; unknown is text."""
    import pyarrow as pa

    if first.table is not None:
        return first.table.schema
    fields = []
    for name in first.columns:
        try:
            kind = pa.array([row.get(name) for row in first.rows]).type if first.rows else pa.string()
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ColumnError(
                f"{first.source}: column {name!r} holds values of several types ({error}); write .jsonl"
            ) from error
        fields.append(pa.field(name, pa.string() if pa.types.is_null(kind) else kind))
    return pa.schema(fields)


def _check_known(chunk: Chunk, columns: Sequence[str]) -> None:
    if new := [name for name in chunk.columns if name not in columns]:
        position = next((i for i, row in enumerate(chunk.rows) if not row.keys() <= set(columns)), 0)
        raise ColumnError(
            f"{chunk.where(position)}: the keys {new} were not in the first rows, and a table cannot gain columns; "
            "write .jsonl, which can"
        )


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain, allow_nan=False)
    except ValueError:  # JSON has no NaN and no infinity
        return json.dumps(_finite(value), ensure_ascii=False, default=_plain)


def _finite(value: object) -> object:
    """A copy in which numbers that are not finite are ``None``."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(held) for key, held in value.items()}
    return [_finite(held) for held in value] if isinstance(value, (list, tuple)) else value


def _cell(value: object) -> object:
    if value is None or isinstance(value, (str, int, float)):
        return {True: "true", False: "false"}[value] if isinstance(value, bool) else value
    return _json(value) if isinstance(value, (list, dict)) else _plain(value)


def _plain(value: object) -> str:
    """Text for what Parquet can hold and JSON cannot."""
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value) if isinstance(value, Decimal) else repr(value)
