"""Everything that finds pairs in a document, as it lies in a checkpoint: the graph, its heads, the thresholds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stance.errors import CheckpointError
from stance.pairing.candidates import CUES, Reading
from stance.pairing.layout import PAIR_FACTS, lay_out
from stance.pairing.links import LINK_COLUMNS, Head
from stance.pairing.network import PARTS, Scores, Vectors, score

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FORMAT = 3
_NAMES = {"cues": CUES, "pair_facts": PAIR_FACTS, "links": LINK_COLUMNS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finder:
    """Finds accusations, responses and links.

    Attributes:
        score: What the network says of a reading.
        link: Weighs the rows of ``links.link_rows``.
        thresholds: ``accusation`` and ``response``: from how likely on a row is taken; ``both``: a sentence is cut in
            two; ``continues_accusation``, ``continues_response``: neighbours are joined; ``link``, ``link_more``: see
            ``links.chosen``; ``accusation_shown``: an accusation is listed though nobody answers it.
    """

    score: Callable[[Reading], Scores]
    link: Head
    thresholds: Mapping[str, float]


def scorer(weights: Mapping[str, np.ndarray], vectors: Vectors, tokenizer: Tokenizer) -> Callable[[Reading], Scores]:
    """Reading -> scores, by a graph and the weights of its heads."""
    return lambda reading: score(lay_out(reading, tokenizer), vectors, weights)


def save(path: Path, weights: Mapping[str, np.ndarray], link: Head, thresholds: Mapping[str, float]) -> None:
    """Write ``documents.npz``; plain arrays, no pickle."""
    arrays: dict[str, np.ndarray] = {"format": np.array(FORMAT)}
    arrays |= {name: np.array(columns) for name, columns in _NAMES.items()}
    arrays |= {f"network.{name}": value.astype(np.float32) for name, value in weights.items()}
    arrays |= {f"link.{name}": np.asarray(getattr(link, name)) for name in Head.__slots__}
    arrays |= {f"threshold.{name}": np.array(value) for name, value in thresholds.items()}
    with path.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def load(path: Path, vectors: Vectors, tokenizer: Tokenizer) -> Finder:
    """Read ``documents.npz``.

    Args:
        path: The file.
        vectors: The graph that lies beside it.
        tokenizer: Of the graph; its truncation and padding are off.

    Raises:
        CheckpointError: The file is missing, damaged, of another format, or made for other cues.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; get the checkpoint anew, or train it: python -m training.articles")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        if int(arrays["format"]) != FORMAT:
            raise CheckpointError(f"{path} is of format {int(arrays['format'])}; this version of stance reads {FORMAT}")
        for name, columns in _NAMES.items():
            if tuple(arrays[name]) != columns:
                raise CheckpointError(
                    f"{path} was made for other {name} than this version of stance has; train it anew: "
                    "python -m training.articles"
                )
        weights = _named(arrays, "network.")
        if missing := [part for part in PARTS if f"{part}.weight" not in weights]:
            raise KeyError(missing[0])
        link = _named(arrays, "link.")
        return Finder(
            score=scorer(weights, vectors, tokenizer),
            link=Head(link["mean"], link["scale"], link["weights"], float(link["bias"])),
            thresholds={name: float(value) for name, value in _named(arrays, "threshold.").items()},
        )
    except (KeyError, ValueError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {type(error).__name__}: {error}") from error


def _named(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
