"""What the documentation names exists: files, commands, options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
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
