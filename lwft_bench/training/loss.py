"""The loss: the sum of cross-entropies over target tokens, without full logits where possible."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from lwft_bench.data.batching import IGNORED, Batch
from lwft_bench.data.masks import unmasked
from lwft_bench.data.micro_batches import Packing
from lwft_bench.memory.meters import Account
from lwft_bench.models.sharded import is_shared_out
from lwft_bench.schema.errors import UserError

CHUNK_LOGITS = 2**23
"""Logits held at a time: 32 MiB in float32."""


@dataclass(frozen=True, slots=True)
class DeviceBatch:
    """A micro-batch on the device.

    input_ids: [B, L]. positions: [T], where in the flattened [B * L] hidden states the next token is
    a target; targets: [T], that token. Positions are found on the host, so that nothing depends on
    values on the device.
    """

    input_ids: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor
    packing: Packing | None = None
    """Of sequences in one row; None where each has its own."""

    @classmethod
    def of(cls, batch: Batch, device: torch.device) -> DeviceBatch:
        """Copies a micro-batch to the device."""
        following = torch.full_like(batch.labels, IGNORED)
        following[:, :-1] = batch.labels[:, 1:]
        flat = following.flatten()
        positions = (flat != IGNORED).nonzero().squeeze(1)
        input_ids, positions, targets = (
            tensor.to(device, non_blocking=True)
            for tensor in (batch.input_ids, positions, flat[positions])
        )
        packing = batch.packing.to(device) if batch.packing else None
        return cls(input_ids, positions, targets, packing)

    def without_targets(self) -> DeviceBatch:
        """The same tokens, of which none counts: its loss and gradients are zero."""
        return replace(self, positions=self.positions[:0], targets=self.targets[:0])


class CausalLoss:
    """Sum over target tokens of -log p(token), in float32.

    In training the auxiliary loss of routers comes on top, where it is asked for.

    Of a model that is shared out all processes call it together.

    By default the head is applied to the hidden states of target tokens only, in chunks. Models that
    do more to their logits than apply the head (soft caps, scales) need `own_logits=True`, as do
    those whose head is more than a linear map.
    """

    def __init__(
        self,
        model: nn.Module,
        account: Account,
        *,
        own_logits: bool = False,
        router_loss: Literal["auto", "on", "off"] = "auto",
    ) -> None:
        self._model = model
        self._router_weight = router_loss_weight(model, router_loss)
        self._account = account
        self._head: nn.Module = model.get_output_embeddings()  # type: ignore[operator]
        self.own_logits = own_logits or not head_is_linear(self._head)

    def __call__(self, batch: DeviceBatch) -> torch.Tensor:
        """Scalar float32; divide by the number of target tokens of the optimizer step."""
        balances = self._router_weight > 0 and self._model.training
        if self.own_logits:
            output = self._forward(batch, balances)
            with self._account.component("logits_and_loss"):
                chosen = output.logits.flatten(0, 1)[batch.positions].float()
                loss = functional.cross_entropy(chosen, batch.targets, reduction="sum")
        else:
            with _skipped(self._head, linked=is_shared_out(self._model)) as given:
                output = self._forward(batch, balances)
            (hidden,) = given
            del given[:]
            with self._account.component("logits_and_loss"):
                chosen = hidden.flatten(0, 1)[batch.positions]
                loss = ChunkedCrossEntropy.apply(
                    chosen, self._head.weight, self._head.bias, batch.targets
                )
        if balances:  # once the sum is divided by target tokens: with the weight that it has
            loss = loss + self._router_weight * output.aux_loss * len(batch.targets)
        return loss

    def _forward(self, batch: DeviceBatch, balances: bool = False) -> Any:
        options: dict[str, Any] = {"output_router_logits": True} if balances else {}
        if batch.packing is not None:
            options |= {"position_ids": batch.packing.position_ids, "packing": batch.packing}
        with unmasked():
            return self._model(input_ids=batch.input_ids, use_cache=False, **options)

    def agrees_with_model(self, batch: DeviceBatch) -> bool:
        """Whether the model's logits on this batch are what its head returns, in every bit."""
        if self.own_logits:
            return True
        returned: list[torch.Tensor] = []
        forward = self._head.forward

        def watched(hidden: torch.Tensor) -> torch.Tensor:
            returned.append(forward(hidden).clone())
            return returned[-1].clone()

        self._head.forward = watched
        try:
            with torch.no_grad():
                logits = self._forward(batch).logits
        finally:
            del self._head.forward
        return len(returned) == 1 and torch.equal(returned[0].float(), logits.float())


def router_loss_weight(model: nn.Module, router_loss: Literal["auto", "on", "off"]) -> float:
    """What the routers' auxiliary loss is multiplied by in training; 0: there is none.

    Raises:
        UserError: It is asked for, and the model has none.
    """
    if router_loss == "off":
        return 0.0
    config: Any = getattr(model, "config", None)
    text = config.get_text_config() if config is not None else None
    weight = getattr(text, "router_aux_loss_coef", None)
    if router_loss == "auto":
        return float(weight or 0.0) if getattr(text, "output_router_logits", False) else 0.0
    if weight is None:
        raise UserError(
            "training.router_loss: the model's config has no router_aux_loss_coef: transformers makes"
            " no auxiliary loss of routers for it",
            "Set `training.router_loss: off`, or leave it out.",
        )
    return float(weight)


def head_is_linear(head: nn.Module) -> bool:
    """Whether the head does what torch's linear map does, and nothing else."""
    return isinstance(head, nn.Linear) and type(head).forward is nn.Linear.forward


@contextmanager
def _skipped(head: nn.Module, *, linked: bool) -> Iterator[list[torch.Tensor]]:
    """Inside, the model's head returns what it is given, and appends it to the list.

    Args:
        linked: Whether backward passes have to come through what the model returns even where nothing
            below the head trains: a model that is shared out sums its head's gradient only then.
    """
    given: list[torch.Tensor] = []

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        if linked and torch.is_grad_enabled():
            hidden = hidden.clone() if hidden.requires_grad else hidden.detach().requires_grad_()
        given.append(hidden)
        return hidden

    head.forward = forward
    try:
        yield given
    finally:
        del head.forward


class ChunkedCrossEntropy(torch.autograd.Function):
    """Cross-entropy of `hidden @ weight.T + bias`, summed; gradients are made in the forward pass.

    Holds the logits of one chunk of tokens at a time, so peak memory does not grow with
    tokens x vocabulary. Gradients of weight and bias are made only if they are asked for.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
    ) -> torch.Tensor:
        """Hidden [T, d], weight [V, d], bias [V] or None, targets [T] -> scalar float32."""
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight = torch.zeros_like(weight) if wants_weight else None
        grad_bias = torch.zeros_like(bias) if wants_bias and bias is not None else None
        rows = max(1, CHUNK_LOGITS // weight.shape[0])
        for start in range(0, hidden.shape[0], rows):
            part = slice(start, start + rows)
            logits = functional.linear(hidden[part], weight, bias).float()
            chosen = targets[part].unsqueeze(1)
            normaliser = logits.logsumexp(1, keepdim=True)
            total += (normaliser - logits.gather(1, chosen)).sum()
            if not (wants_hidden or wants_weight or wants_bias):
                continue
            slope = logits.sub_(normaliser).exp_()
            slope.scatter_add_(1, chosen, torch.full_like(chosen, -1, dtype=slope.dtype))
            slope = slope.to(hidden.dtype)
            if grad_hidden is not None:
                grad_hidden[part] = slope @ weight
            if grad_weight is not None:
                grad_weight.addmm_(slope.T, hidden[part])
            if grad_bias is not None:
                grad_bias += slope.sum(0)
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        return total

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple[Any, ...]:
        gradients = ctx.saved_tensors
        return *(g if g is None else g.mul_(grad_output) for g in gradients), None
