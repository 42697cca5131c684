"""Tables of labelled pairs: CSV, JSONL, Parquet, DataFrames and datasets, checked whole before anything is used."""

from __future__ import annotations

import csv
import difflib
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stance.encoding import check_text
from stance.errors import ColumnError, InputError, MissingExtraError, PairError
from stance.labels import LABELS, NONE, as_label
from stance.records import LabelledPair, Pair

SHOWN = 20
"""How many problems an error lists; the rest are counted."""

SEPARATOR = "|"
"""Stands between the members of a set in one cell of a table."""

COLUMNS = ("accusation", "response", "label", "labels", "document_id", "annotator")
"""The columns of a table of labelled pairs; the last three may be missing."""

_REQUIRED = ("accusation", "response", "label")
PLAIN = ("document_id", "accuser", "accused", "responder", "cue", "source", "id", "twin")
"""The fields of a pair that are text and travel with it."""

_LONGEST_FIELD = 16 * 2**20  # as in stance.files: Python's own 128 KiB are less than a long document

_FIELDS = tuple(dict.fromkeys((*COLUMNS, *PLAIN, "weight")))
_SPLIT = re.compile(r"[|;,]")
_ABSENT = object()


class Row(NamedTuple):
    """One row of a table: where it stands, in words, and its values by column name."""

    place: str
    values: Mapping[str, Any]


# Tables


def read_labelled(
    source: Any, *, columns: Mapping[str, str] | None = None, labels: Sequence[str] | None = LABELS
) -> list[LabelledPair]:
    """Read labelled pairs, after checking all of them.

    ``label`` holds the primary stance, or ``none`` for a response that carries none of them. ``labels`` holds every
    stance: a list, or names separated by ``|``, ``;`` or ``,``; left out, the primary is the only one.

    Args:
        source: A path (``.csv``, ``.tsv``, ``.jsonl``, ``.json``, ``.parquet``), a pandas or polars DataFrame, a
            ``datasets.Dataset``, or a sequence of mappings or of ``LabelledPair`` objects.
        columns: What the table calls its columns, by the names used here: ``{"accusation": "claim", "label": "y"}``.
            Those not named may differ in case and outer white space from the names used here.
        labels: The stances that may occur, or ``None`` to take whatever the table holds.

    Returns:
        One ``LabelledPair`` for each row, in their order.

    Raises:
        ColumnError: A column that is needed, or named in ``columns``, is not there.
        InputError: Rows cannot be used; lists the problems of all rows (the first 20 in words), or the file is damaged.
        MissingExtraError: Parquet is asked for and pyarrow is not installed.

    Examples:
        >>> read_labelled([{"accusation": "You lied.", "response": "We did not.", "label": "denial"}])[0].label
        <Label.DENIAL: 'denial'>
    """
    rows = list(read_rows(source))
    if not rows:
        raise InputError("there are no rows; a table of labelled pairs needs at least one")
    names = _resolve(rows, columns or {})
    _check_columns(rows, names, _REQUIRED, tuple(columns or {}))
    known = None if labels is None else tuple(str(label) for label in labels)
    pairs: list[LabelledPair] = []
    problems: list[str] = []
    for row in rows:
        pair, wrong = parse_row(row, names, known)
        problems += [f"{row.place}: {text}" for text in wrong]
        if pair is not None:
            pairs.append(pair)
    problems += _contradictions(rows, pairs) if not problems else []
    raise_all(problems, len(rows))
    return pairs


def read_pairs(source: Any, *, columns: Mapping[str, str] | None = None) -> list[Pair]:
    """Read pairs that need no label; a source and its columns are given as in ``read_labelled``.

    Raises:
        ColumnError: A column that is needed, or named in ``columns``, is not there.
        InputError: Rows cannot be used; lists the problems of all rows.
    """
    rows = list(read_rows(source))
    if not rows:
        raise InputError("there are no rows; a table of pairs needs at least one")
    fields = [name for name in PLAIN if name in Pair.__dataclass_fields__]
    names = _resolve(rows, columns or {})
    _check_columns(rows, names, ("accusation", "response"), [name for name in columns or {} if name in fields])
    pairs, problems = [], []
    for row in rows:
        wrong = _text_problems(row.values, names) + _plain_problems(row.values, names, fields)
        problems += [f"{row.place}: {text}" for text in wrong]
        if not wrong:
            plain: dict[str, Any] = {name: _plain(row.values.get(names[name])) for name in fields}
            pairs.append(
                Pair(accusation=row.values[names["accusation"]], response=row.values[names["response"]], **plain)
            )
    raise_all(problems, len(rows))
    return pairs


def write_labelled(pairs: Iterable[LabelledPair], path: str | os.PathLike[str]) -> Path:
    """Write labelled pairs as a CSV, TSV or JSONL that ``read_labelled`` gives back; replaces the file atomically.

    Raises:
        InputError: The file's ending is none of these.
    """
    target = Path(path)
    records = [as_record(pair) for pair in pairs]
    draft = target.with_name(target.name + ".tmp")
    kind = target.suffix.lower()
    with draft.open("w", encoding="utf-8", newline="") as stream:
        if kind == ".jsonl":
            stream.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        elif kind in (".csv", ".tsv"):
            used = [name for name in (*COLUMNS, "weight", *PLAIN) if any(r[name] != "" for r in records)]
            fields = list(dict.fromkeys([*_REQUIRED, *used]))
            delimiter = "\t" if kind == ".tsv" else ","
            writer = csv.DictWriter(stream, fields, extrasaction="ignore", delimiter=delimiter)
            writer.writeheader()
            writer.writerows({**r, "labels": _cell(r["labels"])} for r in records)
        else:
            draft.unlink()
            raise InputError(f"cannot write {target.name}: name a file that ends in .csv, .tsv or .jsonl")
    os.replace(draft, target)
    return target


def _cell(names: Sequence[str]) -> str:
    """A set of labels in one cell, so that ``_names`` tells them apart again: as JSON where a name holds a separator."""
    joined = SEPARATOR.join(names)
    ambiguous = joined.startswith("[") or any(_SPLIT.search(name) for name in names)
    return json.dumps(names, ensure_ascii=False) if ambiguous else joined


def read_rows(source: Any) -> Iterator[Row]:
    """Give the rows of any table with their places, unchecked; sources are those of ``read_labelled``."""
    if isinstance(source, (str, os.PathLike)):
        yield from _read_file(Path(source))
        return
    if hasattr(source, "to_dicts"):  # polars
        yield from _numbered(source.to_dicts())
    elif hasattr(source, "columns") and hasattr(source, "iloc"):  # pandas
        _check_unique(source.columns, "the frame")
        for at, values in zip(source.index, source.to_dict("records"), strict=True):
            yield Row(f"row {at!r}", values)
    elif isinstance(source, Iterable) and not isinstance(source, (bytes, Mapping)):
        yield from _numbered(source)
    else:
        raise InputError(
            f"cannot read labelled pairs from a {type(source).__name__}; pass a path, a DataFrame, a dataset or "
            "a list of mappings"
        )


def _check_unique(columns: Iterable[Any], where: object) -> None:
    """Refuse two columns of one name, of which a mapping would keep the last; those without a name are not read."""
    if twice := [name for name, n in Counter(columns).items() if n > 1 and str(name).strip()]:
        raise ColumnError(
            f"{where} has more than one column called {', '.join(map(repr, twice))}; rename or drop all but one"
        )


def _numbered(items: Iterable[Any]) -> Iterator[Row]:
    for number, item in enumerate(items, 1):
        if isinstance(item, Row):
            yield item
        elif isinstance(item, LabelledPair):
            yield Row(f"row {number}", as_record(item))
        elif isinstance(item, Pair):
            yield Row(f"row {number}", item.to_dict())
        elif isinstance(item, Mapping):
            yield Row(f"row {number}", item)
        else:
            raise InputError(f"row {number} is a {type(item).__name__}, not a mapping or a LabelledPair")


def _read_file(path: Path) -> Iterator[Row]:
    if not path.is_file():
        raise InputError(f"no file at {path}")
    kind = path.suffix.lower()
    if kind == ".parquet":
        yield from _read_parquet(path)
    elif kind in (".csv", ".tsv", ".jsonl", ".json"):
        try:
            yield from {".jsonl": _read_jsonl, ".json": _read_json}.get(kind, _read_csv)(path)
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8 and read it again") from None
    else:
        raise InputError(f"cannot read {path.name}: name a file that ends in .csv, .tsv, .jsonl, .json or .parquet")


def _read_csv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    with path.open(encoding="utf-8-sig", newline="") as stream:
        header = stream.readline()
        stream.seek(0)
        delimiter = max(",;\t", key=header.count)
        reader = csv.DictReader(stream, delimiter=delimiter, strict=True)
        try:
            _check_unique(reader.fieldnames or (), path)
            for number, values in enumerate(reader, 1):
                place = f"row {number} (line {reader.line_num})"
                if None in values:
                    raise InputError(
                        f"{path}, {place} has more cells than the header; quote texts that hold {delimiter!r}"
                    )
                yield Row(place, values)
        except csv.Error as error:
            # A DictReader counts the lines of whole rows, the reader inside it every line that it took in.
            raise InputError(
                f"{path} is a damaged table: {error}, in the row that begins after line {reader.line_num} and was read "
                f"up to line {reader.reader.line_num}; close its quotes, and write a quote inside a quoted text twice"
            ) from None


def _read_jsonl(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield Row(f"line {number}", _object(line, f"{path}, line {number}"))


def _read_json(path: Path) -> Iterator[Row]:
    yield from _numbered(_load_list(path))


def _object(text: str, place: str) -> dict[str, Any]:
    value: dict[str, Any] = _parsed(text, place, dict, "an object with named values")
    return value


def _load_list(path: Path) -> list[Any]:
    value: list[Any] = _parsed(path.read_text(encoding="utf-8-sig"), str(path), list, "a list of records")
    return value


def _parsed(text: str, place: str, kind: type, wanted: str) -> Any:
    """Parse JSON and insist on what it should hold."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{place} is not JSON: {error}") from None
    if not isinstance(value, kind):
        raise InputError(f"{place} holds a {type(value).__name__}, not {wanted}")
    return value


def _read_parquet(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "frames", "reading Parquet") from None
    try:
        with parquet.ParquetFile(path) as file:
            _check_unique(file.schema_arrow.names, path)
            rows = (values for batch in file.iter_batches() for values in batch.to_pylist())
            yield from _numbered(rows)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:  # the last from texts in damaged pages
        raise InputError(
            f"{path} is not a Parquet file, or is damaged: {error}; write or copy it again, and read it then"
        ) from None


def as_record(pair: LabelledPair) -> dict[str, Any]:
    """The plain fields of a vote, as a table holds them."""
    return {
        "accusation": pair.accusation,
        "response": pair.response,
        "label": NONE if pair.label is None else str(pair.label),
        "labels": [str(label) for label in pair.labels],
        "annotator": pair.annotator,
        "weight": "" if pair.weight == 1 else pair.weight,
        **{name: getattr(pair, name) for name in PLAIN},
    }


def labelled_rows(rows: Sequence[Row]) -> list[Row]:
    """Those rows that hold a verdict, an explicit none too; the others are yet to be labelled."""
    names = _resolve(rows, {})
    verdict = (names["label"], names["labels"])
    return [row for row in rows if not all(_is_blank(row.values.get(name)) for name in verdict)]


def plain_fields(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The fields in ``PLAIN`` of each row, empty where the table lacks them."""
    names = _resolve(rows, {})
    raise_all([f"{row.place}: {text}" for row in rows for text in _plain_problems(row.values, names, PLAIN)], len(rows))
    return [{name: _plain(row.values.get(names[name])) for name in PLAIN} for row in rows]


# Checks


def _found(rows: Sequence[Row]) -> list[Any]:
    """Every column that any row has."""
    return list(dict.fromkeys(name for row in rows for name in row.values))


def _resolve(rows: Sequence[Row], given: Mapping[str, str]) -> dict[str, str]:
    """What the table calls each field: as given, as here, or as here but for case and outer white space."""
    if unknown := [name for name in given if name not in _FIELDS]:
        raise ColumnError(f"columns= has {', '.join(map(repr, unknown))}; the names used here are {', '.join(_FIELDS)}")
    similar: dict[str, list[str]] = {}
    for column in _found(rows):
        if isinstance(column, str) and column not in given.values():
            similar.setdefault(column.strip().casefold(), []).append(column)
    names = {}
    for name in _FIELDS:
        fitting = similar.get(name, [])
        names[name] = fitting[0] if len(fitting) == 1 else name
    return names | dict(given)


def _check_columns(
    rows: Sequence[Row], names: Mapping[str, str], required: Sequence[str], given: Sequence[str]
) -> None:
    """Insist on the columns that are needed and on those that the caller named."""
    found = _found(rows)
    wanted = list(dict.fromkeys([*required, *given]))
    missing = [names[name] for name in wanted if names[name] not in found]
    if "label" not in given and missing == [names["label"]] and names["labels"] in found:
        missing = []
    if missing:
        raise ColumnError(
            f"no column {', '.join(map(repr, missing))}; the table has {', '.join(map(repr, found))}. Rename yours, or read "
            "the table with stance.read_labelled(..., columns="
            f"{{{', '.join(f'{name!r}: ...' for name in wanted if names[name] in missing)}}}) and pass on the pairs"
        )


def raise_all(problems: Sequence[str], n_rows: int) -> None:
    """Raise one ``InputError`` that lists the problems of ``n_rows`` rows, if there are any."""
    if problems:
        more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "".join(f"\n  {problem}" for problem in problems[:SHOWN])
        raise InputError(f"{count} in {n_rows} rows; nothing was read:{lines}{more}")


def parse_row(
    row: Row, names: Mapping[str, str], known: tuple[str, ...] | None
) -> tuple[LabelledPair | None, list[str]]:
    """Turn a row into a pair, or say everything that is wrong with it."""
    values = row.values
    problems = _text_problems(values, names)
    label, held, wrong = _verdict(values.get(names["label"]), values.get(names["labels"], _ABSENT), known)
    weight, heavy = _weight(values.get(names["weight"]))
    problems += wrong + heavy + _plain_problems(values, names, ("annotator", *PLAIN))
    problems += [text for name in held for text in _surrogates(name, "label")]
    if problems:
        return None, problems
    plain: dict[str, Any] = {name: _plain(values.get(names[name])) for name in PLAIN}
    return LabelledPair(
        accusation=values[names["accusation"]],
        response=values[names["response"]],
        labels=tuple(as_label(name) for name in held),
        label=None if label is None else as_label(label),
        weight=weight,
        annotator=_plain(values.get(names["annotator"])),
        **plain,
    ), []


def _text_problems(values: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    problems = []
    for name in ("accusation", "response"):
        try:
            check_text(None if _is_blank(values.get(names[name])) else values[names[name]], name)
        except PairError as error:
            problems.append(error.reason)
    return problems


def _plain_problems(values: Mapping[str, Any], names: Mapping[str, str], fields: Iterable[str]) -> list[str]:
    return [text for name in fields for text in _surrogates(_plain(values.get(names[name])), name)]


def _surrogates(text: str, what: str) -> list[str]:
    """Say where a text holds half a character, as broken JSON escapes do; no file could be written with it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return [f"the {what} holds a lone surrogate at character {error.start}; decode its source as UTF-8"]
    return []


def _verdict(primary: Any, members: Any, known: tuple[str, ...] | None) -> tuple[str | None, list[str], list[str]]:
    """Read a primary stance and a set of stances; gives both, and what is wrong with them."""
    given = members is not _ABSENT and not _is_missing(members)
    if given and (not isinstance(members, Iterable) or isinstance(members, Mapping)):
        return None, [], [f"labels holds {members!r}, not a list of names"]
    held = list(dict.fromkeys(_names(members))) if given else []
    label = "" if _is_blank(primary) else str(primary).strip()
    if label in ("", NONE) and held in ([], [NONE]):
        explicit = label == NONE or held == [NONE] or (given and not isinstance(members, str))
        return (
            None,
            [],
            [] if explicit else [f"the label is missing; write {NONE!r} where it carries no stance"],
        )
    if label == "" and len(held) == 1:
        label = held[0]
    problems = [text for name in dict.fromkeys([label, *held]) if (text := _unknown(name, known))]
    if label == "":
        problems.append(f"the label is missing, and labels holds {held}: say which is primary")
    elif label == NONE:
        problems.append(f"the label is {NONE!r}, and labels holds {held}: empty one or name the primary stance")
    elif NONE in held:
        problems.append(f"labels holds {NONE!r} beside stances: {held}")
    elif held and label not in held:
        problems.append(f"the label {label!r} is not a member of labels {held}")
    return label, [label, *(name for name in held if name != label)], problems


def _unknown(name: str, known: tuple[str, ...] | None) -> str:
    if known is None or name in ("", NONE) or name in known:
        return ""
    close = difflib.get_close_matches(re.sub(r"[\s-]+", "_", name.casefold()), [*known, NONE], n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"the labels are {', '.join((*known, NONE))}"
    return f"{name!r} is not a label; {hint}"


def _names(members: Any) -> list[str]:
    if isinstance(members, str):
        text = members.strip()
        members = _listed_names(text) if text.startswith("[") else _SPLIT.split(text)
    return [name for member in members if (name := str(member).strip())]


def _listed_names(text: str) -> list[Any]:
    """The members of a list in a cell, as JSON or as Python prints it."""
    for candidate in (text, text.replace("'", '"')):
        try:
            members: list[Any] = json.loads(candidate)
        except json.JSONDecodeError:
            continue
        return members
    return _SPLIT.split(text.strip("[]"))


def _weight(value: Any) -> tuple[float, list[str]]:
    if _is_blank(value):
        return 1.0, []
    try:
        weight = float(value)
    except (TypeError, ValueError):
        weight = math.nan
    return (weight, []) if 0 < weight < math.inf else (1.0, [f"the weight is {value!r}, not a number above 0"])


def _contradictions(rows: Sequence[Row], pairs: Sequence[LabelledPair]) -> list[str]:
    """Find the same pair labelled in two ways by the same person."""
    first: dict[tuple[str, ...], tuple[str, LabelledPair]] = {}
    problems = []
    for row, pair in zip(rows, pairs, strict=True):
        key = (pair.accusation, pair.response, pair.annotator, pair.document_id)
        place, before = first.setdefault(key, (row.place, pair))
        if before.label != pair.label:
            who = f" by {pair.annotator}" if pair.annotator else ""
            problems.append(
                f"{row.place}: the same pair is labelled {pair.label or NONE!s} here and {before.label or NONE!s} in "
                f"{place}{who}; keep one, or tell the readers apart in the column annotator"
            )
    return problems


def _is_missing(value: Any) -> bool:
    nan = isinstance(value, float) and math.isnan(value)
    return value is None or nan or type(value).__name__ in ("NAType", "NaTType")  # pandas.NA, pandas.NaT


def _is_blank(value: Any) -> bool:
    return _is_missing(value) or (isinstance(value, str) and not value.strip())


def _plain(value: Any) -> str:
    """A cell as text; whole numbers that a DataFrame turned into floats lose their ``.0``."""
    if _is_blank(value):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
