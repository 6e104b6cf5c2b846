"""Tables as papers print them, over one run or several."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lwft_bench.reporting.numbers.comparison import compare
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.merging import merged
from lwft_bench.reporting.numbers.verdicts import best_averages
from lwft_bench.reporting.read.records import read_run
from lwft_bench.reporting.render.grid import PaperGrid, grid_as_html, grid_as_markdown
from lwft_bench.reporting.render.grid_latex import fits_width, grid_as_latex
from lwft_bench.reporting.report import write_report
from lwft_bench.reporting.tables import ablations
from lwft_bench.reporting.tables_over_runs import RunsRead, preset, print_table
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.suite import Published

if TYPE_CHECKING:
    from conftest import RunMaker

NASTY = r"<b>a</b>|b & 50% $x_1^2$ #1 {y} ~z \cmd **c** [d](http://e) <script>"


def second(maker: RunMaker, name: str) -> RunMaker:
    return type(maker)(maker.folder.with_name(name))


def grid_of(name: str, *runs: Path) -> PaperGrid:
    (grid,) = RunsRead.read(runs).grids(preset(name))
    return grid


def file_of(folder: Path, text: str) -> str:
    path = folder / "tables.yaml"
    path.write_text(text, "utf-8")
    return str(path)


def test_what_is_bold_is_what_the_report_marks(run: Path) -> None:
    grid = grid_of("paper", run)
    (comparison,) = compare(read_run(run))
    bold = {row.label for row in grid.rows if row.entries[-1].marked}
    assert bold == set(best_averages(comparison))
    assert 0 < len(bold) < len(grid.rows)
    assert grid.spans == [(6,), (0,), (0,), (0,), (0,), (0,)]
    text = grid_as_markdown(grid)
    assert text.count("| tiny |") == 1
    assert re.search(r"\*\*5\d\.\d ± \d\.\d\*\* \|\n", text)


def test_what_cannot_be_told_is_said(run: Path) -> None:
    notes = " ".join(grid_of("paper", run).notes)
    found = re.search(r"with 2 to 3 seeds and 600 items, differences .* under (\S+) points", notes)
    assert found is not None
    assert 0 < float(found[1]) < 30
    assert "Not a ranking of methods" in notes


@pytest.mark.parametrize("name", ["paper", "memory", "efficiency", "ablation"])
def test_presets_are_in_all_formats(run: Path, name: str) -> None:
    grid = grid_of(name, run)
    markdown = grid_as_markdown(grid).splitlines()
    rows = [line for line in markdown if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in rows}) == 1
    latex = grid_as_latex(grid)
    assert "resizebox" not in latex
    for row in re.findall(r"^.* \\\\$", latex, re.MULTILINE):
        inner = re.sub(r"\\shortstack\{[^}]*\}", "", row)
        assert len(re.findall(r"(?<!\\)&", inner)) == len(grid.leading) + len(grid.headings) - 1
    html = grid_as_html(grid)
    assert html.count("<tr>") == len(grid.rows) + 1
    values = list(csv.DictReader(io.StringIO(grid.values.to_csv(index=False))))
    assert values[0]["method"] == ("grass" if name == "ablation" else "base")


def test_values_are_in_basic_units(run: Path) -> None:
    values = grid_of("efficiency", run).values.set_index("method")
    assert values.loc["fft", "peak_memory"] == 51 * 2**20
    assert 0.4 < values.loc["fft", "average"] < 0.7
    assert values.loc["fft", "training_time"] == 21.0
    (fft,) = (row for row in grid_of("efficiency", run).rows if row.label == "fft")
    assert fft.entries[1].number == "51.0"
    assert grid_of("efficiency", run).headings[1] == "peak memory (MiB)"


def test_runs_are_blocks_of_one_table(maker: RunMaker) -> None:
    other = second(maker, "other")
    for one, model in ((maker, "small"), (other, "large")):
        for seed in (0, 1, 2):
            one.add(one.method("fft", 0.5), seed, model=model)
            one.add(one.method("lisa", 0.3), seed, model=model)
    grid = grid_of("paper", maker.finish(), other.finish())
    assert [row.blocks for row in grid.rows] == [("small",), ("small",), ("large",), ("large",)]
    assert [row.entries[-1].marked for row in grid.rows] == [True, False, True, False]
    assert sum("cannot be told" in note for note in grid.notes) == 2


def test_seeds_of_two_runs_are_averaged_and_cells_of_both_count_once(maker: RunMaker) -> None:
    other = second(maker, "other")
    for seed in (0, 1):
        maker.add(maker.method("fft", 0.5), seed)
    for seed in (1, 2):
        other.add(other.method("fft", 0.5), seed)
    other.add(other.method("lisa", 0.5), 0)
    records = merged([read_run(maker.finish()), read_run(other.finish())])
    (comparison,) = compare(records)
    assert [len(row.done) for row in comparison.rows] == [3, 1]
    (told,) = (one for one in records.warnings if "Counted once" in one)
    assert "tiny--fft--arith--seed1 of other" in told
    assert records.results["cell"].to_list() == [cell.id for cell in records.cells]


def test_cells_of_another_torch_are_rows_of_their_own_and_told(maker: RunMaker) -> None:
    other = second(maker, "other")
    older = {"versions": {"python": "3.11", "torch": "2.0.0"}}
    for seed in (0, 1):
        maker.add(maker.method("fft", 0.5), seed)
        maker.add(maker.method("lisa", 0.5), seed)
        other.add(other.method("fft", 0.5), seed, provenance=older)
    runs = [maker.finish(), other.finish()]
    names = merged([read_run(run) for run in runs]).results["cell"]
    assert names.is_unique and names.str.endswith(" of other").sum() == 2
    text = file_of(maker.folder.parent, "tables:\n  t: {notes: none}\n")
    printed = print_table(runs, "markdown", file=text)
    assert "fft [torch 2.0.0]" in printed
    assert "no difference is taken across it" in printed
    assert "±:" not in printed


def test_runs_of_one_name_and_other_rates_are_rows_with_their_own_samples(
    maker: RunMaker, tmp_path: Path
) -> None:
    """`sweep-1/run`, `sweep-2/run` and `sweep-3/run`: no number of one may reach another's row."""
    runs = []
    for number, accuracy in enumerate((0.2, 0.5, 0.8)):
        one = type(maker)(tmp_path / f"sweep-{number}" / "run", num_items=40)
        training = {"lr": 0.5**number}
        one.add(one.method("base", 0.1, trains=False), 0, training=training)
        for seed in (0, 1):
            one.add(one.method("fft", accuracy), seed, training=training)
        runs.append(one.finish())
    alone = [compare(read_run(run))[0].rows[-1].accuracy for run in runs]
    records = merged([read_run(run) for run in runs])
    (found,) = compare(records)
    labels = ["base", "fft", "fft [training.lr=0.5]", "fft [training.lr=0.25]"]
    assert [row.label for row in found.rows] == labels
    assert [row.accuracy for row in found.rows[1:]] == alone
    assert found.warnings == ("The baseline fft has several rows; differences refer to fft.",)
    base = "tiny--base--arith"
    assert records.warnings == (
        "Counted once, for another run has them too or has them done: "
        f"{base} of sweep-1/run, {base} of sweep-2/run.",
    )


def test_a_cell_that_failed_stays_in_its_row_whatever_another_run_has_done(
    maker: RunMaker, tmp_path: Path
) -> None:
    """Of a rate at which a seed diverged, what is left must not look like all of it."""
    other, fft = second(maker, "other"), maker.method("fft", 0.5)
    for seed in (0, 1, 2):
        maker.add(fft, seed)
    other.add(fft, 0, training={"lr": 0.5})
    other.fail(fft, 1, "diverged", "Diverged: nan at step 3", lr=0.5)
    other.plan(other.cell(fft, 2))
    runs = [maker.finish(), other.finish(baseline="nothing")]
    records = merged([read_run(run) for run in runs])
    (found,) = compare(records)
    shown = {row.label: (len(row.done), row.status) for row in found.rows}
    assert shown == {
        "fft": (3, "done"),
        "fft [training.lr=0.5]": (1, "1 done, 1 diverged, 1 not run"),
    }
    assert records.warnings == ("The runs have different baselines (fft, nothing): fft counts.",)
    assert "Diverged: nan" in print_table(runs, "markdown", "failures")
    all_failed = second(maker, "failed")
    for seed in (0, 1):
        all_failed.fail(fft, seed, "diverged", "Diverged: nan at step 3", lr=0.25)
    (found,) = compare(merged([read_run(runs[0]), read_run(all_failed.finish())]))
    assert [(row.label, row.status) for row in found.rows][1:] == [
        ("fft [training.lr=0.25]", "diverged")
    ]


def test_the_same_trials_of_two_runs_count_once(maker: RunMaker) -> None:
    runs = []
    for name, seed, worst in (("one", 0, 1.0), ("two", 1, 1.0), ("three", 2, 2.0)):
        one = second(maker, name)
        one.add(one.method("fft", 0.5), seed)
        one.tune(one.method("fft", 0.5), {0.1: worst, 0.2: 0.5}, 0.2)
        runs.append(read_run(one.finish()))
    losses = [tuning.losses for tuning in merged(runs).tunings]
    assert losses == [[1.0, 0.5], [2.0, 0.5]]
    assert merged(runs[:2]).tunings == runs[0].tunings


def test_an_ablation_is_compared_with_the_first_value_of_its_own_method(maker: RunMaker) -> None:
    for seed in (0, 1, 2):
        maker.add(maker.method("fft", 0.9), seed)
        for name, accuracy in (("lisa", 0.3), ("grass", 0.6)):
            maker.add(maker.method(name, accuracy), seed)
            for value, gain in ((1, 0.0), (2, 0.2)):
                ablation = {"strategy.period": value}
                maker.add(maker.method(name, accuracy + gain, ablation=ablation), seed)
    run = maker.finish()
    grid = grid_of("ablation", run)
    (comparison,) = compare(read_run(run))
    average = {row.label: row.accuracy["average"].mean for row in comparison.rows}
    column = grid.headings.index("− first")
    assert [(row.blocks[1], row.label) for row in grid.rows] == [
        (name, f"period={value}") for name in ("lisa", "grass") for value in (1, 2)
    ]
    shown = [row.entries[column] for row in grid.rows]
    assert [one.word for one in shown[::2]] == ["first", "first"]
    for name, one in zip(("lisa", "grass"), shown[1::2], strict=True):
        gained = average[f"{name} (period=2)"] - average[f"{name} (period=1)"]
        assert one.number == f"{100 * gained:+.1f}"


def test_values_of_an_ablation_made_otherwise_are_told_apart(maker: RunMaker) -> None:
    older = {"versions": {"torch": "2.0.0"}}
    for seed in (0, 1, 2):
        for value in (1, 2):
            method = maker.method("lisa", 0.3, ablation={"strategy.period": value})
            maker.add(method, seed, provenance=older if (seed, value) == (2, 1) else None)
    context = Context.of(read_run(maker.finish()))
    table = ablations.build(context.about(context.comparisons[0]))
    assert table is not None
    assert [*table.display["option"]] == ["period=1", "period=1 [torch 2.0.0]", "period=2"]


def test_peaks_obtained_in_different_ways_have_no_lowest(maker: RunMaker) -> None:
    for name, peak, way in (("fft", 2**26, "accounted"), ("lisa", 2**24, "allocator")):
        folder = maker.add(maker.method(name, 0.5, peak), 0)
        result = json.loads((folder / "result.json").read_text())
        result["memory"]["method"] = way
        (folder / "result.json").write_text(json.dumps(result))
    grid = grid_of("memory", maker.finish())
    assert not any(entry.marked for row in grid.rows for entry in row.entries)
    assert "of the baseline's" not in grid.headings
    assert any("Peak memory was obtained in different ways" in note for note in grid.notes)


def test_times_of_a_busy_machine_are_told_and_none_is_the_best(maker: RunMaker) -> None:
    busy = {
        "wall_seconds": 100.0,
        "processor_seconds": 30.0,
        "waiting_seconds": 70.0,
        "involuntary_switches": 900,
        "load_average": 4.0,
        "cores": 2,
    }
    quiet = busy | {"processor_seconds": 100.0, "waiting_seconds": 0.0, "load_average": 1.0}
    for load, told in ((quiet, False), (busy, True)):
        one = second(maker, f"busy-{told}")
        for seed in (0, 1, 2):
            for name, seconds in (("fft", 40.0), ("lisa", 20.0)):
                folder = one.add(one.method(name, 0.5), seed)
                result = json.loads((folder / "result.json").read_text())
                result["throughput"] |= {"training_seconds": seconds + seed, "load": load}
                (folder / "result.json").write_text(json.dumps(result))
        grid = grid_of("efficiency", one.finish())
        column = grid.headings.index("training time (s)")
        assert [row.entries[column].marked for row in grid.rows] == [False, not told]
        said = [note for note in grid.notes if "other work" in note]
        assert said == told * [
            "tiny on arith: speeds and times of the cells of fft and lisa were taken while the machine "
            "had other work: they say little of which method is faster."
        ]


def test_no_spread_is_no_certainty_in_a_papers_table_too(maker: RunMaker) -> None:
    for seed in (0, 1):
        for name, right in (("fft", "true"), ("lisa", "false")):
            folder = maker.add(maker.method(name, 0.5), seed)
            samples = (folder / "samples.jsonl").read_text()
            (folder / "samples.jsonl").write_text(re.sub("true|false", right, samples))
    grid = grid_of("paper", maker.finish())
    assert [row.entries[-1].text for row in grid.rows] == ["100.0 ± 0.0", "0.0 ± 0.0"]
    assert sum(note.startswith("± 0.0 is no certainty") for note in grid.notes) == 1


def test_published_numbers_are_rows_and_never_bold(maker: RunMaker) -> None:
    maker.published = Published(
        source="A paper",
        scores={"tiny": {"fft": {"average": 99.0}}, "huge": {"lisa": {"add-sub": 1.0}}},
    )
    grid = grid_of("paper", maker.fill())
    quoted = {(row.blocks[0], row.label): row for row in grid.rows if "‡" in row.label}
    assert set(quoted) == {("tiny", "fft ‡"), ("huge", "lisa ‡")}
    assert quoted["tiny", "fft ‡"].entries[-1].text == "99.0"
    assert not any(entry.marked for row in quoted.values() for entry in row.entries)
    assert any("A paper" in note for note in grid.notes)


def test_numbers_of_named_suites_stand_beside_a_run(maker: RunMaker) -> None:
    run = maker.fill()
    printed = print_table(run, "csv", "arithmetic", "paper/tables")
    rows = list(csv.DictReader(io.StringIO(printed)))
    found = {(row["model"], row["method"]): row for row in rows if row["published"] == "True"}
    assert found["tinyllama-1.1b", "grass"]["average"].startswith("0.3422")
    assert found["llama-2-7b", "grass-static"]["average"].startswith("0.5659")
    assert {row["model"] for row in rows} == {"tinyllama-1.1b", "gemma-2b", "llama-2-7b", "tiny"}


def test_everything_wrong_is_told_at_once_with_its_place(run: Path, tmp_path: Path) -> None:
    path = file_of(
        tmp_path,
        "tables:\n"
        "  one:\n"
        "    methods: [fft, lissa]\n"
        "    columns: [add-sup, {benchmark: [ad-sub]}]\n"
        "  two:\n"
        "    models: [tinny]\n"
        "    published: [paper/arith-tinylama]\n",
    )
    with pytest.raises(UserError) as error:
        print_table(run, "markdown", file=path)
    told = str(error.value)
    assert f"{path}:3: tables.one.methods[1]: unknown method 'lissa'; did you mean 'lisa'?" in told
    assert ":4: tables.one.columns[0]: unknown column or benchmark 'add-sup'" in told
    assert ":4: tables.one.columns[1].benchmark[0]: unknown benchmark 'ad-sub'" in told
    assert ":7: tables.two.published[0]: unknown suite" in told


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("tables: {t: {hilight: ties}}", "t.hilight: unknown key; did you mean 'highlight'?"),
        ("tables: {t: {preset: papr}}", "did you mean 'paper'?"),
        ("tables: {t: {columns: [{show: average, benchmark: add-sub}]}}", "`benchmark` goes with"),
        ("tables: {}", "at least 1 entries"),
        ("tables: {t: {digits: 9}}", "t.digits: expected a number"),
        ("other: 1", "other: unknown key"),
        ("- 1", "expected a mapping"),
    ],
)
def test_a_file_of_tables_is_checked(run: Path, tmp_path: Path, text: str, wanted: str) -> None:
    with pytest.raises(UserError) as error:
        print_table(run, "markdown", file=file_of(tmp_path, text))
    assert wanted in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ({"table": "mane"}, "no table `mane`"),
        ({"preset_name": "papr"}, "did you mean 'paper'?"),
        ({"file": "nowhere.yaml"}, "nowhere.yaml: no such file"),
        ({"file": "paper/table"}, "did you mean 'paper/tables'?"),
        ({"file": "paper/tables", "table": "arithmetics"}, "did you mean 'arithmetic'?"),
    ],
)
def test_what_is_not_there_is_named(run: Path, arguments: Any, wanted: str) -> None:
    with pytest.raises(UserError, match=re.escape(wanted)):
        print_table(run, "markdown", **arguments)


def nasty_grid(run: Path, tmp_path: Path) -> PaperGrid:
    labels = "".join(f"      {name}: '{NASTY}'\n" for name in ("fft", "tiny", "average"))
    path = file_of(tmp_path, f"tables:\n  t:\n    title: '{NASTY}'\n    labels:\n{labels}")
    from lwft_bench.reporting.read.statements import read_tables

    (grid,) = RunsRead.read([run]).grids(read_tables(path)["t"])
    return grid


def test_names_full_of_markup_stay_text(run: Path, tmp_path: Path) -> None:
    grid = nasty_grid(run, tmp_path)
    html = grid_as_html(grid)
    assert "<script" not in html
    assert "<b>" not in html
    assert html.count("&lt;script&gt;") == 4
    markdown = grid_as_markdown(grid)
    assert "<script" not in markdown
    assert "](http" not in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in rows}) == 1
    latex = grid_as_latex(grid)
    assert r"\cmd" not in latex.replace(r"\textbackslash{}cmd", "").replace(r"\cmidrule", "")
    assert r"50\% \$x\_1\textasciicircum{}2\$ \#1 \{y\}" in latex


def test_a_table_that_is_too_wide_says_so_and_is_not_shrunk(run: Path, tmp_path: Path) -> None:
    path = file_of(tmp_path, "tables: {t: {width: column, style: icml}, r: {resize: true}}")
    wide = print_table(run, "latex", "t", path)
    assert "% Wider than the 235 points of icml" in wide
    assert "resizebox" not in wide
    assert r"\resizebox{\linewidth}" in print_table(run, "latex", "r", path)


HEADS = {
    "article": r"\documentclass{article}",
    "acl": r"\documentclass[11pt,twocolumn]{article}\usepackage{times}"
    r"\usepackage[textwidth=455.2pt,columnsep=17pt]{geometry}",
}


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
@pytest.mark.parametrize("style", HEADS)
def test_latex_compiles_and_keeps_to_the_width(run: Path, tmp_path: Path, style: str) -> None:
    path = file_of(
        tmp_path,
        f"tables:\n  a: {{style: {style}, columns: [add-sub, algebra, varied, average]}}\n"
        f"  b: {{style: {style}, preset: efficiency, columns: [average, peak_memory, throughput]}}\n",
    )
    read = RunsRead.read([run])
    from lwft_bench.reporting.read.statements import read_tables

    grids = [grid for table in read_tables(path).values() for grid in read.grids(table)]
    grids = [*(grid for grid in grids if fits_width(grid))]
    assert len(grids) == 2
    body = "\n".join(map(grid_as_latex, grids))
    needs = r"\usepackage{booktabs,multirow,siunitx,graphicx}\usepackage[T1]{fontenc}"
    text = "\n".join([HEADS[style], needs, r"\begin{document}Text", body, r"\end{document}"])
    (tmp_path / "paper.tex").write_text(text, "utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull \\hbox" not in done.stdout


def test_a_suites_tables_are_in_its_report_and_a_bad_one_costs_no_report(maker: RunMaker) -> None:
    run = maker.fill()
    record = json.loads((run / "suite.json").read_text())
    record["tables"] = {
        "mine": {"methods": ["lisa", "fft"], "columns": ["average"]},
        "bad": {"published": ["nowhere.yaml"]},
    }
    (run / "suite.json").write_text(json.dumps(record))
    report = write_report(run).read_text()
    section = report.partition("## Tables of the suite")[2]
    assert re.search(r"\| tiny \| lisa \| \d+", section)
    assert "nowhere.yaml: no such file" in section
    for suffix in ("md", "tex", "csv", "html"):
        assert (run / f"tables/paper-mine.{suffix}").is_file()
    assert "| lisa |" in print_table(run, "markdown", "mine")
