"""A model small enough to train in a second, and a tokenizer of single characters."""

from __future__ import annotations

import copy

import pytest
import torch
from tokenizers import Tokenizer, decoders, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lwft_bench.data.batching import DataOrder, tokenise
from lwft_bench.data.examples import Example, Item
from lwft_bench.data.masks import unmasked
from lwft_bench.evaluation import language_model

CHARACTERS = "abcdefghijklmnopqrstuvwxyzAQTN0123456789 ?:.+-=\n"

ADDITIONS = [(a, b) for a in range(1, 5) for b in range(1, 5)]
"""All of them are trained on; the items below are made of some."""


def addition(a: int, b: int) -> Example:
    return Example("Q: " + "so " * (a % 3) + f"{a}+{b}?\nA:", f" The answer is {a + b}")


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Without a padding token."""
    vocabulary = {piece: index for index, piece in enumerate(("</s>", *CHARACTERS))}
    characters = Tokenizer(models.BPE(vocabulary, []))
    characters.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=characters, eos_token="</s>")


@pytest.fixture
def only_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model makes no forward passes but for benchmarks: whether padding, rows that leave and shared
    contexts change its answers is taken to be known."""
    monkeypatch.setattr(language_model, "rows_together", lambda model, padding: "any")
    monkeypatch.setattr(language_model, "rows_may_leave", lambda model, padding, loop: True)
    monkeypatch.setattr(language_model, "contexts_may_be_shared", lambda model, padding: True)
    monkeypatch.setattr(language_model, "may_be_trees", lambda model, items, padding: True)


@pytest.fixture
def model(trained: LlamaForCausalLM) -> LlamaForCausalLM:
    """It adds without fault; in training mode, with dropout."""
    return copy.deepcopy(trained).train()


@pytest.fixture(scope="session")
def trained() -> LlamaForCausalLM:
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        attention_dropout=0.1,
        bos_token_id=None,
        eos_token_id=0,
    )
    model = LlamaForCausalLM(config)
    examples = tokenise([addition(a, b) for a, b in ADDITIONS], tokenizer, 64, "target")
    order = DataOrder(examples, batch_size=16, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.0)
    model.eval()
    for _ in range(250):
        (batch,) = order.next_batch()
        with unmasked():
            model(input_ids=batch.input_ids, labels=batch.labels, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


@pytest.fixture
def items() -> list[Item]:
    chosen = ADDITIONS[::3]
    return [Item(f"own-{a}-{b}", addition(a, b).prompt, str(a + b)) for a, b in chosen]
