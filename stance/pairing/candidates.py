"""Document -> units that may be an accusation or a response, and the cues by which one tells.

A unit is a sentence, or a clause of one that holds both a charge and a reply ("X said that ..., which Y denied").
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stance.pairing.boilerplate import is_heading, mark_boilerplate
from stance.pairing.names import keys, names_in, without_title
from stance.pairing.quotes import (
    Speaker,
    attribute,
    find_quotes,
    one_voice,
    quoted_share,
    spoken_verbs,
    subject_before,
    unquoted,
)
from stance.pairing.sentences import Sentence, split_sentences
from stance.records import Document, Span

_CHARGE = (
    r"accus\w*|alleg\w*|blam(?:e|ed|es|ing)|critici[sz]\w*|condemn\w*|denounc\w*|slam(?:med|s|ming)?"
    r"|blast(?:ed|s|ing)|lawsuits?|sued|suing|"
    r"indict\w*|complaints?|charg(?:ed|es|ing)|whistleblow\w*|claim(?:s|ed|ing)? that|lambast\w*|fault(?:ed|s|ing)"
)
_REPLY = (
    r"den(?:y|ied|ies|ying|ials?)|reject(?:s|ed|ing|ion)?|dismiss(?:ed|es|ing)?|disput(?:e|ed|es|ing)"
    r"|refut(?:e|ed|es|ing)|rebuff\w*|rebut\w*|"
    r"declin(?:e|ed|es|ing) to|refus(?:ed|es|ing) to (?:comment|answer|say|discuss)|apologi[sz]\w*|apology"
    r"|apologies|admit(?:s|ted|ting)?|"
    r"acknowledg\w*|conced(?:e|ed|es|ing)|defend(?:ed|s|ing)?|fired back|hit back|shot back|push(?:ed|es"
    r"|ing)? back|brush(?:ed|es|ing) (?:off|aside)|"
    r"respond(?:ed|s|ing)?|response|repl(?:y|ied|ies|ying)|counter(?:ed|s|ing)|insist(?:ed|s|ing)?"
    r"|maintain(?:ed|s|ing)?|"
    r"no comment|did(?: not|n[’']t) (?:immediately )?(?:respond|reply|return|comment|answer)"
    r"|not (?:immediately )?(?:respond|return|reply)\w*|"
    r"plead(?:s|ed)? (?:not )?guilty|guilty plea|bristled|scoffed|shrugged off|justif\w+"
)
_GROUPS: dict[str, str] = {
    "charge": _CHARGE,
    "charge_noun": r"allegations?|accusations?|charges|claims|complaints?|lawsuit|criticisms?|charge that"
    r"|concerns?|suspicions?",
    "wrong": r"illegal\w*|fraud\w*|corrupt\w*|assault\w*|harass\w*|rap(?:e|ed|ist)|collu\w*|meddl\w*"
    r"|interfer\w*|violat\w*|l(?:ied|ying|iar|ies)\b|abus\w*|"
    r"misconduct|discriminat\w*|racis\w*|misle(?:d|ad)\w*|cover(?:ed)?[- ]?up|hack\w*|poison\w*|tortur\w*"
    r"|brib\w*|launder\w*|steal\w*|stole\w*|"
    r"betray\w*|threat\w*|aggress\w*|provocat\w*|kill\w*|murder\w*|massacre\w*|bomb\w*|attack\w*|weapons?"
    r"|crime\w*|criminal\w*|unlawful\w*|"
    r"unconstitutional\w*|sexual\w*|inappropriate\w*|wrongdoing|scandal\w*|fail\w*|neglig\w*|reckless\w*"
    r"|dangerous|conspir\w*|obstruct\w*|"
    r"dishonest\w*|decepti\w*|deceiv\w*|false(?:ly)?|manipulat\w*|exploit\w*|incit\w*|spy(?:ing)?|spied"
    r"|leak\w*|terror\w*|genocide|breach\w*|broke|abuse of power|extort\w*|retaliat\w*|smear\w*|hypocri\w*",
    "reply": _REPLY,
    "deny": r"den(?:y|ied|ies|ying|ials?)|reject(?:s|ed|ing)?|dismiss(?:ed|es|ing)?|disput(?:e|ed|es|ing)"
    r"|refut\w*|false|untrue|not true|baseless|groundless|"
    r"unfounded|fabricat\w*|hoax|never|fake news|nonsense|absurd|ridiculous|nothing wrong|incorrect|inaccurate"
    r"|categorical\w*",
    "evidence": r"evidence|proof|prove[nds]?|facts|unsubstantiated|uncorroborated|unverified|grounds|basis",
    "counter": r"witch[- ]hunt|smear|political(?:ly)? (?:motivated|stunt)|irresponsible|provocative|hypocri\w*"
    r"|double standard\w*|they are|their own|partisan|slander\w*|defam\w*|distract\w*|disgrace\w*|desperate",
    "concede": r"admit\w*|acknowledg\w*|conced\w*|apologi\w*|apology|sorry|regret\w*|mistakes?|responsibility"
    r"|confirm\w*|plead(?:ed)? guilty|settle[dm]\w*|investigat\w*|review\w*|resign\w*",
    "silent": r"no comment|declin\w+ to|refus\w+ to|did(?: not|n[’']t) (?:immediately )?(?:respond|reply"
    r"|return|comment|answer)|not immediately|could not be reached|unavailable",
    "report_noun": r"report(?:s|ed)?|investigation|documents?|indictment|lawsuit|suit|complaint|dossier"
    r"|affidavit|filing",
    "spokes": r"spokes(?:man|woman|person|people)|attorney for|lawyers? for|attorneys? for|his (?:lawyer"
    r"|attorney)s?|her (?:lawyer|attorney)s?|statement|representatives?|on behalf of",
    "say": r"said|says|told|tweeted|wrote|added|stated",
    "according": r"according to|citing|cited",
    "passive_charge": r"(?:is|are|was|were|been|be|being|who|and|,) (?:\w+ly )?(?:accused|charged|blamed"
    r"|criticized|criticised|indicted|sued|alleged|suspected|convicted)",
    "accuse_of": r"accus(?:ed|es|ing) [^.]{2,80}? of|blam(?:ed|es|ing) [^.]{2,60}? for|charg(?:ed|es) (?:that|with)",
    "reply_to_noun": r"(?:den|reject|dismiss|disput|refut|respond|address|answer|call"
    r"|defend)\w* [^.]{0,50}?(?:allegation|accusation|claim|charge|report|criticism"
    r"|suggestion|lawsuit|assertion)s?",
    "back_reference": r"the (?:allegation|accusation|claim|charge|report|criticism|suggestion|lawsuit)s?"
    r"|those (?:allegations|claims|charges)|these (?:allegations|claims|charges|accusations)"
    r"|it|that|this",
    "should": r"should|must|need(?:s)? to|ought",
    "future": r"will|would|plans?|intends?|going to",
    "negation": r"not|no|n[’']t|never|nothing|nor|without",
    "first_person": r"I|we|my|our|me|us|I[’']m|I[’']ve|we[’']re",
    "second_person": r"you|your|you[’']re",
    "third_person": r"he|she|they|his|her|their",
    "contrast": r"but|however|though|although|despite|while|yet|instead|nevertheless|meanwhile",
    "question": r"asked|question(?:s|ed)?|whether|why|how",
}
_CASED = ("first_person",)
_PATTERNS = {
    name: re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", 0 if name in _CASED else re.I) for name, pattern in _GROUPS.items()
}
_NUMBERS = (
    "quoted", "words", "position", "first_in_document", "heading", "paragraph_first", "paragraph_last",
    "question_mark", "speaker", "speaker_is_role", "speaker_by_quote", "speaker_by_label", "same_voice_before",
    "same_voice_after", "opens_contrast", "names", "speaker_charged_before", "speaker_charged_near",
    "speaker_spoke_before", "ends_colon", "charge_outside", "reply_outside",
)  # fmt: skip
CUES = (*_GROUPS, *_NUMBERS)
"""Names of the columns of ``cue_matrix``."""

_CUT = re.compile(
    r"[,;]\s+(?=\w)|(?<!\s)\s+[—–-]{1,2}\s+|—|(?<!\s)\s+(?=but\s|though\s|although\s|while\s|despite\s)"
    r"|(?<!\s)\s+(?=(?:for|of|over|to|against)\s+(?:accusing|claiming|alleging|saying|blaming|suggesting|allegations?"
    r"|accusations?|claims?|charges?|counts?)\b)"
    r"|(?<=guilty)\s+(?=(?:\w+\s+\w+\s+)?to\s)|(?<=denied|denies)\s+(?=\w)|(?<=denying|refuted)\s+(?=\w)"
    r"|(?<=admitted|rejected|disputed)\s+(?=\w)"
    r"|(?<!\s)\s+(?=(?:the|these|those|any|all|such|his|her|their|an?|[A-Z][\w’']+)?\s?(?:\w+\s+)?(?:allegations?"
    r"|accusations?|claims?|charges?|reports?|"
    r"suggestions?|assertions?|complaints?|criticisms?)\s+(?:that|of|by|from|he|she|they|it|about|against|in"
    r"|made|the|who|it)\b)"
    r"|(?<!\s)\s+(?=(?:has|have|had|was|were|is|are)\s+(?:been\s+)?(?:\w+ly\s+)?(?:dismissed|rejected|denied|disputed"
    r"|baseless|false|groundless|untrue|unfounded)\b)"
    r"|(?<!\s)\s+(?=as\s)|(?<!\s)\s+(?=(?:after|when|because)\s)|(?<!\s)\s+(?=(?:were|was|are|is)\s{3,})|(?<!\s)\s+(?=to\s\w+ing\b)"
)
_MIN_CLAUSE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A passage that may be an accusation or a response: a sentence, or a clause of one.

    Attributes:
        start: Where it begins.
        end: Where it ends.
        sentence: The number of its sentence.
        clause: Whether it is only a part of it.
        speaker: Who utters it.
    """

    start: int
    end: int
    sentence: int
    clause: bool
    speaker: Speaker

    @property
    def span(self) -> Span:
        """Its place as a ``Span``."""
        return Span(start=self.start, end=self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A document taken apart; everything that the heads look at.

    Attributes:
        text: The document's text.
        title: Its title, if known.
        sentences: Its sentences, boilerplate included.
        quotes: Its quotations.
        kept: For each sentence, whether it belongs to the article.
        units: What may be an accusation or a response, in order.
    """

    text: str
    title: str
    sentences: tuple[Sentence, ...]
    quotes: tuple[Span, ...]
    kept: tuple[bool, ...]
    units: tuple[Unit, ...]

    def words_of(self, unit: Unit) -> str:
        """The text of a unit."""
        return self.text[unit.start : unit.end]


def read(document: Document) -> Reading:
    """Take a document apart into sentences, speakers and units."""
    text = document.text
    sentences = split_sentences(text, document.language or "en")
    quotes = find_quotes(text)
    speakers = attribute(text, sentences, quotes)
    kept = [not dropped for dropped in mark_boilerplate(text, sentences)]
    units = [
        Unit(start=s.start, end=s.end, sentence=number, clause=False, speaker=speaker)
        for number, (s, speaker, keep) in enumerate(zip(sentences, speakers, kept, strict=True))
        if keep and re.search(r"\w\W+\w", text[s.start : s.end])
    ]
    return Reading(
        text=text,
        title=document.title,
        sentences=tuple(sentences),
        quotes=tuple(quotes),
        kept=tuple(kept),
        units=tuple(units),
    )


def split(reading: Reading, unit: Unit) -> tuple[Unit, Unit] | None:
    """Cut a sentence that may hold both a charge and its answer.

    Returns:
        The clause of the charge and the clause of the answer; ``None`` where the cues do not show both.
    """
    near = quotes_near(reading.quotes, unit)
    outside = unquoted(reading.text, unit.start, unit.end, near)
    found = split_point(outside, reading.words_of(unit))
    if found is None:
        return None
    end, start, answer_first = found
    left = _clause(reading, unit, unit.start, unit.start + end, near)
    right = _clause(reading, unit, unit.start + start, unit.end, near)
    return (right, left) if answer_first else (left, right)


def _clause(reading: Reading, unit: Unit, start: int, end: int, quotes: Sequence[Span]) -> Unit:
    """A clause, with a speaker of its own where a name leads its verb."""
    speaker = unit.speaker
    outside = unquoted(reading.text, start, end, quotes)
    for match in spoken_verbs(outside):
        name = subject_before(outside[: match.start()])
        if name and name[0].isupper():
            speaker = Speaker(name=without_title(name), cue=match.group().lower(), how="verb")
            break
    return Unit(start=start, end=end, sentence=unit.sentence, clause=True, speaker=speaker)


def split_point(outside: str, whole: str) -> tuple[int, int, bool] | None:
    """Where to cut a sentence into a charge and an answer.

    Args:
        outside: The sentence, its quotations blanked out; cuts are sought here.
        whole: The sentence as it stands; the clauses are weighed here.

    Returns:
        Where the first clause ends, where the second begins, and whether the answer comes first; ``None`` where one
        of the two is missing.
    """
    best: tuple[float, tuple[int, int, bool]] | None = None
    for match in _CUT.finditer(outside):
        left, right = whole[: match.start()], whole[match.end() :]
        if min(len(left), len(right)) < _MIN_CLAUSE:
            continue
        for answer, charge, answer_first in ((left, right, True), (right, left, False)):
            score = _reply_score(answer) + _charge_score(charge) - 0.8 * _reply_score(charge)
            score -= 0.5 * bool(_PATTERNS["accuse_of"].search(answer))
            if _reply_score(answer) and _charge_score(charge) and (best is None or score > best[0]):
                best = (score, (match.start(), match.end(), answer_first))
    return best[1] if best else None


def _reply_score(clause: str) -> float:
    return 2.0 * bool(_PATTERNS["reply"].search(clause)) or 1.0 * bool(
        _PATTERNS["deny"].search(clause) or _PATTERNS["counter"].search(clause)
    )


def _charge_score(clause: str) -> float:
    if _PATTERNS["charge"].search(clause) or _PATTERNS["charge_noun"].search(clause):
        return 2.0
    return 1.0 * bool(_PATTERNS["wrong"].search(clause))


def cue_matrix(reading: Reading) -> np.ndarray:
    """The cues of every unit; float32, shape (n_units, len(CUES))."""
    rows = np.zeros((len(reading.units), len(CUES)), dtype=np.float32)
    memory = _Memory()
    for i, unit in enumerate(reading.units):
        rows[i] = _cues(reading, i, unit, memory)
    return rows


class _Memory:
    """Who has been charged, and who has spoken, so far in the text."""

    def __init__(self) -> None:
        self.charged: dict[str, int] = {}
        self.spoken: set[str] = set()


def _cues(reading: Reading, i: int, unit: Unit, memory: _Memory) -> np.ndarray:
    words = reading.words_of(unit)
    near = quotes_near(reading.quotes, unit)
    outside = unquoted(reading.text, unit.start, unit.end, near)
    sentence = reading.sentences[unit.sentence]
    previous = reading.units[i - 1] if i else None
    following = reading.units[i + 1] if i + 1 < len(reading.units) else None
    found = [min(3, len(_PATTERNS[name].findall(words))) for name in _GROUPS]
    speaker = keys(unit.speaker.name)
    seen = [memory.charged[key] for key in speaker if key in memory.charged]
    numbers: list[Any] = [
        quoted_share(unit.start, unit.end, near),
        min(2.0, len(words.split()) / 30),
        i / max(1, len(reading.units)),
        i == 0,
        is_heading(words) and sentence.first and sentence.last,
        sentence.first,
        sentence.last,
        "?" in words,
        bool(speaker),
        bool(unit.speaker.name) and bool(_PATTERNS["spokes"].search(words)),
        unit.speaker.how == "quote",
        unit.speaker.how == "label",
        previous is not None and one_voice(previous.speaker, unit.speaker),
        following is not None and one_voice(following.speaker, unit.speaker),
        bool(re.match(r"[\"“']?(?:But|However|Yet|Still|Though|In response|Meanwhile|Asked)\b", words)),
        min(4, len(names_in(words))) / 2,
        bool(seen),
        any(i - at <= 6 for at in seen),
        bool(speaker & memory.spoken),
        words.endswith(":"),
        bool(_PATTERNS["charge"].search(outside)),
        bool(_PATTERNS["reply"].search(outside)),
    ]
    if _PATTERNS["charge"].search(words) or _PATTERNS["wrong"].search(words):
        for _, name in names_in(words):
            for key in keys(name) - speaker:
                memory.charged[key] = i
    memory.spoken |= speaker
    return np.array([*found, *numbers], dtype=np.float32)


def quotes_near(quotes: Sequence[Span], unit: Unit) -> list[Span]:
    """The quotations that touch a unit; ``quotes`` is sorted."""
    found = []
    for k in range(bisect_right(quotes, unit.start, key=lambda q: q.end), len(quotes)):
        if quotes[k].start >= unit.end:
            break
        found.append(quotes[k])
    return found


def strongest_cue(words: str) -> str:
    """The word that most gives a reply away, for people to read; empty if there is none."""
    for name in ("silent", "reply_to_noun", "deny", "concede", "evidence", "counter", "reply"):
        if match := _PATTERNS[name].search(words):
            return match.group().lower()[:60]
    return ""
