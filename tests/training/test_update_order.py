"""State comes in in the order in which it is wanted, so that no copy is made for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lwft_bench.state.engine import SynchronousEngine
from tests.training.tiny import CPU, make_run, method, training


class CountingEngine(SynchronousEngine):
    """Counts copies in and out."""

    def __init__(self) -> None:
        super().__init__(CPU)
        self.copied_in = self.copied_out = 0

    def copy_in(self, device: torch.Tensor, host: torch.Tensor) -> None:
        self.copied_in += 1
        super().copy_in(device, host)

    def copy_out(self, host: torch.Tensor, device: torch.Tensor) -> None:
        self.copied_out += 1
        super().copy_out(host, device)


@pytest.mark.parametrize("update", ["in_backward", "after_backward"])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_order_is_known_from_the_second_step_on(
    tmp_path: Path, update: str, family: str
) -> None:
    card = method("lisa", strategy_num_active=4, strategy_period=100, state_on_device="none")
    copied_in = []
    for steps in (2, 7):
        engine = CountingEngine()
        config = training(steps, update=update, checkpoint_every=1000)
        make_run(tmp_path / str(steps), card, config, family, engine=engine).trainer.run()
        copied_in.append(engine.copied_in)
        buckets = engine.copied_out // steps
    # In the first step nothing is copied in; from the second on each bucket is, once a step.
    assert copied_in[1] - copied_in[0] == 5 * buckets
    assert copied_in[0] == buckets


def test_layers_of_the_same_make_are_known_from_one_another(tmp_path: Path) -> None:
    """Each new layer's first step makes no more than a few copies that nobody wants."""
    card = method("lift", strategy_period=2, state_on_device="none")
    engine = CountingEngine()
    config = training(16, update="in_backward", checkpoint_every=1000)
    make_run(tmp_path, card, config, engine=engine).trainer.run()
    first_touches = engine.copied_out // 4
    assert engine.copied_in <= engine.copied_out - first_touches + 2
