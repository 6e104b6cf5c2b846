"""What strategies say of a changed layer before anything is trained, as markdown tables.

`python benchmarks/controls_at_start.py`: each of the embedded model's eight layers in turn is damaged
(gains times 4), rewritten without changing the function (gains times 8, maps behind them divided by
8), or drawn anew; the strategies' first scores are compared with those in the model as it is. `first`:
in how many of the eight models the changed layer has the highest score, with a 95 % interval (Clopper
and Pearson); `first by ratio`: the highest score over its own in the undamaged model. `probability`:
the mean of the layer's over the models, with a 95 % interval (Student, over layers); in the undamaged
model it is 1/8. The second table: the rank correlation over layers of scores with targets of other
examples and with the right ones, on different batches, beside that of two draws of right ones, with
Student's intervals over seeds. 10 probing steps of 16 examples; one seed of data for each changed model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import stats

from lwft_bench.adapters.full import Full
from lwft_bench.data.batching import DataOrder, tokenise
from lwft_bench.data.sources import load_examples
from lwft_bench.memory.meters import NoAccount
from lwft_bench.models.loading import load_model, load_tokenizer
from lwft_bench.plugins.registry import strategies
from lwft_bench.schema.base import Named
from lwft_bench.schema.cell import ModelConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.method import MethodConfig
from lwft_bench.strategies.base import Context, Window
from lwft_bench.training.assembly import Surroundings, assemble
from lwft_bench.training.batch_steps import BatchSteps
from lwft_bench.training.measures import Measures

LAYERS, PROBING_STEPS, BATCH = 8, 10, 16
SCORED: dict[str, dict[str, Any]] = {
    "grass-static": {},
    "rgn": {},
    "ows-norm": {},
    "ows-outlier": {"tau": 3.0},
    "spectrum": {},
}
"""Strategies with scores at their first selection; grass and greedy start with grass-static's."""
CONTROLS = {
    "gain x 4 (positive)": lambda layer: {"gain": {"layer": layer, "factor": 4}},
    "rescaled by 8 (placebo)": lambda layer: {"rescale": {"layer": layer, "factor": 8}},
    "drawn anew": lambda layer: {"reinitialise": (layer,)},
}

First = tuple[np.ndarray, np.ndarray | None]
"""Scores and probabilities of a first selection."""


def first_selections(
    model: dict[str, Any], *, seed: int, permute_targets: bool = False
) -> dict[str, First]:
    """By strategy. seed: of the order of the data."""
    config = ModelConfig(name="embedded", path="embedded", **model)
    task = TaskConfig(
        name="arith",
        data="generated-arithmetic",
        train_examples=1000,
        validation_examples=0,
        benchmarks=("add-sub",),
        permute_targets=permute_targets,
    )
    training = TrainingConfig(steps=1, batch_size=BATCH, max_length=96, dropout=False)
    loaded = load_model(config, dtype=torch.float32, attention="sdpa", seed=0)
    tokenizer = load_tokenizer(config)
    data = tokenise(load_examples(task).train, tokenizer, training.max_length, "target")
    card = MethodConfig(name="probe", title="probe", citation="", strategy=Named(name="lisa"))
    adapter = Full(Full.Options())
    device = torch.device("cpu")
    assembly = assemble(
        adapter.apply(loaded, 0),
        adapter,
        card,
        training,
        Surroundings(device, NoAccount()),
        rounding_seed=0,
    )
    order = DataOrder(data, batch_size=BATCH, seed=seed)
    units = assembly.groups.units
    assembly.step.activate([], measured=units)
    steps = BatchSteps(assembly, lambda event: None)
    for step in range(-PROBING_STEPS, 0):
        steps.run(order.next_batch(), None, step=step, period=-1)
    losses, _, squares = assembly.readings.fetch()
    sizes = np.array([unit.num_parameters for unit in units])
    window = Window(-PROBING_STEPS, np.sqrt(squares / sizes), losses, probing=True)
    measures = Measures(assembly, DataOrder(data, batch_size=BATCH, seed=seed + 1000))
    found = {}
    for name, options in SCORED.items():
        strategy = strategies.build(Named(name=name, **options))
        strategy.start(
            Context(
                units=assembly.groups.seen_by_strategy(),
                total_steps=100,
                steps_per_epoch=order.steps_per_epoch,
                rng=np.random.default_rng(0),
                measure=measures,
            )
        )
        strategy.observe(window)
        selection = strategy.select(0)
        chances = selection.probabilities
        found[name] = np.array(selection.scores), None if chances is None else np.array(chances)
    return found


def proportion(count: int, total: int) -> str:
    """With its exact interval."""
    interval = stats.binomtest(count, total).proportion_ci(method="exact")
    return f"{count} of {total} [{interval.low:.2f}, {interval.high:.2f}]"


def mean(values: Sequence[float], digits: int = 3) -> str:
    """With Student's interval."""
    middle, half = float(np.mean(values)), 0.0
    if np.ptp(values) > 0:
        half = float(stats.sem(values) * stats.t.ppf(0.975, len(values) - 1))
    return f"{middle:.{digits}f} [{middle - half:.{digits}f}, {middle + half:.{digits}f}]"


def changed_layers(plain: dict[str, First]) -> None:
    print("| control | strategy | first | first by ratio | probability |")
    print("|---|---|---:|---:|---:|")
    for control, change in CONTROLS.items():
        found = [first_selections(change(layer), seed=0) for layer in range(LAYERS)]
        for name in SCORED:
            first = by_ratio = 0
            chances = []
            for layer, selections in enumerate(found):
                scores, probabilities = selections[name]
                first += int(np.argmax(scores) == layer)
                by_ratio += int(np.argmax(scores / plain[name][0]) == layer)
                if probabilities is not None:
                    chances.append(float(probabilities[layer]))
            probability = mean(chances) if chances else "none"
            print(
                f"| {control} | `{name}` | {proportion(first, LAYERS)} | "
                f"{proportion(by_ratio, LAYERS)} | {probability} |",
                flush=True,
            )


def wrong_targets(plain: list[dict[str, First]], wrong: list[dict[str, First]]) -> None:
    print("\n| strategy | wrong targets against right ones | right ones against right ones |")
    print("|---|---:|---:|")
    for name in SCORED:
        across, within = [], []
        for number, one in enumerate(plain):
            after = (number + 1) % len(plain)
            across.append(stats.spearmanr(one[name][0], wrong[after][name][0]).statistic)
            within.append(stats.spearmanr(one[name][0], plain[after][name][0]).statistic)
        print(f"| `{name}` | {mean(across, 2)} | {mean(within, 2)} |", flush=True)


def main(num_seeds: int = 5) -> None:
    torch.set_num_threads(1)
    plain = [first_selections({}, seed=seed) for seed in range(num_seeds)]
    changed_layers(plain[0])
    wrong = [first_selections({}, seed=s, permute_targets=True) for s in range(num_seeds)]
    wrong_targets(plain, wrong)


if __name__ == "__main__":
    main()
