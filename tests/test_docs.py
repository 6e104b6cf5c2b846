"""What the documentation names exists: files, commands, options."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer

from lwft_bench.cli.commands import app
from lwft_bench.plugins import registry
from lwft_bench.schema.shipped import shipped

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
FENCE = re.compile(r"^\s*```(\w*)\n(.*?)^\s*```", re.MULTILINE | re.DOTALL)


def code_blocks(page: Path) -> Iterator[str]:
    """Fenced blocks and those that are indented by four spaces."""
    text = page.read_text(encoding="utf-8")
    yield from (body for _, body in FENCE.findall(text))
    yield from re.findall(r"(?:^ {4,}\S.*\n)+", FENCE.sub("", text), re.MULTILINE)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every call of lwft-bench in a code block: the page, and the arguments."""
    for page in PAGES:
        for block in code_blocks(page):
            for line in block.replace("\\\n", " ").splitlines():
                for part in re.split(r"&&|;|\|", line.partition(" #")[0]):
                    words = part.replace("$ ", "").split()
                    if words and Path(words[0]).name == "lwft-bench":
                        yield str(page.relative_to(ROOT)), shlex.split(part.replace("$ ", ""))[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    targets = [one or other for one, other in LINK.findall(page.read_text(encoding="utf-8"))]
    local = [target.partition("#")[0] for target in targets if "://" not in target]
    missing = [target for target in local if target and not (page.parent / target).exists()]
    assert not missing


def test_pages_are_found():
    assert any(page.name == "README.md" for page in PAGES)


@pytest.mark.parametrize(("page", "arguments"), list(commands()))
def test_commands_exist(page: str, arguments: list[str]):
    group = typer.main.get_command(app)
    command = group
    if arguments and not arguments[0].startswith("-"):
        assert arguments[0] in group.commands, f"{page}: {arguments}"
        command = group.commands[arguments[0]]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    given = {word.partition("=")[0] for word in arguments if re.match(r"--?[a-z]", word)}
    assert given <= known, f"{page}: {arguments}"
    if arguments[:1] == ["run"]:
        suite = arguments[1]
        assert (ROOT / suite).is_file() or suite in shipped("suites") or suite.isupper()


def test_every_method_and_strategy_is_documented():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    names = [*shipped("methods"), *registry.strategies.names()]
    assert not [name for name in names if name not in text]


PUBLIC = ("lwft_bench", "lwft_bench.strategies", "lwft_bench.adapters", "lwft_bench.optimizers")


def test_every_public_name_has_an_entry_in_the_reference():
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    entries = re.findall(r"^::: (\S+)$", page, re.MULTILINE)
    assert len(set(entries)) == len(entries)
    modules = [importlib.import_module(name) for name in (*PUBLIC, "lwft_bench.testing")]
    names = {
        name: f"{module.__name__}.{name}" for module in reversed(modules) for name in module.__all__
    }
    assert sorted(entries) == sorted(names.values())


def test_the_site_has_every_page():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    shown = set(re.findall(r": (\S+\.md)$", nav, re.MULTILINE))
    made = {"index.md", "contributing.md", "changelog.md"}
    assert shown == made | {page.name for page in (ROOT / "docs").glob("*.md")}


@pytest.mark.skipif(find_spec("mkdocstrings") is None, reason="comes with the extra `docs`")
def test_the_site_is_built_strictly(tmp_path: Path):
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr


def test_words_are_explained_once():
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = [
        word.lower()
        for entry in re.findall(r"^- (\*\*.+?):", page, re.MULTILINE)
        for word in re.findall(r"\*\*(.+?)\*\*", entry)
    ]
    assert len(words) > 40
    assert len(set(words)) == len(words)


def test_editors_find_the_schema_of_each_suite():
    for path in shipped("suites").values():
        line = path.read_text(encoding="utf-8").partition("\n")[0]
        if "$schema=" in line:
            assert (path.parent / line.partition("$schema=")[2]).is_file(), path


def test_the_architecture_names_files_that_exist():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)`", page))
    assert len(named) > 30
    places = (ROOT, ROOT / "lwft_bench")
    missing = [name for name in sorted(named) if not any((at / name).is_file() for at in places)]
    assert missing == []
