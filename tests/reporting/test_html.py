"""report.html: text stays text, nothing asks a network, and it works in a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lwft_bench.reporting.html import libraries, samples
from lwft_bench.reporting.html.page import (
    TableSection,
    as_data,
    page,
    parts,
    quantity,
    table_markup,
)
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.read.records import read_run
from lwft_bench.reporting.report import html_missing, write_report
from lwft_bench.reporting.sections import build_table

if TYPE_CHECKING:
    from conftest import RunMaker

HOSTILE = '</script><img src=x onerror="document.title=1"><b>&amp; $x$ \u2028'
needs_libraries = pytest.mark.skipif(html_missing() is not None, reason="no packages for it")


class Elements(HTMLParser):
    """Elements with their attributes, and the text of those of each name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "link", "input", "br"):
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.texts[tag][-1] += data


@pytest.fixture
def hostile(maker: RunMaker) -> Path:
    """A run whose every free text is markup, over two seeds and an ablated option."""
    for seed in (0, 1):
        for value in (HOSTILE, "0.1"):
            ablated = maker.method(
                "grass", 0.5, num_active=2, probabilities=True, ablation={"strategy.rule": value}
            )
            ablated_cell = maker.cell(ablated, seed)
            folder = maker.folder / "cells" / ablated_cell.id
            if value == HOSTILE:  # an id is a folder's name
                ablated.ablation = {"strategy.rule": "plain"}
                folder = maker.add(ablated, seed)
                _replace(folder / "result.json", '"plain"', json.dumps(HOSTILE))
                _replace(folder / "config.json", '"plain"', json.dumps(HOSTILE))
                maker.planned[-1] = maker.planned[-1].model_copy(
                    update={"ablation": {"strategy.rule": HOSTILE}}
                )
                text = f'"response": {json.dumps(HOSTILE)}'
                _replace(folder / "samples.jsonl", '"response": "3"', text)
            else:
                maker.add(ablated, seed)
    run = maker.finish(baseline=None)
    _replace(run / "suite.json", '"Made-up numbers"', json.dumps(HOSTILE))
    return run


def _replace(path: Path, text: str, other: str) -> None:
    path.write_text(path.read_text("utf-8").replace(text, other), "utf-8")


def made(run: Path) -> str:
    """The page with its main table alone, which is quick."""
    context = Context.of(read_run(run))
    about = context.about(context.comparisons[0])
    table = build_table("main", about)
    assert table is not None
    return page(context, "What can be said.", [TableSection(about, table_markup(None, table))])


@needs_libraries
def test_a_page_of_parts_made_elsewhere_is_the_page(hostile: Path) -> None:
    context = Context.of(read_run(hostile))
    assert page(context, "", [], [part() for part in parts(context)]) == page(context, "", [])


@needs_libraries
def test_text_of_a_run_is_never_markup(hostile: Path) -> None:
    text = made(hostile)
    elements = Elements(text)
    assert {tag for tag, _ in elements.found}.isdisjoint({"img", "b", "link", "iframe"})
    assert sum(tag == "script" for tag, _ in elements.found) == 4
    assert not [name for _, attributes in elements.found for name in attributes if name[:2] == "on"]
    assert elements.texts["h1"] == [HOSTILE.replace("\u2028", " ")]
    assert any("rule=" + HOSTILE[:9] in cell for cell in elements.texts["td"])
    (block,) = re.findall(r'id="data">(.*?)</script>', text, flags=re.DOTALL)
    data = json.loads(block)
    assert "<" not in block
    assert HOSTILE in data["charts"][0]["points"][0]["label"]
    responses = {
        answer[0]
        for item in data["samples"][0]["benchmarks"][0]["items"]
        for answer in item[3]
        if answer
    }
    assert responses == {"3", HOSTILE}
    cells = data["samples"][0]["cells"]
    assert [cell["seed"] for cell in cells] == [0, 1, 0, 1]
    item = data["samples"][0]["benchmarks"][0]["items"][0]
    assert len(item[3]) == len(cells)


@needs_libraries
def test_nothing_is_fetched_and_the_same_results_give_the_same_file(hostile: Path) -> None:
    text = made(hostile)
    assert text == made(hostile)
    assert len(text.encode()) < 5_000_000
    elements = Elements(text)
    linked = [
        value
        for _, attributes in elements.found
        for name, value in attributes.items()
        if name in ("src", "href", "action")
    ]
    assert all(str(link).startswith("#") for link in linked)
    policies = [
        str(attributes["content"])
        for tag, attributes in elements.found
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'; script-src 'sha256-")
    assert "http" not in policies[0] and "unsafe-eval" not in policies[0]
    assert "'unsafe-inline'" not in policies[0].partition("style-src")[0]


def test_a_report_is_made_without_the_libraries_too(
    hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "_path", lambda package, name: None)
    (hostile / "report.html").write_text("of earlier results")
    assert write_report(hostile).exists()
    assert not (hostile / "report.html").exists()
    assert "plotly and itables (pip install 'lwft-bench[html]')" in str(html_missing())


def test_no_text_ends_a_block_of_data() -> None:
    value = ["</script>", "<!--", "]]>", "\u2028", "&lt;", "\ud800"]
    text = as_data(value)
    assert not set("<>&") & set(text) and text.isascii()
    assert json.loads(text) == value


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("37.6 ± 4.4 †", 37.6),
        ("−5.4 [−11.6, +0.8]", -5.4),
        ("1,437 ± 10", 1437.0),
        ("104 MiB", 104.0 * 2**20),
        ("1.62 M / 0.9 M", 1.62e6),
        ("3.21 TFLOP", 3.21e12),
        ("baseline", None),
        ("–", None),
    ],
)
def test_columns_are_sorted_by_their_numbers(text: str, number: float | None) -> None:
    assert quantity(text) == number


def test_long_texts_are_cut_by_items_alike_for_all(
    hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context.of(read_run(hostile))
    about = [context.about(context.comparisons[0])]
    whole = samples.samples(about)[0]["benchmarks"]
    monkeypatch.setattr(samples, "MOST_BYTES", 9_000)
    cut = samples.samples(about)[0]["benchmarks"]
    assert {len(one["items"]) for one in cut} < {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
    assert [one["total"] for one in cut] == [len(one["items"]) for one in whole]


CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@needs_libraries
def test_what_a_run_does_not_say_and_the_suites_tables_are_there(maker: RunMaker) -> None:
    run = maker.fill()
    record = json.loads((run / "suite.json").read_text())
    record["tables"] = {
        "mine": {"title": "Ours & <b>", "columns": ["average"]},
        "bad": {"published": ["no.yaml"]},
    }
    (run / "suite.json").write_text(json.dumps(record))
    report = write_report(run).read_text()
    texts = Elements((run / "report.html").read_text()).texts
    (caution,) = (text for text in texts["p"] if text.startswith("What this does not say."))
    assert f"**What this does not say.**{caution.removeprefix('What this does not say.')}" in report
    assert "Ours & <b>" in texts["caption"]
    assert any(text.startswith("bad: ") and "no.yaml" in text for text in texts["p"])


def test_a_column_of_differences_is_sorted_though_the_baseline_has_none(run: Path) -> None:
    context = Context.of(read_run(run))
    table = build_table("main", context.about(context.comparisons[0]))
    assert table is not None
    place = [*table.display].index("average − fft [95 %]")
    cells = [
        attributes for name, attributes in Elements(table_markup(None, table)).found if name == "td"
    ]
    orders = [
        float(one["data-order"] or "nan") for one in cells[place :: len(table.display.columns)]
    ]
    shown = [*table.display["average − fft [95 %]"]]
    assert shown[1] == "baseline" and orders[1] == min(orders)
    assert [shown[n] for n in sorted(range(len(shown)), key=orders.__getitem__)][1].startswith("−")


@needs_libraries
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_it_is_sorted_filtered_hovered_and_printed_in_a_browser(hostile: Path) -> None:
    api = pytest.importorskip("playwright.sync_api")
    (hostile / "report.html").write_text(made(hostile), encoding="utf-8")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1300, "height": 900})
        tab.set_default_timeout(240_000)
        asked: list[str] = []
        told: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: told.append(message.text))
        tab.on("pageerror", lambda error: told.append(str(error)))
        tab.goto((hostile / "report.html").as_uri())
        tab.wait_for_selector("body[data-ready=yes]")
        assert told == []
        assert [url.partition(":")[0] for url in asked] == ["file", "blob"]
        _sorted(tab)
        _filtered(tab)
        _hovered(tab)
        _samples(tab)
        assert tab.title().startswith("</script>") and tab.locator("img").count() == 0
        assert tab.pdf(format="A4", landscape=True).startswith(b"%PDF")
        browser.close()


def _column(tab: Any, number: int) -> list[str]:
    return tab.locator(f"table[data-name=main] tbody td:nth-child({number})").all_inner_texts()


def _head(place: int, order: str) -> str:
    """Of the column once it is sorted: the click alone does not wait for that."""
    return f"table[data-name=main] thead th:nth-child({place})[aria-sort={order}]"


def _sorted(tab: Any) -> None:
    heads = tab.locator("table[data-name=main] thead th").all_inner_texts()
    place = next(number for number, head in enumerate(heads, 1) if "average" in head)
    head = tab.locator(f"table[data-name=main] thead th:nth-child({place})")
    head.click()
    tab.wait_for_selector(_head(place, "ascending"))
    rising = [quantity(text) for text in _column(tab, place)]
    assert rising == sorted(rising) and len(rising) == 2
    head.click()
    tab.wait_for_selector(_head(place, "descending"))
    assert [quantity(text) for text in _column(tab, place)] == rising[::-1]


def _filtered(tab: Any) -> None:
    search = tab.locator(".dt-container:has(table[data-name=main]) input[type=search]")
    search.fill("rule=0.1")
    assert len(_column(tab, 1)) == 1
    search.fill("")
    assert len(_column(tab, 1)) == 2
    assert any("onerror" in text for text in _column(tab, 1))


def _hovered(tab: Any) -> None:
    point = tab.locator("#accuracy-0 .scatterlayer .point").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    shown = tab.locator("#accuracy-0 .hoverlayer .hovertext")
    shown.first.wait_for()
    assert "peak memory" in shown.first.text_content()
    tab.mouse.move(0, 0)


def _samples(tab: Any) -> None:
    assert tab.locator("#samples-0 tbody tr").count() == 10
    assert "onerror" in tab.locator("#samples-0 tbody tr").first.inner_text()
    tab.locator("#samples-0 select").nth(2).select_option("1")
    told = tab.locator("#samples-0 p.read").inner_text()
    assert re.fullmatch(r"\d+ of \d+ items", told)
    row = tab.locator("#samples-0 tbody tr").first
    assert row.locator("td.right").count() == 1 and row.locator("td.wrong").count() == 1
