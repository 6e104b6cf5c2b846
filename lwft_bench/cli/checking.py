"""Checks of plugins by name or file: what `lwft-bench check` runs and shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lwft_bench.plugins.files import load_plugin
from lwft_bench.plugins.registry import REGISTRIES, Registry
from lwft_bench.schema.documents import parse_document
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.problems import ConfigError, KeyPath, format_key, validate
from lwft_bench.testing import CheckOutcome, check_adapter, check_optimizer, check_strategy

_Checked = Mapping[str, Sequence[CheckOutcome]]
"""Name -> the outcomes of its checks."""

_CHECKERS: dict[str, Callable[[Any, Any], list[CheckOutcome]]] = {
    "strategy": check_strategy,
    "adapter": check_adapter,
    "optimizer": check_optimizer,
}
_REGISTRIES = {registry.kind: registry for registry in REGISTRIES}
_DECORATORS = {
    "strategy": "register",
    "adapter": "register_adapter",
    "optimizer": "register_optimizer",
}


def check_plugins(kind: str, file_or_name: str, settings: Sequence[str] = ()) -> _Checked:
    """Runs every check on a registered plugin, or on all of its kind that a file registers.

    Args:
        kind: "strategy", "adapter" or "optimizer".
        file_or_name: A plugin file, or a name.
        settings: `option=value`, the value in YAML.

    Raises:
        UserError: There is no such plugin or file, the file is broken, or options are wrong.
    """
    registry = _REGISTRIES[kind]
    is_file = _is_file(registry, file_or_name)
    names = _registered_by(registry, file_or_name) if is_file else [file_or_name]
    given = dict(_option(text) for text in settings)
    options = {name: _options(registry, name, given) for name in names}
    return {name: _CHECKERS[kind](name, options[name]) for name in names}


def outcomes_as_text(checked: _Checked) -> str:
    """A line a check, and under them how many were passed."""
    return "\n\n".join(
        "\n".join([name, *map(_line, outcomes), _total(outcomes)])
        for name, outcomes in checked.items()
    )


def all_passed(checked: _Checked) -> bool:
    """Whether every plugin passed every check."""
    return all(outcome.passed for outcomes in checked.values() for outcome in outcomes)


def _is_file(registry: Registry, file_or_name: str) -> bool:
    if file_or_name.endswith(".py"):
        return True
    return file_or_name not in registry.names() and Path(file_or_name).is_file()


def _registered_by(registry: Registry, file: str) -> list[str]:
    load_plugin(file)
    origin = str(Path(file).resolve())
    names = [name for name in registry.names() if registry.origin(name) == origin]
    if not names:
        raise UserError(
            f"{file}: registers no {registry.kind}.",
            f'Put @{_DECORATORS[registry.kind]}("<name>") from lwft_bench above its class.',
        )
    return names


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--set: expected option=value, found {text!r}")
    return key, parse_document(value, "--set").value


def _options(registry: Registry, name: str, given: Mapping[str, Any]) -> Any:
    def locate(path: KeyPath) -> tuple[str, str]:
        return "--set", format_key(path)

    noun = f"option of {registry.kind} {name!r}"
    options, problems = validate(registry.get(name).Options, dict(given), locate, noun)
    if problems:
        raise ConfigError(problems)
    return options


def _line(outcome: CheckOutcome) -> str:
    verdict = "passed" if outcome.passed else "FAILED"
    return f"  {verdict}  {outcome.name:<35}  {outcome.detail}"


def _total(outcomes: Sequence[CheckOutcome]) -> str:
    passed = sum(outcome.passed for outcome in outcomes)
    return f"  {passed} of {len(outcomes)} checks passed"
