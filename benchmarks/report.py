"""Results -> a table, a plot, and the figures the project promised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.contenders import ZERO_SHOT

FLAT_FROM = 10_000
"""Rows from which on cost and memory are promised to be flat; below, starting up shows."""

TUNED, CROSS = "transformers.pipeline (batch_size=32)", "CrossEncoder (torch)"


def print_results(results: dict[str, Any]) -> None:
    console = Console(width=None if Console().is_terminal else 150)
    machine = results["machine"]
    console.print(
        f"\n{machine['processor']}, {machine['threads']} threads, {machine['system']}; "
        f"int8 peak {results['peaks']['int8']:,.0f} and fp32 peak {results['peaks']['fp32']:,.0f} GOP/s; "
        f"{results['pairs']:,} pairs of {results['tokens_per_pair']:.0f} tokens on average"
    )
    console.print(_table(results))
    for name, reason in results["left_out"].items():
        console.print(f"left out: {name} ({reason})")
    growth = Table("", "rows in the file", "µs a row", "peak MB", title="stance.classify_file")
    for step in results["growth"]:
        what = "with the network" if step["network"] else "all but the network"
        growth.add_row(what, f"{step['rows']:,}", f"{step['us_per_row']:,.0f}", f"{step['peak_mb']:,.0f}")
    console.print(growth)
    for line in promises(results):
        console.print(line)


def _table(results: dict[str, Any]) -> Table:
    table = Table(title="one checkpoint, the same pairs, one run")
    heads = ("", "pairs/s", "× stance", "one: pairs/s", "p50 ms", "p99 ms", "import s", "cold s", "cold MB", "peak MB")
    for head in (*heads, "of peak", "same label"):
        table.add_column(head, justify="left" if not head else "right")
    ours = results["contenders"]["stance"]["pairs_s"]
    for name, r in results["contenders"].items():
        table.add_row(
            name,
            f"{r['pairs_s']:,.0f}",
            f"{r['pairs_s'] / ours:.2f}",
            f"{r['single_pairs_s']:,.0f}",
            f"{r['p50_ms']:.1f}",
            f"{r['p99_ms']:.1f}",
            f"{r['import_s']:.2f}",
            f"{r['cold_s']:.2f}",
            f"{r['cold_mb']:,.0f}",
            f"{r['peak_mb']:,.0f}",
            f"{r['share_of_peak']:.0%} {r['peak']}",
            "" if name == ZERO_SHOT else f"{r['agreement']:.2%}",
        )
    return table


def promises(results: dict[str, Any]) -> list[str]:
    """Each promised figure with what was found."""
    by_name, growth = results["contenders"], results["growth"]
    ours = by_name["stance"]
    found = [
        ("times transformers.pipeline(batch_size=32)", _ratio(by_name, TUNED), 5.0, ">="),
        ("times CrossEncoder.predict", _ratio(by_name, CROSS), 2.5, ">="),
        ("of labels change", 1 - ours["agreement"], 0.01, "<="),
        ("of the int8 peak", ours["share_of_peak"], 0.35, ">="),
        ("s from a cold process to the first answer", ours["cold_s"], 1.0, "<="),
        ("MB from a cold process to the first answer", ours["cold_mb"], 300, "<="),
    ]
    for network, what in ((True, "with the network"), (False, "all but the network")):
        steps = [step for step in growth if step["network"] is network and step["rows"] >= FLAT_FROM]
        if len(steps) > 1:
            for key, of in (("us_per_row", "cost a row"), ("peak_mb", "memory")):
                ratio = max(s[key] for s in steps) / min(s[key] for s in steps)
                span = f"from {steps[0]['rows']:,} to {steps[-1]['rows']:,} rows"
                found.append((f"times the least {of}, {what}, {span}", ratio, 1.1, "<="))
    lines = []
    for what, value, bound, sign in found:
        if value is not None:
            met = value >= bound if sign == ">=" else value <= bound
            lines.append(f"{'met   ' if met else 'missed'}  {value:8.3g} {what} ({sign} {bound})")
    return lines


def _ratio(by_name: dict[str, Any], peer: str) -> Any:
    return by_name["stance"]["pairs_s"] / by_name[peer]["pairs_s"] if peer in by_name else None


def write_results(results: dict[str, Any], folder: Path) -> None:
    """Write ``results.json`` and ``speed.png``."""
    kept = {name: {k: v for k, v in r.items() if k != "labels"} for name, r in results["contenders"].items()}
    text = json.dumps({**results, "contenders": kept}, indent=1, ensure_ascii=False)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    plot(results, folder / "speed.png")


def plot(results: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), width_ratios=(3, 2), layout="constrained")
    rates = {
        name: r["pairs_s"] for name, r in sorted(results["contenders"].items(), key=lambda item: item[1]["pairs_s"])
    }
    colours = ["#1b6ca8" if name == "stance" else "#b8c4ce" for name in rates]
    left.bar_label(left.barh(list(rates), list(rates.values()), color=colours), fmt="{:,.0f}", padding=3)
    left.set(title="pairs per second", xlim=(0, 1.15 * max(rates.values())))
    for network, what, colour in ((True, "with the network", "#1b6ca8"), (False, "all but the network", "#c8642b")):
        steps = [step for step in results["growth"] if step["network"] is network]
        right.plot([s["rows"] for s in steps], [s["us_per_row"] for s in steps], "o-", color=colour, label=what)
    right.set(xscale="log", yscale="log", title="µs a row, by rows in the file")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    machine = results["machine"]
    figure.supxlabel(f"{machine['processor']}, {machine['threads']} threads", fontsize=9)
    figure.savefig(path, dpi=150)
    plt.close(figure)
