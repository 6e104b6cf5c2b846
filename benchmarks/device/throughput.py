"""The stage on the time of a step: methods by turns, ragged batches, peers, kernels, compiled layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.device.cells import cell, model
from benchmarks.device.peers import peers
from benchmarks.device.ragged import ragged
from benchmarks.device.setting import NotHere, Row, Setting, attempt, release, require
from benchmarks.device.turns import Turns, by_turns, one_at_a_time, ratio, trainer
from lwft_bench.models.parts import find_parts
from lwft_bench.planning.plan import Planner
from lwft_bench.schema.cell import Cell, ModelConfig
from lwft_bench.selftest.steps import Steps

METHODS = ("lora", "fft", "lisa", "grass", "badam")
REFERENCE = METHODS[0]
FIT_TOGETHER = ("lora", "lisa", "grass", "badam")
"""What is on one device at once in the large shape; full fine-tuning takes most of it alone."""


@dataclass(frozen=True, slots=True)
class Size:
    """together: all its methods are on the device at once. kernel_turns: where kernels are compared."""

    model: str
    rows: int
    length: int
    turns: int
    steps: int
    methods: tuple[str, ...] = METHODS
    together: bool = True
    kernel_turns: int = 3


SMALL = Size("tinyllama-1.1b", 8, 512, turns=6, steps=4)
LARGE = Size("llama-2-7b", 4, 512, turns=4, steps=3, methods=FIT_TOGETHER)
TINY = Size("tiny", 2, 16, turns=2, steps=1, kernel_turns=2)


def run(setting: Setting) -> Iterator[Row]:
    small = TINY if setting.rehearse else SMALL
    yield from _methods(setting, small)
    large = TINY if setting.rehearse else LARGE
    if not setting.rehearse:
        yield from _methods(setting, large)
    yield from _methods(setting, apart(large))
    yield from ragged(setting, small.model)
    yield from peers(setting, small.model, small.rows, small.length)
    yield from _kernels(setting, small)


def apart(size: Size) -> Size:
    """Full fine-tuning by itself."""
    return replace(size, together=False, turns=1, methods=("fft",))


def _cell(method: str, shape: ModelConfig, size: Size, **training: Any) -> Cell:
    return cell(method, shape, size.rows, size.length, **training)


def _made(setting: Setting, method: str, size: Size, **training: Any) -> Steps:
    """With a selection that a plan takes for typical."""
    one = _cell(method, model(size.model, rehearse=setting.rehearse), size, **training)
    return trainer(one, setting.device, Planner(num_samples=1).draws(one).typical[0])


def _methods(setting: Setting, size: Size) -> Iterator[Row]:
    """Probing and switches are left out: it is the step that is timed."""
    table = f"{size.model}, {size.rows} x {size.length}, bf16, " + (
        "all by turns" if size.together else "alone"
    )
    table += f"; ratios to {REFERENCE}"
    make = {method: partial(_made, setting, method, size) for method in size.methods}
    wrong: dict[str, str] = {}
    turns: dict[str, Turns] = {}

    def together() -> Row:
        alive = {method: one() for method, one in make.items()}
        runs = {method: steps.train for method, steps in alive.items()}
        turns.update(by_turns(runs, size.turns, size.steps, setting.device))
        return {}

    if size.together:
        row = attempt(table, "all", together)
        if "failed" in row:
            yield row
    else:
        turns, wrong = one_at_a_time(
            make, size.turns, size.steps, setting.device, lambda: setting.left() > 12
        )
    release(setting.device)
    for method, found in turns.items():
        yield {"table": table, "what": method, **_speed(size, found, turns.get(REFERENCE))}
    for method, why in wrong.items():
        yield {"table": table, "what": method, "failed": why}


def _speed(size: Size, found: Turns, reference: Turns | None) -> Row:
    tokens = size.rows * size.length
    row = {"step_seconds": found.median, "tokens_per_second": tokens / found.median}
    if reference is None or reference is found:
        return row
    return row | ratio(found, reference)


def _kernels(setting: Setting, size: Size) -> Iterator[Row]:
    """fft's step with other kernels, each against plain sdpa in the same turns."""
    table = (
        f"fft on {size.model}, {size.rows} x {size.length}: kernels, against sdpa as torch chooses"
    )

    def sdpa(backend: SDPBackend) -> Callable[[], AbstractContextManager[None]]:
        return lambda: sdpa_kernel(backend)

    tried: list[tuple[str, Callable[[], Steps], Callable[[], AbstractContextManager[None]]]] = [
        (
            "sdpa, flash attention alone",
            partial(_made, setting, "fft", size),
            sdpa(SDPBackend.FLASH_ATTENTION),
        ),
        ("sdpa, mathematics alone", partial(_made, setting, "fft", size), sdpa(SDPBackend.MATH)),
        ("eager", partial(_made, setting, "fft", size, attention="eager"), nullcontext),
        ("flash-attn package", partial(_flash, setting, size), nullcontext),
        ("compiled layers", partial(_compiled, setting, size), nullcontext),
        ("Liger kernels", partial(_liger, setting, size), nullcontext),  # last: it patches for good
    ]
    for name, make, context in tried:
        if setting.left() < 8:
            return
        yield attempt(table, name, partial(_against, setting, size, make, context))
        release(setting.device)


def _against(
    setting: Setting,
    size: Size,
    make: Callable[[], Steps],
    context: Callable[[], AbstractContextManager[None]],
) -> Row:
    plain = _made(setting, "fft", size)
    other = make()

    def within(number: int) -> float:
        with context():
            return other.train(number)

    turns = by_turns(
        {"other": within, "plain": plain.train}, size.turns, size.steps, setting.device
    )
    return {"step_seconds": turns["other"].median, **ratio(turns["other"], turns["plain"])}


def _flash(setting: Setting, size: Size) -> Steps:
    require("flash_attn")
    steps = _made(setting, "fft", size)
    steps.assembly.model.set_attn_implementation("flash_attention_2")  # type: ignore[operator]
    return steps


def _compiled(setting: Setting, size: Size) -> Steps:
    if setting.device == "cpu":
        raise NotHere("compiling for the CPU needs a C++ compiler and minutes")
    require("triton")
    steps = _made(setting, "fft", size)
    for layer in find_parts(steps.assembly.model).layers:
        layer.compile()
    return steps


def _liger(setting: Setting, size: Size) -> Steps:
    require("liger_kernel")
    if setting.device == "cpu":
        raise NotHere("Liger's kernels are Triton's, which has none for the CPU")
    from liger_kernel.transformers import apply_liger_kernel_to_llama

    apply_liger_kernel_to_llama()
    return _made(setting, "fft", size)
