"""A copy of the model in memory that CTranslate2 generates with.

CTranslate2 has kernels and a decoding loop of its own. Whether it computes this model's function is
looked at before it answers anything, since a converter may know a family's older form only.
"""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import logging

from lwft_bench.evaluation.left_padding import angles_follow_the_longest, rounding
from lwft_bench.evaluation.not_finite import NotFinite
from lwft_bench.evaluation.stopping import Endings
from lwft_bench.plugins.extras import import_extra
from lwft_bench.schema.errors import UserError

_LENGTHS = (5, 128)
"""Tokens of the texts whose logits are compared, as far as the model has room: in a short one angles of
slow rotations are next to none."""
_TYPES = {
    torch.float32: "float32",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
}
INSTEAD = "Set `evaluation.engine: transformers`."


class Converted:
    """Generates greedily for several prompts at once. version: of CTranslate2."""

    def __init__(self, generator: Any, version: str) -> None:
        self._generator = generator
        self.version = version

    def generate(
        self, prompts: Sequence[Sequence[int]], num_tokens: int, end: int, endings: Endings | None
    ) -> list[list[int]]:
        """The tokens after each prompt, at most `num_tokens`.

        Args:
            end: The token that ends any row; it is the row's last one.
            endings: Texts that end one; None: no text does.

        Raises:
            NotFinite: A logit was NaN.
        """
        # Beside a prompt of one token, the results of others would begin with tokens of their prompts.
        single = [place for place, prompt in enumerate(prompts) if len(prompt) == 1]
        if 0 < len(single) < len(prompts):
            longer = [place for place, prompt in enumerate(prompts) if len(prompt) > 1]
            answers: list[list[int]] = [[] for _ in prompts]
            for places in (single, longer):
                its = self.generate([prompts[k] for k in places], num_tokens, end, endings)
                for place, answer in zip(places, its, strict=True):
                    answers[place] = answer
            return answers
        # Asking at every token takes a tenth of the time.
        tokens = None if endings is None else endings.single
        watch = None if endings is None or tokens is not None else _Watch(len(prompts), endings)
        found = self._generator.generate_batch(
            [[str(token) for token in prompt] for prompt in prompts],
            max_length=num_tokens,
            include_prompt_in_result=False,
            end_token=[end, *(tokens or ())],
            return_end_token=True,
            return_scores=True,
            callback=watch and watch.has_ended,
        )
        if not np.isfinite([one.scores[0] for one in found]).all():
            raise NotFinite("a logit is NaN")
        return [one.sequences_ids[0] for one in found]

    def logits(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """[rows, tokens of the longest, vocabulary] in float32 on the host; rows begin at the left."""
        ctranslate2 = import_extra("ctranslate2", "ctranslate2")
        found = self._generator.forward_batch([list(row) for row in rows])
        found = found.to(ctranslate2.DataType.float32).to_device(ctranslate2.Device.cpu)
        return torch.from_numpy(np.array(found))


class _Watch:
    """What the rows of a batch have generated, and whether that ends them."""

    def __init__(self, num_rows: int, endings: Endings) -> None:
        self._rows: list[list[int]] = [[] for _ in range(num_rows)]
        self._endings = endings
        self._may_end = endings.may_end.tolist()

    def has_ended(self, step: Any) -> bool:
        """step: CTranslate2's, of one new token of one row."""
        row, token = self._rows[step.batch_id], step.token_id
        row.append(token)
        if not self._may_end[min(token, len(self._may_end) - 1)]:
            return False
        return self._endings.end(row[-self._endings.num_tokens :])


def why_not_converted(model: Any, dtype: torch.dtype, device: torch.device) -> str | None:
    """What stands against converting a model, told without its weights; None: nothing is known to.

    Args:
        dtype: That the weights have when it answers.
        device: That it is on then.

    Raises:
        UserError: CTranslate2 cannot be imported.
    """
    ctranslate2 = import_extra("ctranslate2", "ctranslate2")
    if device.type not in ("cpu", "cuda"):
        return f"it computes on a CPU or a CUDA device, and the cell's is {device}"
    if device.type == "cuda" and not ctranslate2.get_cuda_device_count():
        return "its build sees no CUDA device, and the cell's is one"
    wanted = _TYPES.get(dtype, str(dtype))
    if wanted not in ctranslate2.get_supported_compute_types(device.type):
        return f"it does not compute in {wanted} on {device.type}"
    if getattr(model.config.get_text_config(), "sliding_window", None):
        return "the model has sliding windows, which it may not keep to in texts that are longer"
    if angles_follow_the_longest(model):
        return "a longer text changes all rotary angles"
    if odd := [name for name, one in model.named_parameters() if not one.is_floating_point()]:
        return f"weights are quantised: {odd[0]}"
    return None


def converted_copy(model: nn.Module) -> Converted:
    """A converted copy of a model, or of one wrapped by peft, whose adapters it has in its weights.

    The copy is written to a temporary folder, of the weights' size, and read from there.

    Raises:
        UserError: CTranslate2 cannot convert the model, or the copy's logits are others.
        NotFinite: The model's logits are.
    """
    device, dtype = next(model.parameters()).device, next(model.parameters()).dtype
    if problem := why_not_converted(model, dtype, device):
        raise UserError(f"evaluation.engine: ctranslate2: {problem}", INSTEAD)
    ctranslate2 = import_extra("ctranslate2", "ctranslate2")
    try:
        with tempfile.TemporaryDirectory(prefix="lwft-bench-") as folder:
            generator = ctranslate2.Generator(
                _written(_plain(model), Path(folder)),
                device=device.type,
                device_index=device.index or 0,
                compute_type=_TYPES[dtype],
                intra_threads=torch.get_num_threads(),
            )
        found = Converted(generator, ctranslate2.__version__)
        difference = _difference(model, found)
    except (NotFinite, UserError):
        raise
    except OSError as error:
        raise UserError(
            f"evaluation.engine: ctranslate2: its copy of the model cannot be written to {_temporary()}"
            f": {error.strerror or error}",
            f"Set TMPDIR to a folder with room for the model's weights. {INSTEAD}",
        ) from error
    except Exception as error:  # whatever its converters and kernels raise
        raise UserError(
            "evaluation.engine: ctranslate2 cannot take the model: "
            f"{type(error).__name__}: {error}",
            INSTEAD,
        ) from error
    if not difference <= rounding(model):
        raise UserError(
            "evaluation.engine: ctranslate2 computes something else than this model: logits differ by "
            f"up to {difference:.2g} of their standard deviation",
            INSTEAD,
        )
    return found


def with_noise(model: nn.Module) -> nn.Module:
    """A copy whose logits hang on all of its weights: each gets noise that keeps activations' size."""
    noisy = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in noisy.parameters():
            noise = torch.randn_like(parameter)
            parameter.add_(noise * (parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.1))
    return noisy


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:
        return "any temporary folder"


def _plain(model: nn.Module) -> PreTrainedModel:
    """The model without adapters, which are in its weights. Weights they do not change are shared.

    Converting takes the model apart.
    """
    shared = {
        id(one): nn.Parameter(one.detach(), requires_grad=False) for one in model.parameters()
    }
    taken: Any = copy.deepcopy(model, shared)
    if isinstance(taken, PreTrainedModel):
        return taken
    # Not in place: the weights are the model's own.
    return taken.merge_and_unload(safe_merge=True)


def _written(model: Any, folder: Path) -> str:
    transformers = import_extra("ctranslate2.converters.transformers", "ctranslate2")
    rows = model.get_input_embeddings().weight.shape[0]

    class InMemory(transformers.TransformersConverter):  # type: ignore[name-defined]
        def load_model(self, *arguments: Any, **options: Any) -> Any:
            return model

        def load_tokenizer(self, *arguments: Any, **options: Any) -> _Numbers:
            return _Numbers(rows)

    model.config.save_pretrained(folder)
    target = folder / "converted"
    told = logging.get_verbosity()
    logging.set_verbosity_error()  # it asks configs for what has other names now
    try:
        # It collects garbage after each layer, which takes long beside much that is none.
        with patch("gc.collect"):
            InMemory(str(folder)).convert(str(target))
    finally:
        logging.set_verbosity(told)
    return str(target)


class _Numbers:
    """A tokenizer whose tokens are their ids: CTranslate2 takes prompts as texts of tokens."""

    bos_token = eos_token = pad_token = unk_token = "0"
    chat_template = None

    def __init__(self, size: int) -> None:
        self._size = size

    def get_vocab(self) -> dict[str, int]:
        return {str(token): token for token in range(self._size)}


def _difference(model: Any, found: Converted) -> float:
    """The largest one of logits, in standard deviations of the model's."""
    size = model.get_input_embeddings().weight.shape[0]
    room = getattr(model.config.get_text_config(), "max_position_embeddings", None) or max(_LENGTHS)
    rows = [[(number * 7 + 5) % size for number in range(min(room, n))] for n in _LENGTHS]
    largest = 0.0
    for row, theirs in zip(rows, found.logits(rows), strict=True):
        with torch.inference_mode():
            own = model(input_ids=torch.tensor([row], device=model.device)).logits[0].float().cpu()
        if not own.isfinite().all():
            raise NotFinite("a logit is not finite")
        difference = (theirs[: len(row)] - own).abs().max() / own.std()
        largest = max(largest, float(difference.nan_to_num(math.inf)))
    return largest
