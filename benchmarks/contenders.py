"""Ways to serve one checkpoint. Each imports what it needs, loads, and answers with column numbers of outcomes.

``folder`` is a checkpoint that ``stance.exporting.export`` wrote: the served graph, and the same network as an ordinary
``transformers`` classifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from stance.backends.processor import has_bfloat16

Pairs = Sequence[tuple[str, str]]


class Contender(Protocol):
    """One way. ``peak`` names the arithmetic that bounds it."""

    peak: str

    def imports(self) -> None: ...

    def load(self, folder: Path) -> None: ...

    def one(self, pair: tuple[str, str]) -> int: ...

    def many(self, pairs: Pairs) -> list[int]: ...


class Stance:
    """This library."""

    peak = "int8"

    def imports(self) -> None:
        import onnxruntime  # noqa: F401

        import stance.classifier  # noqa: F401

    def load(self, folder: Path) -> None:
        from stance.classifier import StanceClassifier

        self._classifier = StanceClassifier.load(folder, backend="onnx")
        self._columns = {label: i for i, label in enumerate((*self._classifier.labels, None))}

    def one(self, pair: tuple[str, str]) -> int:
        return self._columns[self._classifier.classify(*pair).label]

    def many(self, pairs: Pairs) -> list[int]:
        return [self._columns[p.label] for p in self._classifier.classify_pairs(pairs)]


class Pipeline:
    """``transformers.pipeline``, with pairs handed over as it wants them."""

    peak = "fp32"

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size

    def imports(self) -> None:
        from transformers import pipeline  # noqa: F401

    def load(self, folder: Path) -> None:
        from transformers import pipeline

        self._pipe: Any = pipeline("text-classification", model=str(folder), tokenizer=str(folder), device="cpu")
        self._columns = {str(name): int(i) for i, name in (self._pipe.model.config.id2label or {}).items()}

    def one(self, pair: tuple[str, str]) -> int:
        return self.many([pair])[0]

    def many(self, pairs: Pairs) -> list[int]:
        inputs = [{"text": accusation, "text_pair": response} for accusation, response in pairs]
        return [self._columns[out["label"]] for out in self._pipe(inputs, batch_size=self._batch_size, truncation=True)]


class Cross:
    """``sentence_transformers.CrossEncoder``."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self.peak = "fp32"

    def imports(self) -> None:
        from sentence_transformers import CrossEncoder  # noqa: F401

    def load(self, folder: Path) -> None:
        from sentence_transformers import CrossEncoder

        self._encoder: Any = CrossEncoder(str(folder), device="cpu", backend=self._backend)

    def one(self, pair: tuple[str, str]) -> int:
        return self.many([pair])[0]

    def many(self, pairs: Pairs) -> list[int]:
        logits = self._encoder.predict([list(pair) for pair in pairs], batch_size=32, show_progress_bar=False)
        return [int(i) for i in logits.argmax(axis=1)]


class Torch:
    """The plain forward pass, in the order that the pairs come, 32 at a time."""

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype
        self.peak = "fp32"

    def imports(self) -> None:
        import torch  # noqa: F401
        from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: F401

    def load(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        self._model: Any = model.to(getattr(torch, self._dtype)).eval()

    def one(self, pair: tuple[str, str]) -> int:
        return self.many([pair])[0]

    def many(self, pairs: Pairs) -> list[int]:
        import torch

        found: list[int] = []
        with torch.inference_mode():
            for start in range(0, len(pairs), 32):
                first, second = zip(*pairs[start : start + 32], strict=True)
                batch = self._tokenizer(list(first), list(second), padding=True, truncation=True, return_tensors="pt")
                found += self._model(**batch).logits.float().argmax(1).tolist()
        return found


class ZeroShot:
    """The zero-shot pipeline over the same encoder: what its passes cost. The verdicts mean nothing."""

    peak = "fp32"

    def imports(self) -> None:
        from transformers import pipeline  # noqa: F401

    def load(self, folder: Path) -> None:
        from transformers import pipeline

        self._pipe: Any = pipeline("zero-shot-classification", model=str(folder), tokenizer=str(folder), device="cpu")
        self._names = list(dict(self._pipe.model.config.id2label).values())

    def one(self, pair: tuple[str, str]) -> int:
        return self.many([pair])[0]

    def many(self, pairs: Pairs) -> list[int]:
        texts = [f"{accusation} {response}" for accusation, response in pairs]
        return [self._names.index(out["labels"][0]) for out in self._pipe(texts, self._names, batch_size=32)]


REFERENCE = "torch fp32"
ZERO_SHOT = "zero-shot pipeline"

CONTENDERS: dict[str, Contender] = {
    "stance": Stance(),
    "transformers.pipeline (default)": Pipeline(1),
    "transformers.pipeline (batch_size=32)": Pipeline(32),
    "CrossEncoder (torch)": Cross("torch"),
    "CrossEncoder (ONNX)": Cross("onnx"),
    REFERENCE: Torch("float32"),
    "torch bf16": Torch("bfloat16"),
    ZERO_SHOT: ZeroShot(),
}

REQUIRES = {
    "transformers.pipeline (default)": "transformers",
    "transformers.pipeline (batch_size=32)": "transformers",
    "CrossEncoder (torch)": "sentence_transformers",
    "CrossEncoder (ONNX)": "optimum",  # pulls transformers back to 4.x, so it is not in the extras
    REFERENCE: "transformers",
    "torch bf16": "transformers",
    ZERO_SHOT: "transformers",
}


def available() -> tuple[list[str], dict[str, str]]:
    """The contenders that can run here, and why each of the others cannot."""
    lacking = {name: f"{package} is not installed" for name, package in REQUIRES.items() if find_spec(package) is None}
    if not has_bfloat16():
        lacking["torch bf16"] = "this processor does not multiply bfloat16"
    return [name for name in CONTENDERS if name not in lacking], lacking
