import os
import subprocess
import sys
from pathlib import Path

import probe_cells
import pytest

from lwft_bench.results.store import RunStore
from lwft_bench.schema.result import CellResult


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, list[CellResult]]:
    """What a run with the real server printed, its directory, and what its two cells found."""
    out = tmp_path_factory.mktemp("probed")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, probe_cells.__file__, str(out)]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment, timeout=120
    )
    return done.stdout, out, RunStore(out).results()


def test_the_parent_never_imports_what_cells_do(
    probed: tuple[str, Path, list[CellResult]],
) -> None:
    assert "heavy modules in the parent: []" in probed[0]


def test_cells_inherit_imports_and_start_at_once(
    probed: tuple[str, Path, list[CellResult]],
) -> None:
    _, out, results = probed
    for result in results:
        assert result.confounds["loaded"] == list(probe_cells.LIBRARIES)
    second = results[1]
    begun = (RunStore(out).cell_folder(second.cell) / "identity.json").stat().st_mtime
    assert second.confounds["at"] - begun < 2.0  # the imports alone take longer


def test_the_thread_count_is_set_after_the_fork(
    probed: tuple[str, Path, list[CellResult]],
) -> None:
    for result in probed[2]:
        assert result.confounds["one_thread"]
        assert result.confounds["threads"] == 3
        assert result.confounds["threads_started"] == 2
