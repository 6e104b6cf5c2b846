"""The share of updates that survives rounding, by precision and learning rate, as a markdown table.

`python benchmarks/surviving_updates.py [STEPS]`: full fine-tuning of the embedded model at a constant
learning rate, on the CPU. Counted in one step of ten, from the sixth on, while Adam's moments are warm.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from lwft_bench.cell.run import run_cell
from lwft_bench.results.atomic import write_json_atomic
from lwft_bench.schema.cell import Cell, EvaluationConfig, ModelConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.result import CellResult
from lwft_bench.schema.run import CellRecord
from lwft_bench.schema.shipped import shipped
from lwft_bench.suites.entries import read_card

RATES = (1e-6, 1e-5, 5e-5)
PRECISIONS = {
    "bf16": "bf16",
    "bf16-stochastic": "bf16, stochastic rounding",
    "float32": "float32",
}


def surviving_share(precision: str, lr: float, steps: int) -> float:
    """Of the weights that the optimizer wanted to move, the share whose stored value changed."""
    cell = Cell(
        id="cell",
        model=ModelConfig(name="embedded", path="embedded"),
        method=read_card(MethodConfig, shipped("methods")["fft"]).config,
        task=TaskConfig(
            name="arith",
            data="generated-arithmetic",
            train_examples=512,
            validation_examples=0,
            benchmarks=("add-sub",),
            items_per_benchmark=2,
        ),
        training=TrainingConfig(
            steps=steps, lr=lr, schedule="constant", precision=precision, device="cpu"
        ),
        evaluation=EvaluationConfig(),
        seed=0,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        record = CellRecord(digest="", components={}, threads=1)
        write_json_atomic(folder / "identity.json", record.model_dump(mode="json"))
        run_cell(cell, folder, lambda event: None, lambda: False)
        result = CellResult.model_validate_json((folder / "result.json").read_bytes())
    assert result.training is not None and result.training.surviving_update_share is not None
    return result.training.surviving_update_share


def main(steps: int = 20) -> None:
    print("| precision | " + " | ".join(f"lr {rate:g}" for rate in RATES) + " |")
    print("|---|" + "---:|" * len(RATES))
    for precision, label in PRECISIONS.items():
        shares = [surviving_share(precision, rate, steps) for rate in RATES]
        print(f"| {label} | " + " | ".join(f"{100 * share:.1f} %" for share in shares) + " |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
