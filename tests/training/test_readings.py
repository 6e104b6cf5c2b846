"""Numbers that leave the device."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from lwft_bench.schema.cell import TrainingConfig
from lwft_bench.training.readings import Readings, sum_of_squares
from lwft_bench.training.schedule import learning_rate
from lwft_bench.training.streams import STREAMS, RandomStreams
from lwft_bench.training.trace import checksum
from tests.training.tiny import CPU


def test_sum_of_squares_keeps_small_terms() -> None:
    """3e6 terms of 1e-4 beside a large one: a bfloat16 sum loses them."""
    tensor = torch.full((3_000_000,), 1e-2, dtype=torch.bfloat16)
    expected = float(tensor[0].double() ** 2) * tensor.numel()
    assert abs(float(sum_of_squares(tensor)) / expected - 1) < 1e-5


def test_a_unit_without_gradient_reads_nan() -> None:
    readings = Readings(CPU, 3)
    for step in range(2):
        readings.begin_step()
        readings.add_loss(torch.tensor(1.5))
        readings.add_squares(step, torch.tensor(4.0, dtype=torch.float64))
    readings.add_clip_scale(torch.tensor(0.25))
    losses, scales, squares = readings.fetch()
    np.testing.assert_array_equal(scales, [1.0, 0.25])
    np.testing.assert_array_equal(losses, [1.5, 1.5])
    np.testing.assert_array_equal(squares, [[4, np.nan, np.nan], [np.nan, 4, np.nan]])
    assert len(readings.fetch()[0]) == 0


def test_changing_one_seed_changes_only_its_stream() -> None:
    plain, changed = RandomStreams(0), RandomStreams(0, {"selection": 7})
    differing = {name for name in STREAMS if plain.seed(name) != changed.seed(name)}
    assert differing == {"selection"}


def test_streams_of_one_seed_differ() -> None:
    streams = RandomStreams(3)
    assert len({streams.seed(name) for name in STREAMS}) == len(STREAMS)


def test_no_step_of_a_decaying_schedule_has_rate_zero() -> None:
    for schedule in ("linear", "cosine"):
        config = TrainingConfig(steps=10, warmup_steps=3, lr=1.0, schedule=schedule)
        rates = [learning_rate(config, step) for step in range(10)]
        assert rates[:4] == [1 / 3, 2 / 3, 1.0, 1.0]
        assert all(a > b > 0 for a, b in itertools.pairwise(rates[3:]))


def test_a_checksum_sees_a_bit_and_a_place() -> None:
    tensor = torch.randn(5, 7)
    flipped = tensor.clone()
    flipped.view(torch.int32)[2, 3] ^= 1
    swapped = tensor.clone()
    swapped[0, [0, 1]] = tensor[0, [1, 0]]
    values = {int(checksum([t])) for t in (tensor, flipped, swapped)}
    assert len(values) == 3
    assert int(checksum([tensor.clone()])) in values
