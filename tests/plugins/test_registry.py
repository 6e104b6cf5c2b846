"""Names and the classes behind them: built-in, entry points and plugin files."""

from __future__ import annotations

import importlib.metadata
import itertools
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lwft_bench.plugins import registry
from lwft_bench.plugins.files import load_plugin
from lwft_bench.plugins.registry import Registry
from lwft_bench.plugins.sources import source_files
from lwft_bench.schema.errors import UserError
from lwft_bench.strategies import PluginOptions, Strategy

BASE = "lwft_bench.strategies.base:Strategy"
Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Writes Python files; what they register is forgotten afterwards."""
    written: list[Path] = []

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        written.append(path)
        return path

    yield write_file
    for path in written:
        for each in registry.REGISTRIES:
            each.forget(str(path.resolve()))


@pytest.fixture
def entry_points(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Makes `name=target` the installed entry points of the group lwft_bench.things."""

    class Distribution:
        name = "things-dist"

    def install(**targets: str) -> None:
        points = [
            importlib.metadata.EntryPoint(name, target, "lwft_bench.things")._for(Distribution())
            for name, target in targets.items()
        ]
        monkeypatch.setattr(
            importlib.metadata, "entry_points", lambda: importlib.metadata.EntryPoints(points)
        )
        registry._entry_points.cache_clear()

    yield install
    registry._entry_points.cache_clear()


def things(**built_in: str) -> Registry:
    return Registry("thing", "things", base=BASE, built_in=built_in)


PLUGIN = """
from lwft_bench.strategies import Selection, Strategy, register

@register("mine")
class Mine(Strategy):
    def select(self, step):
        return Selection(units=[0], num_steps={0})
"""


@pytest.mark.parametrize("each", registry.REGISTRIES, ids=lambda each: each.plural)
def test_built_ins_are_what_they_are_called(each: Registry):
    for name in each.names():
        assert each.origin(name) == "built-in"
        cls = each.get(name)
        assert cls.name == name
        assert f"{cls.__module__}:{cls.__qualname__}" == each.target(name)
        assert len(each.source_digest(name)) == 64


def test_names_are_sorted_and_lazy():
    lazy = things(b="absent.module:B", a="absent.module:A")
    assert lazy.names() == ["a", "b"]
    with pytest.raises(ModuleNotFoundError):
        lazy.get("a")


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UserError) as caught:
        registry.strategies.get("gras")
    assert caught.value.message == "unknown strategy 'gras'; did you mean 'grass'?"
    assert caught.value.hint == "lwft-bench list strategies"
    with pytest.raises(UserError, match="unknown adapter 'x'; expected one of full, lora, qlora"):
        registry.adapters.get("x")


def test_registering_names_the_class_and_keeps_it():
    own = things()

    @own.register("mine")
    class Mine(Strategy):
        pass

    assert own.get("mine") is Mine
    assert Mine.name == "mine"
    assert own.origin("mine") == __file__


def test_a_name_is_taken_once():
    own = things(mine="lwft_bench.strategies.lisa:Lisa")
    with pytest.raises(UserError, match=r"the thing name 'mine' is taken \(built-in\)"):

        @own.register("mine")
        class Mine(Strategy):
            pass


@pytest.mark.parametrize("kind", ["no base", "no options", "lax options"])
def test_what_is_no_strategy_is_refused(kind: str):
    from pydantic import BaseModel

    class Lax(BaseModel):
        pass

    class NoBase:
        Options = PluginOptions

    class NoOptions(Strategy):
        Options = dict

    class LaxOptions(Strategy):
        Options = Lax

    message, cls = {
        "no base": ("is no subclass of Strategy", NoBase),
        "no options": ("Options must be a pydantic model", NoOptions),
        "lax options": ("Options must refuse unknown keys", LaxOptions),
    }[kind]
    with pytest.raises(UserError, match=message):
        things().register("mine")(cls)


def test_entry_points_are_found_and_imported_on_use(write: Write, entry_points, monkeypatch):
    write("things_package/__init__.py", "")
    write("things_package/shared.py", "def draw(): pass\n")
    write(
        "things_package/mine.py",
        """
        from lwft_bench.strategies import Strategy
        from things_package.shared import draw

        class Mine(Strategy):
            pass
        """,
    )
    monkeypatch.syspath_prepend(write("x.py", "").parent)
    entry_points(mine="things_package.mine:Mine", broken="things_package.absent:X")
    own = things(lisa="lwft_bench.strategies.lisa:Lisa")
    assert own.names() == ["broken", "lisa", "mine"]
    assert "things_package.mine" not in sys.modules
    assert own.get("mine").__name__ == "Mine"
    assert own.origin("mine") == "entry point things-dist"
    with pytest.raises(UserError, match="'broken'.*things_package.absent:X does not import"):
        own.get("broken")
    # A module of the same package that the class uses counts as its source.
    before = own.source_digest("mine")
    write("things_package/shared.py", "def draw(): return 1\n")
    assert own.source_digest("mine") != before


def test_an_entry_point_cannot_take_a_built_in_name(entry_points):
    entry_points(lisa="some.module:Lisa")
    own = things(lisa="lwft_bench.strategies.lisa:Lisa")
    assert own.names() == ["lisa"]
    assert own.problems == ["entry point things-dist: the thing name 'lisa' is taken (built-in)"]
    assert own.get("lisa").__module__ == "lwft_bench.strategies.lisa"


def test_an_entry_point_whose_module_registers_itself(write: Write, entry_points, monkeypatch):
    write(
        "self_registering.py",
        """
        from lwft_bench.strategies import Strategy
        import test_registry_own

        @test_registry_own.own.register("mine")
        class Mine(Strategy):
            pass
        """,
    )
    monkeypatch.syspath_prepend(write("y.py", "").parent)
    entry_points(mine="self_registering:Mine")
    module = type(sys)("test_registry_own")
    module.own = own = things()
    monkeypatch.setitem(sys.modules, "test_registry_own", module)
    assert own.get("mine").name == "mine"
    assert own.origin("mine") == "entry point things-dist"


def test_a_plugin_registers_by_its_path(write: Write):
    path = write("mine.py", PLUGIN.replace("{0}", "1"))
    load_plugin(path)
    assert registry.strategies.origin("mine") == str(path)
    assert registry.strategies.get("mine").name == "mine"


def test_a_plugin_loaded_again_is_as_it_is_now(write: Write):
    path = write("mine.py", PLUGIN.replace("{0}", "1"))
    load_plugin(path)
    before = registry.strategies.source_digest("mine")
    load_plugin(path)
    assert registry.strategies.source_digest("mine") == before
    write("mine.py", PLUGIN.replace("{0}", "2"))  # of the same length and within the same second
    load_plugin(path)
    assert registry.strategies.source_digest("mine") != before
    assert registry.strategies.get("mine")().select(0).num_steps == 2
    write("mine.py", PLUGIN.replace("{0}", "2").replace('"mine"', '"yours"'))
    load_plugin(path)
    assert {"yours"} == {"mine", "yours"} & set(registry.strategies.names())


def test_plugins_may_share_a_file_name(write: Write):
    load_plugin(write("a/mine.py", PLUGIN.replace("{0}", "1")))
    load_plugin(write("b/mine.py", PLUGIN.replace("{0}", "1").replace('"mine"', '"yours"')))
    assert {"mine", "yours"} <= set(registry.strategies.names())


def test_a_plugin_that_extends_a_built_in_depends_on_its_source(write: Write):
    path = write(
        "mine.py",
        """
        from lwft_bench.strategies import register
        from lwft_bench.strategies.lisa import Lisa

        @register("mine")
        class Mine(Lisa):
            pass
        """,
    )
    load_plugin(path)
    mine = registry.strategies.get("mine").__module__
    names = [file.name for file in source_files(mine, {"lwft_bench.strategies"}, ())]
    assert "lisa.py" in names
    alone = write("alone.py", PLUGIN.replace('"mine"', '"alone"').replace("{0}", "1"))
    load_plugin(alone)
    digest = registry.hashlib.sha256(alone.read_bytes()).hexdigest()
    expected = registry.hashlib.sha256(digest.encode()).hexdigest()
    assert registry.strategies.source_digest("alone") == expected
    assert registry.strategies.source_digest("mine") != expected


HELPED = """
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import numpy
from rates import PERIOD
from lwft_bench.strategies import Strategy, register

@register("helped")
class Helped(Strategy):
    def select(self, step):
        from parts.late import UNIT  # loaded when it is first needed
"""


def test_what_a_plugin_imports_is_its_source_be_it_a_number(write: Write, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    files = {
        "mine.py": HELPED,
        "rates.py": "from parts import deep\nPERIOD = 2\n",
        "parts/__init__.py": "",
        "parts/late.py": "from . import inner\nUNIT = 0\n",
        "parts/inner.py": "",
        "parts/deep.py": "",
        "unused.py": "",
    }
    paths = {name: write(name, text) for name, text in files.items()}
    load_plugin(paths["mine.py"])
    digests = [registry.strategies.source_digest("helped")]
    assert "parts.late" not in sys.modules
    for name in files:
        paths[name].write_text(files[name] + "# edited\n", "utf-8")
        digests.append(registry.strategies.source_digest("helped"))
    unchanged = [one == other for one, other in itertools.pairwise(digests)]
    assert [name for name, same in zip(files, unchanged, strict=True) if same] == ["unused.py"]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("rates", "parts")]:
        del sys.modules[name]


def test_what_is_installed_is_no_source_of_a_plugin(write: Write, monkeypatch):
    monkeypatch.syspath_prepend(write("site-packages/installed.py", "x = 1\n").parent)
    text = "import json, numpy.linalg, installed, absent.module\n" + PLUGIN.replace("{0}", "1")
    path = write("mine.py", text.replace("absent.module", "pytest"))
    load_plugin(path)
    module = registry.strategies.get("mine").__module__
    assert source_files(module, set(), ()) == [path]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y = 1\nx = (\n", "mine.py:2: SyntaxError: '(' was never closed"),
        ("y = 1\nx = 1\nimport absent_module\n", "mine.py:3: ModuleNotFoundError: No module named"),
        ("def f():\n    1 / 0\nf()\n", "mine.py:2: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(0)\n", "mine.py:2: SystemExit: 0"),
        (
            PLUGIN.replace("mine", "lisa").replace("{0}", "1"),
            "mine.py:3: the strategy name 'lisa' is taken (built-in)",
        ),
    ],
)
def test_a_plugin_that_fails_is_one_clear_error(write: Write, text: str, message: str):
    path = write("mine.py", text)
    before = set(sys.modules)
    with pytest.raises(UserError) as caught:
        load_plugin(path)
    assert caught.value.message.startswith(f"{path.parent}/{message}")
    assert not [name for name in set(sys.modules) - before if "plugin" in name]


def test_a_plugin_that_fails_halfway_registers_nothing(write: Write):
    path = write("mine.py", PLUGIN.replace("{0}", "1") + "raise ValueError('x')\n")
    with pytest.raises(UserError, match="mine.py:7: ValueError: x"):
        load_plugin(path)
    assert "mine" not in registry.strategies.names()


def test_a_plugin_is_a_file(tmp_path: Path):
    with pytest.raises(UserError, match="absent.py: no such plugin file"):
        load_plugin(tmp_path / "absent.py")
