"""What must be equal before two cells' numbers are averaged or subtracted.

Seeds are averaged only over cells that are the same in all of `AVERAGED`; a method's cells that
differ in one of them become rows of their own. Methods are subtracted only when they are the same
in all of `SUBTRACTED`; otherwise they stand in one table under a warning. What methods may differ
in on purpose (config, strategy, precision) is for the confound table to show.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lwft_bench.reporting.read.flat import flatten
from lwft_bench.reporting.read.records import ReportedCell
from lwft_bench.schema.cell import TrainingConfig

SUBTRACTED = (
    "torch",
    "hardware",
    "protocol",
    "data",
    "evaluation",
    "model files",
    "benchmark versions",
)
_CONFIG = "resolved config"
AVERAGED = (*SUBTRACTED, "strategy source", _CONFIG)
_OF_TRAINING = set(TrainingConfig.model_fields).difference(
    ("precision", "attention", "kernels", "device", "threads")
)
"""Of `training`: what the answers of a model that is not trained do not depend on."""
_MOST_CHANGES = 2
_LONGEST = 40
"""Of what sets a row apart by its config, in characters: more is only named."""

_MOST_LABELS = 3
"""That a warning names of rows that are alike."""

_Setting = dict[str, str | None]


def setting(cell: ReportedCell) -> _Setting:
    """What a done cell ran on and with, a value for each of `AVERAGED`; None where not recorded."""
    assert cell.result is not None and cell.config is not None
    return _grounds(cell) | {
        "strategy source": cell.result.identity_components.get("strategy"),
        _CONFIG: planned(cell),
    }


def _grounds(cell: ReportedCell) -> _Setting:
    """A value for each of `SUBTRACTED`."""
    assert cell.result is not None
    components = cell.result.identity_components
    versions = sorted(f"{score.benchmark} {score.version}" for score in cell.result.scores)
    return {
        "torch": cell.result.provenance.get("versions", {}).get("torch"),
        "hardware": hardware(cell),
        "protocol": components.get("protocol"),
        "data": components.get("data"),
        "evaluation": components.get("evaluation", "in the data's and the config's digest"),
        "model files": components.get("model"),
        "benchmark versions": ", ".join(versions),
    }


def hardware(cell: ReportedCell) -> str | None:
    """What the cell computed on: the accelerator, or the CPU and its cores."""
    assert cell.result is not None and cell.config is not None
    provenance = cell.result.provenance
    accelerator = provenance.get("accelerator")
    if accelerator and cell.config.training.device != "cpu":
        return str(accelerator)
    if "cpu" not in provenance:
        return None
    return f"{provenance['cpu']}, {provenance.get('cores', '?')} cores"


def split_by_setting(cells: Sequence[ReportedCell]) -> list[tuple[str, list[ReportedCell]]]:
    """Cells of one method as groups that may be averaged, the largest first.

    Each comes with what sets it apart from the first one, for its label; "" for the first, and no two
    alike. Cells that are not done belong to those of their configuration: to the first where it is not
    known, to a group of their own where none of it is done.
    """
    settings = {id(cell): setting(cell) for cell in cells if cell.done}
    counts = Counter(tuple(own.values()) for own in settings.values())
    if not counts:
        return [("", list(cells))]
    order = [dict(zip(AVERAGED, key, strict=True)) for key, _ in counts.most_common()]
    unfinished = dict.fromkeys(planned(cell) for cell in cells if not cell.done)
    known = {own[_CONFIG] for own in order}
    order += [order[0] | {_CONFIG: one} for one in unfinished if one and one not in known]
    first, names, groups = order[0], Counter[str](), []
    places = [
        order.index(settings[id(cell)]) if cell.done else _place(planned(cell), order)
        for cell in cells
    ]
    for number, own in enumerate(order):
        name = _apart(own, first)
        names[name] += 1
        members = [cell for cell, place in zip(cells, places, strict=True) if place == number]
        groups.append((f"{name} {names[name]}" if names[name] > 1 else name, members))
    return groups


def _place(config: str, order: Sequence[_Setting]) -> int:
    return next((number for number, own in enumerate(order) if config == own[_CONFIG]), 0)


def planned(cell: ReportedCell) -> str:
    """What the cell was to do, alike for all seeds, as JSON; of one that is not trained nothing about
    training. "" where it has not begun.
    """
    if cell.config is None:
        return ""
    left_out: dict[str, Any] = {"id": True, "seed": True, "plugins": True}
    if not cell.trains:
        left_out["training"] = _OF_TRAINING
    return cell.config.model_dump_json(exclude=left_out)


def _apart(own: _Setting, first: _Setting) -> str:
    """`torch 2.12.0, other data`: short values are shown, digests only named."""
    shown = {"torch", "hardware", "protocol"}
    return ", ".join(
        f"{name} {own[name]}"
        if name in shown
        else (name == _CONFIG and _changes(own, first)) or f"other {name}"
        for name in AVERAGED
        if own[name] != first[name]
    )


def _changes(own: _Setting, first: _Setting) -> str:
    """`training.lr=0.002`; "" where it would be long."""
    one, other = (dict(flatten(json.loads(found[_CONFIG] or "{}"))) for found in (own, first))
    keys = [key for key in (*one, *(other.keys() - one.keys())) if one.get(key) != other.get(key)]
    text = ", ".join(f"{key}={_plain(one.get(key))}" for key in keys)
    return text if len(keys) <= _MOST_CHANGES and len(text) <= _LONGEST else ""


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def comparable(one: ReportedCell, other: ReportedCell) -> bool:
    """Whether the difference of the two cells' scores means anything."""
    return _grounds(one) == _grounds(other)


def comparable_cost(one: ReportedCell, other: ReportedCell, device: bool) -> bool:
    """Whether the ratio of what the two cells needed means anything.

    Args:
        device: whether it was read on a device, and not counted.
    """
    names = ("torch", "protocol", "data", "model files", *(("hardware",) if device else ()))
    left, right = _grounds(one), _grounds(other)
    return all(left[name] == right[name] for name in names)


def alike(cells: Mapping[str, ReportedCell]) -> list[list[str]]:
    """Labels in groups within which differences mean something, in order of appearance.

    Args:
        cells: row label -> one of its done cells.
    """
    groups: dict[tuple[str | None, ...], list[str]] = {}
    for label, cell in cells.items():
        groups.setdefault(tuple(_grounds(cell).values()), []).append(label)
    return [*groups.values()]


def setting_warnings(representatives: dict[str, ReportedCell]) -> Iterator[str]:
    """What the compared rows do not share, one sentence each.

    Args:
        representatives: row label -> one of its done cells.
    """
    settings = {label: _grounds(cell) for label, cell in representatives.items()}
    for name in SUBTRACTED:
        values = {label: found[name] for label, found in settings.items()}
        if None in values.values():
            missing = ", ".join(label for label, value in values.items() if value is None)
            yield f"Not recorded: {name} of {missing}. Whether the rows are comparable is unknown."
        if len(set(values.values())) > 1:
            yield (
                f"The rows differ in {name} ({_grouped(values)}): they stand in one table, but no "
                "difference is taken across it."
            )
    precisions = {
        label: cell.config.training.precision
        for label, cell in representatives.items()
        if cell.trains and cell.config is not None
    }
    if len(set(precisions.values())) > 1:
        yield f"The methods differ in precision ({_grouped(precisions)}), which is a confound."


def _grouped(values: Mapping[str, str | None]) -> str:
    groups: dict[str | None, list[str]] = {}
    for label, value in values.items():
        groups.setdefault(value, []).append(label)
    return "; ".join(f"{_short(value)}: {_few(labels)}" for value, labels in groups.items())


def _few(labels: Sequence[str]) -> str:
    more = len(labels) - _MOST_LABELS
    named = ", ".join(labels[:_MOST_LABELS] if more > 1 else labels)
    return f"{named} and {more} more" if more > 1 else named


def _short(value: str | None) -> str:
    if value is None:
        return "not recorded"
    is_digest = len(value) == 64 and set(value) <= set("0123456789abcdef")
    return value[:12] if is_digest else value
