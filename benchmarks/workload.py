"""Pairs of real length: the words of ``data/written_pairs.jsonl``, the lengths of pairs found in news articles."""

from __future__ import annotations

import json
import random
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

TEXTS = Path(__file__).parent.parent / "data" / "written_pairs.jsonl"

SHARES = (0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
ACCUSATION_WORDS = (4, 10, 11, 15, 18, 20, 23, 26, 29, 33, 40, 45, 58, 95)
RESPONSE_WORDS = (2, 6, 8, 12, 16, 19, 23, 27, 31, 36, 43, 52, 68, 113)
"""Quantiles, at ``SHARES``, of the lengths of 2,393 pairs from news articles and press briefings."""


def real_length_pairs(n: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """The same ``n`` pairs on every machine; none is there twice, so that nothing is gained by remembering."""
    rows = [json.loads(line) for line in TEXTS.read_text(encoding="utf-8").splitlines()]
    accusations = " ".join(row["accusation"] for row in rows).split()
    responses = " ".join(row["response"] for row in rows).split()
    draw = random.Random(seed)
    for _ in range(n):
        yield (
            _passage(accusations, _quantile(ACCUSATION_WORDS, draw.random()), draw),
            _passage(responses, _quantile(RESPONSE_WORDS, draw.random()), draw),
        )


def _quantile(words: tuple[int, ...], share: float) -> int:
    i = min(bisect_right(SHARES, share), len(SHARES) - 1)
    part = (share - SHARES[i - 1]) / (SHARES[i] - SHARES[i - 1])
    return round(words[i - 1] + part * (words[i] - words[i - 1]))


def _passage(words: list[str], length: int, draw: random.Random) -> str:
    start = draw.randrange(len(words) - length)
    return " ".join(words[start : start + length])
