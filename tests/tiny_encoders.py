"""Encoders of two layers with random weights, each with a WordPiece vocabulary trained on invented sentences."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from toy_model import CUES, FILLERS, toy_pairs

SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def write_tiny_encoder(folder: Path, kind: str) -> Path:
    """Write ``config.json``, the weights and the tokenizer; return the folder."""
    import torch

    torch.manual_seed(0)
    size = _write_tokenizer(folder)
    _network(kind, size).save_pretrained(folder)
    return folder


def _write_tokenizer(folder: Path) -> int:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordPiece(_vocabulary(), unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    cls, sep = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", cls), ("[SEP]", sep)]
    )
    folder.mkdir(parents=True, exist_ok=True)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL).save_pretrained(folder)
    return int(tokenizer.get_vocab_size())


def _vocabulary() -> dict[str, int]:
    """Whole words and letters, always in the same order: a trained vocabulary breaks ties differently in each run."""
    words = {w.lower() for p in toy_pairs(40, seed=5) for w in re.findall(r"[A-Za-z]+", f"{p.accusation} {p.response}")}
    words |= {w for cues in CUES.values() for w in cues} | set(FILLERS)
    signs = "abcdefghijklmnopqrstuvwxyz0123456789.,:;?!'"
    pieces = [*SPECIAL.values(), *sorted(words | set(signs)), *(f"##{sign}" for sign in signs)]
    return {piece: i for i, piece in enumerate(pieces)}


def _network(kind: str, vocabulary: int) -> Any:
    from transformers import BertConfig, BertModel, DebertaV2Config, DebertaV2Model

    shape = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    }
    if kind == "bert":
        return BertModel(BertConfig(**shape))
    relative = {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 16,
        "share_att_key": True,
    }
    return DebertaV2Model(
        DebertaV2Config(**shape, **relative, type_vocab_size=0, position_biased_input=False, norm_rel_ebd="layer_norm")
    )
