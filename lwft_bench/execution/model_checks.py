"""What is checked on a cell's model with its values, before it trains."""

from __future__ import annotations

import torch
from torch import nn

from lwft_bench.config.models import Cell
from lwft_bench.data.batching import DataOrder
from lwft_bench.errors import UserError
from lwft_bench.training.causality import require_causal
from lwft_bench.training.loss import CausalLoss, DeviceBatch
from lwft_bench.training.meters import NoAccount
from lwft_bench.training.streams import undisturbed
from lwft_bench.training.traits import Traits


def check_model(
    cell: Cell, model: nn.Module, traits: Traits, order: DataOrder, device: torch.device
) -> None:
    """
    Raises:
        UserError: The model sees the tokens that it is to predict, its steps cannot be accounted
            for, or its logits are not what its traits say.
    """
    name = f"model {cell.model.name}"
    was_training = model.training
    with undisturbed(device):
        require_causal(model, device)
        if traits.problem is not None:
            raise UserError(
                f"{name}: what a step of it needs cannot be told, since its operations depend on"
                f" values ({traits.problem})",
                "Its memory and arithmetic would be missing from every comparison.",
            )
        model.eval()
        loss = CausalLoss(model, NoAccount(), own_logits=traits.own_logits)
        agrees = loss.agrees_with_model(DeviceBatch.of(order.longest_batch()[0], device))
    model.train(was_training)
    if not agrees:
        raise UserError(
            f"{name}: its logits are not what its head returns, though no operation between them was"
            " found"
        )
