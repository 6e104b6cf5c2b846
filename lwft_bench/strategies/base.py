"""What a strategy is: it sees units and numbers, never torch modules, devices or optimizers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from lwft_bench.plugins.options import PluginOptions


@dataclass(frozen=True, slots=True)
class Unit:
    """What strategies choose among, seen from a strategy.

    `index` counts units from 0 in the order of the forward pass; `kind` is "layer", "embed" or
    "head", or a module's path in its layer, such as "mlp.up_proj", where the method's units are
    modules; `depth` is the decoder layer's number (-1 for embed, the number of layers for head).
    """

    index: int
    kind: str
    depth: int
    num_parameters: int


@dataclass(frozen=True, slots=True)
class Needs:
    """What a strategy asks of the trainer, which pays only for what is asked.

    probing_steps: steps before training in which gradients of all units are measured and nothing is
        updated (T_p).
    gradients: "selected" observes the selected units only; "all" measures every unit's gradient each
        step (and frees it in its hook).
    measure: whether `context.measure` is called.
    suppress: whether it is called for `suppressed_loss`, which not every adapter makes possible.
    """

    probing_steps: int = 0
    gradients: Literal["selected", "all"] = "selected"
    measure: bool = False
    suppress: bool = False

    def require(self, statistic: str) -> None:
        """Refuses a statistic that was not asked for: nobody made sure that it is to be had."""
        if statistic == "suppressed_loss" and not self.suppress:
            raise RuntimeError(
                f"{statistic} was measured without Needs(measure=True, suppress=True)"
            )


@dataclass(frozen=True, slots=True)
class Selection:
    """The units that train for the next `num_steps` steps.

    `probabilities` (one per unit, summing to 1) and `scores` (one per unit: the importance they come
    from, such as the MGN) are recorded when given, and so are `ages` (one per unit: steps since what
    its score rests on was last measured). `starts_sweep` marks the first selection of a
    pass over all units (BAdam, LIFT, HiFT). `observe` names units that are measured without being
    trained. `restart` says whether the state of all units begins anew, also of those that stay
    selected, in the place of the card's `state_policy`, `reset` or `restart`; None: as that says.
    """

    units: Sequence[int]
    num_steps: int
    probabilities: Sequence[float] | None = None
    scores: Sequence[float] | None = None
    ages: Sequence[int] | None = None
    starts_sweep: bool = False
    observe: Sequence[int] = ()
    restart: bool | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """What was seen since the last call of `observe`.

    first_step: the step of row 0. Probing steps count from -probing_steps to -1.
    grad_rms: [steps, units], the root mean square of the unit's gradient of the whole optimizer step,
        before clipping; NaN where the unit had no gradient.
    loss: [steps], the training loss of each step.
    probing: whether the steps were probing steps.
    clip_scale: [steps], what `clip.mode: global` multiplied all gradients of the step by (1 where it
        left them alone); None: ones. `grad_rms` times it is the root mean square after clipping.
    """

    first_step: int
    grad_rms: np.ndarray
    loss: np.ndarray
    probing: bool = False
    clip_scale: np.ndarray | None = None


Measure = Callable[..., np.ndarray]


def _cannot_measure(statistic: str, **options: Any) -> np.ndarray:
    raise RuntimeError("this strategy called context.measure without Needs(measure=True)")


@dataclass(slots=True)
class Context:
    """Handed to `Strategy.start`.

    total_steps: training steps (T), probing not counted. total_parameters: of the whole model, those
    in no unit included; 0: as many as the units have. rng: the selection stream, private to the
    strategy. measure, to be called in `start` or `select`:

    - `measure("weight_norm")`, per unit: the mean of its weight matrices' Frobenius norms.
    - `measure("weight_rms")`, per unit: the root mean square of the parameters it trains.
    - `measure("snr")`, per unit: the mean of its weight matrices' signal-to-noise ratios.
    - `measure("outlier_share", tau=13, batches=8)`, per unit: the percentage of entries of |W| |X|
      above tau times their mean, on so many batches of training data.
    - `measure("suppressed_loss", units=[{0, 2}, {1, 3}], beta=0.25)`: the loss on a batch of training
      data, the same for all sets, with the adapters of each set's units scaled by beta.

    Data come from a stream of their own; the model is in evaluation mode.
    """

    units: Sequence[Unit]
    total_steps: int
    steps_per_epoch: int
    rng: np.random.Generator
    measure: Measure = field(default=_cannot_measure)
    total_parameters: int = 0

    def __post_init__(self) -> None:
        self.total_parameters = self.total_parameters or sum(u.num_parameters for u in self.units)


class Strategy:
    """Chooses which units train next. Subclass it, give it `Options`, register it by name."""

    class Options(PluginOptions):
        """No options."""

    name: ClassVar[str] = ""
    varies: bool | None = True
    """Whether selections differ over time: the run is checked for it. None: that depends on what is
    observed."""
    may_be_empty: bool = False
    """Whether it selects no unit at all, so that only the always-trained parts train, and what a rule
    for unselected units moves."""

    def __init__(self, options: PluginOptions | None = None) -> None:
        self.options = self.Options() if options is None else options
        self.context: Context

    @classmethod
    def wraps(cls, options: PluginOptions) -> tuple[str, ...]:
        """Names of the strategies it runs inside it: when their code changes, so do its results."""
        return ()

    @property
    def needs(self) -> Needs:
        return Needs()

    def start(self, context: Context) -> None:
        """Called once, before probing. Override to prepare; call super().start(context) first."""
        self.context = context

    def select(self, step: int) -> Selection:
        """The selection that holds from `step` on; called when the previous one has run out."""
        raise NotImplementedError

    def observe(self, window: Window) -> None:
        """Called after probing and at the end of every period."""

    def state_dict(self) -> dict[str, Any]:
        """Everything beyond options and context that `load_state_dict` needs to go on exactly.

        Values are JSON-able or numpy arrays. The rng is saved by the trainer.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave, after `start` was called."""
