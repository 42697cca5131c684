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
        for line in whole.splitlines():
            self._line += 1
            self._apply(self._parse(line))
        self._read += len(whole)

    def _append(self, event: Mapping[str, Any]) -> None:
        line = (json.dumps({"format": FORMAT, **event}, ensure_ascii=False) + "\n").encode()
        with self.path.open("ab") as stream:
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
        self.refresh()

    def _parse(self, line: bytes) -> dict[str, Any]:
        place = f"{self.path}, line {self._line}"
        try:
            event = json.loads(line)
            number = event["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{place} is damaged ({error}); remove that line to go on without it") from None
        if number != FORMAT:
            raise InputError(f"{place} is of format {number!r}; this version of stance reads {FORMAT}")
        return dict(event)

    def _repair(self) -> None:
        """Deal with a last line that has no end: a write was cut off before anybody was told that it was done."""
        if not self.path.exists():
            return
        text = self.path.read_bytes()
        if not text or text.endswith(b"\n"):
            return
        start = text.rfind(b"\n") + 1
        try:
            json.loads(text[start:])
        except ValueError:
            os.truncate(self.path, start)
        else:
            with self.path.open("ab") as stream:  # whole but for its end, as editors leave it
                stream.write(b"\n")
