"""What the package does with one causal class, tiny and random.

Every answer is a word or what was found instead; a refusal is the message that a person would see.
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny_configs import VOCABULARY, tiny_config
from torch.nn import functional

from lwft_bench.adapters.reach import adapter_reach
from lwft_bench.cell.model_checks import check_model
from lwft_bench.data.batching import IGNORED, DataOrder, TokenisedExamples
from lwft_bench.data.masks import unmasked
from lwft_bench.dry_run.planned_selections import planned_selections
from lwft_bench.dry_run.steps import BatchShape, longest
from lwft_bench.dry_run.traits import traits_of
from lwft_bench.memory.meters import NoAccount
from lwft_bench.models.parts import PARTS, find_parts
from lwft_bench.planning.plan import needed
from lwft_bench.planning.verification import measured_peak
from lwft_bench.plugins.registry import strategies
from lwft_bench.schema.base import Named
from lwft_bench.schema.cell import Cell, EvaluationConfig, ModelConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.shipped import shipped
from lwft_bench.suites.entries import read_card
from lwft_bench.training.adapted import adapted_model, empty_adapted_model
from lwft_bench.training.assembly import Surroundings, assemble
from lwft_bench.training.engagement import judge
from lwft_bench.training.groups import make_groups
from lwft_bench.training.streams import RandomStreams
from lwft_bench.training.trainer import Feed, Hooks, Trainer

CPU = torch.device("cpu")
STEPS = 4
LR = {"float32": 1e-3, "bf16": 1e-2}
"""In bf16 large enough that updates outlast rounding."""
EPSILON = 1e-4
"""Of AdamW, so large that rounding in a gradient of about zero does not turn a whole update."""
ROUNDING = 1e-6
TOLERANCE = 2e-4
"""Of weights after `STEPS` steps, relative to how far they moved, summed over the model."""


def make_cell(model_type: str, method: str, precision: str = "float32") -> Cell:
    card = read_card(MethodConfig, shipped("methods")[method]).config
    if method == "lisa":
        strategy = Named(name="lisa", num_active=2, period=1)
        card = card.model_copy(update={"strategy": strategy})
    card = card.model_copy(update={"optimizer": Named(name="adamw", eps=EPSILON)})
    return Cell(
        id="cell",
        model=ModelConfig(name=model_type, config=tiny_config(model_type)),
        method=card,
        task=TaskConfig(name="none", data="none", train_examples=1, benchmarks=()),
        training=TrainingConfig(
            steps=STEPS,
            lr=LR[precision],
            batch_size=4,
            schedule="constant",
            precision=precision,
            dropout=False,
            device="cpu",
        ),
        evaluation=EvaluationConfig(),
        seed=0,
    )


def examples(count: int = 24) -> TokenisedExamples:
    """Random tokens of uneven lengths."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(8, 24, count)
    return TokenisedExamples(
        token_ids=[generator.integers(3, VOCABULARY - 1, n).tolist() for n in lengths],
        num_prompt_tokens=[int(generator.integers(1, n - 3)) for n in lengths],
        loss_on="target",
        padding_id=0,
    )


def order_of(seed: int = 0) -> DataOrder:
    return DataOrder(examples(), batch_size=4, seed=seed)


def length_of(order: DataOrder) -> int:
    return longest([BatchShape.of(batch) for batch in order.longest_batch()])


def train(cell: Cell) -> tuple[Any, Trainer, str]:
    """The trained model, its trainer, and the verdict."""
    streams = RandomStreams(0, {})
    adapter, model = adapted_model(cell, 0, CPU)
    order = order_of()
    traits = traits_of(cell, length_of(order))
    check_model(model, traits, order, CPU)
    assembly = assemble(
        model,
        adapter,
        cell.method,
        cell.training,
        Surroundings(CPU, NoAccount()),
        rounding_seed=0,
        traits=traits,
    )
    strategy_class = strategies.get(cell.method.strategy.name)
    strategy = strategy_class(strategy_class.Options(**cell.method.strategy.options))
    hooks = Hooks(lambda event: None, lambda: False, lambda: None)
    with tempfile.TemporaryDirectory() as folder:
        feed = Feed(order, order_of(1), streams)
        trainer = Trainer(assembly, strategy, feed, hooks, Path(folder))
        trainer.run()
    losses = [row.loss for row in trainer.trace.steps]
    if not np.isfinite(losses).all():
        return model, trainer, f"losses {losses}"
    verdict = judge(
        trainer.trace,
        assembly.groups,
        assembly.store,
        cell.method,
        trainer.frozen_unchanged,
        selection_varies=None,
    )
    failed = [f"{check.name}: {check.detail}" for check in verdict.checks if not check.passed]
    return model, trainer, "; ".join(failed) or "engaged"


def plain(cell: Cell, trainer: Trainer, noise: float = 0.0) -> Any:
    """The same steps by torch's AdamW alone, on the model's own logits.

    noise: that the weights begin with, relative to themselves.
    """
    _, model = adapted_model(cell, 0, CPU)
    if noise:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter *= 1 + noise * torch.randn(parameter.shape, generator=generator)
    model.train()
    groups = make_groups(model, find_parts(model), cell.method, _adapter(cell))
    everything = [p for g in groups.all for p in g.parameters.values()]
    model.requires_grad_(False)
    options = cell.method.optimizer.options
    optimizer = torch.optim.AdamW(
        everything,
        lr=cell.training.lr,
        betas=(options.get("beta1", 0.9), options.get("beta2", 0.999)),
        eps=options.get("eps", 1e-8),
        weight_decay=options.get("weight_decay", 0.0),
    )
    order = order_of()
    for row in trainer.trace.steps:
        chosen = trainer.trace.selections[row.period].units
        active = [groups.units[unit] for unit in chosen] + list(groups.always)
        trained = {id(p) for group in active for p in group.parameters.values()}
        for parameter in everything:
            parameter.requires_grad_(id(parameter) in trained)
            parameter.grad = None
        total: Any = 0
        batches = order.next_batch()
        num_targets = sum(batch.num_target_tokens for batch in batches)
        for batch in batches:
            with unmasked():
                logits = model(input_ids=batch.input_ids, use_cache=False).logits
            following = torch.full_like(batch.labels, IGNORED)
            following[:, :-1] = batch.labels[:, 1:]
            total = total + functional.cross_entropy(
                logits.float().flatten(0, 1),
                following.flatten(),
                ignore_index=IGNORED,
                reduction="sum",
            )
        (total / num_targets).backward()
        optimizer.step()
    return model


def _adapter(cell: Cell) -> Any:
    return empty_adapted_model(cell)[0]


def same_steps(cell: Cell, trained: Any, trainer: Trainer) -> str:
    """Equal to a tolerance, or to what noise of a rounding does to the plain steps themselves."""
    expected = plain(cell, trainer)
    _, initial = adapted_model(cell, 0, CPU)
    moved = apart(trained, initial)
    if moved == 0:
        return "nothing moved"
    share = apart(trained, expected) / moved
    if share > TOLERANCE:
        unstable = apart(plain(cell, trainer, noise=ROUNDING), expected) / moved
        if share > 2 * unstable:
            return f"{share:.1e} apart, {unstable:.1e} by noise alone"
    return "equal"


def apart(one: Any, other: Any) -> float:
    """The sum of absolute differences of the weights."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return sum(float((left.detach() - right.detach()).abs().sum()) for left, right in pairs)


def planned(cell: Cell) -> str:
    """Whether the plan's peak is the account's of the same steps on real tensors."""
    shapes = [BatchShape.of(batch) for batch in order_of().longest_batch()]
    adapter, model = empty_adapted_model(cell)
    traits = traits_of(cell, longest(shapes))
    if traits.problem is not None:
        return f"refused: {traits.problem}"
    groups = make_groups(model, find_parts(model), cell.method, adapter, traits.without_gradient)
    drawn = planned_selections(cell.method, groups.seen_by_strategy(), STEPS, 0)
    plan = needed(cell, shapes, drawn, adapter.num_parameters(model))
    real = measured_peak(cell, shapes, drawn, CPU).allocated
    return "equal" if plan.peak_bytes == real else f"{plan.peak_bytes - real:+,} of {real:,} B"


def parts_of(cell: Cell) -> dict[str, Any]:
    _, model = empty_adapted_model(cell)
    parts = find_parts(model)
    sizes = {part: parts.num_parameters(part) for part in PARTS}
    return {
        "class": type(model).__name__,
        "stack": parts.decoder_path,
        "layers": len(parts.layers),
        "parameters": parts.num_parameters(),
        "in_layers": parts.num_parameters("layers"),
        "parts": {part: size for part, size in sizes.items() if size},
        "other": list(parts.parts["other"])[:6],
        "not_text": len(getattr(parts, "not_text", ())),
        "final_norm": list(parts.parts["final_norm"]),
    }


def guarded(task: Callable[[], Any]) -> Any:
    """The answer, or the refusal or crash in its place."""
    try:
        return task()
    except UserError as error:
        return f"refused: {error.message}"
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(at.filename).name}:{at.lineno}"
        text = " ".join(str(error).split())[:200]
        return f"crashed: {type(error).__name__}: {text} ({place})"


def survey(model_type: str, tell: Callable[[dict[str, Any]], None], *, quick: bool = False) -> None:
    """Tells one finding after the other. quick: only full training and its plan, in float32."""
    full = make_cell(model_type, "fft")
    tell({"model": guarded(lambda: parts_of(full))})
    traits = guarded(lambda: traits_of(full, length_of(order_of())))
    if isinstance(traits, str):
        tell({"traits": traits})
    else:
        tell(
            {
                "own_logits": traits.own_logits,
                "without_gradient": sorted(traits.without_gradient),
                "attention": getattr(traits, "attention", None),
            }
        )
    for method in ("fft",) if quick else ("fft", "lisa"):
        cell = make_cell(model_type, method)
        done = guarded(lambda cell=cell: train(cell))
        if isinstance(done, str):
            tell({f"{method}.engaged": done})
            if method == "fft" and done.startswith("refused"):
                return
            continue
        model, trainer, verdict = done
        tell({f"{method}.engaged": verdict})
        step = guarded(lambda c=cell, m=model, t=trainer: same_steps(c, m, t))
        tell({f"{method}.steps": step})
    if quick:
        tell({"quick": True, "plan.float32": guarded(lambda: planned(full))})
        return
    tell({"lora.reach": guarded(lambda: adapter_reach_of(make_cell(model_type, "lora")))})
    tell({"lora.engaged": guarded(lambda: train(make_cell(model_type, "lora"))[2])})
    for precision in ("float32", "bf16"):
        cell = make_cell(model_type, "lisa", precision)
        tell({f"plan.{precision}": guarded(lambda cell=cell: planned(cell))})
    tell(
        {"fft.bf16": guarded(lambda: train(make_cell(model_type, "fft", "bf16"))[2])},
    )


def adapter_reach_of(cell: Cell) -> float:
    adapter, model = empty_adapted_model(cell)
    return adapter_reach(model, adapter)
