"""`lwft-bench check strategy`: by name, by file, with options."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from lwft_bench.cli.checking import all_passed, check_plugins
from lwft_bench.cli.commands import app
from lwft_bench.plugins.registry import strategies
from lwft_bench.schema.errors import UserError
from lwft_bench.testing.strategy_checks import STRATEGY_CHECKS

TWO = """\
import random

from lwft_bench.strategies import Selection, Strategy, PluginOptions, register


@register("right")
class Right(Strategy):
    varies = False

    class Options(PluginOptions):
        unit: int = 0

    def select(self, step):
        return Selection(units=[self.options.unit], num_steps=10)


@register("wrong")
class Wrong(Right):
    def select(self, step):
        random.random()
        return Selection(units=[0], num_steps=10)
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "two.py"
    path.write_text(TWO)
    yield path
    strategies.forget(str(path.resolve()))


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["check", "strategy", *arguments])


def test_a_strategy_by_name():
    result = command("lisa")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "lisa"
    assert lines[-1] == "  13 of 13 checks passed"
    assert all(name in result.output for name in STRATEGY_CHECKS)


def test_every_strategy_of_a_file(plugin: Path):
    result = command(str(plugin))
    assert result.exit_code == 1
    right, wrong = result.output.split("\n\n")
    assert right.startswith("right\n")
    assert "13 of 13 checks passed" in right
    assert "FAILED  leaves other random streams alone" in wrong
    assert "12 of 13 checks passed" in wrong


def test_options(plugin: Path):
    assert all_passed(check_plugins("strategy", str(plugin), ["unit=0"])) is False
    (outcomes,) = check_plugins("strategy", "right", ["unit=0"]).values()
    assert all(outcome.passed for outcome in outcomes)
    (outcomes,) = check_plugins("strategy", "right", ["unit=99"]).values()
    assert not all(outcome.passed for outcome in outcomes)


def test_values_are_yaml():
    assert all_passed(check_plugins("strategy", "permuted", ["inner={name: lift, period: 3}"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lsia",), "unknown strategy 'lsia'; did you mean 'lisa'"),
        (("absent.py",), "no such plugin file"),
        (("lisa", ["period"]), "expected option=value, found 'period'"),
        (("lisa", ["perod=3"]), "unknown option of strategy 'lisa'; did you mean 'period'"),
        (("lisa", ["period=0"]), "--set: period: expected a number greater than 0, found 0"),
    ],
)
def test_what_is_wrong_is_said(arguments: tuple, message: str):
    with pytest.raises(UserError, match=message):
        check_plugins("strategy", *arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [("x = 1\n", "registers no strategy"), ("x = 1\n1 / 0\n", r"mine\.py:2: ZeroDivisionError")],
)
def test_a_file_without_strategies(tmp_path: Path, text: str, message: str):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        check_plugins("strategy", str(path))
