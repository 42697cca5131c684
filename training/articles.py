"""Train the network that finds pairs in documents: ``python -m training.articles training/configs/articles.toml``.

It starts from the encoder of a checkpoint that judges pairs and learns from documents that were read whole, and from
the passages around labelled pairs, where charges beside the pair went unmarked and so count less. What comes after it,
the head of links and the thresholds, is fitted on documents that it did not learn from. A killed run goes on at its last
whole epoch.
"""

from __future__ import annotations

import json
import os
import random
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from tokenizers import Tokenizer

from stance.checkpoint import (
    ARTICLES_FILE,
    HEADS_FILE,
    ONNX_FILE,
    TOKENIZER_FILE,
    read_settings,
    resolve,
    write_settings,
)
from stance.encoding import plain
from stance.exporting import share_weights
from stance.pairing import finder
from stance.pairing.candidates import Reading, read
from stance.pairing.layout import WINDOW, Layout, lay_out
from stance.pairing.links import (
    MOST_ACCUSATIONS,
    MOST_RESPONSES,
    Head,
    candidate_links,
    chosen,
    find_passages,
    likeliest,
    link_rows,
)
from stance.pairing.network import Scores
from stance.records import Document, Span
from training.article_network import ArticleNetwork, Truth, loss_of, read_through, start_from, write_graph
from training.documents import Found, covers, gold_of, passages_around_pairs, read_documents
from training.ledger_scores import counts, score

SHARES = (0.4, 0.3, 0.2, 0.1)
"""Of the passages around pairs, how many each epoch reads; later epochs read whole documents only."""

PASSAGE_WEIGHT = 0.4
"""What a passage around a labelled pair counts beside a document that was read whole."""

FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticleRecipe:
    """How the network is trained.

    Attributes:
        epochs: Passes over the documents.
        learning_rate: Of the top layer of the encoder; each layer below learns at ``layer_decay`` of the one above.
        layer_decay: See ``learning_rate``.
        head_rate: Of the heads.
        frozen_layers: The lowest layers, which stay as they are; embeddings always do.
        tokens: Per step.
        weight_decay: Of matrices.
        warmup: Share of the steps in which the rates rise.
        positive: Weight of a "yes" among charges and replies.
        positive_link: Weight of a "yes" among links.
        title: Share of the views that open with the title.
        around: Every so-manieth passage around labelled pairs is read; 0 for none.
        seed: Of order, views and dropout.
    """

    epochs: int = 4
    learning_rate: float = 2e-4
    layer_decay: float = 0.9
    head_rate: float = 1e-3
    frozen_layers: int = 2
    tokens: int = 4000
    weight_decay: float = 0.01
    warmup: float = 0.06
    positive: float = 1.5
    positive_link: float = 2.0
    title: float = 0.7
    around: int = 2
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """A document, or the passage around labelled pairs of one, taken apart."""

    reading: Reading
    gold: Found
    region: Span | None = None

    @property
    def tokens(self) -> int:
        """Roughly how many tokens it has."""
        return sum(unit.end - unit.start for unit in self.reading.units) // 4 + 40


def example_of(document: Document, gold: Found, region: Span | None = None) -> Example:
    """Take a document apart; of a passage, the sentences that it touches."""
    reading = read(document)
    if region is not None:
        inside = tuple(u for u in reading.units if u.start < region.end and region.start < u.end)
        reading = replace(reading, units=inside)
    return Example(reading, gold, region)


def truth_of(example: Example, layout: Layout) -> Truth:
    """What a reader marked in a layout."""
    gold = example.gold
    charged, replied = (_covered(layout, spans) for spans in (gold.accusations, gold.responses))
    sides = np.stack([charged.any(1), replied.any(1)], axis=1).astype(np.float32)
    n_sentences = len(layout.units) - 2 * len(layout.cuts)
    goes_on = np.full((max(0, n_sentences - 1), 2), np.nan, np.float32)
    for side, marks in enumerate((charged, replied)):
        for i in np.flatnonzero(sides[: max(0, n_sentences - 1), side]):
            goes_on[i, side] = (marks[i] & marks[i + 1]).any()
    places = [{span: i for i, span in enumerate(spans)} for spans in (gold.accusations, gold.responses)]
    links = np.zeros((len(sides), len(sides)), np.float32)
    for charge, reply, _ in gold.links:
        links[np.outer(charged[:, places[0][charge]], replied[:, places[1][reply]])] = 1
    starts, ends = (np.array([getattr(u, edge) for u in layout.units]) for edge in ("start", "end"))
    links[(starts[:, None] < ends[None]) & (starts[None] < ends[:, None])] = np.nan  # what overlaps is no pair
    if example.region is not None:
        # a charge beside the pair may be a reply too and is not marked as one: only a "yes" is told of it
        sides[(sides == 0) & (sides[:, ::-1] == 1)] = np.nan
        return Truth(sides, goes_on, links, PASSAGE_WEIGHT)
    return Truth(sides, goes_on, links, 1.0)


def _covered(layout: Layout, spans: Sequence[Span]) -> np.ndarray:
    """Which row belongs to which span; bool, shape (n_rows, n_spans)."""
    marks = [[covers(unit.span, span) for span in spans] for unit in layout.units]
    return np.array(marks, dtype=bool).reshape(len(layout.units), len(spans))


def train(
    network: ArticleNetwork,
    whole: Sequence[Example],
    around: Sequence[Example],
    tokenizer: Tokenizer,
    recipe: ArticleRecipe,
    save: Path,
    *,
    after_epoch: Callable[[int], Any] = lambda epoch: None,
    log: Callable[[str], Any] = print,
) -> None:
    """Train in place, taking up the run that lies in ``save`` if there is one.

    Args:
        network: From ``start_from``.
        whole: Documents that were read whole.
        around: Passages around labelled pairs.
        tokenizer: Of the encoder.
        recipe: How.
        save: The file of the last whole epoch.
        after_epoch: Called with the number of each epoch.
        log: Called with a line now and then.
    """
    torch.manual_seed(recipe.seed)
    mixed = random.Random(recipe.seed).sample(list(around), len(around))
    optimizer = torch.optim.AdamW(_groups(network, recipe), fused=not torch.cuda.is_available())
    total = recipe.epochs * sum(e.tokens for e in whole) + sum(e.tokens for e in mixed)
    steps = max(1, round(0.95 * total / recipe.tokens))  # measured
    rise = max(1, round(recipe.warmup * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / rise, max(0.02, (steps - step) / (steps - rise)))
    )
    first = 0
    if save.is_file():
        state = torch.load(save, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"])
        first = state["epoch"] + 1
    log(f"{len(whole)} documents, {len(mixed)} passages, about {steps} steps; from epoch {first}")
    for epoch in range(first, recipe.epochs):
        edges = [int(len(mixed) * sum(SHARES[:k])) for k in (epoch, epoch + 1)]
        draw = random.Random(f"{recipe.seed}:{epoch}")
        began, seen, losses = time.monotonic(), 0, []
        for part in _batches([*whole, *mixed[edges[0] : edges[1]]], tokenizer, recipe, draw):
            logits = read_through(network, [layout for layout, _ in part])
            loss = sum(
                loss_of(out, truth, recipe.positive, recipe.positive_link)
                for out, (_, truth) in zip(logits, part, strict=True)
            ) / len(part)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()
            losses.append(float(loss.detach()))
            seen += sum(len(window.ids) for layout, _ in part for window in layout.windows)
            if len(losses) % 25 == 0:
                pace = seen / (time.monotonic() - began)
                log(f"epoch {epoch} step {len(losses)} loss {np.mean(losses[-25:]):.3f} {pace:.0f} tokens/s")
        _store(save, network, optimizer, schedule, epoch)
        after_epoch(epoch)


def _store(save: Path, network: ArticleNetwork, optimizer: Any, schedule: Any, epoch: int) -> None:
    draft = save.with_suffix(".tmp")
    state = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "random": torch.get_rng_state(),
        "epoch": epoch,
    }
    torch.save(state, draft)
    os.replace(draft, save)


def _groups(network: ArticleNetwork, recipe: ArticleRecipe) -> list[dict[str, Any]]:
    groups: dict[tuple[float, bool], list[Any]] = {}
    depth = network.encoder.config.num_hidden_layers
    for name, parameter in network.named_parameters():
        layer = int(name.split(".layer.")[1].split(".")[0]) if ".layer." in name else None
        parameter.requires_grad = "embeddings" not in name and (layer is None or layer >= recipe.frozen_layers)
        if parameter.requires_grad:
            rate = recipe.head_rate
            if layer is not None:
                rate = recipe.learning_rate * recipe.layer_decay ** (depth - 1 - layer)
            groups.setdefault((rate, parameter.ndim > 1), []).append(parameter)
    return [
        {"params": found, "lr": rate, "weight_decay": recipe.weight_decay if decays else 0.0}
        for (rate, decays), found in groups.items()
    ]


def _batches(
    examples: Sequence[Example], tokenizer: Tokenizer, recipe: ArticleRecipe, draw: random.Random
) -> Iterator[list[tuple[Layout, Truth]]]:
    """Views of the examples in random order: windows that begin elsewhere each time, now and then without a title."""
    part: list[tuple[Layout, Truth]] = []
    load = 0
    for example in draw.sample(list(examples), len(examples)):
        layout = lay_out(
            example.reading, tokenizer, title=draw.random() < recipe.title, first=draw.randint(WINDOW // 2, WINDOW)
        )
        if not layout.units:
            continue
        part.append((layout, truth_of(example, layout)))
        load += sum(len(window.ids) for window in layout.windows)
        if load >= recipe.tokens:
            yield part
            part, load = [], 0
    if part:
        yield part


# after the network


def fit_links(
    examples: Sequence[Example], scores: Sequence[Scores], log: Callable[[str], Any] = print
) -> tuple[Head, dict[str, float]]:
    """Fit the head of links and choose the thresholds that give the best F1 of links.

    Args:
        examples: Documents that the network did not learn from, read whole.
        scores: What it says of each.
        log: Called with what came of it.
    """
    best: tuple[float, Head, dict[str, float]] | None = None
    for accusation in (0.1, 0.2):
        for response in (0.1, 0.2):
            for both in (0.2, 0.4):
                thresholds = {"accusation": accusation, "response": response, "both": both}
                thresholds |= {"continues_accusation": 0.5, "continues_response": 0.5}
                f1, head, found = _with_thresholds(examples, scores, thresholds)
                if best is None or f1 > best[0]:
                    best = (f1, head, found)
    assert best is not None
    _, head, thresholds = best
    thresholds["accusation_shown"] = _best_shown(examples, scores, thresholds)
    log(f"links on the documents of the thresholds, the head fitted on others: F1 {best[0]:.3f} at {thresholds}")
    return head, thresholds


def _with_thresholds(
    examples: Sequence[Example], scores: Sequence[Scores], thresholds: dict[str, float]
) -> tuple[float, Head, dict[str, float]]:
    parts = []
    for example, said in zip(examples, scores, strict=True):
        a, r = find_passages(example.reading, said, thresholds)
        a, r = likeliest(a, MOST_ACCUSATIONS), likeliest(r, MOST_RESPONSES)
        links = candidate_links(a, r)
        truth = np.array(
            [any(covers(a[i].span, x) and covers(r[j].span, y) for x, y, _ in example.gold.links) for i, j in links],
            bool,
        )
        parts.append((a, r, links, link_rows(example.reading, said, a, r, links), truth))
    rows = [part[3] for part in parts]
    truths = [part[4] for part in parts]
    odds = [np.zeros(0, np.float32)] * len(parts)
    for fold in range(FOLDS):
        head = _fitted([rows[i] for i in range(len(parts)) if i % FOLDS != fold],
                       [truths[i] for i in range(len(parts)) if i % FOLDS != fold])  # fmt: skip
        for i in range(fold, len(parts), FOLDS):
            odds[i] = head.probability(rows[i])

    def f1(tried: dict[str, float]) -> float:
        found = []
        for example, (a, r, links, _, _), p in zip(examples, parts, odds, strict=True):
            kept = [link for link, good in zip(links, chosen(links, p, tried), strict=True) if good]
            spans = tuple((a[i].span, r[j].span, None) for i, j in kept)
            found.append(counts(Found(links=spans), example.gold)["links"])
        return score(found, resamples=1).f1

    grid = [float(t) for t in np.round(np.arange(0.06, 0.8, 0.02), 2)]
    first = max(({"link": t, "link_more": 1.01} for t in grid), key=f1)
    last = max(({**first, "link_more": t} for t in (*grid, 1.01) if t >= first["link"]), key=f1)
    return f1(last), _fitted(rows, truths), {**thresholds, **last}


def _fitted(rows: Sequence[np.ndarray], truths: Sequence[np.ndarray], inverse_strength: float = 0.02) -> Head:
    """Logistic regression over scaled cues; the network's own logit where there is nothing to tell apart."""
    from sklearn.linear_model import LogisticRegression

    table, truth = np.vstack(rows), np.concatenate(truths).astype(int)
    mean, scale = table.mean(0), table.std(0) + 1e-3
    if truth.min() == truth.max():
        own = np.eye(1, table.shape[1], dtype=np.float32)[0]
        return Head(np.zeros_like(own), np.ones_like(own), own, 0.0)
    model = LogisticRegression(C=inverse_strength, max_iter=500)
    model.fit(np.clip((table - mean) / scale, -8, 8), truth)
    weights = model.coef_[0].astype(np.float32)
    return Head(mean.astype(np.float32), scale.astype(np.float32), weights, float(model.intercept_[0]))


def _best_shown(examples: Sequence[Example], scores: Sequence[Scores], thresholds: dict[str, float]) -> float:
    """From how likely on an accusation is listed though nobody answers it: the best F1 of accusations."""
    found = [find_passages(e.reading, s, thresholds)[0] for e, s in zip(examples, scores, strict=True)]

    def f1(threshold: float) -> float:
        rows = [
            counts(Found(accusations=tuple(p.span for p in ps if p.probability >= threshold)), e.gold)["accusations"]
            for ps, e in zip(found, examples, strict=True)
        ]
        return score(rows, resamples=1).f1

    return max((float(t) for t in np.round(np.arange(0.1, 0.9, 0.05), 2)), key=f1)


def average_precision(examples: Sequence[Example], scores: Sequence[Scores], tokenizer: Tokenizer) -> dict[str, float]:
    """Of charges and of replies among sentences, of links among rows that may be a pair."""
    from sklearn.metrics import average_precision_score

    told: list[list[np.ndarray]] = [[], [], []]
    said: list[list[np.ndarray]] = [[], [], []]
    for example, s in zip(examples, scores, strict=True):
        truth = truth_of(example, lay_out(example.reading, tokenizer))
        n, asked = len(example.reading.units), ~np.isnan(truth.links)
        for k, (gold, found) in enumerate(
            ((truth.sides[:n, 0], s.sides[:n, 0]), (truth.sides[:n, 1], s.sides[:n, 1]),
             (truth.links[asked], s.links[asked]))
        ):  # fmt: skip
            told[k].append(gold)
            said[k].append(found)
    names = ("accusations", "responses", "links")
    return {
        name: float(average_precision_score(np.concatenate(a), np.concatenate(b)))
        for name, a, b in zip(names, told, said, strict=True)
    }


def main(
    config: Annotated[Path, typer.Argument(help="A file in training/configs.")],
    checkpoint: Annotated[str, typer.Option(help="Whose encoder to start from, and where the network goes.")],
    texts: Annotated[Path | None, typer.Option(help="Folder of the corpora; ../shared if not given.")] = None,
    limit: Annotated[int, typer.Option(help="So many documents only, for a quick trial; 0 for all.")] = 0,
) -> None:
    """Train the network that finds pairs in documents and put it into a checkpoint."""
    recipe = ArticleRecipe(**tomllib.loads(config.read_text(encoding="utf-8"))["recipe"])
    folder = resolve(checkpoint)
    tokenizer = plain(Tokenizer.from_file(str(folder / TOKENIZER_FILE)))
    whole = [example_of(d.document, gold_of(d)) for d in _some(read_documents("train", "articles", texts=texts), limit)]
    tuning = [example_of(d.document, gold_of(d)) for d in _some(read_documents("tuning", texts=texts), limit)]
    tuning = [example for example in tuning if example.reading.units]
    passages = passages_around_pairs(texts=texts) if recipe.around else iter(())
    around = [example_of(*passage) for passage in islice(passages, 0, limit or None, recipe.around or 1)]
    network = start_from(folder)
    save = folder / "articles.pt"

    def judge(epoch: int) -> None:
        found = average_precision(tuning, scores_of(network, tuning, tokenizer), tokenizer)
        print(f"epoch {epoch}, average precision: " + ", ".join(f"{k} {v:.3f}" for k, v in found.items()), flush=True)

    train(network, whole, around, tokenizer, recipe, save, after_epoch=judge, log=lambda x: print(x, flush=True))
    finish(network, tuning, tokenizer, folder, recipe)
    save.unlink()


def _some(items: Sequence[Any], limit: int) -> Sequence[Any]:
    return items[:: max(1, len(items) // limit)] if limit else items


def finish(
    network: ArticleNetwork, tuning: Sequence[Example], tokenizer: Tokenizer, folder: Path, recipe: ArticleRecipe
) -> None:
    """Write the graph, read the tuning documents with it, fit what comes after, and write that."""
    from stance.backends.onnx_graph import open_articles

    write_graph(network, folder / ARTICLES_FILE)
    if (folder / ONNX_FILE).is_file():
        shared = share_weights(folder / ARTICLES_FILE, folder / ONNX_FILE)
        print(f"{shared / 1e6:.1f} MB of {ARTICLES_FILE} are those of {ONNX_FILE} and are read from there")
    weights = network.head_weights()
    read_scores = finder.scorer(weights, open_articles(folder / ARTICLES_FILE), tokenizer)
    scores = [read_scores(example.reading) for example in tuning]
    found = average_precision(tuning, scores, tokenizer)
    print("the graph, average precision: " + ", ".join(f"{k} {v:.3f}" for k, v in found.items()))
    head, thresholds = fit_links(tuning, scores)
    finder.save(folder / HEADS_FILE, weights, head, thresholds)
    settings = read_settings(folder)
    provenance = {**settings.provenance, "articles": {"recipe": asdict(recipe), "tuning": found}}
    write_settings(folder, replace(settings, provenance=provenance))
    print(f"wrote {folder / ARTICLES_FILE} and {folder / HEADS_FILE}: {json.dumps(thresholds)}")


def scores_of(network: ArticleNetwork, examples: Sequence[Example], tokenizer: Tokenizer) -> list[Scores]:
    """What the network says of documents, before it is stored."""
    network.eval()
    out = []
    with torch.inference_mode():
        for example in examples:
            layout = lay_out(example.reading, tokenizer)
            sides, goes_on, links = read_through(network, [layout])[0]
            out.append(
                Scores(
                    units=layout.units,
                    cuts=layout.cuts,
                    sides=sides.sigmoid().numpy(),
                    goes_on=goes_on.sigmoid().numpy(),
                    links=links.numpy(),
                )
            )
    network.train()
    return out


if __name__ == "__main__":
    typer.run(main)
