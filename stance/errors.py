"""What can go wrong, as one tree.

    StanceError
    ├── InputError (ValueError)      a text, a pair or an argument is not usable
    │   ├── PairError                one pair among many; carries its position
    │   ├── ColumnError              a table lacks a column
    │   └── DocumentError            a document cannot be read
    ├── LabelError (ValueError)      a label is not in the label set
    ├── CheckpointError              a checkpoint is missing, damaged or of another format
    └── MissingExtraError (ImportError)   an optional dependency is not installed

Every message names the thing, the place and the remedy.
"""

from __future__ import annotations


class StanceError(Exception):
    """The parent of every error that this library raises on purpose."""


class InputError(StanceError, ValueError):
    """A text, a pair or an argument cannot be used."""


class PairError(InputError):
    """One pair cannot be used.

    Attributes:
        index: Position of the pair in what was handed over, from 0; ``None`` for a single call.
        reason: What is wrong with it, in a clause.
    """

    def __init__(self, reason: str, index: int | None = None) -> None:
        self.index = index
        self.reason = reason
        super().__init__(reason if index is None else f"pair {index}: {reason}")

    def __reduce__(self) -> tuple[type[PairError], tuple[str, int | None]]:
        return (PairError, (self.reason, self.index))  # errors cross process borders


class ColumnError(InputError):
    """A table lacks a column that is needed."""


class DocumentError(InputError):
    """A document cannot be read."""


class LabelError(StanceError, ValueError):
    """A label is not one of the checkpoint's."""


class CheckpointError(StanceError):
    """A checkpoint is missing, damaged, or written in another format."""


class MissingExtraError(StanceError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self.arguments = (package, extra, purpose)
        super().__init__(
            f"{purpose} needs {package!r}, which is not installed: in a clone of stance, pip install '.[{extra}]'"
        )

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        return (MissingExtraError, self.arguments)
