"""Where a model's files are, and their digest. Imports neither torch nor transformers."""

from __future__ import annotations

import hashlib
import json
import re
from fnmatch import fnmatch
from pathlib import Path

from lwft_bench.models.folders import ADAPTER, require_plain
from lwft_bench.models.gguf import converted, gguf_digest, gguf_file, is_gguf
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.regular_files import read_json_object

EMBEDDED = Path(__file__).parent / "embedded"
"""The model that ships with the package."""

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "*.model",
    "vocab.*",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "*.jinja",
)
MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "adapter_config.json",  # transformers loads the adapter that it finds in a model's folder
    *TOKENIZER_FILES,
)
CODE_FILES = ("*.py",)
PICKLED_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt")

_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def model_folder(config: ModelConfig) -> Path:
    """The local folder of a model given by `path`; one on the hub is downloaded if need be.

    Raises:
        UserError: there is none, it cannot be downloaded, or it has no `config.json` or no
            safetensors weights.
    """
    assert config.path is not None
    files = (*MODEL_FILES, *CODE_FILES * config.trust_remote_code)
    folder = _with_config(config, _folder(config, config.path, config.revision, files))
    _require_own_files(config, folder)
    if not _matching(folder, ("*.safetensors",)):
        pickled = _matching(folder, PICKLED_WEIGHTS)
        if pickled:
            raise UserError(
                f"model {config.name}: {pickled[0]} is a pickle, which can run code when it is"
                " loaded; only safetensors are read",
                "If you trust it, convert it once: python -c 'from transformers import"
                f' AutoModelForCausalLM as M; M.from_pretrained("{folder}")'
                f'.save_pretrained("{folder}")\'',
            )
        raise UserError(
            f"model {config.name}: {folder} has no *.safetensors file",
            "Only safetensors weights are read; transformers' save_pretrained writes them.",
        )
    return folder


def _require_own_files(config: ModelConfig, folder: Path) -> None:
    """An index may name files anywhere, which no digest of the folder knows."""
    for index in _matching(folder, ("*.safetensors.index.json",)):
        try:
            files = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"model {config.name}: {index} is no index of weights: {error}"
            ) from None
        for name in sorted(map(str, files)):
            if Path(name).name != name:
                raise UserError(
                    f"model {config.name}: {index} names a file outside its folder: {name}",
                    "Put the weights beside the index, and name them as they are called there.",
                )
            if not name.endswith(".safetensors"):
                raise UserError(
                    f"model {config.name}: {index} names a file that is no *.safetensors: {name}",
                    "Only safetensors weights are read; transformers' save_pretrained writes them.",
                )


def config_folder(config: ModelConfig) -> Path:
    """The local folder of a model's `config.json`; of one on the hub nothing else is fetched.

    Raises:
        UserError: there is none, or it cannot be downloaded.
    """
    assert config.path is not None
    files = ("config.json", ADAPTER, *CODE_FILES * config.trust_remote_code)
    return _with_config(config, _folder(config, config.path, config.revision, files))


def config_has_weights(config: ModelConfig) -> bool:
    """Whether weights lie beside the model's `config.json` on this machine; nothing is fetched."""
    return bool(_matching(config_folder(config), ("*.safetensors",)))


def _with_config(config: ModelConfig, folder: Path) -> Path:
    require_plain(config.name, folder)
    if not (folder / "config.json").is_file():
        if found := _matching(folder, ("*.gguf",)):
            raise UserError(
                f"model {config.name}: {folder} has no config.json, but a GGUF file",
                f"Name the file: `path: {found[0]}`",
            )
        raise UserError(
            f"model {config.name}: {folder} has no config.json",
            "A model folder is what transformers' save_pretrained writes.",
        )
    return folder


def tokenizer_folder(config: ModelConfig) -> Path:
    """The local folder of a model's tokenizer: `tokenizer`, or else the model's own `path`.

    Raises:
        UserError: none is given, it cannot be found or downloaded, or no tokenizer is in it.
    """
    # transformers looks into config.json for the tokenizer's class.
    files = ("config.json", *TOKENIZER_FILES, *CODE_FILES * config.trust_remote_code)
    if config.tokenizer is not None:
        folder = _folder(config, config.tokenizer, None, files)
    elif config.path is not None:
        folder = _folder(config, config.path, config.revision, files)
    else:
        raise UserError(
            f"model {config.name} is built from a config and has no tokenizer",
            "Give it one: `tokenizer: embedded`, a local folder or a hub name.",
        )
    if not _matching(folder, TOKENIZER_FILES):
        if (folder / "tekken.json").is_file():
            raise UserError(
                f"model {config.name}: {folder} has Mistral's tekken.json and no tokenizer.json",
                "Name a folder or hub model with the same tokenizer in transformers' form:"
                " `tokenizer: ...`",
            )
        raise UserError(
            f"model {config.name}: {folder} has no tokenizer (such as tokenizer.json)",
            "Name the folder or hub model to take it from: `tokenizer: ...`",
        )
    return folder


def has_chat_template(config: ModelConfig) -> bool:
    """Whether the tokenizer's files have one.

    Raises:
        UserError: as `tokenizer_folder`.
    """
    folder = tokenizer_folder(config)
    if (folder / "chat_template.jinja").is_file():
        return True
    settings = folder / "tokenizer_config.json"
    return settings.is_file() and bool(read_json_object(settings).get("chat_template"))


def model_digest(config: ModelConfig) -> str:
    """The sha256, in hex, of what defines a model and its tokenizer.

    Of a local folder: the names and contents of the files that define it, so that its place does
    not matter. Of a model on the hub: its name and commit if the revision is in the local cache,
    else its name and revision as given; fetch it with `model_folder` first where the digest must
    not change when the model is downloaded. Of a model built from a config: the config.

    Raises:
        UserError: a local path does not exist, or is not a folder.
    """
    components: dict[str, object] = {"config": config.config}
    if config.path is not None:
        components["model"] = _source_digest(config, config.path, config.revision)
    if config.reinitialise:
        components["reinitialise"] = sorted(config.reinitialise)
    for key in ("gain", "rescale"):
        if (altered := getattr(config, key)) is not None:
            components[key] = altered.model_dump()
    if config.tokenizer is not None:
        components["tokenizer"] = _source_digest(config, config.tokenizer, revision=None)
    return hashlib.sha256(json.dumps(components, sort_keys=True).encode()).hexdigest()


def _source_digest(config: ModelConfig, path: str, revision: str | None) -> str:
    if is_gguf(path):
        return gguf_digest(gguf_file(config, path))
    folder = _local_folder(config, path)
    if folder is None:
        return f"{path}@{_cached_commit(path, revision) or revision or 'main'}"
    digest = hashlib.sha256()
    for file in _matching(folder, MODEL_FILES + CODE_FILES * config.trust_remote_code):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{file.name} {content}\n".encode())
    return digest.hexdigest()


def _folder(config: ModelConfig, path: str, revision: str | None, files: tuple[str, ...]) -> Path:
    """The local folder of `path`; if it is a hub name, these files of it are downloaded."""
    local = _local_folder(config, path)
    if local is not None:
        return local
    from huggingface_hub import snapshot_download

    try:
        # A cached branch stays at the commit that was cached, the one `model_digest` speaks of.
        folder = snapshot_download(
            path,
            revision=_cached_commit(path, revision) or revision,
            allow_patterns=list(files),
        )
    except (OSError, ValueError) as error:  # hub errors are OSErrors
        at = f" at revision {revision}" if revision else ""
        raise UserError(
            f"model {config.name}: {path!r}{at} is no local folder and could not be fetched from"
            f" the model hub ({str(error).splitlines()[0]})",
            "Without the hub, give a local folder that holds the model: `path: ./my-model`",
        ) from error
    return Path(folder)


def _local_folder(config: ModelConfig, path: str) -> Path | None:
    """The folder if `path` is a local one, None if it is a hub name."""
    if path == "embedded":
        return EMBEDDED
    if is_gguf(path):
        return converted(config, path)
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise UserError(f"model {config.name}: {path} is not a folder")
    if not _HUB_NAME.fullmatch(path):
        raise UserError(f"model {config.name}: there is no folder {path}")
    return None


def _cached_commit(name: str, revision: str | None) -> str | None:
    """The commit that a hub model's branch or tag stands at in the local cache, if it is there."""
    from huggingface_hub import constants

    repository = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    reference = repository / "refs" / (revision or "main")
    return reference.read_text().strip() if reference.is_file() else None


def _matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    """Files directly in `folder` that match one of the patterns, by name."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.is_file() and any(fnmatch(file.name, pattern) for pattern in patterns)
    )
