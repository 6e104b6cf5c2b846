"""What a cell's result depends on: equal identities, equal results."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from lwft_bench.plugins.registry import BUILT_IN, Registry, strategies
from lwft_bench.schema.cell import Cell, ModelConfig, TaskConfig
from lwft_bench.schema.findings import Findings
from lwft_bench.schema.result import PROTOCOL_VERSION
from lwft_bench.schema.run import EVALUATION, Identity, digest_of
from lwft_bench.suites.key_paths import COMPONENTS, component_name

METHOD_DOCUMENTATION = {"title", "citation", "description", "provenance", "unknown", "training"}
"""Keys of a card that change no number. (Its `training` is in the cell's.)"""


def identify(cell: Cell) -> Identity:
    """The identity of a cell whose plugins are loaded.

    Neither the suite's name and order nor where plugins and data lie on disk enters it.

    Raises:
        UserError: If the model or the data cannot be read.
    """
    task = cell.task.model_dump_json()
    components = {
        "config": digest_of(_config(cell)),
        "strategy": digest_of(_sources(cell)),
        "data": _data_digest(task),
        "model": _model_digest(cell.model.model_dump_json()),
        "protocol": digest_of(PROTOCOL_VERSION),
    }
    if not cell.trial:
        evaluation = cell.evaluation.as_recorded()
        components[EVALUATION] = digest_of([evaluation, _benchmarks_digest(task)])
    return Identity(components)


def readable(cells: Iterable[Cell], findings: Findings) -> list[Cell]:
    """The cells whose model and data can be read. Why others cannot is noted, of all of them."""
    can: dict[tuple[Callable[[str], str], str], bool] = {}

    def reads(digest: Callable[[str], str], config: ModelConfig | TaskConfig, where: str) -> bool:
        text = config.model_dump_json()
        if (digest, text) not in can:
            can[digest, text] = False
            with findings.collected(f"{where} {config.name}"):
                digest(text)
                can[digest, text] = True
        return can[digest, text]

    return [
        cell
        for cell in cells
        if all(
            [
                reads(_model_digest, cell.model, "model"),
                reads(_data_digest, cell.task, "task"),
                cell.trial or reads(_benchmarks_digest, cell.task, "task"),
            ]
        )
    ]


def _config(cell: Cell) -> dict[str, Any]:
    """The resolved config without what the other digests speak of.

    What a trial's values decide is no part of it.
    """
    return {
        "model": cell.model.name,
        "task": cell.task.name,
        "method": cell.method.model_dump(mode="json", exclude=METHOD_DOCUMENTATION),
        "training": cell.training.as_recorded(),
        "seed": cell.seed,
        **({"trial": True} if cell.trial else {}),
    }


def _sources(cell: Cell) -> dict[str, str]:
    """Digests of the code that makes the method: of built-ins, only the strategy's.

    The other built-ins are the trainer's, for which the protocol version speaks.
    """
    if not cell.method.trains:
        return {}
    sources = {
        section: registry.source_digest(name)
        for section, registry in COMPONENTS.items()
        if _counts(section, registry, name := component_name(cell.method, section))
    }
    strategy = strategies.get(cell.method.strategy.name)
    for name in strategy.wraps(strategies.options(cell.method.strategy)):
        sources[f"strategy {name}"] = strategies.source_digest(name)
    return sources


def _counts(section: str, registry: Registry, name: str) -> bool:
    return section == "strategy" or registry.origin(name) != BUILT_IN


# Many cells share a model and a task, whose files are read once. (JSON, as the configs hold
# mappings and cannot be hashed.)
@cache
def _data_digest(task: str) -> str:
    from lwft_bench.data.digests import data_digest
    from lwft_bench.data.sources import check_data

    config = TaskConfig.model_validate_json(task)
    check_data(config)
    return data_digest(config)


@cache
def _benchmarks_digest(task: str) -> str:
    from lwft_bench.data.digests import benchmarks_digest

    return benchmarks_digest(TaskConfig.model_validate_json(task))


@cache
def _model_digest(model: str) -> str:
    from lwft_bench.models.sources import model_digest

    return model_digest(ModelConfig.model_validate_json(model))
