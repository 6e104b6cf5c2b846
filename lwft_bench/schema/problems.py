"""What is wrong with a configuration: all of it at once, each with its place.

A problem reads `file:line: key.path: expected X, found Y`, or names what is unknown and the nearest
valid name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from lwft_bench.schema.errors import UserError
from lwft_bench.schema.naming import nearest, wanted

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_Model = TypeVar("_Model", bound=BaseModel)

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    `where` is `file:line` or the command-line option, `key` the key path, `hint` a command that
    lists what is valid.
    """

    where: str
    key: str
    text: str
    hint: str | None = None

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.key, self.text) if part)


class ConfigError(UserError):
    """All problems that were found together, one line each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        hints = dict.fromkeys(problem.hint for problem in self.problems if problem.hint)
        super().__init__(
            "\n".join(map(str, self.problems)),
            f"see {', '.join(f'`{hint}`' for hint in hints)}" if hints else None,
        )


def format_key(path: KeyPath) -> str:
    """`("methods", 3, "strategy")` as `methods[3].strategy`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


Locate = Callable[[KeyPath], tuple[str, str]]
"""Key path inside the validated value -> (`file:line`, key path as the user wrote it)."""


def validate(
    model: type[_Model], value: Any, locate: Locate, noun: str = "key"
) -> tuple[_Model | None, list[Problem]]:
    """Validate without coercion (no "16" for 16, no `true` for 1).

    Args:
        noun: What an unknown key is called: "key", "option of strategy 'grass'".

    Returns:
        The validated model and no problems, or None and the problems, one per key path.
    """
    # Strict JSON rules rather than strict Python ones: a list is a tuple, an integer a float.
    plain = json.loads(json.dumps(value, default=str))
    try:
        return model.model_validate_json(json.dumps(plain), strict=True), []
    except ValidationError as error:
        found: dict[KeyPath, list[ErrorDetails]] = {}
        for details in error.errors(include_url=False):
            found.setdefault(_key_path(details, plain), []).append(details)
    problems = []
    for path, errors in found.items():
        # A union reports every branch; the one that got further into the value was meant.
        if not any(other != path and other[: len(path)] == path for other in found):
            where, key = locate(path)
            problems.append(Problem(where, key, _describe(errors, path, plain, model, noun)))
    return None, problems


def _key_path(details: ErrorDetails, value: Any) -> KeyPath:
    """The error's place in the data: pydantic's `loc` without the names of union branches."""
    path: list[str | int] = []
    for part in details["loc"]:
        inside = (isinstance(value, dict) and part in value) or (
            isinstance(value, list) and isinstance(part, int) and part < len(value)
        )
        if inside:
            value = value[part]
            path.append(part)
    if details["type"] == "missing":
        path.append(details["loc"][-1])
    return tuple(path)


def _describe(
    errors: list[ErrorDetails], path: KeyPath, value: Any, model: type[BaseModel], noun: str
) -> str:
    kinds = {details["type"] for details in errors}
    if "missing" in kinds:
        return "missing"
    if "extra_forbidden" in kinds:
        names = _field_names(model, path[:-1])
        return f"unknown {noun}; {wanted(str(path[-1]), names)}"
    if kinds == {"value_error"}:
        return errors[0]["msg"].removeprefix("Value error, ")
    expected = [_expected(details) for details in errors]
    for part in path:
        value = value[part]
    literals = [name for text in expected for name in re.findall(r"'([^']*)'", text)]
    close = nearest(value, literals) if isinstance(value, str) else None
    return f"expected {' or '.join(dict.fromkeys(expected))}, found {_shown(value)}" + (
        f"; did you mean {close!r}?" if close else ""
    )


def _expected(details: ErrorDetails) -> str:
    match details["type"]:
        case "too_short":
            return f"at least {details['ctx']['min_length']} entries"
        case "string_pattern_mismatch":
            return f"a text like {details['ctx']['pattern']}"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            return details["msg"].replace("Input should be", "a number")
    wanted = details["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return _IN_YAML.get(wanted, wanted)


_IN_YAML = {
    "an object": "a mapping",
    "dictionary": "a mapping",
    "array": "a list",
    "list": "a list",
    "tuple": "a list",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
}


def _shown(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            return repr(value)


def _field_names(model: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys that are valid at a key path of the model, in the order of their definition."""
    models = [model]
    for part in path:
        fields = [each.model_fields[part] for each in models if part in each.model_fields]
        if fields:  # otherwise a list's index or a free key: what is inside stays the same
            models = [inner for field in fields for inner in models_in(field.annotation)]
    return [name for each in models for name in each.model_fields]


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The pydantic models that an annotation mentions, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in models_in(inner)]
