"""What a stranger's 200 pairs of another domain bring: ``python -m benchmarks.retrain``.

``complaints.csv`` holds complaints of customers and replies of businesses, all invented, from two writers. 200 of them are
learned from by ``stance.fine_tune`` as it comes, the others are held out. Prints its report and the time, and writes
``retrain.json``.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

import stance
from benchmarks.machine import describe

HERE = Path(__file__).parent


def main(
    pairs: Annotated[int, typer.Option(help="How many to learn from.")] = 200,
    output: Annotated[Path, typer.Option(help="Where the record goes.")] = HERE / "retrain.json",
) -> None:
    """Retrain on pairs of an unseen domain and say what was gained."""
    table = pd.read_csv(HERE / "complaints.csv", keep_default_na=False)
    drawn = sorted(table["document_id"].unique(), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    sizes = table["document_id"].value_counts()
    learned = {name for name, before in zip(drawn, sizes[drawn].cumsum(), strict=True) if before <= pairs}
    train = table[table["document_id"].isin(learned)]
    test = table[~table["document_id"].isin(learned)]
    with tempfile.TemporaryDirectory() as scratch:
        began = time.monotonic()
        tuned = stance.fine_tune(train, test=test, output=Path(scratch) / "complaints", progress=False)
        seconds = time.monotonic() - began
        print(tuned.report)
    record = {"machine": describe(), "pairs": len(train), "held_out": len(test), "seconds": round(seconds, 1)}
    record |= {"report": tuned.report}
    output.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{len(train)} pairs in {seconds:.0f} s; {len(test)} held out; the record is {output}")


if __name__ == "__main__":
    typer.run(main)
