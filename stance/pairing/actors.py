"""Who charges, whom, and who answers: the names of a pair, as the text gives them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from stance.pairing.candidates import Reading
from stance.pairing.links import Passage
from stance.pairing.names import fullest, is_state, names_in, same_actor, without_title
from stance.pairing.quotes import ROLE, SPEECH, Speaker, subject_before
from stance.records import Accusation

_NAME = r"[A-Z][\w’'.&-]*(?:\s[A-Z][\w’'.&-]*)*"
_BE = r"\b(?:is|was|were|are|been|being|be|stands?|stood)\s+(?:\w+ly\s+|also\s+|once\s+)?"
_VERB = (
    r"(?:accus(?:ed|es|e|ing)|blam(?:ed|es|ing)|critici[sz](?:ed|es|ing)|condemn(?:ed|s|ing)|denounc(?:ed|es|ing)"
    r"|slamm(?:ed|ing)|slams|blast(?:ed|s|ing)|su(?:ed|es|ing)|charg(?:ed|es|ing)|fault(?:ed|s|ing)|attack(?:ed|s|ing))"
)
_CROWDS = "police|prosecutors|authorities|officials|critics|opponents"
_OBJECT = re.compile(
    rf"\b(?P<verb>{_VERB})\s+(?:(?:the\s+|then\s+)?(?P<accused>[A-Z][^,;:.“”\"]*?)"
    r"(?:\s+(?:of|for|over|with|in|on|after|by|to|as|from|at)\b|[,;:.“”\"]|$)"
    rf"|(?P<self>us|me)\b|(?P<crowd>{_CROWDS})\b"
    rf"|(?P<role>{ROLE.pattern}))"
)
_PASSIVE = re.compile(
    rf"(?:{_BE}(?:accused|charged|blamed|criticized|criticised|sued|indicted|alleged|suspected)\b"
    r"|,\s+(?:\w+ly\s+)?(?:accused(?=\s+(?:of|by)\b)|charged(?=\s+(?:with|by)\b)|blamed(?=\s+(?:for|by)\b))"
    r"|\b(?:faces?|faced|facing)\s+(?:\w+\s+){0,3}?(?:charges|allegations|accusations|claims)\b)"
    rf"(?:[^.;]{{0,80}}?\bby\s+(?:the\s+)?(?P<accuser>{_NAME}))?"
)
_AGAINST = re.compile(
    r"\b(?:allegations?|accusations?|charges?|claims?|complaints?|lawsuit|suit|case|indictment"
    rf"|evidence)\s+(?:\w+\s+){{0,3}}?(?:against|about|that|of)\s+(?:the\s+|by\s+)?(?P<accused>{_NAME})"
)
_POSSESSOR = re.compile(
    rf"(?P<accuser>{_NAME})[’']s?\s+(?:allegations?|accusations?|claims?|charges?"
    r"|complaint|lawsuit|suit|criticism|comments|remarks)"
)
_THAT = re.compile(
    rf"\b(?:that|said|says|alleg\w+|claim\w*|found|reported|suggest\w*)\s+(?:the\s+)?(?P<accused>{_NAME})"
)
_PAPERS = re.compile(
    r"\b(?:the\s+)?(lawsuit|complaint|indictment|report|suit|prosecutors|investigators|critics|documents"
    r"|court documents|plaintiffs|police|authorities)\b",
    re.I,
)
_CROWD_BEFORE = re.compile(rf"\b({_CROWDS})\s+(?:(?:have|has|had|also|\w+ly)\s+)*$", re.I)
_THAT_ROLE = re.compile(rf"\b(?:that|alleg\w+|claim\w*)\s+(?P<accused>{ROLE.pattern})")
_REFUSED_CHARGE = re.compile(
    r"(?:reject|dismiss|rebuff)\w*\s+(?:\w+\s+){0,2}?(?:allegations?|accusations?|claims?|charges|suggestions?|criticisms?)\b"
)
_ANSWERS = re.compile(r"den(?:y|i)|admit|acknowledg|conced|apologi|plead|disput|refut", re.I)
_REFUSES = re.compile(r"reject|dismiss|rebuff|defend|demand", re.I)
_SPOKEN_FOR = re.compile(
    r"^.*?\b(?:spokes\w+|lawyers?|attorneys?|representatives?)\s+(?:for|of)\s+(?:the\s+)?(?=[A-Z])"
)
_SPEAKS_FOR = re.compile(r"\b(?:spokes|lawyer|attorney|representative)", re.I)
_NEXT_TURNS = 8


def charge_actors(
    reading: Reading, accusation: Passage, known: Sequence[str], reply: Passage | None = None
) -> tuple[str, str]:
    """Who makes an accusation and whom it charges; an empty name where the text does not say.

    Args:
        reading: The document taken apart.
        accusation: The charge, as it was found: a clause, where its sentence holds the reply too.
        known: Full names in the document, the most frequent first.
        reply: The passage that most likely answers it, if any does.
    """
    words = reading.text[accusation.start : accusation.end]
    sentence = _sentence_of(reading, accusation)
    voice = accusation.voice
    accuser, answering = voice.name, ""
    refuses = _REFUSES.match(voice.cue) and (accusation.clause or _REFUSED_CHARGE.search(sentence))
    if refuses or _ANSWERS.match(voice.cue):
        accuser, answering = "", voice.name
    accuser, accused = _by_grammar(words, voice, accuser)
    if not accused and sentence != words:
        accuser, accused = _by_grammar(sentence, voice, accuser)
    if not accused and (match := _first_actor(_THAT, words, accuser)):
        accused = match
    if not accuser and (found := _POSSESSOR.search(sentence)) and not same_actor(found.group("accuser"), accused):
        accuser = found.group("accuser")
    if not accuser and (found := _PAPERS.search(words)) and not same_actor(found.group(1), accused):
        accuser = found.group(1).lower()
    accused = accused or answering or _by_context(reading, accusation, accuser, known, reply)
    return _full(accuser, known), _full(accused, known)


def answer_actor(reading: Reading, response: Passage, accusation: Accusation, known: Sequence[str]) -> str:
    """Who replies; the accused where the reply names nobody, or is a clause beside the accuser's own."""
    name = response.speaker
    if response.clause and accusation.accused and same_actor(name, accusation.accuser):
        name = accusation.accused
    words = reading.text[response.start : response.end]
    return _full(name or accusation.accused or next((n for _, n in names_in(words)), ""), known)


def _by_grammar(place: str, voice: Speaker, accuser: str) -> tuple[str, str]:
    """Accuser and accused by the verbs and nouns of a passage; the accused is empty where they do not tell."""
    for match in _PASSIVE.finditer(place):
        accused = _subject(place[: match.start()])
        if _is_actor(accused):
            return match.group("accuser") or ("" if same_actor(accuser, accused) else accuser), accused
    for match in _OBJECT.finditer(place):
        if re.search(rf"{_BE}$", place[: match.start()]):
            continue
        if match.group("self"):
            return _active_subject(place[: match.start()], match, voice, ""), voice.name
        who = _active_subject(place[: match.start()], match, voice, accuser)
        accused = match.group("accused") or match.group("crowd") or match.group("role")
        if _is_actor(accused) and not same_actor(accused, who):
            return who, accused
    return accuser, _first_actor(_AGAINST, place, accuser)


def _subject(left: str) -> str:
    """The name that leads a verb, sought behind the verb of speech before it; empty for a pronoun."""
    spoken = [] if left.rstrip().endswith(",") else [m.end() for m in SPEECH.finditer(left)]
    for start in (spoken[-1] if spoken else 0, 0):
        if name := subject_before(left[start:]):
            return name if _is_actor(name) else ""
    return ""


def _active_subject(left: str, verb: re.Match[str], voice: Speaker, accuser: str) -> str:
    """Who does the accusing where the passage names them beside the verb; else the accuser so far."""
    if voice.how == "verb" and voice.cue == verb.group("verb").lower():
        return voice.name  # already resolved: "the envoy" -> "Ada Berg"
    if verb.group("verb").endswith("ing"):
        return accuser
    if crowd := _CROWD_BEFORE.search(left):
        return crowd.group(1).lower()
    subject = _subject(left)
    if not subject and re.search(r"\band\s+(?:\w+ly\s+|then\s+|also\s+)?$", left):
        return voice.name  # "rejected it and accused Nordia"
    return subject if subject[:1].isupper() else accuser


def _first_actor(pattern: re.Pattern[str], place: str, accuser: str) -> str:
    """The first accused that a pattern finds and that is not the accuser."""
    names = (match.group("accused") for match in pattern.finditer(place))
    return next((name for name in names if _is_actor(name) and not same_actor(name, accuser)), "")


def _by_context(
    reading: Reading, accusation: Passage, accuser: str, known: Sequence[str], reply: Passage | None
) -> str:
    """The accused where no verb tells: who answers, who is addressed, who else is named in or near the charge."""
    words = reading.text[accusation.start : accusation.end]
    answerer = _SPOKEN_FOR.sub("", reply.speaker) if reply else ""
    if not _is_actor(answerer) or _SPEAKS_FOR.search(answerer) or same_actor(answerer, accuser):
        answerer = ""
    named = next((name for _, name in names_in(words) if answerer and same_actor(name, answerer)), "")
    first = accusation.units[0]
    sentence = reading.sentences[first.sentence]
    return (
        named
        or _addressed(reading, accusation, words)
        or answerer
        or _role_charged(words, accuser)
        or next(_other_actors(reading, accusation.start, accusation.end, accuser, known), "")
        or next(_other_actors(reading, sentence.start, sentence.end, accuser, known), "")
        or _nearby_actor(reading, accusation, accuser, known)
    )


def _role_charged(words: str, accuser: str) -> str:
    """ "The suit alleges that the company lied": whom a role names; not a paper, nor who speaks for another."""
    role = _first_actor(_THAT_ROLE, words, accuser)
    return "" if _SPEAKS_FOR.search(role) or _PAPERS.search(role) else role


def _addressed(reading: Reading, accusation: Passage, words: str) -> str:
    """In a transcript, "you" is who speaks next."""
    turn = accusation.voice.turn
    if turn < 0 or not re.search(r"\byour?\b", words, re.I):
        return ""
    following = reading.units[accusation.last + 1 : accusation.last + 1 + _NEXT_TURNS]
    name = next((unit.speaker.name for unit in following if unit.speaker.turn > turn), "")
    return name if len(name) > 1 else ""  # not Q and A


def _full(name: str, known: Sequence[str]) -> str:
    name = re.sub(r"[’']s?$", "", without_title(name.strip(" ,.'’\"“”")))
    return fullest(name, known) if name else ""


def _is_actor(name: str) -> bool:
    """Whether it is a name or a role ("the company"), and no pronoun, day or bare title."""
    return 0 < len(name) < 80 and bool(names_in(name) or ROLE.match(name) or re.fullmatch(_CROWDS, name))


def _other_actors(reading: Reading, start: int, end: int, accuser: str, known: Sequence[str]) -> Iterator[str]:
    """The names in a passage that are not the accuser's; not a word that is capital because it opens a sentence."""
    for at, name in names_in(reading.text[start:end]):
        if same_actor(name, accuser) or len(name) >= 80:
            continue
        if " " in name or not _opens(reading, start + at) or _is_surely_a_name(reading, name, known):
            yield name


def _opens(reading: Reading, at: int) -> bool:
    sentence = reading.sentences[bisect_right(reading.sentences, at, key=lambda s: s.start) - 1]
    return not reading.text[sentence.start : at].strip(" \"“‘'([")


def _is_surely_a_name(reading: Reading, word: str, known: Sequence[str]) -> bool:
    return (
        is_state(word)
        or any(word in name.split() for name in known)
        or bool(re.search(rf"[a-z,] {re.escape(word)}\b", reading.text))
    )


def _nearby_actor(reading: Reading, accusation: Passage, accuser: str, known: Sequence[str]) -> str:
    """A person or body named in one of the two units before, else in the title."""
    for i in range(accusation.place - 1, max(-1, accusation.place - 3), -1):
        unit = reading.units[i]
        if name := next(_other_actors(reading, unit.start, unit.end, accuser, known), ""):
            return name
    return next((name for _, name in names_in(reading.title) if not same_actor(name, accuser)), "")


def _sentence_of(reading: Reading, passage: Passage) -> str:
    first, last = reading.sentences[passage.units[0].sentence], reading.sentences[passage.units[-1].sentence]
    return reading.text[first.start : last.end]
