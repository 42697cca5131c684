"""Pair -> token ids. The only place that knows the model's window and what is cut to fit it.

The window is ``[CLS] accusation [SEP] response [SEP]``. The accusation is capped first, at whole tokens from its start,
so that the response always has room; then the response is cut to what is left. Either cut is reported.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stance.errors import CheckpointError, InputError, PairError
from stance.records import Pair

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CHARACTERS_PER_TOKEN = 32
"""Text beyond this many characters for each token of the window cannot reach the model, so it is not tokenised."""

_INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Encoded:
    """One pair as the model reads it: token ids, the segment of each (0 accusation, 1 response), whether text was cut."""

    ids: tuple[int, ...]
    types: tuple[int, ...]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs padded to one length; three int64 arrays of shape (n_pairs, n_tokens)."""

    input_ids: np.ndarray
    attention_mask: np.ndarray
    token_type_ids: np.ndarray


def check_text(text: object, what: str, index: int | None = None) -> str:
    """Give back a text that can be judged, or say why it cannot.

    Raises:
        PairError: Not a string, blank, or not valid Unicode.
    """
    if text is None or (isinstance(text, float) and math.isnan(text)):
        raise PairError(f"the {what} is missing ({text!r}); drop the row or fill it in", index)
    if not isinstance(text, str):
        raise PairError(f"the {what} is a {type(text).__name__}, not a string: {_shown(text)}", index)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PairError(
            f"the {what} holds a lone surrogate at character {error.start}; decode its source as UTF-8, or clean it with "
            "text.encode('utf-8', 'replace').decode()",
            index,
        ) from None
    if all(unicodedata.category(c) in _INVISIBLE for c in text):
        raise PairError(f"the {what} is blank ({_shown(text)}); drop the row or fill it in", index)
    return str(text)


def as_pair(item: object, index: int | None = None) -> Pair:
    """Turn a ``Pair``, a two-tuple or a mapping with ``accusation`` and ``response`` into a checked ``Pair``.

    Raises:
        PairError: It is none of these, or one of its texts cannot be judged.
    """
    if isinstance(item, Pair):
        check_text(item.accusation, "accusation", index)
        check_text(item.response, "response", index)
        return item
    if isinstance(item, str):
        raise PairError(
            f"one string was given where a pair is needed: {_shown(item)}; pass (accusation, response)", index
        )
    if isinstance(item, dict) and {"accusation", "response"} <= item.keys():
        accusation, response = item["accusation"], item["response"]
    elif isinstance(item, Sequence) and not isinstance(item, (bytes, bytearray)) and len(item) == 2:
        accusation, response = item
    else:
        raise PairError(f"a pair is a stance.Pair or (accusation, response), not {_shown(item)}", index)
    return Pair(
        accusation=check_text(accusation, "accusation", index), response=check_text(response, "response", index)
    )


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


class Encoder:
    """Turns pairs into token ids with the tokenizer of a checkpoint.

    Args:
        tokenizer: A ``tokenizers.Tokenizer``; its own truncation and padding are switched off.
        max_tokens: The window, special tokens included.
        max_accusation_tokens: How much of the window an accusation may take.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, max_accusation_tokens: int) -> None:
        if not 0 < max_accusation_tokens <= max_tokens - 4:
            raise CheckpointError(
                f"max_accusation_tokens is {max_accusation_tokens}: it must leave room for a response in {max_tokens}"
            )
        self._tokenizer = plain(tokenizer)
        self.max_tokens = max_tokens
        self.max_accusation_tokens = max_accusation_tokens
        self._frame = _special_tokens(tokenizer)
        self.pad_id = _pad_id(tokenizer)

    @classmethod
    def from_file(cls, path: Path, max_tokens: int, max_accusation_tokens: int) -> Encoder:
        """Read ``tokenizer.json``."""
        from tokenizers import Tokenizer

        if not path.is_file():
            raise CheckpointError(f"{path} is missing: a checkpoint needs its tokenizer.json")
        return cls(Tokenizer.from_file(str(path)), max_tokens, max_accusation_tokens)

    def encode(self, pairs: Sequence[Pair]) -> list[Encoded]:
        """Turn checked pairs into token ids, same order."""
        limit = self.max_tokens * _CHARACTERS_PER_TOKEN
        texts = [text.strip() for pair in pairs for text in (pair.accusation, pair.response)]
        clipped = [len(text) > limit for text in texts]
        pieces = self._tokenizer.encode_batch_fast([text[:limit] for text in texts], add_special_tokens=False)
        return [
            self._assemble(pieces[i].ids, pieces[i + 1].ids, clipped[i] or clipped[i + 1])
            for i in range(0, len(texts), 2)
        ]

    def _assemble(self, accusation: list[int], response: list[int], clipped: bool) -> Encoded:
        before, between, after = self._frame
        kept = accusation[: self.max_accusation_tokens]
        room = self.max_tokens - len(before) - len(between) - len(after) - len(kept)
        tail = response[:room]
        first = len(before) + len(kept) + len(between)
        return Encoded(
            ids=(*before, *kept, *between, *tail, *after),
            types=(0,) * first + (1,) * (len(tail) + len(after)),
            truncated=clipped or len(kept) < len(accusation) or len(tail) < len(response),
        )

    def hide(self, row: Encoded, part: str) -> Encoded:
        """The same pair with nothing where one of its texts stood; for training and for measuring blind models.

        Args:
            row: An encoded pair.
            part: ``"accusation"`` or ``"response"``.

        Raises:
            InputError: ``part`` is neither.
        """
        if part not in ("accusation", "response"):
            raise InputError(f"hide 'accusation' or 'response', not {part!r}")
        before, between, after = self._frame
        start = row.types.index(1)
        first, second = row.ids[:start], row.ids[start:]
        if part == "accusation":
            first = (*before, *between)
        else:
            second = after
        return Encoded((*first, *second), (0,) * len(first) + (1,) * len(second), row.truncated)

    def pad(self, rows: Sequence[Encoded]) -> Batch:
        """Pad rows to the longest of them."""
        width = max(len(row.ids) for row in rows)
        ids = np.full((len(rows), width), self.pad_id, dtype=np.int64)
        mask = np.zeros((len(rows), width), dtype=np.int64)
        types = np.zeros((len(rows), width), dtype=np.int64)
        for i, row in enumerate(rows):
            n = len(row.ids)
            ids[i, :n], mask[i, :n], types[i, :n] = row.ids, 1, row.types
        return Batch(ids, mask, types)


def plain(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer without truncation and padding, and blind to special tokens in a text: "[SEP]" is so many letters."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def _special_tokens(tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Find what the tokenizer's own template puts before, between and after two texts."""
    probe: Any = tokenizer.encode("a", "b")
    marks = probe.special_tokens_mask
    sequence = probe.sequence_ids
    first, second = sequence.index(0), sequence.index(1)
    last = len(marks) - 1 - sequence[::-1].index(1)
    end_of_first = len(marks) - 1 - sequence[::-1].index(0)
    ids = probe.ids
    return (
        tuple(ids[:first]),
        tuple(ids[end_of_first + 1 : second]),
        tuple(ids[last + 1 :]),
    )


def _pad_id(tokenizer: Tokenizer) -> int:
    for name in ("[PAD]", "<pad>", "<|endoftext|>"):
        if (found := tokenizer.token_to_id(name)) is not None:
            return int(found)
    return 0
