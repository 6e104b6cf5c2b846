"""The entries of a suite's lists: names, paths and mappings, made into configurations."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from lwft_bench.plugins import registry
from lwft_bench.schema.base import Named
from lwft_bench.schema.cell import ModelConfig, TaskConfig
from lwft_bench.schema.documents import Document, read_document
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.naming import nearest, unknown
from lwft_bench.schema.problems import ConfigError, KeyPath, Locate, Problem, format_key, validate
from lwft_bench.schema.shipped import Kind, is_path, shipped
from lwft_bench.suites.architectures import read_architecture
from lwft_bench.suites.narrowing import EVERYTHING, Narrowing

Entity = TypeVar("Entity", ModelConfig, MethodConfig, TaskConfig)

SHIPPED_MODELS = ("embedded",)
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True)
class Entry(Generic[Entity]):
    """A configuration and where it was written: `locate` tells the place of a key path in it.

    `folder` is what relative paths in it are relative to, and `listed` the place in the suite's list
    that names it.
    """

    config: Entity
    locate: Locate
    folder: Path
    listed: tuple[str, str] = ("", "")


def locate_in(document: Document, prefix: KeyPath = ()) -> Locate:
    """Places of what was written in a document, under a key path."""

    def locate(path: KeyPath) -> tuple[str, str]:
        full = (*prefix, *path)
        return document.where(full), format_key(full)

    return locate


def read_card(model: type[Entity], path: Path) -> Entry[Entity]:
    """One method or task card.

    Raises:
        ConfigError: With all that is wrong in it.
    """
    document = read_document(path)
    locate = locate_in(document)
    config, problems = validate(model, document.value, locate)
    if config is None:
        raise ConfigError(problems)
    return Entry(config, locate, path.parent)


@dataclass
class EntryReader:
    """Reads the three lists of one suite; what is wrong goes to `problems`.

    A mapping that does not validate is passed over: the suite's own validation reports it. That a
    model is not here is told only where `narrowing` asks for it.
    """

    document: Document
    folder: Path
    problems: list[Problem]
    narrowing: Narrowing = EVERYTHING

    def models(self) -> list[Entry[ModelConfig]]:
        return self._entries("models", ModelConfig, self._model_of_name, self._with_model_paths)

    def methods(self) -> list[Entry[MethodConfig]]:
        return self._entries("methods", MethodConfig, self._method_of_name)

    def tasks(self) -> list[Entry[TaskConfig]]:
        return self._entries("tasks", TaskConfig, self._task_of_name)

    def _entries(
        self,
        key: str,
        model: type[Entity],
        of_name: Callable[[str, Locate], Entry[Entity] | None],
        finish: Callable[[Entry[Entity]], Entry[Entity] | None] = lambda entry: entry,
    ) -> list[Entry[Entity]]:
        written = self.document.value.get(key)
        entries: dict[str, Entry[Entity]] = {}
        for index, value in enumerate(written if isinstance(written, list) else ()):
            locate = locate_in(self.document, (key, index))
            entry: Entry[Entity] | None = None
            if isinstance(value, str):
                entry = of_name(value, locate)
            elif isinstance(value, dict):
                config, _ = validate(model, value, locate)
                entry = Entry(config, locate, self.folder) if config else None
            entry = finish(entry) if entry else None
            if entry is None:
                continue
            if entry.config.name in entries:
                self._problem(locate, f"the name {entry.config.name!r} is there twice")
            entries[entry.config.name] = replace(entry, listed=locate(()))
        return list(entries.values())

    def _problem(
        self, locate: Locate, text: str, hint: str | None = None, path: KeyPath = ()
    ) -> None:
        self.problems.append(Problem(*locate(path), text, hint))

    def _card(
        self, kind: Kind, what: str, model: type[Entity], name: str, locate: Locate
    ) -> Entry[Entity] | None:
        cards = shipped(kind)
        if is_path(name):
            file = self.folder / name
            if not file.is_file():
                self._problem(locate, f"no such file: {file}")
                return None
        elif name in cards:
            file = cards[name]
        else:
            self._problem(locate, unknown(what, name, cards), f"lwft-bench list {kind}")
            return None
        try:
            return read_card(model, file)
        except ConfigError as error:
            self.problems.extend(error.problems)
            return None

    def _method_of_name(self, name: str, locate: Locate) -> Entry[MethodConfig] | None:
        if name not in shipped("methods") and name in registry.strategies.names():
            origin = registry.strategies.origin(name)
            if origin != registry.BUILT_IN:
                return Entry(method_of_strategy(name), locate, self.folder)
        return self._card("methods", "method", MethodConfig, name, locate)

    def _task_of_name(self, name: str, locate: Locate) -> Entry[TaskConfig] | None:
        return self._card("tasks", "task", TaskConfig, name, locate)

    def _model_of_name(self, name: str, locate: Locate) -> Entry[ModelConfig] | None:
        if name in shipped("architectures") and not (self.folder / name).is_dir():
            return Entry(read_architecture(name).model, lambda _: locate(()), self.folder)
        short = os.path.basename(name.rstrip("/"))
        config, problems = validate(
            ModelConfig, {"name": short, "path": name}, lambda _: locate(())
        )
        named = f"give it a name: {{name: ..., path: {name!r}}}"
        self.problems.extend(
            replace(problem, text=f"{problem.text}; {named}") for problem in problems
        )
        return Entry(config, lambda _: locate(()), self.folder) if config else None

    def _with_model_paths(self, entry: Entry[ModelConfig]) -> Entry[ModelConfig] | None:
        paths: dict[str, Any] = {
            key: self._model_path(value, entry, key)
            for key in ("path", "tokenizer")
            if (value := getattr(entry.config, key)) is not None
        }
        if None in paths.values():
            return None
        return replace(entry, config=entry.config.model_copy(update=paths))

    def _model_path(self, text: str, entry: Entry[ModelConfig], key: str) -> str | None:
        """`embedded`, a folder's or GGUF file's absolute path, or a hub name; None if it is none of
        these.
        """
        folder = self.folder / Path(text).expanduser()
        if text in SHIPPED_MODELS:
            return text
        if folder.is_dir() or (text.endswith(".gguf") and folder.is_file()):
            return str(folder.resolve())
        if text.startswith("package:"):  # whether it is installed, the model's digest tells
            return text
        if text.startswith((".", "/", "~")):
            if not self.narrowing.takes(entry.config):
                return text
            noun = "file" if text.endswith(".gguf") else "folder"
            self._problem(entry.locate, f"no such {noun}: {folder}", path=(key,))
            return None
        if _HUB_NAME.fullmatch(text):
            return text
        close = nearest(text, (*SHIPPED_MODELS, *shipped("architectures")))
        wanted = "expected a shipped model, a folder or a hub name (organisation/model)"
        self._problem(
            entry.locate,
            f"unknown model {text!r}; {f'did you mean {close!r}?' if close else wanted}",
            "lwft-bench list models",
            path=(key,),
        )
        return None


def method_of_strategy(name: str) -> MethodConfig:
    """The method that a plugin's strategy is when no card says more: default settings around it."""
    origin = registry.strategies.origin(name)
    return MethodConfig(
        name=name,
        title=name,
        citation=os.path.basename(origin),
        strategy=Named(name=name),
    )
