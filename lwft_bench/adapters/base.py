"""What an adapter is: how a model's weights are parameterised. Light to import."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from lwft_bench.plugins.options import PluginOptions
from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    Model = PreTrainedModel | PeftModel


class Adapter:
    """Decides which parameters a model trains. Subclass it, give it `Options`, register it."""

    class Options(PluginOptions):
        """No options."""

    name: ClassVar[str] = ""
    can_suppress: ClassVar[bool] = False
    """Whether `suppressed` is there."""

    def __init__(self, options: PluginOptions | None = None) -> None:
        self.options = self.Options() if options is None else options

    def apply(self, model: PreTrainedModel, seed: int) -> Model:
        """The model to train, made from `model`, which must not be used any more.

        Afterwards `requires_grad` of each parameter is what `trains` says. New weights are drawn
        from `seed`; torch's global random streams are left as they were.
        """
        raise NotImplementedError

    def trains(self, name: str) -> bool:
        """Whether the parameter of that qualified name, of the applied model, can be trained."""
        raise NotImplementedError

    def adds(self, name: str) -> bool:
        """Whether the parameter of that qualified name was not in the model given to `apply`."""
        return False

    def module_of(self, name: str) -> str:
        """Qualified name of the model's own module that the parameter belongs to or adapts."""
        return name.rpartition(".")[0]

    def suppressed(
        self, model: nn.Module, names: Iterable[str], factor: float
    ) -> AbstractContextManager[None]:
        """Inside, what the adapters of these parameters add is multiplied by `factor`.

        Afterwards everything is as before, bit for bit.

        Raises:
            UserError: Not with this adapter.
        """
        raise UserError(
            f"What is trained by adapter {self.name!r} cannot be suppressed: of the weights as they "
            "were before training nothing is kept.",
            hint="Use an adapter that adds to frozen weights, such as lora.",
        )

    def quantised(self, model: nn.Module) -> dict[str, int]:
        """Weights that are codes, not parameters: their qualified names, and how many each has."""
        return {}

    def num_parameters(self, model: nn.Module) -> int:
        """Of the applied model, trained or not."""
        return sum(parameter.numel() for parameter in model.parameters())

    def tensors(self, model: Model) -> Iterable[tuple[str, Tensor]]:
        """What fine-tuning made, by name: the input of `weights_digest`."""
        raise NotImplementedError

    def save(self, model: Model, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
        """Write what fine-tuning made, as safetensors, with the tokenizer."""
        raise NotImplementedError

    def load(self, model: Model, folder: Path) -> None:
        """Put what `save` wrote back into an applied model, bit for bit.

        Raises:
            UserError: Not with this adapter.
        """
        raise UserError(
            f"What adapter {self.name!r} saves cannot be read back.",
            hint="Give the adapter a `load`, or train the cell again.",
        )
