"""Timelines: one actor, one accusation, several dates."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import pytest

from stance.errors import InputError
from stance.records import Document, Ledger, LedgerItem, Pair, Prediction
from stance.timelines import timeline


def _ledger(date: str, *rows: tuple[str, str, str, str | None]) -> Ledger:
    items = []
    for responder, accusation, response, label in rows:
        pair = Pair(accusation=accusation, response=response, accuser="Nordia", accused=responder, responder=responder)
        names = ("denial", "demand_for_evidence", "counter_accusation", "acknowledgment", "none")
        prediction = Prediction(
            label=label,
            stances=(label,) if label else (),
            probabilities={n: 0.6 if n == (label or "none") else 0.1 for n in names},
            presence={n: 0.6 if n == label else 0.1 for n in names[:4]},
        )
        items.append(LedgerItem(pair=pair, prediction=prediction))
    return Ledger(document=Document(text="x", id=f"doc-{date}", date=date), pairs=tuple(items))


MAY = _ledger(
    "2031-05-02", ("Sudland", "Nordia said Sudland moved tanks to the river bank.", "Not one tank has moved.", "denial")
)
JUNE = _ledger(
    "2031-06-09",
    (
        "Sudland",
        "Sudland had moved tanks to the river, Nordia repeated.",
        "A few tanks were there by mistake.",
        "acknowledgment",
    ),
)
OTHER = _ledger(
    "2031-05-20",
    (
        "Sudland",
        "Nordia said Sudland poisoned the wells of three villages.",
        "Show us the proof.",
        "demand_for_evidence",
    ),
)
NOBODY = _ledger("2031-05-21", ("Ada Berg", "Nordia said Ada Berg moved tanks to the river.", "No comment.", None))


def test_a_position_that_moves_is_shown_with_both_quotations() -> None:
    thread = timeline([JUNE, MAY]).threads[0]
    assert [p.stance for p in thread.positions] == ["denial", "acknowledgment"]
    ((before, after),) = thread.changes
    assert (before.response, after.response) == ("Not one tank has moved.", "A few tanks were there by mistake.")
    assert "denial (2031-05-02) -> acknowledgment (2031-06-09)" in repr(thread)


def test_another_accusation_is_another_thread() -> None:
    found = timeline([MAY, OTHER, JUNE])
    assert [len(t.positions) for t in found] == [2, 1]
    assert found.threads[0].moved and not found.threads[1].moved


def test_another_actor_charged_alike_is_another_thread() -> None:
    found = timeline([MAY, NOBODY])
    assert {t.actor for t in found} == {"Sudland", "Ada Berg"}
    assert [t.actor for t in found.of("Berg")] == ["Ada Berg"]
    assert found.of("Berg").threads[0].positions[0].stance == "none"


def test_an_empty_timeline_and_its_printed_form() -> None:
    assert len(timeline([])) == 0 and str(timeline([])) == ""
    assert "acknowledgment" in str(timeline([MAY, JUNE]))
    assert timeline([MAY, JUNE]).threads[0].to_dict()["changes"]


def test_a_charge_made_only_of_names_still_threads_with_itself() -> None:
    row = ("Sudland", "Nordia said: Sudland!", "Never.", "denial")
    assert [len(t.positions) for t in timeline([_ledger("2031-05-02", row), _ledger("2031-05-03", row)])] == [2]
    assert [len(t.positions) for t in timeline([_ledger("2031-05-02", row, row)])] == [2]


def test_documents_follow_each_other_by_day_then_time_and_those_without_a_date_come_first() -> None:
    row = ("Sudland", "Nordia said Sudland moved tanks to the river bank.", "Not one.", "denial")
    dates = ["2031-05-02T18:00", "20310501", "2031-05-02T08:00", "", "2030-12-31"]
    (thread,) = timeline(_ledger(date, row) for date in dates)
    assert [p.date for p in thread.positions] == ["", "2030-12-31", "20310501", "2031-05-02T08:00", "2031-05-02T18:00"]


@pytest.mark.parametrize("date", ["2 May 2031", "02/05/2031", "2031-13-01", "2031"])
def test_a_date_of_another_form_is_refused_by_name(date: str) -> None:
    with pytest.raises(InputError, match=rf"doc-{date}.*YYYY-MM-DD"):
        timeline([_ledger(date, ("Sudland", "Nordia said Sudland lied.", "No.", "denial"))])


def test_the_actor_is_named_as_most_often_and_of_equals_by_the_longest_name() -> None:
    def row(name: str) -> tuple[str, str, str, str]:
        return (name, "Nordia said Berg moved tanks to the river bank.", "No.", "denial")

    often = [_ledger(f"2031-05-0{i}", row(name)) for i, name in enumerate(("Ada Berg", "Berg", "Berg"), 1)]
    assert [t.actor for t in timeline(often)] == ["Berg"]
    assert [t.actor for t in timeline(often[:2])] == ["Ada Berg"]


def _answered(given: object, label: str | None = "denial", id: str = "") -> Ledger:
    found = _ledger("", ("Sudland", "Nordia said Sudland moved tanks to the river bank.", "Not one.", label))
    return replace(found, document=Document(text="x", id=id or str(given), date=given))  # type: ignore[arg-type]


def test_dates_may_be_missing_or_objects_or_stand_between_spaces() -> None:
    given = [" 2031-01-05", date(2031, 1, 4), datetime(2031, 1, 3, 12), None]
    (thread,) = timeline(_answered(day) for day in given)
    assert [p.date for p in thread.positions] == ["", "2031-01-03T12:00:00", "2031-01-04", " 2031-01-05"]
    with pytest.raises(InputError, match="document '5' is dated 5"):
        timeline([_answered(5)])


def test_times_are_compared_across_zones() -> None:
    later, sooner = "2031-05-02T23:30+00:00", "2031-05-03T00:10+02:00"
    (thread,) = timeline([_answered(later), _answered(sooner)])
    assert [p.date for p in thread.positions] == [sooner, later]


def test_a_position_without_a_date_or_a_verdict_makes_no_change() -> None:
    days = ("2031-05-02", "2031-05-03", "2031-05-04")
    undated, first, silent, last = (
        _answered(day, label)
        for day, label in zip(("", *days), ("acknowledgment", "denial", None, "denial"), strict=True)
    )
    (item,) = silent.pairs
    silent = replace(silent, pairs=(replace(item, prediction=replace(item.prediction, abstained=True)),))
    (thread,) = timeline([undated, first, silent, last])
    assert [p.stance for p in thread.positions] == ["acknowledgment", "denial", "abstained", "denial"]
    assert not thread.moved
    (moved,) = timeline([first, silent, _answered(days[2], "acknowledgment")])
    assert [(before.date, after.date) for before, after in moved.changes] == [(days[0], days[2])]
