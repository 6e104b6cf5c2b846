"""Makes the embedded model: `python -m tools.embedded_model.pretrain --out DIR`.

Writes tokenizer, model and `pretraining.csv` (step, learning rate, loss, tokens per second). The
result is a function of the arguments, the thread count and the versions of torch and transformers.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tools.embedded_model.corpus import documents

PAD, EOS = "<pad>", "<eos>"
CONTEXT = 256
ROW_LENGTH = 128
ROWS_PER_STEP = 16
PEAK_LR = 2.5e-3
WARMUP_STEPS = 100
VOCABULARY_DOCUMENTS = 20_000
LOG_EVERY = 50
CHECKPOINT_EVERY = 200


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The corpus's words as whole tokens, digits one by one, anything else byte by byte.

    A token may begin with one space. With no merges and `ignore_merges`, a piece of text is one
    token where the vocabulary has it and its bytes where not, so every text can be encoded.
    """
    pieces = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?[A-Za-z]+| ?\d| ?[^\sA-Za-z\d]"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    counts = Counter(
        piece
        for document in islice(documents(seed=0), VOCABULARY_DOCUMENTS)
        for piece, _ in pieces.pre_tokenize_str(document)
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = sorted(set(counts) - set(alphabet))
    vocabulary = {token: index for index, token in enumerate([PAD, EOS, *alphabet, *words])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pieces
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        padding_side="left",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=352,
            num_hidden_layers=8,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            dtype="float32",
        )
    )


def batches(tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[torch.Tensor]:
    """Token ids [ROWS_PER_STEP, ROW_LENGTH]; documents are packed and each ends with EOS.

    Every row begins with a document, as prompts do; what does not fit of its last one is dropped.
    """
    stream = documents(seed)
    eos = tokenizer.eos_token_id
    rows: list[list[int]] = []
    row: list[int] = []
    while True:
        for ids in tokenizer(list(islice(stream, 1000)))["input_ids"]:
            row += [*ids, eos]
            if len(row) >= ROW_LENGTH:
                rows.append(row[:ROW_LENGTH])
                row = []
            if len(rows) == ROWS_PER_STEP:
                yield torch.tensor(rows)
                rows = []


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    warmup = min(WARMUP_STEPS, steps)
    if step < warmup:
        return PEAK_LR * (step + 1) / warmup
    return PEAK_LR * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def build_optimizer(model: LlamaForCausalLM) -> torch.optim.Optimizer:
    """AdamW with weight decay on the matrices alone; the learning rate is set at every step."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    gains = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.05}, {"params": gains, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
        fused=True,
    )


def train_step(
    model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, ids: torch.Tensor, lr: float
) -> float:
    """One update on the rows `ids`; returns the mean loss a token, in nats."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    logits = model(input_ids=ids, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def pretrain(out: Path, steps: int, seed: int) -> None:
    """Train for `steps` optimizer steps and write everything to the folder `out`.

    An interrupted run with the same arguments goes on from its last checkpoint, to the same result.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(out)
    model = build_model(tokenizer, seed)
    optimizer = build_optimizer(model)
    first_step = 0
    log: list[tuple[str, ...]] = [("step", "lr", "loss", "tokens_per_second")]
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first_step, log = state["step"], state["log"]

    # Seed 0 is the text that the vocabulary was counted on.
    stream = islice(batches(tokenizer, seed + 1), first_step, steps)
    losses: list[float] = []
    started = time.perf_counter()
    for step, ids in enumerate(stream, start=first_step + 1):
        lr = learning_rate(step - 1, steps)
        losses.append(train_step(model, optimizer, ids, lr))
        if step % LOG_EVERY == 0 or step == steps:
            speed = len(losses) * ids.numel() / (time.perf_counter() - started)
            mean_loss = sum(losses) / len(losses)
            print(f"step {step}/{steps}  loss {mean_loss:.4f}  {speed:.0f} tokens/s", flush=True)
            log.append((str(step), f"{lr:.3g}", f"{mean_loss:.4f}", f"{speed:.0f}"))
            losses = []
        if step % CHECKPOINT_EVERY == 0:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state | {"step": step, "log": log}, out / "checkpoint.new")
            (out / "checkpoint.new").replace(checkpoint)
        if not losses:
            started = time.perf_counter()

    model.save_pretrained(out)
    with open(out / "pretraining.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(log)
    checkpoint.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--steps", type=int, default=3600, help="optimizer steps of 2048 tokens")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    pretrain(arguments.out, arguments.steps, arguments.seed)


if __name__ == "__main__":
    main()
