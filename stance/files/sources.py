"""Which files are read, in which format, and how one of them is known again."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from stance.errors import InputError, MissingExtraError

Source: TypeAlias = str | os.PathLike[str]

STREAM = "-"
"""Standard input or output, as a file name."""

_KINDS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_PACKINGS = {".gz": "gz", ".zst": "zst"}

_HEAD = 65_536
"""How much of the start of each source is hashed to know it again."""

_BESIDE = ("", ".errors.jsonl", ".run.json", ".partial", ".errors.partial", ".journal", ".draft", ".run.json.draft")
"""The endings of an output and of what a run writes beside it."""


class Format(NamedTuple):
    """How a file is written: ``csv``, ``tsv``, ``jsonl`` or ``parquet``; and packed: ``gz``, ``zst`` or not at all."""

    kind: str
    packing: str = ""


def format_of(path: str, given: str | None = None) -> Format:
    """Read the format off a file name; a stream has the one that is given, or JSON Lines.

    Raises:
        InputError: The suffix is unknown, or the combination is, or the format given is none of a stream.
        MissingExtraError: The format needs a package that is not installed.
    """
    if given not in (None, "csv", "tsv", "jsonl"):
        raise InputError(f"the format of a stream is csv, tsv or jsonl, not {given!r}")
    if path == STREAM:
        return Format(given or "jsonl")
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    packing = _PACKINGS.get(suffixes[-1], "") if suffixes else ""
    kind = _KINDS.get(suffixes[-2 if packing else -1]) if len(suffixes) > bool(packing) else None
    if kind is None:
        raise InputError(
            f"{path}: the suffix does not name a format; use {', '.join(_KINDS)}, text formats also with .gz or .zst"
        )
    if kind == "parquet" and packing:
        raise InputError(f"{path}: Parquet is packed inside; drop the .{packing}")
    if (kind == "parquet" or packing == "zst") and find_spec("pyarrow") is None:
        raise MissingExtraError("pyarrow", "frames", path)
    return Format(kind, packing)


def find_sources(src: Source | Sequence[Source], target: str) -> tuple[str, ...]:
    """List the files to read: globs in order of name, without ``target`` and what lies beside it.

    Raises:
        InputError: There are none, or they cannot be read together.
    """
    given: Iterable[Source] = [src] if isinstance(src, (str, os.PathLike)) else src
    ours: set[str] = set() if target == STREAM else {os.path.abspath(target) + end for end in _BESIDE}
    found: list[str] = []
    for item in (os.fspath(one) for one in given):
        if item == STREAM or os.path.exists(item):
            found.append(item)
        elif glob.has_magic(item):
            found += sorted(path for path in glob.glob(item, recursive=True) if os.path.abspath(path) not in ours)
        else:
            raise InputError(f"no file {item}")
    if not found:
        raise InputError(f"no file matches {src!r}")
    if twice := [path for path in found if path != STREAM and (os.path.abspath(path) in ours or _same(path, target))]:
        raise InputError(f"{twice[0]} is both read and written; name another output than {target}")
    if STREAM in found and len(found) > 1:
        raise InputError("standard input cannot be read together with files")
    if folder := next((s for s in found if os.path.isdir(s)), None):
        raise InputError(f"{folder} is a folder; name its files, for instance {os.path.join(folder, '*.csv')!r}")
    return tuple(found)


def _same(path: str, target: str) -> bool:
    return target != STREAM and os.path.exists(target) and os.path.samefile(path, target)


def identity(source: str) -> dict[str, Any]:
    """What a source is known by when a run is taken up."""
    if source == STREAM:
        return {}
    status = os.stat(source)
    with open(source, "rb") as stream:
        head = hashlib.sha256(stream.read(_HEAD)).hexdigest()
    return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns, "head": head[:16]}
