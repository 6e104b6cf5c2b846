"""Memory of two processes that share out a model, storage by storage, beside what is planned for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch.distributed.fsdp._fully_shard import _fsdp_param, _fsdp_param_group

from lwft_bench.dry_run.steps import BatchShape, cell_steps, longest
from lwft_bench.dry_run.traits import traits_of
from lwft_bench.memory.accounting import MemoryAccount
from lwft_bench.memory.flops import FlopCount
from lwft_bench.models.sharded import own_rows, share_out
from lwft_bench.planning.plan import Planner, needed
from lwft_bench.schema.cell import Cell, EvaluationConfig, ModelConfig, TaskConfig, TrainingConfig
from lwft_bench.training.adapted import adapted_model
from lwft_bench.training.assembly import Surroundings
from lwft_bench.training.ranks import Ranks
from tests.training.small_cards import small_cards

CPU = torch.device("cpu")
CARDS = small_cards()
LLAMA = {
    "model_type": "llama",
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
}
ONE = (BatchShape(4, 24, 4 * 23),)
TWO = (BatchShape(2, 24, 17), BatchShape(2, 16, 9))


def shared_cell(method: str, **training: Any) -> Cell:
    return Cell(
        id=f"small--{method}--x--seed0",
        model=ModelConfig(name="small", config=LLAMA),
        method=CARDS[method],
        task=TaskConfig(name="x", data="generated-arithmetic", train_examples=1, benchmarks=()),
        training=TrainingConfig(steps=20, batch_size=8, bucket_bytes=4096, sharded=2, **training),
        evaluation=EvaluationConfig(),
        seed=0,
    )


class SharesAccount(MemoryAccount):
    """Sees rows of tensors that are shared out, and not the wrappers, which have no memory."""

    def _see(self, tensor: torch.Tensor, component: str | None) -> None:
        if not hasattr(tensor, "to_local"):
            super()._see(tensor, component)


@contextmanager
def seen_by(account: MemoryAccount) -> Iterator[None]:
    """Inside, the account sees storages that torch empties and fills again."""
    alloc, free = _fsdp_param.alloc_storage, _fsdp_param.free_storage

    def allocated(tensor: torch.Tensor) -> None:
        alloc(tensor)
        account._see(tensor, "gathered")

    def freed(tensor: torch.Tensor) -> None:
        free(tensor)
        account._see(tensor, "gathered")

    with (
        patch.object(_fsdp_param, "alloc_storage", allocated),
        patch.object(_fsdp_param, "free_storage", freed),
        patch.object(_fsdp_param_group, "alloc_storage", allocated),
    ):
        yield


def peaks(
    folder: Path, ranks: Ranks, method: str, shapes: tuple[BatchShape, ...] = ONE, **training: Any
) -> dict[str, Any]:
    cell = shared_cell(method, **training)
    drawn = Planner(num_samples=1).draws(cell)
    planned = needed(cell, shapes, drawn, 0)
    adapter, model = adapted_model(cell, 0, CPU)
    share_out(model, CPU)
    account = SharesAccount()
    account.adopt([own_rows(p) for p in model.parameters()], "weights")
    account.adopt(model.buffers(), "weights")
    traits = traits_of(cell, longest(shapes))
    with account, seen_by(account):
        steps = cell_steps(
            cell,
            (adapter, model),
            shapes,
            Surroundings(CPU, account, ranks),
            FlopCount(),
            traits=traits,
        )
        steps.follow(drawn)
    report = account.report()
    return {
        "planned": planned.peak_bytes,
        "accounted": report.peak_bytes,
        "planned_host": planned.host_bytes,
        "accounted_host": report.host_peak_bytes,
        "phases": [planned.phases, {k: v for k, v in report.phases.items()}],
        "components": [planned.components, report.components],
    }
