"""An evaluation that leaves no traces in the process it runs in."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from unittest.mock import patch

import lm_eval.api.task
import numpy as np
import torch
from torch import nn
from tqdm import tqdm
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase


@contextmanager
def left_as_it_was(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase
) -> Iterator[PreTrainedModel]:
    """Evaluation mode, greedy decoding and silence inside; everything as before outside.

    Yields the transformers model, out of peft's wrapper (its adapters stay in place). Its own
    generation config (sampling, penalties, other end tokens) is set aside: all models decode alike.
    lm-eval gives a tokenizer without padding token one, and draws a progress bar for each task.
    """
    inner = model if isinstance(model, PreTrainedModel) else model.get_base_model()  # type: ignore[operator]
    modes = [(module, module.training) for module in model.modules()]
    python_state, numpy_state = random.getstate(), np.random.get_state()
    padding = tokenizer.pad_token
    log = logging.getLogger("lm_eval")
    level = log.level
    greedy = GenerationConfig(eos_token_id=tokenizer.eos_token_id, do_sample=False)
    device = inner.device
    with ExitStack() as stack:
        stack.enter_context(patch.object(lm_eval.api.task, "tqdm", partial(tqdm, disable=True)))
        stack.enter_context(patch.object(inner, "generation_config", greedy))
        stack.enter_context(
            torch.random.fork_rng([] if device.type == "cpu" else [device], device_type=device.type)
        )
        log.setLevel(logging.ERROR)
        model.eval()
        try:
            yield inner
        finally:
            for module, training in modes:
                module.training = training
            tokenizer.pad_token = padding
            log.setLevel(level)
            random.setstate(python_state)
            np.random.set_state(numpy_state)
