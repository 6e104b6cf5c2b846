"""Suites whose cells share out a model over processes: what does not go with it is refused, located."""

from __future__ import annotations

import pytest

from lwft_bench.models.loading import empty_model
from lwft_bench.models.sharded import why_not_shared_out
from lwft_bench.preflight.cells import check_cells
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.suites.loading import load_suite
from lwft_bench.training.ranks import require_processes
from tests.suites.writing import Problems, Write, replaced
from tests.training.tiny import LLAMA, WITH_EXPERTS

TRAINING = "{{steps: 4, batch_size: 4, sharded: 2{more}}}"


def suite_of(method: str = "fft", more: str = "") -> str:
    training = TRAINING.format(more=f", {more}" if more else "")
    return replaced(methods=f"[{method}]", baseline=method, training=training)


@pytest.mark.parametrize(
    ("method", "more", "expected"),
    [
        ("galore", "", "optimizer 'galore', whose state is opaque"),
        ("adamw-8bit", "", "optimizer 'adamw8bit', whose state is blockwise"),
        ("apollo", "", "optimizer 'apollo', whose state is opaque"),
        ("lora", "", "adapter 'lora'; expected adapter full"),
        ("qlora", "", "adapter 'qlora'; expected adapter full"),
        ("chunkft", "", "units that are chunks"),
        ("fft", "batching: packed", "batching: packed; expected padded or by_length"),
        ("fft", "max_tokens: 64", "expected micro_batch_size"),
        ("fft", "update: in_backward", "expected after_backward"),
        ("fft", "compile: true", "compile, which has not been tried; expected false"),
        ("fft", "batch_size: 1", "expected a batch_size of at least 2"),
    ],
)
def test_what_cannot_be_shared_out_is_refused_where_it_was_asked_for(
    problems: Problems, method: str, more: str, expected: str
) -> None:
    text = suite_of(method, more).replace(
        "batch_size: 4, ", "" if "batch_size" in more else "batch_size: 4, "
    )
    (found,) = problems(text)
    assert found.startswith("suite.yaml:")
    assert f"training.sharded: method {method}: " in found
    assert "weights that 2 processes share out do not go with" in found
    assert expected in found


@pytest.mark.parametrize("method", ["fft", "lisa", "grass", "ows-outlier", "spectrum", "frugal"])
def test_elementwise_methods_are_taken(write: Write, method: str) -> None:
    assert load_suite(write("suite.yaml", suite_of(method))).cells[0].training.sharded == 2


def test_one_process_is_not_several(problems: Problems) -> None:
    (found,) = problems(suite_of().replace("sharded: 2", "sharded: 1"))
    assert "training.sharded" in found and "2" in found


def test_it_is_part_of_a_cell_only_where_it_is_set(write: Write) -> None:
    shared = load_suite(write("suite.yaml", suite_of())).cells[0]
    plain = load_suite(write("suite.yaml", suite_of().replace(", sharded: 2", ""))).cells[0]
    assert "sharded" not in plain.training.as_recorded()
    assert shared.training.as_recorded()["sharded"] == 2


@pytest.mark.parametrize("world", [1, 3])
def test_another_number_of_processes_is_refused(write: Write, world: int) -> None:
    cell = load_suite(write("suite.yaml", suite_of())).cells[0]
    require_processes(cell, 2)
    with pytest.raises(
        UserError, match=f"training.sharded is 2, and each of its cells would have {world}"
    ):
        require_processes(cell, world)


def test_a_mixture_of_experts_is_refused_before_anything_runs(write: Write) -> None:
    cell = load_suite(write("suite.yaml", suite_of())).cells[0]
    config = WITH_EXPERTS["mixtral"] | {"vocab_size": 512}
    moe = cell.model_copy(
        update={"model": ModelConfig(name="moe", config=config, tokenizer="embedded")}
    )
    (problem,) = [p for p in check_cells([moe]).problems if "sharded" in p]
    assert "it is a mixture of experts" in problem


def test_layers_with_the_same_parameters_are_told() -> None:
    import torch

    model = empty_model(ModelConfig(name="x", config=LLAMA), torch.float32, "auto")
    assert why_not_shared_out(model) is None
    layers = model.model.layers
    layers[2].mlp.up_proj.weight = layers[0].mlp.up_proj.weight
    assert "in common" in str(why_not_shared_out(model))
    layers[3].mlp.up_proj.half()
    layers[2] = layers[1]
    assert why_not_shared_out(model) is not None
