"""lm-eval's model whose answers CTranslate2 generates; log-likelihoods are transformers'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lm_eval.api.instance import Instance
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lwft_bench.evaluation.converted import Converted
from lwft_bench.evaluation.language_model import ModelInMemory
from lwft_bench.evaluation.stopping import Endings
from lwft_bench.schema.result import AnswerEngine


class ModelConverted(ModelInMemory):
    """Has some of the answers given by transformers too, and counts those that are equal.

    num_compared: Of how many answers, spread over all of them.
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

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        answers = super().generate_until(requests)
        greedy = [place for place, one in enumerate(requests) if _num_beams(one.args[1]) == 1]
        if not greedy:
            return answers
        far_apart = places_far_apart(len(greedy), self._num_compared)
        chosen = [greedy[place] for place in far_apart]
        plain = ModelInMemory(self.model, self.tokenizer, self.batch_size, lambda: None)
        theirs = plain.generate_until([requests[place] for place in chosen]) if chosen else []
        self.rows_together = self.rows_together or plain.rows_together
        self.engine = AnswerEngine(
            name="ctranslate2",
            version=self._generator.version,
            num_compared=len(chosen),
            num_equal=sum(
                answers[place] == text for place, text in zip(chosen, theirs, strict=True)
            ),
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
        found = self._generator.generate(
            [row[is_token].tolist() for row, is_token in zip(context, given, strict=True)],
            max_length - context.shape[1],
            self.tokenizer.eos_token_id,
            Endings(self.tokenizer, texts) if texts else None,
        )
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
