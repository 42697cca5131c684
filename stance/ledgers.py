"""Documents in, ledgers out: the pairs found in a text, and how each response stands to its accusation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

from stance.api import Model, open_model
from stance.checkpoint import (
    ARTICLES_FILE,
    DEFAULT,
    HEADS_FILE,
    SETTINGS_FILE,
    TOKENIZER_FILE,
    Settings,
    read_settings,
    verify,
)
from stance.classifier import StanceClassifier
from stance.documents import read_document, read_folder
from stance.encoding import plain
from stance.errors import DocumentError, MissingExtraError
from stance.pairing import Finder, find
from stance.pairing.finder import load
from stance.records import Document, Ledger, LedgerItem, Pair

Source = str | Document | os.PathLike[str]
"""A text, a ``Document``, or a ``Path`` to a file or a folder. A plain string is always the text itself."""


def extract_pairs(document: Source, *, model: Model = "default") -> list[Pair]:
    """Find the accusations in a document and the responses to them.

    Args:
        document: The text, a ``Document``, or the ``Path`` of a file.
        model: The checkpoint that judges, by name or folder, or one that is open. Where it holds no network that finds pairs
            in documents (a fine-tuned one does not), the default checkpoint's finds them.

    Returns:
        The pairs in the order of their responses, with exact spans, sentences, speakers, and how sure each link is.

    Raises:
        DocumentError: The file cannot be read.
        CheckpointError: The checkpoint is damaged.
    """
    classifier = open_model(model)
    return list(find(read_document(document), _finder(classifier)[0]).pairs)


@overload
def analyze(  # type: ignore[overload-overlap]  # a string is an iterable of strings, and meant as a text
    document: Source, *, model: Model = ..., report: Callable[..., Any] | None = ...
) -> Ledger: ...
@overload
def analyze(
    document: Iterable[Source],
    *,
    model: Model = ...,
    report: Callable[..., Any] | None = ...,
) -> Iterator[Ledger]: ...
def analyze(
    document: Source | Iterable[Source],
    *,
    model: Model = "default",
    report: Callable[..., Any] | None = None,
) -> Ledger | Iterator[Ledger]:
    """Find the pairs in a document and judge each.

    Args:
        document: A text, a ``Document`` or the ``Path`` of a file gives one ``Ledger``; the ``Path`` of a folder, or an
            iterable of these, gives an iterator of ledgers, read one at a time.
        model: The checkpoint that judges, by name or folder, or one that is open. Where it holds no network that finds pairs
            in documents (a fine-tuned one does not), the default checkpoint's finds them.
        report: For a folder or an iterable: called with each document that cannot be read and the error, and the next
            one follows. If ``None``, a warning is given instead.

    Raises:
        DocumentError: A single document cannot be read.
        CheckpointError: The checkpoint is damaged.
    """
    classifier = open_model(model)
    if isinstance(document, (str, Document)) or (isinstance(document, os.PathLike) and not Path(document).is_dir()):
        return _ledger(read_document(document), classifier)
    complain = report or _warn
    if isinstance(document, os.PathLike):
        return (_ledger(each, classifier) for each in read_folder(document, report=complain))
    return _each(document, classifier, complain)


def _each(sources: Iterable[Source], classifier: StanceClassifier, report: Callable[..., Any]) -> Iterator[Ledger]:
    for source in sources:
        try:
            document = read_document(source)
        except (DocumentError, MissingExtraError) as error:
            report(source, error)
            continue
        yield _ledger(document, classifier)


def _warn(source: object, error: Exception) -> None:
    import warnings

    warnings.warn(f"skipped: {error}", stacklevel=3)


def _finder(classifier: StanceClassifier) -> tuple[Finder, str]:
    """The finder of a checkpoint, or that of the default one where it has none; and what judges and what finds."""
    own = (classifier.path / ARTICLES_FILE).is_file()
    folder = classifier.path if own else DEFAULT
    finder, name = _open_finder(folder, (folder / SETTINGS_FILE).stat().st_mtime_ns)
    judge = _named(classifier.settings)
    return finder, judge if own else f"{judge}, pairs found by {name}"


def _named(settings: Settings) -> str:
    return f"{settings.name} {settings.version} {settings.digest}"


@lru_cache(maxsize=2)
def _open_finder(folder: Path, written: int) -> tuple[Finder, str]:
    from tokenizers import Tokenizer

    from stance.backends.onnx_graph import open_articles

    settings = read_settings(folder)
    verify(folder, settings)  # the graph reads weights that it shares from model.onnx, by their place
    tokenizer = plain(Tokenizer.from_file(str(folder / TOKENIZER_FILE)))
    return load(folder / HEADS_FILE, open_articles(folder / ARTICLES_FILE), tokenizer), _named(settings)


def _ledger(document: Document, classifier: StanceClassifier) -> Ledger:
    finder, model = _finder(classifier)
    findings = find(document, finder)
    predictions = classifier.classify_pairs(findings.pairs)
    return Ledger(
        document=document,
        pairs=tuple(
            LedgerItem(pair=pair, prediction=prediction)
            for pair, prediction in zip(findings.pairs, predictions, strict=True)
        ),
        accusations=findings.accusations,
        model=model,
        chains=findings.chains,
    )
