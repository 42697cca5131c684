"""What a run read, wrote and used."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What a run read, wrote and used; it lies beside the output as ``OUT.run.json``.

    Attributes:
        sources: The files read, in order.
        output: The file written, or ``-``.
        output_sha256: Its hash; empty for a stream.
        errors: The file that lists the bad rows; empty if there were none.
        rows_read: Rows read, bad ones included.
        rows_written: Rows judged and written.
        rows_bad: Rows left out.
        labels: Rows by label, ``none`` included; abstentions under ``abstained``.
        model: Name, version, digest and backend of the checkpoint.
        options: What was asked for.
        versions: Of Python and of the packages that decide the output.
        seconds: Time spent reading, scoring and writing, over all the runs that it took.
        resumed: Whether an earlier run was taken up.
        finished: When, in UTC.
    """

    sources: tuple[str, ...]
    output: str
    output_sha256: str
    errors: str
    rows_read: int
    rows_written: int
    rows_bad: int
    labels: Mapping[str, int]
    model: Mapping[str, str]
    options: Mapping[str, Any]
    versions: Mapping[str, str]
    seconds: float
    resumed: bool
    finished: str

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        rate = self.rows_read / self.seconds if self.seconds else 0.0
        lines = [
            f"{self.rows_written:,} rows judged in {self.seconds:,.1f} s ({rate:,.0f} rows/s)"
            + (", taken up from an earlier run" if self.resumed else ""),
            f"output  {self.output}",
            f"model   {self.model['name']} {self.model['version']} ({self.model['digest']}, {self.model['backend']})",
        ]
        lines += [f"        {name:<20} {count:>9,}" for name, count in self.labels.items()]
        if self.rows_bad:
            lines.append(f"{self.rows_bad:,} rows left out" + (f": see {self.errors}" if self.errors else ""))
        return "\n".join(lines)


def versions() -> dict[str, str]:
    """The versions of Python and of what decides the output."""
    from stance import __version__

    found = {"stance": __version__, "python": platform.python_version()}
    for package in ("numpy", "onnxruntime", "tokenizers", "torch", "pyarrow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write_record(path: Path, record: RunRecord) -> None:
    """Write a record, at once or not at all."""
    draft = path.with_name(path.name + ".draft")
    draft.write_text(json.dumps(record.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(draft, path)
