"""Judge a checkpoint on the frozen test set: ``python -m training.judge``.

Prints every figure beside the baselines, the model's own blind versions and the annotators; ``--write`` also stores the
record in the checkpoint and writes its card from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import stance
from stance import metrics
from stance.cards import table, write_card
from stance.checkpoint import DEFAULT, read_settings, resolve, write_settings
from stance.classifier import StanceClassifier
from stance.labels import LABELS, NONE
from stance.metrics import Evaluation
from stance.records import LabelledPair
from training.baselines import as_table, word_counts
from training.corpora import DATA, REAL_FILE, SPLITS_FILE, digest, read_lines, read_split

SIZE = len(LABELS) + 1
README = DATA.parent / "README.md"
BEHAVIOUR = DATA.parent / "tests" / "behaviour" / "rates.json"


def main(
    model: Annotated[str, typer.Option(help="A checkpoint.")] = "default",
    split: Annotated[str, typer.Option(help="test, or validation while tuning.")] = "test",
    texts: Annotated[Path | None, typer.Option(help="Folder of the corpora; ../shared if not given.")] = None,
    backend: Annotated[str, typer.Option(help="onnx, torch or auto.")] = "auto",
    documents: Annotated[
        bool, typer.Option("--documents", help="Judge the reading of whole documents instead.")
    ] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Store the record in the checkpoint and write its card.")
    ] = False,
) -> None:
    """Score a checkpoint and everything it should be compared with."""
    if documents:
        judge_documents(model, texts, write)
        return
    classifier = stance.load(model, backend=backend)
    gold, train = read_split(split, texts=texts), read_split("train", texts=texts)
    record = judge(classifier, train, gold)
    record["split"] = {"name": split, "n": len(gold), "digest": digest(gold)}
    print_record(record)
    if write:
        store(resolve(model), record)


def judge_documents(model: str, texts: Path | None, write: bool) -> None:
    """Print how well accusations, responses, links and speakers are found in whole documents; store it if asked."""
    from training.ledger_scores import agreement, evaluate_documents

    record: dict[str, Any] = {}
    for split in ("five", "test"):
        evaluation = evaluate_documents(model, split, texts=texts)
        print(f"== {split} ==\n{evaluation}\n")
        record[split] = evaluation.to_dict()
    readers = agreement(texts=texts)
    print("two readers, F1: " + ", ".join(f"{part} {s.f1:.3f}" for part, s in readers.items()))
    record["readers"] = {part: round(s.f1, 4) for part, s in readers.items()}
    if write:
        folder = resolve(model)
        settings = read_settings(folder)
        write_settings(folder, replace(settings, provenance={**settings.provenance, "documents": _rounded(record)}))


def judge(classifier: StanceClassifier, train: Sequence[LabelledPair], gold: Sequence[LabelledPair]) -> dict[str, Any]:
    """Everything that the card reports, as plain values and ``Evaluation`` objects."""
    predictions = classifier.classify_pairs(gold)
    seen = views(classifier, predictions, gold)
    return {
        "model": repr(classifier),
        "evaluation": stance.evaluate(predictions, gold),
        "rivals": rivals(seen, train, gold),
        "gauge": leak_gauge(seen, gold),
        "annotators": annotators(),
        "coverage": risk_coverage(predictions, gold),
        "hub": through_evaluate(predictions, gold),
    }


def views(
    classifier: StanceClassifier,
    predictions: Sequence[stance.Prediction],
    gold: Sequence[LabelledPair],
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """The outcome chosen for each pair, by what the model sees of it."""
    order = np.random.default_rng(seed).permutation(len(gold))
    shuffled = [replace(pair, accusation=gold[i].accusation) for pair, i in zip(gold, order, strict=True)]
    return {
        "as it is": most_likely(predictions),
        "accusation hidden": classifier.logits(gold, hide="accusation").argmax(1),
        "response hidden": classifier.logits(gold, hide="response").argmax(1),
        "accusations shuffled": classifier.logits(shuffled).argmax(1),
    }


def most_likely(predictions: Sequence[stance.Prediction]) -> np.ndarray:
    """The column of the most likely outcome of each prediction."""
    return np.array([int(np.argmax(list(p.probabilities.values()))) for p in predictions])


def rivals(
    seen: Mapping[str, np.ndarray], train: Sequence[LabelledPair], gold: Sequence[LabelledPair]
) -> dict[str, dict[str, float]]:
    """Macro-F1, overall and by source, of the model and of word counts with and without the accusation."""
    texts = as_table(gold)
    chosen = {
        "this model": seen["as it is"],
        "TF-IDF + logistic regression, pair": word_counts(train).predict(texts),
        "TF-IDF + logistic regression, response only": word_counts(train, reads=["response"]).predict(texts),
        "this model, accusation hidden": seen["accusation hidden"],
    }
    return {name: by_source(gold, columns) for name, columns in chosen.items()}


def by_source(gold: Sequence[LabelledPair], predicted: np.ndarray) -> dict[str, float]:
    """Macro-F1 over all pairs, over the real ones, and of each source."""
    y = metrics.indices([pair.label for pair in gold])
    source = np.array([pair.source for pair in gold])
    parts = {"all": source != "", "real": source != "written"} | {name: source == name for name in sorted(set(source))}
    return {name: metrics.macro_f1(y[rows], predicted[rows], SIZE) for name, rows in parts.items() if rows.any()}


def leak_gauge(seen: Mapping[str, np.ndarray], gold: Sequence[LabelledPair]) -> dict[str, Any]:
    """What is left of the score when a text is hidden or the accusations are shuffled, and who wins on the twins."""
    y = metrics.indices([pair.label for pair in gold])
    twins = np.array([bool(pair.twin) for pair in gold])
    gauge: dict[str, Any] = {"macro_f1": {name: metrics.macro_f1(y, z, SIZE) for name, z in seen.items()}}
    if twins.any():
        gauge["twins"] = {"n": int(twins.sum())} | {
            name: float((y[twins] == seen[name][twins]).mean()) for name in ("as it is", "accusation hidden")
        }
    return gauge


def annotators() -> dict[str, dict[str, float]]:
    """Agreement of two blind readers on validation and test pairs, by source, before any reconciliation."""
    splits = json.loads(SPLITS_FILE.read_text(encoding="utf-8"))["documents"]
    rows = [row for row in read_lines(REAL_FILE) if len(row["votes"]) > 1 and splits[row["document"]] != "train"]
    return {
        name: agreement([row for row in rows if name in ("all", row["source"])]) for name in ("all", "news", "briefing")
    }


def agreement(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Kappa, alpha, and the scores that the second reader would get if the first were gold."""
    first, second = [row["votes"][0] for row in rows], [row["votes"][1] for row in rows]
    y, z = metrics.indices([v["label"] for v in first]), metrics.indices([v["label"] for v in second])
    Y, Z = metrics.membership([v["labels"] for v in first]), metrics.membership([v["labels"] for v in second])
    return {
        "n": len(rows),
        "kappa": metrics.cohen_kappa([v["label"] for v in first], [v["label"] for v in second]),
        "alpha": metrics.krippendorff_alpha([(a["labels"], b["labels"]) for a, b in zip(first, second, strict=True)]),
        "macro_f1": metrics.macro_f1(y, z, SIZE),
        "micro_f1": metrics.micro_f1(Y, Z),
        "inside": metrics.share_inside(Y, z),
    }


def risk_coverage(predictions: Sequence[stance.Prediction], gold: Sequence[LabelledPair]) -> list[dict[str, float]]:
    """Accuracy of the surest predictions of each outcome, at falling coverage."""
    chosen = most_likely(predictions)
    confidence = np.array([p.confidence for p in predictions])
    y = metrics.indices([pair.label for pair in gold])
    curve = []
    for coverage in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5):
        kept = np.zeros(len(y), dtype=bool)
        for k in range(SIZE):
            rows = np.flatnonzero(chosen == k)
            kept[rows[np.argsort(-confidence[rows], kind="stable")][: round(coverage * len(rows))]] = True
        curve.append(
            {
                "coverage": float(kept.mean()),
                "accuracy": float((y[kept] == chosen[kept]).mean()),
                "macro_f1": metrics.macro_f1(y[kept], chosen[kept], SIZE),
            }
        )
    return curve


def through_evaluate(predictions: Sequence[stance.Prediction], gold: Sequence[LabelledPair]) -> dict[str, float]:
    """The main figures once more, through the ``evaluate`` library, so that both ways are seen to agree."""
    from training.measures import PrimaryVerdict, StanceSets

    primary = PrimaryVerdict().compute(
        predictions=[str(p.label or NONE) for p in predictions], references=[str(pair.label or NONE) for pair in gold]
    )
    sets = StanceSets().compute(
        predictions=[[str(s) for s in p.stances] for p in predictions],
        references=[[str(s) for s in pair.labels] for pair in gold],
    )
    return {**primary, **sets}


def print_record(record: Mapping[str, Any]) -> None:
    """Print a record for a person."""
    print(f"{record['model']}\n{record['split']['name']} pairs, digest {record['split']['digest']}\n")
    print(record["evaluation"])
    sources = list(next(iter(record["rivals"].values())))
    print("\n" + f"{'macro-F1':<46}" + "".join(f"{name:>10}" for name in sources))
    for name, row in record["rivals"].items():
        print(f"{name:<46}" + "".join(f"{row[source]:>10.3f}" for source in sources))
    for name, row in record["annotators"].items():
        print(
            f"annotators, {name} (n={row['n']:.0f}): kappa {row['kappa']:.3f}, alpha {row['alpha']:.3f}, second against "
            f"first macro-F1 {row['macro_f1']:.3f}, micro-F1 {row['micro_f1']:.3f}, inside {row['inside']:.3f}"
        )
    print("\nleak gauge, macro-F1: " + ", ".join(f"{k} {v:.3f}" for k, v in record["gauge"]["macro_f1"].items()))
    if "twins" in record["gauge"]:
        t = record["gauge"]["twins"]
        print(
            f"twins (n={t['n']}), accuracy: as it is {t['as it is']:.3f}, accusation hidden {t['accusation hidden']:.3f}"
        )
    print("\ncoverage by outcome -> accuracy, macro-F1")
    for row in record["coverage"]:
        print(f"  {row['coverage']:.2f} -> {row['accuracy']:.3f}, {row['macro_f1']:.3f}")
    print("through evaluate: " + ", ".join(f"{name} {value:.4f}" for name, value in record["hub"].items()))


def store(folder: Path, record: Mapping[str, Any]) -> None:
    """Put the record into the checkpoint's settings and write the card from it."""
    plain = {k: v.to_dict() if isinstance(v, Evaluation) else _rounded(v) for k, v in record.items()}
    if BEHAVIOUR.is_file():
        kinds = json.loads(BEHAVIOUR.read_text(encoding="utf-8"))["kinds"]
        plain["behaviour"] = [[kind, counts["checks"], counts["passed"]] for kind, counts in kinds.items()]
    settings = read_settings(folder)
    write_settings(folder, replace(settings, provenance={**settings.provenance, "judged": plain}))
    write_card(folder)
    if folder == DEFAULT:
        write_readme(plain)


def write_readme(judged: Mapping[str, Any]) -> None:
    """Put the main figures between the marks in the README."""
    e = judged["evaluation"]
    rows = [
        (name, part["n"], part["macro_f1"][0], part["micro_f1"][0], part["inside"][0], part["calibration_error"])
        for name, part in [("all test pairs", e), *e["by_source"].items()]
    ]
    header = ["source", "pairs", "macro-F1", "micro-F1 of sets", "inside the gold set", "calibration error"]
    rivals = [
        (name, row["real"], *(row[source] for source in e["by_source"])) for name, row in judged["rivals"].items()
    ]
    both = judged["annotators"]["all"]
    text = "\n\n".join(
        [
            table(header, rows),
            table(["macro-F1", "real pairs (briefing and news)", *e["by_source"]], rivals),
            "Two blind readers of the real validation and test pairs agree on the primary stance with kappa "
            f"{both['kappa']:.3f} (n={both['n']}).",
        ]
    )
    before, rest = README.read_text(encoding="utf-8").split("<!-- scores -->")
    after = rest.split("<!-- /scores -->")[1]
    README.write_text(f"{before}<!-- scores -->\n{text}\n<!-- /scores -->{after}", encoding="utf-8")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    typer.run(main)
