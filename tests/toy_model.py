"""A classifier over a bag of words, made from nothing: deterministic, instant, and right about cue words."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from stance.checkpoint import Settings
from stance.classifier import StanceClassifier
from stance.encoding import Batch, Encoder
from stance.labels import LABELS
from stance.records import LabelledPair

CUES = {
    "denial": ("never", "false", "untrue", "invented"),
    "demand_for_evidence": ("proof", "show", "documents", "where"),
    "counter_accusation": ("yourselves", "hypocrites", "smear", "worse"),
    "acknowledgment": ("sorry", "admit", "regret", "mistake"),
    "none": ("weather", "thanks", "tomorrow", "train"),
}
FILLERS = (
    "the",
    "a",
    "minister",
    "said",
    "of",
    "on",
    "harbour",
    "mine",
    "council",
    "paper",
    "river",
    "we",
    "they",
    "it",
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = (*SPECIAL, *(cue for cues in CUES.values() for cue in cues), *FILLERS)


class BagOfWords:
    """Counts the words of the response; its logits rise with the cues of each outcome, and are negative without any."""

    name = "toy"

    def features(self, batch: Batch) -> np.ndarray:
        counts = np.zeros((len(batch.input_ids), len(WORDS)), dtype=np.float32)
        for row, (ids, types) in enumerate(zip(batch.input_ids, batch.token_type_ids, strict=True)):
            np.add.at(counts[row], ids[types == 1], 1)
        return counts[:, len(SPECIAL) :]

    def logits(self, batch: Batch) -> np.ndarray:
        counts = self.features(batch)[:, : 4 * len(CUES)].reshape(len(batch.input_ids), len(CUES), 4).sum(2)
        return (2 * counts - 1).astype(np.float32)


def word_tokenizer(words: Sequence[str]) -> Tokenizer:
    """A tokenizer that knows whole words; the first four are the special ones."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer


def toy_classifier() -> StanceClassifier:
    return StanceClassifier(Settings(name="toy"), Encoder(word_tokenizer(WORDS), 64, 24), BagOfWords(), Path("toy"))


def toy_pairs(n: int, *, seed: int = 0, cues: int = 2, per_document: int = 1) -> list[LabelledPair]:
    """Pairs whose response holds cue words of its label among fillers."""
    rng = np.random.default_rng(seed)
    pairs = []
    for i in range(n):
        outcome = list(CUES)[i % len(CUES)]
        words = [*rng.choice(CUES[outcome], cues), *rng.choice(FILLERS, 6)]
        rng.shuffle(words)
        label = None if outcome == "none" else LABELS[i % len(CUES)]
        pairs.append(
            LabelledPair(
                accusation=f"They sold the {rng.choice(FILLERS)} {i}.",
                response=" ".join(words).capitalize() + ".",
                label=label,
                labels=() if label is None else (label,),
                document_id=f"d{i // per_document}",
            )
        )
    return pairs
