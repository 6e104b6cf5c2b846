"""Every shipped method card: valid, complete, and saying where its values come from."""

from pathlib import Path

import pytest
import yaml

from lwft_bench.plugins.registry import adapters, optimizers, strategies
from lwft_bench.schema.method import MethodConfig

FOLDER = Path(__file__).parents[2] / "methods"
PATHS = sorted(FOLDER.glob("*.yaml"))
SETTINGS = (
    "always_train",
    "units",
    "state_policy",
    "always_train_state_policy",
    "state_on_device",
    "lr_clock",
    "lr_warmup_after_selection",
    "step_counter",
    "unselected",
)
"""What a card must justify when it says it, besides the options of adapter and strategy."""


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def card(name: str) -> MethodConfig:
    return MethodConfig(**read(FOLDER / f"{name}.yaml"))


def key_paths(path: Path) -> set[str]:
    """The values of a card that need a source."""
    raw = read(path)
    method = MethodConfig(**raw)
    settings = {key for key in SETTINGS if key in raw}
    settings |= {f"strategy.{option}" for option in method.strategy.options}
    settings |= {f"adapter.{option}" for option in method.adapter.options}
    settings |= {f"optimizer.{option}" for option in method.optimizer.options}
    return settings | {f"training.{option}" for option in method.training}


def test_the_cards_are_there():
    assert {path.stem for path in PATHS} >= {
        "base",
        "fft",
        "lora",
        "lisa",
        "ows-norm",
        "grass-static",
        "grass",
        "grass-no-offload",
    }


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
class TestCard:
    def test_parses_and_is_named_like_its_file(self, path):
        assert MethodConfig(**read(path)).name == path.stem

    def test_strategy_options_are_valid_and_all_spelt_out(self, path):
        method = MethodConfig(**read(path))
        options_class = strategies.get(method.strategy.name).Options
        options_class(**method.strategy.options)
        assert method.strategy.options.keys() == options_class.model_fields.keys()

    def test_adapter_and_optimizer_options_are_valid(self, path):
        method = MethodConfig(**read(path))
        adapters.get(method.adapter.name).Options(**method.adapter.options)
        optimizers.get(method.optimizer.name).Options(**method.optimizer.options)

    def test_every_value_has_provenance(self, path):
        method = MethodConfig(**read(path))
        assert key_paths(path) <= method.provenance.keys()
        assert all(provenance.note for provenance in method.provenance.values())

    def test_provenance_speaks_of_what_the_card_says(self, path):
        method = MethodConfig(**read(path))
        assert method.provenance.keys() <= key_paths(path) | {"adapter", "strategy", "optimizer"}

    def test_trained_methods_say_what_is_always_trained(self, path):
        raw = read(path)
        assert not raw.get("trains", True) or {"always_train", "state_on_device"} <= raw.keys()


def test_grass_without_offload_differs_in_the_offload_only():
    differing = {"name", "title", "description", "state_on_device", "provenance", "unknown"}
    grass, resident = (card(n).model_dump(exclude=differing) for n in ("grass", "grass-no-offload"))
    assert resident == grass
    assert card("grass").state_on_device == "none"
    assert card("grass-no-offload").state_on_device == "all"


def test_static_grass_differs_in_the_strategy_only():
    differing = {"name", "title", "description", "strategy", "provenance", "unknown"}
    grass, static = (card(n).model_dump(exclude=differing) for n in ("grass", "grass-static"))
    assert static == grass
    shared = card("grass-static").strategy.options
    assert shared == {k: v for k, v in card("grass").strategy.options.items() if k in shared}


def test_the_control_of_ist_differs_in_the_updates_of_importance_only():
    differing = {"name", "title", "citation", "description", "strategy", "provenance", "unknown"}
    ist, rst = (card(name).model_dump(exclude=differing) for name in ("ist", "rst"))
    assert rst == ist
    assert card("rst").strategy.options == card("ist").strategy.options | {"interval": None}


@pytest.mark.parametrize("name", ["rslora", "dora", "lora-r128"])
def test_kinds_of_lora_differ_in_the_adapter_only(name):
    differing = {"name", "title", "citation", "description", "adapter", "provenance", "unknown"}
    assert card(name).model_dump(exclude=differing) == card("lora").model_dump(exclude=differing)


STATE = {"state_policy", "always_train_state_policy"}
WORDS = {"name", "title", "citation", "description", "provenance", "unknown"}


def test_lisas_variants_differ_in_state_only():
    variants = ("lisa", "lisa-drop", "lisa-reset")
    kept, drop, reset = (card(name).model_dump(exclude=WORDS | STATE) for name in variants)
    assert kept == drop == reset
    policies = [(card(n).state_policy, card(n).always_train_state_policy) for n in variants]
    assert policies == [("keep", "keep"), ("restart", "keep"), ("restart", "restart")]


@pytest.mark.parametrize("control", ["greedy", "permuted", "random-probabilities", "rgn"])
def test_what_is_compared_with_grass_differs_in_the_strategy_only(control):
    of_grass, own = (card(n).model_dump(exclude=WORDS | {"strategy"}) for n in ("grass", control))
    assert own == of_grass
    options = card("grass").strategy.options
    given = card(control).strategy.options
    given = given.get("inner", given)
    assert {key: options[key] for key in given.keys() & options.keys()} == {
        key: given[key] for key in given.keys() & options.keys()
    }


def test_lisa_d_and_always_only_take_the_rest_from_lisa():
    for name, strategy in (("lisa-d", "lisa-d"), ("always-only", "no-units")):
        of_lisa, own = (card(n).model_dump(exclude=WORDS | {"strategy"}) for n in ("lisa", name))
        assert own == of_lisa
        assert card(name).strategy.name == strategy
