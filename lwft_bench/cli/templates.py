"""The files that `lwft-bench new` writes, with `{name}`, `{module}` and `{class_name}` to fill in."""

STRATEGY_FILE = '''\
"""The strategy {name}: what it goes by, and where that is from.

What a strategy may ask for and is shown (`needs`, `observe`, `context.measure`) is said in
docs/plugins.md. Once it goes by more than options, context and rng, it needs `state_dict` too.
"""

from pydantic import PositiveInt

from lwft_bench import PluginOptions, Selection, Strategy, register


@register("{name}")
class {class_name}(Strategy):
    """Every `period` steps `num_active` units, drawn uniformly without replacement."""

    class Options(PluginOptions):
        """What a suite can set."""

        num_active: PositiveInt = 2
        """Units trained at once; all of them where there are fewer."""
        period: PositiveInt = 20
        """Steps between two draws."""

    options: Options

    def select(self, step: int) -> Selection:
        """Draws anew at every period."""
        num_units = len(self.context.units)
        num_active = min(self.options.num_active, num_units)
        # All randomness comes from context.rng: the trainer saves it with its checkpoints.
        units = self.context.rng.choice(num_units, num_active, replace=False)
        return Selection(
            units=sorted(units.tolist()),
            num_steps=self.options.period,
            probabilities=[1 / num_units] * num_units,
        )
'''

ADAPTER_FILE = '''\
"""The adapter {name}: which parameters it trains or adds, and where that is from.

What an adapter is asked is said in docs/plugins.md. One that adds parameters draws them from `seed`,
says which they are (`adds`) and which module each belongs to (`module_of`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lwft_bench import Adapter, PluginOptions, register_adapter

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@register_adapter("{name}")
class {class_name}(Adapter):
    """The weights whose names contain a pattern, trained directly."""

    class Options(PluginOptions):
        """What a suite can set."""

        pattern: str = "norm"
        """What the names of the parameters to train contain."""

    options: Options

    def apply(self, model: PreTrainedModel, seed: int) -> PreTrainedModel:
        """Adds nothing: `seed` is for what is drawn."""
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(self.trains(name))
        return model

    def trains(self, name: str) -> bool:
        """Those whose name contains the pattern."""
        return self.options.pattern in name

    def tensors(self, model: PreTrainedModel) -> Iterable[tuple[str, Tensor]]:
        """What is trained, and nothing else."""
        return [(name, p) for name, p in model.named_parameters() if self.trains(name)]

    def save(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path
    ) -> None:
        """Writes a model folder of transformers."""
        model.save_pretrained(str(folder))
        tokenizer.save_pretrained(str(folder))
'''

OPTIMIZER_FILE = '''\
"""The optimizer {name}: its update, and where that is from.

What an optimizer is asked is said in docs/plugins.md. All that it goes by from one update to the next
is in the fields of its state, which begin as zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import NonNegativeFloat

from lwft_bench import Optimizer, PluginOptions, register_optimizer
from lwft_bench.optimizers import Field

if TYPE_CHECKING:
    import torch


@register_optimizer("{name}")
class {class_name}(Optimizer):
    """Gradient descent with momentum."""

    kind = "elementwise"

    class Options(PluginOptions):
        """What a suite can set."""

        momentum: NonNegativeFloat = 0.9
        """The share of the direction that is kept from one update to the next."""

    options: Options

    def fields(self, shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Field, ...]:
        """One entry an element: the direction."""
        return (Field("direction", dtype, shape),)

    def update(
        self,
        weight: torch.Tensor,
        gradient: torch.Tensor,
        state: dict[str, torch.Tensor],
        step: int,
        lr: float,
    ) -> None:
        """Moves the weights against the direction, in place."""
        state["direction"].mul_(self.options.momentum).add_(gradient)
        weight.sub_(state["direction"], alpha=lr)
'''

TEST_FILE = """\
\"\"\"The checks that every plugin of its kind passes, on {name}.\"\"\"

from lwft_bench.testing import {tests}


class Test{class_name}({tests}):
    \"\"\"Add tests of what only this one does.\"\"\"

    file = "{module}.py"
    name = "{name}"
"""
