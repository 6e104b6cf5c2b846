"""torchtune's model, collation and loss, in the steps of its recipe for full fine-tuning on one device.

The recipe itself takes its model, tokenizer and data from files of its own kinds.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader
from torchtune import training
from torchtune.data import padded_collate_sft
from torchtune.models.convert_weights import hf_to_tune, tune_to_hf
from torchtune.models.llama2 import llama2
from torchtune.modules.loss import CEWithChunkedOutputLoss

from benchmarks.peers.bare_loop import weights
from benchmarks.peers.setting import Setting
from benchmarks.peers.sizes import EPS, LR
from benchmarks.peers.turns import Turns


def run(setting: Setting, turns: Turns) -> None:
    """As `recipes/full_finetune_single_device.py`, its logging left out."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = _config(setting.model)
    heads: dict[str, int] = {
        "num_heads": config.num_attention_heads,
        "num_kv_heads": config.num_key_value_heads,
        "dim": config.hidden_size,
    }
    model = llama2(
        vocab_size=config.vocab_size,
        num_layers=config.num_hidden_layers,
        num_heads=heads["num_heads"],
        num_kv_heads=heads["num_kv_heads"],
        embed_dim=config.hidden_size,
        max_seq_len=config.max_position_embeddings,
        intermediate_dim=config.intermediate_size,
        norm_eps=config.rms_norm_eps,
    )
    model.load_state_dict(hf_to_tune(weights(setting.model), **heads))
    model.to(device).train()
    loss_fn = CEWithChunkedOutputLoss()
    model.set_num_output_chunks(loss_fn.num_output_chunks)

    def save(path: Path) -> None:
        path.mkdir(parents=True)
        save_file(tune_to_hf(model.state_dict(), **heads), path / "model.safetensors")

    turns.save = save
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, eps=EPS, weight_decay=0.0, fused=True)
    rows: Any = [
        {"tokens": ids, "labels": setting.labels(row)} for row, (ids, _) in enumerate(setting.rows)
    ]
    collate = partial(padded_collate_sft, padding_idx=0, ignore_idx=loss_fn.ignore_index)
    for batch in DataLoader(rows, batch_size=setting.batch_size, collate_fn=collate):
        labels = batch.pop("labels").to(device)
        number = (labels != loss_fn.ignore_index).sum()
        logits = model(batch["tokens"].to(device))
        beyond = torch.full((len(labels), 1), loss_fn.ignore_index, device=device)
        loss = loss_fn(logits, torch.hstack((labels[..., 1:], beyond))) * number
        del logits
        loss.backward()
        training.scale_grads(model, 1 / number)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        turns.step_done()


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder)
