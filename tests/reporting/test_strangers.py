"""A run directory from somebody else: nothing is written outside it, read through it or shown as more
than text."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lwft_bench.reporting.render.latex import escaped as latex
from lwft_bench.reporting.render.markdown import escape, escape_block, fenced
from lwft_bench.reporting.report import write_report
from lwft_bench.reporting.tables_over_runs import print_table
from lwft_bench.results.atomic import write_text_atomic
from lwft_bench.results.store import RunStore
from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from conftest import RunMaker


def changed(path: Path, change: Any) -> None:
    value = json.loads(path.read_text("utf-8"))
    change(value)
    path.write_text(json.dumps(value), "utf-8")


@pytest.mark.parametrize(
    "name", ["../outside", "/absolute", "a/b", "..", ".hidden", "", "a\nb", "x" * 300]
)
def test_names_that_lead_elsewhere_are_refused(maker: RunMaker, name: str) -> None:
    maker.add(maker.method("fft", 0.5), 0)
    run = maker.finish()
    changed(run / "suite.json", lambda suite: suite["cells"][0].update(id=name))
    with pytest.raises(UserError, match=r"suite.json is not a SuiteRecord"):
        print_table(run, "markdown")


@pytest.mark.parametrize("key", ["model", "method", "task"])
def test_names_of_results_are_names(maker: RunMaker, key: str) -> None:
    folder = maker.add(maker.method("fft", 0.5), 0)
    maker.finish()
    changed(folder / "result.json", lambda result: result.update({key: "../../elsewhere"}))
    with pytest.raises(UserError, match=r"result.json is not a CellResult"):
        RunStore(folder.parents[1]).read_result(folder.name)


@pytest.mark.parametrize("written", ["figures", "tables"])
def test_a_report_is_not_written_through_a_linked_folder(
    maker: RunMaker, tmp_path: Path, written: str
) -> None:
    maker.add(maker.method("fft", 0.5), 0)
    run = maker.finish()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (run / written).symlink_to(elsewhere)
    with pytest.raises(UserError, match=f"{written} is a symbolic link"):
        write_report(run)
    assert not list(elsewhere.iterdir())


def test_a_link_where_a_file_is_written_is_replaced_and_not_followed(
    maker: RunMaker, tmp_path: Path
) -> None:
    maker.add(maker.method("fft", 0.5), 0)
    run = maker.finish()
    own = tmp_path / "own.txt"
    own.write_text("mine", "utf-8")
    for name in ("report.md", ".report.md.partial", "suite.yaml", ".suite.yaml.partial"):
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(own)
    write_report(run)
    write_text_atomic(run / "suite.yaml", "name: x")
    assert own.read_text("utf-8") == "mine"
    assert not (run / "report.md").is_symlink()
    assert (run / "suite.yaml").read_text("utf-8") == "name: x"


def test_what_is_read_is_no_link_pipe_or_device(maker: RunMaker, tmp_path: Path) -> None:
    folder = maker.add(maker.method("fft", 0.5), 0)
    run = maker.finish()
    store = RunStore(run)
    secret = tmp_path / "secret.jsonl"
    secret.write_text("{}\n", "utf-8")
    for target, reason in ((secret, "a symbolic link"), (Path("/dev/zero"), "a symbolic link")):
        (folder / "samples.jsonl").unlink()
        (folder / "samples.jsonl").symlink_to(target)
        with pytest.raises(UserError, match=rf"samples.jsonl: cannot be read: {reason}"):
            store.samples(folder.name)
    (folder / "samples.jsonl").unlink()
    os.mkfifo(folder / "samples.jsonl")
    with pytest.raises(
        UserError, match=r"samples.jsonl: cannot be read: expected a file, found a p"
    ):
        store.samples(folder.name)
    (run / "suite.json").unlink()
    os.mkfifo(run / "suite.json")
    with pytest.raises(
        UserError, match=r"suite.json: cannot be read: expected a file, found a pipe"
    ):
        store.read_suite()


@pytest.mark.parametrize(
    "text",
    [
        "![pixel](https://example.org/a.png)",
        "[click](https://example.org)",
        "[a][b]",
        "https://example.org",
        "<img src=x>",
        "`code` and **bold**",
    ],
)
def test_text_stays_text_in_markdown(text: str) -> None:
    shown = escape(text)
    assert not re.search(r"\]\(|\]\[|://|<|(?<!\\)[`*]", shown)
    plain = shown.replace("&#8203;", "").replace("&lt;", "<").replace("&gt;", ">")
    assert re.sub(r"\\([*`])", r"\1", plain) == text


@pytest.mark.parametrize("text", ["# a", "- a", "+ a", "1. a", "= a", "~~~", "[a]: b"])
def test_a_paragraph_stays_one(text: str) -> None:
    assert "\\" in escape_block(text)[:3]


def test_a_command_stays_in_its_fence() -> None:
    lines = fenced(["run\n```\n# a heading", "echo `ls` ````", "a \x1b[31m b"])
    assert lines[0] == "`````sh"
    assert lines[-1] == "`````"
    assert not [line for line in lines[1:-1] if line.startswith("`") or "\n" in line]
    assert "\x1b" not in "".join(lines)


def test_control_characters_are_named_in_latex() -> None:
    assert latex("a\x1bb\x00\x7f") == "a[U+001B]b[U+0000][U+007F]"


def test_a_report_of_hostile_texts_is_inert(maker: RunMaker) -> None:
    folder = maker.add(maker.method("fft", 0.5), 0)
    run = maker.finish()
    hostile = "![x](https://example.org/x.png)\n```\n# heading\n<script>"
    changed(run / "suite.json", lambda suite: suite.update(title=hostile, description=hostile))
    changed(
        folder / "result.json", lambda result: result["provenance"].update(command=f"a {hostile}")
    )
    report = write_report(run).read_text("utf-8")
    text, _, fence = report.partition("````sh")
    assert "](https" not in text.replace("](figures/", "")
    assert "<script>" not in text
    assert "\n# heading" not in report
    assert fence.count("````") == 1
