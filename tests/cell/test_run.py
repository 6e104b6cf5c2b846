"""A cell from its configuration to its files, with the embedded model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from lwft_bench.cell.run import run_cell
from lwft_bench.results.atomic import write_json_atomic
from lwft_bench.schema.cell import Cell, EvaluationConfig, ModelConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.result import CellResult
from lwft_bench.schema.run import CellRecord
from lwft_bench.schema.shipped import shipped
from lwft_bench.suites.identity import identify
from lwft_bench.training.errors import Diverged, Interrupted
from lwft_bench.training.loss import CausalLoss, DeviceBatch

GRASS = {"probing_steps": 2, "period": 2, "refresh": 4}


def cell(method: str, validation_examples: int = 4, **training: Any) -> Cell:
    card = MethodConfig(**yaml.safe_load(shipped("methods")[method].read_text()))
    if method.startswith("grass"):
        strategy = card.strategy.model_copy(update=GRASS)
        card = card.model_copy(update={"strategy": strategy})
    return Cell(
        id=f"embedded--{method}--arith--seed0",
        model=ModelConfig(name="embedded", path="embedded"),
        method=card,
        task=TaskConfig(
            name="arith",
            data="generated-arithmetic",
            train_examples=40,
            validation_examples=validation_examples,
            benchmarks=("add-sub", "algebra-choice"),
            items_per_benchmark=4,
        ),
        training=TrainingConfig(**({"steps": 6, "batch_size": 4, "lr": 1e-3} | training)),
        evaluation=EvaluationConfig(),
        seed=0,
    )


def run(folder: Path, method: str, stop: bool = False, **training: Any) -> CellResult:
    folder.mkdir(exist_ok=True)
    record = CellRecord(digest="0", components={}, threads=1)
    write_json_atomic(folder / "identity.json", record.model_dump(mode="json"))
    run_cell(cell(method, **training), folder, lambda event: None, lambda: stop)
    return CellResult.model_validate_json((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def grass(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CellResult]:
    folder = tmp_path_factory.mktemp("grass")
    return folder, run(folder, "grass")


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_result_has_what_reports_need(grass: tuple[Path, CellResult]) -> None:
    folder, result = grass
    assert result.status == "done"
    assert [score.benchmark for score in result.scores] == ["add-sub", "algebra-choice"]
    assert result.engagement and result.engagement.passed, result.engagement
    assert result.training and result.training.optimizer_steps == 6
    assert result.training.probing_steps == 2
    operations = result.training.operations
    assert operations and operations.uncounted == []
    assert operations.deviation == 0.0, "the planned longest batch, counted on fake tensors"
    by_purpose = operations.model_dump(exclude={"uncounted", "deviation"})
    assert sum(by_purpose.values()) == result.training.flops
    assert operations.useful > operations.probing > operations.padding > 0
    assert operations.measuring == operations.updates == operations.recomputation == 0
    assert result.memory and result.memory.method == "accounted"
    # Besides the parameters, the two buffers of the rotary embedding: 16 frequencies each.
    assert result.memory.components["weights"] == 4 * (result.training.total_parameters + 32)
    assert result.memory.offloaded_bytes > 0
    assert "optimizer_state" not in result.memory.component_peaks
    assert len(rows(folder / "samples.jsonl")) == 8
    steps = rows(folder / "steps.jsonl")
    assert [row["step"] for row in steps] == list(range(-2, 6))
    assert sum(row["flops"] for row in steps) == result.training.flops
    assert all(row["tokens"] < row["padded_tokens"] <= 4 * 256 for row in steps)
    header, *periods = rows(folder / "selections.jsonl")
    assert header["probing_steps"] == 2
    assert [row["step"] for row in periods] == [0, 2, 4]
    assert all(abs(sum(row["probabilities"]) - 1) < 1e-9 for row in periods)


def test_where_state_lives_changes_memory_and_no_weight(
    grass: tuple[Path, CellResult], tmp_path: Path
) -> None:
    offloaded, resident = grass[1], run(tmp_path, "grass-no-offload")
    assert resident.weights_digest == offloaded.weights_digest
    assert resident.memory and resident.memory.offloaded_bytes == 0
    assert resident.memory.component_peaks["optimizer_state"] > 0


def test_an_interrupted_cell_goes_on(grass: tuple[Path, CellResult], tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, "grass", stop=True)
    assert not (tmp_path / "result.json").exists()
    assert run(tmp_path, "grass").weights_digest == grass[1].weights_digest


def test_what_cannot_be_accounted_costs_its_figure_alone(
    grass: tuple[Path, CellResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("no fake kernel\nfor it")

    monkeypatch.setattr("lwft_bench.cell.measuring.dry_run", fails)
    result = run(tmp_path, "grass")
    assert result.status == "done" and result.scores == grass[1].scores
    assert result.weights_digest == grass[1].weights_digest
    assert result.memory is None and result.training and result.training.flops is None
    reason = "RuntimeError: no fake kernel for it"
    assert result.missing == {"operations": reason, "memory": reason}
    assert not any("flops" in row for row in rows(tmp_path / "steps.jsonl"))


def test_weights_that_the_last_update_ruined_have_no_score(tmp_path: Path) -> None:
    """Losses are computed before updates: none of them sees the last one."""
    with pytest.raises(Diverged, match="not finite after the last step"):
        run(tmp_path, "fft", steps=1, lr=1e39, validation_examples=0)


def test_a_validation_loss_that_is_no_number_ends_the_cell(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="validation loss is nan after 1 steps"):
        run(tmp_path, "fft", steps=1, lr=1e30)


def test_validation_computes_no_padding_where_training_does_not(tmp_path: Path) -> None:
    rows_of: dict[str, list[int]] = {"padded": [], "packed": []}

    def losses(batching: str) -> list[float | None]:
        def watch(loss: CausalLoss, batch: DeviceBatch) -> torch.Tensor:
            if not torch.is_grad_enabled():
                rows_of[batching].append(batch.input_ids.shape[0])
            return call(loss, batch)

        call = CausalLoss.__call__
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CausalLoss, "__call__", watch)
            result = run(tmp_path / batching, "fft", steps=1, lr=1e-9, batching=batching)
        assert result.training is not None
        return [result.training.validation_loss_before, result.training.validation_loss_after]

    assert losses("packed") == pytest.approx(losses("padded"), rel=1e-6)
    assert rows_of == {"padded": [4, 4], "packed": [1, 1]}


def test_a_checkpoint_with_a_nan_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lwft_bench.cell import loading

    adapted_model = loading.adapted_model

    def damaged(*arguments: Any) -> Any:
        adapter, model = adapted_model(*arguments)
        model.model.layers[1].mlp.up_proj.weight.data[3, 2] = float("nan")
        return adapter, model

    monkeypatch.setattr(loading, "adapted_model", damaged)
    with pytest.raises(UserError, match=r"NaN or infinity: model.layers.1.mlp.up_proj.weight"):
        run(tmp_path, "base")


def test_the_untrained_model_is_only_evaluated(tmp_path: Path) -> None:
    result = run(tmp_path, "base")
    assert result.training is None and result.memory is None
    assert result.average is not None and result.weights_digest


def test_what_a_method_takes_beside_its_steps_is_in_the_speed_from_end_to_end(
    grass: tuple[Path, CellResult],
) -> None:
    speed = grass[1].throughput
    assert speed and speed.end_to_end_target_tokens_per_second and speed.switching_seconds > 0
    training = [row for row in rows(grass[0] / "steps.jsonl") if row["step"] >= 0]
    seconds = speed.training_seconds + speed.probing_seconds + speed.switching_seconds
    assert speed.measuring_seconds == 0
    assert speed.end_to_end_tokens_per_second == pytest.approx(
        sum(row["tokens"] for row in training) / seconds
    )
    assert speed.end_to_end_target_tokens_per_second == pytest.approx(
        sum(row["target_tokens"] for row in training) / seconds
    )


def test_what_changed_since_the_run_began_does_not_run(tmp_path: Path) -> None:
    """Such as a plugin that was edited: the cell would be one thing and be called another."""
    this = cell("base")
    noted = dict(identify(this).components)
    record = CellRecord(digest="0", components=noted | {"strategy": "another"}, threads=1)
    write_json_atomic(tmp_path / "identity.json", record.model_dump(mode="json"))
    with pytest.raises(UserError, match="changed since the run began: strategy"):
        run_cell(this, tmp_path, lambda event: None, lambda: False)
