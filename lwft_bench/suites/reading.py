"""Reads one suite file, as far as each part of it is valid, so that all problems show at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lwft_bench.plugins.files import load_plugin
from lwft_bench.plugins.registry import strategies
from lwft_bench.schema.base import MAX_CELL_ID, Config
from lwft_bench.schema.cell import (
    Cell,
    EvaluationConfig,
    ModelConfig,
    TaskConfig,
    TrainingConfig,
)
from lwft_bench.schema.documents import Document, parse_document, shown_path
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.naming import unknown
from lwft_bench.schema.problems import ConfigError, Problem, validate
from lwft_bench.schema.suite import Names, Override, SuiteFile
from lwft_bench.suites.changes import (
    Ablation,
    Assignment,
    Level,
    Method,
    ablation_problems,
    find_components,
    key_path_problems,
)
from lwft_bench.suites.entries import Entry, EntryReader, locate_in, method_of_strategy
from lwft_bench.suites.expansion import Expansion
from lwft_bench.suites.narrowing import EVERYTHING, Narrowing
from lwft_bench.suites.published import published_problems
from lwft_bench.suites.settings import Setting, WrittenAt, leaves
from lwft_bench.suites.statements import statement_problems
from lwft_bench.suites.tuning import Tuning, read_tuning, tuning_problems

# Where none could be read, these let everything else be checked. No cell is made of them.
ANY_MODEL = Entry(ModelConfig(name="any", path="any"), lambda _: ("", ""), Path())
ANY_TASK = Entry(
    TaskConfig(name="any", data="generated-arithmetic", train_examples=1, benchmarks=()),
    lambda _: ("", ""),
    Path(),
)


class SuiteReader:
    """One reading of one file. `folder` is what paths in it are relative to."""

    def __init__(self, document: Document, folder: Path) -> None:
        self.document = document
        self.folder = folder
        self.problems: list[Problem] = []
        self.places: dict[tuple[str, str], str] = {}
        """("model", "method" or "task", its name) -> `file:line: key.path` where the suite lists it."""
        self.locate = locate_in(document)

    def read(
        self,
        plugins: Sequence[str],
        settings: Sequence[str],
        seeds: Sequence[int] | None,
        narrowing: Narrowing = EVERYTHING,
    ) -> tuple[SuiteFile, list[Cell], list[Tuning]]:
        """The suite as written, its cells and tunings, with what the command line adds or replaces.

        Args:
            plugins: Further plugin files; their strategies join the methods.
            settings: `key=value`, above everything else.
            seeds: Instead of the suite's.
            narrowing: Which cells are made. What is wrong with the file is told whatever it says, and
                what is wrong with a cell only of these.

        Raises:
            ConfigError: With all problems.
        """
        file, self.problems = validate(SuiteFile, self.document.value, self.locate)
        if not isinstance(self.document.value, dict):
            raise ConfigError(self.problems)
        loaded = self._load_plugins(plugins)
        entries = EntryReader(self.document, self.folder, self.problems, narrowing)
        written = entries.methods()
        joining = self._methods_of_plugins(plugins, written)
        methods = [self._method(entry, narrowing) for entry in [*written, *joining]]
        models, tasks = entries.models(), entries.tasks()
        self.places = {
            (kind, entry.config.name): ": ".join(entry.listed)
            for kind, entries_ in (("model", models), ("method", written), ("task", tasks))
            for entry in entries_
        }
        names = {
            "model": self._names("models", models),
            "method": self._names("methods", [*written, *joining]),
            "task": self._names("tasks", tasks),
        }
        base, unchecked = self._base()
        expansion = Expansion(
            models=[each for each in models if narrowing.takes(each.config)]
            if models
            else [ANY_MODEL],
            methods=[method for method in methods if narrowing.takes(method.entry.config)],
            tasks=[each for each in tasks if narrowing.takes(each.config)] if tasks else [ANY_TASK],
            seeds=seeds or (file.seeds if file else ()),
            base=base,
            overrides=list(self._overrides(names)),
            ablations=list(self._ablations()),
            changes=Level(tuple(self._changes(settings))),
            plugins=loaded,
            problems=self.problems,
            unchecked=unchecked,
            tuning=read_tuning(self.document.value.get("tune"), self.locate),
            narrowing=narrowing,
        )
        self.problems += narrowing.problems(
            {
                "model": self._askable("models", models),
                "method": self._askable("methods", written, joining),
                "task": self._askable("tasks", tasks),
            }
        )
        self._check_baseline(names["method"])
        self.problems += statement_problems(self.document, names["model"], names["method"], tasks)
        self.problems += published_problems(
            self.document.value.get("published"),
            names,
            tasks,
            len(self._written("tasks")),
            locate_in(self.document, ("published",)),
        )
        self._check_key_paths(expansion, methods)
        self._check_tuning(expansion, names["method"])
        cells, tunings = expansion.expand()
        tuned = [cell for each in tunings for cell in (*each.trials, *each.cells)]
        self._check_ids([*cells, *tuned])
        if self.problems or file is None:
            raise ConfigError(sorted(self.problems, key=_in_file_order))
        return file, cells, tunings

    def _written(self, key: str) -> list[Any]:
        value = self.document.value.get(key)
        return value if isinstance(value, list) else []

    def _load_plugins(self, more: Sequence[str]) -> tuple[str, ...]:
        """Import all plugins, once each; their absolute paths."""
        places = {
            str((self.folder / name).resolve()): self.locate(("plugins", index))
            for index, name in enumerate(self._written("plugins"))
            if isinstance(name, str)
        }
        for name in more:
            places.setdefault(str(Path(name).resolve()), ("--plugin", ""))
        for path, place in places.items():
            try:
                load_plugin(shown_path(Path(path)))
            except UserError as error:
                self.problems.append(Problem(*place, error.message, error.hint))
        return tuple(places)

    def _methods_of_plugins(
        self, plugins: Sequence[str], written: Sequence[Entry[MethodConfig]]
    ) -> list[Entry[MethodConfig]]:
        """One method for each strategy of the command line's plugins that no method uses yet."""
        used = {entry.config.strategy.name for entry in written}
        origins = {str(Path(name).resolve()) for name in plugins}
        return [
            Entry(method_of_strategy(name), lambda _: ("--plugin", ""), self.folder)
            for name in strategies.names()
            if strategies.origin(name) in origins and name not in used
        ]

    def _base(self) -> tuple[list[Setting], frozenset[str]]:
        """The suite's training and evaluation, and which of them are wrong."""
        settings: list[Setting] = []
        wrong: set[str] = set()
        sections: dict[str, type[Config]] = {
            "training": TrainingConfig,
            "evaluation": EvaluationConfig,
        }
        for section, model in sections.items():
            values = self.document.value.get(section, {})
            config, _ = validate(model, values, self.locate)
            settings.append(Setting((section,), {}, self.locate((section,))))
            if config is None:
                wrong.add(section)
            else:
                settings += leaves(values, (section,), self.locate)
        return settings, frozenset(wrong)

    def _names(self, key: str, entries: Sequence[Entry[Any]]) -> set[str]:
        """The names in one of the lists, those of entries that are wrong included."""
        names = {entry.config.name for entry in entries}
        for value in self._written(key):
            name = value.get("name") if isinstance(value, dict) else value
            names.add(Path(str(name)).name)
        return names

    def _askable(
        self, key: str, read: Sequence[Entry[Any]], joining: Sequence[Entry[Any]] = ()
    ) -> set[str]:
        """The names that can be asked for: where all of the list were read, the names of these."""
        entries = [*read, *joining]
        if len(read) >= len(self._written(key)):
            return {entry.config.name for entry in entries}
        return self._names(key, entries)

    def _method(self, entry: Entry[MethodConfig], narrowing: Narrowing) -> Method:
        """What of it cannot be found is told where the method is asked for."""
        return find_components(entry, self.problems if narrowing.takes(entry.config) else [])

    def _overrides(self, names: Mapping[str, set[str]]) -> Iterator[Level]:
        for index, value in enumerate(self._written("overrides")):
            override, _ = validate(Override, value, self.locate)
            if override is None:
                continue
            selected: dict[str, tuple[str, ...]] = {}
            for selector, known in names.items():
                chosen: Names | None = getattr(override, selector)
                if chosen is None:
                    continue
                selected[selector] = (chosen,) if isinstance(chosen, str) else chosen
                for name in selected[selector]:
                    if name not in known:
                        text = unknown(f"{selector} of the suite", name, known)
                        place = self.locate(("overrides", index, selector))
                        self.problems.append(Problem(*place, text))
            yield Level(
                tuple(
                    Assignment(key, each, self.locate(("overrides", index, "set", key)))
                    for key, each in override.set.items()
                ),
                selected,
            )

    def _ablations(self) -> Iterator[Ablation]:
        ablate = self.document.value.get("ablate")
        for key, values in ablate.items() if isinstance(ablate, dict) else ():
            if isinstance(values, list) and values:
                yield Ablation(str(key), tuple(values), self.locate(("ablate", key)))

    def _changes(self, settings: Sequence[str]) -> Iterator[Assignment]:
        for text in settings:
            key, equals, value = text.partition("=")
            place: WrittenAt = ("--set", key)
            if not equals:
                self.problems.append(Problem(*place, "expected key=value"))
                continue
            try:
                yield Assignment(key, parse_document(value, "--set").value, place)
            except ConfigError as error:
                self.problems.append(Problem(*place, error.problems[0].text))

    def _check_baseline(self, names: set[str]) -> None:
        baseline = self.document.value.get("baseline")
        if isinstance(baseline, str) and baseline not in names:
            text = unknown("method of the suite", baseline, names)
            self.problems.append(Problem(*self.locate(("baseline",)), text))

    def _check_key_paths(self, expansion: Expansion, methods: Sequence[Method]) -> None:
        all_read = len(methods) >= len(self._written("methods"))
        ablations = (Level(ablation.assignments()[:1]) for ablation in expansion.ablations)
        for layer in (*expansion.overrides, *ablations, expansion.changes):
            self.problems += key_path_problems(layer, methods, all_read)
        self.problems += ablation_problems(expansion.ablations, expansion.changes)

    def _check_tuning(self, expansion: Expansion, names: set[str]) -> None:
        if expansion.tuning:
            layers = [*expansion.overrides, expansion.changes]
            self.problems += tuning_problems(
                expansion.tuning,
                expansion.methods,
                names,
                expansion.seeds,
                layers,
                expansion.ablations,
                self.locate,
            )

    def _check_ids(self, cells: Sequence[Cell]) -> None:
        for cell_id, count in Counter(cell.id for cell in cells).items():
            if count > 1:
                self.problems.append(
                    Problem(*self.locate(()), f"{count} cells are called {cell_id}")
                )
            if len(cell_id) > MAX_CELL_ID:
                text = f"the name of cell {cell_id[:60]}... has {len(cell_id)} characters; expected"
                self.problems.append(
                    Problem(
                        *self.locate(()), f"{text} at most {MAX_CELL_ID}: shorten names or values"
                    )
                )


def _in_file_order(problem: Problem) -> tuple[str, int]:
    file, _, line = problem.where.rpartition(":")
    return (file, int(line)) if line.isdigit() else (problem.where, 0)
