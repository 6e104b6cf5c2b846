"""Markdown that renders and LaTeX that compiles, whatever the names hold."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.read.records import read_run
from lwft_bench.reporting.render import formatting
from lwft_bench.reporting.render.latex import escaped, to_latex
from lwft_bench.reporting.render.markdown import escape, to_markdown
from lwft_bench.reporting.render.table import Table
from lwft_bench.reporting.sections import TABLE_NAMES, tables_named
from lwft_bench.reporting.tables_over_runs import Format, print_table

NASTY = r"a|b & 50% $x_1^2$ #1 {y} ~z \cmd <t> ± − → 日 a--b"


def nasty_table() -> Table:
    frame = pd.DataFrame({"method": [NASTY, "[x] first"], NASTY: ["1.0 ± 0.1", "line\nbreak"]})
    return Table("nasty_name", NASTY, frame, frame, (NASTY,))


def printed(run: Path, format: Format) -> list[str]:
    """Every table that the run has something for."""
    context = Context.of(read_run(run))
    names = [name for name in TABLE_NAMES if tables_named(name, context)]
    assert len(names) > 10
    return [print_table(run, format, name) for name in names]


def columns(line: str) -> int:
    """Cells of a Markdown row: unescaped bars, less one."""
    return len(re.findall(r"(?<!\\)\|", line)) - 1


def test_markdown_rows_have_as_many_cells_as_the_header(run: Path) -> None:
    for text in (to_markdown(nasty_table()), *printed(run, "markdown")):
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert len(rows) >= 3
        assert len({columns(row) for row in rows}) == 1


def test_latex_escapes_every_special_character() -> None:
    assert escaped("50% & a_b #1 ${x}$") == r"50\% \& a\_b \#1 \$\{x\}\$"
    assert escaped("\\") == r"\textbackslash{}"
    assert escaped("a--b---c") == "a-{}-b-{}-{}-c"
    assert escaped("± −") == r"$\pm$ $-$"
    assert escaped("日") == "[U+65E5]"


def test_latex_rows_have_as_many_cells_as_columns(run: Path) -> None:
    parts = 0
    for text in (to_latex(nasty_table()), *printed(run, "latex")):
        for part in re.split(r"\\begin\{tabular\}", text)[1:]:
            kinds = re.sub(r">\{.*?\}p\{\d+pt\}", "p", part.splitlines()[0])
            columns = re.fullmatch(r"\{@\{\}([lrp]+)@\{\}\}", kinds)
            assert columns is not None
            rows = [line for line in part.splitlines() if line.endswith(r"\\")]
            assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns[1])}
            parts += 1
    assert parts > len(TABLE_NAMES), "some are folded"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(run: Path, tmp_path: Path) -> None:
    tables = [to_latex(nasty_table()), *printed(run, "latex")]
    preamble = [
        r"\documentclass{article}",
        r"\usepackage{array,booktabs}",
        r"\usepackage[T1]{fontenc}",
    ]
    document = "\n".join([*preamble, r"\begin{document}", *tables, r"\end{document}"])
    (tmp_path / "tables.tex").write_text(document)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "tables.pdf").exists()
    assert r"\resizebox" not in document
    overfull = [float(each) for each in re.findall(r"Overfull \\hbox \(([\d.]+)pt", done.stdout)]
    assert sum(each > 5.0 for each in overfull) <= 1, "the nasty one's name alone is too wide"


@pytest.mark.parametrize(
    ("num_bytes", "shown"),
    [
        (None, "–"),
        (0, "0"),
        (512, "0.000488 MiB"),
        (51 * 2**20, "51.0 MiB"),
        (1023 * 2**20, "1,023 MiB"),
        (2**30, "1.00 GiB"),
        (int(79.6 * 2**30), "79.6 GiB"),
    ],
)
def test_memory_has_three_digits(num_bytes: int | None, shown: str) -> None:
    assert formatting.memory(num_bytes) == shown


def test_counts_and_operations_have_units() -> None:
    assert formatting.count(1_620_000) == "1.62 M"
    assert formatting.count(400_000) == "400 k"
    assert formatting.count(7_240_000_000) == "7.24 B"
    assert formatting.flops(3.21e12) == "3.21 TFLOP"
    assert formatting.flops(5.4e20) == "540 EFLOP"


def test_a_bracket_in_a_broken_heading_is_no_option_of_the_line_end() -> None:
    frame = pd.DataFrame(
        {"method": ["a"], "difference [95 %]": ["1"], "difference *starred": ["2"]}
    )
    text = to_latex(Table("t", "t", frame, frame))
    assert r"{difference\\{}[95 \%]}" in text
    assert r"{difference\\{}*starred}" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("$x_1$ costs $5", r"\$x_1\$ costs \$5"),
        ("_a_ and state_dtype", r"\_a\_ and state_dtype"),
        ("~~gone~~", r"\~\~gone\~\~"),
        ("&lt;b&gt; &#124; R&D", "&amp;lt;b&amp;gt; &amp;#124; R&D"),
    ],
)
def test_names_are_no_math_emphasis_or_entities_in_markdown(text: str, shown: str) -> None:
    assert escape(text) == shown
