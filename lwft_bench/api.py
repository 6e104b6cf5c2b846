"""Running and planning from Python: what `lwft-bench run` and `lwft-bench plan` do, as functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lwft_bench.suites.loading import Changes, Suite, load_suite

if TYPE_CHECKING:
    import pandas as pd

    from lwft_bench.execution.options import RunOptions
    from lwft_bench.results.frames import RunFrames


def run(
    suite: Suite | str | Path,
    out: str | Path | None = None,
    *,
    changes: Changes | None = None,
    options: RunOptions | None = None,
) -> RunFrames:
    """Runs what is not done yet of a suite, writes its report and reads the results.

    It tells its progress on the terminal, as the command does. Call it from the main thread, and in a
    script under `if __name__ == "__main__":`, since cells run in processes of their own. A cell that
    fails is a row of `cells` whose `status` says how; nothing is raised for it.

    Args:
        suite: What `load_suite` gave; or the path of a suite's file, or the name of a shipped one.
        out: The run directory; None: `reports/<name of the suite>`.
        changes: What is changed about a suite given by path or name.
        options: How many cells run at once, and what else does not change results.

    Raises:
        ConfigError: With all that is wrong in the suite, before anything runs.
        UserError: A model can only be planned, or the directory holds another suite's run.
        KeyboardInterrupt: It was interrupted; the same call goes on.
    """
    from lwft_bench.execution.conclusion import INTERRUPTED
    from lwft_bench.execution.runner import run_suite
    from lwft_bench.results.frames import read_run

    loaded = _loaded(suite, changes)
    loaded.require_runnable()
    directory = Path(out) if out is not None else Path("reports", loaded.name)
    if run_suite(loaded, directory, options) == INTERRUPTED:
        raise KeyboardInterrupt
    return read_run(directory)


def plan(
    suite: Suite | str | Path,
    budget: str | int | None = None,
    *,
    changes: Changes | None = None,
) -> pd.DataFrame:
    """Tells what every cell of a suite that trains will need, without a GPU or the model's weights.

    Args:
        suite: As of `run`.
        budget: Memory of the device: bytes, or a text such as "24GiB"; None: none is asked for.
        changes: As of `run`.

    Returns:
        One row a cell, with the columns of `lwft-bench plan --json`: `peak_bytes`, `fits`,
        `flops_per_step.mean` and so on. Bytes are bytes; what is missing is not known.

    Raises:
        ConfigError: With all that is wrong in the suite.
        UserError: The budget is no size, or a model's config cannot be found.
    """
    import pandas as pd

    from lwft_bench.planning.budget import parse_size
    from lwft_bench.planning.suite_plan import as_json, plan_suite

    num_bytes = parse_size(budget) if isinstance(budget, str) else budget
    planned = plan_suite(_loaded(suite, changes), num_bytes)
    return pd.json_normalize(as_json(planned)["cells"])


def _loaded(suite: Suite | str | Path, changes: Changes | None) -> Suite:
    if not isinstance(suite, Suite):
        return load_suite(str(suite), changes)
    if changes is not None:
        raise TypeError("changes are for a suite given by path or name: give them to load_suite")
    return suite
