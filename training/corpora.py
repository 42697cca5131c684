"""Labelled pairs from ``data/``, with their texts rejoined.

``data/real_pairs.jsonl`` holds labels and where the texts stand, never the texts, which belong to their publishers.
``read_real`` fetches the texts from the corpora and checks every one against its hash. ``data/written_pairs.jsonl``
was written for this project and holds its texts.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stance.errors import InputError
from stance.records import LabelledPair

DATA = Path(__file__).parent.parent / "data"
REAL_FILE = DATA / "real_pairs.jsonl"
WRITTEN_FILE = DATA / "written_pairs.jsonl"
SPLITS_FILE = DATA / "splits.json"

SPLITS = ("train", "validation", "test")
WEIGHT = {3: 1.0, 2: 0.85, 1: 0.5}
"""How much a verdict counts in training, by how sure its reader was."""


def text_hash(text: str) -> str:
    """The first 16 hexadecimal digits of a text's sha256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def collapse(text: str) -> str:
    """Every run of white space made one space, the form that spans count in."""
    return re.sub(r"\s+", " ", text).strip()


@dataclass(slots=True)
class Texts:
    """The texts of the corpora, by unit: ``article:<document>``, ``window:<id>``, ``briefing:<id>:question`` ..."""

    units: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_folder(cls, folder: Path, wanted: set[str]) -> Texts:
        """Read the wanted units from a folder.

        Args:
            folder: Either the corpora of this project (``articles.jsonl.xz`` and its neighbours, or a folder with
                ``corpora/`` in it), or a clone of ``ramybaly/Article-Bias-Prediction`` (``data/jsons``), which holds
                the articles alone.
            wanted: Names of units; the others are passed over.
        """
        store = cls()
        for base in (folder / "corpora", folder):
            if (base / "articles.jsonl.xz").is_file():
                store.units.update(item for item in _own_corpora(base, wanted) if item[0] in wanted)
                return store
        if (folder / "data" / "jsons").is_dir():
            for name in wanted:
                path = folder / "data" / "jsons" / f"{name.removeprefix('article:')}.json"
                if name.startswith("article:") and path.is_file():
                    store.units[name] = collapse(json.loads(path.read_text(encoding="utf-8"))["content_original"])
            return store
        raise InputError(
            f"{folder} holds neither articles.jsonl.xz nor data/jsons; give the folder of the corpora "
            "(--texts PATH or STANCE_TEXTS), as data/README.md describes"
        )


def _own_corpora(base: Path, wanted: set[str]) -> Iterator[tuple[str, str]]:
    for row in read_lines(base / "news_pairs.jsonl"):
        for part in ("accusation", "response"):
            yield f"pair:{row['id']}:{part}", row[part]
    for row in read_lines(base / "windows_unlabelled.jsonl"):
        yield f"window:{row['id']}", collapse(row["text"])
    for row in read_lines(base / "press_briefings.jsonl.xz"):
        for part in ("question", "answer"):
            yield f"briefing:{row['id']}:{part}", collapse(row[part])
    for row in read_lines(base / "articles.jsonl.xz"):
        if f"article:{row['document']}" in wanted:
            yield f"article:{row['document']}", collapse(row["text"])


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a JSON Lines file, plain or ``.xz``."""
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)


def texts_folder(given: str | os.PathLike[str] | None = None) -> Path:
    """Where the corpora lie: as given, else ``STANCE_TEXTS``, else ``../shared`` beside the repository."""
    found = given or os.environ.get("STANCE_TEXTS") or DATA.parent.parent / "shared"
    return Path(found)


def read_real(texts: str | os.PathLike[str] | None = None) -> list[LabelledPair]:
    """Read the labelled real pairs and rejoin their texts.

    Raises:
        InputError: The corpora are not there, a text is missing, or it differs from its hash.
    """
    rows = list(read_lines(REAL_FILE))
    folder = texts_folder(texts)
    wanted = {unit for row in rows for part in ("accusation", "response") for unit, _ in _places(row, part)}
    store = Texts.from_folder(folder, wanted)
    pairs, trouble = [], Counter[str]()
    for row in rows:
        joined = {part: _piece(row, part, store) for part in ("accusation", "response")}
        if any(text is None for text in joined.values()):
            trouble[row["id"]] += 1
            continue
        pairs.append(_labelled(row, joined))
    if trouble:
        raise InputError(
            f"{len(trouble)} of {len(rows)} pairs could not be rejoined to {folder} (first: {next(iter(trouble))}): "
            "their text is missing there or differs from its hash"
        )
    return pairs


def _places(row: Mapping[str, Any], part: str) -> Iterator[tuple[str, tuple[int, int] | None]]:
    """Where a text may be found: its own unit, and for pairs that came with the corpus their article."""
    place = row[part]
    yield place["unit"], place.get("span")
    if "article_span" in place:
        yield f"article:{row['document']}", place["article_span"]


def _piece(row: Mapping[str, Any], part: str, store: Texts) -> str | None:
    for unit, span in _places(row, part):
        if (text := store.units.get(unit)) is not None:
            start, end = span or (0, len(text))
            if text_hash(text[start:end]) == row[part]["sha256"]:
                return text[start:end]
    return None


def _labelled(row: Mapping[str, Any], joined: Mapping[str, Any]) -> LabelledPair:
    return LabelledPair(
        accusation=joined["accusation"],
        response=joined["response"],
        document_id=row["document"],
        labels=tuple(row["labels"]),
        label=row["label"],
        weight=WEIGHT[row.get("sure", 3)],
        annotator=row.get("annotator", ""),
        source=row["source"],
        id=row["id"],
        twin=row.get("twin", ""),
    )


def read_written() -> list[LabelledPair]:
    """Read the pairs that were written for this project; twins share a ``document_id``."""
    pairs = []
    for row in read_lines(WRITTEN_FILE):
        family = min([row["id"], *row["twins"]])
        pairs.append(
            _labelled(
                {**row, "document": f"written:{family}", "source": "written", "twin": family if row["twins"] else ""},
                row,
            )
        )
    return pairs


def split_of(pairs: Iterable[LabelledPair]) -> list[str]:
    """The frozen split of each pair, by its document.

    Raises:
        InputError: A document is not in ``data/splits.json``.
    """
    frozen: dict[str, str] = json.loads(SPLITS_FILE.read_text(encoding="utf-8"))["documents"]
    try:
        return [frozen[pair.document_id] for pair in pairs]
    except KeyError as missing:
        raise InputError(
            f"document {missing} is in no split; add it to data/splits.json as 'train': the others are frozen"
        ) from None


def read_split(*names: str, texts: str | os.PathLike[str] | None = None) -> list[LabelledPair]:
    """The pairs of one or several splits, real and written, in a fixed order."""
    if unknown := set(names) - set(SPLITS):
        raise InputError(f"no split {sorted(unknown)}; the splits are {', '.join(SPLITS)}")
    pairs = [*read_real(texts), *read_written()]
    return [pair for pair, split in zip(pairs, split_of(pairs), strict=True) if split in names]


def digest(pairs: Iterable[LabelledPair]) -> str:
    """A hash of pairs and labels, for the record of a frozen set."""
    rows = sorted(
        f"{p.id}\t{text_hash(p.accusation)}\t{text_hash(p.response)}\t{p.label}\t{sorted(p.labels)}" for p in pairs
    )
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]
