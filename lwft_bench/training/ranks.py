"""The processes that train one cell together, each on its share of every batch (data parallel).

torchrun starts them; without it there is one, and nothing here costs anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    import torch

TIMEOUT = timedelta(hours=24)
"""The first rank evaluates while the others wait. A rank that dies is noticed at once all the same:
its connections close."""

_SET_BY_TORCHRUN = {"RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"}

_LOST = "another rank has ended, or is not in step"

_Item = TypeVar("_Item")


def launched() -> bool:
    """Whether torchrun started this process as one of several.

    Schedulers set some of these variables too, for a job of one process: then they say nothing.
    """
    world = os.environ.get("WORLD_SIZE", "1")
    return world.isdecimal() and int(world) > 1 and os.environ.keys() >= _SET_BY_TORCHRUN


class RankLost(RuntimeError):
    """Another rank has ended, and says why itself; or it took part in another collective."""


class RanksDiffer(RuntimeError):
    """The ranks would go on to train different models."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process's place among all: rank `rank` of `world`.

    Every method but `share` is a collective where there are several ranks: all must call it, in the
    same order. Any of them raises RankLost when another rank is gone.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def join(cls) -> Ranks:
        """Meets the other processes that torchrun started.

        Tensors on the host travel over gloo, those on a CUDA device over NCCL.
        """
        import torch
        from torch import distributed

        backend = "gloo"
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            backend = "cpu:gloo,cuda:nccl"
        distributed.init_process_group(backend, timeout=TIMEOUT)
        return cls(distributed.get_rank(), distributed.get_world_size())

    def leave(self) -> None:
        """Parts from the others, when nothing is left to do together."""
        if self.world == 1:
            return
        from torch import distributed

        distributed.destroy_process_group()

    def share(self, items: Sequence[_Item]) -> Sequence[_Item]:
        """This rank's items: every `world`-th."""
        return items[self.rank :: self.world]

    def sum(self, tensor: torch.Tensor) -> None:
        """Sums the ranks' tensors in place; all get the same bits."""
        if self.world > 1:
            from torch import distributed

            _together(distributed.all_reduce, tensor)

    def any(self, flag: bool) -> bool:
        """Whether it is true on some rank."""
        if self.world == 1:
            return flag
        import torch

        count = torch.tensor(int(flag))
        self.sum(count)
        return bool(count)

    def broadcast(self, value: Any) -> Any:
        """The first rank's value."""
        if self.world == 1:
            return value
        import torch
        from torch import distributed

        values = [value]
        _together(distributed.broadcast_object_list, values, src=0, device=torch.device("cpu"))
        return values[0]

    def copy_first(self, tensor: torch.Tensor) -> None:
        """Puts the first rank's values into all ranks' tensors, in place."""
        if self.world > 1:
            from torch import distributed

            _together(distributed.broadcast, tensor, src=0)

    def gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """The ranks' tensors, in their order; of equal shape and on the host."""
        if self.world == 1:
            return [tensor]
        import torch
        from torch import distributed

        tensors = [torch.empty_like(tensor) for _ in range(self.world)]
        _together(distributed.all_gather, tensors, tensor)
        return tensors

    def require_same(self, what: str, value: Any) -> None:
        """Makes sure that all ranks have the same value.

        Raises:
            RanksDiffer: On every rank.
        """
        if self.world > 1 and self.any(value != self.broadcast(value)):
            raise RanksDiffer(f"{what} differs between ranks: this is rank {self.rank}'s: {value}")

    def barrier(self) -> None:
        """Waits for all ranks."""
        self.any(False)


ALONE = Ranks()


@contextmanager
def lost_ranks() -> Iterator[None]:
    """Inside, errors of collectives that torch makes by itself are RankLost, as those of `Ranks` are.

    Gloo's have no type of their own, but its name in them.
    """
    try:
        yield
    except RuntimeError as error:
        from torch.distributed import DistError

        if isinstance(error, RankLost | RanksDiffer):
            raise
        if isinstance(error, DistError) or "/gloo/" in str(error):
            raise RankLost(_LOST) from error
        raise


def require_processes(cell: Cell, world: int) -> None:
    """Makes sure that there are as many processes as share out the weights.

    Raises:
        UserError: There are not.
    """
    wanted = cell.training.sharded
    if wanted is not None and world != wanted:
        raise UserError(
            f"method {cell.method.name}: training.sharded is {wanted}, and each of its cells would "
            f"have {world} process{'es' if world > 1 else ''}",
            f"start it with --devices all --devices-per-cell {wanted} (on CPUs --devices cpu, on a Ray "
            f"cluster --gpus {wanted}) or with torchrun --nproc-per-node {wanted}; or leave "
            "training.sharded out, if the model fits one device",
        )


def require_shares(cell: Cell, world: int) -> None:
    """Makes sure that each process has at least one sequence of a batch, and as many passes.

    Raises:
        UserError: It has not.
    """
    if cell.method.trains and cell.training.batch_size < world:
        raise UserError(
            f"method {cell.method.name}: training.batch_size is {cell.training.batch_size}, which "
            f"{world} ranks cannot share",
            "raise it, or have fewer: --nproc-per-node of torchrun, or --devices-per-cell",
        )
    if cell.training.max_tokens is not None and world > 1:
        raise UserError(
            f"method {cell.method.name}: with training.max_tokens ranks would have unequal numbers of "
            "micro-batches",
            "give training.micro_batch_size instead",
        )


def _together(collective: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    try:
        collective(*arguments, **options)
    except RuntimeError as error:
        raise RankLost(_LOST) from error
