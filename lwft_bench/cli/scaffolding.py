"""A strategy to begin with, and its test: what `lwft-bench new strategy` writes."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from lwft_bench.plugins.registry import strategies
from lwft_bench.schema.errors import UserError

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")

_STRATEGY = '''\
"""The strategy {name}: what it goes by, and where that is from.

What a strategy may ask for and is shown (`needs`, `observe`, `context.measure`) is said in
docs/plugins.md. Once it goes by more than options, context and rng, it needs `state_dict` too.
"""

from pydantic import PositiveInt

from lwft_bench.strategies import Selection, Strategy, StrategyOptions, register


@register("{name}")
class {class_name}(Strategy):
    """Every `period` steps `num_active` units, drawn uniformly without replacement."""

    class Options(StrategyOptions):
        num_active: PositiveInt = 2
        """Units trained at once; all of them where there are fewer."""
        period: PositiveInt = 20
        """Steps between two draws."""

    options: Options

    def select(self, step: int) -> Selection:
        num_units = len(self.context.units)
        num_active = min(self.options.num_active, num_units)
        # All randomness comes from context.rng: the trainer saves it with its checkpoints.
        drawn = self.context.rng.choice(num_units, num_active, replace=False)
        return Selection(
            units=sorted(drawn.tolist()),
            num_steps=self.options.period,
            probabilities=[1 / num_units] * num_units,
        )
'''

_TEST = """\
from pathlib import Path

from lwft_bench.plugins.files import load_plugin
from lwft_bench.testing import check_strategy

load_plugin(Path(__file__).with_name("{module}.py"))


def test_{module}_passes_every_check():
    assert [outcome for outcome in check_strategy("{name}") if not outcome.passed] == []
"""


def write_strategy(name: str, folder: Path) -> tuple[Path, Path]:
    """Writes a strategy that works, and a test that passes.

    Args:
        name: What it is registered as; the files are named after it.
        folder: Made if it is not there.

    Returns:
        The files of the strategy and of its test.

    Raises:
        UserError: The name is no good or taken, or there is a file that would be overwritten.
    """
    module, class_name = _module_and_class(name)
    texts = {
        folder / f"{module}.py": _STRATEGY,
        folder / f"test_{module}.py": _TEST,
    }
    if there := [str(path) for path in texts if path.exists()]:
        raise UserError(f"{' and '.join(there)}: there already, and not overwritten.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            filled = text.format(name=name, module=module, class_name=class_name)
            path.write_text(filled, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to: {error.strerror}.") from error
    strategy, test = texts
    return strategy, test


def _module_and_class(name: str) -> tuple[str, str]:
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is no name for a strategy: expected lower-case words of letters and digits, "
            "with hyphens between, such as my-strategy."
        )
    if name in strategies.names():
        raise UserError(f"the strategy name {name!r} is taken ({strategies.origin(name)})")
    words = re.split("[-_]", name)
    module, class_name = "_".join(words), "".join(word.capitalize() for word in words)
    if keyword.iskeyword(class_name):
        raise UserError(
            f"{name!r} is no name for a strategy: {class_name} means something in Python."
        )
    # Its test's folder comes first on the path, where the file would hide the module.
    if module in sys.stdlib_module_names or module in packages_distributions():
        raise UserError(f"{name!r} is no name for a strategy: {module}.py would hide a module.")
    return module, class_name
