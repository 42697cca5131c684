"""The object that judges: a checkpoint, opened once. One path for one pair and for a thousand million."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from stance import calibration as calibrating
from stance.backends import Backend, open_backend
from stance.checkpoint import TOKENIZER_FILE, Settings, read_settings, resolve, verify
from stance.encoding import Encoded, Encoder, as_pair
from stance.errors import InputError
from stance.labels import NONE
from stance.records import Pair, Prediction

CHUNK = 4096
"""Pairs that are read, deduplicated and sorted by length together; what a stream holds in memory."""

TOKENS_PER_BATCH = 2048
"""Pairs go through the network in batches of about this many tokens, padding included."""


class StanceClassifier:
    """Judges how responses stand to accusations.

    Make one with ``stance.load``. It may be shared between threads.

    Attributes:
        settings: What the checkpoint says of itself.
        labels: The stances it knows, in column order.
        path: The folder it was read from.
    """

    def __init__(self, settings: Settings, encoder: Encoder, backend: Backend, path: Path) -> None:
        self.settings = settings
        self.labels = settings.labels
        self.path = path
        self._encoder = encoder
        self._backend = backend
        self._outcomes = (*settings.labels, NONE)

    @classmethod
    def load(
        cls, name: str | os.PathLike[str] = "default", *, backend: str = "auto", threads: int | None = None
    ) -> StanceClassifier:
        """Open a checkpoint; see ``stance.load``, which also keeps it for the next call.

        Raises:
            InputError: ``threads`` is no whole number from 1 on.
        """
        if threads is not None and (not isinstance(threads, Integral) or threads < 1):
            raise InputError(f"threads is a whole number from 1 on, or None for as many as there are, not {threads!r}")
        folder = resolve(name)
        settings = read_settings(folder)
        verify(folder, settings)
        encoder = Encoder.from_file(folder / TOKENIZER_FILE, settings.max_tokens, settings.max_accusation_tokens)
        return cls(settings, encoder, open_backend(backend, folder, settings, threads=threads), folder)

    def __repr__(self) -> str:
        return (
            f"StanceClassifier({self.settings.name!r} {self.settings.version}, {self.settings.digest}, "
            f"backend={self._backend.name!r})"
        )

    @property
    def backend(self) -> Backend:
        """What runs the network."""
        return self._backend

    def classify(self, accusation: str, response: str, *, coverage: float = 1.0) -> Prediction:
        """Judge one pair.

        Args:
            accusation: The charge.
            response: What the accused side says to it.
            coverage: Share of the predictions of each outcome to keep; below 1, the least sure ones abstain.

        Raises:
            PairError: A text is missing, blank or not valid Unicode.
            InputError: ``coverage`` is out of range.
        """
        pairs = [as_pair((accusation, response))]
        return self._judge(pairs, self.settings.calibration.least_confidence(coverage))[0]

    def classify_pairs(
        self,
        pairs: Iterable[Pair | Sequence[str]],
        *,
        coverage: float = 1.0,
        progress: Callable[[int], Any] | None = None,
    ) -> list[Prediction]:
        """Judge many pairs; the same order comes back.

        Args:
            pairs: ``Pair`` objects or ``(accusation, response)``.
            coverage: As in ``classify``.
            progress: Called with the number of pairs done since its last call.

        Raises:
            PairError: A pair cannot be judged; says which.
        """
        return list(self.iter_pairs(pairs, coverage=coverage, progress=progress))

    def iter_pairs(
        self,
        pairs: Iterable[Pair | Sequence[str]],
        *,
        coverage: float = 1.0,
        progress: Callable[[int], Any] | None = None,
    ) -> Iterator[Prediction]:
        """Judge a stream of pairs, of any length, in constant memory.

        Args and errors are those of ``classify_pairs``. Pairs before one that cannot be judged are given first.
        """
        least = self.settings.calibration.least_confidence(coverage)
        if isinstance(pairs, (str, bytes)):
            as_pair(pairs, 0)
        try:
            stream = enumerate(pairs)
        except TypeError:
            raise InputError(f"pairs is a {type(pairs).__name__}; give a list or any other iterable of pairs") from None
        while chunk := list(islice(stream, CHUNK)):
            checked: list[Pair] = []
            failure: Exception | None = None
            for index, item in chunk:
                try:
                    checked.append(as_pair(item, index))
                except ValueError as error:
                    failure = error
                    break
            yield from self._judge(checked, least) if checked else ()
            if failure is not None:
                raise failure
            if progress is not None:
                progress(len(checked))

    def logits(self, pairs: Sequence[Pair], *, hide: str | None = None) -> np.ndarray:
        """Raw scores of checked pairs.

        Args:
            pairs: What to score.
            hide: ``"accusation"`` or ``"response"`` leaves that text out, to see what the other tells alone.

        Returns:
            float32, shape (n, n_labels + 1): one for each stance, then one for none.
        """
        encoded = self._encoder.encode(pairs)
        if hide is not None:
            encoded = [self._encoder.hide(row, hide) for row in encoded]
        return self._run(encoded, self._backend.logits)

    def features(self, pairs: Sequence[Pair]) -> np.ndarray:
        """Pooled hidden states of checked pairs, float32, shape (n, n_features), for ``suggest`` and ``StanceEstimator``."""
        return self._run(self._encoder.encode(pairs), self._backend.features)

    def _judge(self, pairs: Sequence[Pair], least_confidence: np.ndarray) -> list[Prediction]:
        encoded = self._encoder.encode(pairs)
        return self._read(
            self._run(encoded, self._backend.logits), [row.truncated for row in encoded], least_confidence
        )

    def _read(self, logits: np.ndarray, truncated: Sequence[bool], least_confidence: np.ndarray) -> list[Prediction]:
        """Turn logits into predictions."""
        fit = self.settings.calibration
        probabilities, presence = fit.probabilities(logits), fit.presence(logits)
        chosen = probabilities.argmax(1)
        carried = calibrating.sets(chosen, presence, fit.threshold)
        sure = probabilities.max(1) >= least_confidence[chosen]
        return [
            self._prediction(*row)
            for row in zip(
                chosen.tolist(),
                probabilities.tolist(),
                presence.tolist(),
                carried.tolist(),
                sure.tolist(),
                truncated,
                strict=True,
            )
        ]

    def _prediction(
        self,
        chosen: int,
        probabilities: list[float],
        presence: list[float],
        carried: list[bool],
        sure: bool,
        truncated: bool,
    ) -> Prediction:
        held = [k for k, there in enumerate(carried) if there and sure]
        held.sort(key=lambda k: (k != chosen, -presence[k]))
        return Prediction(
            label=self.labels[chosen] if sure and chosen < len(self.labels) else None,
            stances=tuple(self.labels[k] for k in held),
            probabilities=dict(zip(self._outcomes, probabilities, strict=True)),
            presence=dict(zip(self.labels, presence, strict=True)),
            truncated=truncated,
            abstained=not sure,
        )

    def _run(self, encoded: Sequence[Encoded], network: Callable[..., np.ndarray]) -> np.ndarray:
        """Score each distinct pair once, sorted by length, in batches of equal work; give back the order that came."""
        distinct: dict[tuple[int, ...], int] = {}
        place = [distinct.setdefault(row.ids, len(distinct)) for row in encoded]
        rows: list[Encoded] = [None] * len(distinct)  # type: ignore[list-item]
        for row, at in zip(encoded, place, strict=True):
            rows[at] = row
        order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
        parts = [network(self._encoder.pad([rows[i] for i in part])) for part in _batches(rows, order)]
        scores = np.concatenate(parts)
        restored = np.empty_like(scores)
        restored[order] = scores
        return restored[place]


def _batches(rows: Sequence[Encoded], order: Sequence[int]) -> Iterator[list[int]]:
    """Cut positions, sorted by length, into batches of about ``TOKENS_PER_BATCH`` tokens."""
    part: list[int] = []
    for i in order:
        if part and (len(part) + 1) * len(rows[i].ids) > TOKENS_PER_BATCH:
            yield part
            part = []
        part.append(i)
    if part:
        yield part
