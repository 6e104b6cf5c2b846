"""The stage that takes ten steps with each optimizer that is not AdamW, on the device."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.device.cells import cell, model, shallow
from benchmarks.device.setting import NotHere, Row, Setting, attempt, release
from benchmarks.device.turns import WARM_UP_STEPS, timed, trainer
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.errors import UserError

CARDS = {"adamw-8bit": "bitsandbytes", "galore": "galore_torch", "apollo": None}
STEPS = 10
LAYERS = 2
"""GaLore takes the singular values of every matrix, which for a whole model are minutes."""


def run(setting: Setting) -> Iterator[Row]:
    shape = _model(setting)
    table = f"{STEPS} steps with other optimizers, {LAYERS} layers of {shape.name}"
    for card in ("fft", *CARDS):
        yield attempt(table, card, partial(_steps, setting, card))
        release(setting.device)


def _model(setting: Setting) -> ModelConfig:
    return shallow(model("tinyllama-1.1b", rehearse=setting.rehearse), LAYERS)


def _steps(setting: Setting, card: str) -> Row:
    rows, length = (2, 16) if setting.rehearse else (4, 256)
    one = cell(card, _model(setting), rows, length)
    assert one.model.config is not None
    if setting.rehearse:
        small = {"rank": 4, "update_proj_gap": 3, "min_8bit_size": 300}
        named = one.method.optimizer
        options = {key: small.get(key, value) for key, value in named.options.items()}
        changed = type(named)(name=named.name, **options)
        one = one.model_copy(
            update={"method": one.method.model_copy(update={"optimizer": changed})}
        )
    try:
        trained = trainer(one, setting.device, range(one.model.config["num_hidden_layers"]))
    except UserError as error:
        raise NotHere(error.message) if "needs the package" in error.message else error from error
    losses: list[float] = []
    trained.train(WARM_UP_STEPS)
    seconds = timed(lambda number: losses.append(trained.train(number)), STEPS, setting.device)
    row: Row = {
        "step_seconds": seconds,
        "last_loss": losses[-1],
        "passed": math.isfinite(losses[-1]),
    }
    if torch.device(setting.device).type == "cpu":
        return row
    return row | {"state_bytes": trained.assembly.store.device_bytes}
