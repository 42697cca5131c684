"""Pages of the manual that are computed, so that no figure in it is typed by hand.

A page asks for one with a line such as ``<!-- stance: cost -->``. The same text is printed by

    python docs/hooks.py cost [--price 0.05]
    python docs/hooks.py model
    python docs/hooks.py cli
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"
PAIRS = 1_000_000_000
FULL = 20_000
"""Pairs of a full run of the benchmark; a record of fewer is of a quick one."""
PRICE = 0.05
"""What one thread costs for an hour, in any currency: an assumption, not an offer."""

_QUICK = "**Quick run: an order of magnitude only.** `make bench` writes a full one."
_ASKED = re.compile(r"^<!-- stance: (\w+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs with the text of each page."""
    return _ASKED.sub(lambda asked: PARTS[asked[1]](), markdown)


def cost(price: float = PRICE) -> str:
    """What a thousand million pairs cost, from the rates in ``benchmarks/results.json``."""
    if not RESULTS.is_file():
        return "**No rates have been measured in this checkout.** Run `make bench`, then build this page again."
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    machine, threads = results["machine"], results["machine"]["threads"]
    largest = [step for step in results["growth"] if step["network"]][-1]
    rates = {f"stance, a file of {largest['rows']:,} rows": 1e6 / largest["us_per_row"]}
    rates |= {f"{name}, pairs in memory": found["pairs_s"] for name, found in results["contenders"].items()}
    rows = [
        (name, f"{rate:,.0f}", f"{hours:,.0f}", f"{math.ceil(hours / 24):,}", f"{hours * threads * price:,.0f}")
        for name, rate in rates.items()
        for hours in [PAIRS / rate / 3600]
    ]
    head = ("", "pairs a second", f"hours for {PAIRS:,}", "such machines to end in a day", "cost")
    return "\n\n".join(
        [
            *([_QUICK] if results["pairs"] < FULL else []),
            _table(head, rows),
            f"Measured on: {machine['processor']}, {threads} threads, {machine['system']}; {results['pairs']:,} pairs "
            f"of {results['tokens_per_pair']:.0f} tokens on average. {_files(results['growth'])} The most memory that "
            f"scoring the file of {largest['rows']:,} rows took: {largest['peak_mb']:,.0f} MB.",
            f"The cost is hours x {threads} threads x {price:g}, where {price:g} is what one thread costs for an hour. "
            "That price is an assumption; put in your own with `python docs/hooks.py cost --price ...`.",
        ]
    )


def _files(growth: list[dict[str, Any]]) -> str:
    """How large the files were that a run scored."""
    largest = {step["network"]: step["rows"] for step in growth}  # the last of each kind
    without = f", and of {largest[False]:,} with the network left out" if False in largest else ""
    return f"The largest file was of {largest[True]:,} rows{without}."


def model() -> str:
    """The card of the shipped checkpoint, without the head that model hubs read."""
    from stance.cards import card
    from stance.checkpoint import DEFAULT, read_settings

    text = card(read_settings(DEFAULT)).split("---\n", 2)[2]
    return re.sub(r"^# (.*)$", r"## \1", re.sub(r"^##", "###", text, flags=re.MULTILINE), flags=re.MULTILINE).strip()


def cli() -> str:
    """The help of every command."""
    from typer.testing import CliRunner

    from stance.cli import app

    runner = CliRunner(env={"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"})
    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    parts = []
    for name in names:
        shown = runner.invoke(app, [name, "--help"], prog_name="stance").output.strip()
        parts.append(f"## stance {name}\n\n```text\n{shown}\n```")
    return "\n\n".join(parts)


PARTS: dict[str, Callable[[], str]] = {"cost": cost, "model": model, "cli": cli}


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--price", type=float, default=PRICE, help="of one thread for an hour")
    asked = parser.parse_args()
    print(cost(asked.price) if asked.part == "cost" else PARTS[asked.part]())
