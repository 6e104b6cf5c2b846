"""Models and tokenizers from folders, the hub's cache, configs; and everything wrong with them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from lwft_bench.models.configs import transformers_config
from lwft_bench.models.loading import empty_model, load_model, load_tokenizer, model_digest
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.errors import UserError

TINY: dict[str, Any] = {
    "vocab_size": 6,
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
BUILT = {"model_type": "llama", **TINY}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FLOAT = {"dtype": torch.float32, "attention": "sdpa"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """A bf16 Llama with tied embeddings and a tokenizer, as save_pretrained writes them."""
    folder = tmp_path_factory.mktemp("model")
    LlamaForCausalLM(LlamaConfig(**TINY, tie_word_embeddings=True)).bfloat16().save_pretrained(
        folder
    )
    AutoTokenizer.from_pretrained(tokenizer_folder).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of `saved` to break."""
    return Path(shutil.copytree(saved, tmp_path / "copy"))


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def at(path: Path | str, **options: Any) -> ModelConfig:
    return ModelConfig(name="tiny", path=str(path), **options)


def built(config: dict[str, Any], **options: Any) -> ModelConfig:
    return ModelConfig(name="tiny", config=config, **options)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return dict(model.state_dict())


def cache(saved: Path, hub_cache: Path, name: str, revision: str) -> None:
    repository = hub_cache / f"models--{name.replace('/', '--')}"
    shutil.copytree(saved, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / revision).write_text(COMMIT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_local_folder(saved: Path, dtype: torch.dtype, attention: str) -> None:
    model = load_model(at(saved), dtype=dtype, attention=attention, seed=0)
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert model.config._attn_implementation == attention
    assert not model.training
    assert all(
        torch.equal(weights(model)[name], tensor.to(dtype))
        for name, tensor in load_file(saved / "model.safetensors").items()
    )


def test_folder_under_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert model_digest(at(f"~/{folder.name}")) == model_digest(at(folder))


def test_embedded_model() -> None:
    config = ModelConfig(name="embedded", path="embedded")
    tokenizer = load_tokenizer(config)
    model = load_model(config, **FLOAT, seed=0)
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.pad_token is not None


def test_weights_are_drawn_from_the_seed_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = weights(load_model(built(BUILT), **FLOAT, seed=1))
    torch.rand(5)
    again = weights(load_model(built(BUILT), **FLOAT, seed=1))
    other = weights(load_model(built(BUILT), **FLOAT, seed=2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])

    torch.set_rng_state(before)
    load_model(built(BUILT), **FLOAT, seed=1)
    empty_model(built(BUILT), **FLOAT)
    assert torch.equal(torch.get_rng_state(), before)


def test_loading_leaves_the_random_streams_alone(saved: Path) -> None:
    before = torch.get_rng_state()
    load_model(at(saved), **FLOAT, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_empty_model_is_the_loaded_one_without_memory(saved: Path, dtype: torch.dtype) -> None:
    empty = empty_model(at(saved), dtype, "eager")
    full = load_model(at(saved), dtype=dtype, attention="eager", seed=0)

    def described(tensors: Any) -> list[Any]:
        return [(name, tensor.shape, tensor.dtype) for name, tensor in tensors]

    assert described(empty.named_parameters()) == described(full.named_parameters())
    assert described(empty.named_buffers()) == described(full.named_buffers())
    assert all(p.is_meta for p in empty.parameters())
    assert empty.config._attn_implementation == "eager" and not empty.training
    assert empty.lm_head.weight is empty.model.embed_tokens.weight


def test_tokenizer_pads_with_end_of_sequence_if_it_has_no_padding(saved: Path) -> None:
    tokenizer = load_tokenizer(at(saved))
    assert tokenizer.pad_token == tokenizer.eos_token == "</s>"


def test_tokenizer_of_its_own(tokenizer_folder: Path) -> None:
    tokenizer = load_tokenizer(built(BUILT, tokenizer=str(tokenizer_folder)))
    assert tokenizer("one three")["input_ids"] == [2, 4]


def test_tokenizer_larger_than_the_model(tokenizer_folder: Path) -> None:
    config = built({**BUILT, "vocab_size": 1}, tokenizer=str(tokenizer_folder))
    with pytest.raises(UserError, match="6 tokens and the model only 1 embeddings"):
        load_tokenizer(config)


def test_hub_model_comes_from_the_cache_at_its_commit(saved: Path, hub_cache: Path) -> None:
    config = at("org/tiny", revision="v1")
    uncached = model_digest(config)
    cache(saved, hub_cache, "org/tiny", "v1")
    assert load_tokenizer(config).pad_token == "</s>"
    model = load_model(config, **FLOAT, seed=0)
    assert model.config._name_or_path.endswith(COMMIT)

    by_commit = at("org/tiny", revision=COMMIT)
    assert model_digest(config) == model_digest(by_commit) != uncached
    assert load_model(by_commit, **FLOAT, seed=0) is not None


def test_cached_branch_is_not_moved_by_the_hub(
    saved: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def snapshot_download(name: str, *, revision: str | None, **_: Any) -> str:
        asked.append(revision)
        return str(saved)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    load_model(at("org/tiny"), **FLOAT, seed=0)
    cache(saved, hub_cache, "org/tiny", "main")
    load_model(at("org/tiny"), **FLOAT, seed=0)
    assert asked == [None, COMMIT]


@pytest.mark.parametrize("name", ["org/tiny", "tiny-model"])
def test_unreachable_hub_model(hub_cache: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"'{name}' is no local folder and could not be") as error:
        load_model(at(name), **FLOAT, seed=0)
    assert "give a local folder" in (error.value.hint or "")
    assert "\n" not in error.value.message


@pytest.mark.parametrize("path", ["./nowhere", "/no/such/model", "~/no-such-model", "a/b/c"])
def test_missing_local_path(path: str) -> None:
    for function in (lambda c: load_model(c, **FLOAT, seed=0), load_tokenizer, model_digest):
        with pytest.raises(UserError, match="there is no folder"):
            function(at(path))


def test_folder_without_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match=r"has no config\.json"):
        load_model(at(folder), **FLOAT, seed=0)


def test_folder_without_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(UserError, match="has no tokenizer") as error:
        load_tokenizer(at(folder))
    assert "tokenizer:" in (error.value.hint or "")


def test_config_without_tokenizer() -> None:
    with pytest.raises(UserError, match="built from a config and has no tokenizer"):
        load_tokenizer(built(BUILT))


def test_pickled_weights_are_not_read(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"pytorch_model\.bin is a pickle") as error:
        load_model(at(folder), **FLOAT, seed=0)

    exec((error.value.hint or "").split("'")[1])  # the command it advises
    load_model(at(folder), **FLOAT, seed=0)


def test_a_folder_with_a_gguf_file(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match="has no config.json, but a GGUF file"):
        load_model(at(tmp_path), **FLOAT, seed=0)


def test_file_instead_of_folder(folder: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        load_model(at(folder / "model.safetensors"), **FLOAT, seed=0)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\noid x\n"])
def test_unreadable_weights(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError) as error:
        load_model(at(folder), **FLOAT, seed=0)
    assert "git-lfs" in (error.value.hint or "")


@pytest.mark.parametrize("change", ["missing", "reshaped"])
def test_weights_that_do_not_fit_are_not_drawn_at_random(folder: Path, change: str) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    if change == "missing":
        del tensors["model.norm.weight"]
    else:
        tensors["model.norm.weight"] = torch.ones(9)
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks weights .* \(1 in all\): model\.norm\.weight"):
        load_model(at(folder), **FLOAT, seed=0)


def test_code_that_comes_with_a_model_is_not_run_unasked(folder: Path) -> None:
    (folder / "custom.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "custom", "auto_map": {"AutoConfig": "custom.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    for load in (
        load_tokenizer,
        lambda config: load_model(config, **FLOAT, seed=0),
        lambda config: empty_model(config, **FLOAT),
    ):
        with pytest.raises(UserError) as error:
            load(at(folder))
        assert "trust_remote_code: true" in (error.value.hint or "")
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "lama"}, "knows no 'lama'; did you mean 'llama'"),
        ({"hiden_size": 8}, r"config\.hiden_size: .* did you mean 'hidden_size'"),
        ({"vocab_size": "6"}, "'vocab_size' expected int, got str"),
    ],
)
def test_wrong_config(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_model(built({**BUILT, **change}), **FLOAT, seed=0)
    with pytest.raises(UserError, match=message):
        empty_model(built({**BUILT, **change}), **FLOAT)


def test_model_that_is_no_causal_language_model() -> None:
    with pytest.raises(UserError, match="no causal language model for model_type 't5'"):
        empty_model(built({"model_type": "t5"}), **FLOAT)


@pytest.mark.parametrize(
    "options",
    [
        {"rope_theta": 500.0},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
        {"num_key_value_heads": 1, "tie_word_embeddings": True, "dtype": "bfloat16"},
    ],
)
def test_valid_config_keys_pass(options: dict[str, Any]) -> None:
    model = load_model(built({**BUILT, **options}), **FLOAT, seed=0)
    assert model.dtype == torch.float32


def test_other_names_of_config_keys_pass() -> None:
    model = empty_model(
        built({"model_type": "gpt2", "hidden_size": 8, "n_layer": 1, "num_attention_heads": 2}),
        torch.float32,
        "eager",
    )
    assert model.config.n_embd == 8


def test_attention_that_the_model_lacks() -> None:
    bloom = built({"model_type": "bloom", "hidden_size": 8, "n_layer": 1, "n_head": 2})
    with pytest.raises(UserError, match="does not support an attention implementation") as error:
        empty_model(bloom, torch.float32, "sdpa")
    assert "training.attention: auto" in (error.value.hint or "")
    assert empty_model(bloom, torch.float32, "eager").config.n_layer == 1


def test_digest_of_a_folder_is_of_what_defines_the_model(folder: Path, saved: Path) -> None:
    digest = model_digest(at(folder))
    assert digest == model_digest(at(saved))
    (folder / "README.md").write_text("read me")
    assert model_digest(at(folder)) == digest
    seen = {digest}
    for name in ("config.json", "model.safetensors", "tokenizer.json", "generation_config.json"):
        with (folder / name).open("ab") as file:
            file.write(b" ")
        seen.add(model_digest(at(folder)))
    assert len(seen) == 5


def test_digest_of_configs_and_tokenizers(tokenizer_folder: Path) -> None:
    same = dict(reversed(BUILT.items()))
    assert model_digest(built(BUILT)) == model_digest(built(same))
    digests = {
        model_digest(config)
        for config in (
            built(BUILT),
            built({**BUILT, "vocab_size": 7}),
            built(BUILT, tokenizer=str(tokenizer_folder)),
            built(BUILT, tokenizer="embedded"),
            at("embedded"),
        )
    }
    assert len(digests) == 5


def test_digest_does_not_import_torch(saved: Path) -> None:
    code = (
        "import sys; from lwft_bench.schema.cell import ModelConfig as C;"
        "import lwft_bench.adapters.base;"
        "from lwft_bench.models.loading import model_digest as d;"
        f"d(C(name='x', path={str(saved)!r})); d(C(name='x', path='org/tiny'));"
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unused_weights_do_not_matter(tmp_path: Path) -> None:
    """Old checkpoints hold buffers that are computed today."""
    GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=6)).save_pretrained(
        tmp_path
    )
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert load_model(at(tmp_path), **FLOAT, seed=0).config.n_layer == 1


@pytest.mark.parametrize(
    ("config", "message", "hint"),
    [
        ({"model_type": "t5"}, "'t5', an encoder with a decoder", "decoder-only"),
        (
            {"model_type": "llava"},
            "'llava', which is a wrapper around a llama",
            "a LlamaForCausalLM",
        ),
        ({"model_type": "vit"}, "no causal language model for model_type 'vit'", "decoder-only"),
    ],
)
@pytest.mark.parametrize("from_folder", [False, True])
def test_models_without_a_causal_class_say_what_to_load(
    config: dict[str, Any], message: str, hint: str, from_folder: bool, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    given = {"path": str(tmp_path)} if from_folder else {"config": config}
    with pytest.raises(UserError, match=message) as error:
        transformers_config(ModelConfig(name="m", **given))
    assert hint in (error.value.hint or "")


def test_defaults_that_their_own_checks_refuse_do_not_matter() -> None:
    """No Gemma 4 assistant can be made of its config's defaults."""
    text = {
        "hidden_size_per_layer_input": 0,
        "vocab_size_per_layer_input": 0,
        "num_hidden_layers": 6,
        "num_kv_shared_layers": 6,
    }
    config = {"model_type": "gemma4_assistant", "text_config": text}
    made: Any = transformers_config(ModelConfig(name="m", config=config))
    assert made.text_config.num_hidden_layers == 6
