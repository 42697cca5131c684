"""Reading -> what the article network reads: rows (sentences and clauses) laid out in windows of tokens, and facts.

A row is a sentence of the reading, or one of the two clauses of a sentence that may be cut into charge and answer. The
network gives each row a vector; facts of rows and of pairs of rows (who speaks, who is named) go beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stance.pairing.candidates import Reading, Unit, cue_matrix, split
from stance.pairing.names import keys, names_in
from stance.pairing.words import stems

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WINDOW = 320
"""Tokens that the network reads at once, special ones included."""

OVERLAP = 80
"""At least so many tokens of a window stand in the one before it too, where sentences allow."""

_TITLE = 32
_LONGEST = 160

PAIR_FACTS = (
    "answerer_named_in_charge",
    "accuser_named_in_answer",
    "one_voice",
    "same_paragraph",
    "same_sentence",
    "shared_words",
    "charge_first",
)
"""Names of the last axis of ``Layout.pair_facts``."""


FARTHEST = 24
"""Rows more sentences apart than this are all equally far."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of rows as the network reads them.

    Attributes:
        ids: Token ids.
        types: 0 for the title, 1 for the text.
        rows: The numbers of the rows that stand in it.
        spans: First and last-but-one token of each, shape (n_rows, 2).
    """

    ids: np.ndarray
    types: np.ndarray
    rows: np.ndarray
    spans: np.ndarray


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything that is read of one piece of a document.

    Attributes:
        units: The rows: the sentences, then charge and answer of each cut.
        places: The number of each row's sentence among the units of the reading.
        cuts: By number of unit, the rows of its charge and of its answer.
        windows: Together they hold every row.
        facts: Cues of each row, shape (n_rows, len(CUES)).
        pair_facts: Shape (n_rows, n_rows, len(PAIR_FACTS)): the row as a charge, then as an answer.
    """

    units: tuple[Unit, ...]
    places: np.ndarray
    cuts: dict[int, tuple[int, int]]
    windows: tuple[Window, ...]
    facts: np.ndarray
    pair_facts: np.ndarray


def lay_out(reading: Reading, tokenizer: Tokenizer, *, title: bool = True, first: int = WINDOW) -> Layout:
    """Lay a reading out in windows.

    Args:
        reading: One piece of a document.
        tokenizer: Of the network; its truncation and padding are off.
        title: Whether each window opens with the title.
        first: How many tokens the first window may have; training varies it, so that windows begin elsewhere.
    """
    units, places, cuts = list(reading.units), list(range(len(reading.units))), {}
    for i, unit in enumerate(reading.units):
        if (cut := split(reading, unit)) is not None:
            cuts[i] = (len(units), len(units) + 1)
            units += cut
            places += [i, i]
    at = np.array(places, int)
    return Layout(
        units=tuple(units),
        places=at,
        cuts=cuts,
        windows=tuple(_windows(reading, units, cuts, tokenizer, title, first)),
        facts=cue_matrix(reading)[at],
        pair_facts=_pair_facts(reading, units),
    )


def distances(places: np.ndarray) -> np.ndarray:
    """How many sentences the answer (columns) stands after the charge (rows), as numbers of ``0 .. 2 * FARTHEST``."""
    apart = places[None, :] - places[:, None]
    return np.asarray(np.clip(apart, -FARTHEST, FARTHEST) + FARTHEST, dtype=np.int64)


def _windows(
    reading: Reading,
    units: Sequence[Unit],
    cuts: dict[int, tuple[int, int]],
    tokenizer: Tokenizer,
    title: bool,
    first: int,
) -> list[Window]:
    n = len(reading.units)
    if not n:
        return []
    pieces = tokenizer.encode_batch([reading.words_of(u) for u in reading.units], add_special_tokens=False)
    opening, boundary = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    head = [opening]
    if title and reading.title:
        head += tokenizer.encode(reading.title, add_special_tokens=False).ids[:_TITLE]
    head += [boundary]
    lengths = [min(len(piece.ids), _LONGEST) + 1 for piece in pieces]
    found = []
    for start, stop in _stretches(lengths, WINDOW - len(head), min(first, WINDOW) - len(head)):
        ids, rows, spans = list(head), [], []
        for i in range(start, stop):
            begin, piece = len(ids), pieces[i]
            ids += [*piece.ids[:_LONGEST], boundary]
            rows.append(i)
            spans.append((begin, begin + lengths[i] - 1))
            for row in cuts.get(i, ()):
                inside = [
                    k
                    for k, (a, b) in enumerate(piece.offsets[:_LONGEST])
                    if a < units[row].end - units[i].start and b > units[row].start - units[i].start
                ]
                if inside:
                    rows.append(row)
                    spans.append((begin + inside[0], begin + inside[-1] + 1))
        types = np.ones(len(ids), np.int64)
        types[: len(head)] = 0
        found.append(Window(np.array(ids, np.int64), types, np.array(rows), np.array(spans)))
    return found


def _stretches(lengths: Sequence[int], room: int, first: int) -> list[tuple[int, int]]:
    """Runs of sentences that fit into a window; each begins some sentences before the end of the last."""
    found: list[tuple[int, int]] = []
    start, budget = 0, first
    while True:
        stop, used = start, 0
        while stop < len(lengths) and (stop == start or used + lengths[stop] <= budget):
            used += lengths[stop]
            stop += 1
        found.append((start, stop))
        if stop == len(lengths):
            return found
        back, shared = stop, 0
        while back - 1 > start and shared + lengths[back - 1] <= OVERLAP:
            back -= 1
            shared += lengths[back]
        start, budget = back, room


def _pair_facts(reading: Reading, units: Sequence[Unit]) -> np.ndarray:
    n = len(units)
    facts = np.zeros((n, n, len(PAIR_FACTS)), np.float32)
    if not n:
        return facts
    speakers = [keys(u.speaker.name) for u in units]
    words = [reading.words_of(u) for u in units]
    named = [frozenset(k for _, name in names_in(w) for k in keys(name)) for w in words]
    known: dict[str, int] = {}
    for group in (*speakers, *named):
        for key in group:
            known.setdefault(key, len(known))
    says, names = (_incidence(groups, known) for groups in (speakers, named))
    named_only = np.maximum(names - says, 0)
    facts[:, :, 0] = named_only @ says.T > 0
    facts[:, :, 1] = says @ names.T > 0
    facts[:, :, 2] = says @ says.T > 0
    paragraphs = np.array([reading.sentences[u.sentence].paragraph for u in units])
    sentences = np.array([u.sentence for u in units])
    facts[:, :, 3] = paragraphs[:, None] == paragraphs[None]
    facts[:, :, 4] = sentences[:, None] == sentences[None]
    vocabulary: dict[str, int] = {}
    stemmed = [frozenset(stems(w)) for w in words]
    for group in stemmed:
        for stem in group:
            vocabulary.setdefault(stem, len(vocabulary))
    held = _incidence(stemmed, vocabulary)
    size = np.sqrt(held.sum(1) + 1)
    facts[:, :, 5] = held @ held.T / size[:, None] / size[None] * 3
    starts = np.array([u.start for u in units])
    facts[:, :, 6] = starts[:, None] < starts[None]
    return facts


def _incidence(groups: Sequence[frozenset[str]], numbers: dict[str, int]) -> np.ndarray:
    table = np.zeros((len(groups), max(1, len(numbers))), np.float32)
    for i, group in enumerate(groups):
        for key in group:
            table[i, numbers[key]] = 1
    return table
