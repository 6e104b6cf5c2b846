"""Prompts as a model's chat template writes them: the same text in training and in evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import patch

from lwft_bench.data.conversations import Message
from lwft_bench.data.examples import Example, Item, TaskData
from lwft_bench.data.overlap import asked
from lwft_bench.schema.errors import UserError, text_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class _Day(datetime):
    """A clock that stands still. transformers hands templates `strftime_now`, which asks it, and takes
    no function of ours in its place: what templates are given it makes plain data of.
    """

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return cls(2024, 7, 26, tzinfo=tz)


_DATE = "26 Jul 2024"
"""What Llama's templates say where they know no other: today's would be another prompt tomorrow."""
_QUESTION, _REPLY = "How many lwft?", "Twelve lwft."
"""What a template is tried with: texts that none has of its own."""


@dataclass(frozen=True, slots=True)
class Conversation(Example):
    """An example whose prompt is several messages, for those who write them by a template."""

    messages: tuple[Message, ...] = ()


class ChatTemplate:
    """A tokenizer's template. Prompts become the user's message, targets and choices the reply.

    A prompt ends where the reply begins, and without a beginning-of-sequence token if the tokenizer
    puts one before every text. What all but assistants say must stand in it as they say it.

    Raises:
        UserError: the tokenizer has none, it fails, loses or changes texts, or does not write what
            stands before a reply where one is to follow.
    """

    end_of_turn: str
    """What ends a reply before the end-of-sequence token, if anything does: replies are trained with
    it and stopped by it."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, options: Mapping[str, Any] | None = None
    ) -> None:
        """options: the task's `chat_template_options`."""
        if not tokenizer.chat_template:
            raise UserError(
                f"the tokenizer {tokenizer.name_or_path!r} has no chat template",
                "leave out `chat_template` of the task, or name a tokenizer that has one under the "
                "model's `tokenizer`",
            )
        self._tokenizer = tokenizer
        self.options = dict(options or {})
        self._name = f"the chat template of the tokenizer {tokenizer.name_or_path!r}"
        bos = tokenizer.bos_token_id
        begins_by_itself = bos is not None and tokenizer("").input_ids[:1] == [bos]
        self._beginning = tokenizer.bos_token if begins_by_itself else ""
        # Templates of models that see images, too, take content in parts.
        self._in_parts = False
        if _QUESTION not in self._written((("user", _QUESTION),)):
            self._in_parts = self._reads_parts()
        self.end_of_turn = self._end_of_turn()

    def _reads_parts(self) -> bool:
        self._in_parts = True
        return _QUESTION in self._written((("user", _QUESTION),))

    def _end_of_turn(self) -> str:
        said = (("user", _QUESTION), ("assistant", _REPLY))
        prompt = self._prompt(said[:1])
        before, reply, ending = self._written(said, reply_follows=False).partition(_REPLY)
        if not reply:
            raise UserError(f"{self._name} does not write replies as they are given")
        asked_alone = self._written(said[:1], reply_follows=False)
        opening = before.removeprefix(prompt) if before.startswith(prompt) else ""
        if prompt == asked_alone and opening.strip():
            raise UserError(
                f"{self._name} writes {opening.strip()!r} before a reply, and not where one is to "
                "follow (add_generation_prompt): a model would begin elsewhere than it was trained to",
                "mend the template, or leave out `chat_template` of the task",
            )
        if self._tokenizer.eos_token is not None:
            ending = ending.partition(self._tokenizer.eos_token)[0]
        return ending.strip()

    def data(self, data: TaskData) -> TaskData:
        return replace(
            data,
            train=[self.example(example) for example in data.train],
            validation=[self.example(example) for example in data.validation],
        )

    def example(self, example: Example) -> Example:
        messages = example.messages if isinstance(example, Conversation) else ()
        return Example(
            self._prompt(messages or (("user", example.prompt),)),
            example.target.lstrip() + self.end_of_turn,
            asked(example),
        )

    def item(self, item: Item) -> Item:
        return replace(
            item,
            prompt=self._prompt((("user", item.prompt),)),
            answer=item.answer.lstrip(),
            choices=tuple(choice.lstrip() for choice in item.choices),
            question=asked(item),
        )

    def _prompt(self, messages: Sequence[Message]) -> str:
        """The messages, up to where the reply begins."""
        text = self._written(messages)
        for role, content in messages:
            # What a model thought in earlier replies many templates leave out on purpose.
            if role != "assistant" and content.strip() not in text:
                raise UserError(
                    f"{self._name} loses or changes what a {role} says: {_beginning_of(content)!r} does "
                    f"not stand in {_beginning_of(text)!r}",
                    "leave out `chat_template` of the task, or name another tokenizer under the "
                    "model's `tokenizer`",
                )
        return text

    def _written(self, messages: Sequence[Message], *, reply_follows: bool = True) -> str:
        from transformers.utils import chat_template_utils

        said: Any = [
            {"role": role, "content": self._content(content)} for role, content in messages
        ]
        fixed: dict[str, Any] = {"date_string": _DATE}
        try:
            with patch.object(chat_template_utils, "datetime", _Day):
                text = self._tokenizer.apply_chat_template(
                    said,
                    tokenize=False,
                    add_generation_prompt=reply_follows,
                    **(fixed | self.options),
                )
        # A template is a program: what it raises depends on what it does.
        except Exception as error:
            roles = ", ".join(role for role, _ in messages)
            raise UserError(
                f"{self._name} takes no conversation of {roles}: {text_of(error)}"
            ) from error
        assert isinstance(text, str)
        return text.removeprefix(self._beginning)

    def _content(self, text: str) -> str | list[dict[str, str]]:
        return [{"type": "text", "text": text}] if self._in_parts else text


def _beginning_of(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}..."
