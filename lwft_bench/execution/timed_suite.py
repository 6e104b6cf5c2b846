"""A suite's methods timed against each other, without its cells."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from lwft_bench.execution.company import require_name
from lwft_bench.execution.local_places import local_executor
from lwft_bench.execution.options import RunOptions
from lwft_bench.execution.pool import Server
from lwft_bench.execution.stopping import stop_requests
from lwft_bench.execution.timing import TimingStage
from lwft_bench.results.claims import Claims
from lwft_bench.results.store import RunStore
from lwft_bench.schema.errors import UserError
from lwft_bench.suites.loading import Suite


def time_suite(suite: Suite, out: Path, console: Console | None = None) -> bool:
    """Times the suite's methods anew, and notes it in the directory, of a run or not.

    Where the suite tunes, methods are timed with the first values of their grids.

    Returns:
        Whether it came to its end.

    Raises:
        UserError: The suite asks for no pairs, the directory is another suite's or used by a runner, or
            a model or data cannot be read.
    """
    console = console or Console()
    if not suite.timing.pairs:
        raise UserError("timing.pairs is 0: there is nothing to time", "set it, or give --pairs")
    store, options = RunStore(out), RunOptions()
    require_name(store, suite.name)
    cells = suite.all_cells
    if all(cell.training.sharded for cell in cells if cell.method.trains):
        raise UserError(
            "training.sharded: methods are timed by turns in one process, and these cells need several",
            "leave it out for a model that fits one device",
        )
    claims = Claims(out, options.lease_seconds)
    with claims.beating(), stop_requests() as stops:
        if claims.others():
            raise UserError(
                f"{out}: a run is going on here, beside which nothing can be timed",
                "wait for its end: it times the methods itself",
            )
        stage = TimingStage(
            store,
            suite.timing,
            lambda: local_executor(Server(options.preload), cells, options)[0],
            options,
            lambda: not stops.count,
            lambda text: console.print(Text(text), soft_wrap=True),
        )
        stage.run(cells, {cell.id: suite.identity(cell) for cell in cells}, again=True)
        return not stops.count
