"""Ledgers -> a table for the terminal, records for a file, and one HTML page that needs nothing else.

The page carries its style and its script, loads nothing, opens offline, prints, and works by keyboard. Its content
policy lets no script run but its own, so a hostile document stays text.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from html import escape
from importlib import resources
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from stance.labels import DEFINITIONS, LABELS, NONE, Label
from stance.records import Accusation, Ledger, LedgerItem, Pair, Prediction

if TYPE_CHECKING:
    from rich.table import Table

OUTCOMES = (*(str(label) for label in LABELS), NONE)
SHORT = {
    "denial": "denial",
    "demand_for_evidence": "evidence?",
    "counter_accusation": "counter",
    "acknowledgment": "admits",
    NONE: "none",
}
"""How an outcome is tagged in running text."""

MARK = {"denial": "✕", "demand_for_evidence": "?", "counter_accusation": "↺", "acknowledgment": "✓", NONE: "–"}
"""A sign for each outcome, so that colour never stands alone."""

_RICH = {
    "denial": "red",
    "demand_for_evidence": "blue",
    "counter_accusation": "magenta",
    "acknowledgment": "green",
    NONE: "dim",
}


def outcome_of(prediction: Prediction) -> str:
    """The primary stance by name; ``"none"`` where there is none."""
    return str(prediction.label) if prediction.label is not None else NONE


def ledger_table(ledger: Ledger) -> Table:
    """A table of a ledger's pairs, then of the accusations that nobody answers, for a terminal.

    Print it with ``rich.print``.
    """
    from rich.table import Table
    from rich.text import Text

    name = ledger.document.title or ledger.document.id or "document"
    table = Table(title=Text(name), caption=_summary(ledger), show_lines=True, expand=True)
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
    counts = Counter(outcome_of(item.prediction) for item in ledger.pairs)
    parts = [f"{counts[name]} {name}" for name in OUTCOMES if counts[name]]
    return "; ".join([f"{len(ledger.pairs)} pairs", *parts, f"{len(ledger.unanswered)} unanswered"])


def _line(text: str) -> str:
    return " ".join(text.split())


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
        "text_sha256": hashlib.sha256(document.text.encode("utf-8")).hexdigest(),
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
    return _page(title, "".join(body))


def pairs_page(title: str, items: Iterable[LedgerItem | tuple[Pair, Prediction]]) -> str:
    """A self-contained HTML page of judged pairs: accusation, response, stances, and how sure.

    Args:
        title: Its heading.
        items: Ledger items, or ``(pair, prediction)``.
    """
    rows = [item if isinstance(item, LedgerItem) else LedgerItem(pair=item[0], prediction=item[1]) for item in items]
    counts = Counter(outcome_of(item.prediction) for item in rows)
    panel = _panel(_count("pairs", len(rows)) + _stance_counts(counts))
    return _page(title, f"<h1>{escape(title)}</h1>{panel}{_pairs_table(rows, 0, linked=False)}")


def _page(title: str, body: str) -> str:
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
        f"<main id='main'>{body}</main>{_legend()}<script>{script}</script></body></html>\n"
    )


def _asset(name: str) -> str:
    return resources.files("stance").joinpath("pages", name).read_text(encoding="utf-8").strip()


def _counts_panel(ledgers: Sequence[Ledger]) -> str:
    counts = Counter(outcome_of(item.prediction) for ledger in ledgers for item in ledger.pairs)
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
    known = [*OUTCOMES, *(name for name in counts if name not in OUTCOMES)]
    return "".join(
        _count(name.replace("_", " "), counts[name], f"chip {_css(name)}", MARK.get(name, "")) for name in known
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


def _section(ledger: Ledger, number: int) -> str:
    document = ledger.document
    digest = hashlib.sha256(document.text.encode()).hexdigest()[:16]
    about = " · ".join(escape(part) for part in (document.outlet, document.date, document.id) if part)
    return (
        f"<section class='document' id='d{number}' aria-label='{escape(_name(ledger), quote=True)}'>"
        f"<h2>{escape(_name(ledger))}</h2><p class='about'>{about}</p>"
        f"<div class='paper' lang='{escape(document.language, quote=True)}'>"
        f"<svg class='lines' aria-hidden='true'></svg>{_marked_text(ledger, number)}</div>"
        f"<h3>Pairs</h3>{_pairs_table(ledger.pairs, number, linked=True, ledger=ledger)}"
        f"{_unanswered_list(ledger, number)}"
        f"<p class='about'>Read by {escape(ledger.model or 'an unnamed model')}; text sha256 {digest}</p></section>"
    )


def _marked_text(ledger: Ledger, number: int) -> str:
    """The document's text, cut wherever a passage begins or ends; each piece knows the passages that it lies in."""
    text = ledger.document.text
    replies: dict[tuple[int, int], list[int]] = {}
    for i, item in enumerate(ledger.pairs):
        if span := item.pair.response_span:
            replies.setdefault((span.start, span.end), []).append(i)
    charges = [(a.span.start, a.span.end) for a in ledger.accusations]
    edges = sorted({0, len(text), *(edge for place in (*charges, *replies) for edge in place)})
    pieces: list[str] = []
    for start, end in pairwise(edges):
        inside_a = [k for k, (a, b) in enumerate(charges) if a <= start and end <= b]
        inside_r = [place for place in replies if place[0] <= start and end <= place[1]]
        tags = "".join(_charge_tag(ledger, number, k) for k, (a, _) in enumerate(charges) if a == start)
        tags += "".join(_reply_tag(ledger, number, i) for place in replies if place[0] == start for i in replies[place])
        pieces.append(
            tags + _piece(ledger, number, text[start:end], inside_a, [i for p in inside_r for i in replies[p]])
        )
    return f"<div class='text'>{''.join(pieces)}</div>"


def _piece(ledger: Ledger, number: int, words: str, charges: Sequence[int], replies: Sequence[int]) -> str:
    if not charges and not replies:
        return escape(words)
    css = ["mark"]
    if charges:
        css.append("charge")
        if all(ledger.accusations[k] in ledger.unanswered for k in charges):
            css.append("unanswered")
    if replies:
        css += ["reply", _css(outcome_of(ledger.pairs[replies[0]].prediction))]
    ids = " ".join([*(f"{number}-a{k}" for k in charges), *(f"{number}-r{i}" for i in replies)])
    return f"<span class='{' '.join(css)}' data-in='{ids}'>{escape(words)}</span>"


def _charge_tag(ledger: Ledger, number: int, k: int) -> str:
    accusation = ledger.accusations[k]
    answers = [i for i, item in enumerate(ledger.pairs) if item.pair.accusation_span == accusation.span]
    state = f"{len(answers)} response{'s' * (len(answers) != 1)}" if answers else "unanswered"
    who = f"{accusation.accuser or '?'} charges {accusation.accused or '?'}"
    where = f"{number}-r{answers[0]}" if answers else f"{number}-u{k}"
    css = "tag charge" if answers else "tag charge unanswered"
    label = escape(f"Accusation {k + 1}: {who}, {state}", quote=True)
    return f"<a class='{css}' id='{number}-a{k}' href='#{where}' title='{label}' aria-label='{label}'>A{k + 1}</a>"


def _reply_tag(ledger: Ledger, number: int, i: int) -> str:
    item = ledger.pairs[i]
    k = _position(ledger, item)
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


def _position(ledger: Ledger, item: LedgerItem) -> int:
    return next((k for k, a in enumerate(ledger.accusations) if a.span == item.pair.accusation_span), -1)


def _pairs_table(items: Sequence[LedgerItem], number: int, *, linked: bool, ledger: Ledger | None = None) -> str:
    if not items:
        return "<p>No pairs were found.</p>"
    rows = "".join(_pair_row(item, i, number, linked, ledger) for i, item in enumerate(items))
    return (
        "<div class='scroll' tabindex='0' role='region' aria-label='Pairs'><table><thead><tr><th "
        "scope='col'>#</th><th scope='col'>Accusation</th>"
        f"<th scope='col'>Response</th><th scope='col'>Stance</th><th scope='col'>How sure</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _pair_row(item: LedgerItem, i: int, number: int, linked: bool, ledger: Ledger | None) -> str:
    pair, prediction = item.pair, item.prediction
    outcome = outcome_of(prediction)
    also = "".join(_chip(str(s)) for s in prediction.stances if s != prediction.label)
    place = f"<a href='#{number}-r{i}'>{i + 1}</a>" if linked else str(i + 1)
    link = f"<br><small>link {pair.link_probability:.0%}</small>" if linked else ""
    cut = "<br><small>text was cut</small>" if prediction.truncated else ""
    chains = [j for i2, j in ledger.chains if i2 == i] if ledger else []
    chain = "".join(f"<br><small>itself answered in <a href='#{number}-r{j}'>{j + 1}</a></small>" for j in chains)
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
        f"<td><meter min='0' max='1' value='{prediction.confidence:.3f}'></meter> "
        f"{prediction.confidence:.0%}{link}{cut}</td></tr>"
    )


def _chip(outcome: str) -> str:
    name = escape(outcome.replace("_", " "))
    return f"<span class='chip {_css(outcome)}'><span aria-hidden='true'>{MARK.get(outcome, '')}</span> {name}</span> "


def _unanswered_list(ledger: Ledger, number: int) -> str:
    rows = [(k, a) for k, a in enumerate(ledger.accusations) if a in ledger.unanswered]
    if not rows:
        return "<h3>Unanswered</h3><p>Every accusation found has a response.</p>" if ledger.accusations else ""
    return f"<h3>Unanswered</h3><ul class='unanswered-list'>{''.join(_unanswered(a, k, number) for k, a in rows)}</ul>"


def _unanswered(accusation: Accusation, k: int, number: int) -> str:
    who = f"{accusation.accuser or '?'} → {accusation.accused or '?'}"
    link = f"<a href='#{number}-a{k}'>A{k + 1}</a>"
    return f"<li id='{number}-u{k}'>{link} <small>{escape(who)}</small> {escape(accusation.text)}</li>"


def _legend() -> str:
    rows = "".join(f"<li>{_chip(str(label))} {escape(DEFINITIONS[Label(label)])}</li>" for label in LABELS)
    return (
        "<footer><h2>Legend</h2><ul>"
        "<li><span class='mark charge'>accusation</span> a charge; "
        f"<span class='mark charge unanswered'>dashed</span> where no response was found</li>{rows}"
        f"<li>{_chip(NONE)} a reply that carries none of the four</li></ul>"
        "<p class='keys'>Keys: <kbd>Tab</kbd> moves between marks, <kbd>Enter</kbd> goes to the other side of "
        "a pair, <kbd>j</kbd> / <kbd>k</kbd> next and previous response, <kbd>u</kbd> next unanswered "
        "accusation, <kbd>l</kbd> lines on or off.</p></footer>"
    )
