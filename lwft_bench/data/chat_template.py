"""Prompts as a model's chat template writes them: the same text in training and in evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lwft_bench.data.examples import Example, Item, TaskData
from lwft_bench.data.forms import Message
from lwft_bench.data.overlap import asked
from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_DATE = "26 Jul 2024"
"""What Llama's templates say where they know no other: today's would be another prompt tomorrow."""
_REPLY = "reply"


@dataclass(frozen=True, slots=True)
class Conversation(Example):
    """An example whose prompt is several messages, for those who write them by a template."""

    messages: tuple[Message, ...] = ()


class ChatTemplate:
    """A tokenizer's template. Prompts become the user's message, targets and choices the reply.

    A prompt ends where the reply begins, and without a beginning-of-sequence token if the tokenizer
    puts one before every text.

    Raises:
        UserError: the tokenizer has none, or the template refuses a conversation.
    """

    end_of_turn: str
    """What ends a reply before the end-of-sequence token, if anything does: replies are trained with
    it and stopped by it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if not tokenizer.chat_template:
            raise UserError(
                f"the tokenizer {tokenizer.name_or_path!r} has no chat template",
                "leave out `chat_template` of the task, or name a tokenizer that has one under the "
                "model's `tokenizer`",
            )
        self._tokenizer = tokenizer
        bos = tokenizer.bos_token_id
        begins_by_itself = bos is not None and tokenizer("").input_ids[:1] == [bos]
        self._beginning = tokenizer.bos_token if begins_by_itself else ""
        replied = self._written((("user", "question"), ("assistant", _REPLY)), reply_follows=False)
        ending = replied.rpartition(_REPLY)[2]
        if tokenizer.eos_token is not None:
            ending = ending.partition(tokenizer.eos_token)[0]
        self.end_of_turn = ending.strip()

    def data(self, data: TaskData) -> TaskData:
        return replace(
            data,
            train=[self.example(example) for example in data.train],
            validation=[self.example(example) for example in data.validation],
        )

    def example(self, example: Example) -> Example:
        messages = example.messages if isinstance(example, Conversation) else ()
        return Example(
            self._written(messages or (("user", example.prompt),)),
            example.target.lstrip() + self.end_of_turn,
            asked(example),
        )

    def item(self, item: Item) -> Item:
        return replace(
            item,
            prompt=self._written((("user", item.prompt),)),
            answer=item.answer.lstrip(),
            choices=tuple(choice.lstrip() for choice in item.choices),
            question=asked(item),
        )

    def _written(self, messages: Sequence[Message], *, reply_follows: bool = True) -> str:
        from jinja2.exceptions import TemplateError

        try:
            text = self._tokenizer.apply_chat_template(
                [{"role": role, "content": content} for role, content in messages],
                tokenize=False,
                add_generation_prompt=reply_follows,
                date_string=_DATE,
            )
        except TemplateError as error:
            roles = ", ".join(role for role, _ in messages)
            raise UserError(
                f"the chat template of the tokenizer {self._tokenizer.name_or_path!r} takes no "
                f"conversation of {roles}: {error}"
            ) from error
        assert isinstance(text, str)
        return text.removeprefix(self._beginning)
