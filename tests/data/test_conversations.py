"""Conversations as people have them: nothing of what stands before an answer is lost in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lwft_bench.data.forms import FORMS, Instruction
from lwft_bench.data.json_lines import Row, RowError
from lwft_bench.data.overlap import asked, find_overlaps
from lwft_bench.data.prompts import example

ASKED = {"role": "user", "content": "How warm is it?"}
ANSWERED = {"role": "assistant", "content": "12 degrees."}


def made(form: str, **fields: Any) -> Instruction:
    return FORMS[form](Row(Path("rows.json"), 7, fields))


def test_a_system_column_is_the_first_message() -> None:
    said = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yo"}]
    found = made("chat", conversations=said, system="You are Bob.", tools="[]")
    assert found.messages == (("system", "You are Bob."), ("user", "Hi"))
    assert (found.instruction, found.output) == ("System: You are Bob.\n\nUser: Hi", "Yo")
    for nothing in (None, "", " "):
        assert made("chat", conversations=said, system=nothing) == Instruction("Hi", "Yo")


def test_earlier_turns_of_alpaca_stand_before_the_instruction() -> None:
    row = {"instruction": "And", "input": "2 + 2?", "output": "4", "answer": 4}
    found = made("alpaca", **row, system="Be brief.", history=[["1 + 1?", "2"]])
    assert found.messages == (
        ("system", "Be brief."),
        ("user", "1 + 1?"),
        ("assistant", "2"),
        ("user", "And\n\n2 + 2?"),
    )
    assert found.instruction == (
        "System: Be brief.\n\nUser: 1 + 1?\n\nAssistant: 2\n\nUser: And\n\n2 + 2?"
    )
    assert (found.input, found.output, found.answer) == ("", "4", "4")
    plain = Instruction("And", "4", "4", "2 + 2?")
    assert made("alpaca", **row, system="", history=[]) == plain
    assert made("alpaca", **row, history="of science") == plain  # a column of that name


@pytest.mark.parametrize("role", ["gpt", "chatgpt", "model", "bing", "bard", "assistant"])
def test_names_of_who_answers(role: str) -> None:
    said = [{"from": "human", "value": "Hi"}, {"from": role, "value": "Yo"}]
    assert made("chat", conversations=said) == Instruction("Hi", "Yo")


CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "warmth"}}]}
LOST = {
    "a call that is answered": ({"messages": [ASKED, CALL, ANSWERED]}, "tool_calls"),
    "a call to be learnt": ({"messages": [ASKED, CALL]}, "tool_calls"),
    "the older name": (
        {"messages": [ASKED, {**ANSWERED, "function_call": {"name": "f"}}, ANSWERED]},
        "function_call",
    ),
    "tools": ({"messages": [ASKED, ANSWERED], "tools": [{"type": "function"}]}, "tools"),
    "tools as text": ({"messages": [ASKED, ANSWERED], "tools": '[{"name": "f"}]'}, "tools"),
}


@pytest.mark.parametrize("case", LOST)
def test_what_a_text_cannot_say_is_refused(case: str) -> None:
    fields, key = LOST[case]
    with pytest.raises(RowError, match=f"rows.json:7: {key}: expected nothing"):
        made("chat", **fields)


def test_alpaca_with_tools_is_refused() -> None:
    with pytest.raises(RowError, match="rows.json:7: tools: expected nothing"):
        made("alpaca", instruction="Q", output="A", tools=[{"name": "f"}])


def test_history_that_is_no_list_of_pairs_is_refused() -> None:
    for turns in ([["1 + 1?"]], [["1 + 1?", 2]], ["1 + 1?"]):
        with pytest.raises(
            RowError, match="history: expected a list of questions with their answers"
        ):
            made("alpaca", instruction="Q", output="A", history=turns)


def test_a_last_message_that_is_not_to_be_learnt_is_refused() -> None:
    other = [{**ANSWERED, "weight": 0}, ASKED, {**ANSWERED, "weight": 1}]
    assert made("chat", messages=[ASKED, *other]).output == "12 degrees."
    with pytest.raises(
        RowError, match=r"messages.weight: expected a last message that is to be lear"
    ):
        made("chat", messages=[ASKED, *other[:1]])


def test_a_test_question_behind_a_system_message_is_found_exactly() -> None:
    """What every conversation of a set begins with is no part of the question."""
    system = {"role": "system", "content": "You are a helpful assistant that knows the weather."}
    row = made("chat", messages=[system, ASKED, ANSWERED])
    trained = [asked(example(row, "clean", chat=chat)) for chat in (False, True)]
    assert trained == ["How warm is it?"] * 2
    (found,) = find_overlaps(trained, [["How warm is it"]])
    assert set(found.training.values()) == {"exact"}


def test_what_is_asked_in_the_input_is_searched_for_too() -> None:
    """Alpaca's instruction is often the same for a whole set."""
    asked_for = "Tom has 3 apples and buys 4 more at the market. How many apples has he now?"
    only = made("alpaca", instruction="", input=asked_for, output="7")
    both = made("alpaca", instruction="Solve this.", input=asked_for, output="7")
    other = made("alpaca", instruction="Solve this.", output="7")
    trained = [asked(example(row, "clean")) for row in (only, both, other)]
    (found,) = find_overlaps(trained, [[asked_for]])
    assert found.training == {0: "exact", 1: "near"}
