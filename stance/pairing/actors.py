"""Who charges, whom, and who answers: the names of a pair, as the text gives them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stance.pairing.candidates import Reading
from stance.pairing.links import Passage
from stance.pairing.names import ROLES, fullest, is_person, keys, names_in, same_actor, without_title

_VERB = (
    r"(?:has |have |had |also |again |repeatedly |publicly |falsely )*(?:accus(?:ed|es|e|ing)|blam(?:ed|es"
    r"|ing)|critici[sz](?:ed|es|ing)|"
    r"condemn(?:ed|s|ing)|denounc(?:ed|es|ing)|slamm(?:ed|ing)|slams|blast(?:ed|s|ing)|su(?:ed|es|ing)"
    r"|charg(?:ed|es|ing)|fault(?:ed|s|ing)|attack(?:ed|s|ing))"
)
_OBJECT = re.compile(
    rf"\b{_VERB}\s+(?:the\s+|then\s+)?(?P<accused>[A-Z][^,;:.“”\"]*?)(?:\s+(?:of|for|over|with|in|on|after|by|to|as|from|at)\b|[,;:.“”\"]|$)"
)
_PASSIVE = re.compile(
    r"(?P<accused>[A-Z][\w’'.&-]*(?:\s[A-Z][\w’'.&-]*)*)[^.;]{0,60}?\b(?:is|was|were|are|been|being|be|stands?"
    r"|who|,)\s+(?:\w+ly\s+)?"
    r"(?:accused|charged|blamed|criticized|criticised|sued|indicted|alleged"
    r"|suspected)\b(?:[^.;]{0,80}?\bby\s+(?:the\s+)?(?P<accuser>[A-Z][\w’'.&-]*(?:\s[A-Z][\w’'.&-]*)*))?"
)
_AGAINST = re.compile(
    r"\b(?:allegations?|accusations?|charges?|claims?|complaints?|lawsuit|suit|case|indictment"
    r"|evidence)\s+(?:\w+\s+){0,3}?(?:against|about|that|of)\s+(?:the\s+|by\s+)?"
    r"(?P<accused>[A-Z][\w’'.&-]*(?:\s[A-Z][\w’'.&-]*)*)"
)
_POSSESSOR = re.compile(
    r"(?P<accuser>[A-Z][\w’'.&-]*(?:\s[A-Z][\w’'.&-]*)*)[’']s?\s+(?:allegations?|accusations?|claims?|charges?"
    r"|complaint|lawsuit|suit|criticism|comments|remarks)"
)
_THAT = re.compile(
    r"\b(?:that|said|says|alleg\w+|claim\w*|found|reported"
    r"|suggest\w*)\s+(?:the\s+)?(?P<accused>[A-Z][\w’'.&-]*(?:\s[A-Z][\w’'.&-]*)*)"
)
_PAPERS = re.compile(
    r"\b(?:the\s+)?(lawsuit|complaint|indictment|report|suit|prosecutors|investigators|critics|documents"
    r"|court documents|plaintiffs|police|authorities)\b",
    re.I,
)


def charge_actors(reading: Reading, accusation: Passage, known: Sequence[str]) -> tuple[str, str]:
    """Who makes an accusation and whom it charges; an empty name where the text does not say.

    Args:
        reading: The document taken apart.
        accusation: The charge.
        known: Full names in the document, the most frequent first.
    """
    words = reading.text[accusation.start : accusation.end]
    sentence = _sentence_of(reading, accusation)
    accuser, accused = accusation.speaker, ""
    for place in (words, sentence):
        if match := _PASSIVE.search(place):
            accused, accuser = (
                match.group("accused"),
                match.group("accuser") or ("" if same_actor(accuser, match.group("accused")) else accuser),
            )
        elif (
            (match := _OBJECT.search(place))
            or (match := _AGAINST.search(place))
            or (place is words and (match := _THAT.search(place)))
        ):
            accused = match.group("accused")
        if _is_actor(accused):
            break
        accused = ""
    if not accuser and (match := _POSSESSOR.search(sentence)):
        accuser = match.group("accuser")
    if not accuser and (match := _PAPERS.search(words)):
        accuser = match.group(1).lower()
    if not accused or same_actor(accused, accuser):
        accused = (
            _other_actor(words, accuser)
            or _other_actor(sentence, accuser)
            or _nearby_actor(reading, accusation, accuser)
        )
    return _full(accuser, known), _full(accused, known)


def answer_actor(reading: Reading, response: Passage, accused: str, known: Sequence[str]) -> str:
    """Who replies; the accused where the reply names nobody."""
    name = response.speaker
    if not name:
        words = reading.text[response.start : response.end]
        name = next((n for _, n in names_in(words)), "") or accused
    return _full(name, known)


def _full(name: str, known: Sequence[str]) -> str:
    name = re.sub(r"[’']s?$", "", without_title(name.strip(" ,.'’\"“”")))
    return fullest(name, known) if name else ""


def _is_actor(name: str) -> bool:
    return bool(name) and bool(keys(name)) and len(name) < 80


def _other_actor(words: str, accuser: str) -> str:
    """The first name in the passage that is not the accuser's."""
    for _, name in names_in(words):
        if _is_actor(name) and not same_actor(name, accuser) and not re.fullmatch(r"[A-Z]\w*(?:day|ber|ary)", name):
            return name
    return ""


def _nearby_actor(reading: Reading, accusation: Passage, accuser: str) -> str:
    """A person or body named in one of the two units before, else in the title."""
    for i in range(accusation.place - 1, max(-1, accusation.place - 3), -1):
        if name := _other_actor(reading.words_of(reading.units[i]), accuser):
            return name
    return _other_actor(reading.title, accuser)


def _sentence_of(reading: Reading, passage: Passage) -> str:
    first, last = reading.sentences[passage.units[0].sentence], reading.sentences[passage.units[-1].sentence]
    return reading.text[first.start : last.end]


def known_people(reading: Reading) -> tuple[str, ...]:
    """Full names in a document, the most frequent first."""
    counts: dict[str, int] = {}
    for _, name in names_in(reading.text[:200_000]):
        bare = without_title(name)
        if is_person(bare) and not any(w.lower() in ROLES for w in bare.split()):
            counts[bare] = counts.get(bare, 0) + 1
    return tuple(sorted(counts, key=lambda name: -counts[name]))
