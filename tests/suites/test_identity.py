"""What makes a cell another one, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from lwft_bench.plugins.registry import strategies
from lwft_bench.suites import identity
from lwft_bench.suites.loading import Changes, load_suite
from tests.suites.test_expansion import PLUGIN
from tests.suites.writing import Write, replaced

COMPONENTS = {"config", "strategy", "data", "model", "protocol", "evaluation"}


@pytest.fixture
def identities(write: Write):
    """Cell id -> identity, of a suite's text."""

    def of(text: str, name: str = "suite.yaml", **changes):
        suite = load_suite(str(write(name, text)), Changes(**changes))
        return {cell.id: suite.identity(cell) for cell in suite.cells}

    return of


def changed(before, after) -> set[str]:
    return {key for key in COMPONENTS if before.components[key] != after.components[key]}


def test_components_and_their_digest(identities):
    (base, *_) = identities(replaced()).values()
    assert set(base.components) == COMPONENTS
    assert all(len(digest) == 64 for digest in [base.digest, *base.components.values()])


def test_order_names_and_other_cells_do_not_enter(identities):
    before = identities(replaced())
    after = identities(
        replaced(
            name="renamed", methods="[grass, lisa, base, fft]", seeds="[2, 1, 0]", title="A title"
        ),
        "elsewhere/other.yaml",
    )
    assert {cell_id: after[cell_id] for cell_id in before} == before


def test_cells_of_one_suite_differ(identities):
    found = identities(replaced(ablate="{strategy.alpha: [0.25, 0.5]}"))
    assert len({each.digest for each in found.values()}) == len(found)


def test_spelling_out_a_default_changes_nothing(identities):
    text = replaced(
        overrides="[{method: grass, set: {strategy.temperature: 1, training.lr: 1e-4}}]"
    )
    assert identities(text) == identities(replaced())


@pytest.mark.parametrize(
    ("setting", "components"),
    [
        ("training.lr=0.5", {"config"}),
        ("strategy.period=5", {"config"}),
        ("state_policy=reset", {"config"}),
        ("evaluation.max_new_tokens=3", {"evaluation"}),
        ("task.train_examples=7", {"data"}),
        ("task.items_per_benchmark=7", {"evaluation"}),
        ("task.drop_test_questions=exact", {"data"}),
    ],
)
def test_what_a_setting_changes(identities, setting: str, components: set[str]):
    cell = "embedded--grass--arith--seed0"
    after = identities(replaced(), settings=(setting,))[cell]
    assert changed(identities(replaced())[cell], after) == components


def test_a_cards_words_do_not_enter(identities):
    card = "{{name: m, title: {0}, citation: {0}, description: {0}, strategy: lisa}}"
    one, other = (identities(replaced(methods=f"[{card.format(word)}]")) for word in ("a", "b"))
    assert one == other


def test_an_edited_plugin_changes_its_cells_and_no_others(identities, write: Write, tmp_path: Path):
    text = replaced(plugins="[mine.py]", methods="[base, lisa, mine]", seeds="[0]")
    write("mine.py", PLUGIN)
    before = identities(text)
    strategies.forget(str(tmp_path / "mine.py"))
    write("elsewhere/mine.py", PLUGIN)
    assert identities(text, "elsewhere/suite.yaml") == before
    write("elsewhere/mine.py", PLUGIN + "    # edited\n")
    after = identities(text, "elsewhere/suite.yaml")
    stale = {cell_id: changed(before[cell_id], after[cell_id]) for cell_id in before}
    assert stale == {
        "embedded--base--arith": set(),
        "embedded--lisa--arith--seed0": set(),
        "embedded--mine--arith--seed0": {"strategy"},
    }


def test_an_edited_inner_strategy_changes_the_cells_it_is_inside_of(identities, write: Write):
    write("plugin.py", PLUGIN)
    inside = "{name: inside, title: t, citation: c, strategy: {name: permuted, inner: mine}}"
    text = replaced(methods=f"[grass, {inside}]", plugins="[plugin.py]", seeds="[0]")
    before = identities(text)
    write("plugin.py", PLUGIN + "    # edited\n")
    after = identities(text)
    grass, permuted = (f"embedded--{method}--arith--seed0" for method in ("grass", "inside"))
    assert changed(before[permuted], after[permuted]) == {"strategy"}
    assert before[grass] == after[grass]


def test_a_models_place_does_not_enter_but_its_files_do(identities, write: Write):
    identity_of = lambda folder: next(  # noqa: E731
        iter(identities(replaced(models="[model]", methods="[fft]"), f"{folder}/s.yaml").values())
    )
    write("a/model/config.json", "{}")
    write("b/model/config.json", "{}")
    write("c/model/config.json", '{"x": 1}')
    assert identity_of("a") == identity_of("b")
    assert changed(identity_of("a"), identity_of("c")) == {"model"}


OWN_TASK = """[{{name: own, data: jsonl, train_examples: 2, validation_examples: 0,
  benchmarks: [own.yaml], data_options: {{{0}}}}}]"""
OWN_BENCHMARK = """
{{name: own, version: "1", title: {0}, description: {0}, licence: {0}, contamination: {0},
  source: {{name: jsonl, path: items.jsonl}}, kind: generate, metric: exact_match, num_items: 1,
  extraction: whole-response, max_new_tokens: {1}}}
"""
ROW = '{"prompt": "1+1", "target": " 2", "answer": "2"}\n'


@pytest.fixture
def own_identity(identities, write: Write):
    """The identity of a cell whose data and benchmark are the user's own, in a folder."""

    def of(
        folder: str, options: str = "train: t.jsonl", words: str = "a", tokens: int = 4, **files
    ):
        for name in ("t", "v", "items"):
            write(f"{folder}/{name}.jsonl", files.get(name, 2 * ROW))
        write(f"{folder}/own.yaml", OWN_BENCHMARK.format(words, tokens))
        text = replaced(tasks=OWN_TASK.format(options), methods="[fft]", seeds="[0]")
        (found,) = identities(text, f"{folder}/s.yaml").values()
        return found

    return of


def test_neither_where_own_data_lie_nor_words_about_them_nor_a_default_enters(own_identity):
    before = own_identity("a")
    assert own_identity("b") == before
    assert own_identity("c", words="b") == before
    assert own_identity("d", "train: ./t.jsonl, seed: 0, prompt_field: prompt") == before


def test_what_is_in_own_files_and_what_each_is_for_enters(own_identity):
    before = own_identity("a")
    assert changed(before, own_identity("b", t=3 * ROW)) == {"data"}
    assert changed(before, own_identity("c", items=3 * ROW)) == {"evaluation"}
    assert changed(before, own_identity("d", tokens=5)) == {"evaluation"}
    assert changed(before, own_identity("e", "train: t.jsonl, seed: 1")) == {"data"}
    assert changed(before, own_identity("f", "train: t.jsonl, validation: t.jsonl")) == {"data"}
    one, other = ({"t": 3 * ROW, "v": 2 * ROW}, {"t": 2 * ROW, "v": 3 * ROW})
    both = "train: t.jsonl, validation: v.jsonl"
    assert changed(own_identity("g", both, **one), own_identity("h", both, **other)) == {"data"}


def test_canonical_json_is_independent_of_order():
    assert identity.digest_of({"a": 1, "b": [1.0]}) == identity.digest_of({"b": [1.0], "a": 1})
    assert identity.digest_of([1, 2]) != identity.digest_of([2, 1])
