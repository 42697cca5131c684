"""Content words, roughly stemmed, for telling whether two passages speak of the same thing."""

from __future__ import annotations

from collections import Counter


def stems(words: str) -> Counter[str]:
    """The first six letters of each word of some length, counted."""
    found = ("".join(c for c in w.lower() if c.isalpha())[:6] for w in words.split())
    return Counter(w for w in found if len(w) > 3 and w not in _COMMON)


_COMMON_LIST = """
    that this with from have been were they their will would about said which there what when also after over
    other people presid trump told state statem more than them some into
"""
_COMMON = frozenset(_COMMON_LIST.split())
