"""The command line as it is used: in a process of its own, where that matters."""

from __future__ import annotations

import json
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import lwft_bench
from lwft_bench.cli import main
from lwft_bench.cli.commands import app
from lwft_bench.plugins import registry

HEAVY = ["torch", "transformers", "datasets", "lm_eval", "pandas", "matplotlib", "peft"]
CHECKOUT = str(Path(lwft_bench.__file__).parents[1])

BAD = """\
name: bad
models: [embedded]
methods: [fft, grss]
tasks: [arith]
seeds: [0, one]
training:
  steps: 10
  lrr: 0.1
baseline: ftt
ablate:
  strategy.temprature: [0.1, 1]
"""

PLUGIN = """\
from lwft_bench.strategies import Selection, Strategy, register


@register("mine")
class Mine(Strategy):
    '''The first unit, always.'''

    def select(self, step):
        return Selection(units=[0], num_steps=1)
"""

Result = subprocess.CompletedProcess[str]
Command = Callable[..., Result]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs the console script's function in this process."""

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["lwft-bench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return subprocess.CompletedProcess(arguments, ended.value.code, output.out, output.err)

    return run


@pytest.fixture
def process(tmp_path: Path) -> Command:
    """Runs lwft-bench in a process and a folder of its own."""

    def run(*arguments: str, python: tuple[str, ...] = ()) -> Result:
        path = os.pathsep.join(filter(None, [CHECKOUT, os.environ.get("PYTHONPATH")]))
        return subprocess.run(
            [sys.executable, *python, "-m", "lwft_bench", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
        )

    return run


def cpu_seconds() -> float:
    """Of all processes started so far: on an idle machine, what a clock shows."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_five_mistakes_are_told_at_once(process: Command, tmp_path: Path):
    (tmp_path / "bad.yaml").write_text(BAD)
    before = cpu_seconds()
    result = process("run", "bad.yaml")
    seconds = cpu_seconds() - before
    assert result.returncode == 2
    assert result.stdout == ""
    assert [line.partition(" ")[0] for line in result.stderr.splitlines()] == [
        "bad.yaml:3:",
        "bad.yaml:5:",
        "bad.yaml:8:",
        "bad.yaml:9:",
        "bad.yaml:11:",
        "see",
    ]
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "reports").exists()
    assert seconds < 2  # promised: 1 s; measured: 0.4 s


def test_the_traceback_is_shown_when_asked_for(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(BAD)
    result = command("run", "bad.yaml", "--debug")
    assert result.returncode == 2
    assert "Traceback" in result.stderr
    assert "bad.yaml:3: methods[1]: unknown method 'grss'" in result.stderr


@pytest.mark.parametrize("arguments", [("report", "x"), ("list", "x"), ("audit", "x")])
def test_every_command_shows_it_when_asked(command: Command, arguments: tuple[str, ...]):
    assert "Traceback" not in command(*arguments).stderr
    assert "Traceback" in command(*arguments, "--debug").stderr


@pytest.mark.parametrize(("arguments", "limit"), [("--help", 0.6), ("list", 1.0)])
def test_it_answers_at_once(process: Command, arguments: str, limit: float):
    before = cpu_seconds()
    assert process(arguments).returncode == 0
    assert cpu_seconds() - before < limit  # twice what is promised


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], [*HEAVY, "pydantic", "yaml", "rich", "numpy"]),
        (["list"], [*HEAVY, "numpy"]),
        (["run", "bad.yaml"], HEAVY),
        (["run", "arith", "--only", "no such cell"], HEAVY),
    ],
)
def test_it_imports_only_what_it_needs(
    process: Command, tmp_path: Path, arguments: list[str], absent: list[str]
):
    (tmp_path / "bad.yaml").write_text(BAD)
    trace = process(*arguments, python=("-X", "importtime")).stderr
    imported = {line.rpartition("|")[2].strip() for line in trace.splitlines()}
    assert "lwft_bench.cli" in imported
    assert not imported & set(absent)


def test_an_unknown_command_suggests_the_nearest(command: Command):
    result = command("rnu", "arith")
    assert result.returncode == 2
    assert "No such command 'rnu'" in result.stderr
    assert "'run'" in result.stderr


def test_the_version():
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"lwft-bench {lwft_bench.__version__}\n")


def test_list_as_json_is_for_programs():
    methods = json.loads(CliRunner().invoke(app, ["list", "methods", "--json"]).output)
    assert {"base", "fft", "lora", "lisa", "ows-norm", "grass-static", "grass"} <= {
        method["name"] for method in methods
    }
    lora = next(method for method in methods if method["name"] == "lora")
    assert list(lora) == [
        "name",
        "title",
        "citation",
        "origin",
        "path",
        "strategy",
        "adapter",
        "always_train",
        "state_policy",
        "state_on_device",
    ]
    assert (lora["origin"], lora["strategy"], lora["adapter"]) == ("built-in", "all", "lora")
    assert Path(lora["path"]).name == "lora.yaml"


@pytest.fixture
def _without_plugins(tmp_path: Path):
    yield
    registry.strategies.forget(str(tmp_path / "mine.py"))


@pytest.mark.usefixtures("_without_plugins")
def test_list_shows_every_kind_and_where_it_is_from(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(PLUGIN)
    result = command("list", "--plugin", "mine.py")
    assert result.returncode == 0, result.stderr
    listed = [line.split() for line in result.stdout.splitlines() if line]
    assert [words[0] for words in listed if len(words) == 1] == [
        "methods",
        "strategies",
        "adapters",
        "optimizers",
        "models",
        "tasks",
        "benchmarks",
        "suites",
    ]
    assert [" ".join(words) for words in listed if words[0] == "mine"] == [
        "mine mine mine.py",
        "mine The first unit, always. mine.py",
    ]
    everything = json.loads(command("list", "--json").stdout)
    assert {"embedded", "llama-2-7b"} <= {row["name"] for row in everything["models"]}
    assert {"arith", "smoke"} <= {row["name"] for row in everything["suites"]}
    for row in (row for rows in everything.values() for row in rows):
        assert row["title"], row
        assert Path(row["path"]).exists(), row


def test_list_tells_of_an_unknown_kind(command: Command):
    result = command("list", "method")
    assert result.returncode == 2
    assert result.stderr == "unknown kind 'method'; did you mean 'methods'?\n"


def test_the_schema_is_printed(command: Command):
    assert json.loads(command("schema").stdout)["title"] == "lwft-bench suite"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch):
    """What the runner is called with, which runs nothing here and says that some cells failed."""
    from lwft_bench.execution import runner

    calls = []

    def run_suite(suite, out, options):
        calls.append((suite, out, options))
        return 1

    monkeypatch.setattr(runner, "run_suite", run_suite)
    return calls


def test_run_hands_everything_on(ran, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    options = (
        "--out somewhere --set training.steps=3 --set training.lr=0.5 --only *seed7 "
        "--models embedded --methods fft,lora --tasks arith --seeds 7,8 --workers 2 "
        "--retry failed --save-weights --offline --no-reuse"
    )
    result = CliRunner().invoke(app, ["run", "arith", *options.split()])
    assert result.exit_code == 1, result.output
    ((suite, out, run_options),) = ran
    assert out == Path("somewhere")
    assert [cell.id for cell in suite.cells] == [
        "embedded--fft--arith--seed7",
        "embedded--lora--arith--seed7",
    ]
    assert {(cell.training.steps, cell.training.lr) for cell in suite.cells} == {(3, 0.5)}
    assert (run_options.workers, run_options.retry_failed) == (2, True)
    assert run_options.save_weights is True
    assert run_options.reuse is False
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_a_run_goes_to_a_folder_of_the_suites_name(ran):
    CliRunner().invoke(app, ["run", "smoke"])
    ((suite, out, run_options),) = ran
    assert out == Path("reports/smoke")
    assert (suite.name, suite.baseline, suite.source_text[:2]) == ("smoke", "fft", "# ")
    assert (run_options.workers, run_options.retry_failed, run_options.save_weights) == (
        None,
        False,
        False,
    )


@pytest.mark.parametrize("seeds", ["a", "-1", "1,", "1.5"])
def test_seeds_are_whole_numbers(command: Command, seeds: str):
    result = command("run", "smoke", f"--seeds={seeds}")
    assert result.returncode == 2
    assert result.stderr.startswith("--seeds: expected whole numbers with commas between")


@pytest.mark.parametrize("arguments", [["report", "absent"], ["table", "absent"]])
def test_what_is_no_run_is_one_message(command: Command, arguments: list[str]):
    result = command(*arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "absent" in result.stderr


@pytest.mark.parametrize("full", ["stdout", "stderr", "both"])
@pytest.mark.parametrize("arguments", [["list", "methods"], ["list", "nothing"]])
def test_output_that_takes_nothing_is_one_message(tmp_path: Path, full: str, arguments: list[str]):
    """A full disk behind a redirection: no traceback, and exit code 2 where something was lost."""
    names = ("stdout", "stderr")
    into = {name: tmp_path / name for name in names}
    into |= {name: Path("/dev/full") for name in names if full in (name, "both")}
    with into["stdout"].open("w") as out, into["stderr"].open("w") as err:
        done = subprocess.run(
            [sys.executable, "-m", "lwft_bench", *arguments],
            env={**os.environ, "PYTHONPATH": CHECKOUT},
            stdout=out,
            stderr=err,
            check=False,
        )
    told = "" if full in ("stderr", "both") else into["stderr"].read_text()
    if arguments == ["list", "methods"]:
        assert done.returncode == (0 if full == "stderr" else 2)
        if full == "stdout":
            assert told.startswith("the output: No space left on device\n")
            assert told.count("\n") == 2
    else:
        assert done.returncode == 2
        assert "Traceback" not in told


@pytest.mark.parametrize("encoding", ["latin-1", "cp437"])
def test_a_terminal_gets_a_question_mark_for_what_it_lacks(tmp_path: Path, encoding: str):
    (tmp_path / "bad.yaml").write_text("name: \u65e5\u672c\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "lwft_bench", "run", "bad.yaml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": CHECKOUT, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert b"bad.yaml:1: name: " in done.stderr
    assert b"'??'" in done.stderr
    assert b"Traceback" not in done.stderr


def test_commands_that_messages_suggest_can_be_typed(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "my plugins"
    printed = command("new", "strategy", "own", "--out", str(folder)).stdout
    (line,) = [each for each in printed.splitlines() if each.startswith("Check it:")]
    typed = shlex.split(line.partition(":")[2])
    assert typed == ["lwft-bench", "check", "strategy", str(folder / "own.py")]
    suite = tmp_path / "my suite.yaml"
    suite.write_text(
        "name: s\nmodels: [llama-2-7b]\nmethods: [fft]\ntasks: [arith]\nseeds: [0]\n"
        "training: {steps: 10, lr: 0.1}\n"
    )
    told = command("run", str(suite)).stderr
    typed = shlex.split(told.partition("`")[2].partition("`")[0])
    assert typed == ["lwft-bench", "plan", str(suite)]
