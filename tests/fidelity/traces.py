"""A short seeded run of every shipped method: what it selected, and the losses it had."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from lwft_bench.schema.method import MethodConfig
from tests.training.tiny import make_run, training

GOLDEN = Path(__file__).parent / "golden"
STEPS = 11
"""Two refreshes and three steps."""

DIGITS = 6


def golden_file(name: str) -> Path:
    return GOLDEN / f"{name}.json"


def trace(card: MethodConfig) -> dict[str, Any]:
    """A run over a random four-layer Llama, float32, on one CPU thread."""
    config = training(steps=STEPS, **card.training)
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder), card, config)
        run.trainer.run()
    trace = run.trainer.trace
    return {
        "selections": [[row.step, list(row.units)] for row in trace.selections],
        "losses": [round(row.loss, DIGITS) for row in trace.steps],
    }


def write(name: str, trace: dict[str, Any]) -> None:
    """One line a key, so that a change is seen where it is."""
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in trace.items())
    golden_file(name).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def read(name: str) -> dict[str, Any]:
    return json.loads(golden_file(name).read_text(encoding="utf-8"))
