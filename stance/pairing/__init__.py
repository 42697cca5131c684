"""Document -> Pairs.

    sentences -> quotes (who speaks) -> boilerplate (what to leave out) -> candidates (units and cues)
              -> links (accusations, responses, which answers which) -> actors (their names)

``find`` runs the stages; ``stance.extract_pairs`` and ``stance.analyze`` give it the encoder of a checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from stance.pairing.actors import answer_actor, charge_actors, known_people
from stance.pairing.candidates import Reading, read
from stance.pairing.links import Features, Heads, Link, Passage, find_links, find_passages, restored
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


def find(document: Document, heads: Heads, features: Features) -> Findings:
    """Find accusations, responses and links in a document.

    Args:
        document: Its text must not be a path.
        heads: Of the checkpoint whose encoder gives the features.
        features: Pairs -> pooled hidden states.
    """
    whole = read(document)
    known = known_people(whole)
    pairs: list[Pair] = []
    accusations: dict[Span, Accusation] = {}
    for piece in _pieces(whole):
        charged, links = _passages_and_links(piece, heads, features)
        for passage in charged:
            accuser, accused = charge_actors(piece, passage, known)
            accusations[passage.span] = Accusation(
                text=passage.span.of(document.text),
                span=passage.span,
                accuser=accuser,
                accused=accused,
                probability=passage.probability,
            )
        pairs.extend(_pair(piece, document, link, accusations[link.accusation.span], known) for link in links)
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


def _passages_and_links(piece: Reading, heads: Heads, features: Features) -> tuple[list[Passage], list[Link]]:
    """Accusations worth showing and the links among them, clauses made whole again where nothing else uses the rest."""
    accusations, responses = find_passages(piece, heads, features)
    links = find_links(piece, accusations, responses, heads, features)
    linked = {link.accusation.span for link in links}
    shown = [a for a in accusations if a.span in linked or a.probability >= heads.thresholds["accusation_shown"]]
    used = [*shown, *(link.response for link in links)]
    whole = {passage.span: restored(passage, piece, used) for passage in used}
    links = [
        replace(link, accusation=whole[link.accusation.span], response=whole[link.response.span]) for link in links
    ]
    return [whole[passage.span] for passage in shown], links


def _pair(piece: Reading, document: Document, link: Link, accusation: Accusation, known: Sequence[str]) -> Pair:
    return Pair(
        accusation=accusation.text,
        response=link.response.span.of(document.text),
        document_id=document.id,
        accusation_span=accusation.span,
        response_span=link.response.span,
        accusation_sentences=_sentences(piece, link.accusation),
        response_sentences=_sentences(piece, link.response),
        accuser=accusation.accuser,
        accused=accusation.accused,
        responder=answer_actor(piece, link.response, accusation.accused, known),
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


__all__ = ["Features", "Findings", "Heads", "find", "read"]
