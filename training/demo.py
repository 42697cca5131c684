"""The main job on real input: ``make demo``.

Judges the accusations and responses of the five documents, told in our own words, and some that were written for this
project and that the model was not trained on; prints a table and writes one HTML page. With ``--documents DIR`` it also
reads the documents themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

import stance
from stance.labels import NONE
from stance.reports import ledger_page, ledger_table, pairs_page
from training.corpora import DATA, read_lines, read_written, split_of

HANDFUL = 8


def main(
    html: Annotated[Path, typer.Option(help="The page to write.")] = Path("demo.html"),
    documents: Annotated[Path | None, typer.Option(help="A folder of documents to read as well.")] = None,
) -> None:
    """Judge, print, write the page."""
    console = Console()
    pairs = [*five_documents(), *handful()]
    predictions = stance.classify_pairs(pairs)
    console.print(verdicts(pairs, predictions))
    html.write_text(pairs_page("Accusations and responses", zip(pairs, predictions, strict=True)), encoding="utf-8")
    agreed = sum(p.label == g.label for p, g in zip(predictions, pairs, strict=True))
    console.print(f"{agreed} of {len(pairs)} primary stances are the annotators'. The page is {html}.")
    if documents is not None:
        ledgers = list(read_folder(documents))
        for ledger in ledgers:
            console.print(ledger_table(ledger))
        page = html.with_name(html.stem + "-documents.html")
        page.write_text(ledger_page(ledgers), encoding="utf-8")
        console.print(f"The documents' page is {page}.")


def read_folder(documents: Path) -> Iterator[stance.Ledger]:
    """The ledgers of the documents of a folder."""
    found = stance.analyze(documents)
    yield from [found] if isinstance(found, stance.Ledger) else found  # type: ignore[misc]


def five_documents() -> list[stance.LabelledPair]:
    """The pairs of the five documents, restated, with their gold labels."""
    rows = read_lines(DATA / "five_restated.jsonl")
    return [
        stance.LabelledPair(
            accusation=row["accusation"],
            response=row["response"],
            document_id=row["document"],
            accuser=row["accuser"],
            accused=row["accused"],
            responder=row["responder"],
            labels=tuple(row["labels"]),
            label=row["label"],
            source="five documents",
        )
        for row in rows
    ]


def handful() -> list[stance.LabelledPair]:
    """Some written pairs of the test split, two of each of the first outcomes met."""
    pairs = read_written()
    unseen = [pair for pair, split in zip(pairs, split_of(pairs), strict=True) if split == "test"]
    return unseen[:: max(1, len(unseen) // HANDFUL)][:HANDFUL]


def verdicts(pairs: Sequence[stance.LabelledPair], predictions: Sequence[stance.Prediction]) -> Table:
    """The table that a person reads: accusation, response, stances, how sure, and what the annotators said."""
    table = Table(show_lines=True, title="How each response stands to its accusation")
    for heading, ratio in (("accusation", 5), ("response", 6), ("stances", 3)):
        table.add_column(heading, ratio=ratio)
    table.add_column("sure", justify="right")
    table.add_column("annotators", ratio=3)
    for pair, prediction in zip(pairs, predictions, strict=True):
        right = prediction.label == pair.label
        table.add_row(
            pair.accusation,
            pair.response,
            ", ".join(str(s).replace("_", " ") for s in prediction.stances) or NONE,
            f"{prediction.confidence:.0%}",
            ("[green]✓[/] " if right else "[red]✗[/] ") + (", ".join(s.replace("_", " ") for s in pair.labels) or NONE),
        )
    return table


if __name__ == "__main__":
    typer.run(main)
