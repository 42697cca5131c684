"""The verb for users: their pairs in, a checkpoint and an honest report of what it gained and lost out."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stance import api, metrics
from stance.cards import table, write_card
from stance.checkpoint import SETTINGS_FILE, is_checkpoint, read_settings, resolve, write_settings
from stance.classifier import StanceClassifier
from stance.errors import CheckpointError, InputError, LabelError
from stance.finetuning.checkpoints import fingerprint, train_checkpoint
from stance.finetuning.recipe import Recipe
from stance.labels import LABELS, NONE
from stance.metrics import Evaluation, Interval
from stance.records import LabelledPair, Prediction

KNOWN = Path(__file__).parent.parent / "model" / "known_pairs.jsonl"
"""Pairs written for this project that ship with the library: some to replay, some to see what was forgotten."""

CONTINUED = Recipe(epochs=4, learning_rate=1e-4, layer_decay=0.85, balance=0.3)
"""How a checkpoint is trained further: gentler than from an encoder, so that it keeps what it knew."""

_WORST = 10
_FEW = 200
"""Below so many pairs a calibration error is mostly chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuned:
    """A new checkpoint and what is known of it.

    Attributes:
        path: Its folder; open it with ``stance.load``.
        before: Scores of the base on your held-out pairs; ``None`` where the base knows other labels.
        after: Scores of the new checkpoint on the same pairs.
        kept_before: Scores of the base on the pairs that ship with the library.
        kept_after: Scores of the new checkpoint on them; compare the two to see what was forgotten.
        gain: ``after`` less ``before`` in macro-F1, with the interval of the difference; ``None`` without ``before``.
        report: All of it in Markdown; also in the checkpoint's ``README.md``.
    """

    path: Path
    before: Evaluation | None
    after: Evaluation
    kept_before: Evaluation | None
    kept_after: Evaluation | None
    gain: Interval | None
    report: str

    def __str__(self) -> str:
        return self.report

    def load(self) -> StanceClassifier:
        """Open the new checkpoint."""
        return api.load(self.path)

    def push_to_hub(self, name: str, **options: Any) -> str:
        """Upload the checkpoint to the Hugging Face hub; needs a login there. Returns its address."""
        from huggingface_hub import HfApi

        hub = HfApi()
        hub.create_repo(name, exist_ok=True)
        return str(hub.upload_folder(repo_id=name, folder_path=str(self.path), **options))


def fine_tune(
    pairs: Any,
    *,
    output: str | os.PathLike[str],
    base: str | os.PathLike[str] = "default",
    labels: Sequence[str] | None = None,
    test: Any = None,
    test_share: float = 0.25,
    validation_share: float = 0.2,
    replay: int = 400,
    recipe: Recipe | None = None,
    name: str = "",
    progress: bool = True,
) -> FineTuned:
    """Train on labelled pairs and report the gain on held-out ones.

    Pairs are split by ``document_id``. Where the label set is the shipped one, the training also replays pairs that ship
    with the library, so that little is forgotten; how little is measured and reported. A killed run goes on when the call
    is repeated.

    Args:
        pairs: ``LabelledPair`` objects, or a path (CSV, JSONL, Parquet), DataFrame or ``datasets.Dataset`` with columns
            ``accusation``, ``response``, ``label`` and optionally ``labels``, ``document_id``, ``annotator``.
        output: The new checkpoint's folder; must not exist.
        base: ``"default"``, another checkpoint, or any encoder by path or hub name.
        labels: The label set, in column order, without ``none``; the base's, or where ``pairs`` bring other labels,
            those, if ``None``.
        test: Pairs to report on; a share of ``pairs`` is held out if ``None``.
        test_share: That share of the documents.
        validation_share: Share of the remaining documents to choose the epoch and to calibrate on.
        replay: How many shipped pairs to mix in, at most; used only where the label set is the shipped one.
        recipe: How to train; ``default_recipe(base)`` if ``None``.
        name: What to call the checkpoint.
        progress: Whether to show a progress bar.

    Raises:
        InputError: The pairs have problems (all are listed), are too few to split, or are trained on and reported on too.
        LabelError: Labels look like those of the base, spelled otherwise.
        CheckpointError: ``output`` exists, or the base cannot be used.
    """
    base, target = _fetched(base), Path(output)
    labelled = _read(pairs, labels)
    names = tuple(labels) if labels else _label_set(labelled, base)
    train, held_out = _part(labelled, test_share, "test") if test is None else (labelled, _read(test, names))
    train, validation = _part(train, validation_share, "validation")
    for part, size in (("train", len(train)), ("validation", len(validation)), ("test", len(held_out))):
        if size < 2:
            raise InputError(
                f"{len(labelled)} pairs leave {size} for {part}; give more pairs, or a document_id that tells independent "
                "ones apart (without one, all replies to one accusation stay together)"
            )
    metrics.membership([p.labels for p in held_out], names)
    known = _known() if names == tuple(LABELS) else {"replay": [], "kept": []}
    replayed = known["replay"][:replay]
    _check_apart([*train, *validation, *replayed], held_out)
    (validation, _), (held_out, unsettled) = _one_verdict(validation), _one_verdict(held_out)
    sizes = {
        "train": len(train), "validation": len(validation), "test": len(held_out), "replayed": len(replayed),
        "unsettled": unsettled, "documents": len({p.document_id for p in labelled} - {""}),
    }  # fmt: skip
    recipe = recipe or default_recipe(base)
    train = [*_shared_weight(train), *replayed]
    if target.exists():
        raise CheckpointError(f"{target} exists; name a new folder or remove it")
    folder = _trained(target, train, validation, base, recipe, names, name or target.name, sizes, progress)
    result = _report(folder, base if is_checkpoint(base) else None, held_out, known["kept"], names, sizes)
    os.replace(folder, target)  # only now, so that a checkpoint with its name always has its report
    return replace(result, path=target)


def default_recipe(base: str | os.PathLike[str]) -> Recipe:
    """How ``fine_tune`` trains: gently and with the window it has for a checkpoint, the default recipe for an encoder."""
    if not is_checkpoint(base):
        return Recipe()
    settings = read_settings(resolve(base))
    return replace(CONTINUED, max_tokens=settings.max_tokens, max_accusation_tokens=settings.max_accusation_tokens)


def _fetched(base: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """The folder of a checkpoint that lies on a hub; anything else as it is."""
    name = str(base)
    if name.count("/") != 1 or name.startswith((".", "/")) or Path(name).exists():
        return base
    from huggingface_hub import file_exists
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        return resolve(name) if file_exists(name, SETTINGS_FILE) else base
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        raise CheckpointError(f"no folder {name} here, and the hub did not say what {name!r} is: {error}") from error


def _trained(
    target: Path,
    train: Sequence[LabelledPair],
    validation: Sequence[LabelledPair],
    base: str | os.PathLike[str],
    recipe: Recipe,
    names: Sequence[str],
    name: str,
    sizes: Mapping[str, int],
    progress: bool,
) -> Path:
    """The trained checkpoint under a name of its own, until its report is written; one that a kill left is taken up."""
    folder = target.with_name(f"{target.name}.trained")
    run = fingerprint(train, validation, base, recipe, names)
    if folder.exists():
        if read_settings(folder).provenance.get("run") != run:
            raise CheckpointError(f"{folder} holds a run on other pairs or settings; remove it to start anew")
        return folder
    return train_checkpoint(
        train,
        validation,
        output=folder,
        base=base,
        recipe=recipe,
        labels=names,
        name=name,
        provenance={"train": {"n": sizes["train"], "replayed": sizes["replayed"]}, "run": run},
        progress=progress,
    )


def _read(source: Any, labels: Sequence[str] | None) -> list[LabelledPair]:
    from stance.exchange import read_labelled

    return read_labelled(source, labels=labels)


def _label_set(pairs: Sequence[LabelledPair], base: str | os.PathLike[str]) -> tuple[str, ...]:
    """The base's labels where they cover the pairs', else the pairs' own, by first appearance."""
    found = dict.fromkeys(str(label) for pair in pairs for label in pair.labels)
    known = tuple(read_settings(resolve(base)).labels) if is_checkpoint(base) else tuple(LABELS)
    if set(found) <= {str(label) for label in known}:
        return known
    near = {_spelled(label): label for label in (*map(str, known), NONE)}
    if meant := [near[_spelled(label)] for label in found if _spelled(label) in near]:
        odd = [label for label in found if label not in {str(k) for k in known}]
        raise LabelError(
            f"{', '.join(map(repr, odd))}: not labels of {str(base)!r}, though {', '.join(map(repr, meant))} are; its "
            f"labels are {', '.join(metrics.outcomes(known))}. Correct them, or pass labels=[...] to train for another set"
        )
    return tuple(found)


def _spelled(label: str) -> str:
    return "_".join(label.casefold().replace("-", " ").replace("_", " ").split())


def _part(pairs: Sequence[LabelledPair], share: float, salt: str) -> tuple[list[LabelledPair], list[LabelledPair]]:
    """Split by document, the same way each time: documents in the order of a hash, the first ``share`` of them apart."""
    documents = sorted({_document(p) for p in pairs}, key=lambda d: hashlib.sha256(f"{salt}:{d}".encode()).digest())
    apart = set(documents[: round(share * len(documents))])
    inside = [_document(p) in apart for p in pairs]
    return [p for p, x in zip(pairs, inside, strict=True) if not x], [
        p for p, x in zip(pairs, inside, strict=True) if x
    ]


def _document(pair: LabelledPair) -> str:
    """The document of a pair; without one, all pairs with the same accusation stay together."""
    return pair.document_id or hashlib.sha256(pair.accusation.encode()).hexdigest()


def _check_apart(seen: Sequence[LabelledPair], held_out: Sequence[LabelledPair]) -> None:
    documents = {_document(p) for p in seen} & {_document(p) for p in held_out}
    texts = {(p.accusation, p.response) for p in seen} & {(p.accusation, p.response) for p in held_out}
    if documents or texts:
        raise InputError(
            f"{len(documents)} documents and {len(texts)} pairs to report on are trained on too; keep them apart"
        )


def _votes(pairs: Sequence[LabelledPair]) -> dict[tuple[str, str, str], list[LabelledPair]]:
    """The verdicts on each pair."""
    votes: dict[tuple[str, str, str], list[LabelledPair]] = {}
    for pair in pairs:
        votes.setdefault((pair.accusation, pair.response, pair.document_id), []).append(pair)
    return votes


def _shared_weight(pairs: Sequence[LabelledPair]) -> list[LabelledPair]:
    """Every verdict, weighted so that a pair that many have labelled counts as one."""
    return [replace(vote, weight=vote.weight / len(votes)) for votes in _votes(pairs).values() for vote in votes]


def _one_verdict(pairs: Sequence[LabelledPair]) -> tuple[list[LabelledPair], int]:
    """One verdict for each pair, that of most annotators; and how many pairs had none and were left out."""
    settled = []
    votes_of = _votes(pairs)
    for votes in votes_of.values():
        ranked = Counter(vote.label for vote in votes).most_common(2)
        if len(ranked) == 1 or ranked[0][1] > ranked[1][1]:
            settled.append(next(vote for vote in votes if vote.label == ranked[0][0]))
    return settled, len(votes_of) - len(settled)


def _known() -> dict[str, list[LabelledPair]]:
    """The shipped pairs by what they are for: ``replay`` and ``kept``."""
    parts: dict[str, list[LabelledPair]] = {"replay": [], "kept": []}
    for line in KNOWN.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        parts[row.pop("part")].append(LabelledPair(**{**row, "labels": tuple(row["labels"])}))
    return parts


def _report(
    folder: Path,
    base: str | os.PathLike[str] | None,
    held_out: Sequence[LabelledPair],
    kept: Sequence[LabelledPair],
    names: Sequence[str],
    sizes: Mapping[str, int],
) -> FineTuned:
    new = StanceClassifier.load(folder)
    old = None if base is None else api.load(base)
    old = old if old is not None and tuple(old.labels) == tuple(names) else None
    predictions = new.classify_pairs(held_out)
    former = None if old is None else old.classify_pairs(held_out)
    result = FineTuned(
        path=folder,
        before=None if former is None else api.evaluate(former, held_out),
        after=api.evaluate(predictions, held_out),
        kept_before=api.evaluate(old.classify_pairs(kept), kept) if kept and old is not None else None,
        kept_after=api.evaluate(new.classify_pairs(kept), kept) if kept else None,
        gain=None if former is None else _gain(former, predictions, held_out, names),
        report="",
    )
    result = replace(result, report=_text(result, predictions, held_out, sizes))
    settings = read_settings(folder)
    write_settings(folder, replace(settings, provenance={**settings.provenance, "report": result.report}))
    write_card(folder)
    return result


def _gain(
    former: Sequence[Prediction], latter: Sequence[Prediction], gold: Sequence[LabelledPair], names: Sequence[str]
) -> Interval:
    """The difference of the two macro-F1, with the interval of the difference: both judge the same resampled pairs."""
    size = len(names) + 1
    y, old, new = (
        metrics.indices([item.label for item in items], names)
        for items in (gold, former, latter)  # type: ignore[attr-defined]
    )

    def difference(rows: np.ndarray) -> float:
        after, before = (metrics.macro_f1(y[rows], z[rows], size) for z in (new, old))
        return after - before

    return metrics.bootstrap(difference, [_document(pair) for pair in gold])


def _text(
    result: FineTuned, predictions: Sequence[Prediction], held_out: Sequence[LabelledPair], sizes: Mapping[str, int]
) -> str:
    before, after = result.before, result.after
    rows = [("your held-out pairs", after.n, _figure(before), str(after.macro_f1))]
    if result.kept_after is not None:
        rows.append(
            (
                "shipped pairs (what it knew)",
                result.kept_after.n,
                _figure(result.kept_before),
                str(result.kept_after.macro_f1),
            )
        )
    by_label = [(name, s.support, before.labels[name].f1 if before else "", s.f1) for name, s in after.labels.items()]
    calibration = f"{before.calibration_error:.3f} before, " if before and before.calibration_error is not None else ""
    worst = _worst(predictions, held_out)
    parts = [
        "## What the new pairs changed",
        f"{sizes['train']} verdicts were learned from"
        + (f", beside {sizes['replayed']} pairs that ship with stance" if sizes["replayed"] else "")
        + f"; {sizes['validation']} pairs chose the epoch and the calibration; {sizes['test']} were held out for this report."
        + ("" if sizes["documents"] else " No document_id: all replies to one accusation were taken as one document.")
        + (
            f" {sizes['unsettled']} held-out pairs on which readers differ were left out." if sizes["unsettled"] else ""
        ),
        "Macro-F1 with 95 % bootstrap intervals over documents"
        + (f"; {', '.join(after.absent)} not counted, for want of held-out pairs." if after.absent else "."),
        table(["pairs", "n", "before", "after"], rows),
        _verdict_on(result.gain),
        "### By outcome, F1 on your held-out pairs",
        table(["outcome", "n", "before", "after"], by_label),
        f"Calibration error: {calibration}{after.calibration_error or 0:.3f} after"
        + (", from few pairs: a rough figure." if after.n < _FEW else "."),
    ]
    if worst:
        parts += [
            "### The worst errors",
            "Those of which the new checkpoint was surest.",
            table(["gold", "predicted", "sure", "accusation", "response"], worst),
        ]
    return "\n\n".join(parts)


def _verdict_on(gain: Interval | None) -> str:
    if gain is None:
        return "There is no score before: the base knows other labels, or none."
    if math.isnan(gain.low):
        return (
            f"Gain on your held-out pairs: {gain.value:+.3f}; they are of one document, which tells nothing of chance."
        )
    words = f"Gain on your held-out pairs: {gain.value:+.3f}, interval {gain.low:+.3f} to {gain.high:+.3f}."
    if gain.low > 0:
        return f"{words} It is better on pairs like yours."
    if gain.high < 0:
        return f"{words} It is worse on pairs like yours: keep the old one."
    return f"{words} That is within chance: label more before you rely on a difference."


def _figure(evaluation: Evaluation | None) -> str:
    return "" if evaluation is None else str(evaluation.macro_f1)


def _worst(predictions: Sequence[Prediction], gold: Sequence[LabelledPair]) -> list[tuple[Any, ...]]:
    wrong = [(p, g) for p, g in zip(predictions, gold, strict=True) if p.label != g.label]
    wrong.sort(key=lambda pair: -pair[0].confidence)
    return [
        (str(g.label or NONE), str(p.label or NONE), p.confidence, _short(g.accusation), _short(g.response))
        for p, g in wrong[:_WORST]
    ]


def _short(text: str, width: int = 120) -> str:
    text = " ".join(text.split()).replace("|", "/")
    return text if len(text) <= width else text[: width - 1] + "…"
