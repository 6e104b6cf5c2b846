#!/bin/sh
# transformers reads a Llama from a GGUF file without the scaling of its rotary angles: neither the keys
# llama.rope.scaling.* nor the tensor rope_freqs.weight, in which a file has Llama 3.1's, reach the
# model.
# Exit 0: seen as described. 1: it changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 2' INT TERM
{
    "${PYTHON:-python3}" -m venv "$folder/venv" &&
        "$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
            torch==2.13.0 numpy==2.4.6 transformers==5.23.0 tokenizers==0.23.3 accelerate==1.15.0 \
            gguf==0.19.0
} || exit 2

cat >"$folder/check.py" <<'PYTHON'
"""A small random Llama, written to a GGUF file by gguf's writer in float32 and read by transformers."""

import contextlib
import io
import logging
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

FOLDER = Path(sys.argv[1])
THETA, HEAD, HEADS, LAYERS = 10000.0, 32, 2, 2
TOKENS = (torch.arange(60) * 7 + 5)[None] % 64
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": THETA,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
LINEAR = {"rope_type": "linear", "rope_theta": THETA, "factor": 4.0}
YARN = {
    "rope_type": "yarn",
    "rope_theta": THETA,
    "factor": 4.0,
    "original_max_position_embeddings": 1024,
}
PLAIN = {"rope_type": "default", "rope_theta": THETA}


def llama(angles: dict) -> LlamaForCausalLM:
    """The same weights whatever the angles are."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=HEADS * HEAD,
        intermediate_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        head_dim=HEAD,
        max_position_embeddings=4096,
        initializer_range=0.2,
        rope_parameters=dict(angles),
    )
    return LlamaForCausalLM(config).eval()


def paired(rows: np.ndarray) -> np.ndarray:
    """Rows of queries or keys in the order of GGUF's llama: the two of an angle side by side."""
    halves = rows.reshape(HEADS, 2, HEAD // 2, rows.shape[1])
    return np.ascontiguousarray(halves.transpose(0, 2, 1, 3).reshape(rows.shape))


def write(file: Path, model: LlamaForCausalLM, angles: dict) -> None:
    config = model.config
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(THETA)
    writer.add_rope_dimension_count(HEAD)
    writer.add_vocab_size(config.vocab_size)
    if angles["rope_type"] in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(angles["rope_type"]))
        writer.add_rope_scaling_factor(angles["factor"])
    if angles["rope_type"] == "yarn":
        writer.add_rope_scaling_orig_ctx_len(angles["original_max_position_embeddings"])
    if angles["rope_type"] == "llama3":
        scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
        unscaled = THETA ** (-torch.arange(0, HEAD, 2) / HEAD)
        writer.add_tensor("rope_freqs.weight", (unscaled / scaled).numpy().astype(np.float32))
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    for name, weight in model.state_dict().items():
        turned = name.endswith(("q_proj.weight", "k_proj.weight"))
        rows = paired(weight.numpy()) if turned else weight.numpy()
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), rows)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def logits(model: LlamaForCausalLM) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS).logits


def read(angles: dict) -> tuple[float, float, str, bool]:
    """How far logits are from the written model's and from unscaled ones; the angles; whether told."""
    written = llama(angles)
    write(FOLDER / "model.gguf", written, angles)
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    transformers.logging.add_handler(handler)
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        model = LlamaForCausalLM.from_pretrained(FOLDER, gguf_file="model.gguf").eval()
    transformers.logging.remove_handler(handler)
    found = logits(model)
    to_written = (found - logits(written)).abs().max().item()
    to_plain = (found - logits(llama(PLAIN))).abs().max().item()
    kind = model.config.rope_parameters["rope_type"]
    return to_written, to_plain, kind, any(w in said.getvalue().lower() for w in ("rope", "scal"))


print(
    f"Python {platform.python_version()}, torch {torch.__version__}, "
    f"transformers {transformers.__version__}, gguf {version('gguf')}"
)
print("A Llama in float32 to GGUF and back by transformers; nothing is quantised.")
print("Guess: the model that was written, or a word that its angles are not supported.")
as_described = True
for name, angles in {"none": PLAIN, "linear": LINEAR, "yarn": YARN, "llama3": LLAMA3}.items():
    to_written, to_plain, kind, told = read(angles)
    print(
        f"Seen:  scaling {name}: logits differ by {to_written:.4f} from those of the model written, by "
        f"{to_plain:.4f} from those without scaling; rope_type {kind}, told: {told}"
    )
    right = to_written < 1e-4 if name == "none" else to_written > 0.5
    as_described &= right and to_plain < 1e-4 and kind == "default" and not told
print("As described." if as_described else "CHANGED: not as described.")
sys.exit(0 if as_described else 1)
PYTHON
status=0
OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 "$folder/venv/bin/python" "$folder/check.py" "$folder" || status=1
exit "$status"
