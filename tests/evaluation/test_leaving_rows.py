"""Rows that leave their batch as they end are answered as transformers' own loop answers them."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from transformers import StoppingCriteria, StoppingCriteriaList

from lwft_bench.evaluation.leaving_rows import generate_leaving
from lwft_bench.evaluation.left_padding import _alike, rows_may_leave
from lwft_bench.evaluation.roomy_cache import LONG
from lwft_bench.models.loading import load_model
from lwft_bench.schema.cell import ModelConfig
from tests.training.tiny import LLAMA

JAMBA = {
    "model_type": "jamba",
    "vocab_size": 48,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "attn_layer_period": 2,
    "attn_layer_offset": 1,
    "expert_layer_period": 2,
    "num_experts": 2,
    "mamba_d_state": 4,
    "mamba_dt_rank": 4,
    "use_mamba_kernels": False,
}
GEMMA = {
    "model_type": "gemma3_text",
    "vocab_size": 48,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "sliding_window": 8,
    "layer_types": ["sliding_attention", "full_attention"],
}
NEW = 12
PADDING = 0


def model_of(config: dict[str, Any]) -> Any:
    return load_model(
        ModelConfig(name="x", config=config), dtype=torch.float32, attention="sdpa", seed=0
    ).eval()


class EndsBy(StoppingCriteria):
    """Row k ends after ends[k] tokens, and stays ended."""

    def __init__(self, ends: list[int], prompt: int) -> None:
        self.ends, self.prompt = torch.tensor(ends), prompt

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.BoolTensor:
        return input_ids.shape[1] - self.prompt >= self.ends  # type: ignore[return-value]


def answers(model: Any, ends: list[int], **options: Any) -> list[list[int]]:
    """Each row's answer up to where it ended."""
    draw = torch.Generator().manual_seed(1)
    lengths = [3 + 2 * (row % 4) for row in range(len(ends))]
    prompts = [torch.randint(2, 48, (n,), generator=draw) for n in lengths]
    longest = max(lengths)
    rows = torch.full((len(ends), longest), PADDING)
    for row, prompt in zip(rows, prompts, strict=True):
        row[longest - len(prompt) :] = prompt
    found = model.generate(
        input_ids=rows,
        attention_mask=(torch.arange(longest) >= longest - torch.tensor(lengths)[:, None]).long(),
        max_new_tokens=NEW,
        do_sample=False,
        pad_token_id=PADDING,
        stopping_criteria=StoppingCriteriaList([EndsBy(ends, longest)]),
        **options,
    )
    assert torch.equal(found[:, :longest], rows)
    return [row[:end].tolist() for row, end in zip(found[:, longest:], ends, strict=True)]


ENDS = [
    [1, 1, 1, 1],
    [5, 1, 9, 2, 7, 3, NEW, 4],
    [NEW, 1, 1, 1, 1, 1, 1, NEW],
    [3],
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
]


@pytest.mark.parametrize("long", [1, 13, LONG])
@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("config", [LLAMA, GEMMA], ids=["llama", "sliding window"])
def test_answers_are_those_of_rows_that_stay(
    config: dict[str, Any], ends: list[int], long: int
) -> None:
    model, loop = model_of(config), partial(generate_leaving, long=long)
    assert answers(model, ends) == answers(model, ends, custom_generate=loop)


def test_an_end_of_sequence_token_ends_a_row() -> None:
    model, ends = model_of(LLAMA), [NEW] * 4
    end = answers(model, ends)[2][3]
    stays = answers(model, ends, eos_token_id=end)
    assert stays[2][4:] == [PADDING] * (NEW - 4)
    assert answers(model, ends, custom_generate=generate_leaving, eos_token_id=end) == stays


def test_rows_that_ended_are_not_computed() -> None:
    model, sizes = model_of(LLAMA), []
    model.get_input_embeddings().register_forward_hook(
        lambda module, given, made: sizes.append(len(given[0]))
    )
    answers(model, [1, 1, 1, 3, 3, 5, 5, 8], custom_generate=generate_leaving)
    assert sizes == [8, 5, 5, 3, 3, 1, 1, 1]


@pytest.mark.parametrize("long", [1, LONG])
@pytest.mark.parametrize(
    ("config", "may"),
    [(LLAMA, True), (GEMMA, True), (JAMBA, False)],
    ids=["llama", "sliding window", "state space"],
)
def test_which_models_rows_may_leave(config: dict[str, Any], may: bool, long: int) -> None:
    """transformers' caches of state spaces (5.23) cannot be taken apart by rows."""
    assert rows_may_leave(model_of(config), PADDING, partial(generate_leaving, long=long)) is may


def test_a_model_whose_other_rows_change_keeps_them() -> None:
    """A loop that leaves the wrong rows is noticed."""

    def wrong(model: Any, input_ids: torch.Tensor, logits_processor: Any, stopping_criteria: Any,
              generation_config: Any, **inputs: Any) -> torch.Tensor:  # fmt: skip
        inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])
        return generate_leaving(
            model, input_ids, logits_processor, stopping_criteria, generation_config, **inputs
        )

    assert not rows_may_leave(model_of(LLAMA), PADDING, wrong)


@pytest.mark.parametrize(("dtype", "alike"), [(torch.float32, False), (torch.bfloat16, True)])
def test_rounding_is_that_of_the_models_dtype(dtype: torch.dtype, alike: bool) -> None:
    """transformers hands logits of 16-bit models over in float32."""
    model = nn.Linear(2, 2).to(dtype)
    logits = torch.randn(100, generator=torch.Generator().manual_seed(0))
    near = logits + 0.02 * logits.std()
    assert _alike(model, [(logits, 3)], [(near, 3)]) is alike
