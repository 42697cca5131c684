"""The file of votes: one JSON object a line, appended and on disk before anybody is told that it is.

Any number of processes may share a journal. Whoever writes holds its lock, first reads what others have added, and only
then decides; so a vote is never given on a state that is not the last one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stance.errors import InputError, MissingExtraError

FORMAT = 1

_VOTE = ("annotator", "item", "version", "labels", "done", "saw_model", "accusation", "response", "document_id")
_KINDS = {"vote": _VOTE, "undo": _VOTE, "look": _VOTE, "export": ("sha256",)}
"""What an event of each kind holds at least."""


class Journal:
    """An append-only file of events.

    Args:
        path: Where it lies; made if it is not there.
        apply: Called with each event, in order, once.
    """

    def __init__(self, path: Path, apply: Callable[[Mapping[str, Any]], None]) -> None:
        try:
            from filelock import FileLock
        except ImportError:
            raise MissingExtraError("filelock", "label", "stance label") from None
        self.path = path
        self._apply = apply
        self._read = 0
        self._line = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(f"{path}.lock", thread_local=False)
        with self._lock:
            self._repair()
        self.refresh()

    @contextmanager
    def turn(self) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """Hold the lock, with everything read that others wrote; gives the function that appends one event."""
        with self._lock:
            self._repair()
            self.refresh()
            yield self._append

    def refresh(self) -> None:
        """Read what was added since the last look.

        Raises:
            InputError: A line is damaged, or the journal is of another format.
        """
        if not self.path.exists():
            return
        with self.path.open("rb") as stream:
            stream.seek(self._read)
            text = stream.read()
        whole = text[: text.rfind(b"\n") + 1]
        for line in whole.splitlines(keepends=True):
            self._apply(self._parse(line))
            self._line += 1  # only now: a damaged line is met again, and those before it are not
            self._read += len(line)

    def _append(self, event: Mapping[str, Any]) -> None:
        line = (json.dumps({"format": FORMAT, **event}, ensure_ascii=False) + "\n").encode()
        before = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as stream:
                stream.write(line)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError:
            if self.path.exists():
                os.truncate(self.path, before)  # what nobody is told is saved is not found there later
            raise
        self.refresh()

    def _parse(self, line: bytes) -> dict[str, Any]:
        place = f"{self.path}, line {self._line + 1}"
        remedy = "remove that line to go on without it"
        try:
            event = json.loads(line)
            number = event["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{place} is damaged ({error}); {remedy}") from None
        if number != FORMAT:
            raise InputError(f"{place} is of format {number!r}; this version of stance reads {FORMAT}")
        if (kind := event.get("kind")) not in tuple(_KINDS):
            raise InputError(f"{place} is damaged (its kind is {kind!r}, not {', '.join(_KINDS)}); {remedy}")
        if missing := [name for name in _KINDS[kind] if name not in event]:
            raise InputError(f"{place} is damaged (it has no {', '.join(missing)}); {remedy}")
        return dict(event)

    def _repair(self) -> None:
        """Deal with a last line that has no end: a write was cut off before anybody was told that it was done."""
        if not self.path.exists():
            return
        with self.path.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - 1))
            if stream.read() in (b"", b"\n"):  # as nearly always, and the journal may be long
                return
        text = self.path.read_bytes()
        start = text.rfind(b"\n") + 1
        try:
            json.loads(text[start:])
        except ValueError:
            os.truncate(self.path, start)
        else:
            with self.path.open("ab") as stream:  # whole but for its end, as editors leave it
                stream.write(b"\n")
