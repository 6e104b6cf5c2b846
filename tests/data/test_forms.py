from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lwft_bench.data.forms import FORMS, Instruction, question_of
from lwft_bench.data.json_lines import Row, RowError


def made(form: str, **fields: Any) -> Instruction:
    return FORMS[form](Row(Path("rows.json"), 7, fields))


def test_gsm8k_loses_its_marks_and_says_its_answer() -> None:
    answer = "She sold 48/2 = <<48/2=24>>24.\nIn all <<24*50=1200>>1200.\n#### 1,200"
    found = made("gsm8k", question="How many?", answer=answer)
    assert found.output == "She sold 48/2 = 24.\nIn all 1200.\nThe answer is 1200."
    assert found.answer == "1200"
    with pytest.raises(RowError, match=r"rows.json:7: answer: expected a solution that ends"):
        made("gsm8k", question="How many?", answer="7")


@pytest.mark.parametrize(
    ("equation", "ans", "output"),
    [
        ("X=(49.0-44.0)", 5.0, "49-44 = 5. The answer is 5."),
        ("X=((22.0-14.0)/4.0)", 2.0, "(22-14)/4 = 2. The answer is 2."),
        ("X=(1.0+2.0)*(3.0+4.0)", 21.0, "(1+2)*(3+4) = 21. The answer is 21."),
        ("x=3*6", 18, "3*6 = 18. The answer is 18."),
        ("10.5-x=4", 6.5, "The answer is 6.5."),
    ],
)
def test_mawps_says_the_calculation(equation: str, ans: float, output: str) -> None:
    assert made("mawps", original_text="Q", equation=equation, ans=ans).output == output


def test_chat_learns_the_last_message() -> None:
    user = {"role": "user", "content": "How?"}
    assistant = {"role": "assistant", "content": "So."}
    assert made("chat", messages=[user, assistant]) == Instruction("How?", "So.")
    system = {"role": "system", "content": "Be brief."}
    longer = made("chat", messages=[system, user, assistant])
    said = (("system", "Be brief."), ("user", "How?"))
    assert longer == Instruction("System: Be brief.\n\nUser: How?", "So.", messages=said)
    with pytest.raises(RowError, match="ends with the assistant's message"):
        made("chat", messages=[assistant, user])


def test_choices_are_numbered() -> None:
    choices = {"text": ["a stone", "a leaf"], "label": ["A", "B"]}
    found = made("arc", question="What grows?", choices=choices, answerKey="B")
    assert found.instruction == (
        "Please choose the correct answer to the question: What grows?\n\n"
        "Answer1: a stone Answer2: a leaf\n\nAnswer format: answer1/answer2"
    )
    assert (found.answer, found.output) == ("answer2", "the correct answer is answer2")
    assert question_of(found.instruction) == "What grows?\n\nAnswer1: a stone Answer2: a leaf"


def test_hidden_labels_are_an_error() -> None:
    fields = {"activity_label": "a", "ctx": "b", "endings": ["c", "d", "e", "f"]}
    assert made("hellaswag", **fields, label="3").answer == "ending4"
    with pytest.raises(RowError, match="label: expected one of 0, 1, 2, 3"):
        made("hellaswag", **fields, label="")
