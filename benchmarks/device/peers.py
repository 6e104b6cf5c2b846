"""Peers on the same batches: Hugging Face's Trainer, alone and with peft's LoRA."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from benchmarks.device.cells import cell, model
from benchmarks.device.setting import Row, Setting, attempt, release, require
from benchmarks.device.turns import WARM_UP_STEPS, Turns, ratio, timed, trainer
from lwft_bench.memory.meters import synchronised_clock
from lwft_bench.schema.cell import Cell
from lwft_bench.training.adapted import random_adapted_model

TURNS, STEPS = 3, 6


def peers(setting: Setting, shape: str, rows: int, length: int) -> Iterator[Row]:
    """A step here over a step there, by turns on models of the same make."""
    table = f"{shape}, {rows} x {length}: lwft-bench's step over that of Hugging Face's Trainer"
    for method in ("fft", "lora"):
        if setting.left() < 12:
            return
        one = cell(method, model(shape, rehearse=setting.rehearse), rows, length)
        yield attempt(table, method, partial(_against, setting, one))
        release(setting.device)


def _against(setting: Setting, one: Cell) -> Row:
    require("accelerate")
    turns, steps = (2, 1) if setting.rehearse else (TURNS, STEPS)
    ours = trainer(one, setting.device, range(_num_units(one)))
    ours.train(WARM_UP_STEPS)
    theirs = _their_step(setting, one)
    here, there = Turns(), Turns()
    for _ in range(turns):
        there.seconds.append(theirs(steps))
        here.seconds.append(timed(ours.train, steps, setting.device))
    return {"here_seconds": here.median, "there_seconds": there.median, **ratio(here, there)}


def _num_units(one: Cell) -> int:
    assert one.model.config is not None
    return int(one.model.config["num_hidden_layers"])


def _their_step(setting: Setting, one: Cell) -> Callable[[int], float]:
    """Seconds of one step, over as many as are asked for after the first ones."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    device, size = torch.device(setting.device), (one.training.batch_size, one.training.max_length)
    adapter, loaded = random_adapted_model(one, 0, device)
    wrapped: Any = loaded
    for name, parameter in wrapped.named_parameters():
        parameter.requires_grad_(adapter.trains(name))

    class Clock(TrainerCallback):  # type: ignore[misc]
        started = ended = 0.0

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == WARM_UP_STEPS:
                self.started = synchronised_clock(device)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == state.max_steps:
                self.ended = synchronised_clock(device)

    def run(num_steps: int) -> float:
        total = WARM_UP_STEPS + num_steps
        assert one.model.config is not None
        ids = torch.randint(one.model.config["vocab_size"], (total * size[0], size[1]))
        clock = Clock()
        arguments = TrainingArguments(
            output_dir=str(setting.folder / "peer"),
            per_device_train_batch_size=size[0],
            max_steps=total,
            learning_rate=1e-5,
            lr_scheduler_type="constant",
            max_grad_norm=0.0,
            weight_decay=0.0,
            optim="adamw_torch_fused" if device.type != "cpu" else "adamw_torch",
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=device.type == "cpu",
            dataloader_pin_memory=device.type != "cpu",
        )
        rows = [{"input_ids": row, "labels": row} for row in ids]
        Trainer(model=wrapped, args=arguments, train_dataset=rows, callbacks=[clock]).train()
        return (clock.ended - clock.started) / num_steps

    return run
