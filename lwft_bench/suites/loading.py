"""A suite, from its name or path to its cells, with all that is wrong told at once."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lwft_bench.schema.cell import Cell
from lwft_bench.schema.claims import Claim
from lwft_bench.schema.documents import read_document
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.findings import Findings
from lwft_bench.schema.naming import nearest, unknown
from lwft_bench.schema.run import Identity
from lwft_bench.schema.shipped import is_path, shipped
from lwft_bench.schema.suite import KeepWeights, Published
from lwft_bench.schema.tables import TableSpec
from lwft_bench.schema.timing import TimingConfig
from lwft_bench.suites.identity import identify, readable
from lwft_bench.suites.narrowing import Narrowing
from lwft_bench.suites.reading import SuiteReader
from lwft_bench.suites.tuning import Tuning

_ABOUT = re.compile(r"(?:model ([\w.+-]+)\b)?(?:, )?(?:(task|method) ([\w.+-]+)\b)?")


@dataclass(frozen=True)
class Changes:
    """What the command line changes about a suite.

    `settings` are `key=value`. Names narrow the suite; `seeds` replace the suite's. Each strategy
    that one of `plugins` registers and no method of the suite uses joins the suite as a method.
    """

    settings: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    only: str | None = None
    models: tuple[str, ...] | None = None
    methods: tuple[str, ...] | None = None
    tasks: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None


@dataclass
class Suite:
    """A suite that can be run. Its plugins are loaded; cells name them by absolute path.

    What the cells of `tunings` are is known once their trials have ended. `cells` are the others.
    """

    name: str
    title: str
    description: str
    baseline: str | None
    cells: Sequence[Cell]
    path: Path
    source_text: str
    tunings: Sequence[Tuning] = ()
    published: Published | None = None
    tables: Mapping[str, TableSpec] = field(default_factory=dict)
    claims: Sequence[Claim] = ()
    keep_weights: KeepWeights = "none"
    timing: TimingConfig = field(default_factory=TimingConfig)
    places: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """("model", "method" or "task", its name) -> `file:line: key.path` where the suite lists it."""

    def placed(self, text: str) -> str:
        """A message that begins with a model, `model m, task t: ...`, behind the suite's line that
        lists its task or method or, where it names none, its model.
        """
        model, kind, name = _ABOUT.match(text).groups()  # type: ignore[union-attr]
        place = self.places.get((kind, name)) or self.places.get(("model", model))
        return f"{place}: {text}" if place else text

    def keeps_weights(self, cell: Cell) -> bool:
        """Whether the cell's fine-tuned weights stay in its folder."""
        if self.keep_weights == "last":
            return cell.seed == max(each.seed for each in self.all_cells)
        return self.keep_weights == "all"

    @property
    def all_cells(self) -> list[Cell]:
        """`cells` and those of `tunings`, these with the first values of their grids."""
        return [*self.cells, *(cell for tuning in self.tunings for cell in tuning.cells)]

    def require_runnable(self) -> None:
        """Refuses models that can only be planned, or cannot do what a task asks.

        Raises:
            UserError: Models have no tokenizer, as an architecture without weights, or no chat
                template where a task asks for one. All of them are told.
        """
        from lwft_bench.models.sources import has_chat_template

        findings = Findings()
        for model in {cell.model.name: cell.model for cell in self.all_cells}.values():
            if model.path is None and model.tokenizer is None:
                findings.problem(
                    f"model {model.name} is a config without tokenizer or trained weights: it can be "
                    "planned, not run",
                    f"Plan it: `lwft-bench plan {shlex.quote(str(self.path))}`. To run it give "
                    "weights (`path`), or a tokenizer to train from random weights.",
                )
        templated = {
            (cell.model.name, cell.task.name): cell.model
            for cell in self.all_cells
            if cell.task.chat_template and (cell.model.path or cell.model.tokenizer)
        }
        for (name, task), model in templated.items():
            with findings.collected(f"model {name}"):
                if not has_chat_template(model):
                    findings.problem(
                        f"task {task} asks for prompts in the model's chat template, and the "
                        f"tokenizer of model {name} has none",
                        "Leave out `chat_template`, or name a tokenizer that has one: `tokenizer: ...`",
                    )
        findings.placed(self.placed).raise_problems()

    def readable(self, cells: Iterable[Cell], findings: Findings) -> list[Cell]:
        """Those whose model and data can be read, so that they have identities. Why not is noted."""
        return readable(cells, findings)

    def identity(self, cell: Cell) -> Identity:
        """What the cell's result depends on.

        Raises:
            UserError: If its model or data cannot be read.
        """
        return identify(cell)


def load_suite(suite: str, changes: Changes | None = None) -> Suite:
    """Read a suite, given by the path of its file or by the name of a shipped one.

    Raises:
        ConfigError: With all that is wrong in the file, its cards and the changes, and with the cells
            that these leave.
        UserError: If there is no such suite.
    """
    changes = changes or Changes()
    path = suite_file(suite)
    document = read_document(path)
    reader = SuiteReader(document, path.resolve().parent)
    narrowing = Narrowing(changes.models, changes.methods, changes.tasks, changes.only)
    file, cells, tunings = reader.read(changes.plugins, changes.settings, changes.seeds, narrowing)
    return Suite(
        name=file.name,
        title=file.title,
        description=file.description,
        baseline=file.baseline,
        cells=cells,
        path=path,
        source_text=document.text,
        tunings=tunings,
        published=file.published,
        tables=file.tables,
        claims=file.claims,
        keep_weights=file.keep_weights,
        timing=file.timing,
        places=reader.places,
    )


def suite_file(suite: str) -> Path:
    """The file of a suite. A path wins over a shipped suite's name."""
    path = Path(suite)
    if path.is_file():
        return path
    suites = shipped("suites")
    if suite in suites:
        return suites[suite]
    if is_path(suite):
        close = nearest(path.stem, suites)
        raise UserError(
            f"{suite}: no such file" + (f"; did you mean the shipped {close!r}?" if close else ""),
            "see `lwft-bench list suites`",
        )
    raise UserError(unknown("suite", suite, suites), "see `lwft-bench list suites`")
