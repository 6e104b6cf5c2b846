"""The learning rate of the step that a trainer is about to make."""

from __future__ import annotations

from lwft_bench.schema.cell import TrainingConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.method import MethodConfig
from lwft_bench.training.resumption import Place
from lwft_bench.training.schedule import learning_rate


def next_rate(config: TrainingConfig, method: MethodConfig, place: Place) -> float:
    """By the schedule and the method's clock, and rising after a selection where the method says so."""
    rate = learning_rate(config, place.scheduled_step(method.lr_clock))
    num_steps, since = method.lr_warmup_after_selection, place.at - place.period_start + 1
    return rate * since / num_steps if since < num_steps else rate


def require_no_sweeps(method: MethodConfig) -> None:
    """Refuses a clock that goes by sweeps, with a strategy that makes none."""
    if method.lr_clock != "step":
        raise UserError(
            f"lr_clock: {method.lr_clock} needs a strategy that passes over all units in turn and "
            "marks where a pass starts; this one does not.",
            hint="Set lr_clock: step.",
        )
