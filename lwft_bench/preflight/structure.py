"""A cell's model put together without weights: whether that works, and what it has room for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peft import PeftModel
from torch import nn

from lwft_bench.adapters.base import Adapter
from lwft_bench.adapters.fused_experts import fused_experts
from lwft_bench.adapters.reach import adapter_reach, unquantised
from lwft_bench.evaluation.converted import INSTEAD, why_not_converted
from lwft_bench.models.parts import find_parts
from lwft_bench.models.sharded import why_not_shared_out
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError
from lwft_bench.state.precision import PRECISIONS
from lwft_bench.training.adapted import choose_device, empty_adapted_model
from lwft_bench.training.groups import make_groups
from lwft_bench.training.kernels import require_kernels
from lwft_bench.training.loss import router_loss_weight
from lwft_bench.training.packed_attention import (
    attend_by_sequence,
    require_exchanged,
    require_no_balance,
)


@dataclass(frozen=True, slots=True)
class Structure:
    """What texts must keep to. config: transformers' own, of the text model.

    position_table: rows of the smallest table of learnt positions; None where positions are computed.
    trained_length: tokens that the config speaks of, None where it does not. reach: the share of the
    layers' weights that the adapter trains or adapts. num_fused: tensors of fused experts.
    """

    config: Any
    num_embeddings: int
    num_layers: int | None
    position_table: int | None
    trained_length: int | None
    reach: float
    num_fused: int


def structure_of(cell: Cell) -> Structure:
    """Raises:
    UserError: the model's config cannot be read, it lacks the attention that the cell asks for,
        the adapter finds none of its targets, a unit has nothing to train, its kernels need what is
        not here, the engine cannot take the model, or it cannot be shared out as the cell asks.
    """
    require_kernels(cell.training)
    adapter, model = empty_adapted_model(cell)
    if cell.training.sharded and (problem := why_not_shared_out(model)):
        raise UserError(
            f"training.sharded: the model cannot be shared out over processes: {problem}",
            "Leave training.sharded out: then each process holds the whole model.",
        )
    if cell.method.trains and cell.training.batching == "packed":
        attend_by_sequence(model)
        require_exchanged(model)
        require_no_balance(router_loss_weight(model, cell.training.router_loss))
    if cell.evaluation.engine != "transformers":
        _require_engine(cell, model, adapter)
    if cell.method.trains:
        make_groups(model, find_parts(model), cell.method, adapter)
    inner: Any = model
    if isinstance(model, PeftModel):
        inner = model.get_base_model()
    embeddings = inner.get_input_embeddings()
    text = inner.config.get_text_config()
    trained = getattr(text, "max_position_embeddings", None)
    tables = [
        rows if trained is None else min(rows, trained)
        for name, module in inner.named_modules()
        if isinstance(module, nn.Embedding) and module is not embeddings
        if _of_positions(name) and (rows := module.num_embeddings)
    ]
    return Structure(
        inner.config,
        embeddings.weight.shape[0],
        getattr(text, "num_hidden_layers", None),
        min(tables, default=None),
        trained,
        adapter_reach(model, adapter),
        len(fused_experts(model)),
    )


def _require_engine(cell: Cell, model: nn.Module, adapter: Adapter) -> None:
    dtype = PRECISIONS[cell.training.precision].weight
    problem = why_not_converted(model, dtype, choose_device(cell.training.device))
    if unquantised(model, adapter) is not None:
        problem = f"adapter {cell.method.adapter.name!r} quantises weights, which it does not take"
    if cell.training.sharded:
        problem = "it answers with the whole model, which training.sharded shares out"
    if problem:
        raise UserError(f"evaluation.engine: {cell.evaluation.engine}: {problem}", INSTEAD)


def _of_positions(name: str) -> bool:
    """Whether a table's name says that it is indexed by position, in whatever family."""
    last = name.rpartition(".")[2]
    return "position" in last or last in ("wpe", "pos_emb", "pos_embed")
