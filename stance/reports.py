"""Ledgers -> a table for the terminal, records for a file, and one HTML page that needs nothing else.

The page carries its style and its script, loads nothing, opens offline, prints, and works by keyboard. Its content
policy lets no script run but its own, so a hostile document stays text.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from importlib import resources
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from stance.errors import InputError
from stance.labels import DEFINITIONS, LABELS, NONE, Label
from stance.records import ABSTAINED, Accusation, Document, Ledger, LedgerItem, Pair, Prediction, Span

if TYPE_CHECKING:
    from rich.table import Table

OUTCOMES = (*(str(label) for label in LABELS), NONE)
SHORT = {
    "denial": "denial",
    "demand_for_evidence": "evidence?",
    "counter_accusation": "counter",
    "acknowledgment": "acknowledges",
    NONE: "none",
    ABSTAINED: "abstains",
}
"""How an outcome is tagged in running text."""

MARK = {
    "denial": "✕",
    "demand_for_evidence": "?",
    "counter_accusation": "↺",
    "acknowledgment": "✓",
    NONE: "–",
    ABSTAINED: "○",
}
"""A sign for each outcome, so that colour never stands alone."""

_RICH = {
    "denial": "red",
    "demand_for_evidence": "blue",
    "counter_accusation": "magenta",
    "acknowledgment": "green",
    NONE: "dim",
    ABSTAINED: "dim italic",
}


def outcome_of(prediction: Prediction) -> str:
    """The primary stance by name; ``"none"`` where there is none, ``"abstained"`` where ``coverage`` put it aside."""
    return prediction.outcome


def ledger_table(ledger: Ledger) -> Table:
    """A table of a ledger's pairs, then of the accusations that nobody answers, for a terminal.

    Print it with ``rich.print``.
    """
    from rich.table import Table
    from rich.text import Text

    name = ledger.document.title or ledger.document.id or "document"
    table = Table(title=Text(_line(name)), caption=_summary(ledger), show_lines=True, expand=True)
    for heading, ratio in (
        ("accuser → accused", 2),
        ("accusation", 5),
        ("responder", 2),
        ("response", 5),
        ("stance", 2),
    ):
        table.add_column(heading, ratio=ratio, overflow="fold")
    for item in ledger.pairs:
        pair, outcome = item.pair, outcome_of(item.prediction)
        also = [str(s) for s in item.prediction.stances if s != item.prediction.label]
        verdict = Text(f"{outcome} {item.prediction.confidence:.0%}", style=_RICH.get(outcome, ""))
        if also:
            verdict.append("\nalso " + ", ".join(also))
        verdict.append(f"\nlink {pair.link_probability:.0%}", style="dim")
        who = f"{pair.accuser or '?'} → {pair.accused or '?'}"
        table.add_row(*(Text(_line(t)) for t in (who, pair.accusation, pair.responder or "?", pair.response)), verdict)
    for accusation in ledger.unanswered:
        who = f"{accusation.accuser or '?'} → {accusation.accused or '?'}"
        table.add_row(Text(_line(who)), Text(_line(accusation.text)), "", "", Text("unanswered", style="dim italic"))
    return table


def _summary(ledger: Ledger) -> str:
    counts = _counted(ledger)
    parts = [f"{counts[name]} {name}" for name in _known(counts) if counts[name]]
    return "; ".join([f"{len(ledger.pairs)} pairs", *parts, f"{len(ledger.unanswered)} unanswered"])


def _counted(items: Iterable[LedgerItem]) -> Counter[str]:
    return Counter(outcome_of(item.prediction) for item in items)


def _known(counts: Counter[str]) -> list[str]:
    """The outcomes in their order, then what else was counted: abstentions, and other labels."""
    return [*OUTCOMES, *(name for name in counts if name not in OUTCOMES)]


_COMMANDS = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")


def _line(text: str) -> str:
    """A text on one line, in which nothing commands the terminal or turns the direction of what follows."""
    return _COMMANDS.sub("\ufffd", " ".join(text.split()))


def ledger_records(ledger: Ledger) -> Iterator[dict[str, Any]]:
    """One plain record for each pair, then for each unanswered accusation; the same ledger gives the same bytes.

    Each record names the document, the sha256 of its text, and the model, so that a row can be checked years later.
    """
    document = ledger.document
    base = {
        "document_id": document.id,
        "title": document.title,
        "date": document.date,
        "outlet": document.outlet,
        "text_sha256": _digest(document),
        "model": ledger.model,
    }
    for item in ledger.pairs:
        yield {"kind": "pair", **base, **item.to_dict(), "document_id": document.id}
    for accusation in ledger.unanswered:
        yield {
            "kind": "unanswered",
            **base,
            **{f: v for f, v in asdict(accusation).items() if f != "text"},
            "accusation": accusation.text,
        }


def _digest(document: Document) -> str:
    """The sha256 of a document's text, in hexadecimal digits."""
    try:
        return hashlib.sha256(document.text.encode("utf-8")).hexdigest()
    except UnicodeEncodeError as error:
        raise InputError(
            f"document {document.id or document.title!r} holds a lone surrogate at character {error.start}; decode its "
            "source as UTF-8, or clean its text with text.encode('utf-8', 'replace').decode()"
        ) from None


def ledger_lines(ledgers: Iterable[Ledger]) -> Iterator[str]:
    """``ledger_records`` of each as lines of JSON, without the line's end."""
    for ledger in ledgers:
        for record in ledger_records(ledger):
            yield json.dumps(record, ensure_ascii=False)


# ---------------------------------------------------------------------------------------------------------- HTML


def ledger_page(ledgers: Ledger | Iterable[Ledger]) -> str:
    """One self-contained HTML page: the text, marked; lines from reply to charge; counts; what stays unanswered.

    Args:
        ledgers: One ledger, or several, each of which gets a section.
    """
    shown = [ledgers] if isinstance(ledgers, Ledger) else list(ledgers)
    title = (
        (shown[0].document.title or shown[0].document.id or "Ledger") if len(shown) == 1 else f"{len(shown)} documents"
    )
    body = [f"<h1>{escape(title)}</h1>", _counts_panel(shown)]
    if len(shown) > 1:
        body.append(_contents(shown))
    body.extend(_section(ledger, i) for i, ledger in enumerate(shown))
    return _page(title, "".join(body), _legend(_counted(item for ledger in shown for item in ledger), _MARKS, _KEYS))


def pairs_page(title: str, items: Iterable[LedgerItem | tuple[Pair, Prediction]]) -> str:
    """A self-contained HTML page of judged pairs: accusation, response, stances, and how sure.

    Args:
        title: Its heading.
        items: Ledger items, or ``(pair, prediction)``.
    """
    rows = [item if isinstance(item, LedgerItem) else LedgerItem(pair=item[0], prediction=item[1]) for item in items]
    counts = _counted(rows)
    panel = _panel(_count("pairs", len(rows)) + _stance_counts(counts))
    return _page(title, f"<h1>{escape(title)}</h1>{panel}{_pairs_table(rows)}", _legend(counts))


def _page(title: str, body: str, legend: str) -> str:
    script, style = _asset("ledger.js"), _asset("ledger.css")
    allowed = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        "<meta name='viewport' content='width=device-width, initial-scale=1'><meta name='color-scheme' "
        "content='light dark'>"
        f"<title>{escape(title)}</title><style>{style}</style></head>\n"
        "<body><a class='skip' href='#main'>Skip to the text</a>"
        f"<main id='main'>{body}</main>{legend}<script>{script}</script></body></html>\n"
    )


def _asset(name: str) -> str:
    return resources.files("stance").joinpath("pages", name).read_text(encoding="utf-8").strip()


def _counts_panel(ledgers: Sequence[Ledger]) -> str:
    counts = _counted(item for ledger in ledgers for item in ledger)
    accusations = sum(len(ledger.accusations) for ledger in ledgers)
    unanswered = sum(len(ledger.unanswered) for ledger in ledgers)
    return (
        "<section class='panel' aria-label='Counts'><dl>"
        + _count("accusations", accusations)
        + _count("responses linked", sum(counts.values()))
        + _stance_counts(counts)
        + _count("unanswered", unanswered, "unanswered")
        + "</dl></section>"
    )


def _panel(counts: str) -> str:
    return f"<section class='panel' aria-label='Counts'><dl>{counts}</dl></section>"


def _stance_counts(counts: Counter[str]) -> str:
    return "".join(
        _count(name.replace("_", " "), counts[name], f"chip {_css(name)}", MARK.get(name, ""))
        for name in _known(counts)
    )


def _count(name: str, value: int, css: str = "", mark: str = "") -> str:
    sign = f"<span aria-hidden='true'>{mark}</span> " if mark else ""
    return f"<div class='{css}'><dt>{sign}{escape(name)}</dt><dd>{value}</dd></div>"


def _css(outcome: str) -> str:
    return outcome if outcome in OUTCOMES else NONE


def _contents(ledgers: Sequence[Ledger]) -> str:
    rows = "".join(
        f"<li><a href='#d{i}'>{escape(_name(ledger))}</a> <small>{escape(_summary(ledger))}</small></li>"
        for i, ledger in enumerate(ledgers)
    )
    return f"<nav aria-label='Documents'><ol>{rows}</ol></nav>"


def _name(ledger: Ledger) -> str:
    return ledger.document.title or ledger.document.id or "document"


@dataclass(frozen=True, slots=True)
class _Links:
    """A ledger's section of the page, and who answers whom in it, found once."""

    ledger: Ledger
    number: int  # of the section
    answers: dict[Span | None, list[int]]  # accusation span -> the pairs that answer it
    charge: dict[Span | None, int]  # accusation span -> the first accusation there
    chains: dict[int, list[int]]  # pair -> the pairs that answer its response


def _links(ledger: Ledger, number: int) -> _Links:
    answers: dict[Span | None, list[int]] = {}
    for i, item in enumerate(ledger.pairs):
        answers.setdefault(item.pair.accusation_span, []).append(i)
    charge: dict[Span | None, int] = {}
    for k, accusation in enumerate(ledger.accusations):
        charge.setdefault(accusation.span, k)
    chains: dict[int, list[int]] = {}
    for i, j in ledger.chains:
        chains.setdefault(i, []).append(j)
    return _Links(ledger, number, answers, charge, chains)


def _section(ledger: Ledger, number: int) -> str:
    document, links = ledger.document, _links(ledger, number)
    digest = _digest(document)[:16]
    about = " · ".join(escape(part) for part in (document.outlet, document.date, document.id) if part)
    return (
        f"<section class='document' id='d{number}' aria-label='{escape(_name(ledger), quote=True)}'>"
        f"<h2>{escape(_name(ledger))}</h2><p class='about'>{about}</p>"
        f"<div class='paper' lang='{escape(document.language, quote=True)}'>"
        f"<svg class='lines' aria-hidden='true'></svg>{_marked_text(links)}</div>"
        f"<h3>Pairs</h3>{_pairs_table(ledger.pairs, links)}"
        f"{_unanswered_list(links)}"
        f"<p class='about'>Read by {escape(ledger.model or 'an unnamed model')}; text sha256 {digest}</p></section>"
    )


def _marked_text(links: _Links) -> str:
    """The document's text, cut wherever a passage begins or ends; each piece knows the passages that it lies in."""
    text = links.ledger.document.text
    replies: dict[Span, list[int]] = {}
    for i, item in enumerate(links.ledger.pairs):
        if span := item.pair.response_span:
            replies.setdefault(span, []).append(i)
    charges = _Passages([accusation.span for accusation in links.ledger.accusations])
    answers = _Passages(list(replies))
    groups = list(replies.values())
    pieces: list[str] = []
    for start, end in pairwise(sorted({0, len(text), *charges.edges, *answers.edges})):
        inside_a, inside_r = charges.inside(start), answers.inside(start)
        pieces.extend(_charge_tag(links, k) for k in charges.starting.get(start, ()))
        pieces.extend(_reply_tag(links, i) for n in answers.starting.get(start, ()) for i in groups[n])
        pieces.append(_piece(links, text[start:end], inside_a, [i for n in inside_r for i in groups[n]]))
    return f"<div class='text'>{''.join(pieces)}</div>"


class _Passages:
    """Spans of a text, asked from its first character to its last which of them hold a place."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.edges = {edge for span in spans for edge in (span.start, span.end)}
        self.starting: dict[int, list[int]] = {}
        self._ending: dict[int, list[int]] = {}
        self._open: set[int] = set()
        for n, span in enumerate(spans):
            self.starting.setdefault(span.start, []).append(n)
            self._ending.setdefault(max(span.start, span.end), []).append(n)

    def inside(self, place: int) -> list[int]:
        """The spans around what follows ``place``; to be asked at every edge in turn."""
        self._open.update(self.starting.get(place, ()))
        self._open.difference_update(self._ending.get(place, ()))
        return sorted(self._open)


def _piece(links: _Links, words: str, charges: Sequence[int], replies: Sequence[int]) -> str:
    if not charges and not replies:
        return escape(words)
    ledger, number = links.ledger, links.number
    css = ["mark"]
    if charges:
        css.append("charge")
        if not any(ledger.accusations[k].span in links.answers for k in charges):
            css.append("unanswered")
    if replies:
        css += ["reply", _css(outcome_of(ledger.pairs[replies[0]].prediction))]
    ids = " ".join([*(f"{number}-a{k}" for k in charges), *(f"{number}-r{i}" for i in replies)])
    return f"<span class='{' '.join(css)}' data-in='{ids}'>{escape(words)}</span>"


def _charge_tag(links: _Links, k: int) -> str:
    accusation, number = links.ledger.accusations[k], links.number
    answers = links.answers.get(accusation.span, [])
    state = f"{len(answers)} response{'s' * (len(answers) != 1)}" if answers else "unanswered"
    who = f"{accusation.accuser or '?'} charges {accusation.accused or '?'}"
    where = f"{number}-r{answers[0]}" if answers else f"{number}-u{k}"
    css = "tag charge" if answers else "tag charge unanswered"
    label = escape(f"Accusation {k + 1}: {who}, {state}", quote=True)
    return f"<a class='{css}' id='{number}-a{k}' href='#{where}' title='{label}' aria-label='{label}'>A{k + 1}</a>"


def _reply_tag(links: _Links, i: int) -> str:
    item, number = links.ledger.pairs[i], links.number
    k = links.charge.get(item.pair.accusation_span, -1)
    outcome = outcome_of(item.prediction)
    label = escape(
        f"Response to accusation {k + 1} by {item.pair.responder or '?'}: {outcome}, {item.prediction.confidence:.0%}",
        quote=True,
    )
    return (
        f"<a class='tag reply {_css(outcome)}' id='{number}-r{i}' href='#{number}-a{k}' data-to='{number}-a{k}' "
        f"title='{label}' aria-label='{label}'>"
        f"→A{k + 1} {MARK.get(outcome, '')} {escape(SHORT.get(outcome, outcome))}</a>"
    )


def _pairs_table(items: Sequence[LedgerItem], links: _Links | None = None) -> str:
    if not items:
        return "<p>No pairs were found.</p>"
    rows = "".join(_pair_row(item, i, links) for i, item in enumerate(items))
    label = f"Pairs of document {links.number + 1}, {_name(links.ledger)}" if links else "Pairs"
    return (
        f"<div class='scroll' tabindex='0' role='region' aria-label='{escape(label, quote=True)}'><table><thead><tr>"
        "<th scope='col'>#</th><th scope='col'>Accusation</th>"
        f"<th scope='col'>Response</th><th scope='col'>Stance</th><th scope='col'>How sure</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _pair_row(item: LedgerItem, i: int, links: _Links | None) -> str:
    pair, prediction = item.pair, item.prediction
    outcome = outcome_of(prediction)
    also = "".join(_chip(str(s)) for s in prediction.stances if s != prediction.label)
    place = f"<a href='#{links.number}-r{i}'>{i + 1}</a>" if links else str(i + 1)
    link = f"<br><small>link {pair.link_probability:.0%}</small>" if links else ""
    cut = "<br><small>text was cut</small>" if prediction.truncated else ""
    chain = _chain(links, i) if links else ""
    who = (
        f"<small>{escape(pair.accuser or '?')} → {escape(pair.accused or '?')}</small><br>"
        if pair.accuser or pair.accused
        else ""
    )
    by = f"<small>{escape(pair.responder)}</small><br>" if pair.responder else ""
    why = f"<details><summary>why</summary>{escape('; '.join(pair.why))}</details>" if pair.why else ""
    return (
        f"<tr><th scope='row'>{place}</th><td>{who}{escape(pair.accusation)}</td>"
        f"<td>{by}{escape(pair.response)}{why}{chain}</td><td>{_chip(outcome)}{also}</td>"
        f"<td><meter min='0' max='1' value='{prediction.confidence:.3f}' aria-label='How sure'></meter> "
        f"{prediction.confidence:.0%}{link}{cut}</td></tr>"
    )


def _chain(links: _Links, i: int) -> str:
    return "".join(
        f"<br><small>itself answered in <a href='#{links.number}-r{j}'>{j + 1}</a></small>"
        for j in links.chains.get(i, ())
    )


def _chip(outcome: str) -> str:
    name = escape(outcome.replace("_", " "))
    return f"<span class='chip {_css(outcome)}'><span aria-hidden='true'>{MARK.get(outcome, '')}</span> {name}</span> "


def _unanswered_list(links: _Links) -> str:
    accusations = links.ledger.accusations
    rows = [_unanswered(a, k, links.number) for k, a in enumerate(accusations) if a.span not in links.answers]
    if not rows:
        return "<h3>Unanswered</h3><p>Every accusation found has a response.</p>" if accusations else ""
    return f"<h3>Unanswered</h3><ul class='unanswered-list'>{''.join(rows)}</ul>"


def _unanswered(accusation: Accusation, k: int, number: int) -> str:
    who = f"{accusation.accuser or '?'} → {accusation.accused or '?'}"
    link = f"<a href='#{number}-a{k}'>A{k + 1}</a>"
    return f"<li id='{number}-u{k}'>{link} <small>{escape(who)}</small> {escape(accusation.text)}</li>"


_CAUTION = (
    "<p>It judges wording, not truth. Pairs and stances are guesses of a model: read the passage. An accusation shown as "
    "unanswered may have been answered elsewhere.</p>"
)
_KEYS = (
    "<p class='keys'>Keys: <kbd>Tab</kbd> moves between marks, <kbd>Enter</kbd> goes to the other side of a pair, "
    "<kbd>j</kbd> / <kbd>k</kbd> next and previous response, <kbd>u</kbd> next unanswered accusation, <kbd>l</kbd> lines "
    "on or off.</p>"
)
_MARKS = (
    "<li><span class='mark charge'>accusation</span> a charge; <span class='mark charge unanswered'>dashed</span> where no "
    "response was found</li>"
)


def _legend(counts: Counter[str], marks: str = "", keys: str = "") -> str:
    """What the colours mean, and an abstention where there is one; with marked text also what the marks and keys do."""
    rows = "".join(f"<li>{_chip(str(label))} {escape(DEFINITIONS[Label(label)])}</li>" for label in LABELS)
    none = f"<li>{_chip(NONE)} a reply that carries none of the four</li>"
    put_aside = f"<li>{_chip(ABSTAINED)} not sure enough to tell</li>" if counts[ABSTAINED] else ""
    return f"<footer><h2>Legend</h2><ul>{marks}{rows}{none}{put_aside}</ul>{keys}{_CAUTION}</footer>"
