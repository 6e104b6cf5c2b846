"""What is checked of an optimizer, in the store that the trainer keeps its state in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import ValidationError

from lwft_bench.memory.fake_mode import RepeatingFakeMode
from lwft_bench.memory.meters import NoAccount
from lwft_bench.optimizers.base import ALIGNMENT, PRECISIONS_OF_ELEMENTS, Optimizer
from lwft_bench.plugins.options import PluginOptions
from lwft_bench.state.engine import SynchronousEngine
from lwft_bench.state.precision import PRECISIONS, Precision
from lwft_bench.state.store import StateStore
from lwft_bench.testing.outcomes import CheckFailed

_CPU = torch.device("cpu")
SHAPES = {"matrix": (192, 128), "vector": (128,), "odd": (101, 67)}
NUM_STEPS, LR = 4, 1e-2
SMALL_BUCKET, LARGE_BUCKET = 4096, 2**24

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class OptimizerCase:
    """The class that is checked, and its options."""

    optimizer: type[Optimizer]
    options: PluginOptions


class _Run:
    """A store with a group for each of SHAPES, its weights and gradients drawn from a seed."""

    def __init__(
        self,
        case: OptimizerCase,
        precision: Precision = PRECISIONS["float32"],
        *,
        on_device: Literal["all", "none"] = "all",
        bucket_bytes: int = LARGE_BUCKET,
    ) -> None:
        self.rng = torch.Generator().manual_seed(0)
        self.dtype = precision.weight
        self.parameters = {
            name: torch.nn.Parameter(self._drawn(shape)) for name, shape in SHAPES.items()
        }
        self.store = StateStore(
            case.optimizer(case.options),
            precision,
            SynchronousEngine(_CPU),
            device=_CPU,
            on_device=on_device,
            bucket_bytes=bucket_bytes,
            rounding_seed=0,
            account=NoAccount(),
        )
        for number, (name, parameter) in enumerate(self.parameters.items()):
            self.store.add(name, [parameter], [number], "keep")
        self.store.switch([], list(SHAPES))

    def _drawn(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=self.rng).to(self.dtype)

    def gradients(self) -> Weights:
        """Drawn for a step: the same in every run."""
        return {name: self._drawn(shape) for name, shape in SHAPES.items()}

    def step(self, gradients: Mapping[str, torch.Tensor]) -> None:
        """Updates the groups that have a gradient here, in the order given."""
        for name, gradient in gradients.items():
            self.parameters[name].grad = gradient
            self.store.expect([(name, 0)])
            self.store.update(name, 0, LR)
        self.store.catch_up()

    def steps(self, number: int = NUM_STEPS) -> Weights:
        """So many steps; gives copies of the weights then."""
        for _ in range(number):
            self.step(self.gradients())
        return self.weights()

    def weights(self) -> Weights:
        return {name: p.detach().clone() for name, p in self.parameters.items()}


def _refuses_unknown_options(case: OptimizerCase) -> str:
    try:
        case.optimizer.Options(**(case.options.model_dump() | {"no_such_option": 1}))
    except ValidationError:
        return "unknown options are refused"
    raise CheckFailed("Options takes unknown keys: derive it from PluginOptions")


def _says_how_it_is_cut(case: OptimizerCase) -> str:
    optimizer = case.optimizer(case.options)
    if optimizer.kind not in ("elementwise", "blockwise", "opaque"):
        raise CheckFailed(f"kind is {optimizer.kind!r}: elementwise, blockwise or opaque")
    if optimizer.alignment <= 0 or optimizer.alignment % ALIGNMENT:
        raise CheckFailed(f"alignment is {optimizer.alignment}, no multiple of {ALIGNMENT}")
    for shape in SHAPES.values():
        rule = optimizer.for_parameter(shape, in_layer=True, seed=0)
        cut = shape if rule.kind == "opaque" else (rule.alignment,)
        fields = rule.fields(cut, torch.float32)
        names = [field.name for field in fields]
        if len(set(names)) < len(names) or "master" in names:
            raise CheckFailed(f"fields are named {names}: names must differ, none be 'master'")
        if rule.kind == "elementwise" and any(field.shape != cut for field in fields):
            raise CheckFailed("an elementwise optimizer's fields have one entry an element")
    return f"{optimizer.kind}, cut at multiples of {optimizer.alignment} elements"


def _updates_every_parameter(case: OptimizerCase) -> str:
    run = _Run(case)
    before, after = run.weights(), run.steps(1)
    for name, shape in SHAPES.items():
        if torch.equal(before[name], after[name]):
            raise CheckFailed(f"a parameter of shape {list(shape)} is left as it was")
    return f"{len(SHAPES)} shapes"


def _goes_downhill(case: OptimizerCase) -> str:
    """On half the squared distance from zero, whose gradient is the weight itself."""
    run = _Run(case)

    def distance() -> float:
        return sum(float(weight.square().sum()) for weight in run.weights().values()) / 2

    before = distance()
    for _ in range(20):
        run.step(run.weights())
    after = distance()
    if not after < before:
        raise CheckFailed(f"20 steps on a convex bowl take it from {before:.4g} to {after:.4g}")
    return f"20 steps on a convex bowl take it from {before:.4g} to {after:.4g}"


def _is_deterministic(case: OptimizerCase) -> str:
    _require_same(_Run(case).steps(), _Run(case).steps(), "two runs alike")
    return "the same weights twice"


def _leaves_random_streams_alone(case: OptimizerCase) -> str:
    before = torch.get_rng_state()
    _Run(case).steps()
    if not torch.equal(before, torch.get_rng_state()):
        raise CheckFailed("an update drew from torch's global stream: use for_parameter's seed")
    return "torch's global stream is where it was"


def _does_not_depend_on_place(case: OptimizerCase) -> str:
    reference = _Run(case).steps()
    for bucket_bytes in (LARGE_BUCKET, SMALL_BUCKET):
        streamed = _Run(case, on_device="none", bucket_bytes=bucket_bytes).steps()
        what = f"state on the device, and on the host in buckets of {bucket_bytes} bytes"
        _require_same(reference, streamed, what)
    return "the same weights with state on the device, offloaded, and in small buckets"


def _keeps_parameters_apart(case: OptimizerCase) -> str:
    """A parameter's update must not depend on which others are updated, and when."""
    together, turned, alone = _Run(case), _Run(case), _Run(case)
    for _ in range(NUM_STEPS):
        gradients = together.gradients()
        together.step(gradients)
        turned.step(dict(reversed(gradients.items())))
        alone.step({"matrix": gradients["matrix"]})
    _require_same(together.weights(), turned.weights(), "two orders of the same updates")
    first, second = ({"matrix": run.weights()["matrix"]} for run in (together, alone))
    _require_same(first, second, "a parameter trained alone, and beside others")
    return "an update depends on its own parameter only"


def _keeps_all_in_its_state(case: OptimizerCase) -> str:
    """Saved after half of the steps, and gone on with by another instance."""
    undisturbed = _Run(case)
    undisturbed.steps()
    first, second = _Run(case), _Run(case)
    first.steps(NUM_STEPS // 2)
    tensors = {name: tensor.clone() for name, tensor in first.store.saved_tensors().items()}
    second.store.load(tensors, first.store.steps(), first.store.trained())
    second.rng.set_state(first.rng.get_state())
    with torch.no_grad():
        for name, weight in first.weights().items():
            second.parameters[name].copy_(weight)
    second.steps(NUM_STEPS - NUM_STEPS // 2)
    _require_same(undisturbed.weights(), second.weights(), "a run that was interrupted")
    return "an interruption leaves no trace"


def _works_at_every_precision(case: OptimizerCase) -> str:
    elementwise = case.optimizer(case.options).kind == "elementwise"
    names = [name for name in PRECISIONS if elementwise or name not in PRECISIONS_OF_ELEMENTS]
    for name in names:
        _require_finite(_Run(case, PRECISIONS[name]).steps(), f"precision {name}")
    return ", ".join(names)


def _survives_vanishing_gradients(case: OptimizerCase) -> str:
    run = _Run(case)
    for _ in range(2):
        run.step({name: torch.zeros(shape) for name, shape in SHAPES.items()})
    _require_finite(run.weights(), "gradients of zero")
    return "finite weights when gradients vanish"


def _runs_on_fake_tensors(case: OptimizerCase) -> str:
    """As a plan does, which knows no values: an update must not branch on any."""
    with RepeatingFakeMode():
        _Run(case).steps(1)
    return "can be planned without values"


def _require_same(first: Weights, second: Weights, what: str) -> None:
    for name, weight in first.items():
        if not torch.equal(weight, second[name]):
            differs = int((weight != second[name]).sum())
            raise CheckFailed(
                f"{what} end in other weights: {differs} of {weight.numel()} elements of a "
                f"parameter of shape {list(weight.shape)} differ"
            )


def _require_finite(weights: Weights, what: str) -> None:
    for weight in weights.values():
        if not bool(weight.isfinite().all()):
            raise CheckFailed(f"{what}: weights are no longer finite")


OPTIMIZER_CHECKS: dict[str, Callable[[OptimizerCase], str]] = {
    "refuses unknown options": _refuses_unknown_options,
    "says how it is cut": _says_how_it_is_cut,
    "updates every parameter": _updates_every_parameter,
    "goes downhill": _goes_downhill,
    "is deterministic": _is_deterministic,
    "leaves random streams alone": _leaves_random_streams_alone,
    "does not depend on where state is": _does_not_depend_on_place,
    "keeps parameters apart": _keeps_parameters_apart,
    "keeps all it needs in its state": _keeps_all_in_its_state,
    "works at every precision": _works_at_every_precision,
    "survives vanishing gradients": _survives_vanishing_gradients,
    "runs on fake tensors": _runs_on_fake_tensors,
}
