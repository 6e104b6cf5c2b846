"""Run directories with made-up numbers, for tests of the report only.

Everything is drawn from seeds; no number here was measured.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lwft_bench.schema.cell import Cell, EvaluationConfig, ModelConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.result import (
    SCHEMA_VERSION,
    CellResult,
    Check,
    Engagement,
    Failure,
    Memory,
    Score,
    Throughput,
    Training,
)
from lwft_bench.schema.run import CandidateRecord, SuiteCell, SuiteRecord, TuningRecord
from lwft_bench.schema.suite import Published

BENCHMARKS = ("multi-step", "grade-school", "add-sub", "algebra", "single-equation", "varied")
NUM_LAYERS = 8
MIB = 2**20


@dataclass
class Synthetic:
    """What a made-up method is like: accuracy is the mean over benchmarks, before noise."""

    name: str
    accuracy: float
    peak_bytes: int = 40 * MIB
    tokens_per_second: float = 6000.0
    num_active: int | None = None
    """Units selected in each period; None: all, once."""
    probabilities: bool = False
    ablation: dict[str, Any] = field(default_factory=dict)
    trains: bool = True


class RunMaker:
    """Writes run directories in the store's format.

    Attributes:
        folder: where the run goes.
        num_items: items a benchmark.
        published: what the suite has of a paper's numbers.
    """

    method = Synthetic
    METHODS = (
        Synthetic("base", 0.12, trains=False),
        Synthetic("fft", 0.55, 51 * MIB, 5200.0),
        Synthetic("lora", 0.13, 22 * MIB, 6100.0),
        Synthetic("lisa", 0.42, 24 * MIB, 7600.0, num_active=2),
        Synthetic("grass", 0.54, 23 * MIB, 7100.0, 2, True, {"strategy.temperature": 0.1}),
        Synthetic("grass", 0.56, 23 * MIB, 7050.0, 2, True, {"strategy.temperature": 1.0}),
    )

    def __init__(self, folder: Path, num_items: int = 100, steps: int = 60) -> None:
        self.folder = folder
        self.num_items = num_items
        self.steps = steps
        self.planned: list[SuiteCell] = []
        self.trials: list[SuiteCell] = []
        self.tunings: list[TuningRecord] = []
        self.published: Published | None = None

    def cell(self, method: Synthetic, seed: int, model: str = "tiny", **training: Any) -> Cell:
        name = f"{model}--{method.name}--arith"
        if method.trains:
            name += f"--seed{seed}"
        for key, value in method.ablation.items():
            name += f"--{key.rpartition('.')[2]}={value}"
        return Cell(
            id=name,
            model=ModelConfig(name=model, path=model),
            method=MethodConfig(
                name=method.name, title=method.name, citation="none", trains=method.trains
            ),
            task=TaskConfig(name="arith", data="none", train_examples=1, benchmarks=BENCHMARKS),
            training=TrainingConfig(steps=self.steps, **training),
            evaluation=EvaluationConfig(),
            seed=seed,
            ablation=method.ablation,
        )

    def plan(self, cell: Cell) -> SuiteCell:
        planned = SuiteCell(
            id=cell.id,
            model=cell.model.name,
            method=cell.method.name,
            task=cell.task.name,
            seed=cell.seed,
            ablation=cell.ablation,
            identity=_identity(cell),
            identity_components=_components(cell),
        )
        self.planned.append(planned)
        return planned

    def add(
        self,
        method: Synthetic,
        seed: int,
        *,
        model: str = "tiny",
        training: dict[str, Any] | None = None,
        provenance: dict[str, Any] | None = None,
        confounds: dict[str, Any] | None = None,
        **result: Any,
    ) -> Path:
        """A done cell with all its files; `result` replaces fields of result.json."""
        cell = self.cell(method, seed, model, **(training or {}))
        self.plan(cell)
        rng = np.random.default_rng([seed, *map(ord, cell.id.replace(f"seed{seed}", ""))])
        samples = self._samples(method.accuracy, rng)
        scores = [_score(name, samples) for name in BENCHMARKS]
        fields: dict[str, Any] = {
            "status": "done",
            "scores": scores,
            "average": float(np.mean([score.value for score in scores])),
            "provenance": _provenance(provenance or {}),
        }
        if method.trains:
            fields |= _measured(method, rng, self.steps, seed)
            fields["confounds"] = {
                "weights_dtype": "float32",
                "loss_on": "target",
                "adapter": "lora" if method.name == "lora" else "full",
                "always_train": ["embed", "head"] if method.num_active else "all",
            } | (confounds or {})
        folder = self.write(cell, **(fields | result))
        _write_rows(folder / "samples.jsonl", samples)
        if method.trains:
            _write_rows(folder / "steps.jsonl", _steps(method, rng, self.steps))
            _write_rows(folder / "selections.jsonl", _selections(method, rng, self.steps))
        return folder

    def fail(self, method: Synthetic, seed: int, status: str, error: str, **where: Any) -> Path:
        """A cell that ended without scores."""
        cell = self.cell(method, seed, **where)
        self.plan(cell)
        failure = Failure(phase="train", error=error, traceback="Traceback: ...")
        return self.write(cell, status=status, failure=failure, provenance=_provenance({}))

    def tune(
        self, method: Synthetic, losses: dict[float, float | None], chosen: float | None
    ) -> None:
        """Trials of learning rates with one seed; a loss of None: the trial diverged."""
        candidates = []
        for lr, loss in losses.items():
            final = self.cell(method, 100, lr=lr)
            name = f"{final.id}--tune-lr={lr}"
            cell = final.model_copy(update={"id": name, "trial": {"training.lr": lr}})
            self.trials.append(self.plan(cell))
            self.planned.pop()
            candidates.append(CandidateRecord(values=cell.trial, trials=(name,)))
            if loss is None:
                failure = Failure(phase="train", error="Diverged: the loss is nan at step 4")
                self.write(cell, status="diverged", failure=failure, provenance=_provenance({}))
                continue
            fields = _measured(method, np.random.default_rng(0), self.steps, 100)
            training = fields["training"].model_copy(update={"validation_loss_after": loss})
            fields |= {"training": training, "provenance": _provenance({})}
            self.write(cell, status="done", **fields)
        self.tunings.append(
            TuningRecord(
                model="tiny",
                method=method.name,
                task="arith",
                candidates=tuple(candidates),
                cells=(self.cell(method, 0).id,),
                ended=True,
                chosen=None if chosen is None else {"training.lr": chosen},
            )
        )

    def write(self, cell: Cell, **fields: Any) -> Path:
        folder = self.folder / "cells" / cell.id
        folder.mkdir(parents=True)
        result = CellResult(
            cell=cell.id,
            model=cell.model.name,
            method=cell.method.name,
            task=cell.task.name,
            seed=cell.seed,
            ablation=cell.ablation,
            **({"identity": _identity(cell), "identity_components": _components(cell)} | fields),
        )
        (folder / "config.json").write_text(cell.model_dump_json())
        (folder / "result.json").write_text(result.model_dump_json())
        return folder

    def finish(self, baseline: str | None = "fft") -> Path:
        """Writes suite.json over what was planned."""
        self.folder.mkdir(parents=True, exist_ok=True)
        suite = SuiteRecord(
            schema_version=SCHEMA_VERSION,
            name="synthetic",
            title="Made-up numbers",
            description="For tests of the report.",
            baseline=baseline,
            published=self.published,
            cells=tuple(self.planned),
            trials=tuple(self.trials),
            tunings=tuple(self.tunings),
        )
        (self.folder / "suite.json").write_text(suite.model_dump_json())
        return self.folder

    def fill(self, seeds: tuple[int, ...] = (0, 1, 2)) -> Path:
        """Six rows with one failed cell (lora, seed 2) and grass ablated over two values."""
        for method in self.METHODS:
            for seed in seeds if method.trains else seeds[:1]:
                if method.name == "lora" and seed == 2:
                    self.fail(method, seed, "out_of_memory", "OutOfMemoryError: 3 GiB & more | a_b")
                else:
                    self.add(method, seed)
        return self.finish()

    def _samples(self, accuracy: float, rng: np.random.Generator) -> list[dict[str, Any]]:
        """Items differ in difficulty, alike for all methods; a run has luck of its own."""
        difficulty = np.random.default_rng(7).normal(0, 0.25, (len(BENCHMARKS), self.num_items))
        luck = rng.normal(0, 0.01)
        samples = []
        for number, benchmark in enumerate(BENCHMARKS):
            level = accuracy + luck + 0.06 * (number - 2.5) * min(accuracy, 0.5)
            correct = rng.random(self.num_items) < level + difficulty[number] * accuracy
            samples += [
                {
                    "benchmark": benchmark,
                    "id": f"{benchmark}-{item}",
                    "prompt": "Question: how many?",
                    "response": "3",
                    "prediction": "3",
                    "answer": "3",
                    "correct": bool(right),
                }
                for item, right in enumerate(correct)
            ]
        return samples


def _identity(cell: Cell) -> str:
    return hashlib.sha256(cell.id.encode()).hexdigest()


def _components(cell: Cell) -> dict[str, str]:
    return {
        "config": f"config of {cell.id}",
        "strategy": f"strategy of {cell.method.name}",
        "data": "d" * 64,
        "model": "e" * 64,
        "protocol": "1",
    }


def _provenance(changes: dict[str, Any]) -> dict[str, Any]:
    return {
        "versions": {"python": "3.11.9", "torch": "2.13.0"},
        "commit": {"commit": "0" * 40, "dirty": False},
        "cpu": "Made-up CPU",
        "cores": 2,
        "memory_bytes": 8 * 2**30,
        "accelerator": None,
        "command": "lwft-bench run synthetic.yaml",
        "started": "2025-01-01T00:00:00+00:00",
        "finished": "2025-01-01T00:01:00+00:00",
    } | changes


def _score(benchmark: str, samples: list[dict[str, Any]]) -> Score:
    correct = [row["correct"] for row in samples if row["benchmark"] == benchmark]
    share, number = float(np.mean(correct)), len(correct)
    stderr = float(np.sqrt(share * (1 - share) / max(number - 1, 1)))
    return Score(
        benchmark=benchmark,
        version="1",
        metric="exact_match",
        value=share,
        stderr=stderr,
        num_items=number,
    )


def _measured(method: Synthetic, rng: np.random.Generator, steps: int, seed: int) -> dict[str, Any]:
    peak = method.peak_bytes
    speed = method.tokens_per_second * (1 + rng.normal(0, 0.02))
    active = method.num_active or NUM_LAYERS
    return {
        "memory": Memory(
            method="accounted",
            peak_bytes=peak,
            phases={"forward": peak * 3 // 4, "backward": peak, "update": peak // 2},
            components={"weights": peak // 2, "activations": peak // 4, "rest": peak // 4},
            component_peaks={"weights": peak // 2, "activations": peak // 3},
            host_peak_bytes=700 * MIB,
        ),
        "throughput": Throughput(
            target_tokens_per_second=speed,
            tokens_per_second=3 * speed,
            step_seconds_median=0.2,
            step_seconds_iqr=(0.19, 0.22),
            num_steps_timed=steps - 5,
            probing_seconds=1.0,
            training_seconds=20.0,
            evaluation_seconds=9.0,
            threads=2,
        ),
        "training": Training(
            optimizer_steps=steps,
            probing_steps=10 if method.probabilities else 0,
            target_tokens=30_000 + seed,
            tokens=90_000,
            flops=3_210_000_000_000,
            trained_parameters=1_620_000,
            active_parameters_mean=200_000.0 * active,
            total_parameters=1_620_000,
            first_loss=2.5,
            final_loss=0.6,
            validation_loss_before=2.4,
            validation_loss_after=0.7,
            loss_jump_at_switch=0.01 if method.num_active else None,
            surviving_update_share=1.0,
        ),
        "engagement": Engagement(
            passed=True,
            checks=[
                Check(name="selection_changes", passed=True, detail="12 different selections"),
                Check(name="selected_change", passed=True, detail="all changed"),
            ],
        ),
        "weights_digest": "ab" * 32,
    }


def _steps(method: Synthetic, rng: np.random.Generator, steps: int) -> list[dict[str, Any]]:
    floor = 1.1 - method.accuracy
    rows = []
    for step in range(-10 if method.probabilities else 0, steps):
        loss = floor + 1.9 * np.exp(-max(step, 0) / (steps / 5)) + rng.normal(0, 0.08)
        row = {"step": step, "loss": float(loss), "lr": 1e-3, "tokens": 1500, "target_tokens": 500}
        row |= {"seconds": 0.2, "timed": step > 5, "period": max(step, 0) // 5}
        if (step + 1) % 15 == 0 and step > 0:
            row["validation_loss"] = float(loss + 0.1)
        rows.append(row)
    return rows


def _selections(method: Synthetic, rng: np.random.Generator, steps: int) -> list[dict[str, Any]]:
    units = [
        {"index": unit, "kind": "layer", "depth": unit, "num_parameters": 200_000}
        for unit in range(NUM_LAYERS)
    ]
    rows: list[dict[str, Any]] = [{"units": units, "probing_steps": 0}]
    if method.num_active is None:
        return [*rows, {"step": 0, "num_steps": steps, "units": list(range(NUM_LAYERS))}]
    weights = rng.random(NUM_LAYERS) + 0.3
    for step in range(0, steps, 5):
        weights = weights * np.exp(rng.normal(0, 0.15, NUM_LAYERS))
        probabilities = weights / weights.sum()
        drawn = rng.choice(NUM_LAYERS, method.num_active, replace=False, p=probabilities)
        row = {"step": step, "num_steps": 5, "units": sorted(int(unit) for unit in drawn)}
        if method.probabilities:
            row["probabilities"] = [float(share) for share in probabilities]
        rows.append(row)
    return rows


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def maker(tmp_path: Path) -> RunMaker:
    """An empty run directory to fill."""
    return RunMaker(tmp_path / "run")


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The full synthetic run; not to be changed by a test."""
    return RunMaker(tmp_path_factory.mktemp("reporting") / "run").fill()
