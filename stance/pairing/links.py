"""Which passages are accusations, which are responses, and which answers which.

``network`` says of every sentence and clause how likely it is a charge or a reply, and of every two how likely the one
answers the other. Here likely ones are gathered into passages, and a small head weighs the network's word on each two
passages with the cues of names, voices and places.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stance.pairing.candidates import Reading, Unit, quotes_near, strongest_cue
from stance.pairing.names import keys, names_in
from stance.pairing.network import Scores
from stance.pairing.quotes import Speaker, quoted_share
from stance.pairing.words import stems
from stance.records import Span

MOST_ACCUSATIONS = 24
MOST_RESPONSES = 24
"""In one piece of a document no more than these are paired: the likeliest. They bound the time."""


@dataclass(frozen=True, slots=True)
class Head:
    """A logistic model of links.

    Attributes:
        mean: Shape (k,), taken from each input row.
        scale: Shape (k,), by which it is then divided.
        weights: Shape (k,).
        bias: Added at the end.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: float

    def probability(self, rows: np.ndarray) -> np.ndarray:
        """How likely the second of two passages answers the first, 0 to 1; float32, shape (n,)."""
        x = np.clip((rows - self.mean) / self.scale, -8, 8)
        return np.asarray(1 / (1 + np.exp(-(x @ self.weights + self.bias))), dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A charge or a reply: one unit, or several in a row by one voice.

    Attributes:
        units: The units, in order.
        place: The number of its first unit in the reading.
        probability: How sure the head is of it, 0 to 1.
    """

    units: tuple[Unit, ...]
    place: int
    probability: float

    @property
    def start(self) -> int:
        """Where it begins."""
        return self.units[0].start

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.units[-1].end

    @property
    def last(self) -> int:
        """The number of its last unit in the reading."""
        return self.place + len(self.units) - 1

    @property
    def span(self) -> Span:
        """Its place as a ``Span``."""
        return Span(start=self.start, end=self.end)

    @property
    def voice(self) -> Speaker:
        """Who utters it and what shows it: the first one named among its units."""
        return next((u.speaker for u in self.units if u.speaker.name), Speaker())

    @property
    def speaker(self) -> str:
        """The name of ``voice``; empty if there is none."""
        return self.voice.name

    @property
    def clause(self) -> bool:
        """Whether it is a part of a sentence that holds more."""
        return len(self.units) == 1 and self.units[0].clause

    def overlaps(self, other: Passage) -> bool:
        """Whether the two share text."""
        return self.start < other.end and other.start < self.end


def joined(
    sure: np.ndarray, goes_on: np.ndarray, threshold: float, join: float, units: Sequence[Unit]
) -> list[Passage]:
    """Gather likely units into passages.

    Args:
        sure: Shape (n_units,), how likely each is.
        goes_on: Shape (n_units - 1,), how likely the next one belongs with it.
        threshold: Units at least this likely are taken.
        join: Neighbours at least this likely to belong together are joined, if the second is half as likely as needed.
        units: The units.
    """
    found: list[Passage] = []
    i = 0
    while i < len(units):
        if sure[i] < threshold:
            i += 1
            continue
        j = i
        while j + 1 < len(units) and goes_on[j] >= join and sure[j + 1] >= threshold / 2:
            j += 1
        found.append(Passage(units=tuple(units[i : j + 1]), place=i, probability=float(sure[i : j + 1].max())))
        i = j + 1
    return found


LINK_CUES = (
    "sure_accusation", "sure_response", "distance", "far", "very_far", "after", "same_paragraph", "same_sentence",
    "between", "accusations_between", "rank_of_accusation", "nearest", "nearest_before", "in_heading",
    "answerer_is_named_in_charge", "answerer_is_charged", "accuser_is_named_in_answer", "one_voice", "accuser_known",
    "answerer_known", "shared_words", "shared_names", "answer_names_nothing", "back_reference", "bare_denial",
    "long_answer", "long_charge", "answer_quoted", "charge_quoted", "best_actor_match", "last_match_before",
    "answer_speaks_first_person", "alone", "only_response", "answer_charges", "answerer_charged_elsewhere",
)  # fmt: skip
"""Names of the columns of ``link_cues``."""


LINK_COLUMNS = ("network", "over_other_accusations", "over_other_responses", *LINK_CUES)
"""Names of the columns of ``link_rows``: the network's logit, its lead over the response's other accusations and over the
accusation's other responses, then the cues."""

_FAR = 20.0


class _Passages:
    """What the link features need to know of passages, computed once."""

    def __init__(self, reading: Reading, found: Sequence[Passage]) -> None:
        self.words = [reading.text[p.start : p.end] for p in found]
        self.speakers = [keys(p.speaker) for p in found]
        self.names = [frozenset(k for _, n in names_in(w) for k in keys(n)) for w in self.words]
        self.stems = [stems(w) for w in self.words]
        self.shares = [
            quoted_share(p.start, p.end, [q for u in p.units for q in quotes_near(reading.quotes, u)]) for p in found
        ]


def candidate_links(accusations: Sequence[Passage], responses: Sequence[Passage]) -> list[tuple[int, int]]:
    """Every accusation beside every response that shares no text with it."""
    return [(i, j) for j, r in enumerate(responses) for i, a in enumerate(accusations) if not a.overlaps(r)]


def link_cues(
    reading: Reading, accusations: Sequence[Passage], responses: Sequence[Passage], links: Sequence[tuple[int, int]]
) -> np.ndarray:
    """How accusation and response stand to each other in the text; float32, shape (n_links, len(LINK_CUES))."""
    a_side, r_side = _Passages(reading, accusations), _Passages(reading, responses)
    ranks = np.argsort(np.argsort([-a.probability for a in accusations])) if accusations else np.zeros(0)
    matches = {(i, j): _charged_match(a_side, i, r_side.speakers[j]) for i, j in links}
    rows = np.zeros((len(links), len(LINK_CUES)), np.float32)
    for row, (i, j) in enumerate(links):
        rows[row] = _link_row(reading, accusations, responses, a_side, r_side, ranks, matches, i, j)
    return rows


def _charged_match(side: _Passages, i: int, speaker: frozenset[str]) -> bool:
    return bool(speaker & (side.names[i] - side.speakers[i]))


def _link_row(
    reading: Reading,
    accusations: Sequence[Passage],
    responses: Sequence[Passage],
    a_side: _Passages,
    r_side: _Passages,
    ranks: np.ndarray,
    matches: Mapping[tuple[int, int], bool],
    i: int,
    j: int,
) -> list[float]:
    a, r = accusations[i], responses[j]
    after = r.start >= a.end
    gap = (r.place - a.last) if after else (a.place - r.last)
    between = [
        k
        for k, o in enumerate(accusations)
        if k != i and (a.last < o.place <= r.place if after else r.last <= o.place < a.place)
    ]
    before = [k for k, o in enumerate(accusations) if o.end <= r.start]
    distances = [abs(r.place - o.last) if o.end <= r.start else 1.5 + abs(o.place - r.last) for o in accusations]
    paragraph = [reading.sentences[u.sentence].paragraph for u in (a.units[-1], r.units[0])]
    shared = sum((a_side.stems[i] & r_side.stems[j]).values())
    low = " " + r_side.words[j].lower() + " "
    matched_before = [k for k in before if matches.get((k, j))]
    return [
        _logit(a.probability),
        _logit(r.probability),
        math.log1p(gap),
        gap > 5,
        gap > 12,
        after,
        paragraph[0] == paragraph[1],
        a.units[-1].sentence == r.units[0].sentence or a.units[0].sentence == r.units[-1].sentence,
        min(6, gap) / 6,
        min(4, len(between)) / 2,
        min(6, float(ranks[i])) / 3,
        distances[i] <= min(distances),
        bool(before) and i == before[-1],
        a.place <= 1,
        bool(r_side.speakers[j] & a_side.names[i]),
        matches[i, j],
        bool(a_side.speakers[i] & r_side.names[j]),
        bool(a_side.speakers[i] & r_side.speakers[j]),
        bool(a_side.speakers[i]),
        bool(r_side.speakers[j]),
        shared / math.sqrt(1 + sum(a_side.stems[i].values()) * sum(r_side.stems[j].values())) * 3,
        min(3, len((a_side.names[i] & r_side.names[j]) - r_side.speakers[j])) / 2,
        not (r_side.names[j] - r_side.speakers[j]),
        any(
            f" {word}" in low
            for word in ("allegation", "accusation", "claim", "charge", "report", "criticism", "lawsuit")
        ),
        len(low.split()) < 12,
        min(2.0, len(low.split()) / 40),
        min(2.0, len(a_side.words[i].split()) / 40),
        r_side.shares[j],
        a_side.shares[i],
        matches[i, j] and sum(m for (_, q), m in matches.items() if q == j) == 1,
        bool(matched_before) and i == matched_before[-1],
        any(f" {word} " in low for word in ("i", "we", "my", "our", "“i", "“we", '"i', '"we')),
        len(accusations) == 1,
        len(responses) == 1,
        r.place == a.place or any(o.place == r.place for o in accusations),
        sum(m for (_, q), m in matches.items() if q == j) / 3,
    ]


def _logit(p: float) -> float:
    p = min(max(p, 1e-4), 1 - 1e-4)
    return math.log(p / (1 - p))


def link_rows(
    reading: Reading,
    scores: Scores,
    accusations: Sequence[Passage],
    responses: Sequence[Passage],
    links: Sequence[tuple[int, int]],
) -> np.ndarray:
    """Input of the head of links; float32, shape (n_links, len(LINK_COLUMNS))."""
    said = np.full((len(accusations), len(responses)), -_FAR, np.float32)
    for i, j in links:
        rows = np.ix_(_rows_of(accusations[i], scores), _rows_of(responses[j], scores))
        said[i, j] = scores.links[rows].max()
    own = [
        (said[i, j], said[i, j] - _best_other(said[:, j], i), said[i, j] - _best_other(said[i], j)) for i, j in links
    ]
    cues = link_cues(reading, accusations, responses, links)
    return np.hstack([np.array(own, np.float32).reshape(-1, 3).clip(-_FAR, _FAR), cues]).astype(np.float32)


def _best_other(said: np.ndarray, here: int) -> float:
    others = np.delete(said, here)
    return float(others.max()) if len(others) else -_FAR


def _rows_of(passage: Passage, scores: Scores) -> list[int]:
    return [scores.row_of[unit.start, unit.end] for unit in passage.units]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A response and the accusation that it answers."""

    accusation: Passage
    response: Passage
    probability: float
    why: tuple[str, ...]
    cue: str


def find_passages(
    reading: Reading, scores: Scores, thresholds: Mapping[str, float]
) -> tuple[list[Passage], list[Passage]]:
    """Gather rows into passages: sentences that hold both sides are cut in two, neighbours of one voice are joined.

    Returns:
        Accusations and responses, each in the order of the text, of one piece of a document.
    """
    n = len(reading.units)
    odds = {i: _probability(scores.links[c, a]) for i, (c, a) in scores.cuts.items()}
    inner = {i: p for i, p in odds.items() if p >= thresholds["both"]}
    found = []
    for side, name in enumerate(("accusation", "response")):
        goes_on = scores.goes_on[:, side].copy()
        likely = scores.sides[:n, side].copy()
        units = list(reading.units)
        for i, p in inner.items():
            row = scores.cuts[i][side]
            units[i] = scores.units[row]
            likely[i] = max(p, scores.sides[row, side])
            if side == 0 and i < len(goes_on):
                goes_on[i] = 0.0
            if i > 0:
                goes_on[i - 1] = 0.0
        for i in range(len(goes_on)):
            if not all(reading.kept[reading.units[i].sentence : reading.units[i + 1].sentence]):
                goes_on[i] = 0.0  # a menu or a caption stands between
        found.append(joined(likely, goes_on, thresholds[name], thresholds[f"continues_{name}"], units))
    return found[0], found[1]


def _probability(logit: float) -> float:
    return 1 / (1 + math.exp(-float(logit)))


def find_links(
    reading: Reading,
    scores: Scores,
    accusations: Sequence[Passage],
    responses: Sequence[Passage],
    head: Head,
    thresholds: Mapping[str, float],
) -> list[Link]:
    """Decide which response answers which accusation, in one piece of a document."""
    accusations = likeliest(accusations, MOST_ACCUSATIONS)
    responses = likeliest(responses, MOST_RESPONSES)
    links = candidate_links(accusations, responses)
    if not links:
        return []
    rows = link_rows(reading, scores, accusations, responses, links)
    odds = head.probability(rows)
    return [
        Link(
            accusation=accusations[i],
            response=responses[j],
            probability=float(p),
            why=_why(row, reading, responses[j]),
            cue=_cue(reading, responses[j]),
        )
        for (i, j), p, row, kept in zip(links, odds, rows, chosen(links, odds, thresholds), strict=True)
        if kept
    ]


def chosen(links: Sequence[tuple[int, int]], odds: np.ndarray, thresholds: Mapping[str, float]) -> np.ndarray:
    """Which links to keep: each response's likeliest accusation from ``link`` on, further ones from ``link_more`` on.

    Returns:
        bool, shape (n_links,).
    """
    likeliest: dict[int, float] = {}
    for (_, response), p in zip(links, odds, strict=True):
        likeliest[response] = max(likeliest.get(response, 0.0), float(p))
    needed = [
        thresholds["link"] if p >= likeliest[response] else thresholds["link_more"]
        for (_, response), p in zip(links, odds, strict=True)
    ]
    return np.asarray(odds >= np.array(needed, dtype=np.float32), dtype=bool)


def likeliest(found: Sequence[Passage], most: int) -> list[Passage]:
    """The likeliest passages, no more than ``most``, in the order of the text."""
    return sorted(sorted(found, key=lambda p: -p.probability)[:most], key=lambda p: p.start)


def _cue(reading: Reading, response: Passage) -> str:
    words = reading.text[response.start : response.end]
    named = next((u.speaker for u in response.units if u.speaker.cue), None)
    return strongest_cue(words) or (named.cue if named else "")


def _why(row: np.ndarray, reading: Reading, response: Passage) -> tuple[str, ...]:
    """The reasons in words, always in this order."""
    facts = dict(zip(LINK_COLUMNS, row.tolist(), strict=True))
    named = response.speaker or "the speaker"
    cue = strongest_cue(reading.text[response.start : response.end])
    reasons = [
        (facts["answerer_is_charged"], f"{named} is named in the accusation"),
        (facts["same_sentence"], "both stand in one sentence"),
        (bool(cue), f"it replies in words: {cue!r}"),
        (facts["accuser_is_named_in_answer"], "the reply names the accuser"),
        (facts["nearest_before"] or facts["nearest"], "it is the nearest accusation"),
        (facts["back_reference"], "the reply refers back to a charge"),
        (facts["shared_words"] > 0.5, "the two share words"),
        (facts["same_paragraph"] and not facts["same_sentence"], "both stand in one paragraph"),
        (facts["sure_response"] > 1, "it reads like a reply"),
    ]  # fmt: skip
    return tuple(words for holds, words in reasons if holds)


def restored(passage: Passage, reading: Reading, used: Sequence[Passage]) -> Passage:
    """A clause whose sentence holds nothing else that is used, as the whole sentence again."""
    if not passage.clause:
        return passage
    sentence = reading.sentences[passage.units[0].sentence]
    if any(o is not passage and o.start < sentence.end and sentence.start < o.end for o in used):
        return passage
    whole = replace(passage.units[0], start=sentence.start, end=sentence.end, clause=False)
    return replace(passage, units=(whole,))
