"""Do scores say which layer to train? What training one layer alone does, beside what scores say.

    lwft-bench run suites/one-layer.yaml
    lwft-bench run suites/planted-layer.yaml
    python benchmarks/layer_usefulness.py reports/one-layer reports/planted-layer

Usefulness of a layer: the validation loss after training it alone, the lower the better. Scores:
those of a strategy's first selection, before anything is trained, of the runs' first seed. Prints
Markdown: a line for each model, with Spearman's rank correlation of the two over layers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from lwft_bench.reporting.read.records import RunRecords, read_run

SCORED = ("grass-static", "rgn", "ows-norm")


def losses(run: RunRecords, model: str) -> pd.Series:
    """Layer -> validation loss after training it alone."""
    found = {}
    for cell in run.cells:
        if cell.model == model and cell.result is not None and cell.result.training is not None:
            (layer,) = cell.result.ablation["strategy.which"]
            found[layer] = cell.result.training.validation_loss_after
    return pd.Series(found).sort_index()


def first_scores(run: RunRecords, model: str, method: str) -> pd.Series:
    """Layer -> score."""
    cell = next(cell.id for cell in run.cells if (cell.model, cell.method) == (model, method))
    rows = run.selections[run.selections["cell"] == cell].sort_values("step")
    return pd.Series(rows.iloc[0]["scores"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("one_layer", type=Path, help="A run of suites/one-layer.yaml.")
    parser.add_argument("planted", type=Path, help="A run of suites/planted-layer.yaml.")
    arguments = parser.parse_args()
    one_layer, planted = read_run(arguments.one_layer), read_run(arguments.planted)
    models = list(dict.fromkeys(cell.model for cell in one_layer.cells))
    layers = range(len(losses(one_layer, models[0])))
    print(
        "| model |", " | ".join(f"{layer} alone" for layer in layers), "|", " | ".join(SCORED), "|"
    )
    print("| :--- |", " | ".join("---:" for _ in (*layers, *SCORED)), "|")
    for model in models:
        loss = losses(one_layer, model)
        usefulness = (-loss).rank()
        correlations = [
            usefulness.corr(first_scores(planted, model, method).rank()) for method in SCORED
        ]
        shown = [*(f"{value:.2f}" for value in loss), *(f"{value:+.2f}" for value in correlations)]
        print(f"| {model} |", " | ".join(shown), "|")


if __name__ == "__main__":
    main()
