"""Small real models and data for tests of training: a trainer in one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lwft_bench.adapters.full import Full
from lwft_bench.data.batching import DataOrder, TokenisedExamples, splitting_of
from lwft_bench.memory.meters import NoAccount
from lwft_bench.models.dropout import remove_dropout
from lwft_bench.models.loading import load_model
from lwft_bench.models.sharded import made_whole, share_out
from lwft_bench.plugins.registry import adapters, strategies
from lwft_bench.schema.base import Named
from lwft_bench.schema.cell import ModelConfig, TrainingConfig
from lwft_bench.schema.method import MethodConfig
from lwft_bench.state.engine import Engine
from lwft_bench.state.precision import PRECISIONS
from lwft_bench.training.assembly import Assembly, Surroundings, assemble
from lwft_bench.training.ranks import ALONE, Ranks
from lwft_bench.training.streams import RandomStreams
from lwft_bench.training.trainer import Feed, Hooks, Trainer

CPU = torch.device("cpu")
VOCABULARY = 48

LLAMA = {
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
}
SHAPE = {key: LLAMA[key] for key in LLAMA if key != "model_type"}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "llama-tied": LLAMA | {"tie_word_embeddings": True},
    "gemma": SHAPE | {"model_type": "gemma", "head_dim": 8, "pad_token_id": 0},
    "qwen2": SHAPE | {"model_type": "qwen2"},
    "mistral": SHAPE | {"model_type": "mistral"},
    "gpt2": {
        "model_type": "gpt2",
        "vocab_size": VOCABULARY,
        "n_embd": 16,
        "n_layer": 4,
        "n_head": 2,
        "n_positions": 64,
    },
    "gpt_neox": {key: SHAPE[key] for key in SHAPE if key != "num_key_value_heads"}
    | {"model_type": "gpt_neox"},
    "opt": {
        "model_type": "opt",
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "ffn_dim": 24,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "word_embed_proj_dim": 16,
    },
}
WITH_EXPERTS = FAMILIES | {
    "mixtral": SHAPE | {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2},
}


def method(strategy: str = "all", **options: Any) -> MethodConfig:
    """A method card; keys with `strategy_` are the strategy's options."""
    strategy_options = {
        key.removeprefix("strategy_"): options.pop(key)
        for key in list(options)
        if key.startswith("strategy_")
    }
    return MethodConfig(
        name="tested",
        title="tested",
        citation="none",
        strategy=Named(name=strategy, **strategy_options),
        **options,
    )


def full_fine_tuning(**options: Any) -> MethodConfig:
    return method("all", always_train="all", **options)


def training(steps: int = 6, **options: Any) -> TrainingConfig:
    """Small buckets, so that offloaded state goes through many."""
    defaults: dict[str, Any] = {"batch_size": 4, "lr": 1e-2, "warmup_steps": 2}
    defaults |= {"bucket_bytes": 2048, "checkpoint_every": 1000}
    return TrainingConfig(steps=steps, **(defaults | options))


def examples(count: int = 24, seed: int = 0) -> TokenisedExamples:
    """Random token ids of uneven lengths, with prompts and targets."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(6, 20, count)
    return TokenisedExamples(
        token_ids=[generator.integers(3, VOCABULARY, n).tolist() for n in lengths],
        num_prompt_tokens=[int(generator.integers(1, n - 3)) for n in lengths],
        loss_on="target",
        padding_id=0,
    )


@dataclass
class Run:
    """A trainer and what it trains."""

    model: nn.Module
    assembly: Assembly
    trainer: Trainer
    order: DataOrder

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: made_whole(p.detach()).clone() for name, p in self.model.named_parameters()}


def make_run(
    folder: Path,
    card: MethodConfig,
    config: TrainingConfig,
    family: str = "llama",
    *,
    seed: int = 0,
    stop_when: Callable[[int], bool] = lambda step: False,
    data: TokenisedExamples | None = None,
    ranks: Ranks = ALONE,
    engine: Engine | None = None,
) -> Run:
    """A trainer over a small random model of a family. stop_when: asked after each step."""
    streams = RandomStreams(seed, config.stream_seeds)
    model = load_model(
        ModelConfig(name=family, config=WITH_EXPERTS[family]),
        dtype=PRECISIONS[config.precision].weight,
        attention=config.attention,
        seed=0,
    )
    if not config.dropout:
        remove_dropout(model)
    adapter_class = adapters.get(card.adapter.name)
    adapter: Full = adapter_class(adapter_class.Options(**card.adapter.options))
    adapted = adapter.apply(model, 0)
    if config.sharded:
        share_out(adapted, CPU)
    assembly = assemble(
        adapted,
        adapter,
        card,
        config,
        Surroundings(CPU, NoAccount(), ranks, engine),
        rounding_seed=0,
    )
    order, probing_order = (
        DataOrder(
            data or examples(),
            batch_size=config.batch_size,
            splitting=splitting_of(config),
            seed=streams.seed(stream),
            num_ranks=ranks.world,
        )
        for stream in ("data", "measure")
    )
    strategy_class = strategies.get(card.strategy.name)
    strategy = strategy_class(strategy_class.Options(**card.strategy.options))
    calls = iter(range(10**9))
    hooks = Hooks(lambda event: None, lambda: stop_when(next(calls)), lambda: None)
    trainer = Trainer(assembly, strategy, Feed(order, probing_order, streams), hooks, folder)
    return Run(adapted, assembly, trainer, order)


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    """Equal bit for bit."""
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different
