import dataclasses

import numpy as np
import pytest

from lwft_bench.schema.errors import UserError
from lwft_bench.strategies import Unit
from lwft_bench.strategies.spectrum import Spectrum


def spectrum(context, ratios, **options) -> Spectrum:
    context.measure = {"snr": np.array(ratios, dtype=np.float64)}.__getitem__
    strategy = Spectrum(Spectrum.Options(**options))
    strategy.start(context)
    return strategy


@pytest.mark.parametrize(
    ("top_share", "chosen"), [(0.25, (4,)), (0.5, (1, 4, 5)), (1.0, tuple(range(7)))]
)
def test_the_top_share_trains_for_the_whole_run(make_context, top_share, chosen):
    ratios = (1, 5, 2, 0, 7, 6, 3)
    selection = spectrum(make_context(7), ratios, top_share=top_share).select(0)
    assert selection.units == chosen
    assert selection.num_steps == 1000
    assert selection.scores == ratios


def test_at_least_one(make_context):
    assert spectrum(make_context(3), (1, 3, 2), top_share=0.25).select(0).units == (1,)


def test_modules_are_ranked_among_their_kind(make_context):
    """The attention's ratios are all above the MLP's, and yet the best of each are taken."""
    units = tuple(
        Unit(index, kind, index // 2, 100) for index, kind in enumerate(["attention", "mlp"] * 4)
    )
    context = dataclasses.replace(make_context(8), units=units)
    ratios = (10, 1, 30, 2, 20, 4, 40, 3)
    assert spectrum(context, ratios, top_share=0.5).select(0).units == (2, 5, 6, 7)


def test_a_unit_that_is_all_signal_comes_first(make_context):
    assert spectrum(make_context(4), (1, np.inf, 2, 3)).select(0).units == (1,)


def test_units_without_matrices_are_refused(make_context):
    with pytest.raises(UserError, match="no weight matrix"):
        spectrum(make_context(2), (1, np.nan)).select(0)
