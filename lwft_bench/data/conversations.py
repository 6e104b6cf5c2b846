"""Conversations as data sets write them: OpenAI's and ShareGPT's columns, and Alpaca's earlier turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lwft_bench.data.json_lines import Row

Message = tuple[str, str]
"""Role and content."""

CONVERSATIONS = ("messages", "conversations")
"""Columns of conversations: OpenAI's and ShareGPT's name for them."""

_SHAREGPT_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "model": "assistant",
}
_TOOLS = ("tools", "functions")
"""Columns of tools that may be called."""
_CALLS = ("tool_calls", "function_call")
"""Fields of a message that calls them, beside its content."""
_NONE_GIVEN: tuple[Any, ...] = (None, "", [], {}, "[]", "{}", "null")


def conversation(row: Row) -> tuple[tuple[Message, ...], str]:
    """The messages up to the last one, a `system` column first, and the last, the assistant's.

    Raises:
        RowError: It does not end so, or says what a text cannot: tools and their calls, pictures.
    """
    field = next((key for key in CONVERSATIONS if key in row.fields), CONVERSATIONS[0])
    given = row.each_inside(field)
    _refuse_tools(row, given)
    messages = [_message(each) for each in given]
    if len(messages) < 2 or messages[-1][0] != "assistant":
        roles = [role for role, _ in messages]
        raise row.error(field, "a conversation that ends with the assistant's message", roles)
    if given[-1].fields.get("weight") == 0:
        raise given[-1].error(f"{field}.weight", "a last message that is to be learnt", 0)
    *before, (_, output) = messages
    return (*_system(row), *before), output


def earlier_turns(row: Row) -> tuple[Message, ...]:
    """What stands before an instruction: a `system` text, and the turns of `history`, which is a list
    of questions with their answers.
    """
    _refuse_tools(row)
    turns = row.fields.get("history")
    if not isinstance(turns, list):
        return _system(row)
    for turn in turns:
        if not (
            isinstance(turn, list) and len(turn) == 2 and all(isinstance(t, str) for t in turn)
        ):
            raise row.error("history", "a list of questions with their answers", turn)
    said = (
        [("user", question) for question, _ in turns],
        [("assistant", answer) for _, answer in turns],
    )
    return (*_system(row), *(message for turn in zip(*said, strict=True) for message in turn))


def conversation_text(messages: Sequence[Message]) -> str:
    """A single message as it is, several with their roles."""
    if len(messages) == 1:
        return messages[0][1]
    return "\n\n".join(f"{role.capitalize()}: {content}" for role, content in messages)


def said_by_users(messages: Sequence[Message]) -> str:
    """What users say in it: what stands in front of every conversation of a set is no question."""
    return "\n\n".join(content for role, content in messages if role == "user")


def _system(row: Row) -> tuple[Message, ...]:
    text = row.text_or_nothing("system")
    return (("system", text),) if text.strip() else ()


def _refuse_tools(row: Row, messages: Sequence[Row] = ()) -> None:
    """Without them a model would learn to answer from what it was never told."""
    named = [(row, key) for key in _TOOLS] + [(each, key) for each in messages for key in _CALLS]
    for holder, key in named:
        if (found := holder.fields.get(key)) not in _NONE_GIVEN:
            raise holder.error(key, "nothing, as prompts have no place for tools and calls", found)


def _message(each: Row) -> Message:
    """ShareGPT's names of the roles are those of chat pages; content may come in parts."""
    if "from" in each.fields and "role" not in each.fields:
        role = each.text("from")
        return _SHAREGPT_ROLES.get(role, role), _content(each, "value")
    return each.text("role"), _content(each, "content")


def _content(each: Row, field: str) -> str:
    value = each.fields.get(field)
    if value is None:
        return "" if field in each.fields else each.text(field)
    if not isinstance(value, list):
        return each.text(field)
    parts = each.each_inside(field)
    for part in parts:
        if part.fields.get("type", "text") != "text":
            raise part.error(f"{field}.type", "text alone", part.fields["type"])
    return "".join(part.text("text") for part in parts)
