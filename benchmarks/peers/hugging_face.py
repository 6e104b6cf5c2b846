"""Hugging Face's Trainer: full fine-tuning, LISA as a callback, peft's LoRA, badam's optimizer; TRL."""

from __future__ import annotations

import tempfile
import warnings
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from benchmarks.peers.setting import Setting
from benchmarks.peers.sizes import EPS, LORA, LORA_TARGETS, LR, PERIOD
from benchmarks.peers.turns import Turns

COMMON: dict[str, Any] = {
    "max_steps": 10_000,
    "learning_rate": LR,
    "adam_epsilon": EPS,
    "lr_scheduler_type": "constant",
    "max_grad_norm": 0.0,
    "weight_decay": 0.0,
    "optim": "adamw_torch_fused",
    "save_strategy": "no",
    "logging_strategy": "no",
    "report_to": [],
    "disable_tqdm": True,
    "use_cpu": not torch.cuda.is_available(),
    "dataloader_pin_memory": torch.cuda.is_available(),
    "train_sampling_strategy": "sequential",
    "bf16": False,
}
"""Of all that are made of it. A norm of 0 is no clipping."""


class AfterSteps(TrainerCallback):  # type: ignore[misc]
    """Tells of each step's end."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._turns.step_done()


class Lisa(TrainerCallback):  # type: ignore[misc]
    """LISA as LMFlow has it: every so many steps other decoder layers than before are trainable.

    The optimizer is made over all parameters and steps over those without a gradient.
    """

    def __init__(self, layers: nn.ModuleList, selections: list[list[int]]) -> None:
        self._layers, self._selections = layers, selections

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % PERIOD == 0:
            chosen = self._selections[state.global_step // PERIOD]
            for number, layer in enumerate(self._layers):
                layer.requires_grad_(number in chosen)


def run(setting: Setting, turns: Turns, what: str) -> None:
    """what: full, lisa, lora or badam."""
    model = _model(setting)
    if what == "lora":
        model = _with_lora(model)
    turns.save = lambda path: model.save_pretrained(path)
    callbacks = [AfterSteps(turns)]
    if what == "lisa":
        callbacks.append(Lisa(model.model.layers, setting.selections))
    tokenizer = AutoTokenizer.from_pretrained(setting.model)
    rows = [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": setting.labels(row)}
        for row, (ids, _) in enumerate(setting.rows)
    ]
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=setting.batch_size,
        **COMMON,
    )
    kind = WithBadam if what == "badam" else Trainer
    kind(
        model=model,
        args=arguments,
        train_dataset=rows,
        data_collator=DataCollatorForSeq2Seq(tokenizer, padding="longest"),
        callbacks=callbacks,
    ).train()


class WithBadam(Trainer):  # type: ignore[misc]
    """badam's optimizer as its README has it, around AdamW."""

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        from badam import BlockOptimizer

        named = list(self.model.named_parameters())
        base = torch.optim.AdamW(
            [p for _, p in named], lr=LR, eps=EPS, weight_decay=0.0, fused=True
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.optimizer = BlockOptimizer(
                base, named, switch_block_every=PERIOD, switch_mode="descending", verbose=0
            )
        self.optimizer.global_step = -1  # or its first block would be one step short
        return self.optimizer


def run_trl(setting: Setting, turns: Turns) -> None:
    """SFTTrainer with packing: rows of best fit, as many as come closest to the others' tokens."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    model = _model(setting)
    turns.save = lambda path: model.save_pretrained(path)
    mean = sum(setting.tokens) / len(setting.tokens)
    arguments = SFTConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=max(1, round(mean / setting.length)),
        packing=True,
        max_length=setting.length,
        gradient_checkpointing=False,
        shuffle_dataset=False,
        **COMMON,
    )
    data = Dataset.from_dict(
        {
            "input_ids": [ids for ids, _ in setting.rows],
            "labels": [setting.labels(row) for row in range(len(setting.rows))],
        }
    )
    counted = 0

    class Counting(SFTTrainer):  # type: ignore[misc]
        def training_step(self, model: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
            nonlocal counted
            counted = inputs["input_ids"].numel()  # one row without padding
            return super().training_step(model, inputs, *rest, **more)

    turns.tokens = lambda step: counted
    Counting(
        model=model,
        args=arguments,
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(setting.model),
        callbacks=[AfterSteps(turns)],
    ).train()


def _model(setting: Setting) -> Any:
    return AutoModelForCausalLM.from_pretrained(
        setting.model, attn_implementation="sdpa", dtype=torch.float32
    )


def _with_lora(model: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=LORA["r"],
        lora_alpha=LORA["alpha"],
        lora_dropout=LORA["dropout"],
        target_modules=list(LORA_TARGETS),
    )
    return get_peft_model(model, config)
