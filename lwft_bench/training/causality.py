"""Whether a model sees what it is to predict. Checked before anything trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten
from typing import Any

import torch
from torch import nn

from lwft_bench.data.masks import unmasked
from lwft_bench.schema.errors import UserError, described, text_of

LENGTH = 16
NOISE = {torch.float32: 1e-3, torch.bfloat16: 1e-1}
"""How much of the change of later logits may reach earlier ones by rounding alone."""
MENDED_BY = ("is_decoder", "causal")
"""Switches of transformers' configs that make a model look back only."""


def require_causal(model: nn.Module, device: torch.device) -> None:
    """Changes later tokens and looks whether earlier logits move, in evaluation mode.

    Logits that move by a little may do so by rounding, where tokens share a kernel. So it is then
    asked, too, whether earlier logits have a gradient with respect to later embeddings.

    Raises:
        UserError: They do.
    """
    was_training = model.training
    model.eval()
    try:
        try:
            share = _share_that_moves(model, device)
        except Exception as error:  # whatever the model's code raises
            if isinstance(error, torch.OutOfMemoryError) or "memory" in text_of(error):
                raise
            dtype = str(_dtype(model)).removeprefix("torch.")
            raise UserError(
                f"{type(_unwrapped(model)).__name__} cannot be run on token ids alone in {dtype}"
                f" ({shorten(described(error), 200)})",
                "Text-only training needs a model that takes nothing else, in this precision.",
            ) from error
        if share == 0 or (share < NOISE.get(_dtype(model), 1e-1) and not _reaches(model, device)):
            return
    finally:
        model.train(was_training)
    config: Any = getattr(model, "config", None)
    switches = [name for name in MENDED_BY if getattr(config, name, None) is False]
    raise UserError(
        f"{type(_unwrapped(model)).__name__} sees ahead: its logits for a token change with the tokens "
        "after it, which are what it is to predict, so its loss would mean nothing",
        f"Set `{switches[0]}: true` in the model's config.json (or its `config`)"
        if switches
        else "Use a causal language model.",
    )


def _ids(model: nn.Module, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Two rows that differ in their second halves."""
    size: int = model.get_input_embeddings().weight.shape[0]  # type: ignore[operator]
    ids = (torch.arange(LENGTH, device=device)[None] * 7 + 5) % size
    changed = ids.clone()
    changed[:, LENGTH // 2 :] = (changed[:, LENGTH // 2 :] + size // 2) % size
    return ids, changed


def _share_that_moves(model: nn.Module, device: torch.device) -> float:
    """Mean change of earlier logits over that of later ones."""
    with torch.no_grad(), unmasked():
        logits = [
            model(input_ids=ids, use_cache=False).logits.float() for ids in _ids(model, device)
        ]
    change = (logits[0] - logits[1]).abs().mean(-1).flatten()
    earlier, later = change[: LENGTH // 2].mean(), change[LENGTH // 2 :].mean()
    return float(earlier / later) if later > 0 else float(earlier > 0)


def _reaches(model: nn.Module, device: torch.device) -> bool:
    """Whether earlier logits depend on later embeddings."""
    with torch.enable_grad(), unmasked(), embeddings_apart(model) as embeddings:
        logits = model(input_ids=_ids(model, device)[0], use_cache=False).logits
        (gradient,) = torch.autograd.grad(
            logits[:, : LENGTH // 2].float().square().sum(), embeddings[:1]
        )
    return bool(gradient[:, LENGTH // 2 :].any())


@contextmanager
def embeddings_apart(model: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Gets what the embedding gives inside, which gradients can be asked of."""
    embeddings: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        embeddings.append(output.detach().requires_grad_(True))
        return embeddings[-1]

    handle = model.get_input_embeddings().register_forward_hook(keep)  # type: ignore[operator]
    try:
        yield embeddings
    finally:
        handle.remove()


def _dtype(model: nn.Module) -> torch.dtype:
    return next(p.dtype for p in model.parameters() if p.is_floating_point())


def _unwrapped(model: nn.Module) -> nn.Module:
    base = getattr(model, "get_base_model", None)
    return base() if base else model
