"""The document heads of a checkpoint, fitted on labelled documents with scikit-learn and stored as plain arrays.

    python -m training.heads --checkpoint stance/model

The heads of accusations, responses and links are fitted twice: on all documents, to be shipped, and on all but a fifth of
them, five times, so that what comes after (the next head, a threshold) sees only what they say of documents that they were
not fitted on. The small heads that read cues or join sentences are fitted once.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from stance.checkpoint import HEADS_FILE, read_settings, resolve, write_settings
from stance.classifier import StanceClassifier
from stance.pairing.candidates import Reading, cue_matrix, read
from stance.pairing.links import (
    MOST_ACCUSATIONS,
    MOST_RESPONSES,
    Features,
    Head,
    Heads,
    Passage,
    candidate_links,
    chosen,
    continue_rows,
    gathered,
    likeliest,
    link_cues,
    link_rows,
    pair_of,
    screened,
    sentence_pairs,
    split_pairs,
    split_rows,
    worthwhile,
)
from stance.records import Document, Pair, Span
from training.documents import (
    Found,
    LabelledDocument,
    covers,
    gold_of,
    passages_around_pairs,
    read_documents,
    shared,
)
from training.ledger_scores import counts, score

FOLDS = 5
WINDOW_WEIGHT = 0.4
"""What a passage around a labelled pair counts beside a document that was read whole: there, charges go unmarked."""

_GRID = tuple(np.round(np.arange(0.06, 0.80, 0.02), 2))


@dataclass(slots=True)
class _Example:
    """A document, or the passage around labelled pairs of one, taken apart for training."""

    reading: Reading
    gold: Found
    whole: bool
    fold: int
    cues: np.ndarray
    marked: np.ndarray
    """Shape (n_units, 2): whether a unit belongs to an accusation, to a response."""
    sure: np.ndarray
    """Shape (n_units, 2): the same as predicted by heads that did not see the document; 0 where not worth reading."""
    kept: np.ndarray
    """The numbers of the units that are worth the encoder's time."""
    states: np.ndarray
    """Shape (n_kept, k): what the encoder makes of them."""

    @property
    def rows(self) -> np.ndarray:
        return np.hstack([self.states, self.cues[self.kept]])

    @property
    def weight(self) -> float:
        return 1.0 if self.whole else WINDOW_WEIGHT


def train_heads(
    documents: Sequence[LabelledDocument],
    features: Features,
    *,
    around: Iterable[tuple[Document, Found, Span]] = (),
    log: Callable[[str], Any] = print,
) -> Heads:
    """Train every head and choose the thresholds on predictions for documents that the heads did not see.

    Args:
        documents: Labelled whole.
        features: The encoder that will serve: pairs -> pooled hidden states.
        around: ``(document, what is labelled there, region)`` of passages around labelled pairs, from
            ``passages_around_pairs``; they count less.
        log: Called with a line now and then.
    """
    examples = [_example(item.document, gold_of(item), None) for item in documents]
    examples += [_example(document, found, region) for document, found, region in around]
    examples = [example for example in examples if len(example.reading.units)]
    heads: dict[str, Head] = {}
    thresholds = {
        "accusation": 0.16,
        "response": 0.12,
        "both": 0.5,
        "continues_accusation": 0.5,
        "continues_response": 0.5,
    }
    thresholds["screen"] = _train_screen(examples, heads)
    for example in examples:
        example.kept = screened(example.reading, example.cues, heads["screen"], thresholds["screen"])
        contexts = sentence_pairs(example.reading)
        example.states = (
            features([contexts[i] for i in example.kept]) if len(example.kept) else np.zeros((0, 0), np.float32)
        )
    examples = [example for example in examples if len(example.kept)]
    log(
        f"{len(examples)} texts; {sum(len(e.kept) for e in examples)} of {sum(len(e.cues) for e in examples)} sentences"
    )
    for side, name in enumerate(("accusation", "response")):
        parts = [(e.rows, e.marked[e.kept, side], e.weight, e.fold) for e in examples]
        heads[name], odds = _crossed(parts, examples[0].states.shape[1])
        for example, values in zip(examples, odds, strict=True):
            example.sure[example.kept, side] = values
        log(f"{name}: average precision {_average_precision(examples, side):.3f} on unseen documents")
    _train_joints(examples, heads, features)
    thresholds["accusation_shown"] = _best_shown(examples)
    return _train_links(examples, Heads(heads=heads, thresholds=thresholds), features, log)


def _example(document: Document, gold: Found, region: Span | None) -> _Example:
    reading = read(document)
    if region is not None:
        inside = tuple(u for u in reading.units if u.start < region.end and region.start < u.end)
        reading = replace(reading, units=inside)
    marked = np.array(
        [[any(covers(u.span, g) for g in spans) for spans in (gold.accusations, gold.responses)] for u in reading.units]
    ).reshape(-1, 2)
    return _Example(
        reading=reading,
        gold=gold,
        whole=region is None,
        fold=int(hashlib.sha256(f"fold:{document.id}".encode()).hexdigest(), 16) % FOLDS,
        cues=cue_matrix(reading),
        marked=marked,
        sure=np.zeros((len(reading.units), 2), np.float32),
        kept=np.zeros(0, int),
        states=np.zeros((0, 0), np.float32),
    )


def _train_screen(examples: Sequence[_Example], heads: dict[str, Head]) -> float:
    """The head that reads cues alone; its threshold lets 97 of 100 marked sentences through."""
    parts = [(e.cues, e.marked.any(1), e.weight, e.fold) for e in examples]
    heads["screen"], odds = _crossed(parts, 0, inverse_strength=0.01)  # type: ignore[arg-type]
    marked = np.concatenate([o[e.marked.any(1)] for e, o in zip(examples, odds, strict=True) if e.whole])
    return float(np.quantile(marked, 0.03))


def _best_shown(examples: Sequence[_Example]) -> float:
    """From how likely on an accusation is listed though nobody answers it: the best F1 over sentences."""
    truth = np.concatenate([e.marked[:, 0] for e in examples if e.whole])
    odds = np.concatenate([e.sure[:, 0] for e in examples if e.whole])
    return float(max(_GRID, key=lambda t: 2 * (truth & (odds >= t)).sum() / max(1, truth.sum() + (odds >= t).sum())))


def _crossed(
    parts: Sequence[tuple[np.ndarray, np.ndarray, float, int]], n_states: int, **options: Any
) -> tuple[Head, list[np.ndarray]]:
    """Fit a head on all parts, and give for each part the odds by a head that did not see its fold."""
    odds: list[np.ndarray] = [np.zeros(0, np.float32)] * len(parts)
    for fold in range(FOLDS):
        head = _fit([p for p in parts if p[3] != fold], n_states, **options)
        for i, part in enumerate(parts):
            if part[3] == fold:
                odds[i] = head.probability(part[0]) if len(part[0]) else np.zeros(0, np.float32)
    return _fit(parts, n_states, **options), odds


def _fit(
    parts: Sequence[tuple[np.ndarray, np.ndarray, float, int]],
    n_states: int,
    *,
    components: int = 160,
    inverse_strength: float = 0.003,
) -> Head:
    """Logistic regression over the main components of the hidden states and over the cues, as one linear layer.

    Args:
        parts: ``(rows, truth, weight, fold)``.
        n_states: How many of the columns are hidden states; the rest are cues.
        components: How many components of the hidden states to keep.
        inverse_strength: ``C`` of scikit-learn: smaller is smoother.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression

    parts = [part for part in parts if len(part[0])]
    rows = np.vstack([part[0] for part in parts])
    truth = np.concatenate([part[1] for part in parts]).astype(int)
    weight = np.concatenate([np.full(len(part[0]), part[2]) for part in parts])
    mean, scale = rows.mean(0), rows.std(0) + 1e-3
    scaled = np.clip((rows - mean) / scale, -8, 8)
    kept = min(components, n_states, len(rows) - 1)
    if not kept:
        model = LogisticRegression(C=inverse_strength, max_iter=500).fit(scaled, truth, sample_weight=weight)
        return _linear(mean, scale, model.coef_[0], model.intercept_)
    pca = PCA(kept, random_state=0, svd_solver="randomized").fit(scaled[:, :n_states])
    turned = pca.components_.T / np.sqrt(pca.explained_variance_ + 1e-6)
    inputs = np.hstack([(scaled[:, :n_states] - pca.mean_) @ turned, scaled[:, n_states:]])
    model = LogisticRegression(C=inverse_strength, max_iter=500).fit(inputs, truth, sample_weight=weight)
    weights = np.concatenate([turned @ model.coef_[0, :kept], model.coef_[0, kept:]])
    bias = model.intercept_ - pca.mean_ @ (turned @ model.coef_[0, :kept])
    return _linear(mean, scale, weights, bias)


def _linear(mean: np.ndarray, scale: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> Head:
    layer = (weights.reshape(-1, 1).astype(np.float32), np.asarray(bias, np.float32).reshape(1))
    return Head(mean=mean.astype(np.float32), scale=scale.astype(np.float32), layers=(layer,))


def _average_precision(examples: Sequence[_Example], side: int) -> float:
    from sklearn.metrics import average_precision_score

    seen = [(e.marked[:, side], e.sure[:, side]) for e in examples if e.whole]
    return float(average_precision_score(np.concatenate([m for m, _ in seen]), np.concatenate([o for _, o in seen])))


def _train_joints(examples: Sequence[_Example], heads: dict[str, Head], features: Features) -> None:
    """The heads that split a sentence in two and that join sentences to a passage."""
    both, goes_on = [], {"accusation": [], "response": []}  # type: ignore[var-annotated]
    for e in examples:
        cuts = split_pairs(e.reading)
        if cuts:
            texts = [Pair(accusation=e.reading.words_of(a), response=e.reading.words_of(r)) for a, r in cuts.values()]
            rows = split_rows(e.reading, cuts, e.cues, e.sure, features(texts))
            truth = np.array([_holds_both(a.span, r.span, e.gold) for a, r in cuts.values()])
            both.append((rows, truth, e.weight, e.fold))
        rows = continue_rows(e.reading, e.cues, e.sure)
        for side, (name, spans) in enumerate((("accusation", e.gold.accusations), ("response", e.gold.responses))):
            asked = [i for i in range(len(rows)) if e.marked[i, side]]
            truth = np.array([_one_passage(e.reading.units[i].span, e.reading.units[i + 1].span, spans) for i in asked])
            goes_on[name].append((rows[asked], truth, e.weight, e.fold))
    heads["both"] = _fit(both, examples[0].states.shape[1], components=48)
    for name, parts in goes_on.items():
        heads[f"continues_{name}"] = _fit(parts, 4, components=4, inverse_strength=0.05)


def _holds_both(charge: Span, reply: Span, gold: Found) -> bool:
    return any(
        covers(charge, a)
        and covers(reply, r)
        and shared(charge, a) > shared(reply, a)
        and shared(reply, r) > shared(charge, r)
        for a, r, _ in gold.links
    )


def _one_passage(first: Span, second: Span, spans: Sequence[Span]) -> bool:
    return any(covers(first, span) and covers(second, span) for span in spans)


def _train_links(examples: Sequence[_Example], made: Heads, features: Features, log: Callable[[str], Any]) -> Heads:
    """The head of links, on passages as they will be found, and the thresholds that give the best F1 of links."""
    passages = []
    for e in examples:
        a, r = gathered(e.reading, e.cues, e.sure, made, features)
        passages.append((likeliest(a, MOST_ACCUSATIONS), likeliest(r, MOST_RESPONSES)))
    made = _train_link_screen(examples, passages, made)
    parts, found = [], []
    for e, (accusations, responses) in zip(examples, passages, strict=True):
        links, cues = worthwhile(e.reading, accusations, responses, made)
        found.append((accusations, responses, links))
        states = features([pair_of(e.reading, accusations[i], responses[j]) for i, j in links]) if links else None
        rows = np.zeros((0, 1), np.float32) if states is None else link_rows(states, cues)
        parts.append((rows, _are_links(accusations, responses, links, e.gold), e.weight, e.fold))
    head, odds = _crossed(parts, examples[0].states.shape[1])
    whole = [i for i, e in enumerate(examples) if e.whole]

    def tried(thresholds: dict[str, float]) -> list[tuple[int, int, int]]:
        rows = []
        for i in whole:
            a, r, links = found[i]
            kept = [link for link, good in zip(links, chosen(links, odds[i], thresholds), strict=True) if good]
            spans = tuple((a[x].span, r[y].span, None) for x, y in kept)
            rows.append(counts(Found(links=spans), examples[i].gold)["links"])
        return rows

    def f1(thresholds: dict[str, float]) -> float:
        right, predicted, gold = np.array(tried(thresholds)).sum(0)
        return float(2 * right / max(1, predicted + gold))

    first = max(({"link": float(t), "link_more": 1.01} for t in _GRID), key=f1)
    best = max(({**first, "link_more": float(t)} for t in (*_GRID, 1.01) if t >= first["link"]), key=f1)
    log(f"links, on documents unseen by the heads, at {best}: {score(tried(best), resamples=200)}")
    return Heads(heads={**made.heads, "link": head}, thresholds={**made.thresholds, **best})


def _train_link_screen(
    examples: Sequence[_Example], passages: Sequence[tuple[list[Passage], list[Passage]]], made: Heads
) -> Heads:
    """The head of links that reads cues alone; its threshold lets 97 of 100 links through."""
    parts = []
    for e, (accusations, responses) in zip(examples, passages, strict=True):
        links = candidate_links(accusations, responses)
        rows = link_cues(e.reading, accusations, responses, links)
        parts.append((rows, _are_links(accusations, responses, links, e.gold), e.weight, e.fold))
    head, odds = _crossed(parts, 0, inverse_strength=0.03)
    right = np.concatenate([o[p[1]] for p, o in zip(parts, odds, strict=True)])
    return Heads(
        heads={**made.heads, "link_screen": head},
        thresholds={**made.thresholds, "link_screen": float(np.quantile(right, 0.03))},
    )


def _are_links(
    accusations: Sequence[Passage], responses: Sequence[Passage], links: Sequence[tuple[int, int]], gold: Found
) -> np.ndarray:
    return np.array(
        [
            any(covers(accusations[i].span, a) and covers(responses[j].span, r) for a, r, _ in gold.links)
            for i, j in links
        ],
        dtype=bool,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the document heads of a checkpoint and write them into it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--checkpoint", default="default", help="a folder, or 'default'")
    parser.add_argument("--texts", default=None, help="the folder that holds corpora/ and documents/")
    parser.add_argument("--split", action="append", help="documents to fit on, repeatable; 'heads' if not given")
    parser.add_argument(
        "--around", type=int, default=0, help="at most this many passages around labelled pairs besides"
    )
    given = parser.parse_args(arguments)
    folder = resolve(given.checkpoint)
    classifier = StanceClassifier.load(folder)
    heads = train_heads(
        read_documents(*(given.split or ["heads"]), texts=given.texts),
        classifier.features,
        around=islice(passages_around_pairs(texts=given.texts), given.around),
    )
    heads.save(folder / HEADS_FILE)
    write_settings(folder, read_settings(folder))
    print(f"wrote {folder / HEADS_FILE}")


if __name__ == "__main__":
    main()
