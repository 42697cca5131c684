"""Reports: what a reader sees of a ledger, on a terminal, in a file and on a page."""

from __future__ import annotations

import io
import json
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from stance.errors import InputError
from stance.records import Accusation, Document, Ledger, LedgerItem, Pair, Prediction, Span
from stance.reports import ledger_lines, ledger_page, ledger_records, ledger_table, pairs_page

TEXT = (
    "Nordia accused Sudland on Monday of moving tanks to the river.\n\n"
    'Sudland\'s envoy, Ada Berg, denied it. "Not one tank has moved," she said.\n\n'
    "Berg added that Nordia had itself mined the bridge. Nordia admitted the mines and promised to lift them.\n\n"
    "A monitor also charged Nordia with flying drones by night."
)


def _span(words: str) -> Span:
    start = TEXT.index(words)
    return Span(start=start, end=start + len(words))


def _prediction(label: str | None, *more: str) -> Prediction:
    names = ("denial", "demand_for_evidence", "counter_accusation", "acknowledgment", "none")
    stances = (label, *more) if label else ()
    return Prediction(
        label=label,
        stances=stances,
        probabilities={n: 0.8 if n == (label or "none") else 0.05 for n in names},
        presence={n: 0.9 if n in stances else 0.05 for n in names[:4]},
    )


def _item(accusation: str, response: str, label: str | None, *more: str, **names: str) -> LedgerItem:
    pair = Pair(
        accusation=accusation,
        response=response,
        document_id="n1",
        accusation_span=_span(accusation),
        response_span=_span(response),
        link_probability=0.7,
        why=("it replies in words: 'denied'",),
        **names,
    )
    return LedgerItem(pair=pair, prediction=_prediction(label, *more))


@pytest.fixture
def ledger() -> Ledger:
    tanks = "Nordia accused Sudland on Monday of moving tanks to the river."
    mines = "Berg added that Nordia had itself mined the bridge."
    drones = "A monitor also charged Nordia with flying drones by night."
    return Ledger(
        document=Document(text=TEXT, id="n1", title="Tanks at the river?", date="2031-05-02", outlet="The Fable"),
        pairs=(
            _item(
                tanks,
                'Sudland\'s envoy, Ada Berg, denied it. "Not one tank has moved," she said.',
                "denial",
                accuser="Nordia",
                accused="Sudland",
                responder="Ada Berg",
            ),
            _item(
                tanks, mines, "counter_accusation", "denial", accuser="Nordia", accused="Sudland", responder="Ada Berg"
            ),
            _item(
                mines,
                "Nordia admitted the mines and promised to lift them.",
                "acknowledgment",
                accuser="Ada Berg",
                accused="Nordia",
                responder="Nordia",
            ),
        ),
        accusations=tuple(
            Accusation(text=t, span=_span(t), accuser=a, accused=b)
            for t, a, b in (
                (tanks, "Nordia", "Sudland"),
                (mines, "Ada Berg", "Nordia"),
                (drones, "A monitor", "Nordia"),
            )
        ),
        model="toy 1 abc",
        chains=((1, 2),),
    )


def _plain(page: str) -> str:
    import html

    return html.unescape(re.sub(r"<[^>]+>", "", page))


def test_the_terminal_table_names_speakers_stances_and_the_unanswered(ledger: Ledger) -> None:
    from rich.console import Console

    stream = io.StringIO()
    Console(file=stream, width=160).print(ledger_table(ledger))
    shown = stream.getvalue()
    for words in ("Ada Berg", "denial 80%", "also denial", "unanswered", "3 pairs"):
        assert words in shown


def test_marks_in_a_text_are_not_read_as_terminal_markup(ledger: Ledger) -> None:
    from rich.console import Console

    odd = Ledger(document=Document(text="[red]x[/red] [/b]", title="[bold]t[/bold] [/x]"))
    stream = io.StringIO()
    Console(file=stream, width=80).print(ledger_table(odd))
    assert "[bold]t[/bold]" in stream.getvalue()


def test_no_text_commands_the_terminal() -> None:
    from rich.console import Console

    hostile = "Berg\x1b[2J\x9b1m\u202e\x07 lied"
    odd = Ledger(
        document=Document(text=hostile, title=hostile),
        accusations=(Accusation(text=hostile, span=Span(start=0, end=len(hostile)), accuser=hostile),),
    )
    stream = io.StringIO()
    Console(file=stream, width=200).print(ledger_table(odd))
    shown = stream.getvalue()
    assert not any(c in shown for c in "\x1b\x9b\u202e\x07")
    assert shown.count("\ufffd[2J\ufffd1m\ufffd\ufffd lied") == 3


def test_records_hold_pairs_then_unanswered_and_come_out_the_same_twice(ledger: Ledger) -> None:
    records = list(ledger_records(ledger))
    assert [r["kind"] for r in records] == ["pair", "pair", "pair", "unanswered"]
    assert len(records[0]["text_sha256"]) == 64
    assert records[3]["accusation"].startswith("A monitor")
    assert list(ledger_lines([ledger])) == list(ledger_lines([ledger]))
    assert json.loads(next(ledger_lines([ledger])))["accusation_span"] == {"start": 0, "end": 62}


def test_the_page_holds_the_whole_text_unchanged(ledger: Ledger) -> None:
    page = ledger_page(ledger)
    body = page[page.index("<div class='text'>") : page.index("<h3>Pairs")]
    without_tags = re.sub(r"<a class='tag.*?</a>", "", body)
    assert _plain(without_tags).startswith(TEXT)


def test_the_page_marks_each_stance_by_colour_and_in_words(ledger: Ledger) -> None:
    page = ledger_page(ledger)
    for stance in ("denial", "counter_accusation", "acknowledgment"):
        assert f"tag reply {stance}" in page
    assert "unanswered" in page and "itself answered in" in page


def test_the_page_loads_nothing_and_lets_only_its_own_script_run(ledger: Ledger) -> None:
    page = ledger_page(ledger)
    assert "default-src 'none'" in page and "script-src 'sha256-" in page
    assert not re.findall(r"(?:src|href)=['\"](?!#)", page)


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "</style><b>", "&lt;i&gt;"]
)
def test_hostile_text_stays_text(hostile: str) -> None:
    text = f"{hostile} Nordia lied. {hostile} denied it."
    span, reply = Span(start=0, end=len(hostile) + 13), Span(start=len(hostile) + 14, end=len(text))
    pair = Pair(
        accusation=span.of(text),
        response=reply.of(text),
        accusation_span=span,
        response_span=reply,
        accuser=hostile,
        accused=hostile,
        responder=hostile,
        why=(hostile,),
    )
    ledger = Ledger(
        document=Document(text=text, title=hostile, id=hostile, outlet=hostile, language=hostile),
        pairs=(LedgerItem(pair=pair, prediction=_prediction("denial")),),
        accusations=(Accusation(text=span.of(text), span=span, accuser=hostile, accused=hostile),),
        model=hostile,
    )
    for page in (ledger_page(ledger), pairs_page(hostile, ledger.pairs)):
        if hostile.startswith("<") or "<img" in hostile:
            assert hostile not in page
        assert page.count("<script>") == 1 and "<img" not in page
        assert hostile in _plain(page)


def test_overlapping_passages_keep_every_character(ledger: Ledger) -> None:
    spans = [(0, 30), (10, 50), (20, 25)]
    accusations = tuple(Accusation(text=TEXT[a:b], span=Span(start=a, end=b)) for a, b in spans)
    page = ledger_page(Ledger(document=Document(text=TEXT), accusations=accusations))
    body = page[page.index("<div class='text'>") : page.index("<h3>Pairs")]
    assert _plain(re.sub(r"<a class='tag.*?</a>", "", body)).startswith(TEXT)


def test_a_piece_names_every_passage_that_it_lies_in_and_is_dashed_where_none_is_answered(ledger: Ledger) -> None:
    spans = [Span(start=a, end=b) for a, b in ((0, 30), (10, 50), (20, 25))]
    accusations = tuple(Accusation(text=span.of(TEXT), span=span) for span in spans)
    pair = Pair(accusation="x", response="y", accusation_span=spans[1], response_span=Span(start=40, end=60))
    items = (LedgerItem(pair=pair, prediction=_prediction("denial")),)
    page = ledger_page(Ledger(document=Document(text=TEXT), accusations=accusations, pairs=items))
    assert re.findall(r"<span class='([^']*)' data-in='([^']*)'>", page) == [
        ("mark charge unanswered", "0-a0"),
        ("mark charge", "0-a0 0-a1"),
        ("mark charge", "0-a0 0-a1 0-a2"),
        ("mark charge", "0-a0 0-a1"),
        ("mark charge", "0-a1"),
        ("mark charge reply denial", "0-a1 0-r0"),
        ("mark reply denial", "0-r0"),
    ]


def test_the_page_of_a_long_document_is_written_in_seconds() -> None:
    text = "Nordia lied. No. " * 1500
    spans = [Span(start=i, end=i + 12) for i in range(0, len(text), 17)]
    pairs = tuple(
        LedgerItem(
            pair=Pair(
                accusation=span.of(text),
                response="No.",
                accusation_span=span,
                response_span=Span(start=span.end + 1, end=span.end + 4),
            ),
            prediction=_prediction("denial"),
        )
        for span in spans[::2]
    )
    accusations = tuple(Accusation(text=span.of(text), span=span) for span in spans)
    start = time.process_time()
    page = ledger_page(Ledger(document=Document(text=text), pairs=pairs, accusations=accusations))
    assert time.process_time() - start < 5
    assert page.count("class='tag charge unanswered'") == 750


def test_a_page_of_pairs_explains_no_marks_that_it_does_not_show(ledger: Ledger) -> None:
    marked, plain = ledger_page(ledger), pairs_page("Demo", ledger.pairs)
    assert "class='keys'" in marked and "class='keys'" not in plain
    assert "dashed</span>" in marked and "dashed</span>" not in plain
    assert "not truth" in marked and "not truth" in plain


def test_an_abstention_is_not_shown_as_the_stance_none(ledger: Ledger) -> None:
    from rich.console import Console

    silent = replace(_prediction(None), abstained=True)
    shy = replace(ledger, pairs=tuple(replace(item, prediction=silent) for item in ledger.pairs))
    page = ledger_page(shy)
    assert "<dd>0</dd>" in page[page.index("none</dt>") :][:30] and "abstained</dt><dd>3</dd>" in page
    assert "→A1 ○ abstains</a>" in page and "not sure enough to tell" in page
    assert "not sure enough to tell" not in ledger_page(ledger)
    assert "3 abstained" in ledger_page([shy, ledger])
    stream = io.StringIO()
    Console(file=stream, width=160).print(ledger_table(shy))
    assert "3 pairs; 3 abstained; 1 unanswered" in stream.getvalue() and "none" not in stream.getvalue()


def test_a_text_that_is_not_unicode_is_refused_by_name(ledger: Ledger) -> None:
    broken = Ledger(document=Document(text="abc\ud800", id="n7"))
    for report in (ledger_page, lambda given: list(ledger_records(given))):
        with pytest.raises(InputError, match="document 'n7' holds a lone surrogate at character 3; decode"):
            report(broken)
    assert "lang='en'" in ledger_page(Ledger(document=Document(text="abc", language=None)))  # type: ignore[arg-type]


def test_what_assistive_technology_lists_has_names_of_its_own(ledger: Ledger) -> None:
    page = ledger_page([ledger, ledger])
    regions = re.findall(r"role='region' aria-label='([^']+)'", page)
    assert len(set(regions)) == len(regions) == 2 and all("Tanks at the river?" in name for name in regions)
    assert page.count("<meter ") == page.count("aria-label='How sure'") == 6


def test_an_empty_ledger_still_makes_a_page() -> None:
    page = ledger_page(Ledger(document=Document(text="")))
    assert "No pairs were found" in page


def test_several_ledgers_share_a_page_and_every_link_leads_somewhere(ledger: Ledger) -> None:
    page = ledger_page([ledger, ledger])
    names = re.findall(r"\bid='([^']+)'", page)
    assert len(names) == len(set(names))
    assert set(re.findall(r"href='#([^']+)'", page)) <= set(names)


def test_a_page_of_pairs_takes_pairs_with_predictions(ledger: Ledger) -> None:
    page = pairs_page("Demo", [(item.pair, item.prediction) for item in ledger.pairs])
    assert "Demo" in page and page.count("<tr>") == 4


def test_the_page_works_by_keyboard_in_a_browser(ledger: Ledger, tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    path = tmp_path / "ledger.html"
    path.write_text(ledger_page(ledger), encoding="utf-8")
    with sync_api.sync_playwright() as play:
        try:
            browser = play.chromium.launch(executable_path=_chromium())
        except sync_api.Error as error:
            pytest.skip(f"no browser here: {str(error)[:80]}")
        page = browser.new_context(offline=True).new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.goto(path.as_uri())
        page.wait_for_function("() => document.querySelectorAll('.lines path').length === 3")
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.id") == "0-r0"
        assert page.evaluate("document.querySelectorAll('.mark.on').length") >= 2
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "0-a0"
        page.keyboard.press("u")
        assert page.evaluate("document.activeElement.id") == "0-a2"
        page.keyboard.press("l")
        assert page.evaluate("getComputedStyle(document.querySelector('.lines')).display") == "none"
        browser.close()
    assert faults == []


def _chromium() -> str | None:
    import shutil

    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
