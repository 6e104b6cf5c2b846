"""The forms in which data sets write a question and its answer, made into one: `Instruction`.

The forms of commonsense sets and of SVAMP and AQuA give the very instructions of LLM-Adapters' test
files (Hu et al. 2023, arXiv 2304.01933), so that the same benchmark comes from its files or from the
original data set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lwft_bench.data.conversations import (
    CONVERSATIONS,
    Message,
    conversation,
    conversation_text,
    earlier_turns,
    said_by_users,
)
from lwft_bench.data.json_lines import Row


@dataclass(frozen=True, slots=True)
class Instruction:
    """One row.

    output: what a model is trained on; "" where the data has only the answer.
    answer: what a response is judged by; None where the data has none.
    messages: where there are several, those that the instruction is written of.
    """

    instruction: str
    output: str = ""
    answer: str | None = None
    input: str = ""
    messages: tuple[Message, ...] = ()

    @property
    def question(self) -> str:
        """What test sets are searched for: in many sets the instruction is always the same, and what is
        asked stands in the input.
        """
        asked = question_of(said_by_users(self.messages) or self.instruction)
        return "\n\n".join(part for part in (asked, self.input.strip()) if part)


_LEAD_IN = re.compile(r"^Please (?:choose the correct|answer the following)[^:]*:\s*")
_ANSWER_FORMAT = re.compile(r"\s*Answer format: \S+$")


def question_of(instruction: str) -> str:
    """An instruction without what LLM-Adapters puts around every question of a data set."""
    return _ANSWER_FORMAT.sub("", _LEAD_IN.sub("", instruction.strip()))


def alpaca(row: Row) -> Instruction:
    """`instruction`, `output`, and perhaps `input` and `answer` (LLM-Adapters' files have both), and
    `system` and `history`, which then stand before the instruction as in a conversation.

    A row that has no instruction but a conversation is read as `chat` reads it.
    """
    if "instruction" not in row.fields and any(key in row.fields for key in CONVERSATIONS):
        return chat(row)
    earlier = earlier_turns(row)
    found = Instruction(
        row.text("instruction"),
        row.text("output") if row.fields.get("output", "") is not None else "",
        row.text_or_number("answer") if row.fields.get("answer") is not None else None,
        row.text_or_nothing("input"),
    )
    if not earlier:
        return found
    asked = "\n\n".join(part for part in (found.instruction, found.input) if part.strip())
    said = (*earlier, ("user", asked))
    return replace(found, instruction=conversation_text(said), input="", messages=said)


def chat(row: Row) -> Instruction:
    """`messages` with `role` and `content`, or `conversations` with `from` and `value` (ShareGPT's),
    perhaps with a `system` text; the last one, the assistant's, is learnt.

    What stands before it is the instruction: a single message as it is, several with their roles.
    """
    before, output = conversation(row)
    return Instruction(
        conversation_text(before), output, messages=before if len(before) > 1 else ()
    )


def gsm8k(row: Row) -> Instruction:
    """GSM8K's `question` and `answer`: calculator marks (<<3+4=7>>) go, "#### 7" says it in words."""
    solution, mark, answer = row.text("answer").partition("#### ")
    if not mark:
        raise row.error("answer", 'a solution that ends with "#### "', row.fields["answer"])
    number = answer.strip().replace(",", "")
    worked = re.sub(r"<<.*?>>", "", solution).strip()
    return Instruction(row.text("question"), f"{worked}\nThe answer is {number}.", number)


def mawps(row: Row) -> Instruction:
    """MAWPS's `original_text`, `equation` and `ans`: the calculation, then the answer in words."""
    number = _short(row.number_text("ans"))
    sides = [side.strip() for side in row.text("equation").split("=")]
    worked = ""
    if len(sides) == 2 and any(side.isalpha() for side in sides):
        known = sides[sides[0].isalpha()]
        calculation = _unwrapped(re.sub(r"(\d)\.0\b", r"\1", known))
        worked = f"{calculation} = {number}. "
    return Instruction(row.text("original_text"), f"{worked}The answer is {number}.", number)


def multiarith(row: Row) -> Instruction:
    """`question` and `final_ans`."""
    number = row.number_text("final_ans")
    return Instruction(row.text("question"), f"The answer is {number}.", number)


def svamp(row: Row) -> Instruction:
    """SVAMP's `Body`, `Question` and `Answer`."""
    body = row.text("Body").strip()
    body = body if body.endswith((".", "?", "!", ",")) else f"{body}."
    number = row.number_text("Answer")
    return Instruction(f"{body} {row.text('Question')}", f"The answer is {_short(number)}.", number)


def aqua(row: Row) -> Instruction:
    """AQuA's `question`, `options`, `rationale` and `correct`."""
    options = [option.partition(")") for option in row.texts("options")]
    choices = " ".join(f"({letter}) {text}" for letter, _, text in options)
    letter = row.text("correct")
    return Instruction(
        f"{row.text('question')} Answer Choices: {choices}",
        f"{row.text('rationale').strip()}\nThe answer is ({letter}).",
        letter,
    )


def boolq(row: Row) -> Instruction:
    """BoolQ's `question` and `answer`, without the passage."""
    label = str(row.truth("answer")).lower()
    text = f"Please answer the following question with true or false, question: {row.text('question')}?"
    return Instruction(f"{text}\n\nAnswer format: true/false", _correct(label), label)


def piqa(row: Row) -> Instruction:
    """PIQA's `goal`, `sol1`, `sol2` and `label` (0 or 1)."""
    label = _label(row, "label", "solution", 2, first=0)
    return Instruction(
        f"Please choose the correct solution to the question: {row.text('goal')}\n\n"
        f"Solution1: {row.text('sol1')}\n\nSolution2: {row.text('sol2')}\n\n"
        "Answer format: solution1/solution2",
        _correct(label),
        label,
    )


def social_i_qa(row: Row) -> Instruction:
    """Social IQa's `context`, `question`, `answerA` to `answerC` and `label` (1 to 3)."""
    choices = [row.text(f"answer{letter}") for letter in "ABC"]
    label = _label(row, "label", "answer", 3, first=1)
    return _choose(f"{row.text('context')} {row.text('question')}", choices, label)


def hellaswag(row: Row) -> Instruction:
    """HellaSwag's `activity_label`, `ctx`, `endings` and `label` (0 to 3)."""
    endings = row.texts("endings")
    label = _label(row, "label", "ending", len(endings), first=0)
    text = f"{row.text('activity_label')}: {row.text('ctx')}"
    return Instruction(
        f"Please choose the correct ending to complete the given sentence: {text}\n\n"
        f"{_numbered('Ending', endings)}\n\nAnswer format: {_format('ending', len(endings))}",
        _correct(label),
        label,
    )


def winogrande(row: Row) -> Instruction:
    """WinoGrande's `sentence`, `option1`, `option2` and `answer` (1 or 2)."""
    label = _label(row, "answer", "option", 2, first=1)
    return Instruction(
        "Please choose the correct answer to fill in the blank to complete the given sentence: "
        f"{row.text('sentence')}\n\n"
        f"{_numbered('Option', [row.text('option1'), row.text('option2')])} "
        "Answer format: option1/option2",
        _correct(label),
        label,
    )


def arc(row: Row) -> Instruction:
    """ARC's `question`, `choices` (`text` and `label`) and `answerKey`."""
    return _lettered(row, "question")


def openbookqa(row: Row) -> Instruction:
    """OpenBookQA's `question_stem`, `choices` and `answerKey`."""
    return _lettered(row, "question_stem")


def _lettered(row: Row, question: str) -> Instruction:
    choices = row.inside("choices")
    letters, key = choices.texts("label"), row.text("answerKey")
    if key not in letters:
        raise row.error("answerKey", f"one of {', '.join(letters)}", key)
    label = f"answer{letters.index(key) + 1}"
    return _choose(row.text(question), choices.texts("text"), label)


def _choose(question: str, choices: Sequence[str], label: str) -> Instruction:
    return Instruction(
        f"Please choose the correct answer to the question: {question}\n\n"
        f"{_numbered('Answer', choices)}\n\nAnswer format: {_format('answer', len(choices))}",
        _correct(label),
        label,
    )


def _numbered(noun: str, texts: Sequence[str]) -> str:
    return " ".join(f"{noun}{number}: {text}" for number, text in enumerate(texts, start=1))


def _format(noun: str, count: int) -> str:
    return "/".join(f"{noun}{number}" for number in range(1, count + 1))


def _label(row: Row, field: str, noun: str, count: int, *, first: int) -> str:
    """The right choice as `<noun>1`, `<noun>2`, ...; `first` is what the data calls the first one."""
    found = row.number_text(field)
    labels = {str(number + first): f"{noun}{number + 1}" for number in range(count)}
    if found not in labels:  # test splits whose labels are hidden have "" or -1
        raise row.error(field, f"one of {', '.join(labels)}", found)
    return labels[found]


def _correct(label: str) -> str:
    return f"the correct answer is {label}"


def _unwrapped(calculation: str) -> str:
    """Without a pair of brackets around all of it."""
    inside = calculation[1:-1]
    depth = 0
    for character in inside:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            return calculation
    return inside if calculation.startswith("(") and depth == 0 else calculation


def _short(number: str) -> str:
    return number.removesuffix(".0")


FORMS: dict[str, Callable[[Row], Instruction]] = {
    "alpaca": alpaca,
    "chat": chat,
    "gsm8k": gsm8k,
    "mawps": mawps,
    "multiarith": multiarith,
    "svamp": svamp,
    "aqua": aqua,
    "boolq": boolq,
    "piqa": piqa,
    "social_i_qa": social_i_qa,
    "hellaswag": hellaswag,
    "winogrande": winogrande,
    "arc": arc,
    "openbookqa": openbookqa,
}
