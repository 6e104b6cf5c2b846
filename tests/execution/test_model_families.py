"""Models of today, tiny and random: a whole suite to its report, in both precisions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lwft_bench.api import run

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks" / "models"))

from tiny_configs import tiny_config  # noqa: E402

FAMILIES = (
    "mixtral",
    "qwen3_moe",
    "qwen3_next",
    "gpt_oss",
    "deepseek_v3",
    "jamba",
    "nemotron_h",
    "granitemoehybrid",
    "falcon_h1",
    "gemma3n_text",
    "llama4_text",
    "ernie4_5_moe",
)
VOCABULARY = 512
"""The embedded tokenizer's, and some."""


def suite_of(family: str) -> dict[str, Any]:
    config = tiny_config(family)
    for key in config:
        if key.startswith(("vocab_size", "max_position")):
            config[key] = VOCABULARY
    return {
        "name": family,
        "models": [{"name": family, "config": config, "tokenizer": "embedded"}],
        "methods": ["base", "fft", "lisa", "grass", "lora"],
        "tasks": [
            {
                "name": "arith",
                "data": "generated-arithmetic",
                "train_examples": 32,
                "validation_examples": 4,
                "benchmarks": ["add-sub"],
                "items_per_benchmark": 3,
            }
        ],
        "seeds": [0],
        "training": {"steps": 4, "batch_size": 4, "lr": 1.0e-2, "max_length": 96},
        "evaluation": {"max_new_tokens": 4},
        "overrides": [
            {"method": ["lisa", "grass"], "set": {"strategy.period": 2}},
            {"method": "grass", "set": {"strategy.probing_steps": 2}},
        ],
        "ablate": {"training.precision": ["float32", "bf16"]},
    }


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", FAMILIES)
def test_whole_suite_to_a_report(family: str, tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(yaml.safe_dump(suite_of(family)))
    frames = run(file, tmp_path / "run")
    cells = frames.cells
    assert len(cells) >= 9 and set(cells["status"]) == {"done"}, cells[["id", "status"]]
    report = (tmp_path / "run" / "report.md").read_text()
    assert "adapter reach" in report or "adapter.reach" in report
