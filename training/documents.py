"""Whole documents and their labels: every accusation, response and link, as character spans.

``data/documents.jsonl`` holds the spans, the names and the sha256 of each text, never the text. ``read_documents``
rejoins the texts from the corpora and checks them. ``training.articles`` trains on them, ``training.ledger_scores`` judges
by them.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stance.errors import InputError
from stance.pairing.candidates import Reading, read
from stance.records import Document, Pair, Span
from training.corpora import DATA, read_lines, read_split, texts_folder

DOCUMENTS_FILE = DATA / "documents.jsonl"

SPLITS = ("train", "articles", "tuning", "validation", "test", "five")
"""``train`` also gives the judge of pairs its questions; the article network learns from it and from ``articles``; what
comes after the network (the head of links, the thresholds) is fitted on ``tuning``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldAccusation:
    """A charge as a reader marked it; the names are empty where the text does not say."""

    span: Span
    accuser: str = ""
    accused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldResponse:
    """A reply as a reader marked it."""

    span: Span
    responder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldLink:
    """A response (by position) that answers an accusation (by position), and its stances, the primary first."""

    accusation: int
    response: int
    labels: tuple[str, ...] = ()

    @property
    def label(self) -> str | None:
        """The primary stance; ``None`` for none of the four."""
        return self.labels[0] if self.labels else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledDocument:
    """A document with everything that one reader marked in it."""

    document: Document
    accusations: tuple[GoldAccusation, ...]
    responses: tuple[GoldResponse, ...]
    links: tuple[GoldLink, ...]
    reader: str
    split: str
    reading: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a system, or a reader, found in one document: spans, and links ``(accusation, response, label)``."""

    accusations: tuple[Span, ...] = ()
    responses: tuple[Span, ...] = ()
    links: tuple[tuple[Span, Span, str | None], ...] = ()


def read_documents(
    *splits: str, texts: str | os.PathLike[str] | None = None, reading: int = 1
) -> list[LabelledDocument]:
    """Read labelled documents and rejoin their texts.

    Args:
        *splits: Which of ``SPLITS``; all if none is given.
        texts: The folder that holds ``corpora/`` and ``documents/``; ``STANCE_TEXTS`` or ``../shared`` if ``None``.
        reading: 1 for the labels to train and judge by; 2 and 3 for those of each reader, where two have read, before
            their differences were settled.

    Raises:
        InputError: A split is unknown, a text is missing, or it differs from its hash.
    """
    if unknown := set(splits) - set(SPLITS):
        raise InputError(f"no split {sorted(unknown)}; the splits are {', '.join(SPLITS)}")
    rows = [
        row for row in read_lines(DOCUMENTS_FILE) if row["reading"] == reading and row["split"] in (splits or SPLITS)
    ]
    found = _texts({row["document"] for row in rows}, texts_folder(texts))
    return [_labelled(row, found) for row in rows]


def _texts(wanted: set[str], folder: Path) -> dict[str, Document]:
    """Documents by name, from the folder of the five and from the articles."""
    found = {}
    for path in sorted((folder / "documents").glob("*.txt")):
        if path.stem in wanted:
            found[path.stem] = Document(text=path.read_text(encoding="utf-8"), id=path.stem)
    articles = next((p for p in (folder / "corpora", folder) if (p / "articles.jsonl.xz").is_file()), None)
    if wanted - set(found) and articles is not None:
        for row in read_lines(articles / "articles.jsonl.xz"):
            if row["document"] in wanted:
                found[row["document"]] = Document(
                    text=row["text"], id=row["document"], title=row["title"], date=row["date"], outlet=row["outlet"]
                )
    return found


def _labelled(row: Mapping[str, Any], found: Mapping[str, Document]) -> LabelledDocument:
    document = found.get(row["document"])
    if document is None:
        raise InputError(
            f"the text of document {row['document']} is not there; give the folder of the texts (STANCE_TEXTS)"
        )
    if hashlib.sha256(document.text.encode()).hexdigest() != row["sha256"]:
        raise InputError(
            f"the text of document {row['document']} differs from the labelled one (sha256 {row['sha256'][:12]})"
        )
    return LabelledDocument(
        document=document,
        accusations=tuple(
            GoldAccusation(span=Span(start=a["span"][0], end=a["span"][1]), accuser=a["accuser"], accused=a["accused"])
            for a in row["accusations"]
        ),
        responses=tuple(
            GoldResponse(span=Span(start=r["span"][0], end=r["span"][1]), responder=r["responder"])
            for r in row["responses"]
        ),
        links=tuple(
            GoldLink(accusation=x["accusation"], response=x["response"], labels=tuple(x["labels"]))
            for x in row["links"]
        ),
        reader=row["reader"],
        split=row["split"],
        reading=row["reading"],
    )


def gold_of(gold: LabelledDocument) -> Found:
    """The spans and links of a labelled document."""
    return Found(
        accusations=tuple(a.span for a in gold.accusations),
        responses=tuple(r.span for r in gold.responses),
        links=tuple(
            (gold.accusations[x.accusation].span, gold.responses[x.response].span, x.label) for x in gold.links
        ),
    )


def covers(first: Span, second: Span) -> bool:
    """The criterion of the figures: the two share at least half of the shorter one's characters."""
    return shared(first, second) * 2 >= min(len(first), len(second))


def resembles(first: Span, second: Span) -> bool:
    """The strict criterion: the two share at least half of all the characters that either covers (IoU >= 0.5)."""
    both = shared(first, second)
    return both * 2 >= len(first) + len(second) - both


def shared(first: Span, second: Span) -> int:
    """How many characters two spans share."""
    return max(0, min(first.end, second.end) - max(first.start, second.start))


def passages_around_pairs(
    *, texts: str | os.PathLike[str] | None = None, margin: int = 400
) -> Iterator[tuple[Document, Found, Span]]:
    """The passages around the labelled pairs of training articles that were not read whole.

    Args:
        texts: The folder of the texts.
        margin: How many characters to either side of a pair's texts are taken along.
    """
    whole = {row["document"] for row in read_lines(DOCUMENTS_FILE)}
    pairs: dict[str, list[Any]] = {}
    for pair in read_split("train", texts=texts):
        if pair.source == "news" and pair.document_id not in whole:
            pairs.setdefault(pair.document_id, []).append(pair)
    for name, document in sorted(_texts(set(pairs), texts_folder(texts)).items()):
        places = [_place(document.text, pair) for pair in pairs[name]]
        links = tuple(place for place in places if place is not None)
        for group in _groups(links, 2 * margin):
            edges = [edge for a, r, _ in group for edge in (a.start, a.end, r.start, r.end)]
            region = Span(start=max(0, min(edges) - margin), end=min(len(document.text), max(edges) + margin))
            spans = (tuple({a: None for a, _, _ in group}), tuple({r: None for _, r, _ in group}))
            yield (
                replace(document, id=f"{name}:{region.start}"),
                Found(accusations=spans[0], responses=spans[1], links=tuple(group)),
                region,
            )


def _place(text: str, pair: Any) -> tuple[Span, Span, str | None] | None:
    """Where the two texts of a pair stand in an article whose white space is as published."""
    spans = []
    for piece in (pair.accusation, pair.response):
        pattern = r"\s+".join(re.escape(word) for word in piece.split())
        match = re.search(pattern, text)
        if match is None:
            return None
        spans.append(Span(start=match.start(), end=match.end()))
    return spans[0], spans[1], pair.label


def _groups(links: Sequence[tuple[Span, Span, str | None]], gap: int) -> list[list[tuple[Span, Span, str | None]]]:
    """Links whose places lie close together."""
    groups: list[tuple[int, list[tuple[Span, Span, str | None]]]] = []
    for link in sorted(links, key=lambda x: min(x[0].start, x[1].start)):
        begin, end = min(link[0].start, link[1].start), max(link[0].end, link[1].end)
        if groups and begin - groups[-1][0] <= gap:
            groups[-1] = (max(groups[-1][0], end), [*groups[-1][1], link])
        else:
            groups.append((end, [link]))
    return [group for _, group in groups]


def questions(
    *, texts: str | os.PathLike[str] | None = None, most: int = 2000, seed: int = 0
) -> list[tuple[Pair, dict[str, bool]]]:
    """What the judge's encoder learns beside the stances; the network that reads articles starts from it.

    Three yes-or-no questions: does a sentence
    accuse (``accuses``) or reply (``replies``), behind the one before it; and does the second text answer the first
    (``answers``): labelled pairs do, an accusation beside a sentence nearby and a sentence beside a response do not.

    Args:
        texts: The folder of the texts.
        most: Of each of three kinds no more than this many: sentences of documents read whole, sentences of passages
            around labelled pairs, pairs that do not answer. Pairs that do are training pairs already and cost nothing.
        seed: Of the choice among them.

    Returns:
        Texts with answers by the name of the question.
    """
    draw = random.Random(seed)
    sentences: dict[bool, list[tuple[Pair, dict[str, bool]]]] = {True: [], False: []}
    links: dict[bool, list[tuple[Pair, dict[str, bool]]]] = {True: [], False: []}
    read_whole = [(item.document, gold_of(item), None) for item in read_documents("train", texts=texts)]
    for document, gold, region in [*read_whole, *passages_around_pairs(texts=texts)]:
        reading = read(document)
        asked = []
        for unit, shown in zip(reading.units, _sentence_pairs(reading), strict=True):
            if region is not None and not (unit.start < region.end and region.start < unit.end):
                continue
            accuses, replies = (any(covers(unit.span, g) for g in side) for side in (gold.accusations, gold.responses))
            asked.append((unit.span, shown, accuses, replies))
        marked = [x for x in asked if x[2] or x[3]]
        idle = [x for x in asked if not (x[2] or x[3])]
        for _, shown, accuses, replies in [*marked, *draw.sample(idle, min(len(idle), 2 * len(marked)))]:
            # around a labelled pair a charge may be a reply too and is not marked as one: only a "yes" is told of it
            told = {"accuses": accuses, "replies": replies}
            if region is not None and (accuses or replies):
                told = {name: answer for name, answer in told.items() if answer}
            sentences[region is None].append((shown, told))
        for charge, reply, _ in gold.links:
            links[True].append((_answer(document, charge, reply), {"answers": True}))
            others = [s for s, _, _, replies in asked if not replies and not s.overlaps(charge)]
            links[False] += [
                (_answer(document, charge, s), {"answers": False}) for s in draw.sample(others, min(1, len(others)))
            ]
            answered = [a for a, r, _ in gold.links if r.overlaps(reply)]
            apart = [s for s, *_ in asked if not s.overlaps(reply) and not any(s.overlaps(a) for a in answered)]
            links[False] += [
                (_answer(document, s, reply), {"answers": False}) for s in draw.sample(apart, min(1, len(apart)))
            ]
    kinds = (*sentences.values(), links[False])
    return [*links[True], *(row for kind in kinds for row in draw.sample(kind, min(most, len(kind))))]


def _sentence_pairs(reading: Reading) -> list[Pair]:
    """Each sentence behind the one before it (or the title), as a pair."""
    words = [reading.words_of(unit) for unit in reading.units]
    return (
        [
            Pair(accusation=before, response=here)
            for before, here in zip([reading.title or ".", *words[:-1]], words, strict=True)
        ]
        if words
        else []
    )


def _answer(document: Document, charge: Span, reply: Span) -> Pair:
    return Pair(accusation=charge.of(document.text), response=reply.of(document.text), document_id=document.id)
