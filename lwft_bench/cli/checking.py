"""Checks of strategies by name or file: what `lwft-bench check strategy` runs and shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lwft_bench.plugins.files import load_plugin
from lwft_bench.plugins.registry import strategies
from lwft_bench.schema.documents import parse_document
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.problems import ConfigError, KeyPath, format_key, validate
from lwft_bench.testing import CheckOutcome, check_strategy

Checked = Mapping[str, Sequence[CheckOutcome]]
"""Strategy name -> the outcomes of its checks."""


def check_strategies(file_or_name: str, settings: Sequence[str] = ()) -> Checked:
    """Runs every check on a registered strategy, or on all that a plugin file registers.

    Args:
        settings: `option=value`, the value in YAML.

    Raises:
        UserError: There is no such strategy or file, the file is broken, or options are wrong.
    """
    names = _registered_by(file_or_name) if _is_file(file_or_name) else [file_or_name]
    given = dict(_option(text) for text in settings)
    options = {name: _options(name, given) for name in names}
    return {name: check_strategy(name, options[name]) for name in names}


def as_text(checked: Checked) -> str:
    """A line a check, and under them how many were passed."""
    return "\n\n".join(
        "\n".join([name, *map(_line, outcomes), _total(outcomes)])
        for name, outcomes in checked.items()
    )


def all_passed(checked: Checked) -> bool:
    return all(outcome.passed for outcomes in checked.values() for outcome in outcomes)


def _is_file(file_or_name: str) -> bool:
    if file_or_name.endswith(".py"):
        return True
    return file_or_name not in strategies.names() and Path(file_or_name).is_file()


def _registered_by(file: str) -> list[str]:
    load_plugin(file)
    origin = str(Path(file).resolve())
    names = [name for name in strategies.names() if strategies.origin(name) == origin]
    if not names:
        raise UserError(
            f"{file}: registers no strategy.",
            'Put @register("<name>") from lwft_bench.strategies above its class.',
        )
    return names


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--set: expected option=value, found {text!r}")
    return key, parse_document(value, "--set").value


def _options(name: str, given: Mapping[str, Any]) -> Any:
    def locate(path: KeyPath) -> tuple[str, str]:
        return "--set", format_key(path)

    cls = strategies.get(name)
    options, problems = validate(cls.Options, dict(given), locate, f"option of strategy {name!r}")
    if problems:
        raise ConfigError(problems)
    return options


def _line(outcome: CheckOutcome) -> str:
    verdict = "passed" if outcome.passed else "FAILED"
    return f"  {verdict}  {outcome.name:<35}  {outcome.detail}"


def _total(outcomes: Sequence[CheckOutcome]) -> str:
    passed = sum(outcome.passed for outcome in outcomes)
    return f"  {passed} of {len(outcomes)} checks passed"
