"""Who is named in a text, and which names mean one actor ("Moscow" and "Russia"; "Ms. Doe" and "Jane Doe")."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_STATES = """
russia: russian russians moscow kremlin putin's ussr
united states: u.s us usa america american americans washington white_house | china: chinese beijing prc
north korea: dprk pyongyang north_korean north_koreans n.korea | south korea: seoul south_korean south_koreans
japan: japanese tokyo | united kingdom: u.k uk britain british london england | france: french paris
germany: german germans berlin | iran: iranian iranians tehran teheran | iraq: iraqi iraqis baghdad
syria: syrian syrians damascus assad | turkey: turkish ankara | israel: israeli israelis jerusalem
palestinians: palestinian palestine gaza hamas | saudi arabia: saudi saudis riyadh
ukraine: ukrainian ukrainians kiev kyiv | india: indian delhi new_delhi | pakistan: pakistani islamabad
egypt: egyptian cairo | mexico: mexican | canada: canadian ottawa | australia: australian canberra
european union: eu brussels europe european | venezuela: venezuelan caracas | cuba: cuban havana
afghanistan: afghan kabul | taliban: | poland: polish warsaw | spain: spanish madrid | italy: italian rome
brazil: brazilian brasilia | qatar: qatari doha | yemen: yemeni houthi houthis | libya: libyan tripoli
georgia: georgian tbilisi | armenia: armenian yerevan | azerbaijan: azerbaijani azeri baku
belarus: belarusian minsk lukashenko | myanmar: burma burmese | philippines: philippine manila
vietnam: vietnamese hanoi | taiwan: taiwanese taipei | greece: greek athens | ethiopia: ethiopian addis_ababa
eritrea: eritrean asmara | sudan: sudanese khartoum | serbia: serbian belgrade | kosovo: pristina
republicans: republican gop | democrats: democrat democratic | united nations: u.n un
"""

_TITLES_LIST = """
    mr mrs ms miss dr sir lord lady president vice prime minister secretary senator sen representative rep
    congressman congresswoman governor gov mayor judge justice general gen attorney chief spokesman spokeswoman
    spokesperson ambassador chairman chairwoman director professor prof king queen prince princess pope king
    sheriff officer detective sgt lt col capt captain colonel foreign defense defence state deputy former house
    senate speaker leader majority minority press the a an st jr sr first lady ceo of and for national security
    adviser advisor interior ministry department white republican democratic rev pastor
"""
_TITLES = frozenset(_TITLES_LIST.split())

_NOT_NAMES_LIST = """
    the a an this that these those it he she they we i you but and or if in on at by for from with as when while
    after before since although though however meanwhile also yet so then there here his her their its our my
    your who what where why how which whether no not yes monday tuesday wednesday thursday friday saturday
    sunday january february march april may june july august september october november december jan feb mar apr
    jun jul aug sept sep oct nov dec according both such some many most one two three several few another other
    all any each every last next earlier later today yesterday tomorrow still even just once instead despite
    during because until unless under over asked speaking q gmt est advertisement read more mr mrs ms dr sen rep
    gov more than only like well now first second third critics officials sources to of is was are were be been
    has have had do does did will would could should can let never nothing
"""
_NOT_NAMES = frozenset(_NOT_NAMES_LIST.split())

_GAP = r"[ \t\u00a0]"  # no line end: a name stands on one line
_NAME = re.compile(
    rf"(?:(?:[A-Z]\.){{2,}}|[A-Z][\w’'&-]*[\w]|[A-Z]\.)"
    rf"(?:{_GAP}(?:(?:of|the|for|de|al|bin|van|von|and){_GAP}(?:the{_GAP})?)?"
    r"(?:(?:[A-Z]\.){2,}|[A-Z][\w’'&-]*\w|[A-Z]\.))*"
)
_WORD = re.compile(r"\w[\w.&'’-]*")
_ROLES_LIST = """
    spokesman spokeswoman spokesperson spokespeople lawyer lawyers attorney attorneys company ministry embassy
    mission campaign office agency government administration department official officials minister ambassador
    mayor governor senator president chairman director bank regulator police officer union group firm carrier
    airline club federation council committee commission party army military prosecutor prosecutors judge church
    university school hospital foundation organization organisation network newspaper kremlin
    team aide aides representative representatives critics opponents supporters allies
    report lawsuit complaint indictment suit
"""
ROLES = tuple(_ROLES_LIST.split())


_BODIES_LIST = """
    ministry department committee council house senate court party office agency bureau commission university
    college group company corporation corp inc ltd bank foundation association union league nations states
    kingdom times post news journal press street justice campaign administration embassy mission police army
    navy force congress parliament institute center centre school church board federation organization service
    services network radio tv media act law investigation report world national international republic embassy
    security motors electric assembly
"""
_BODIES = frozenset(_BODIES_LIST.split())


@lru_cache(maxsize=1)
def _aliases() -> dict[str, str]:
    table: dict[str, str] = {}
    for entry in re.split(r"[|\n]", _STATES):
        if ":" in entry:
            name, others = entry.split(":")
            for word in (name.strip(), *others.split()):
                table[word.replace("_", " ")] = name.strip()
    return table


def names_in(text: str) -> list[tuple[int, str]]:
    """The proper names in a text, as ``(offset, name)``; words that only open a sentence are left out."""
    found = []
    for match in _NAME.finditer(text):
        name, start = match.group(), match.start()
        words = re.finditer(r"\S+", name)
        skip = next((w.start() for w in words if w.group().lower().strip("’'") not in _NOT_NAMES), len(name))
        start, name = start + skip, name[skip:]
        name = re.sub(r"[’']s$", "", name).rstrip("’'")
        if len(name) > 1 or name in ("X",):
            found.append((start, name))
    return found


@lru_cache(maxsize=65536)
def keys(name: str) -> frozenset[str]:
    """The words by which an actor is known again: surnames, short forms, the state behind a capital or a people."""
    lowered = re.sub(r"[’']s\b", "", name.lower()).replace("’", "'")
    table, found, rest = _aliases(), set(), lowered
    titles = []
    for alias in sorted((a for a in table if " " in a and a in lowered), key=len, reverse=True):
        if re.search(rf"\b{re.escape(alias)}\b", rest):
            found.add(table[alias])
            rest = rest.replace(alias, " ")
    for word in _WORD.findall(rest):
        word = word.strip(".'-")
        if word in table:
            found.add(table[word])
        elif len(word) > 2 and word not in _TITLES and word not in _NOT_NAMES:
            found.add(word)
        elif len(word) > 2 and word not in _NOT_NAMES:
            titles.append(word)
    if not found and titles:  # "the Justice Department", "the Senate": all that names it is what else is a title
        found.add(" ".join(sorted(titles)))
    return frozenset(found)


_TITLE = (
    r"Minister|Secretary|Secretary of State|President|Senator|Sen\.|Rep\.|Representative|Gov\.|Governor"
    r"|Ambassador|Ambassador to the U\.N\.|Attorney General|Mr\.|Mrs\.|Ms\.|Dr\.|Judge|Justice|Mayor|Speaker"
    r"|Director|Chairman|Chairwoman|Congressman|Congresswoman|Spokesman|Spokeswoman|General|Gen\.|Chancellor"
    r"|King|Prince|Pope|Mr|Mrs|Ms|Dr|Sen|Rep|Gov|Republican|Democrat|Lady|Sir|Sheriff|Detective|Officer"
    r"|Professor|Leader|Counsel|Adviser"
)
_INITIALS = re.compile(r"^(?:(?:[A-Z]\.){2,}\s)+(?=[A-Z])")
_BEFORE_PERSON = re.compile(rf"^(?:(?:[\w.’'&-]+\s)*(?:{_TITLE})\s)?(?:(?:[A-Z]\.){{2,}}\s)*(?=[A-Z])")


def without_title(name: str) -> str:
    """``"Russian Foreign Minister Jane Doe"`` -> ``"Jane Doe"``; a title alone is left as it is, and so is a body."""
    is_body = name.rpartition(" ")[2].lower() in _BODIES  # "Justice Department", "General Motors"
    bare = (_INITIALS if is_body else _BEFORE_PERSON).sub("", name)
    return bare if bare and not bare.startswith(("of ", "for ")) else name


def is_person(name: str) -> bool:
    """Whether a name looks like a person's in full: two to four words, no state, no body."""
    words = name.split()
    if not 2 <= len(words) <= 4 or re.search(r"\b(?:of|the|for|and)\b", name) or name.lower() in _aliases():
        return False
    return not any(w.lower().strip(".,'’") in _BODIES or w.lower() in _aliases() for w in words)


def people_in(text: str) -> tuple[str, ...]:
    """Full names of people in a text, the most frequent first; of a long text, its first 200,000 characters."""
    counts: dict[str, int] = {}
    for _, name in names_in(text[:200_000]):
        bare = without_title(name)
        if is_person(bare) and not any(word.lower() in ROLES for word in bare.split()):
            counts[bare] = counts.get(bare, 0) + 1
    return tuple(sorted(counts, key=lambda name: -counts[name]))[:400]


def is_state(name: str) -> bool:
    """Whether a name stands for a state or another actor of the list: "Moscow", "the Kremlin", "Russian"."""
    return name.lower() in _aliases()


def same_actor(first: str, second: str) -> bool:
    """Whether two names may mean one actor: they share a word by which one is known again."""
    return bool(keys(first) & keys(second))


def fullest(name: str, known: Iterable[str]) -> str:
    """The longest of the known names that ends as this one does ("Doe" -> "Jane Doe"); itself if there is none."""
    tail = re.sub(r"^(?:(?:Mr|Mrs|Ms|Dr|Sen|Rep|Gov)\.?\s+)", "", name)
    if not tail or not tail[0].isupper() or len(tail.split()) > 2:
        return tail or name
    longer = [k for k in known if k != tail and k.endswith(" " + tail) and len(k.split()) <= 4]
    return max(longer, key=lambda k: len(k.split()) if len(k.split()) <= 3 else 0, default=tail)
