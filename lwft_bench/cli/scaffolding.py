"""A plugin to begin with, and its test: what `lwft-bench new` writes."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from lwft_bench.cli import templates
from lwft_bench.plugins.registry import REGISTRIES, Registry
from lwft_bench.schema.errors import UserError

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")

_TEMPLATES = {
    "strategy": (templates.STRATEGY_FILE, "StrategyTests"),
    "adapter": (templates.ADAPTER_FILE, "AdapterTests"),
    "optimizer": (templates.OPTIMIZER_FILE, "OptimizerTests"),
}
_REGISTRIES = {registry.kind: registry for registry in REGISTRIES}


def write_plugin(kind: str, name: str, folder: Path) -> tuple[Path, Path]:
    """Writes a plugin that works, and a test that passes.

    Args:
        kind: "strategy", "adapter" or "optimizer".
        name: What it is registered as; the files are named after it.
        folder: Made if it is not there.

    Returns:
        The files of the plugin and of its test.

    Raises:
        UserError: The name is no good or taken, or there is a file that would be overwritten.
    """
    module, class_name = _module_and_class(_REGISTRIES[kind], name)
    template, tests = _TEMPLATES[kind]
    if re.search(rf"\b{class_name}\b", template):
        raise UserError(f"{name!r} is no name for a plugin: {class_name} is used in its file.")
    texts = {
        folder / f"{module}.py": template,
        folder / f"test_{module}.py": templates.TEST_FILE,
    }
    if there := [str(path) for path in texts if path.exists()]:
        raise UserError(f"{' and '.join(there)}: there already, and not overwritten.")
    names = {"name": name, "module": module, "class_name": class_name, "tests": tests}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            path.write_text(text.format(**names), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to: {error.strerror}.") from error
    plugin, test = texts
    return plugin, test


def _module_and_class(registry: Registry, name: str) -> tuple[str, str]:
    no_name = f"{name!r} is no name for a plugin"
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{no_name}: expected lower-case words of letters and digits, "
            f"with hyphens between, such as my-{registry.kind}."
        )
    if name in registry.names():
        raise UserError(f"the {registry.kind} name {name!r} is taken ({registry.origin(name)})")
    words = re.split("[-_]", name)
    module, class_name = "_".join(words), "".join(word.capitalize() for word in words)
    if keyword.iskeyword(class_name):
        raise UserError(f"{no_name}: {class_name} means something in Python.")
    # Its test's folder comes first on the path, where the file would hide the module.
    if module in sys.stdlib_module_names or module in packages_distributions():
        raise UserError(f"{no_name}: {module}.py would hide a module.")
    return module, class_name
