"""What is wrong with a suite is told all at once, each with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from lwft_bench.schema.errors import UserError
from lwft_bench.suites.loading import Changes, load_suite
from tests.suites.writing import SUITE, Problems, Write, replaced


def test_five_mistakes_are_five_messages(problems: Problems):
    text = """
        name: bad
        models: [embedded]
        methods: [fft, grss]
        tasks: [arith]
        seeds: [0, one]
        training:
          steps: 10
          learning_rate: 0.1
        baseline: ftt
        ablate:
          strategy.temprature: [0.1, 1]
    """
    assert problems(text) == [
        "suite.yaml:3: methods[1]: unknown method 'grss'; did you mean 'grass'?",
        "suite.yaml:5: seeds[1]: expected an integer, found 'one'",
        "suite.yaml:8: training.learning_rate: unknown key; expected one of "
        + ", ".join(
            [
                "steps, batch_size, micro_batch_size, max_tokens, batching, lr, schedule, warmup_steps",
                "max_length, loss_on, precision, state_dtype, clip, checkpointing, attention, compile",
                "kernels, dropout, router_loss, update, bucket_bytes, sharded, stream_seeds",
                "validate_every, checkpoint_every, device, threads",
            ]
        ),
        "suite.yaml:9: baseline: unknown method of the suite 'ftt'; did you mean 'fft'?",
        "suite.yaml:11: ablate.strategy.temprature: no method has such option; "
        "did you mean 'strategy.temperature'?",
    ]


def test_a_name_where_there_is_none_to_choose_from(problems: Problems):
    assert problems(replaced(methods="[]", baseline="fft")) == [
        "suite.yaml:3: methods: expected at least 1 entries, found a list",
        "suite.yaml:7: baseline: unknown method of the suite 'fft'; there is none",
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ({"sedes": "[0]"}, "suite.yaml:7: sedes: unknown key; did you mean 'seeds'?"),
        ({"name": "a/b"}, "suite.yaml:1: name: expected a text like"),
        ({"models": "[]"}, "suite.yaml:2: models: expected at least 1 entries, found a list"),
        ({"models": "embedded"}, "suite.yaml:2: models: expected a list, found 'embedded'"),
        ({"models": "[3]"}, "suite.yaml:2: models[0]: expected a name or a mapping, found 3"),
        (
            {"models": "[embeded]"},
            "suite.yaml:2: models[0]: unknown model 'embeded'; did you mean 'embedded'?",
        ),
        ({"models": "[gtp2]"}, "suite.yaml:2: models[0]: unknown model 'gtp2'; expected a shipped"),
        ({"models": "[./absent]"}, "suite.yaml:2: models[0]: no such folder: "),
        (
            {"models": "[{name: m, path: a/b, config: {}}]"},
            "suite.yaml:2: models[0]: expected exactly one of the keys 'path' and 'config'",
        ),
        (
            {"models": "[embedded, {name: embedded, path: a/b}]"},
            "suite.yaml:2: models[1]: the name 'embedded' is there twice",
        ),
        ({"methods": "[fft, fft]"}, "suite.yaml:3: methods[1]: the name 'fft' is there twice"),
        ({"methods": "[card.yaml]"}, "suite.yaml:3: methods[0]: no such file: "),
        ({"tasks": "[arit]"}, "suite.yaml:4: tasks[0]: unknown task 'arit'; did you mean 'arith'?"),
        (
            {"tasks": "[{name: t, data: x, train_examples: 1, benchmarks: [ad-sub]}]"},
            "suite.yaml:4: tasks[0].benchmarks[0]: unknown benchmark 'ad-sub'; "
            "did you mean 'add-sub'?",
        ),
        (
            {"tasks": "[{name: t, data: jsonlines, train_examples: 1, benchmarks: []}]"},
            "suite.yaml:4: tasks[0].data: unknown data source 'jsonlines'; did you mean 'jsonl'?",
        ),
        (
            {
                "tasks": "[{name: t, data: jsonl, train_examples: 1, benchmarks: [],"
                " data_options: {trian: x}}]"
            },
            "suite.yaml:4: tasks[0].data_options.trian: unknown option of data source 'jsonl'; "
            "did you mean 'train'?",
        ),
        (
            {
                "tasks": "[{name: t, data: jsonl, train_examples: 1, benchmarks: [],"
                " data_options: {train: absent.jsonl}}]"
            },
            "suite.yaml:4: tasks[0].data_options.train: no such file: ",
        ),
        ({"seeds": "[0, 0]"}, "suite.yaml:5: seeds: 0 is there twice"),
        ({"seeds": "[-1]"}, "suite.yaml:5: seeds[0]: expected a number greater than or equal to 0"),
        ({"seeds": "[true]"}, "suite.yaml:5: seeds[0]: expected an integer, found true"),
        ({"seeds": "['1']"}, "suite.yaml:5: seeds[0]: expected an integer, found '1'"),
        ({"training": "{}"}, "suite.yaml:6: training.steps: missing"),
        (
            {"training": "{steps: 1, clip: {mode: globl}}"},
            "suite.yaml:6: training.clip.mode: expected 'none', 'global' or 'unit', "
            "found 'globl'; did you mean 'global'?",
        ),
        (
            {"training": "{steps: 1, update: in_backward, clip: {mode: global}}"},
            "suite.yaml:6: training: update: in_backward goes neither with",
        ),
        (
            {"overrides": "[{method: grss, set: {training.lr: 1}}]"},
            "suite.yaml:7: overrides[0].method: unknown method of the suite 'grss'; "
            "did you mean 'grass'?",
        ),
        (
            {"overrides": "[{method: [fft, grass], set: {strategy.period: 1}}]"},
            "suite.yaml:7: overrides[0].set.strategy.period: method 'fft' has no such option; "
            "expected one of always_train, ",
        ),
        (
            {"overrides": "[{method: grass, set: {strategy.period: 0}}]"},
            "suite.yaml:7: overrides[0].set.strategy.period: expected a number greater than 0, "
            "found 0",
        ),
        (
            {
                "training": "{steps: 1, clip: {mode: unit}}",
                "overrides": "[{set: {training.clip: {mode: globl}}}]",
            },
            "suite.yaml:7: overrides[0].set.training.clip.mode: expected 'none', ",
        ),
        (
            {"overrides": "[{model: embedded, set: {method.name: x}}]"},
            "suite.yaml:7: overrides[0].set.method.name: no method has such option; "
            "expected one of always_train, ",
        ),
        (
            {"ablate": "{always_train: [[embd]]}"},
            "suite.yaml:7: ablate.always_train[0]: expected 'embed', 'final_norm', 'head', "
            "'other' or 'norms', found 'embd'; did you mean 'embed'?",
        ),
        (
            {"ablate": "{state_on_device: [some]}"},
            "suite.yaml:7: ablate.state_on_device: expected 'all' or 'none' or an integer, "
            "found 'some'",
        ),
        ({"ablate": "{training.lr: []}"}, "suite.yaml:7: ablate.training.lr: expected at least 1"),
        ({"plugins": "[absent.py]"}, "suite.yaml:7: plugins[0]: "),
    ],
)
def test_each_mistake_has_its_place(problems: Problems, lines: dict[str, str], expected: str):
    assert [line for line in problems(replaced(**lines)) if line.startswith(expected)]


def test_a_wrong_part_does_not_hide_what_is_wrong_elsewhere(problems: Problems):
    text = """
        name: bad
        models: [embeded]
        methods:
          - {name: m, title: M, citation: c, strategy: {name: grass, temprature: 1}}
          - {name: n, title: N, citation: c, strategy: lissa, training: {lrr: 1}}
          - {name: o, title: O}
        tasks: [arit]
        seeds: [x]
        training: {steps: 1}
        polish: true
    """
    assert problems(text) == [
        "suite.yaml:2: models[0]: unknown model 'embeded'; did you mean 'embedded'?",
        "suite.yaml:4: methods[0].strategy.temprature: unknown option of strategy 'grass'; "
        "did you mean 'temperature'?",
        "suite.yaml:5: methods[1].strategy.name: unknown strategy 'lissa'; did you mean 'lisa'?",
        "suite.yaml:5: methods[1].training.lrr: unknown key; did you mean 'lr'?",
        "suite.yaml:6: methods[2].citation: missing",
        "suite.yaml:7: tasks[0]: unknown task 'arit'; did you mean 'arith'?",
        "suite.yaml:8: seeds[0]: expected an integer, found 'x'",
        "suite.yaml:10: polish: unknown key; did you mean 'published'?",
    ]


def test_a_method_that_cannot_be_read_keeps_its_options_known(problems: Problems):
    text = replaced(methods="[fft, grss]", ablate="{strategy.temperature: [1]}")
    assert problems(text) == [
        "suite.yaml:3: methods[1]: unknown method 'grss'; did you mean 'grass'?"
    ]


def test_a_mistake_in_a_card_is_located_there(problems: Problems, write: Write):
    write(
        "cards/mine.yaml",
        """
        name: mine
        title: Mine
        citation: me
        strategy:
          name: lisa
          perod: 3
        training:
          lr: 0
        """,
    )
    write(
        "cards/other.yaml",
        """
        name: other
        title: 3
        """,
    )
    assert problems(replaced(methods="[cards/mine.yaml, cards/other.yaml]")) == [
        "cards/mine.yaml:6: strategy.perod: unknown option of strategy 'lisa'; "
        "did you mean 'period'?",
        "cards/mine.yaml:8: training.lr: expected a number greater than 0, found 0",
        "cards/other.yaml:1: citation: missing",
        "cards/other.yaml:2: title: expected a string, found 3",
    ]


def test_mistakes_on_the_command_line(problems: Problems):
    changes = Changes(settings=("training.stepss=3", "training.lr", "strategy.period=x", "a=[1"))
    assert problems(SUITE, changes) == [
        "--set: training.lr: expected key=value",
        "--set: a: not YAML: did not find expected ',' or ']'",
        "--set: training.stepss: no method has such option; did you mean 'training.steps'?",
        "--set: strategy.period: expected an integer, found 'x'",
    ]
    narrowed = Changes(models=("embeded",), methods=("grss",), tasks=("arith",), only="x*")
    assert [line.partition(";")[0] for line in problems(SUITE, narrowed)] == [
        "--methods: unknown method of the suite 'grss'",
        "--models: unknown model of the suite 'embeded'",
    ]
    assert problems(SUITE, Changes(only="x*")) == [
        "--only: x*: matches no cell, such as embedded--base--arith"
    ]


@pytest.mark.parametrize(("text", "found"), [("", "nothing"), ("- 1", "a list"), ("x", "'x'")])
def test_a_suite_is_a_mapping(problems: Problems, text: str, found: str):
    assert problems(text) == [f"suite.yaml:1: expected a mapping, found {found}"]


def test_a_folder_whose_name_is_no_model_s_is_told_how_to_be_named(
    problems: Problems, write: Write
):
    write("My Model (v2)/config.json", "{}")
    (told,) = problems(replaced(models="['./My Model (v2)']"))
    assert told.startswith("suite.yaml:2: models[0]: expected a text like")
    assert told.endswith("give it a name: {name: ..., path: './My Model (v2)'}")


def test_the_hint_names_the_commands_that_help(write: Write):
    path = write("suite.yaml", replaced(methods="[grss]", tasks="[arit]"))
    with pytest.raises(UserError) as caught:
        load_suite(str(path))
    assert caught.value.hint == "see `lwft-bench list methods`, `lwft-bench list tasks`"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("arit", "unknown suite 'arit'; did you mean 'arith'?"),
        ("suites/arit.yaml", "suites/arit.yaml: no such file; did you mean the shipped 'arith'?"),
    ],
)
def test_a_suite_that_is_not_there(name: str, message: str):
    with pytest.raises(UserError) as caught:
        load_suite(name)
    assert caught.value.message == message


def test_a_plugin_that_fails_is_a_problem_of_the_line_that_names_it(
    problems: Problems, write: Write
):
    write("broken.py", "import absent_module\n")
    write(
        "taken.py",
        """
        from lwft_bench.strategies import Strategy, register

        @register("lisa")
        class Mine(Strategy):
            pass
        """,
    )
    found = problems(replaced(plugins="[broken.py, taken.py]"))
    assert found == [
        "suite.yaml:7: plugins[0]: broken.py:1: ModuleNotFoundError: "
        "No module named 'absent_module'",
        "suite.yaml:7: plugins[1]: taken.py:3: the strategy name 'lisa' is taken (built-in)",
    ]


def test_a_method_that_would_train_nothing_is_refused(problems: Problems):
    changes = Changes(settings=("always_train=[]",))
    assert problems(replaced(methods="[fft, always-only]"), changes) == [
        "--set: always_train: method always-only: strategy 'no-units' selects no unit, so that nothing "
        "would train; "
        "expected parts, e.g. [embed, final_norm, head]"
    ]


@pytest.mark.parametrize(
    ("optimizer", "kind"), [("adamw8bit", "blockwise"), ("apollo, rank: 4", "opaque")]
)
@pytest.mark.parametrize("precision", ["bf16-stochastic", "bf16-master"])
def test_precisions_of_single_elements_go_with_elementwise_optimizers(
    write: Write, problems: Problems, optimizer: str, kind: str, precision: str
):
    write("card.yaml", f"{{name: c, title: t, citation: c, optimizer: {{name: {optimizer}}}}}")
    suite = replaced(
        methods="[fft, card.yaml]",
        training=f"{{steps: 8, update: in_backward, precision: {precision}}}",
    )
    (told,) = problems(suite)
    assert told == (
        f"suite.yaml:6: training.precision: method c: {precision} works on single elements, and the "
        f"state of optimizer {optimizer.partition(',')[0]!r} is {kind}; expected float32 or bf16"
    )
    load_suite(write("suite.yaml", suite.replace(precision, "bf16")))


def test_a_dtype_of_its_own_for_moments_goes_with_elementwise_optimizers(
    write: Write, problems: Problems
):
    write("card.yaml", "{name: c, title: t, citation: c, optimizer: {name: apollo, rank: 4}}")
    suite = replaced(
        methods="[fft, card.yaml]", training="{steps: 8, precision: bf16, state_dtype: float32}"
    )
    assert problems(suite) == [
        "suite.yaml:6: training.state_dtype: method c: float32 moments are for optimizers that work "
        "on single elements, and the state of optimizer 'apollo' is opaque; expected none given (null)"
    ]
    assert problems(suite.replace("float32}", "bfloat16}")) == [
        "suite.yaml:6: training.state_dtype: expected 'float32', 'bf16' or 'bf16-stochastic', found "
        "'bfloat16'; did you mean 'float32'?"
    ]


def test_full_weights_that_a_strategy_would_suppress_are_refused(write: Write, problems: Problems):
    write(
        "full.yaml",
        "{name: full-ist, title: t, citation: c, adapter: full, strategy: {name: ist}}",
    )
    (told,) = problems(replaced(methods="[ist, full.yaml]"))
    assert told.endswith(
        "adapter: method full-ist: strategy 'ist' measures the loss with units suppressed, which "
        "adapter 'full' cannot do; expected one that adds to frozen weights, e.g. lora"
    )
    write(
        "full.yaml",
        "{name: full-ist, title: t, citation: c, strategy: {name: ist, interval: null}}",
    )
    suite = write("suite.yaml", replaced(methods="[ist, full.yaml]"))
    assert len(load_suite(str(suite), Changes()).cells) == 4


def test_a_part_is_a_unit_or_always_trained(problems: Problems):
    (told,) = problems(replaced(methods="[hift]"), Changes(settings=("always_train=[head]",)))
    assert "always_train has head, which units: head lets the strategy choose" in told


def test_options_of_an_inner_strategy_can_be_set(write: Write):
    suite = write("suite.yaml", replaced(methods="[permuted]"))
    loaded = load_suite(str(suite), Changes(settings=("strategy.inner.temperature=0.5",)))
    inner = loaded.cells[0].method.strategy.options["inner"]
    assert inner["temperature"] == 0.5
    assert inner["period"] == 25


def test_options_of_an_inner_strategy_are_checked(problems: Problems):
    (told,) = problems(
        replaced(methods="[permuted]"), Changes(settings=("strategy.inner.temprature=0.5",))
    )
    assert told.endswith(
        "strategy.inner: temprature: unknown option of strategy 'grass'; "
        "did you mean 'temperature'?"
    )


def test_published_numbers_are_of_what_the_suite_has(problems: Problems):
    text = replaced(
        published="""
  source: A paper
  scores:
    embeded: {fft: {add-sub: 1}}
    embedded:
      grss: {add-sub: 2}
      fft: {ad-sub: 3.5, average: 100}
"""
    )
    assert problems(text) == [
        "suite.yaml:10: published.scores.embeded: unknown model of the suite 'embeded'; "
        "did you mean 'embedded'?",
        "suite.yaml:12: published.scores.embedded.grss: unknown method of the suite 'grss'; "
        "did you mean 'grass'?",
        "suite.yaml:13: published.scores.embedded.fft.ad-sub: unknown benchmark of the suite "
        "'ad-sub'; did you mean 'add-sub'?",
    ]


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ("{scores: {}}", "published.source: missing"),
        ("{source: x, score: {}}", "published.score: unknown key; did you mean 'scores'?"),
        (
            "{source: x, scores: {embedded: {fft: {add-sub: 101}}}}",
            "published.scores.embedded.fft.add-sub: expected a number less than or equal to 100, "
            "found 101",
        ),
        (
            "{source: x, scores: {embedded: {fft: 34.2}}}",
            "published.scores.embedded.fft: expected a mapping, found 34.2",
        ),
    ],
)
def test_published_numbers_are_percentages_with_a_source(
    problems: Problems, published: str, expected: str
):
    told = problems(replaced(published=published))
    assert [line for line in told if line.startswith(f"suite.yaml:7: {expected}")]


def test_an_average_is_published_of_one_task(problems: Problems):
    published = "{source: x, scores: {embedded: {fft: {average: 3}}}}"
    assert problems(replaced(tasks="[arith, commonsense]", published=published)) == [
        "suite.yaml:7: published.scores.embedded.fft.average: of which task? "
        "A suite that has it has one task"
    ]


def test_published_benchmarks_are_not_checked_against_tasks_that_are_wrong(problems: Problems):
    published = "{source: x, scores: {embedded: {fft: {anything: 3}}}}"
    assert problems(replaced(tasks="[arit]", published=published)) == [
        "suite.yaml:4: tasks[0]: unknown task 'arit'; did you mean 'arith'?"
    ]


@pytest.mark.parametrize(
    ("rule", "precision", "expected"),
    [
        ("{optimizer: adamw}", "float32", "optimizer 'adamw' has state, and units that"),
        ("{optimizer: sing}", "float32", "unknown optimizer 'sing'; did you mean 'sign'?"),
        (
            "{optimizer: {name: sgd, weight_dcay: 1}}",
            "float32",
            "unknown option of optimizer 'sgd'; did you mean 'weight_decay'?",
        ),
        ("{optimizer: sgd, range: deper}", "float32", "expected 'all' or 'deeper', found 'deper'"),
        ("{optimizer: sgd}", "bf16-master", "with bf16-master and state_policy keep"),
    ],
)
def test_a_rule_for_unselected_units(problems: Problems, rule: str, precision: str, expected: str):
    text = replaced(
        methods="[lisa]",
        training=f"{{steps: 8, precision: {precision}}}",
        overrides=f"[{{set: {{unselected: {rule}}}}}]",
    )
    (told,) = problems(text)
    assert expected in told and told.startswith("suite.yaml:")


def test_norms_are_always_trained_beside_modules_only(problems: Problems):
    (told,) = problems(replaced(methods="[lisa]", overrides="[{set: {always_train: [norms]}}]"))
    assert "always_train has norms" in told


def test_a_plugin_s_default_that_its_own_option_refuses(tmp_path: Path):
    (tmp_path / "zero.py").write_text(
        "from __future__ import annotations\n"
        "from pydantic import PositiveInt\n"
        "from lwft_bench.strategies import PluginOptions, Selection, Strategy, register\n"
        "@register('zero')\n"
        "class Zero(Strategy):\n"
        "    class Options(PluginOptions):\n"
        "        period: PositiveInt = 0\n"
        "    def select(self, step):\n"
        "        return Selection(units=[0], num_steps=1)\n",
        "utf-8",
    )
    text = replaced(methods="[zero]", plugins="[zero.py]")
    (tmp_path / "suite.yaml").write_text(text, "utf-8")
    with pytest.raises(UserError, match=r"expected a number greater than 0, found 0, which is its"):
        load_suite("suite.yaml")


def test_an_exception_whose_text_cannot_be_had(tmp_path: Path):
    (tmp_path / "mute.py").write_text(
        "class Mute(Exception):\n    def __str__(self):\n        raise RuntimeError\nraise Mute\n",
        "utf-8",
    )
    (tmp_path / "suite.yaml").write_text(replaced(plugins="[mute.py]"), "utf-8")
    with pytest.raises(UserError, match=r"mute.py:4: Mute: its text cannot be had"):
        load_suite("suite.yaml")


def test_a_cell_s_name_fits_a_file_system(problems: Problems):
    (found,) = problems(replaced(models=f"[{{name: {'m' * 250}, path: embedded}}]"))[:1]
    assert "characters; expected at most 200: shorten names or values" in found


@pytest.mark.parametrize("begin", ["", "from __future__ import annotations\n"])
def test_an_option_of_a_type_that_is_not_there(tmp_path: Path, begin: str):
    (tmp_path / "lost.py").write_text(
        f"{begin}from lwft_bench.strategies import PluginOptions, Selection, Strategy, register\n"
        "@register('lost')\n"
        "class Lost(Strategy):\n"
        "    class Options(PluginOptions):\n"
        "        period: 'PositiveInt' = 1\n"
        "    def select(self, step):\n"
        "        return Selection(units=[0], num_steps=1)\n",
        "utf-8",
    )
    text = replaced(methods="[fft]", plugins="[lost.py]")
    (tmp_path / "suite.yaml").write_text(text, "utf-8")
    with pytest.raises(UserError, match=r"lost.py:\d+: .*PositiveInt"):
        load_suite("suite.yaml")


def test_all_that_contradicts_itself_in_a_section_is_told(problems: Problems):
    training = (
        "{steps: 8, batching: packed, attention: flash_attention_2, max_tokens: 9, "
        "micro_batch_size: 2, update: in_backward}"
    )
    (told,) = problems(replaced(training=training))
    for part in (
        "suite.yaml:6: training: micro_batch_size and max_tokens say the same",
        "; batching: packed needs attention: sdpa",
        "; attention: flash_attention_2 is for half precision",
        "; update: in_backward goes neither with",
    ):
        assert part in told
