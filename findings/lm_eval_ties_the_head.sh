#!/bin/sh
# lm-eval ties the head of each model it is given to the embeddings, in place, where the config says
# tie_word_embeddings: also of a checkpoint with two different matrices, which transformers leaves apart
# and says so, and of a peft adapter that trained the embeddings alone (modules_to_save). Scores are of
# another model, and nothing is said.
# Exit 0: seen as described. 1: it changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 2' INT TERM
{
    "${PYTHON:-python3}" -m venv "$folder/venv" &&
        "$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
            torch==2.13.0 numpy==2.4.6 transformers==5.23.0 tokenizers==0.23.3 accelerate==1.15.0 \
            peft==0.21.2 datasets==5.2.0 lm_eval==0.4.13
} || exit 2

cat >"$folder/check.py" <<'PYTHON'
"""The log-likelihood of one answer by models loaded from folders, and by lm-eval of the same folders."""

import json
import logging
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import torch
import transformers
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

transformers.logging.set_verbosity_error()
logging.disable(logging.WARNING)
transformers.logging.disable_progress_bar()
FOLDER = Path(sys.argv[1])
CONTEXT, ANSWER = "w3 w1 w4 w1 w5", " w9 w2 w6"


def write_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    words = {f"w{number}": number for number in range(62)} | {"<end>": 62, "<unknown>": 63}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unknown>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<end>", pad_token="<end>", unk_token="<unknown>"
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def tied_llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.2,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=62,
    )
    return LlamaForCausalLM(config).eval()


def noise_like(weight: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return 0.2 * torch.randn(weight.shape, generator=generator)


def by_itself(model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast) -> float:
    context, answer = tokenizer(CONTEXT).input_ids, tokenizer(ANSWER).input_ids
    with torch.no_grad():
        logits = model.eval()(torch.tensor([context + answer])).logits[0, len(context) - 1 : -1]
    chosen = logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None])
    return chosen.sum().item()


def by_lm_eval(**arguments) -> float:
    model = HFLM(device="cpu", batch_size=1, dtype="float32", **arguments)
    request = Instance("loglikelihood", {}, (CONTEXT, ANSWER), 0)
    return model.loglikelihood([request], disable_tqdm=True)[0][0]


tokenizer = write_tokenizer(FOLDER / "tied")
write_tokenizer(FOLDER / "apart")
model = tied_llama()
model.save_pretrained(FOLDER / "tied")

model.save_pretrained(FOLDER / "apart")
weights = load_file(FOLDER / "apart/model.safetensors")
embeddings = weights["model.embed_tokens.weight"]
weights["lm_head.weight"] = embeddings + noise_like(embeddings)
save_file(weights, FOLDER / "apart/model.safetensors", metadata={"format": "pt"})
assert json.loads((FOLDER / "apart/config.json").read_text())["tie_word_embeddings"]

settings = LoraConfig(
    task_type="CAUSAL_LM", target_modules=["q_proj"], modules_to_save=["embed_tokens"]
)
trained = get_peft_model(tied_llama(), settings)
with torch.no_grad():
    for name, weight in trained.named_parameters():
        if "modules_to_save" in name:
            weight += noise_like(weight)
in_memory = by_itself(trained, tokenizer)
trained.save_pretrained(FOLDER / "adapter")

tied, apart = str(FOLDER / "tied"), str(FOLDER / "apart")
adapter = str(FOLDER / "adapter")
with_adapter = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(tied), adapter)
rows = {
    "one matrix": (
        by_itself(LlamaForCausalLM.from_pretrained(tied), tokenizer),
        by_lm_eval(pretrained=tied),
    ),
    "two matrices under tie_word_embeddings": (
        by_itself(LlamaForCausalLM.from_pretrained(apart), tokenizer),
        by_lm_eval(pretrained=apart),
    ),
    "one matrix, adapter with modules_to_save=['embed_tokens']": (
        by_itself(with_adapter, tokenizer),
        by_lm_eval(pretrained=tied, peft=adapter),
    ),
}
given = LlamaForCausalLM.from_pretrained(apart)
was_apart = given.lm_head.weight is not given.model.embed_tokens.weight
HFLM(pretrained=given, tokenizer=tokenizer, device="cpu")
is_tied = given.lm_head.weight is given.model.embed_tokens.weight

print(
    f"Python {platform.python_version()}, torch {torch.__version__}, "
    f"transformers {transformers.__version__}, "
    f"peft {version('peft')}, lm-eval {version('lm_eval')}"
)
print(
    "Log-likelihood of an answer by the loaded model's own logits, and by lm-eval of the same folder."
)
print("Guess: the same, and a model that is scored stays as it is.")
for name, (own, scored) in rows.items():
    print(f"Seen:  {name}: {own:.3f}, lm-eval {scored:.3f}")
print(
    f"       head apart before lm-eval took the model: {was_apart}; the embeddings' after: {is_tied}"
)
plain, two, adapted = ([round(value, 3) for value in pair] for pair in rows.values())
as_described = (
    plain[0] == plain[1]
    and abs(two[0] - two[1]) > 0.1
    and abs(adapted[0] - adapted[1]) > 0.1
    and round(in_memory, 3) == adapted[0]
    and was_apart
    and is_tied
)
print("As described." if as_described else "CHANGED: not as described.")
sys.exit(0 if as_described else 1)
PYTHON
status=0
OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 "$folder/venv/bin/python" -W ignore "$folder/check.py" "$folder" ||
    status=1
exit "$status"
