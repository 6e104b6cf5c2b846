"""What is checked on a cell's model with its values, before it trains."""

from __future__ import annotations

import torch
from torch import nn

from lwft_bench.data.batching import DataOrder
from lwft_bench.memory.meters import NoAccount
from lwft_bench.models.sharded import is_shared_out, settle
from lwft_bench.schema.errors import UserError
from lwft_bench.training.causality import require_causal
from lwft_bench.training.loss import CausalLoss, DeviceBatch
from lwft_bench.training.streams import undisturbed
from lwft_bench.training.traits import Traits


def check_model(model: nn.Module, traits: Traits, order: DataOrder, device: torch.device) -> None:
    """Raises:
    UserError: The model sees the tokens that it is to predict, its steps cannot be accounted
        for, or its logits are not what its traits say.
    """
    was_training = model.training
    with undisturbed(device):
        require_causal(model, device)
        if traits.problem is not None:
            raise UserError(
                f"what a step of this model needs cannot be told: {traits.problem}",
                "Its memory and arithmetic would be missing from every comparison.",
            )
        model.eval()
        loss = CausalLoss(model, NoAccount(), own_logits=traits.own_logits)
        agrees = loss.agrees_with_model(DeviceBatch.of(order.longest_batch()[0], device))
    model.train(was_training)
    settle(model)
    if is_shared_out(model):  # torch has given zeros to what had no gradient
        model.zero_grad()
    if not agrees:
        raise UserError(
            "the model's logits are not what its head returns, though no operation between them was"
            " found"
        )
