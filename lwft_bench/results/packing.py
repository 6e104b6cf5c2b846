"""A finished run made small enough for a repository, without the texts of its benchmarks.

    suite.yaml, suite.json                 as they were
    correctness.csv                        which items each cell has right
    cells/<cell id>/*.json                 as they were
    cells/<cell id>/steps.jsonl.gz, ...    the rows, compressed

Everything that reads a run directory reads a packed one too, and makes the same tables of it. Trials
keep their results alone: nothing else of them is reported.
"""

from __future__ import annotations

import gzip
from pathlib import Path

from lwft_bench.results.atomic import make_folder, replace_file, require_empty, write_text_atomic
from lwft_bench.results.correctness import write_correctness
from lwft_bench.results.rows import PACKED
from lwft_bench.results.store import RESULT, SELECTIONS, STEPS, RunStore
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.regular_files import read_record

_RECORDS = (RESULT, "config.json", "identity.json")


def pack_run(directory: Path, out: Path) -> int:
    """Writes a finished run's results compactly; returns their size in bytes.

    Args:
        directory: The run's.
        out: A folder that is empty or does not exist.

    Raises:
        UserError: It is no run directory, a cell of it has no result, or `out` has something in it.
    """
    store = RunStore(directory)
    suite = store.read_suite()
    require_empty(out)
    cells, trials = [c.id for c in suite.cells], [c.id for c in suite.trials]
    if missing := [name for name in cells if not store.has_result(name)]:
        names = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise UserError(
            f"{directory}: {len(missing)} of {len(cells)} cells have no result: {names}",
            "lwft-bench run SUITE goes on with it",
        )
    samples = [(name, store.rows(name).samples) for name in cells]
    make_folder(out)
    _copy(directory, out, ("suite.yaml", "suite.json"))
    for name in [*cells, *(name for name in trials if store.has_result(name))]:
        source, target = store.cell_folder(name), RunStore(out).cell_folder(name)
        target.mkdir(parents=True)
        _copy(source, target, _RECORDS)
    for name in cells:
        for rows in (STEPS, SELECTIONS):
            if (source := store.cell_folder(name) / rows).exists():
                _compress(source, RunStore(out).cell_folder(name) / (rows + PACKED))
    write_correctness(out, samples)
    return sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


def _copy(source: Path, target: Path, names: tuple[str, ...]) -> None:
    for name in names:
        if (source / name).exists():
            write_text_atomic(target / name, read_record(source / name))


def _compress(source: Path, target: Path) -> None:
    """To the same bytes each time."""
    content = gzip.compress(read_record(source).encode(), mtime=0)
    replace_file(target, content, target.with_name(f".{target.name}.partial"), sync=False)
