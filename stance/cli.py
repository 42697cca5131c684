"""The verbs in a shell. Each command is one call of the library; errors print one line and exit with 2."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from stance.errors import ColumnError, InputError, StanceError

app = typer.Typer(
    help="How a response stands to an accusation: denial, demand for evidence, counter-accusation, acknowledgment, or "
    'none of them. Start with: stance classify "You sold them rockets." "Where is your evidence?"',
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Model = Annotated[str, typer.Option(help="A checkpoint: 'default', a folder, or a hub name.")]
Coverage = Annotated[float, typer.Option(help="Share of the predictions of each outcome to keep; the rest abstain.")]


def _show_version(asked: bool) -> None:
    if asked:
        from stance import __version__

        typer.echo(f"stance {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None: ...


def _friendly(command: Callable[..., None]) -> Callable[..., None]:
    """Print an error of the library, or of a file, as one line instead of a traceback."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except StanceError as error:
            typer.echo(f"stance: {error}", err=True)
            raise typer.Exit(2) from error
        except BrokenPipeError:
            sys.stderr.close()
            raise typer.Exit(0) from None
        except OSError as error:
            typer.echo(f"stance: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(2) from error

    return run


@app.command()
@_friendly
def classify(
    accusation: Annotated[str, typer.Argument(help="The charge.")],
    response: Annotated[str, typer.Argument(help="What the accused side says to it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    model: Model = "default",
    coverage: Coverage = 1.0,
) -> None:
    """Judge one pair."""
    from stance.api import load
    from stance.labels import NONE

    prediction = load(model).classify(accusation, response, coverage=coverage)
    if as_json:
        typer.echo(json.dumps(prediction.to_dict(), ensure_ascii=False))
        return
    verdict = "abstains" if prediction.abstained else str(prediction.label or NONE)
    typer.echo(
        f"{verdict}  ({prediction.confidence:.0%} sure)" + ("  some text was cut" if prediction.truncated else "")
    )
    for name, probability in prediction.probabilities.items():
        carried = " *" if name in prediction.stances else ""
        present = f"  present {prediction.presence[name]:4.0%}" if name in prediction.presence else ""
        typer.echo(f"  {name!s:<20} {probability:4.0%}{present}{carried}")


@app.command()
@_friendly
def score(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="IN... OUT",
            help="Tables to read, or patterns such as 'in/*.csv', then the one to write; - streams.",
        ),
    ],
    accusation: Annotated[str | None, typer.Option(help="Column of the charges.")] = None,
    response: Annotated[str | None, typer.Option(help="Column of the replies.")] = None,
    model: Model = "default",
    backend: Annotated[str, typer.Option(help="auto, onnx or torch.")] = "auto",
    coverage: Coverage = 1.0,
    on_error: Annotated[str, typer.Option(help="fail, or skip bad rows and list them in OUT.errors.jsonl.")] = "fail",
    stream_format: Annotated[
        str | None, typer.Option("--format", help="Format of a stream: csv, tsv or jsonl (jsonl if not given).")
    ] = None,
    prefix: Annotated[str, typer.Option(help="Put before the name of every added column.")] = "",
    resume: Annotated[bool, typer.Option(help="Take up a run that was broken off.")] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT even if stance did not write it.")
    ] = False,
    chunk_rows: Annotated[int, typer.Option(help="Rows committed together.")] = 4096,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Judge every row of tables: .csv, .tsv, .jsonl, .ndjson, also with .gz or .zst; .parquet, .pq; - for a stream."""
    from stance.files import classify_file

    if len(source) < 2:
        raise InputError("name at least one table to read and then the one to write: stance score IN OUT")
    if not overwrite:
        _check_ours(source[-1])
    record = classify_file(
        source[0] if len(source) == 2 else source[:-1],
        source[-1],
        accusation=accusation,
        response=response,
        model=model,
        backend=backend,
        coverage=coverage,
        on_error=on_error,  # type: ignore[arg-type]
        format=stream_format,  # type: ignore[arg-type]
        prefix=prefix,
        resume=resume,
        chunk_rows=chunk_rows,
        progress=False if quiet else None,
    )
    typer.echo(str(record), err=True)


def _check_ours(target: str) -> None:
    """Refuse to replace what stance did not write: where a shell makes names of a pattern, OUT is easily forgotten."""
    from stance.files.sources import STREAM

    ours = any(Path(target + end).exists() for end in (".run.json", ".journal"))
    if target != STREAM and Path(target).is_file() and not ours:
        raise InputError(
            f"{target} exists and was not written by stance; name the table to write last, "
            "or pass --overwrite to replace it"
        )


@app.command()
@_friendly
def analyze(
    source: Annotated[str, typer.Argument(help="A file, a folder, or - for standard input.")],
    html: Annotated[Path | None, typer.Option(help="Write one self-contained page here.")] = None,
    jsonl: Annotated[Path | None, typer.Option(help="Write the ledger's records here.")] = None,
    model: Model = "default",
) -> None:
    """Find the accusations in documents, the responses to them, and judge each pair."""
    from rich.console import Console

    from stance.documents import decoded
    from stance.ledgers import analyze as read
    from stance.records import Document, Ledger
    from stance.reports import ledger_lines, ledger_page, ledger_table

    for path in (html, jsonl):
        if path is not None and not path.parent.is_dir():
            raise InputError(f"no folder {path.parent} to write {path.name} to; make it first")
    skipped: list[str] = []

    def report(document: Any, error: Exception) -> None:
        skipped.append(f"{document}: {error}")
        typer.echo(f"stance: skipped {document}: {error}", err=True)

    if source == "-":
        found: Any = read(Document(text=decoded(sys.stdin.buffer.read(), "stdin"), id="stdin"), model=model)
    else:
        found = read(Path(source), model=model, report=report)
    console, kept = Console(), []
    with nullcontext() if jsonl is None else jsonl.open("w", encoding="utf-8") as lines:
        for ledger in [found] if isinstance(found, Ledger) else found:
            console.print(ledger_table(ledger))
            if lines is not None:
                lines.writelines(line + "\n" for line in ledger_lines([ledger]))
            if html is not None:  # a page shows all of them; nothing else needs to hold them
                kept.append(ledger)
    if html is not None:
        html.write_text(ledger_page(kept), encoding="utf-8")
        typer.echo(f"wrote {html}", err=True)
    if jsonl is not None:
        typer.echo(f"wrote {jsonl}", err=True)
    if skipped:
        raise typer.Exit(1)


@app.command()
@_friendly
def evaluate(
    file: Annotated[
        Path,
        typer.Argument(
            help="A table with accusation, response, label and perhaps labels: .csv, .tsv, .jsonl, .json or .parquet."
        ),
    ],
    accusation: Annotated[str | None, typer.Option(help="Column of the charges.")] = None,
    response: Annotated[str | None, typer.Option(help="Column of the replies.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the primary stances.")] = None,
    model: Model = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a checkpoint on labelled pairs."""
    from stance import api
    from stance.exchange import read_labelled

    classifier = api.load(model)
    named = {"accusation": accusation, "response": response, "label": label}
    columns = {name: column for name, column in named.items() if column is not None}
    try:
        gold = read_labelled(file, columns=columns, labels=classifier.labels)
    except ColumnError as error:
        raise ColumnError(
            f"{error}. In a shell, --accusation NAME, --response NAME and --label NAME say which columns to read"
        ) from error
    evaluation = api.evaluate(classifier.classify_pairs(gold), gold)
    typer.echo(json.dumps(evaluation.to_dict()) if as_json else str(evaluation))


@app.command()
@_friendly
def train(
    pairs: Annotated[Path, typer.Argument(help="Labelled pairs: .csv, .tsv, .jsonl, .json or .parquet.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the new checkpoint.")],
    base: Annotated[str, typer.Option(help="'default', a checkpoint, or an encoder by path or hub name.")] = "default",
    test: Annotated[Path | None, typer.Option(help="Pairs to report on; a quarter is held out if not given.")] = None,
    labels: Annotated[
        str, typer.Option(help="The label set, joined by commas, without none; taken from base and pairs if not given.")
    ] = "",
    epochs: Annotated[int | None, typer.Option(help="Passes over the pairs.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
) -> None:
    """Train on pairs that you labelled, and report what was gained and lost."""
    from dataclasses import replace

    from stance.finetuning import default_recipe, fine_tune

    recipe = replace(default_recipe(base), seed=seed)
    changes = {"epochs": epochs, "learning_rate": learning_rate}
    recipe = replace(recipe, **{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]
    names = [name.strip() for name in labels.split(",")] if labels else None
    typer.echo(str(fine_tune(pairs, output=output, base=base, labels=names, test=test, recipe=recipe)))
    typer.echo(f"\nwrote {output}; use it with stance.load({str(output)!r})")


@app.command()
@_friendly
def label(
    pairs: Annotated[Path, typer.Argument(help="Pairs to label: .csv, .tsv, .jsonl, .json or .parquet.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The labelled table; PAIRS.labelled.csv, without PAIRS' suffix, if not given."
        ),
    ] = None,
    annotator: Annotated[str, typer.Option(help="Who labels; 'reader' if not given. Two readers need two names.")] = "",
    blind: Annotated[bool, typer.Option("--blind", help="A second reader, who sees nobody's verdicts.")] = False,
    port: Annotated[int, typer.Option(help="Where to listen; any free port if 0.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page.")] = True,
    model: Model = "default",
    labels: Annotated[
        str | None, typer.Option(help="The stances to choose from: a,b,c; those of the model if not given.")
    ] = None,
) -> None:
    """Open a local page to label pairs by keyboard."""
    from stance.checkpoint import read_settings, resolve
    from stance.labelling import serve
    from stance.labels import LABELS

    if labels is not None:
        names: tuple[str, ...] = tuple(name.strip() for name in labels.split(","))
    else:
        names = LABELS if model == "default" else read_settings(resolve(model)).labels
    written = serve(
        pairs,
        output=output,
        annotator=annotator,
        blind=blind,
        port=port,
        open_browser=browser,
        model=model,
        labels=names,
    )
    typer.echo(f"wrote {written}")


@app.command()
@_friendly
def export(
    output: Annotated[Path, typer.Argument(help="A new folder.")],
    model: Model = "default",
) -> None:
    """Write a checkpoint that plain transformers opens."""
    from stance.exporting import export as write

    typer.echo(f"wrote {write(output, model=model)}")


@app.command()
@_friendly
def info(model: Model = "default") -> None:
    """Say which checkpoint is served, by what, and how good it is."""
    import stance
    from stance.api import load

    classifier = load(model)
    settings = classifier.settings
    judged = settings.provenance.get("judged", {}).get("evaluation", {})
    rows = {
        "stance": stance.__version__,
        "checkpoint": f"{settings.name} {settings.version}",
        "digest": settings.digest,
        "folder": str(classifier.path),
        "backend": classifier.backend.name,
        "labels": ", ".join(str(name) for name in settings.labels),
        "window": f"{settings.max_tokens} tokens, {settings.max_accusation_tokens} of them for the accusation",
    }
    if judged:
        rows["macro-F1"] = "{:.3f} [{:.3f}, {:.3f}] on {} test pairs".format(*judged["macro_f1"], judged["n"])
    for name, value in rows.items():
        typer.echo(f"{name:<12}{value}")
