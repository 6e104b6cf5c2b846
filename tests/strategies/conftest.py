from collections.abc import Callable, Sequence

import numpy as np
import pytest

from lwft_bench.strategies import Context, Unit

MakeContext = Callable[..., Context]


@pytest.fixture
def make_context() -> MakeContext:
    """A context of layers; `weight_norms` are what `measure("weight_norm")` gives."""

    def make(num_units: int, seed: int = 0, weight_norms: Sequence[float] | None = None) -> Context:
        context = Context(
            units=tuple(Unit(i, "layer", i, 1000) for i in range(num_units)),
            total_steps=1000,
            steps_per_epoch=500,
            rng=np.random.default_rng(seed),
        )
        if weight_norms is not None:
            context.measure = lambda statistic: np.array({"weight_norm": weight_norms}[statistic])
        return context

    return make
