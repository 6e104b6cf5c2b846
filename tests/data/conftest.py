"""Tokenizers that differ where it matters: at the boundary of prompt and target."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

ALPHABET = "abcdefghijklmnopqrstuvwxyzABCQ0123456789 ?:.+-="


def vocabulary(*pieces: str) -> dict[str, int]:
    return {piece: index for index, piece in enumerate(dict.fromkeys(("<s>", "</s>", *pieces)))}


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """One token a character, and a beginning-of-sequence token before every text."""
    characters = Tokenizer(models.BPE(vocabulary(*ALPHABET), []))
    characters.decoder = decoders.Fuse()
    characters.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=characters, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )


@pytest.fixture(scope="session")
def merging_tokenizer() -> PreTrainedTokenizerFast:
    """Joins "a" and "b" into one token wherever they meet."""
    merging = Tokenizer(models.BPE(vocabulary(*ALPHABET, "ab"), [("a", "b")]))
    return PreTrainedTokenizerFast(tokenizer_object=merging, eos_token="</s>")


@pytest.fixture(scope="session")
def spacing_tokenizer() -> PreTrainedTokenizerFast:
    """As SentencePiece models do: a space is put before every text, and belongs to the word."""
    pieces = vocabulary("▁", *ALPHABET.replace(" ", ""), "▁5")
    spacing = Tokenizer(models.BPE(pieces, [("▁", "5")]))
    spacing.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    spacing.pre_tokenizer = pre_tokenizers.Sequence([])
    return PreTrainedTokenizerFast(tokenizer_object=spacing, eos_token="</s>")
