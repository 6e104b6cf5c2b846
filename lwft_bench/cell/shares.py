"""What the processes of a cell do together that share out its weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from lwft_bench.cell.loading import Loaded
from lwft_bench.models.sharded import is_shared_out, settle, share_out, whole_state
from lwft_bench.results.store import WEIGHTS
from lwft_bench.training.ranks import Ranks


def share(loaded: Loaded, ranks: Ranks) -> None:
    """Shares out the loaded model, if the cell says so; a process that is alone has it whole."""
    if not loaded.cell.training.sharded:
        return
    if ranks.world > 1:
        share_out(loaded.model, loaded.device)
    else:
        nn.Module.to(loaded.model, loaded.device)


@contextmanager
def in_step(model: nn.Module, ranks: Ranks) -> Iterator[None]:
    """Inside, generations of a model that is shared out go on and end alike on all ranks.

    Whatever kernels do, the first rank's logits of the last position are everybody's.
    """
    if not is_shared_out(model):
        yield
        return

    def agree(module: nn.Module, arguments: Any, output: Any) -> None:
        last = output.logits[:, -1].contiguous()
        ranks.copy_first(last)
        output.logits[:, -1] = last

    handle = model.register_forward_hook(agree)
    try:
        yield
    finally:
        handle.remove()
        settle(model)


def save_weights(loaded: Loaded, folder: Path, ranks: Ranks) -> None:
    """Saves what fine-tuning made; ranks but the first help to make it whole."""
    if ranks.rank == 0:
        loaded.adapter.save(loaded.model, loaded.tokenizer, folder / WEIGHTS)
    else:
        whole_state(loaded.model, kept=False)
