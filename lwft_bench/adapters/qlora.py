"""Low-rank adapters on four-bit weights (QLoRA, arXiv 2305.14314). Light to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lwft_bench.adapters.lora import Lora, Targets
from lwft_bench.plugins.registry import register_adapter
from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from lwft_bench.adapters.base import Model


@register_adapter("qlora")
class Qlora(Lora):
    """LoRA on a base model whose layers' linear maps are kept in four bits (NF4).

    Embedding, head and norms keep the model's precision, as do the adapters and all arithmetic.
    """

    class Options(Lora.Options):
        targets: Targets = "all-linear"
        """As of LoRA. All linear maps of layers are quantised, adapted or not."""
        double_quantisation: bool = True
        """Quantise the scales of the blocks, too, to eight bits."""
        dora: Literal[False] = False
        """DoRA needs the weights' norms: not with four bits."""

    options: Qlora.Options

    def apply(self, model: PreTrainedModel, seed: int) -> Model:
        """Raises:
        UserError: bitsandbytes is missing, a target matches no linear module, or the model's
            layers have no linear modules of torch's (GPT-2's are of another kind).
        """
        from torch import nn

        from lwft_bench.adapters.linear4bit import Linear4bit
        from lwft_bench.models.parts import find_parts

        dtype = model.dtype
        stack = model.get_submodule(find_parts(model).decoder_path)
        linear = {name: m for name, m in stack.named_modules() if isinstance(m, nn.Linear)}
        if not linear:
            raise UserError(
                "adapter 'qlora': the model's layers have no torch.nn.Linear to quantise",
                "use the adapter lora",
            )
        for name, module in linear.items():
            parent, _, child = name.rpartition(".")
            quantised = Linear4bit(module, nested=self.options.double_quantisation)
            setattr(stack.get_submodule(parent), child, quantised)
        adapted = super().apply(model, seed)
        for name, parameter in adapted.named_parameters():
            if self.trains(name):
                parameter.data = parameter.data.to(dtype)  # peft goes by the dtype of the codes
        return adapted

    def quantised(self, model: nn.Module) -> dict[str, int]:
        from lwft_bench.adapters.linear4bit import Linear4bit

        return {
            f"{name}.weight": module.in_features * module.out_features
            for name, module in model.named_modules()
            if isinstance(module, Linear4bit)
        }

    def num_parameters(self, model: nn.Module) -> int:
        """Weights of four bits are counted one by one, though two share a byte."""
        return super().num_parameters(model) + sum(self.quantised(model).values())
