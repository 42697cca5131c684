"""What stands around an article and is no part of it: menus, appeals for money, related stories, captions, credits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

from stance.pairing.quotes import LABEL
from stance.pairing.sentences import Sentence

_LINE = re.compile(
    r"""^\W*(?:
      back\ to\ top | share(?:\ this.*|\ on.*)? | tweet | email | print | loading\W* | advertisement | sponsored.*
    | read\ more\b.{0,120} | read\ (?:also|next|full).{0,120} | see\ also.{0,120}
    | related(?:\ (?:articles?|stor(?:y|ies)|content|topics?|news|coverage))?\W*(?:$|:.*)
    | more\ (?:from|on|stories|news)\b.{0,60}
    | (?:most|recommended|trending)\ (?:read|popular|stories|for\ you).{0,40} | (?:click|tap)\ here.*
    | sign\ up.{0,160} | subscribe\b.{0,160} | follow\ (?:us|\w+\ on).{0,120} | newsletters?.{0,80}
    | by\ [A-Z][\w.'’-]+(?:\ [A-Z][\w.'’-]+){0,4}\W*(?:$|[|,•–-].{0,120})
    | (?:photo|image|video|picture|file\ photo)s?\s*(?:[:/]|credit|by\b).{0,160}
    | (?:last\ )?(?:updated|published|posted)\b.{0,80} | copyright\ (?:©|\(c\)|\d{4}).* | ©.* | all\ rights\ reserved.*
    | remind\ me\ later\W* | watch(?:\ (?:now|live|below|the\ video|more|this).{0,100}|:.{0,160})?
    | listen\ (?:now|live|here).{0,60}
    | (?:this\ )?(?:article|story|report)\ (?:was|has\ been)\ (?:first\ |originally\ )?
        (?:published|updated|corrected).{0,200}
    | .{0,80}\bcontributed\ to\ this\ (?:report|story|article).{0,60}
    | (?:reporting|editing|writing|additional\ reporting)\ by\b.{0,200} | home | news | menu | search | log\ ?in
    | sign\ in | comments? | next | previous | skip\ to.* | topics?:.* | tags?:.* | [\w.+-]+@[\w-]+\.[\w.]+
    | (?:get|download)\ (?:our|the)\ .{0,60}\bapp\b.* | (?:\w+\ ){1,2}(?:store|shop)(?!\W*[.!?])
    )\W*$""",
    re.X | re.I,
)
_CREDIT = re.compile(
    r"\((?:[^()]{0,60}\b(?:photo|image|via|getty|reuters|ap|afp)\b[^()]{0,60})\)\s*$|/\s*(?:photo|getty"
    r"|reuters|afp|ap)\b.{0,40}$",
    re.I,
)
_APPEAL = re.compile(
    r"\bsupport(?:ing)? (?:us|our (?:work|journalism)|independent journalism)\b|\bdonat(?:e|ion) (?:to (?:us"
    r"|help)|today|now)\b|\bdear readers?\b|"
    r"\bbecome a (?:member|subscriber|supporter)\b|\bmessage from the\b|\bwe need your help\b"
    r"|\byour (?:support|contribution)\b.{0,80}\b(?:difference|impact|help)|"
    r"\brefuse to be silenced\b|\b(?:please|help us|you can)\b.{0,40}\bmake a (?:donation|contribution)\b"
    r"|\bthank you for (?:standing with"
    r"|supporting|reading)\b|\bstarting from just\b",
    re.I,
)
_CLOSING = re.compile(
    r"^\W*(?:related (?:articles?|stor(?:y|ies)|news|topics?)|more (?:from|stories)\b.*|read (?:also|next)"
    r"|you (?:may|might) also (?:like|be interested).*|"
    r"recommended.*|latest news|most (?:read|popular)|trending.*|a message from\b.*|advertisement"
    r"|- advertisement -)\W*$",
    re.I,
)
_SENTENCE_END = re.compile(r"[.!?…][\"”’')\]]*$")


def is_heading(piece: str) -> bool:
    """Whether a paragraph reads like a headline: short, and with no full stop."""
    return (
        len(piece) <= 160 and not _SENTENCE_END.search(piece) and not piece.rstrip().endswith((":", ",", ";", "”", '"'))
    )


def mark_boilerplate(text: str, sentences: Sequence[Sentence]) -> list[bool]:
    """Tell which sentences stand around the article.

    Args:
        text: The document.
        sentences: Its sentences.

    Returns:
        For each sentence, whether it is boilerplate. Never all of them: a text that looks like nothing else is kept.
    """
    spans: dict[int, tuple[int, int]] = {}
    for sentence in sentences:
        begin, _ = spans.get(sentence.paragraph, (sentence.start, 0))
        spans[sentence.paragraph] = (begin, sentence.end)
    order = list(spans)
    pieces = [text[a:b] for a, b in spans.values()]
    dropped = [_stands_alone(piece) for piece in pieces]
    _drop_repeats(pieces, dropped)
    _drop_appeals(pieces, dropped)
    _drop_tail(pieces, dropped)
    if all(dropped):
        dropped = [False] * len(dropped)
    of = dict(zip(order, dropped, strict=True))
    return [of[sentence.paragraph] for sentence in sentences]


def _stands_alone(piece: str) -> bool:
    return bool(_LINE.match(piece)) or (len(piece) < 240 and bool(_CREDIT.search(piece)))


def _drop_repeats(pieces: Sequence[str], dropped: list[bool]) -> None:
    """A paragraph that came before, word for word, is a caption or a teaser; a labelled speaker may repeat an answer."""
    seen: set[str] = set()
    for i, piece in enumerate(pieces):
        key = " ".join(piece.lower().split())
        dropped[i] = dropped[i] or (len(key) > 30 and key in seen and not LABEL.match(piece))
        seen.add(key)


def _drop_appeals(pieces: Sequence[str], dropped: list[bool]) -> None:
    """Paragraphs that ask for support, and those between them where most of them ask."""
    asking = [i for i, piece in enumerate(pieces) if _APPEAL.search(piece)]
    if asking and len(asking) * 2 > asking[-1] + 1 - asking[0]:
        asking = list(range(asking[0], asking[-1] + 1))
    for i in asking:
        dropped[i] = True


def _drop_tail(pieces: Sequence[str], dropped: list[bool]) -> None:
    """After "Related articles" in the second half, short paragraphs and teasers are other stories."""
    before = [0, *accumulate(len(piece) for piece in pieces)]
    for i, piece in enumerate(pieces):
        if before[i] * 2 >= before[-1] and _CLOSING.match(piece):
            rest = range(i, len(pieces))
            teasers = sum(pieces[j].rstrip().endswith(("...", "…")) or is_heading(pieces[j]) for j in rest)
            if teasers * 2 >= len(rest):
                for j in rest:
                    dropped[j] = True
            return
