"""JSON read strictly: no key twice in an object, no number that a float cannot hold, no NaN."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, NoReturn


class GivenTwice(ValueError):
    """A key stands twice in one object; of such values Python keeps the last without a word."""


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of these keys and values.

    Raises:
        GivenTwice: A key stands twice.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        ((key, _), *_) = Counter(key for key, _ in pairs).most_common(1)
        raise GivenTwice(f"the key {_shown(key)} stands twice in one object")
    return found


def _each_with_one_value(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Whoever reads the first of two equal values and whoever reads the last read the same."""
    found = dict(pairs)
    if len(found) != len(pairs):
        for key, value in pairs:
            if found[key] != value:
                raise GivenTwice(f"the key {_shown(key)} stands twice, with different values")
    return found


def _shown(key: str) -> str:
    return json.dumps(key, ensure_ascii=False)[:60].encode(errors="backslashreplace").decode()


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is larger than a number can be")
    return value


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_RECORDS = json.JSONDecoder(
    object_pairs_hook=each_once, parse_float=_finite, parse_constant=_refused
)
_OF_OTHERS = json.JSONDecoder(object_pairs_hook=_each_with_one_value)


def record_from_json(text: str) -> Any:
    """A value that this package wrote.

    Raises:
        ValueError: It is no such JSON.
    """
    return _RECORDS.decode(text)


def others_from_json(text: str) -> Any:
    """A value that another library wrote, and which others read leniently: a key may stand twice if its
    values are equal.

    Raises:
        ValueError: It is no such JSON.
    """
    return _OF_OTHERS.decode(text)
