"""Planned peaks beside those that others printed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lwft_bench.planning.plan import Planner, needed
from lwft_bench.planning.published import published_peaks
from lwft_bench.schema.suite import Published
from tests.planning.test_plan import ARCHITECTURES, FULL, small_cell
from tests.training.small_cards import small_cards


def test_planned_beside_published() -> None:
    cell = small_cell(small_cards()["badam"], ARCHITECTURES["llama"])
    found = needed(cell, FULL, Planner(num_samples=1).draws(cell), 0)
    rows = {
        "a": SimpleNamespace(plan=SimpleNamespace(cell=cell, needed=found)),
        "not planned": SimpleNamespace(plan=SimpleNamespace(cell=cell, needed=None)),
    }
    published = Published(source="x", peak_gb={"small": {"badam": 2.0}}, conditions="y")
    suite = SimpleNamespace(title="t", published=published)
    (table,) = published_peaks(SimpleNamespace(suite=suite), rows)  # type: ignore[arg-type]
    (line,) = table.values.to_dict("records")
    assert line["planned_gb"] == pytest.approx(found.peak_bytes / 1e9)
    assert line["ratio"] == pytest.approx(2.0 / (found.peak_bytes / 1e9))
    assert line["conditions"] == "4 x 256 tokens, bf16, no checkpointing"
    assert line["conditions_there"] == "y"
    without = SimpleNamespace(title="t", published=None)
    assert not list(published_peaks(SimpleNamespace(suite=without), rows))  # type: ignore


def test_conditions_of_one_model_and_of_all() -> None:
    assert Published(source="x", conditions="A100.").conditions_of("a") == "A100"
    by_model = Published(source="x", conditions={"a": "A100, 1 x 512"})
    assert by_model.conditions_of("a") == "A100, 1 x 512"
    assert by_model.conditions_of("b") == "not stated"
