"""Document -> Pairs.

    sentences -> quotes (who speaks) -> boilerplate (what to leave out) -> candidates (units and cues)
              -> layout (windows of tokens) -> network (what charges, what replies, what answers what)
              -> links (passages, and which answers which) -> actors (their names)

``find`` runs the stages with a ``finder``, which ``stance.extract_pairs`` and ``stance.analyze`` open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from stance.pairing.actors import answer_actor, charge_actors
from stance.pairing.candidates import Reading, read
from stance.pairing.finder import Finder
from stance.pairing.links import Link, Passage, find_links, find_passages, restored
from stance.pairing.names import people_in
from stance.records import Accusation, Document, Pair, Span

PIECE = 220
"""A document of more units than this is read in pieces of so many, so that time grows with its length and no faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was found in a document, before the pairs are judged.

    Attributes:
        pairs: In the order of their responses in the text.
        accusations: Every accusation, answered or not, in the order of the text.
        chains: ``(i, j)``: the response of pair *i* is the accusation that pair *j* answers.
    """

    pairs: tuple[Pair, ...]
    accusations: tuple[Accusation, ...]
    chains: tuple[tuple[int, int], ...]


def find(document: Document, finder: Finder) -> Findings:
    """Find accusations, responses and links in a document.

    Args:
        document: Its text must not be a path.
        finder: The network, its heads and thresholds.
    """
    whole = read(document)
    known = people_in(whole.text)
    pairs: list[Pair] = []
    accusations: dict[Span, Accusation] = {}
    for piece in _pieces(whole):
        shown, links = _passages_and_links(piece, finder)
        whole_of = _restored(piece, [*shown, *(link.response for link in links)])
        made: dict[int, Accusation] = {}
        for passage in shown:
            made[id(passage)] = _accusation(piece, passage, whole_of[id(passage)].span, links, known)
            accusations[made[id(passage)].span] = made[id(passage)]
        pairs.extend(_pair(piece, document, link, made[id(link.accusation)], whole_of, known) for link in links)
    pairs.sort(
        key=lambda p: (
            (p.response_span.start, p.accusation_span.start) if p.response_span and p.accusation_span else (0, 0)
        )
    )
    return Findings(
        pairs=tuple(pairs),
        accusations=tuple(sorted(accusations.values(), key=lambda a: (a.span.start, a.span.end))),
        chains=_chains(pairs),
    )


def _pieces(reading: Reading) -> Iterator[Reading]:
    units = iter(reading.units)
    while part := tuple(islice(units, PIECE)):
        yield replace(reading, units=part)


def _passages_and_links(piece: Reading, finder: Finder) -> tuple[list[Passage], list[Link]]:
    """Accusations worth showing, as they were found, and the links among them."""
    if not piece.units:
        return [], []
    scores = finder.score(piece)
    accusations, responses = find_passages(piece, scores, finder.thresholds)
    links = find_links(piece, scores, accusations, responses, finder.link, finder.thresholds)
    linked = {link.accusation.span for link in links}
    shown = [a for a in accusations if a.span in linked or a.probability >= finder.thresholds["accusation_shown"]]
    return shown, links


def _restored(piece: Reading, used: Sequence[Passage]) -> dict[int, Passage]:
    """By ``id`` of passage (a sentence may be charge and reply at once), the one to show: see ``restored``."""
    return {id(passage): restored(passage, piece, used) for passage in used}


def _accusation(
    piece: Reading, passage: Passage, span: Span, links: Sequence[Link], known: Sequence[str]
) -> Accusation:
    answers = [link for link in links if link.accusation is passage]
    reply = max(answers, key=lambda link: link.probability).response if answers else None
    accuser, accused = charge_actors(piece, passage, known, reply)
    return Accusation(
        text=span.of(piece.text), span=span, accuser=accuser, accused=accused, probability=passage.probability
    )


def _pair(
    piece: Reading,
    document: Document,
    link: Link,
    accusation: Accusation,
    whole_of: Mapping[int, Passage],
    known: Sequence[str],
) -> Pair:
    response_span = whole_of[id(link.response)].span
    return Pair(
        accusation=accusation.text,
        response=response_span.of(document.text),
        document_id=document.id,
        accusation_span=accusation.span,
        response_span=response_span,
        accusation_sentences=_sentences(piece, link.accusation),
        response_sentences=_sentences(piece, link.response),
        accuser=accusation.accuser,
        accused=accusation.accused,
        responder=answer_actor(piece, link.response, accusation, known),
        cue=link.cue,
        link_probability=link.probability,
        why=link.why,
    )


def _sentences(piece: Reading, passage: Passage) -> Span:
    first, last = piece.sentences[passage.units[0].sentence], piece.sentences[passage.units[-1].sentence]
    return Span(start=first.start, end=last.end)


def _chains(pairs: Sequence[Pair]) -> tuple[tuple[int, int], ...]:
    """Where a response is itself an accusation that another pair answers."""
    chains = []
    for i, first in enumerate(pairs):
        for j, second in enumerate(pairs):
            reply, charge = first.response_span, second.accusation_span
            if i != j and reply and charge and reply.overlaps(charge):
                shared = min(reply.end, charge.end) - max(reply.start, charge.start)
                if shared * 2 >= min(len(reply), len(charge)):
                    chains.append((i, j))
    return tuple(chains)


__all__ = ["Finder", "Findings", "find", "read"]
