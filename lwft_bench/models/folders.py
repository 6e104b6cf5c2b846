"""Model folders that look like one to train and are another kind. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lwft_bench.schema.errors import UserError
from lwft_bench.schema.regular_files import Unreadable, read_json_object

ADAPTER = "adapter_config.json"


def require_plain(name: str, folder: Path) -> None:
    """Refuses a folder whose weights are not those of a model to train as they stand.

    name: the model's, for the message.

    Raises:
        UserError: It holds an adapter, alone or beside a model, or quantised weights, or a config that
            cannot be read.
    """
    has_config = (folder / "config.json").is_file()
    if (folder / ADAPTER).is_file():
        base = _read(name, folder / ADAPTER).get("base_model_name_or_path") or "its base model"
        if not has_config:
            raise UserError(
                f"model {name}: {folder} holds an adapter without the model that it was made for",
                f"Name that model (`path: {base}`), or merge the adapter into it first"
                " (peft's merge_and_unload) and save the result.",
            )
        raise UserError(
            f"model {name}: {folder} holds an adapter ({ADAPTER}) beside a model; transformers would"
            " load it into the model without a word",
            f"Move {ADAPTER} and its weights to a folder of their own, or merge them first.",
        )
    if has_config:
        _require_unquantised(name, folder)


def _require_unquantised(name: str, folder: Path) -> None:
    quantised = _read(name, folder / "config.json").get("quantization_config")
    if isinstance(quantised, dict):
        method = quantised.get("quant_method", "an unnamed method")
        bits = " with 4 bits" if quantised.get("load_in_4bit") or quantised.get("bits") == 4 else ""
        raise UserError(
            f"model {name}: the weights in {folder} are quantised by {method}{bits}; layers cannot be"
            " trained on them",
            "Name the model that they were made from. For adapters on four-bit weights use a method"
            " with `adapter: qlora`, which quantises while loading (extra `qlora`).",
        )


def _read(name: str, file: Path) -> dict[str, Any]:
    try:
        return read_json_object(file)
    except Unreadable as error:
        raise UserError(f"model {name}: {error.message}") from error
