"""Names of strategies, adapters and optimizers, and the classes behind them.

A name comes from one of three places: the package itself (imported on first use), an installed
distribution's entry points (`lwft_bench.strategies`, `lwft_bench.adapters`,
`lwft_bench.optimizers`), or a plugin file (`lwft_bench.plugins`). A name belongs to one
class: taking it twice is an error.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from lwft_bench.plugins.sources import source_files
from lwft_bench.schema.errors import UserError, described
from lwft_bench.schema.naming import unknown

if TYPE_CHECKING:
    from lwft_bench.schema.base import Named

Class = TypeVar("Class", bound=type)

BUILT_IN = "built-in"


@dataclass(slots=True)
class _Entry:
    """`target` is the class, or "module:Class" until first use."""

    origin: str
    target: str | type


class Registry:
    """The classes of one kind by name.

    Args:
        kind: What the names stand for, in error messages: "strategy".
        plural: How `lwft-bench list` calls them: "strategies".
        base: "module:Class" that every registered class must derive from; None: any class with
            `Options`.
        built_in: Name -> "module:Class".
    """

    def __init__(self, kind: str, plural: str, base: str | None, built_in: dict[str, str]) -> None:
        self.kind = kind
        self.plural = plural
        self.problems: list[str] = []
        """Entry points that could not be taken in, for `lwft-bench list`."""
        self._base_target = base
        self._entries = {name: _Entry(BUILT_IN, target) for name, target in built_in.items()}

    def names(self) -> list[str]:
        """All names, sorted; entry points that do not import are among them."""
        return sorted(self._all)

    def get(self, name: str) -> type[Any]:
        """The class of that name.

        Raises:
            UserError: If there is none, or its module or entry point is broken.
        """
        entry = self._entry(name)
        if isinstance(entry.target, str):
            target = entry.target
            try:
                found = _import_target(target)
            except Exception as error:  # a plugin's code may raise anything
                if entry.origin == BUILT_IN:
                    raise
                raise UserError(
                    f"{self.kind} {name!r} ({entry.origin}): {target} does not import: "
                    f"{described(error)}"
                ) from error
            # Importing the module may have replaced the entry: it may use `register` itself.
            entry = self._entry(name)
            if isinstance(entry.target, str):
                entry.target = self._checked(name, found, entry.origin)
        return entry.target

    def options(self, named: Named) -> Any:
        """The options of the class of that name, checked.

        Raises:
            UserError: As `get`.
            pydantic.ValidationError: If they are not those of the class.
        """
        return self.get(named.name).Options(**named.options)

    def build(self, named: Named) -> Any:
        """An instance of the class of that name, with these options.

        Raises:
            UserError: As `get`.
            pydantic.ValidationError: If the options are not those of the class.
        """
        return self.get(named.name)(self.options(named))

    def origin(self, name: str) -> str:
        """One of "built-in", "entry point <distribution>", or the path of the registering file."""
        return self._entry(name).origin

    def target(self, name: str) -> str:
        """Where the class is, as "module:Class"."""
        return _target(self._entry(name).target)

    def source_digest(self, name: str) -> str:
        """sha256 (hex) over the source files that define the class.

        These are the module of the class and what it uses from its own package and from the
        package of the registry's base class, such as a built-in strategy that a plugin extends; of a
        plugin, all that it imports and that is not installed. The base class's own module is left
        out: it belongs to the protocol version.
        """
        cls = self.get(name)
        base_module = self._base.__module__ if self._base else __name__
        packages = {cls.__module__.rpartition(".")[0], base_module.rpartition(".")[0]} - {""}
        files = source_files(cls.__module__, packages, (base_module, __name__))
        # Digests of contents, sorted: neither a file's place on disk nor its name enters.
        digests = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def register(self, name: str) -> Callable[[Class], Class]:
        """Class decorator that gives the class its name and enters it here.

        Raises:
            UserError: If the name is taken, or the class is not of the registry's kind.
        """

        def decorate(cls: Class) -> Class:
            target = f"{cls.__module__}:{cls.__qualname__}"
            taken = self._all.get(name)
            if taken is None:
                origin = str(getattr(sys.modules.get(cls.__module__), "__file__", "<interactive>"))
            elif target == _target(taken.target):
                # A built-in or an entry point that also registers itself, or a module reloaded.
                origin = taken.origin
            else:
                raise UserError(f"the {self.kind} name {name!r} is taken ({taken.origin})")
            self._checked(name, cls, origin)
            cls.name = name  # type: ignore[attr-defined]
            self._all[name] = _Entry(origin, cls)
            return cls

        return decorate

    def forget(self, origin: str) -> None:
        """Drop what that origin registered."""
        for name in [name for name, entry in self._entries.items() if entry.origin == origin]:
            del self._entries[name]

    @cached_property
    def _base(self) -> type | None:
        if self._base_target is None:
            return None
        base = _import_target(self._base_target)
        assert isinstance(base, type)
        return base

    @cached_property
    def _all(self) -> dict[str, _Entry]:
        """The entries, entry points included: these are looked for only when first needed."""
        for point in _entry_points().select(group=f"lwft_bench.{self.plural}"):
            origin = f"entry point {point.dist.name if point.dist else '?'}"
            taken = self._entries.get(point.name)
            if taken is not None:
                self.problems.append(
                    f"{origin}: the {self.kind} name {point.name!r} is taken ({taken.origin})"
                )
            else:
                self._entries[point.name] = _Entry(origin, point.value)
        return self._entries

    def _entry(self, name: str) -> _Entry:
        entry = self._entries.get(name) or self._all.get(name)
        if entry is None:
            raise UserError(
                unknown(self.kind, name, self.names()), f"lwft-bench list {self.plural}"
            )
        return entry

    def _checked(self, name: str, cls: object, origin: str) -> type:
        from pydantic import BaseModel

        where = f"{self.kind} {name!r} ({origin})"
        if not isinstance(cls, type):
            raise UserError(f"{where}: {cls!r} is no class")
        if self._base is not None and not issubclass(cls, self._base):
            raise UserError(f"{where}: {cls!r} is no subclass of {self._base.__name__}")
        options: Any = getattr(cls, "Options", None)
        if not (isinstance(options, type) and issubclass(options, BaseModel)):
            raise UserError(f"{where}: Options must be a pydantic model")
        if options.model_config.get("extra") != "forbid":
            raise UserError(f"{where}: Options must refuse unknown keys (extra='forbid')")
        return cls


strategies: Registry = Registry(
    "strategy",
    "strategies",
    base="lwft_bench.strategies.base:Strategy",
    built_in={
        "all": "lwft_bench.strategies.all_units:AllUnits",
        "no-units": "lwft_bench.strategies.fixed:NoUnits",
        "fixed": "lwft_bench.strategies.fixed:Fixed",
        "lisa": "lwft_bench.strategies.lisa:Lisa",
        "lisa-d": "lwft_bench.strategies.lisa:LisaD",
        "lift": "lwft_bench.strategies.sweeps:Lift",
        "badam": "lwft_bench.strategies.sweeps:BAdam",
        "adagradselect": "lwft_bench.strategies.adagradselect:AdaGradSelect",
        "ows-norm": "lwft_bench.strategies.ows:OwsNorm",
        "ows-outlier": "lwft_bench.strategies.ows:OwsOutlier",
        "spectrum": "lwft_bench.strategies.spectrum:Spectrum",
        "ist": "lwft_bench.strategies.ist:Ist",
        "hift": "lwft_bench.strategies.hift:Hift",
        "blockllm": "lwft_bench.strategies.blockllm:BlockLLM",
        "misa": "lwft_bench.strategies.misa:Misa",
        "frugal": "lwft_bench.strategies.frugal:Frugal",
        "absignsgd": "lwft_bench.strategies.absignsgd:DepthBiased",
        "grass": "lwft_bench.strategies.grass:Grass",
        "grass-static": "lwft_bench.strategies.grass:GrassStatic",
        "rgn": "lwft_bench.strategies.rgn:RelativeGradientNorm",
        "greedy": "lwft_bench.strategies.greedy:Greedy",
        "permuted": "lwft_bench.strategies.permuted:Permuted",
        "random-probabilities": "lwft_bench.strategies.random_probabilities:RandomProbabilities",
    },
)
adapters: Registry = Registry(
    "adapter",
    "adapters",
    base="lwft_bench.adapters.base:Adapter",
    built_in={
        "full": "lwft_bench.adapters.full:Full",
        "lora": "lwft_bench.adapters.lora:Lora",
        "qlora": "lwft_bench.adapters.qlora:Qlora",
    },
)
optimizers: Registry = Registry(
    "optimizer",
    "optimizers",
    base="lwft_bench.optimizers.base:Optimizer",
    built_in={
        "adamw": "lwft_bench.optimizers.adamw:AdamW",
        "adamw8bit": "lwft_bench.optimizers.adamw8bit:AdamW8bit",
        "galore": "lwft_bench.optimizers.galore:GaLore",
        "apollo": "lwft_bench.optimizers.apollo:Apollo",
        "adamw-closing": "lwft_bench.optimizers.closing:ClosingAdamW",
        "sign": "lwft_bench.optimizers.stateless:Sign",
        "sgd": "lwft_bench.optimizers.stateless:Sgd",
    },
)
REGISTRIES: tuple[Registry, ...] = (strategies, adapters, optimizers)

register = strategies.register
register_adapter = adapters.register
register_optimizer = optimizers.register


@cache
def _entry_points() -> Any:
    """Those of all distributions: looking through them takes tens of milliseconds."""
    from importlib.metadata import entry_points

    return entry_points()


def _target(target: str | type) -> str:
    return target if isinstance(target, str) else f"{target.__module__}:{target.__qualname__}"


def _import_target(target: str) -> object:
    module_name, _, qualname = target.partition(":")
    found: object = importlib.import_module(module_name)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found
