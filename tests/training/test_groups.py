"""Units of every kind: what they hold, in which order, and that they train as they should."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from lwft_bench.schema.errors import UserError
from lwft_bench.training.engagement import judge
from tests.training.tiny import FAMILIES, assert_same, full_fine_tuning, make_run, method, training

EVERYTHING = ("embed", "layers", "head")
LORA = {"name": "lora", "r": 2, "alpha": 4}


@pytest.mark.parametrize("family", FAMILIES)
def test_embed_layers_and_head_hold_the_whole_model(tmp_path: Path, family: str) -> None:
    run = make_run(tmp_path, method("all", units=EVERYTHING), training(2), family)
    groups = run.assembly.groups
    seen = groups.seen_by_strategy()
    assert [unit.kind for unit in seen] == ["embed", "layer", "layer", "layer", "layer", "head"]
    assert [unit.depth for unit in seen] == [-1, 0, 1, 2, 3, 4]
    assert [unit.index for unit in seen] == [0, 1, 2, 3, 4, 5]
    assert [group.name for group in groups.units] == [
        "embed",
        *(f"layer.{index}" for index in range(4)),
        "head",
    ]
    held = [name for group in groups.all for name in group.parameters]
    assert sorted(held) == sorted(name for name, _ in run.model.named_parameters())
    assert not groups.frozen
    assert groups.always == ()


def test_what_embed_and_head_are_made_of(tmp_path: Path) -> None:
    run = make_run(tmp_path, method("all", units=EVERYTHING), training(2), "llama-tied")
    embed, *_, head = run.assembly.groups.units
    assert list(embed.parameters) == ["model.embed_tokens.weight"]
    assert list(head.parameters) == ["model.norm.weight"], "a tied head belongs to the embedding"
    run = make_run(tmp_path, method("all", units=EVERYTHING), training(2), "gpt2")
    embed = run.assembly.groups.units[0]
    assert list(embed.parameters) == ["transformer.wte.weight", "transformer.wpe.weight"]


def test_all_units_of_every_kind_are_full_fine_tuning(tmp_path: Path) -> None:
    config = training(5)
    runs = [
        make_run(tmp_path / str(number), card, config)
        for number, card in enumerate((method("all", units=EVERYTHING), full_fine_tuning()))
    ]
    for run in runs:
        run.trainer.run()
    assert_same(runs[0].weights(), runs[1].weights())


def test_the_layers_are_the_default(tmp_path: Path) -> None:
    run = make_run(tmp_path, method("all"), training(2))
    assert {unit.kind for unit in run.assembly.groups.seen_by_strategy()} == {"layer"}
    assert any("embed" in name for name in run.assembly.groups.frozen)


@pytest.mark.parametrize(
    ("units", "always_train", "named"),
    [
        (("embed", "layers"), ("embed",), "embed"),
        (("embed", "layers"), ("other",), "other"),
        (("layers", "head"), ("embed", "final_norm"), "final_norm"),
        (EVERYTHING, "all", "embed, other"),
    ],
)
def test_a_part_is_a_unit_or_always_trained(units, always_train, named) -> None:
    with pytest.raises(ValidationError, match=f"always_train has {named}, which units: "):
        method("all", units=units, always_train=always_train)
    method("all", units=("layers",), always_train=always_train)


def test_a_unit_that_the_adapter_does_not_train_is_refused(tmp_path: Path) -> None:
    card = method("all", adapter=LORA, units=("embed", "layers"))
    with pytest.raises(UserError, match="unit embed has no parameter that adapter 'lora' trains"):
        make_run(tmp_path, card, training(2))


class TestModules:
    def test_each_weight_matrix_of_a_layer_with_its_bias(self, tmp_path: Path) -> None:
        run = make_run(tmp_path, method("all", units="modules"), training(2), "qwen2")
        groups = run.assembly.groups
        first = groups.units[0]
        assert (first.name, first.kind, first.depth) == (
            "layer.0.self_attn.q_proj",
            "self_attn.q_proj",
            0,
        )
        prefix = "model.layers.0.self_attn.q_proj"
        assert list(first.parameters) == [f"{prefix}.weight", f"{prefix}.bias"]
        assert len(groups.units) == 4 * 7
        assert [unit.depth for unit in groups.units] == [n for n in range(4) for _ in range(7)]
        assert any("layernorm" in name for name in groups.frozen)

    def test_adapters_go_with_what_they_adapt(self, tmp_path: Path) -> None:
        card = method("all", adapter=LORA | {"dora": True}, units="modules")
        run = make_run(tmp_path, card, training(2))
        units = run.assembly.groups.units
        assert [u.kind for u in units[:5]] == [
            "self_attn.q_proj",
            "self_attn.k_proj",
            "self_attn.v_proj",
            "mlp.up_proj",
            "mlp.down_proj",
        ]
        assert len(units) == 4 * 5
        assert len(units[0].parameters) == 3
        assert [name.rpartition("q_proj.")[2] for name in units[0].pretrained] == [
            "base_layer.weight"
        ]


@pytest.mark.parametrize(
    "card",
    [
        method("lisa", strategy_num_active=2, strategy_period=2, units=EVERYTHING),
        method("lisa", strategy_num_active=9, strategy_period=2, units="modules"),
        method("lisa", strategy_num_active=2, strategy_period=2, units=("layers", "head")),
        method("hift", units=EVERYTHING, lr_clock="sweep", state_on_device="none"),
        method("spectrum", units="modules", always_train=("embed", "head")),
        method("ist", adapter=LORA, strategy_interval=2),
        method("ows-outlier", strategy_tau=2.0, strategy_period=3),
    ],
    ids=lambda card: f"{card.strategy.name}-{'-'.join(card.units)[:20]}",
)
@pytest.mark.parametrize("family", ["llama", "llama-tied"])
def test_a_run_does_what_it_says(tmp_path: Path, card, family: str) -> None:
    run = make_run(tmp_path, card, training(12), family)
    run.trainer.run()
    strategy = run.trainer._strategy
    engagement = judge(
        run.trainer.trace,
        run.assembly.groups,
        run.assembly.store,
        card,
        run.trainer.frozen_unchanged,
        selection_varies=strategy.varies,
    )
    assert [check for check in engagement.checks if not check.passed] == []
