"""Measures one thing in a process of its own, so that imports, memory and warm caches are its own too.

Reads a JSON request on standard input, writes a JSON answer as its last line.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any


def peak_megabytes() -> float:
    """The most memory this process has held, in MB; not ``ru_maxrss`` on Linux, where a child may show its parent's."""
    status = Path("/proc/self/status")
    if status.is_file():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1e3
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def contend(request: dict[str, Any]) -> dict[str, Any]:
    """Measure one contender: cold start, single pairs, then all of them."""
    from benchmarks.contenders import CONTENDERS

    contender = CONTENDERS[request["contender"]]
    began = time.perf_counter()
    contender.imports()
    imported = time.perf_counter() - began
    contender.load(Path(request["folder"]))
    contender.one(tuple(request["first_pair"]))
    answer: dict[str, Any] = {
        "import_s": imported,
        "cold_s": time.time() - request["started"],
        "cold_mb": peak_megabytes(),
    }
    pairs = [tuple(pair) for pair in json.loads(Path(request["pairs"]).read_text(encoding="utf-8"))]
    singles = sorted(_timed(partial(contender.one, pair))[0] for pair in pairs[: request["singles"]])
    answer["p50_ms"] = 1e3 * singles[len(singles) // 2]
    answer["p99_ms"] = 1e3 * singles[min(len(singles) - 1, int(0.99 * len(singles)))]
    answer["single_pairs_s"] = len(singles) / sum(singles)
    runs = [_timed(partial(contender.many, pairs)) for _ in range(request["repeats"])]
    fastest = min(seconds for seconds, _ in runs)
    return {**answer, "pairs_s": len(pairs) / fastest, "peak_mb": peak_megabytes(), "labels": runs[0][1]}


def grow(request: dict[str, Any]) -> dict[str, Any]:
    """Score a file of so many rows; cost per row, without loading, and the memory at the end."""
    from benchmarks.workload import real_length_pairs
    from stance.classifier import StanceClassifier
    from stance.files import classify_file

    source, target = Path(request["scratch"]) / "in.jsonl", Path(request["scratch"]) / "out.jsonl"
    with source.open("w", encoding="utf-8") as stream:
        for accusation, response in real_length_pairs(request["rows"]):
            stream.write(json.dumps({"accusation": accusation, "response": response}) + "\n")
    classifier = StanceClassifier.load(request["folder"], backend="onnx")
    if not request["network"]:
        classifier = StanceClassifier(classifier.settings, classifier._encoder, _Sums(), classifier.path)
    classifier.classify("He took it.", "I did not.")
    record = classify_file(source, target, model=classifier, progress=False)
    return {
        "rows": request["rows"],
        "network": request["network"],
        "us_per_row": 1e6 * record.seconds / request["rows"],
        "peak_mb": peak_megabytes(),
    }


class _Sums:
    """Stands where the network stands, and costs nothing: what is left is the reading, the order and the writing."""

    name = "sums"

    def logits(self, batch: Any) -> Any:
        import numpy as np

        return np.stack([(batch.input_ids * k % 97).sum(1) % 7 for k in range(1, 6)], axis=1).astype(np.float32)


def _timed(action: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = action()
    return time.perf_counter() - began, result


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    print(json.dumps({"contend": contend, "grow": grow}[asked["task"]](asked)))
