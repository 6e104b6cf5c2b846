"""The shipped method cards, with options small enough for a model of four layers and a few steps."""

from __future__ import annotations

from lwft_bench.plugins.registry import strategies
from lwft_bench.schema.base import Named
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.shipped import shipped
from lwft_bench.schema.units import ChunkUnits
from lwft_bench.suites.entries import read_card

STRATEGY = {"num_active": 2, "period": 2, "refresh": 4, "probing_steps": 3, "tau": 2.0}
STRATEGY |= {"share": 0.2, "density": 0.25, "patience": 3}
ADAPTER = {"r": 4, "alpha": 8}
OPTIMIZER = {"rank": 4, "update_proj_gap": 3, "min_8bit_size": 300}


def small_cards() -> dict[str, MethodConfig]:
    """Name -> card, of those that train."""
    cards = {
        name: read_card(MethodConfig, path).config for name, path in shipped("methods").items()
    }
    return {name: _small(card) for name, card in cards.items() if card.trains}


def _small(card: MethodConfig) -> MethodConfig:
    known = strategies.get(card.strategy.name).Options.model_fields
    strategy = card.strategy.options | {key: STRATEGY[key] for key in STRATEGY if key in known}
    adapter = {key: ADAPTER.get(key, value) for key, value in card.adapter.options.items()}
    optimizer = {key: OPTIMIZER.get(key, value) for key, value in card.optimizer.options.items()}
    units = ChunkUnits(chunks=3) if isinstance(card.units, ChunkUnits) else card.units
    return card.model_copy(
        update={
            "units": units,
            "strategy": Named(name=card.strategy.name, **strategy),
            "adapter": Named(name=card.adapter.name, **adapter),
            "optimizer": Named(name=card.optimizer.name, **optimizer),
        }
    )
