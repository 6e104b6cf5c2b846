import random
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lwft_bench.planning.cost import (
    CellCost,
    Throughputs,
    cost_as_json,
    cost_as_text,
    cost_of,
    parse_throughputs,
    shared_out,
)
from lwft_bench.results.timing import TIMING, write_timing
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.timing import TimedCell, TimedSet, TimingRow


def planned(*cells: tuple[str, int, int]) -> Any:
    """A plan of cells of (method, steps, tokens of a batch)."""
    rows = []
    for number, (method, steps, tokens) in enumerate(cells):
        cell = SimpleNamespace(
            id=f"{method}-{number}",
            model=SimpleNamespace(name="tiny"),
            method=SimpleNamespace(name=method),
            training=SimpleNamespace(steps=steps, sharded=None),
        )
        batch = SimpleNamespace(tokens=tokens)
        rows.append(SimpleNamespace(plan=SimpleNamespace(cell=cell, batch=batch)))
    return SimpleNamespace(rows=rows)


def test_hours_are_tokens_by_throughput() -> None:
    plan = planned(("fft", 3600, 100), ("lora", 3600, 100), ("odd", 1, 1))
    cost = cost_of(plan, Throughputs({"fft": 100.0, "lora": 200.0}), "h100", 2)
    assert [cell.hours for cell in cost.cells] == [1.0, 0.5, None]
    assert (cost.device_hours, cost.hours, cost.unknown) == (1.5, 1.0, ["odd"])
    assert cost_of(plan, Throughputs({"": 100.0}), "h100", 1).hours == pytest.approx(
        2.0 + 1 / 360_000
    )
    text = cost_as_text(cost)
    assert "What it costs on h100" in text
    assert "- fft: 1 cell, 360,000 tokens, 1.0 h" in text
    assert "On 2 devices, longest first: 1.0 h." in text
    assert "Cells by device: 1 cell in 1.0 h; 1 cell in 30.0 min." in text
    assert "throughput is not known: odd" in text
    assert "at the throughput that was stated" in text
    assert cost_as_json(cost)["by_device"] == [["fft-0"], ["lora-1"]]


def test_longest_first_is_within_a_third_of_the_best() -> None:
    draw = random.Random(0)
    for _ in range(30):
        hours = [draw.choice([1.0, 2.0, 3.0, 5.0, 8.0]) for _ in range(6)]
        cells = [CellCost(str(number), "m", 1, one) for number, one in enumerate(hours)]
        found = shared_out(cells, 3)
        assert sorted(cell.cell_id for some in found for cell in some) == list("012345")
        length = max(sum(cell.hours or 0 for cell in some) for some in found)
        best = min(
            max(sum(h for h, at in zip(hours, places, strict=True) if at == n) for n in range(3))
            for places in product(range(3), repeat=6)
        )
        assert best <= length <= best * 4 / 3


def test_throughputs_are_read() -> None:
    assert parse_throughputs("6000").by_method == {"": 6000.0}
    assert parse_throughputs("fft=5200, lora=6.1e3,100").by_method == {
        "fft": 5200.0,
        "lora": 6100.0,
        "": 100.0,
    }


def timed_row(cell: str, seconds: float, padded: int) -> TimingRow:
    values = dict.fromkeys(TimingRow.model_fields, 1) | {"cell": cell, "seconds": seconds}
    return TimingRow(**values | {"padded_tokens": padded})


def test_throughputs_are_those_that_a_run_has_measured(tmp_path: Path) -> None:
    cells = tuple(
        TimedCell(cell=f"tiny--{name}--task--seed0", method=name, digest="", selections="one")
        for name in ("fft", "lora")
    )
    timed = TimedSet(model="tiny", task="task", cells=cells, device="an H100", threads=1)
    rows = [
        timed_row(cells[0].cell, 1.0, 100),
        timed_row(cells[0].cell, 3.0, 100),
        timed_row(cells[1].cell, 1.0, 200),
    ]
    with pytest.raises(UserError, match="no methods were timed there") as raised:
        parse_throughputs(str(tmp_path))
    assert raised.value.hint == "`lwft-bench time SUITE` times them"
    write_timing(tmp_path, (2, 1), [timed], rows)
    for path in (tmp_path, tmp_path / TIMING):
        found = parse_throughputs(str(path))
        assert found.by_method == {"tiny fft": 50.0, "tiny lora": 200.0}
    cost = cost_of(planned(("fft", 3600, 50), ("odd", 1, 1)), found, None, 1)
    assert [cell.hours for cell in cost.cells] == [1.0, None]
    text = cost_as_text(cost)
    assert "What it costs on an H100:" in text
    assert f"at the throughput measured in {tmp_path}" in text


@pytest.mark.parametrize("text", ["", "fast", "0", "-1", "fft=", "inf", "nan", "1,,2"])
def test_what_is_no_throughput_is_told(text: str) -> None:
    with pytest.raises(UserError, match="expected a number such as 6000"):
        parse_throughputs(text)
