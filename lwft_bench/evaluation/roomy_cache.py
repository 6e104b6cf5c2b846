"""Keys and values of long rows, which grow in place.

transformers' cache copies all keys and values of every layer at every new token. From some length on
that takes longer than what it saves: attention reads tensors without gaps faster.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import Cache, DynamicLayer

LONG = 128
"""Tokens of a row from which on its keys and values have room to grow."""

_ROOM = 64
"""Tokens that there is room for beyond those that are there, whenever room is made."""


class RoomyLayer(DynamicLayer):
    """Full attention's keys and values, as views of tensors with room for more tokens.

    Args:
        long: Tokens from which on there is room.
    """

    def __init__(self, long: int = LONG) -> None:
        super().__init__()
        self._long = long
        self._room: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All keys and values, [rows, heads, tokens, size], with those that are given at their end."""
        length = self.get_seq_length()
        end = length + key_states.shape[-2]
        if not length or end < self._long:
            return super().update(key_states, value_states, *args, **kwargs)
        assert self.keys is not None and self.values is not None
        if not self._has_room(end):
            self._room = _with_room(self.keys, end), _with_room(self.values, end)
        assert self._room is not None
        keys, values = self._room
        keys[..., length:end, :] = key_states
        values[..., length:end, :] = value_states
        self.keys, self.values = keys[..., :end, :], values[..., :end, :]
        return self.keys, self.values

    def _has_room(self, end: int) -> bool:
        """Also whether keys lie in the room still: where rows were left out they are others."""
        if self._room is None or self._room[0].shape[-2] < end:
            return False
        assert self.keys is not None
        return self.keys.data_ptr() == self._room[0].data_ptr()


def make_room(cache: Cache, long: int = LONG) -> None:
    """Has an empty cache's layers of full attention grow in place; any others stay what they are."""
    for place, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and not layer.is_initialized:
            cache.layers[place] = RoomyLayer(long)


def _with_room(states: torch.Tensor, end: int) -> torch.Tensor:
    *rows, length, size = states.shape
    room = states.new_empty(*rows, end + _ROOM, size)
    room[..., :length, :] = states
    return room
