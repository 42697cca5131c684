"""How far the people who label agree."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stance.errors import InputError
from stance.metrics import Interval, bootstrap, cohen_kappa, krippendorff_alpha
from stance.records import LabelledPair
from stance.sampling.heads import document_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far annotators agree, beyond chance; each figure is at most 1, with a 95 % bootstrap interval over documents.

    A figure is NaN, and printed as undefined, where all its votes are of one category: nothing could go by chance.

    Attributes:
        n: Pairs that at least two annotators labelled.
        kappa: Cohen's kappa on the primary verdict, the mean over the pairs of annotators for whom it is defined,
            weighted by what they share.
        alpha: Krippendorff's alpha on the sets of stances, with MASI distance.
        by_pair: Kappa of each two annotators.
    """

    n: int
    kappa: Interval
    alpha: Interval
    by_pair: dict[tuple[str, str], Interval]

    def __str__(self) -> str:
        lines = [
            f"pairs with two votes or more   {self.n}",
            f"kappa (primary stance)         {_shown(self.kappa)}",
            f"alpha (sets, MASI)             {_shown(self.alpha)}",
        ]
        if len(self.by_pair) > 1:
            lines += [
                f"  {first} and {second}: kappa {_shown(kappa)}" for (first, second), kappa in self.by_pair.items()
            ]
        return "\n".join(lines)


def _shown(figure: Interval) -> str:
    return "undefined: one category" if math.isnan(figure.value) else str(figure)


def agreement(table: Any, *, resamples: int = 300, seed: int = 0) -> Agreement:
    """Measure how far annotators agree.

    Args:
        table: One row for each vote, as ``read_labelled`` takes it, with the column ``annotator``; or ``LabelledPair``
            objects. Votes on the same texts in the same document belong together.
        resamples: How many bootstrap draws.
        seed: Seed of the draws.

    Raises:
        InputError: No pair has two votes, or rows cannot be used.
    """
    from stance.exchange import read_labelled

    votes: dict[tuple[str, str, str], dict[str, LabelledPair]] = {}
    for vote in read_labelled(table, labels=None):
        votes.setdefault((vote.accusation, vote.response, vote.document_id), {})[vote.annotator] = vote
    items = [by for by in votes.values() if len(by) > 1]
    if not items:
        raise InputError(
            f"no pair was labelled by two annotators: {len(votes)} pairs, annotators "
            f"{sorted({name for by in votes.values() for name in by})}. Give each vote its annotator"
        )
    clusters = [document_keys([next(iter(by.values()))])[0] for by in items]
    couples = {
        (a, b): [i for i, by in enumerate(items) if a in by and b in by]
        for a, b in _couples(sorted({name for by in items for name in by}))
    }

    def interval(score: Any, rows: Sequence[int]) -> Interval:
        chosen = np.array(rows)
        return bootstrap(lambda r: score(chosen[r]), [clusters[i] for i in rows], resamples=resamples, seed=seed)

    return Agreement(
        n=len(items),
        kappa=interval(lambda r: _mean_kappa([items[i] for i in r]), range(len(items))),
        alpha=interval(
            lambda r: krippendorff_alpha([[v.labels for v in items[i].values()] for i in r]), range(len(items))
        ),
        by_pair={
            (a, b): interval(lambda r, a=a, b=b: _kappa([items[i] for i in r], a, b), rows)
            for (a, b), rows in couples.items()
            if rows
        },
    )


def _couples(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    return ((a, b) for i, a in enumerate(names) for b in names[i + 1 :])


def _kappa(items: Sequence[dict[str, LabelledPair]], a: str, b: str) -> float:
    return cohen_kappa([by[a].label for by in items], [by[b].label for by in items])


def _mean_kappa(items: Sequence[dict[str, LabelledPair]]) -> float:
    total = weight = 0.0
    for a, b in _couples(sorted({name for by in items for name in by})):
        shared = [by for by in items if a in by and b in by]
        if shared and not math.isnan(kappa := _kappa(shared, a, b)):
            total += len(shared) * kappa
            weight += len(shared)
    return total / weight if weight else math.nan
