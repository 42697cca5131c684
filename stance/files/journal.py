"""What makes a file resumable: pieces appended to ``OUT.partial`` and a journal of what is safely there.

A piece is written and synced before the journal names it, and the journal is synced before the next piece. After a
crash at any instant both are cut back to the last entry that the data bears out, and reading goes on from its place.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from stance.errors import InputError
from stance.files.reading import BEGINNING, Place

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """How far a run has come: everything counted from its beginning.

    Attributes:
        place: Where reading goes on.
        chunks: Pieces committed.
        output_bytes: The size of the partial output.
        error_bytes: The size of the partial list of bad rows.
        rows_read: Rows read, bad ones included.
        rows_written: Rows judged.
        rows_bad: Rows left out.
        labels: Rows by label; abstentions under "abstained".
        seconds: Time spent scoring.
        done: Whether nothing is left to read.
    """

    place: Place = BEGINNING
    chunks: int = 0
    output_bytes: int = 0
    error_bytes: int = 0
    rows_read: int = 0
    rows_written: int = 0
    rows_bad: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    done: bool = False


class Journal:
    """The partial files of one output, locked for this process.

    Args:
        target: The output.
        fingerprint: Everything that decides its bytes; a journal with another one is refused.
        resume: Whether to go on from a journal that is there, or to throw it away.

    Raises:
        InputError: Another process writes this output, or the journal there belongs to another run.
    """

    def __init__(self, target: Path, fingerprint: Mapping[str, Any], *, resume: bool) -> None:
        self.target = target
        self.errors = target.with_name(target.name + ".errors.jsonl")
        self.record = target.with_name(target.name + ".run.json")
        self._path = target.with_name(target.name + ".journal")
        self.partial = target.with_name(target.name + ".partial")
        self._partial_errors = target.with_name(target.name + ".errors.partial")
        self._log = open(self._path, "a+b", buffering=0)  # noqa: SIM115
        try:
            _lock(self._log, target)
            self.last = self._take_up(fingerprint) if resume else Entry()
            self.resumed = self.last != Entry()
            self._data: IO[bytes] | None = None
            self._bad: IO[bytes] | None = None
            if not self.last.done:
                self._cut_back(fingerprint)
        except BaseException:
            self._log.close()
            raise

    def _take_up(self, fingerprint: Mapping[str, Any]) -> Entry:
        self._log.seek(0)
        lines = _whole_lines(self._log.read())
        if not lines:
            return Entry()
        head, _ = lines[0]
        if head.get("format") != FORMAT:
            raise InputError(
                f"{self._path} is of format {head.get('format')!r}, not {FORMAT}; "
                "start anew with --no-resume (in Python resume=False)"
            )
        before = head["fingerprint"]
        changed = [
            f"{name} was {before.get(name)!r} and is {fingerprint.get(name)!r}"
            for name in sorted(before.keys() | fingerprint.keys())
            if before.get(name) != fingerprint.get(name)
        ]
        if changed:
            raise InputError(
                f"{self.partial} was begun by another run: {'; '.join(changed)}. "
                "Go on with what it was begun with, or start anew with --no-resume (in Python resume=False)."
            )
        while len(lines) > 1:
            values, self._sound = lines.pop()
            entry = Entry(**{**values, "place": Place(*values["place"])})
            if self._bears_out(entry):
                return entry
        return Entry()

    def _bears_out(self, entry: Entry) -> bool:
        if entry.done and not self.partial.exists():  # the run was killed after the output got its name
            return self.target.exists()
        return _size(self.partial) >= entry.output_bytes and _size(self._partial_errors) >= entry.error_bytes

    def _cut_back(self, fingerprint: Mapping[str, Any]) -> None:
        """Drop what no entry bears out, the journal's own tail first."""
        if self.resumed:
            self._log.truncate(self._sound)
        else:
            self._log.truncate(0)
            self._append({"format": FORMAT, "fingerprint": fingerprint})
        self._data = open(self.partial, "ab", buffering=0)  # noqa: SIM115
        self._bad = open(self._partial_errors, "ab", buffering=0)  # noqa: SIM115
        self._data.truncate(self.last.output_bytes)
        self._bad.truncate(self.last.error_bytes)

    def commit(self, data: bytes, errors: bytes, entry: Entry) -> None:
        """Make a piece part of the run; after this returns, it survives anything but the disk.

        The sizes in ``entry`` are filled in here.
        """
        if self._data is None or self._bad is None:
            raise AssertionError("this run is complete")
        for stream, block in ((self._data, data), (self._bad, errors)):
            if block:
                _write_all(stream, block)
                os.fsync(stream.fileno())
        self.last = replace(
            entry,
            output_bytes=self.last.output_bytes + len(data),
            error_bytes=self.last.error_bytes + len(errors),
        )
        self._append(asdict(self.last))

    def complete(self) -> None:
        """Note that everything has been read."""
        if not self.last.done:
            self.last = replace(self.last, done=True)
            self._append(asdict(self.last))
        for stream in (self._data, self._bad):  # Windows does not rename an open file
            if stream is not None:
                stream.close()

    def publish_errors(self) -> None:
        """Give the list of bad rows its name; without bad rows there is none, not even an older one."""
        if self.last.rows_bad and self._partial_errors.exists():
            os.replace(self._partial_errors, self.errors)
        elif not self.last.rows_bad:
            self._partial_errors.unlink(missing_ok=True)
            self.errors.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget the run: its output is in place."""
        self.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the files; what was committed stays, and nothing else."""
        for stream in (self._data, self._bad, self._log):
            if stream is not None:
                stream.close()
        if not self.last.chunks:
            for path in (self._path, self.partial, self._partial_errors):
                path.unlink(missing_ok=True)

    def _append(self, values: Mapping[str, Any]) -> None:
        _write_all(self._log, (json.dumps(values) + "\n").encode())
        os.fsync(self._log.fileno())


def _whole_lines(data: bytes) -> list[tuple[dict[str, Any], int]]:
    """The entries of a journal up to the first that was torn by a crash, each with the offset of its end."""
    entries: list[tuple[dict[str, Any], int]] = []
    end = 0
    for line in data.split(b"\n")[:-1]:
        end += len(line) + 1
        try:
            entries.append((json.loads(line), end))
        except ValueError:
            break
    return entries


def _write_all(stream: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _lock(stream: IO[bytes], target: Path) -> None:
    """Keep other processes away until the file is closed, however that comes about."""
    try:
        import fcntl
    except ImportError:  # Windows has no such lock; the journal works without
        return
    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise InputError(f"another process is writing {target}; wait for it, or name another output") from error
