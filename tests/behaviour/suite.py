"""The behaviour suite: small, named demands on a checkpoint, written from the codebook and not from what a model says.

``checks.jsonl`` holds one check a line: ``kind``, ``id``, ``accusation``, ``response`` and ``expect``, which is one of

    {"label": "denial"}                            the primary stance; "none" where the response carries none
    {"one_of": ["denial", "none"]}                 the primary outcome is among these
    {"carries": "denial"}, {"lacks": "denial"}     the stance is, or is not, in the set
    {"same_as": "typos-01"}                        the primary outcome is that of the other check
    {"rises": "denial", "over": "negation-01"}     the stance is likelier to be present than in the other check

``python -m tests.behaviour.suite`` prints the pass rate of each kind, and the checks that fail with ``--failures``;
``--write`` stores the rates in ``rates.json``, which the next checkpoint must not fall below.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from stance.api import load
from stance.classifier import StanceClassifier
from stance.errors import InputError
from stance.labels import LABELS, NONE
from stance.records import Prediction

HERE = Path(__file__).parent
CHECKS_FILE = HERE / "checks.jsonl"
RATES_FILE = HERE / "rates.json"

_FORMS = ({"label"}, {"one_of"}, {"carries"}, {"lacks"}, {"same_as"}, {"rises", "over"})
_STANCES = frozenset(map(str, LABELS))
_OUTCOMES = _STANCES | {NONE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One demand on the model.

    Attributes:
        kind: What is probed; pass rates are given by kind.
        id: Its name, unique in the file.
        accusation: The charge.
        response: The reply.
        expect: What must hold, in one of the forms that the module names.
    """

    kind: str
    id: str
    accusation: str
    response: str
    expect: Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one check went."""

    check: Check
    passed: bool
    found: str
    """What the model said, in words."""

    def __str__(self) -> str:
        wanted = " ".join(f"{key} {value}" for key, value in self.check.expect.items())
        return f"{self.check.id}: expected {wanted}, found {self.found}: {self.check.response[:90]!r}"


def read_checks(path: Path = CHECKS_FILE) -> list[Check]:
    """Read the checks and hold them to the format.

    Raises:
        InputError: A line is no check, a name is taken twice, or a check leans on one that does not come before it.
    """
    checks: dict[str, Check] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            check = Check(**json.loads(line))
        except (TypeError, ValueError) as error:
            raise InputError(f"{path.name}:{number} is not a check: {error}. Give it the fields of Check.") from error
        if problem := _problem(check, checks):
            raise InputError(f"{path.name}:{number} ({check.id}): {problem}")
        checks[check.id] = check
    return list(checks.values())


def _problem(check: Check, before: Mapping[str, Check]) -> str:
    """What is wrong with a check, given those above it; empty if nothing."""
    expect = check.expect
    if check.id in before:
        return "the id is taken; give it another"
    if not check.accusation.strip() or not check.response.strip():
        return "a text is blank; write one"
    if set(expect) not in _FORMS:
        return f"expect has the keys {sorted(expect)}; take one of the forms in suite.py"
    for key in expect.keys() - {"same_as", "over"}:
        allowed = _OUTCOMES if key in {"label", "one_of"} else _STANCES
        if not set(_names(expect[key])) <= allowed:
            return f"{key} is {expect[key]!r}; take {sorted(allowed)}"
    other = expect.get("same_as", expect.get("over"))
    if other is not None and (other not in before or before[str(other)].kind != check.kind):
        return f"it leans on {other!r}, which is no check of its kind above it"
    return ""


def _names(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def run_checks(checks: Sequence[Check], judge: StanceClassifier | None = None) -> list[Outcome]:
    """Judge all checks in one call; the default checkpoint if ``judge`` is ``None``."""
    classifier = judge or load("default")
    predictions = classifier.classify_pairs((check.accusation, check.response) for check in checks)
    by_id = dict(zip((check.id for check in checks), predictions, strict=True))
    return [Outcome(check=check, passed=_holds(check, by_id), found=_found(by_id[check.id])) for check in checks]


def _holds(check: Check, predictions: Mapping[str, Prediction]) -> bool:
    expect, got = check.expect, predictions[check.id]
    primary = got.label or NONE
    if "label" in expect:
        return primary == expect["label"]
    if "one_of" in expect:
        return primary in expect["one_of"]
    if "carries" in expect:
        return expect["carries"] in got.stances
    if "lacks" in expect:
        return expect["lacks"] not in got.stances
    if "same_as" in expect:
        return got.label == predictions[str(expect["same_as"])].label
    stance = str(expect["rises"])
    return got.presence[stance] > predictions[str(expect["over"])].presence[stance]


def _found(prediction: Prediction) -> str:
    others = [str(name) for name in prediction.stances if name != prediction.label]
    return str(prediction.label or NONE) + (f" (also {', '.join(others)})" if others else "")


def by_kind(outcomes: Iterable[Outcome]) -> dict[str, tuple[int, int]]:
    """Kind -> (checks, passed), in the order of the file."""
    counts: dict[str, tuple[int, int]] = {}
    for outcome in outcomes:
        n, passed = counts.get(outcome.check.kind, (0, 0))
        counts[outcome.check.kind] = (n + 1, passed + outcome.passed)
    return counts


def run(judge: StanceClassifier | None = None) -> dict[str, tuple[int, int]]:
    """Run the suite on the default checkpoint, or on another: kind -> (checks, passed)."""
    return by_kind(run_checks(read_checks(), judge))


def read_rates(path: Path = RATES_FILE) -> dict[str, float]:
    """The recorded pass rates, kind -> 0..1."""
    if not path.exists():
        raise InputError(f"no recorded pass rates at {path}; write them with: python -m tests.behaviour.suite --write")
    kinds = json.loads(path.read_text(encoding="utf-8"))["kinds"]
    return {kind: row["passed"] / row["checks"] for kind, row in kinds.items()}


def write_rates(counts: Mapping[str, tuple[int, int]], model: str, path: Path = RATES_FILE) -> None:
    """Record what a checkpoint passes."""
    kinds = {kind: {"checks": n, "passed": passed} for kind, (n, passed) in counts.items()}
    path.write_text(json.dumps({"model": model, "kinds": kinds}, indent=1) + "\n", encoding="utf-8")


def lowered(counts: Mapping[str, tuple[int, int]], rates: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """The kinds whose pass rate is below the recorded one: kind -> (recorded, now), both 0..1."""
    now = {kind: passed / n for kind, (n, passed) in counts.items()}
    return {kind: (rate, now[kind]) for kind, rate in rates.items() if kind in now and now[kind] < rate}


def table(counts: Mapping[str, tuple[int, int]]) -> Table:
    """The pass rates, to print."""
    shown = Table("kind", title="Behaviour suite")
    for name in ("checks", "passed", "rate"):
        shown.add_column(name, justify="right")
    for kind, (n, passed) in counts.items():
        shown.add_row(kind, str(n), str(passed), f"{passed / n:.0%}")
    n, passed = (sum(column) for column in zip(*counts.values(), strict=True))
    shown.add_section()
    shown.add_row("all", str(n), str(passed), f"{passed / n:.0%}")
    return shown


def main(
    model: Annotated[str, typer.Option(help="A checkpoint: a name or a folder.")] = "default",
    failures: Annotated[bool, typer.Option(help="List the checks that fail.")] = False,
    write: Annotated[bool, typer.Option(help="Store the pass rates in rates.json.")] = False,
) -> None:
    """Print the pass rate of each kind of check."""
    judge = load(model)
    outcomes = run_checks(read_checks(), judge)
    counts, console = by_kind(outcomes), Console()
    console.print(table(counts))
    for outcome in outcomes:
        if failures and not outcome.passed:
            console.print(str(outcome), markup=False, highlight=False)
    before = read_rates() if RATES_FILE.exists() else {}
    for kind, (recorded, now) in lowered(counts, before).items():
        console.print(f"lowered: {kind}, from {recorded:.0%} to {now:.0%}", style="bold red")
    if write:
        write_rates(counts, f"{judge.settings.name} {judge.settings.version} {judge.settings.digest}")


if __name__ == "__main__":
    typer.run(main)
