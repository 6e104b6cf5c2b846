"""lm-eval's model whose answers CTranslate2 generates; log-likelihoods are transformers'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lm_eval.api.instance import Instance
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lwft_bench.evaluation.confirming import Answered, num_confirmed
from lwft_bench.evaluation.converted import Converted
from lwft_bench.evaluation.language_model import ModelInMemory
from lwft_bench.evaluation.stopping import Endings
from lwft_bench.schema.result import AnswerEngine


class ModelConverted(ModelInMemory):
    """Has some of the answers looked at by transformers too, and counts those that are its own.

    num_compared: Of how many answers, spread over all of them by the length of their prompts.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        batch_size: int,
        on_answer: Callable[[], None],
        *,
        generator: Converted,
        num_compared: int,
    ) -> None:
        super().__init__(model, tokenizer, batch_size, on_answer)
        self._generator = generator
        self._num_compared = num_compared
        self._num_answered = 0
        self._chosen: set[int] = set()
        self._to_compare: list[Answered] = []

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        num_greedy = sum(_num_beams(one.args[1]) == 1 for one in requests)
        self._num_answered, self._to_compare = 0, []
        self._chosen = set(places_far_apart(num_greedy, self._num_compared))
        answers = super().generate_until(requests)
        if num_greedy:
            self.rows_together = self.rows_together or "any"
            self.engine = AnswerEngine(
                name="ctranslate2",
                version=self._generator.version,
                num_compared=len(self._to_compare),
                num_equal=num_confirmed(self.model, self._to_compare, self.batch_size),
            )
        return answers

    def _model_generate(
        self, context: torch.Tensor, max_length: int, stop: list[str], **options: Any
    ) -> torch.Tensor:
        """Beam search stays with transformers."""
        if _num_beams(options) != 1:
            return super()._model_generate(context, max_length, stop, **options)
        given = options["attention_mask"].bool()
        texts = [text for text in stop if text != self.tokenizer.eos_token]
        endings = Endings(self.tokenizer, texts)
        prompts = [row[is_token].tolist() for row, is_token in zip(context, given, strict=True)]
        limit = max_length - context.shape[1]
        end = self.tokenizer.eos_token_id
        found = self._generator.generate(prompts, limit, end, endings if texts else None)
        for prompt, answer in zip(prompts, found, strict=True):
            if self._num_answered in self._chosen:
                ends = len(answer) == endings.length(answer, limit)
                self._to_compare.append(Answered(prompt, answer, ends))
            self._num_answered += 1
        longest = max(len(row) for row in found)
        padding = self.tokenizer.pad_token_id
        new = [row + [padding] * (longest - len(row)) for row in found]
        return torch.cat([context, torch.tensor(new, device=context.device)], 1)


def _num_beams(options: dict[str, Any]) -> int:
    return int(options.get("num_beams", 1))


def places_far_apart(number: int, wanted: int) -> list[int]:
    """`wanted` places of so many, as far apart as they can be; all of them where there are fewer."""
    wanted = min(number, wanted)
    return [place * number // wanted for place in range(wanted)]
