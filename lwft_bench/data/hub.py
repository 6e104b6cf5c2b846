"""Rows of data sets on the Hugging Face hub, through the `datasets` library and its cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from lwft_bench.data.json_lines import Row, parse_rows
from lwft_bench.schema.base import Config
from lwft_bench.schema.errors import UserError, text_of

_Record = TypeVar("_Record")


class HubSplits(Config):
    """Splits of a data set on the hub, one after the other."""

    dataset: str
    """organisation/name."""
    config: str | None = None
    splits: tuple[str, ...]
    revision: str | None = None
    """Branch, tag or commit."""


def read_hub(source: HubSplits, parse: Callable[[Row], _Record]) -> list[_Record]:
    """Every row through `parse`. Downloads what is not cached, unless HF_HUB_OFFLINE is set.

    Raises:
        UserError: the data cannot be had, or rows are at fault (counted from 1 over all splits).
    """
    return parse_rows(Path(source.dataset), _rows(source), parse)


def commit_of(source: HubSplits) -> str:
    """The commit that is cached, or else the revision as given: what a digest can say of it."""
    from huggingface_hub import constants

    repository = Path(constants.HF_HUB_CACHE) / f"datasets--{source.dataset.replace('/', '--')}"
    reference = repository / "refs" / (source.revision or "main")
    return reference.read_text().strip() if reference.is_file() else source.revision or "main"


def _rows(source: HubSplits) -> Iterator[Callable[[], Row]]:
    import datasets

    number = 0
    for split in source.splits:
        try:
            rows = datasets.load_dataset(
                source.dataset, source.config, split=split, revision=source.revision
            )
        # The library's errors for what is offline, gone, gated or unreadable share no base class.
        except Exception as error:
            raise UserError(
                f"data set {source.dataset} could not be had from the hub: "
                f"{(text_of(error).splitlines() or [type(error).__name__])[0]}",
                "Without the hub, name a folder that holds the files: `data_dir: ...`",
            ) from error
        for fields in rows:
            number += 1
            yield partial(Row, Path(source.dataset), number, fields)
