"""Keys and values that grow in place are those that transformers' cache puts together anew."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import (
    DynamicCache,
    DynamicLayer,
    Gemma3TextConfig,
    LlamaConfig,
    StaticCache,
)

from lwft_bench.evaluation import roomy_cache
from lwft_bench.evaluation.roomy_cache import RoomyLayer, make_room

ROWS, HEADS, SIZE = 5, 2, 4
CHANGES: dict[str, Callable[[DynamicLayer], None]] = {
    "none": lambda layer: None,
    "rows leave": lambda layer: layer.batch_select_indices(torch.tensor([0, 3])),
    "the same rows stay": lambda layer: layer.batch_select_indices(torch.arange(ROWS)),
    "other order": lambda layer: layer.reorder_cache(torch.tensor([4, 3, 2, 1, 0])),
    "repeated": lambda layer: layer.batch_repeat_interleave(2),
    "cut": lambda layer: layer.crop(-2),
    "emptied": lambda layer: layer.reset(),
}


@pytest.mark.parametrize("long", [1, 9])
@pytest.mark.parametrize("change", CHANGES)
def test_it_has_what_the_other_has(change: str, long: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roomy_cache, "_ROOM", 3)
    draw = torch.Generator().manual_seed(0)
    ours, theirs = RoomyLayer(long), DynamicLayer()
    for step, tokens in enumerate((6, 1, 1, 1, 1, 1, 2, 1, 1, 9, 1)):
        if step == 6:
            CHANGES[change](ours)
            CHANGES[change](theirs)
        rows = ROWS if theirs.get_seq_length() == 0 or theirs.keys is None else len(theirs.keys)
        new = [torch.randn(rows, HEADS, tokens, SIZE, generator=draw) for _ in range(2)]
        for found, expected in zip(ours.update(*new), theirs.update(*new), strict=True):
            assert torch.equal(found, expected)
        assert ours.get_seq_length() == theirs.get_seq_length()
        assert ours.get_mask_sizes(1) == theirs.get_mask_sizes(1)


def test_long_rows_are_not_copied_at_every_token() -> None:
    layer, places = RoomyLayer(8), set()
    layer.update(*[torch.zeros(ROWS, HEADS, 8, SIZE)] * 2)
    for _ in range(50):
        keys, _ = layer.update(*[torch.zeros(ROWS, HEADS, 1, SIZE)] * 2)
        places.add(keys.data_ptr())
    assert len(places) == 1


def test_only_empty_layers_of_plain_full_attention_are_replaced() -> None:
    mixed = DynamicCache(
        config=Gemma3TextConfig(
            num_hidden_layers=2,
            layer_types=["sliding_attention", "full_attention"],
            sliding_window=4,
        )
    )
    window = mixed.layers[0]
    make_room(mixed)
    assert mixed.layers[0] is window
    assert isinstance(mixed.layers[1], RoomyLayer)
    begun = DynamicCache(config=LlamaConfig(num_hidden_layers=2))
    begun.update(*[torch.zeros(ROWS, HEADS, 3, SIZE)] * 2, 0)
    first = begun.layers[0]
    make_room(begun)
    assert begun.layers[0] is first
    assert isinstance(begun.layers[1], RoomyLayer)
    static = StaticCache(config=LlamaConfig(num_hidden_layers=2), max_cache_len=8)
    layers = list(static.layers)
    make_room(static)
    assert static.layers == layers
