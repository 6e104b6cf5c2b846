"""What is checked on a cell's model with its values, before it trains."""

from __future__ import annotations

from dataclasses import replace

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
) -> Traits:
    """The traits, with what could not be told without values.

    Raises:
        UserError: The model sees the tokens that it is to predict, or its logits are not what its
            traits say.
    """
    was_training = model.training
    with undisturbed(device):
        require_causal(model, device)
        loss = CausalLoss(model, NoAccount())
        model.eval()
        agrees = loss.agrees_with_model(DeviceBatch.of(order.longest_batch()[0], device))
    model.train(was_training)
    if not traits.traced:
        return replace(traits, own_logits=not agrees or loss.own_logits)
    if not traits.own_logits and not agrees:
        raise UserError(
            f"model {cell.model.name}: its logits are not what its head returns, though no operation "
            "between them was found"
        )
    return traits
