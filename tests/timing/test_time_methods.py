"""Methods of the smoke suite, timed in this process."""

from collections import defaultdict

import pytest
import torch

from lwft_bench.schema.errors import UserError
from lwft_bench.schema.timing import TimingConfig
from lwft_bench.suites.loading import Changes, load_suite
from lwft_bench.timing import run as run_module
from lwft_bench.timing.job import TimingJob
from lwft_bench.timing.run import time_methods
from lwft_bench.timing.turns import Chosen

PAIRS, STEPS = 3, 2


@pytest.fixture(scope="module")
def job() -> TimingJob:
    changes = Changes(
        settings=("training.batch_size=2", "task.train_examples=32", "training.device=cpu"),
        methods=("fft", "lora", "lisa"),
    )
    cells = tuple(load_suite("smoke", changes).cells)
    recorded = {cells[2].id: [(Chosen((0, 4)), 4), (Chosen((5, 7)), 4)]}
    timing = TimingConfig(pairs=PAIRS, steps=STEPS)
    return TimingJob(cells, {cell.id: "d" for cell in cells}, recorded, timing, 1)


def test_methods_have_turns_on_the_same_batches_and_their_own_selections(job: TimingJob) -> None:
    told: list[object] = []
    torch.set_num_threads(1)
    timed, rows = time_methods(job, told.append)
    fft, lora, lisa = (cell.id for cell in job.cells)
    assert [cell.selections for cell in timed.cells] == ["one", "one", "recorded"]
    assert len(rows) == PAIRS * STEPS * 3
    assert told, "signs of life"
    batches = defaultdict(set)
    for row in rows:
        batches[row.pair, row.step].add((row.tokens, row.target_tokens, row.padded_tokens))
        assert row.seconds > 0 and row.tokens <= row.padded_tokens
    assert all(len(seen) == 1 for seen in batches.values())
    assert len({next(iter(seen)) for seen in batches.values()}) > 1
    rounds = [[row.cell for row in rows if row.pair == p and row.step == 0] for p in range(PAIRS)]
    assert rounds == [[fft, lora, lisa], [lisa, lora, fft], [fft, lora, lisa]]
    assert [row.lowest for row in rows if row.cell == lisa] == [0, 5] * PAIRS
    assert timed.load is not None and timed.load.wall_seconds >= sum(row.seconds for row in rows)


def test_models_that_do_not_fit_beside_each_other_are_refused(
    job: TimingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "_free_bytes", lambda device: 2.0**20)
    with pytest.raises(UserError, match="do not fit beside each other: 2 more may need"):
        time_methods(job, lambda event: None)
