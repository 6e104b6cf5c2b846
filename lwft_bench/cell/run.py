"""One cell from its configuration to its files: load, train, measure, evaluate, save, write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lwft_bench.cell.loading import Loaded, load
from lwft_bench.cell.measuring import measure
from lwft_bench.cell.phases import PhaseClock
from lwft_bench.cell.provenance import now, provenance
from lwft_bench.cell.restoring import restore
from lwft_bench.cell.same import require_same
from lwft_bench.cell.scoring import score, score_or_reuse
from lwft_bench.cell.shares import save_weights, share
from lwft_bench.cell.training import train
from lwft_bench.cell.writing import write, write_scores, write_trace
from lwft_bench.evaluation.harness import require_engine
from lwft_bench.models.digests import weights_digest
from lwft_bench.plugins.files import load_plugin
from lwft_bench.results.store import TRAINED
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.events import Emit, PhaseBegan
from lwft_bench.training.ranks import ALONE, Ranks, lost_ranks, require_processes


@lost_ranks()
def run_cell(
    cell: Cell,
    folder: Path,
    emit: Emit,
    should_stop: Callable[[], bool],
    *,
    save: bool = False,
    ranks: Ranks = ALONE,
    reuse: bool = True,
) -> None:
    """Runs a cell in its work folder and writes its files there, `result.json` last.

    Goes on from the folder's checkpoint, if any. Raises Interrupted after writing one, once
    should_stop() is true. Over several ranks all train, and the first alone evaluates and writes; where
    they share out the weights all evaluate.
    A cell that is only to be scored again gets its kept weights instead of training. Without `reuse`
    it takes no other cell's scores.
    """
    started, clock = now(), PhaseClock(emit)
    emit = clock.emit
    is_trained = _begin(cell, folder, ranks)
    shared = cell.training.sharded is not None and ranks.world > 1
    if ranks.rank > 0 and not shared and (is_trained or not cell.method.trains):
        return
    if cell.method.trains and not is_trained:
        require_processes(cell, ranks.world)
    loaded = load(cell)
    if is_trained:
        return _score_again(loaded, folder, emit, ranks)
    if cell.method.trains and loaded.items and ranks.rank == 0:
        is_new = cell.model.config is not None
        require_engine(loaded.model, loaded.tokenizer, cell.evaluation, is_new)
    share(loaded, ranks)
    trained = train(loaded, folder, emit, should_stop, ranks) if cell.method.trains else None
    if ranks.rank > 0 and not shared:
        return
    measured = scored = None
    if trained is not None and ranks.rank == 0:
        emit(PhaseBegan("plan"))
        measured = measure(loaded, trained)
        write_trace(folder, measured)
    weights = weights_digest(loaded.adapter.tensors(loaded.model))
    if not cell.trial:
        emit(PhaseBegan("evaluate"))
        scored = score_or_reuse(loaded, folder, emit, weights, ranks, reuse=reuse)
    if save and not cell.trial:
        emit(PhaseBegan("save"))
        save_weights(loaded, folder, ranks)
    if ranks.rank == 0:
        made_with = provenance(started) | {"ranks": ranks.world}
        seconds = clock.seconds()
        if scored is not None and not scored.is_own:  # nothing was evaluated: answers were read
            seconds["load"] += seconds.pop("evaluate")
        write(folder, loaded, measured, scored, made_with, seconds, weights)


def _begin(cell: Cell, folder: Path, ranks: Ranks) -> bool:
    """Makes the process one of this cell's; tells whether it is trained already."""
    for plugin in cell.plugins:
        load_plugin(plugin)
    if ranks.rank == 0:
        require_same(cell, folder)
    return bool(ranks.broadcast((folder / TRAINED).exists()))


def _score_again(loaded: Loaded, folder: Path, emit: Emit, ranks: Ranks) -> None:
    """The kept weights instead of training. One process alone can do it if the model fits."""
    started = now()
    earlier = restore(loaded, folder)
    share(loaded, ranks)
    emit(PhaseBegan("evaluate"))
    scored = score(loaded, emit, ranks)
    if ranks.rank == 0:
        write_scores(folder, loaded, earlier, scored, provenance(started))
