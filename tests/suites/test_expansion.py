"""Which cells a suite has, and what their settings are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lwft_bench.schema.cell import Cell
from lwft_bench.schema.problems import ConfigError
from lwft_bench.schema.shipped import shipped
from lwft_bench.suites.loading import Changes, Suite, load_suite, suite_file
from tests.suites.writing import SUITE, Write, replaced

PLUGIN = """
    from pydantic import PositiveInt
    from lwft_bench.strategies import Selection, Strategy, PluginOptions, register

    @register("mine")
    class Mine(Strategy):
        class Options(PluginOptions):
            period: PositiveInt = 7

        def select(self, step):
            return Selection(units=[0], num_steps=self.options.period)
"""


@pytest.fixture
def load(write: Write):
    def load_text(text: str, **changes) -> Suite:
        return load_suite(str(write("suite.yaml", text)), Changes(**changes))

    return load_text


def ids(suite: Suite) -> list[str]:
    return [cell.id for cell in suite.cells]


def cell_of(suite: Suite, method: str) -> Cell:
    return next(cell for cell in suite.cells if cell.method.name == method)


def test_cells_are_models_by_methods_by_tasks_by_seeds(load):
    task = "{name: t, data: generated-arithmetic, train_examples: 1, benchmarks: [add-sub]}"
    suite = load(replaced(models="[embedded, org/other]", tasks=f"[arith, {task}]"))
    assert ids(suite)[:10] == [
        "embedded--base--arith",
        "embedded--base--t",
        "embedded--fft--arith--seed0",
        "embedded--fft--arith--seed1",
        "embedded--fft--t--seed0",
        "embedded--fft--t--seed1",
        "embedded--grass--arith--seed0",
        "embedded--grass--arith--seed1",
        "embedded--grass--t--seed0",
        "embedded--grass--t--seed1",
    ]
    assert [cell_id.replace("embedded", "other") for cell_id in ids(suite)[:10]] == ids(suite)[10:]
    assert suite.cells[-1].model.path == "org/other"
    assert suite.cells[0].seed == 0


def test_later_layers_win(load, write: Write):
    card = """
        name: mine
        title: Mine
        citation: me
        strategy: {name: grass, period: 3, refresh: 6, alpha: 0.25}
        training: {lr: 0.2, clip: {mode: unit}}
    """
    write("mine.yaml", card)
    text = replaced(
        methods="[mine.yaml, fft]",
        training="{steps: 8, lr: 0.1, batch_size: 2, clip: {max_norm: 3}}",
        overrides="[{set: {training.batch_size: 4, training.max_length: 7, strategy.alpha: 1}},"
        " {method: mine, set: {strategy.alpha: 0.5}},"
        " {method: mine, model: [embedded], task: arith, set: {training.warmup_steps: 1}},"
        " {method: mine, model: [], set: {training.warmup_steps: 2}}]",
        ablate="{strategy.alpha: [0.75]}",
    )
    suite = load(text, settings=("strategy.refresh=9", "training.max_length=5"))
    mine, fft = cell_of(suite, "mine"), cell_of(suite, "fft")
    assert mine.method.strategy.options == {
        "num_active": 2,
        "probing_steps": 10,
        "period": 3,
        "temperature": 1.0,
        "normalise": "mean",
        "floor": 0.0,
        "replacement": False,
        "refresh": 9,
        "alpha": 0.75,
    }
    assert mine.training.clip.model_dump() == {"mode": "unit", "max_norm": 3.0}
    assert (mine.training.lr, fft.training.lr) == (0.2, 0.1)
    assert (mine.training.batch_size, fft.training.batch_size) == (4, 4)
    assert (mine.training.warmup_steps, fft.training.warmup_steps) == (1, 0)
    assert (mine.training.max_length, fft.training.max_length) == (5, 5)
    assert mine.method.training == {}


def test_method_settings_evaluation_and_task_can_be_set(load):
    settings = (
        "always_train=[head, embed]",
        "state_policy=reset",
        "state_on_device=1024",
        "optimizer.beta1=0.5",
        "evaluation.batch_size=3",
        "task.items_per_benchmark=4",
        "training.stream_seeds.data=9",
    )
    cell = cell_of(load(SUITE, settings=settings), "grass")
    assert cell.method.always_train == ("head", "embed")
    assert (cell.method.state_policy, cell.method.state_on_device) == ("reset", 1024)
    assert cell.method.optimizer.options["beta1"] == 0.5
    assert (cell.evaluation.batch_size, cell.task.items_per_benchmark) == (3, 4)
    assert cell.training.stream_seeds == {"data": 9}


def test_a_value_that_was_replaced_no_longer_claims_its_source(load):
    plain = cell_of(load(SUITE), "grass").method.provenance
    changed = cell_of(load(SUITE, settings=("strategy.period=5",)), "grass").method.provenance
    assert changed["strategy.period"].source == "choice"
    assert changed["strategy.period"].note == "Set for this run: --set strategy.period"
    assert changed["strategy.alpha"] == plain["strategy.alpha"]


def test_ablation_multiplies_the_methods_that_have_the_option(load):
    ablate = "{strategy.temperature: [0.1, 1, 10], always_train: [all, [], [embed, head]]}"
    suite = load(replaced(seeds="[3]", ablate=ablate))
    found = ids(suite)
    assert found[:4] == [
        "embedded--base--arith",
        "embedded--fft--arith--seed3--always_train=all",
        "embedded--fft--arith--seed3--always_train=none",
        "embedded--fft--arith--seed3--always_train=embed+head",
    ]
    assert found[4:7] == [
        "embedded--grass--arith--seed3--temperature=0.1--always_train=all",
        "embedded--grass--arith--seed3--temperature=0.1--always_train=none",
        "embedded--grass--arith--seed3--temperature=0.1--always_train=embed+head",
    ]
    assert len(found) == 1 + 3 + 9
    assert suite.cells[7].ablation == {"strategy.temperature": 1, "always_train": "all"}
    assert suite.cells[7].method.strategy.options["temperature"] == 1.0


def test_what_is_ablated_is_not_set_besides(load):
    """The cells would be called by values that they do not have."""
    text = replaced(ablate="{strategy.alpha: [0.25, 0.5], training.clip.mode: [none, unit]}")
    for setting in ("strategy.alpha=0.75", "training.clip={mode: global}"):
        key = setting.partition("=")[0]
        with pytest.raises(ConfigError, match=f"--set: {key}: ablate.* gives each cell a value"):
            load(text, settings=(setting,))
    load(text, settings=("training.clip.max_norm=3", "strategy.period=2"))
    with pytest.raises(ConfigError, match=r"clip.mode: ablate.training.clip sets this too"):
        load(replaced(ablate="{training.clip: [{mode: unit}], training.clip.mode: [none, unit]}"))


def test_ablated_options_of_one_last_key_are_told_apart(load):
    text = replaced(
        methods="[grass]",
        seeds="[0]",
        ablate="{training.precision: [bf16], task.validation_examples: [1]}",
    )
    assert ids(load(text)) == [
        "embedded--grass--arith--seed0--precision=bf16--validation_examples=1"
    ]
    text = replaced(
        methods="[lora]", seeds="[0]", ablate="{training.dropout: [true], adapter.dropout: [0]}"
    )
    assert ids(load(text)) == [
        "embedded--lora--arith--seed0--training.dropout=true--adapter.dropout=0"
    ]


def test_cells_of_one_name_are_refused(load):
    with pytest.raises(ConfigError, match="2 cells are called embedded--fft--arith--seed0--lr=1"):
        load(replaced(seeds="[0]", ablate="{training.lr: [1, 1]}"))


def test_the_command_line_narrows_and_replaces(load):
    assert ids(load(SUITE, methods=("fft",))) == [
        "embedded--fft--arith--seed0",
        "embedded--fft--arith--seed1",
    ]
    assert ids(load(SUITE, seeds=(1, 5), only="*fft*")) == [
        "embedded--fft--arith--seed1",
        "embedded--fft--arith--seed5",
    ]
    assert ids(load(SUITE, methods=("fft", "base"), models=("embedded",), seeds=(0,))) == [
        "embedded--base--arith",
        "embedded--fft--arith--seed0",
    ]


def test_a_plugins_strategy_is_a_method_by_its_name(load, write: Write, tmp_path: Path):
    write("mine.py", PLUGIN)
    suite = load(replaced(methods="[fft, mine]", plugins="[mine.py]", seeds="[0]"))
    mine = cell_of(suite, "mine")
    assert mine.method.strategy.options == {"period": 7}
    assert (mine.method.title, mine.method.citation) == ("mine", "mine.py")
    assert mine.plugins == (str(tmp_path / "mine.py"),)


def test_a_plugin_on_the_command_line_joins_the_methods(load, write: Write):
    write("mine.py", PLUGIN)
    text = replaced(seeds="[0]", baseline="mine")
    suite = load(text, plugins=("mine.py",), settings=("strategy.period=10",))
    assert ids(suite) == [
        "embedded--base--arith",
        "embedded--fft--arith--seed0",
        "embedded--grass--arith--seed0",
        "embedded--mine--arith--seed0",
    ]
    assert cell_of(suite, "mine").method.strategy.options == {"period": 10}
    card = "{name: other, title: O, citation: c, strategy: mine}"
    used = load(replaced(methods=f"[{card}]", seeds="[0]"), plugins=("mine.py",))
    assert ids(used) == ["embedded--other--arith--seed0"]


def test_paths_are_relative_to_the_file_that_has_them(write: Write, tmp_path: Path):
    for name in ("plugin.py", "model/config.json", "train.jsonl"):
        write(f"suites/{name}", PLUGIN if name == "plugin.py" else "")
    benchmark = suite_file("arith").parent.parent / "lwft_bench/data/benchmarks/add-sub.yaml"
    write("suites/bench/own.yaml", benchmark.read_text())
    task = (
        "{name: t, data: jsonl, data_options: {train: train.jsonl}, train_examples: 1,"
        " validation_examples: 0, benchmarks: [bench/own.yaml]}"
    )
    text = replaced(models="[model]", tasks=f"[{task}]", plugins="[plugin.py]")
    cell = load_suite(str(write("suites/suite.yaml", text))).cells[0]
    assert cell.model.path == str(tmp_path / "suites/model")
    assert cell.task.data_options["train"] == str(tmp_path / "suites/train.jsonl")
    assert cell.task.benchmarks == (str(tmp_path / "suites/bench/own.yaml"),)
    assert cell.plugins == (str(tmp_path / "suites/plugin.py"),)


def test_a_path_wins_over_a_shipped_name(write: Write):
    assert suite_file("arith").parts[-2:] == ("suites", "arith.yaml")
    write("arith", SUITE)
    assert suite_file("arith") == Path("arith")
    assert load_suite("arith").name == "small"


def test_cells_survive_their_json(load):
    for cell in load(replaced(ablate="{training.lr: [.inf]}")).cells:
        assert Cell.model_validate_json(cell.model_dump_json()) == cell
        assert Cell.model_validate(json.loads(json.dumps(cell.model_dump(mode="json")))) == cell


def test_published_numbers_are_the_suites_and_change_no_cell(load, write: Write):
    benchmark = shipped("benchmarks")["add-sub"].read_text()
    write("cards/own.yaml", benchmark.replace("name: add-sub", "name: mine"))
    task = """
        name: t
        data: generated-arithmetic
        train_examples: 1
        benchmarks: [multi-step, own.yaml]
    """
    write("cards/t.yaml", task)
    plain = replaced(tasks="[cards/t.yaml]")
    scores = "{embedded: {fft: {mine: 7, multi-step: 33.5, average: 20.25}}}"
    suite, same = load(plain + f"published: {{source: A paper, scores: {scores}}}\n"), load(plain)
    assert suite.published is not None
    assert suite.published.scores["embedded"]["fft"]["average"] == 20.25
    assert same.published is None
    assert [suite.identity(cell) for cell in suite.cells] == list(map(same.identity, same.cells))
    assert load_suite("suite.yaml", Changes(methods=("grass",))).cells
