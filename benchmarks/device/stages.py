"""The stages of the device check, in order of value, and what each may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """run: the "module:function" that yields its rows. needs: packages without which it is skipped.
    required: the others make no sense where it fails."""

    name: str
    title: str
    seconds: float
    run: str
    needs: tuple[str, ...] = ()
    required: bool = False


TRAINER = ("torch", "transformers", "peft", "pydantic", "safetensors", "yaml")
"""Packages that the trainer imports; others are needed by evaluation and the command line."""

SECONDS = 540.0
"""Of the whole: a machine that is lent for ten minutes also has to start and to copy files."""

STAGES = (
    Stage(
        "machine",
        "Device, driver, versions",
        15,
        "benchmarks.device.machine:run",
        needs=("torch", "pydantic"),
        required=True,
    ),
    Stage(
        "selftest",
        "The transfer engine's self-test",
        100,
        "benchmarks.device.engine:run",
        TRAINER,
    ),
    Stage(
        "memory",
        "Memory: planned, and taken on the device",
        145,
        "benchmarks.device.memory:run",
        TRAINER,
    ),
    Stage(
        "streaming",
        "Streamed optimizer state",
        85,
        "benchmarks.device.streaming:run",
        TRAINER,
    ),
    Stage(
        "throughput",
        "Time of a step",
        110,
        "benchmarks.device.throughput:run",
        TRAINER,
    ),
    Stage(
        "scores",
        "Scores on the device and on the CPU",
        60,
        "benchmarks.device.scores:run",
        (*TRAINER, "datasets", "lm_eval"),
    ),
    Stage(
        "optimizers",
        "Other optimizers",
        25,
        "benchmarks.device.other_optimizers:run",
        TRAINER,
    ),
)
