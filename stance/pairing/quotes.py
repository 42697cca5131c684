"""Quotations, and who speaks: attributions, transcript labels, and pronouns and titles that refer back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from stance.pairing.names import ROLES, fullest, is_person, names_in, people_in, same_actor, without_title
from stance.pairing.sentences import Sentence, paragraphs
from stance.records import Span

_SAYING = (
    r"sa(?:id|ys|ying)|told|tell(?:s|ing)|tweet(?:ed|s|ing)|wrote|writ(?:es|ing)|add(?:ed|s|ing)|stat(?:ed|es"
    r"|ing)|ask(?:ed|s)|"
    r"argu(?:ed|es|ing)|claim(?:ed|s|ing)|alleg(?:ed|es|ing)|insist(?:ed|s|ing)|maintain(?:ed|s|ing)"
    r"|contend(?:ed|s|ing)|"
    r"warn(?:ed|s|ing)|declar(?:ed|es|ing)|announc(?:ed|es|ing)|explain(?:ed|s|ing)|not(?:ed|es|ing)"
    r"|testif(?:ied|ies|ying)|"
    r"continu(?:ed|es)|conclud(?:ed|es)|report(?:ed|s|ing)|describ(?:ed|es|ing)|call(?:ed|s|ing)|label(?:l?ed"
    r"|s|l?ing)|complain(?:ed|s|ing)|"
    r"urg(?:ed|es|ing)|suggest(?:ed|s|ing)|respond(?:ed|s|ing)|repl(?:ied|ies|ying)|counter(?:ed|s|ing)"
    r"|retort(?:ed|s|ing)|quipped|fumed|"
    r"post(?:ed|s)|emphasi[sz](?:ed|es)|reiterat(?:ed|es|ing)|stress(?:ed|es)|recall(?:ed|s)|remark(?:ed|s)"
    r"|think(?:s)?|believe[sd]?|found|finds"
)
_ANSWERING = (
    r"den(?:ied|ies|y|ying)|reject(?:ed|s|ing)|dismiss(?:ed|es|ing)|disput(?:ed|es|ing)|refut(?:ed|es|ing)"
    r"|rebuff(?:ed|s|ing)|"
    r"defend(?:ed|s|ing)|admit(?:ted|s|ting)|acknowledg(?:ed|es|ing)|conced(?:ed|es|ing)|confirm(?:ed|s|ing)"
    r"|apologi[sz](?:ed|es|ing)|"
    r"declin(?:ed|es|ing)|refus(?:ed|es|ing)|regret(?:ted|s)|vowed|pledged|fired back|hit back|shot back"
    r"|pushed back|struck back|lashed out|"
    r"brushed (?:off|aside)|shrugged off|scoffed|bristled|pleaded|challeng(?:ed|es|ing)|demand(?:ed|s|ing)"
    r"|mock(?:ed|s|ing)|"
    r"contradict(?:ed|s|ing)|clarif(?:ied|ies)|downplay(?:ed|s|ing)|did not (?:immediately )?(?:respond|reply"
    r"|return|comment|answer)|justif(?:ied|ies|ying)"
)
_CHARGING = (
    r"accus(?:ed|es|ing)|blam(?:ed|es|ing)|critici[sz](?:ed|es|ing)|condemn(?:ed|s|ing)|denounc(?:ed|es|ing)"
    r"|slamm?(?:ed|s|ing)?|"
    r"blast(?:ed|s|ing)|charg(?:ed|es|ing)|attack(?:ed|s|ing)|lambast(?:ed|es|ing)|sued|sues|suing|rip(?:ped"
    r"|s)|chid(?:ed|es)|fault(?:ed|s|ing)"
)
SPEECH = re.compile(rf"\b(?:{_SAYING}|{_ANSWERING}|{_CHARGING})\b")
_ACCORDING = re.compile(r"\baccording to\s+", re.I)
LABEL = re.compile(
    r"([A-Z][A-Z.'’-]*(?: [A-Z][A-Z.'’-]+){0,4}|[A-Z][\w.'’-]+(?: [A-Z][\w.'’-]+){0,3}|Q|A)(?:\s?\([^)]{1,40}\))?:\s+\S"
)
_BARE_LABEL = re.compile(r"(Q|A)(?:\.\s+|\t\s*|\s{2,})\S")
_PRONOUN = re.compile(
    r"\b(he|she|they|it|i|we)\b(?:[’'](?:s|d|ve|re))?(?:\s+(?:also|has|have|had|then|later|further|went on to"
    r"|added and|never|repeatedly|\w+ly))*\s*$",
    re.I,
)
ROLE = re.compile(
    r"\b(?:the|a|an|his|her|their|its)\s+(?:[\w’'-]+\s+){0,4}?(white\s+house|"
    + "|".join(sorted(ROLES, key=len, reverse=True))
    + r")\b"
    r"(?:\s+(?:for|of)\s+(?:the\s+)?[A-Z][\w’'.&-]+(?:\s[A-Z][\w’'.&-]+)*)?",
    re.I,
)
_ACTOR_FIRST = re.compile(rf"(?:the\s+)?[A-Z]|{ROLE.pattern}")
_INVERTING_LIST = "said says asked wrote tweeted added replied declared warned argued"
_INVERTING = frozenset(_INVERTING_LIST.split())
_CLAUSE = re.compile(r"[;:—–]|,\s+(?:but|while|and|as|after|although|though|whereas)\s|\bthat\s|\bwhile\s|\bafter\s")
_LAST = re.compile(r"(?:,|\s{3,})\s*(?P<who>[^,\s][^,]{1,60})$")
"""What stands between a verb and the comma, or the blanked quotation, before it."""
_LISTED = re.compile(r"[A-Z][\w.’'-]*,\s+(?:the\s+)?[A-Z][^,]*?\sand\s[^,]*$")  # "Nordia, Sudland and Westmark"
_STOP = re.compile(
    r"[,;:(“\"]|(?<!\bMr)(?<!\bMs)(?<!\bDr)(?<!\bMrs)(?<!\bSen)(?<!\bRep)(?<!\bGov)(?<!\bGen)(?<!\b[A-Z])\."
    r"|\b(?:who|which|that|in|on|at|after|during|when|told|said)\b"
)
_BEING = re.compile(r"\b(?:am|is|are|was|were|be|been|being)(?:\s+(?:also|not|then|later|\w+ly))?\s+$|[’']s\s+$")
_PUBLIC = frozenset(["it", "they"])
_NO_LABEL_LIST = """
    note update editor’s editor's watch photo image related more source sources read breaking here why how what
"""
_NO_LABEL = frozenset(_NO_LABEL_LIST.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Who utters a sentence.

    Attributes:
        name: As the text names them, in the fullest form found; empty where it does not say.
        cue: The word or mark that shows it ("denied", "according to", a transcript label, a quotation mark).
        how: ``"label"``, ``"verb"``, ``"according"``, ``"quote"`` (carried on within a quotation) or ``""``.
        turn: The number of the transcript turn, or -1.
    """

    name: str = ""
    cue: str = ""
    how: str = ""
    turn: int = -1


def find_quotes(text: str) -> list[Span]:
    """Find quoted passages, marks included, one paragraph at a time.

    A mark that is never closed quotes to the end of its paragraph where the next one opens with a mark too (a quotation
    over several paragraphs), or where it stands at the paragraph's start; a stray mark quotes nothing.
    """
    lines = list(paragraphs(text))
    found: list[Span] = []
    for i, (start, end) in enumerate(lines):
        follows = i + 1 < len(lines) and text[lines[i + 1][0]] in '“"'
        found.extend(_quotes_of(text, start, end, follows))
    return found


def _quotes_of(text: str, start: int, end: int, goes_on: bool) -> list[Span]:
    found: list[Span] = []
    opened: int | None = None
    for at in range(start, end):
        mark = text[at]
        straight = mark == '"' and (at == start or not text[at - 1].isalnum())  # 6" is a length
        if mark == "“" or (straight and opened is None):
            opened = at if opened is None else opened
        elif mark in '”"' and opened is not None:
            found.append(Span(start=opened, end=at + 1))
            opened = None
    if opened is not None and (goes_on or opened == start):
        found.append(Span(start=opened, end=end))
    return found


def quoted_share(start: int, end: int, quotes: Sequence[Span]) -> float:
    """Which part of ``text[start:end]`` lies within quotations, 0 to 1."""
    inside = sum(max(0, min(end, q.end) - max(start, q.start)) for q in quotes)
    return inside / max(1, end - start)


def unquoted(text: str, start: int, end: int, quotes: Sequence[Span]) -> str:
    """``text[start:end]`` with quotations blanked out, of the same length."""
    piece = list(text[start:end])
    for quote in quotes:
        for at in range(max(start, quote.start), min(end, quote.end)):
            piece[at - start] = " "
    return "".join(piece)


def attribute(text: str, sentences: Sequence[Sentence], quotes: Sequence[Span]) -> list[Speaker]:
    """Tell for each sentence who utters it.

    Args:
        text: The document.
        sentences: Its sentences.
        quotes: Its quotations, from ``find_quotes``.

    Returns:
        One ``Speaker`` for each sentence.
    """
    known = people_in(text)
    near = _nearby(sentences, quotes)
    found = [_stated(text, s, near[i]) for i, s in enumerate(sentences)]
    found = _label_turns(text, sentences, found)
    found = _refer_back(text, sentences, found, known)
    return _carry_on(text, sentences, near, found)


def _nearby(sentences: Sequence[Sentence], quotes: Sequence[Span]) -> list[list[Span]]:
    """The quotations that touch each sentence; both lists are sorted, so one pass is enough."""
    near: list[list[Span]] = []
    first = 0
    for sentence in sentences:
        while first < len(quotes) and quotes[first].end <= sentence.start:
            first += 1
        touching = []
        for k in range(first, len(quotes)):
            if quotes[k].start >= sentence.end:
                break
            touching.append(quotes[k])
        near.append(touching)
    return near


def _stated(text: str, sentence: Sentence, quotes: Sequence[Span]) -> Speaker:
    """The speaker whom the sentence itself names with a verb of speech or "according to"."""
    outside = unquoted(text, sentence.start, sentence.end, quotes)
    if match := _ACCORDING.search(outside):
        name = _name_after(outside[match.end() :])
        if name:
            return Speaker(name=name, cue="according to", how="according")
    for match in spoken_verbs(outside):
        name = subject_before(outside[: match.start()]) or _inverted(outside, match)
        if name:
            return Speaker(name=name, cue=match.group().lower(), how="verb")
    return Speaker()


def spoken_verbs(outside: str) -> Iterator[re.Match[str]]:
    """Verbs of speech whose subject speaks; not "was asked", nor the noun in "Holm's claims"."""
    for match in SPEECH.finditer(outside):
        before = outside[max(0, match.start() - 40) : match.start()]
        if match.group().endswith("ing") or not _BEING.search(before):
            yield match


def subject_before(left: str) -> str:
    """Who stands before a verb: a pronoun next to it, else the nearest person, role or name in its clause."""
    if pronoun := _PRONOUN.search(left):
        return pronoun.group(1).lower()
    clause = left[max(0, len(left) - 260) :]
    cut = [m.end() for m in _CLAUSE.finditer(clause) if len(clause) - m.end() > 3]
    for start in (cut[-1] if cut else 0, 0):
        if name := _head(clause[start:]):
            return name
    return ""


def _head(clause: str) -> str:
    """The actor of a clause: who stands beside the verb, behind a comma; else as ``_actor_of`` says."""
    beside = _LAST.search(clause)
    name = ""
    if beside and _ACTOR_FIRST.match(beside.group("who")) and not _LISTED.search(clause):
        name = _actor_of(beside.group("who"))
    return name or _actor_of(clause)


def _actor_of(clause: str) -> str:
    """A person's full name before a role, a role before another name."""
    named = [without_title(name) for _, name in names_in(clause)]
    people = [n for n in named if is_person(n)]
    roles = list(ROLE.finditer(clause))
    role = roles[-1] if roles else None
    if people and (role is None or clause.rfind(people[-1]) > role.start() - 60):
        return people[-1]
    if role is not None:
        return role.group()
    return named[0] if named else ""


def _inverted(outside: str, verb: re.Match[str]) -> str:
    """``... ," said Jane Doe``: the subject after the verb."""
    behind_quotation = verb.start() > 2 and not re.search(r"\w", outside[: verb.start()])
    if not behind_quotation and verb.group().lower() not in _INVERTING:
        return ""
    return _name_after(outside[verb.end() :])


def _name_after(right: str) -> str:
    right = right.lstrip()
    if match := re.match(r"(he|she|they|it)\b", right, re.I):
        return match.group(1).lower()
    head = _STOP.split(right, maxsplit=1)[0].strip()
    if not head or len(head) > 90:
        return ""
    named = [without_title(name) for _, name in names_in(head)]
    role = ROLE.match(head)
    people = [n for n in named if is_person(n)]
    if people and not re.search(rf"\b(?:for|of) (?:the )?{re.escape(people[-1])}", head):
        return people[-1]
    if role:
        return role.group()
    return named[0] if named else ""


def _label_turns(text: str, sentences: Sequence[Sentence], found: Sequence[Speaker]) -> list[Speaker]:
    """In a transcript, a label speaks for all that follows until the next one."""
    raw = [_raw_label(text, s) for s in sentences]
    if "Q" not in raw:  # "A. Berg" is a name
        raw = [_raw_label(text, s, bare=False) for s in sentences]
    counts = Counter(label for label in raw if label)
    capitals = sum(n for label, n in counts.items() if label.isupper())
    if counts.total() < 2 or not (capitals or max(counts.values()) > 1):  # "Background: ... Conclusion: ..."
        return list(found)
    labels = [_shown_label(label) for label in raw]
    out: list[Speaker] = []
    current, turn = "", -1
    for label, speaker, sentence in zip(labels, found, sentences, strict=True):
        if label:
            current, turn = label, turn + 1
        elif capitals < 2 and sentence.first and current and _narrates(text, sentence):
            current = ""
        out.append(Speaker(name=current, cue=f"{current}:", how="label", turn=turn) if current else speaker)
    return out


def _raw_label(text: str, sentence: Sentence, *, bare: bool = True) -> str:
    """The label that opens a sentence; with ``bare``, "Q." and "A" before a wide gap count as labels too."""
    opening = text[sentence.start : min(sentence.end, sentence.start + 90)]
    match = LABEL.match(opening) or (_BARE_LABEL.match(opening) if bare and sentence.first else None)
    return "" if match is None or match.group(1).lower().split()[0] in _NO_LABEL else match.group(1)


def _shown_label(label: str) -> str:
    return label.title().replace("’S", "’s") if label.isupper() and len(label) > 1 else label


def _narrates(text: str, sentence: Sentence) -> bool:
    """Whether a paragraph in a transcript belongs to the reporter: it has a verb of speech of its own."""
    piece = text[sentence.start : sentence.end]
    return bool(re.search(r"\b(?:said|told reporters|tweeted)\b", piece)) and not piece.startswith(("“", '"'))


def _refer_back(
    text: str, sentences: Sequence[Sentence], found: Sequence[Speaker], known: Sequence[str]
) -> list[Speaker]:
    """Replace pronouns, surnames and titles by whom they refer to."""
    out: list[Speaker] = []
    person, public = "", ""
    roles: dict[str, str] = {}
    for sentence, speaker in zip(sentences, found, strict=True):
        name = speaker.name
        if name in ("he", "she", "i"):
            name = person
        elif name in _PUBLIC or name == "we":
            name = public or person
        elif name and speaker.how != "label":
            name = _named(name, known, roles)
        if name and speaker.how != "label":
            speaker = replace(speaker, name=name)
        elif not name:
            speaker = Speaker()
        person, public = _remember(text, sentence, name, person, public, roles, known)
        out.append(speaker)
    return out


def _named(name: str, known: Sequence[str], roles: dict[str, str]) -> str:
    bare = re.sub(r"^(?:the|a|an|his|her|their|its)\s+", "", name, flags=re.I)
    role = next((w for w in bare.lower().split() if w in ROLES), "")
    if name.lower().startswith("the ") and role in roles and len(bare.split()) == 1:
        return roles[role]
    return fullest(bare, known)


def _remember(
    text: str,
    sentence: Sentence,
    name: str,
    person: str,
    public: str,
    roles: dict[str, str],
    known: Sequence[str],
) -> tuple[str, str]:
    """Who "he" and "it" would now mean: the speaker, else the first one named in the sentence."""
    piece = text[sentence.start : sentence.end]
    named = [fullest(without_title(n), known) for _, n in names_in(piece)]
    people = [n for n in named if is_person(n)]
    is_public = bool(name) and not is_person(name)
    for match in re.finditer(
        r"\b(spokes(?:man|woman|person)|lawyer|attorney|minister|president|mayor|governor)\b", piece, re.I
    ):
        close = [n for n in people if abs(piece.find(n) - match.start()) < 60]
        if close:
            roles[match.group(1).lower()] = close[0]
    if name and not is_public:
        person = name
    elif people and not name:
        person = people[0]
    if is_public:
        public = name
        person = person or name
    elif named and not name:
        public = next((n for n in named if n not in people), public)
    return person, public


def _carry_on(
    text: str, sentences: Sequence[Sentence], near: Sequence[Sequence[Span]], found: Sequence[Speaker]
) -> list[Speaker]:
    """Give a quoted sentence without a speaker that of its neighbours in the quotation or the paragraph."""
    out = list(found)
    for i, sentence in enumerate(sentences):
        if out[i].name and not (out[i].how == "according" and i and text[sentences[i - 1].end - 1] in ":,"):
            continue
        if quoted_share(sentence.start, sentence.end, near[i]) < 0.4:
            continue
        before = out[i - 1] if i else Speaker()
        after = found[i + 1] if i + 1 < len(sentences) else Speaker()
        together_after = i + 1 < len(sentences) and sentences[i + 1].paragraph == sentence.paragraph and after.name
        led = i > 0 and text[sentences[i - 1].end - 1] in ":,"
        touching = any(q.start < sentence.start for q in near[i])
        if before.name and (led or touching or not together_after):
            if not sentence.first or led or before.how in ("quote", "verb", "according", "label"):
                out[i] = Speaker(name=before.name, cue="quotation", how="quote", turn=before.turn)
        elif together_after:
            out[i] = Speaker(name=after.name, cue="quotation", how="quote", turn=after.turn)
    return out


def one_voice(first: Speaker, second: Speaker) -> bool:
    """Whether two sentences are uttered by one speaker, so far as the text shows."""
    return bool(first.name) and bool(second.name) and (first.name == second.name or same_actor(first.name, second.name))
