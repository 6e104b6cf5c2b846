"""Which of a suite's cells the command line asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from lwft_bench.schema.cell import ModelConfig, TaskConfig
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.naming import unknown
from lwft_bench.schema.problems import Problem


@dataclass(frozen=True)
class Narrowing:
    """Names of models, methods and tasks, and a pattern of cells' ids. None: all.

    Cells that it leaves out are not made, so that nothing of theirs can be refused.
    """

    models: tuple[str, ...] | None = None
    methods: tuple[str, ...] | None = None
    tasks: tuple[str, ...] | None = None
    only: str | None = None

    def matches(self, cell_id: str) -> bool:
        """Whether the pattern does."""
        return self.only is None or fnmatchcase(cell_id, self.only)

    def takes(self, config: ModelConfig | MethodConfig | TaskConfig) -> bool:
        """Whether what has this name is asked for."""
        match config:
            case ModelConfig():
                wanted = self.models
            case MethodConfig():
                wanted = self.methods
            case TaskConfig():
                wanted = self.tasks
        return wanted is None or config.name in wanted

    def problems(self, names: Mapping[str, set[str]]) -> Iterator[Problem]:
        """Names that the suite does not have.

        Args:
            names: Of all models, methods and tasks, those that could not be read included.
        """
        wanted = {"model": self.models, "method": self.methods, "task": self.tasks}
        for kind, chosen in wanted.items():
            for name in chosen or ():
                if name not in names[kind]:
                    text = unknown(f"{kind} of the suite", name, names[kind])
                    yield Problem(f"--{kind}s", "", text)


EVERYTHING = Narrowing()
