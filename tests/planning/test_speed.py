"""What planning costs: seconds of one core's time after imports, and memory.

python -m pytest tests/planning/test_speed.py -m benchmark -s
"""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from lwft_bench.planning.plan import Planner
from lwft_bench.schema.cell import Cell
from lwft_bench.suites.architectures import read_architecture
from tests.planning.shapes import shaped_cell

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

METHODS = ("fft", "lora-r128", "dora", "lisa", "grass")
MODELS = ("tinyllama-1.1b", "gemma-2b", "llama-2-7b", "mistral-7b", "llama-2-13b")
HOST_BYTES = 2 * 2**30


def planned_cell(model: str, method: str, seed: int = 0) -> Cell:
    cell = shaped_cell(method, read_architecture(model).config, batch_size=4, max_length=512)
    training = cell.training.model_copy(update={"steps": 1000})
    return cell.model_copy(update={"training": training, "seed": seed, "id": f"{method}-{seed}"})


def seconds(planner: Planner, *cells: Cell) -> float:
    began = time.process_time()
    for cell in cells:
        assert planner.plan(cell).needed is not None
    return time.process_time() - began


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    for method in METHODS:
        Planner().plan(planned_cell("smollm2-135m", method))


@pytest.mark.parametrize("method", METHODS)
def test_a_7b_cell(method: str) -> None:
    """With all the draws that a plan runs."""
    taken = seconds(Planner(), planned_cell("llama-2-7b", method))
    print(f"{method}: {taken:.1f} s")
    assert taken <= 6


@pytest.mark.parametrize("method", METHODS)
def test_a_draw_of_a_70b_cell(method: str) -> None:
    taken = seconds(Planner(num_samples=0), planned_cell("llama-2-70b", method))
    print(f"{method}: {taken:.1f} s")
    assert taken <= 20


def test_200_cells_of_five_models() -> None:
    cells = [
        planned_cell(model, method, seed)
        for model in MODELS
        for method in METHODS
        for seed in range(8)
    ]
    taken = seconds(Planner(), *cells)
    print(f"{len(cells)} cells: {taken:.0f} s")
    assert taken <= 120


ONE_PROCESS = """
import resource
from lwft_bench.planning.plan import Planner
from tests.planning.test_speed import planned_cell
assert Planner().plan(planned_cell("llama-2-70b", "lisa")).needed
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_memory_of_planning_70b() -> None:
    """Of a process that does nothing else, with all draws and the state of all visited layers."""
    done = subprocess.run([sys.executable, "-c", ONE_PROCESS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    print(f"{int(done.stdout) / 2**30:.2f} GiB")
    assert int(done.stdout) < HOST_BYTES
