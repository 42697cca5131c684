"""Which passages are accusations, which are responses, and which answers which: small heads over the shipped encoder.

The heads are linear or one hidden layer deep, run in numpy, and lie in ``documents.npz`` in the checkpoint. They read
the encoder's pooled hidden states beside the cues of ``candidates``. A sentence that cues make likely goes through the
encoder once, behind the one before it; then likely accusations beside likely responses go through it as pairs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stance.errors import CheckpointError
from stance.pairing.candidates import CUES, Reading, Unit, cue_matrix, quotes_near, split, strongest_cue
from stance.pairing.names import keys, names_in
from stance.pairing.quotes import Speaker, one_voice, quoted_share
from stance.records import Pair, Span

FORMAT = 2
HEADS = (
    "screen",
    "accusation",
    "response",
    "both",
    "continues_accusation",
    "continues_response",
    "link_screen",
    "link",
)
"""What each head decides: by cues alone, is it worth reading; is it a charge; is it a reply; does one sentence hold
both; does the passage go on; by cues alone, is the pair worth reading; does the one answer the other."""

MOST_SENTENCES = 40
MOST_ACCUSATIONS = 12
MOST_RESPONSES = 8
MOST_PAIRS = 28
"""In one piece of a document no more than these are read by the encoder: the likeliest. They bound the time."""

Features = Callable[[Sequence[Pair]], np.ndarray]
"""Pairs -> pooled hidden states, float32, shape (n, k); ``StanceClassifier.features``."""


@dataclass(frozen=True, slots=True)
class Head:
    """A logistic model, with or without one hidden layer of rectified units.

    Attributes:
        mean: Shape (k,), taken from each input row.
        scale: Shape (k,), by which it is then divided.
        layers: Weights (k, m) and biases (m,) of each layer; the last has one column.
    """

    mean: np.ndarray
    scale: np.ndarray
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]

    def logit(self, rows: np.ndarray) -> np.ndarray:
        """Score rows of shape (n, k); float32, shape (n,); above 0 is more likely than not."""
        if rows.shape[1] != len(self.mean):
            raise CheckpointError(
                f"the document heads read {len(self.mean)} features, the encoder and the cues give {rows.shape[1]}; "
                "train them anew for this encoder: python -m training.heads"
            )
        x = np.clip((rows - self.mean) / self.scale, -8, 8)
        for i, (weights, bias) in enumerate(self.layers):
            x = x @ weights + bias
            if i < len(self.layers) - 1:
                x = np.maximum(x, 0)
        return np.asarray(x[:, 0], dtype=np.float32)

    def probability(self, rows: np.ndarray) -> np.ndarray:
        """``logit`` on the scale 0 to 1."""
        return np.asarray(1 / (1 + np.exp(-self.logit(rows))), dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """The heads of a checkpoint and the thresholds that were chosen for them.

    Attributes:
        heads: By name, as in ``HEADS``.
        thresholds: By name of head; ``accusation_shown`` is that of the accusations a ledger lists.
    """

    heads: Mapping[str, Head]
    thresholds: Mapping[str, float]

    def __getitem__(self, name: str) -> Head:
        return self.heads[name]

    def save(self, path: Path) -> None:
        """Write ``documents.npz``; plain arrays, no pickle."""
        arrays: dict[str, np.ndarray] = {
            "format": np.array(FORMAT),
            "cues": np.array(CUES),
            "link_cues": np.array(LINK_CUES),
        }
        for name, head in self.heads.items():
            arrays[f"{name}.mean"], arrays[f"{name}.scale"] = head.mean, head.scale
            for i, (weights, bias) in enumerate(head.layers):
                arrays[f"{name}.weights{i}"], arrays[f"{name}.bias{i}"] = weights, bias
        arrays |= {f"threshold.{name}": np.array(value) for name, value in self.thresholds.items()}
        with path.open("wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Heads:
        """Read ``documents.npz``.

        Raises:
            CheckpointError: It is missing, damaged, of another format, or made for other cues.
        """
        if not path.is_file():
            raise CheckpointError(
                f"{path} is missing: this checkpoint judges pairs but cannot find them in documents; use the default "
                "checkpoint, or train the heads: python -m training.heads"
            )
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            if int(arrays["format"]) != FORMAT:
                raise CheckpointError(
                    f"{path} is of format {int(arrays['format'])}; this version of stance reads {FORMAT}"
                )
            if tuple(arrays["cues"]) != CUES or tuple(arrays["link_cues"]) != LINK_CUES:
                raise CheckpointError(
                    f"{path} was made for other cues than this version of stance has; train the heads anew"
                )
            return cls(
                heads={name: _head(arrays, name) for name in HEADS},
                thresholds={
                    name.removeprefix("threshold."): float(value)
                    for name, value in arrays.items()
                    if name.startswith("threshold.")
                },
            )
        except (KeyError, ValueError, OSError) as error:
            raise CheckpointError(f"{path} is damaged: {type(error).__name__}: {error}") from error


def _head(arrays: Mapping[str, np.ndarray], name: str) -> Head:
    layers: list[tuple[np.ndarray, np.ndarray]] = []
    while f"{name}.weights{len(layers)}" in arrays:
        i = len(layers)
        layers.append((arrays[f"{name}.weights{i}"].astype(np.float32), arrays[f"{name}.bias{i}"].astype(np.float32)))
    if not layers:
        raise KeyError(f"{name}.weights0")
    return Head(arrays[f"{name}.mean"].astype(np.float32), arrays[f"{name}.scale"].astype(np.float32), tuple(layers))


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


def sentence_pairs(reading: Reading) -> list[Pair]:
    """What the encoder reads of each unit: the one before it (or the title) as context, then itself."""
    context = reading.title or "."
    pairs = []
    for unit in reading.units:
        words = reading.words_of(unit)
        pairs.append(Pair(accusation=context, response=words))
        context = words
    return pairs


def screened(reading: Reading, cues: np.ndarray, head: Head, threshold: float) -> np.ndarray:
    """The numbers of the units that are worth the encoder's time, in order."""
    odds = head.probability(cues)
    best = np.argsort(-odds, kind="stable")[:MOST_SENTENCES]
    return np.sort(best[odds[best] >= threshold])


def split_pairs(reading: Reading) -> dict[int, tuple[Unit, Unit]]:
    """By number of unit, the charge and the answer into which it may be cut."""
    return {i: cut for i, unit in enumerate(reading.units) if (cut := split(reading, unit)) is not None}


def split_rows(
    reading: Reading, cuts: Mapping[int, tuple[Unit, Unit]], cues: np.ndarray, sure: np.ndarray, states: np.ndarray
) -> np.ndarray:
    """Input of the head ``both``: the encoder's view of the clauses as a pair, how sure they are, and cues."""
    order = list(cuts)
    extra = np.array(
        [
            [len(reading.words_of(cuts[i][0])), len(reading.words_of(cuts[i][1])), cuts[i][0].start < cuts[i][1].start]
            for i in order
        ],
        np.float32,
    )
    return np.hstack([states, sure[order], cues[order, : len(CUES)], extra / [[200, 200, 1]]]).astype(np.float32)


def continue_rows(reading: Reading, cues: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Input of the heads ``continues_*``: row *i* asks whether unit *i + 1* belongs to the passage of unit *i*."""
    n = len(reading.units) - 1
    rows = np.zeros((max(0, n), 4 + 6 + 2 * len(CUES)), np.float32)
    for i in range(n):
        here, there = reading.units[i], reading.units[i + 1]
        joined = any(q.start < here.end and q.end > there.start for q in quotes_near(reading.quotes, here))
        same = reading.sentences[here.sentence].paragraph == reading.sentences[there.sentence].paragraph
        share = [quoted_share(u.start, u.end, quotes_near(reading.quotes, u)) for u in (here, there)]
        facts = [joined, same, one_voice(here.speaker, there.speaker), there.sentence - here.sentence == 1, *share]
        rows[i] = np.concatenate([sure[i], sure[i + 1], facts, cues[i, : len(CUES)], cues[i + 1, : len(CUES)]])
    return rows


def passages(
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
"""Names of the columns of ``link_rows`` that follow the encoder's."""


class _Passages:
    """What the link features need to know of passages, computed once."""

    def __init__(self, reading: Reading, found: Sequence[Passage]) -> None:
        self.words = [reading.text[p.start : p.end] for p in found]
        self.speakers = [keys(p.speaker) for p in found]
        self.names = [frozenset(k for _, n in names_in(w) for k in keys(n)) for w in self.words]
        self.stems = [_stems(w) for w in self.words]
        self.shares = [
            quoted_share(p.start, p.end, [q for u in p.units for q in quotes_near(reading.quotes, u)]) for p in found
        ]


def _stems(words: str) -> Counter[str]:
    found = ("".join(c for c in w.lower() if c.isalpha())[:6] for w in words.split())
    return Counter(w for w in found if len(w) > 3 and w not in _COMMON)


_COMMON_LIST = """
    that this with from have been were they their will would about said which there what when also after over
    other people presid trump told state statem more than them some into
"""
_COMMON = frozenset(_COMMON_LIST.split())


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


def link_rows(states: np.ndarray, cues: np.ndarray) -> np.ndarray:
    """Input of the head ``link``: the encoder's view of each pair, then ``link_cues``."""
    return np.hstack([states, cues]).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A response and the accusation that it answers."""

    accusation: Passage
    response: Passage
    probability: float
    why: tuple[str, ...]
    cue: str


def find_passages(reading: Reading, heads: Heads, features: Features) -> tuple[list[Passage], list[Passage]]:
    """Find accusations and responses.

    Returns:
        Accusations and responses, each in the order of the text, of one piece of a document.
    """
    if not reading.units:
        return [], []
    cues = cue_matrix(reading)
    kept = screened(reading, cues, heads["screen"], heads.thresholds["screen"])
    sure = np.zeros((len(reading.units), 2), np.float32)
    if len(kept):
        contexts = sentence_pairs(reading)
        rows = np.hstack([features([contexts[i] for i in kept]), cues[kept]])
        sure[kept] = np.stack([heads["accusation"].probability(rows), heads["response"].probability(rows)], axis=1)
    return gathered(reading, cues, sure, heads, features)


def gathered(
    reading: Reading, cues: np.ndarray, sure: np.ndarray, heads: Heads, features: Features
) -> tuple[list[Passage], list[Passage]]:
    """Units -> passages: sentences that hold both are cut in two, neighbours of one voice are joined."""
    cuts = split_pairs(reading)
    cuts = {
        i: cut
        for i, cut in cuts.items()
        if sure[i].max() >= min(heads.thresholds["accusation"], heads.thresholds["response"])
    }
    inner: dict[int, float] = {}
    if cuts:
        states = features(
            [Pair(accusation=reading.words_of(a), response=reading.words_of(r)) for a, r in cuts.values()]
        )
        odds = heads["both"].probability(split_rows(reading, cuts, cues, sure, states))
        inner = {i: float(p) for i, p in zip(cuts, odds, strict=True) if p >= heads.thresholds["both"]}
    goes_on = continue_rows(reading, cues, sure)
    found = []
    for side, name in enumerate(("accusation", "response")):
        joined = heads[f"continues_{name}"].probability(goes_on) if len(goes_on) else np.zeros(0)
        likely = sure[:, side].copy()
        units = list(reading.units)
        for i, p in inner.items():
            units[i] = cuts[i][side]
            likely[i] = max(p, likely[i])
            if side == 0 and i < len(joined):
                joined[i] = 0.0
            if i > 0:
                joined[i - 1] = 0.0
        for i in range(len(joined)):
            if not all(reading.kept[reading.units[i].sentence : reading.units[i + 1].sentence]):
                joined[i] = 0.0  # a menu or a caption stands between
        found.append(passages(likely, joined, heads.thresholds[name], heads.thresholds[f"continues_{name}"], units))
    return found[0], found[1]


def find_links(
    reading: Reading, accusations: Sequence[Passage], responses: Sequence[Passage], heads: Heads, features: Features
) -> list[Link]:
    """Decide which response answers which accusation, in one piece of a document."""
    accusations = likeliest(accusations, MOST_ACCUSATIONS)
    responses = likeliest(responses, MOST_RESPONSES)
    links, cues = worthwhile(reading, accusations, responses, heads)
    if not links:
        return []
    pairs = [pair_of(reading, accusations[i], responses[j]) for i, j in links]
    odds = heads["link"].probability(link_rows(features(pairs), cues))
    return [
        Link(
            accusation=accusations[i],
            response=responses[j],
            probability=float(p),
            why=_why(row, reading, responses[j]),
            cue=_cue(reading, responses[j]),
        )
        for (i, j), p, row, kept in zip(links, odds, cues, chosen(links, odds, heads.thresholds), strict=True)
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


def worthwhile(
    reading: Reading, accusations: Sequence[Passage], responses: Sequence[Passage], heads: Heads
) -> tuple[list[tuple[int, int]], np.ndarray]:
    """The pairs that are worth the encoder's time, and their cues."""
    links = candidate_links(accusations, responses)
    if not links:
        return [], np.zeros((0, len(LINK_CUES)), np.float32)
    cues = link_cues(reading, accusations, responses, links)
    odds = heads["link_screen"].probability(cues)
    best = np.argsort(-odds, kind="stable")[:MOST_PAIRS]
    best = np.sort(best[odds[best] >= heads.thresholds["link_screen"]])
    return [links[i] for i in best], cues[best]


def likeliest(found: Sequence[Passage], most: int) -> list[Passage]:
    """The likeliest passages, no more than ``most``, in the order of the text."""
    return sorted(sorted(found, key=lambda p: -p.probability)[:most], key=lambda p: p.start)


def pair_of(reading: Reading, accusation: Passage, response: Passage) -> Pair:
    """What the encoder reads of two passages."""
    return Pair(
        accusation=reading.text[accusation.start : accusation.end], response=reading.text[response.start : response.end]
    )


def _cue(reading: Reading, response: Passage) -> str:
    words = reading.text[response.start : response.end]
    named = next((u.speaker for u in response.units if u.speaker.cue), None)
    return strongest_cue(words) or (named.cue if named else "")


def _why(row: np.ndarray, reading: Reading, response: Passage) -> tuple[str, ...]:
    """The reasons in words, always in this order."""
    facts = dict(zip(LINK_CUES, row.tolist(), strict=True))
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
