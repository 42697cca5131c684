"""Text -> sentences with exact character spans. Knows paragraphs, speaker labels and overlong quotations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from stance.records import Span

LONGEST = 480
"""A sentence longer than this many characters is cut again at the ends of the sentences quoted inside it."""

_BLOCK = 20_000
"""A paragraph longer than this is segmented in pieces cut at white space."""

_LINE = re.compile(r"[^\r\n\u2028\u2029\x0b\x0c]+")
_ONE_BREAK = re.compile(r"[ \t]*(?:\r\n|\n|\r)[ \t]*")
_LABEL = re.compile(r"(?:(?<=\s)|^)(?:[A-Z][A-Z.'’-]+(?: [A-Z][A-Z.'’-]+){0,4}|Q|A):\s")
_INNER = re.compile(r"(?<=[.!?])[\"”’')]?\s+(?=[\"“‘]?[A-Z])")
_OPENING = re.compile(r"(?<!\s)\s+([\"“‘(\[]+)\s*$")
_ABBREVIATION = re.compile(
    r"\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Sen|Rep|Gov|Gen|Col|Lt|Sgt|Capt|Adm|Prof|Rev|Hon|St|Jr|Sr|No|vs|Jan|Feb|Mar|Apr"
    r"|Jun|Jul|Aug"
    r"|Sept|Sep|Oct|Nov|Dec)\.[\"”’')]?\s*$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """One sentence of a document.

    Attributes:
        start: Where it begins, a character offset.
        end: Where it ends.
        paragraph: The number of its paragraph (a line of the text), from 0.
        first: Whether it opens its paragraph.
        last: Whether it closes its paragraph.
    """

    start: int
    end: int
    paragraph: int
    first: bool = False
    last: bool = False

    @property
    def span(self) -> Span:
        """Its place as a ``Span``."""
        return Span(start=self.start, end=self.end)


def paragraphs(text: str) -> Iterator[tuple[int, int]]:
    """The lines of a text that are not blank, as character offsets without the white space around them.

    A line that begins in lower case goes on with the line right above it: the text was wrapped by hand.
    """
    held: tuple[int, int] | None = None
    for line in _LINE.finditer(text):
        start, end = _trimmed(text, *line.span())
        if start >= end:
            continue
        if held and text[start].islower() and _ONE_BREAK.fullmatch(text, held[1], start):
            held = held[0], end
            continue
        if held:
            yield held
        held = start, end
    if held:
        yield held


def split_sentences(text: str, language: str = "en") -> list[Sentence]:
    """Cut a text into sentences.

    Args:
        text: Any text; each line is a paragraph (see ``paragraphs``) and no sentence crosses into another.
        language: Two-letter code of its language.

    Returns:
        Sentences in order; ``text[s.start:s.end]`` is each one, without white space at its ends.
    """
    found = []
    for number, (start, end) in enumerate(paragraphs(text)):
        pieces = [piece for block in _blocks(text, start, end) for piece in _pieces(text, *block, language)]
        for i, (a, b) in enumerate(pieces):
            found.append(Sentence(start=a, end=b, paragraph=number, first=i == 0, last=i == len(pieces) - 1))
    return found


def _pieces(text: str, start: int, end: int, language: str) -> list[tuple[int, int]]:
    """The sentences of one paragraph, long ones and labelled turns cut further."""
    cuts = sorted({start, *(start + cut for cut in _boundaries(text[start:end], language)), end})
    whole = list(pairwise(cuts))
    parts: list[tuple[int, int]] = []
    for a, b in whole:
        inner = [a + m.start() for m in _LABEL.finditer(text[a:b]) if m.start()]
        for c, d in zip([a, *inner], [*inner, b], strict=True):
            parts.extend(_shorter(text, c, d))
    return [piece for piece in (_trimmed(text, a, b) for a, b in parts) if piece[0] < piece[1]]


def _boundaries(paragraph: str, language: str) -> Iterator[int]:
    """Where sentences begin, by sentencex; an opening mark left hanging at an end goes to the next sentence."""
    import sentencex

    position = 0
    for piece in sentencex.segment(language, paragraph):
        begin = paragraph.find(piece, position)
        if begin < 0:  # the segmenter changed the text: keep what it has found so far and go on
            continue
        hanging = _OPENING.search(paragraph, max(0, begin - 16), begin)
        yield hanging.start(1) if hanging and hanging.start(1) > position - 1 else begin
        position = begin + len(piece)


def _shorter(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut an overlong sentence at the ends of the sentences inside it."""
    if end - start <= LONGEST:
        yield start, end
        return
    begin = start
    for mark in _INNER.finditer(text, start, end):
        if not _ABBREVIATION.search(text, max(begin, mark.start() - 8), mark.start()) and mark.end() - begin > 40:
            yield begin, mark.end()
            begin = mark.end()
    yield begin, end


def _blocks(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut a huge paragraph at white space."""
    while end - start > _BLOCK:
        cut = text.rfind(" ", start, start + _BLOCK)
        cut = cut if cut > start else start + _BLOCK
        yield start, cut
        start = cut
    yield start, end


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
