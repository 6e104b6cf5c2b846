"""Methods against the published packages, step by step from identical weights.

    pytest tests/fidelity -m fidelity

The reference is a plain torch loop over the same batches: the package's own optimizer or adapter,
transformers' logits and torch's cross-entropy.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from lwft_bench.memory.meters import NoAccount
from lwft_bench.models.loading import load_model
from lwft_bench.optimizers.base import Optimizer
from lwft_bench.schema.base import Named
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.method import MethodConfig
from lwft_bench.state.bucket_updates import BucketUpdates
from lwft_bench.training.loss import CausalLoss, DeviceBatch
from tests.training.tiny import CPU, FAMILIES, Run, full_fine_tuning, make_run, method, training

pytestmark = pytest.mark.fidelity

STEPS = 20
LR = 1e-3
TOLERANCE = 0.01 * LR
PERIOD = 4
GALORE = {"rank": 4, "update_proj_gap": 6, "scale": 0.25, "proj_type": "std"}
TARGETS = ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"]

Step = Callable[[], None]
Weights = dict[str, torch.Tensor]


def package(name: str) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # for parts of torch that torch has since deprecated
        return pytest.importorskip(name, reason=f"{name} is not installed (pip install {name})")


def plain_model() -> nn.Module:
    config = ModelConfig(name="llama", config=FAMILIES["llama"])
    return load_model(config, dtype=torch.float32, attention="sdpa", seed=0).requires_grad_(True)


def adamw(model: nn.Module) -> Step:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(trained, lr=LR, weight_decay=0.0).step


def peft_model(**options: Any) -> Callable[[], tuple[nn.Module, Step]]:
    def make() -> tuple[nn.Module, Step]:
        peft = package("peft")
        config = peft.LoraConfig(
            task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=TARGETS, **options
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
            model = peft.get_peft_model(plain_model(), config)
        return model, adamw(model)

    return make


def badam() -> tuple[nn.Module, Step]:
    """Its switch test makes the first block one step short; a counter that begins one earlier
    gives it all its steps, as the paper does."""
    model = plain_model()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "BAdam expect model to be loaded in fp16", UserWarning)
        optimizer = package("badam").BlockOptimizer(
            torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.0),
            list(model.named_parameters()),
            switch_block_every=PERIOD,
            switch_mode="descending",
        )
    optimizer.global_step = -1
    return model, optimizer.step


def galore() -> tuple[nn.Module, Step]:
    model = plain_model()
    projected = [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.dim() == 2 and ("attn" in name or "mlp" in name)
    ]
    ids = set(map(id, projected))
    others = [parameter for parameter in model.parameters() if id(parameter) not in ids]
    groups = [{"params": others}, {"params": projected, **GALORE}]
    optimizer = package("galore_torch").GaLoreAdamW(groups, lr=LR, no_deprecation_warning=True)
    return model, optimizer.step


def adamw8bit() -> tuple[nn.Module, Step]:
    model = plain_model()
    optimizer = package("bitsandbytes").optim.AdamW8bit(
        model.parameters(), lr=LR, weight_decay=0.0, min_8bit_size=300
    )
    return model, optimizer.step


def adapted(**options: Any) -> MethodConfig:
    adapter = Named(name="lora", r=4, alpha=8, targets=TARGETS, **options)
    return method("all", adapter=adapter)


CASES: dict[str, tuple[MethodConfig, Callable[[], tuple[nn.Module, Step]]]] = {
    "peft LoRA": (adapted(), peft_model()),
    "peft rsLoRA": (adapted(rslora=True), peft_model(use_rslora=True)),
    "peft DoRA": (adapted(dora=True), peft_model(use_dora=True)),
    "badam": (
        method(
            "badam",
            strategy_order="descending",
            strategy_period=PERIOD,
            state_policy="restart",
        ),
        badam,
    ),
    "galore-torch": (full_fine_tuning(optimizer=Named(name="galore", **GALORE)), galore),
    "bitsandbytes AdamW8bit": (
        full_fine_tuning(optimizer=Named(name="adamw8bit", min_8bit_size=300)),
        adamw8bit,
    ),
}


def ours(folder: Path, card: MethodConfig) -> tuple[Run, Weights, list[Weights]]:
    """A run with its weights before it and after each step."""
    after: list[Weights] = []

    def keep(step: int) -> bool:
        after.append(run.weights())
        return False

    config = training(STEPS, lr=LR, schedule="constant", warmup_steps=0)
    run = make_run(folder, card, config, stop_when=keep)
    before = run.weights()
    run.trainer.run()
    return run, before, after


def plain_loss(model: nn.Module, batch: DeviceBatch) -> torch.Tensor:
    logits = model(input_ids=batch.input_ids).logits.flatten(0, 1)
    return nn.functional.cross_entropy(logits[batch.positions], batch.targets)


def our_loss(model: nn.Module, batch: DeviceBatch) -> torch.Tensor:
    """Gives the gradients of a run to the last bit.

    An eight-bit code that falls to the other side because of a last bit moves a weight by some
    hundredths of the learning rate: that is no difference between optimizers.
    """
    return CausalLoss(model, NoAccount())(batch) / len(batch.targets)


LOSSES = {"bitsandbytes AdamW8bit": our_loss}
"""Of the cases that are not compared by `plain_loss`."""


def theirs(
    model: nn.Module,
    step: Step,
    loss: Callable[[nn.Module, DeviceBatch], torch.Tensor],
    before: Weights,
    batches: Iterator[DeviceBatch],
) -> Iterator[Weights]:
    """The reference's weights after each step."""
    names = dict(model.named_parameters())
    assert names.keys() == before.keys()
    with torch.no_grad():
        for name, parameter in names.items():
            parameter.copy_(before[name])
    model.train()
    for batch in batches:
        model.zero_grad()
        loss(model, batch).backward()
        step()
        yield {name: parameter.detach().clone() for name, parameter in names.items()}


def differences(folder: Path, name: str) -> list[float]:
    """The largest difference of any weight, after each step."""
    card, make = CASES[name]
    model, step = make()
    _, before, after = ours(folder / "run", card)
    order = make_run(folder / "order", card, training(STEPS)).order
    batches = (DeviceBatch.of(batch, CPU) for _ in after for batch in order.next_batch())
    assert len(after) == STEPS
    reference = theirs(model, step, LOSSES.get(name, plain_loss), before, batches)
    return [
        max(float((mine[key] - other[key]).abs().max()) for key in mine)
        for mine, other in zip(after, reference, strict=True)
    ]


@pytest.mark.parametrize("name", CASES)
def test_a_method_does_what_the_package_does(tmp_path: Path, name: str) -> None:
    found = differences(tmp_path, name)
    assert max(found) <= TOLERANCE, [f"{difference / LR:.2g} lr" for difference in found]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_wrong_bias_correction_is_seen(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above can fail. From the second step on the optimizer is told that it is one step
    further; not at the first, at which it may have more to begin than its moments."""
    right = BucketUpdates.update

    def wrong(self: BucketUpdates, rule: Optimizer, *arguments: Any) -> None:
        class OneAhead:
            stateless = rule.stateless

            def update(self, weight: Any, gradient: Any, state: Any, step: int, lr: float) -> None:
                rule.update(weight, gradient, state, step + (step > 1), lr)

        right(self, OneAhead(), *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(BucketUpdates, "update", wrong)
    assert max(differences(tmp_path, name)) > TOLERANCE
