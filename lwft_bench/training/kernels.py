"""Kernels that not every machine has: what they need, and how a model comes to use them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from lwft_bench.plugins.extras import import_extra
from lwft_bench.schema.cell import TrainingConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.training.adapted import choose_device
from lwft_bench.training.compiled import compile_layers
from lwft_bench.training.ranks import ALONE, Ranks

_PLAIN = {"attention": "attention: sdpa", "kernels": "kernels: torch", "compile": "compile: false"}


def require_kernels(training: TrainingConfig, ranks: Ranks = ALONE) -> None:
    """Whether what the cell asks for is on this machine.

    Raises:
        UserError: A package, a device or a compiler is missing.
    """
    device = choose_device(training.device)
    if training.attention == "flash_attention_2":
        _require_package("attention", training.attention, "flash_attn", "flash")
    if training.kernels == "liger":
        _require_package("kernels", "liger", "liger_kernel", "liger")
    for key in ("attention", "kernels"):
        wanted = getattr(training, key)
        if wanted in ("flash_attention_2", "flex_attention", "liger") and device.type != "cuda":
            raise UserError(
                f"training.{key}: {wanted} needs a CUDA device, and the cell's is {device}",
                f"Set `training.{_PLAIN[key]}`.",
            )
    if training.compile:
        _require_compiler(device, ranks)


def use_kernels(model: nn.Module, layers: Iterable[nn.Module], training: TrainingConfig) -> None:
    """Fused and compiled layers in the place of plain ones.

    Raises:
        UserError: Liger has no kernels for the model.
    """
    if training.kernels == "liger":
        _use_liger(model)
    if training.compile:
        compile_layers(layers)


def _require_package(key: str, wanted: str, package: str, extra: str) -> None:
    if find_spec(package) is None:
        raise UserError(
            f"training.{key}: {wanted} needs the package {package}, which is not installed",
            f"pip install 'lwft-bench[{extra}]', or set `training.{_PLAIN[key]}`",
        )


def _require_compiler(device: torch.device, ranks: Ranks) -> None:
    instead = f"Set `training.{_PLAIN['compile']}`."
    if ranks.world > 1:
        raise UserError(
            "training.compile: compiled layers have not been tried over several processes", instead
        )
    if device.type == "cpu":
        from torch._inductor import cpp_builder, exc

        try:
            cpp_builder.get_cpp_compiler()
        except (exc.InductorError, RuntimeError, OSError) as error:
            raise UserError(
                "training.compile: on a CPU this needs a C++ compiler, and none was found", instead
            ) from error
    elif find_spec("triton") is None:
        raise UserError(
            f"training.compile: on {device.type} this needs the package triton, which is not here",
            instead,
        )


def _use_liger(model: nn.Module) -> None:
    """Norms and MLPs of this model alone.

    Its rotary embedding would be that of all models of the process, and the loss is the trainer's own.
    """
    liger = import_extra("liger_kernel.transformers.monkey_patch", "liger")
    inner: Any = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
    family = inner.config.model_type
    if family not in liger.MODEL_TYPE_TO_APPLY_LIGER_FN:
        raise UserError(
            f"training.kernels: liger has none for models of type {family}",
            f"Set `training.{_PLAIN['kernels']}`.",
        )
    module = vars(sys.modules[type(inner).__module__])
    before = dict(module)
    liger._apply_liger_kernel_to_instance(
        inner, rope=False, cross_entropy=False, fused_linear_cross_entropy=False
    )
    module.update(before)  # classes that other models would be made of
