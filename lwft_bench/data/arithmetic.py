"""The generated arithmetic task: six benchmarks in the shapes of the six that papers report.

| benchmark          | in the shape of | what it asks for                                          |
|--------------------|-----------------|-----------------------------------------------------------|
| `multi-step`       | MultiArith      | two operations                                            |
| `grade-school`     | GSM8K           | two or three operations, longer texts                     |
| `add-sub`          | AddSub          | one addition or subtraction                               |
| `algebra-choice`   | AQuA            | an unknown; five worked solutions to choose from          |
| `single-equation`  | SingleEq        | one of the four operations                                |
| `varied-structure` | SVAMP           | which of the numbers matter, and in which order           |

An example is "Question: ...\\nAnswer:" with the target " 3 + 4 = 7. 7 - 2 = 5. The answer is 5".
Training and test share neither wordings (`arithmetic_templates`) nor numbers: a set of numbers
belongs to one split (`split_of`). Everything is a function of the seed, in every Python process.
"""

from __future__ import annotations

import hashlib
import itertools
import operator
from collections.abc import Iterator
from random import Random

from lwft_bench.data.arithmetic_templates import TEST, TRAINING, Wording
from lwft_bench.data.examples import Example, Item
from lwft_bench.data.lexicon import CONTAINERS, PEOPLE, THINGS

BENCHMARKS = tuple(sorted(TEST))
MULTIPLE_CHOICE = "algebra-choice"
NUM_CHOICES = 5
MAX_RESULT = 99
MAX_NUMBER = 60
MAX_FACTOR = 12

TEST_SEED = 235_688_084
"""Drawn once, after the generator was frozen; whoever changes the generator draws another."""

OPERATIONS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.floordiv,
}

Step = tuple[str, str, str]
"""Left operand, operation, right operand; an operand is a number's or an earlier result's name."""


def training_examples(count: int, seed: int) -> list[Example]:
    """`count` examples of all six shapes, drawn with equal probability."""
    return list(itertools.islice(_examples("training", seed), count))


def validation_examples(count: int, seed: int) -> list[Example]:
    """As `training_examples`: the same wordings with numbers that no other split has."""
    return list(itertools.islice(_examples("validation", seed), count))


def benchmark_items(benchmark: str, count: int, seed: int = TEST_SEED) -> list[Item]:
    """The first `count` test items of a benchmark for this seed; no two have the same prompt."""
    rng = _rng(f"test {benchmark}", seed)
    items: dict[str, Item] = {}
    while len(items) < count:
        text, chain = _draw_wording(rng, TEST[benchmark])
        numbers = _draw_numbers(rng, text, chain, "test")
        prompt = _prompt(rng, text, numbers)
        if prompt in items:
            continue
        identifier = f"{benchmark}-{len(items)}"
        if benchmark == MULTIPLE_CHOICE:
            choices = _choices(rng, chain, numbers)
            if len(choices) == NUM_CHOICES:
                items[prompt] = Item(
                    identifier, prompt, solution(chain, numbers), choices, cluster=text
                )
        else:
            result = str(final_result(chain, numbers))
            items[prompt] = Item(identifier, prompt, result, cluster=text)
    return list(items.values())


def split_of(numbers: tuple[int, ...]) -> str:
    """The only split in which these numbers occur together: training, validation or test.

    Their order does not count, so that no test item is a training item with two numbers exchanged.
    """
    digest = hashlib.sha256(" ".join(map(str, sorted(numbers))).encode()).digest()
    return ("test", "test", "validation", *["training"] * 5)[digest[0] % 8]


def parse_chain(text: str) -> tuple[Step, ...]:
    """Reads "x + y; p - z" as (("x", "+", "y"), ("p", "-", "z"))."""
    steps = (step.split() for step in text.split(";"))
    return tuple((left, operation, right) for left, operation, right in steps)


def _evaluate(chain: tuple[Step, ...], numbers: dict[str, int]) -> list[int] | None:
    """The result of each step, or None unless all are whole numbers from 1 to MAX_RESULT."""
    values = dict(numbers)
    results = []
    for name, (left, operation, right) in zip("pqr", chain, strict=False):
        if operation == "/" and values[left] % values[right]:
            return None
        result = OPERATIONS[operation](values[left], values[right])
        if not 1 <= result <= MAX_RESULT:
            return None
        values[name] = result
        results.append(result)
    return results


def final_result(chain: tuple[Step, ...], numbers: dict[str, int]) -> int:
    """The answer, for numbers with which the chain works out."""
    results = _evaluate(chain, numbers)
    assert results is not None
    return results[-1]


def solution(chain: tuple[Step, ...], numbers: dict[str, int]) -> str:
    """The chain of equations and the answer, as a continuation of the prompt."""
    results = _evaluate(chain, numbers)
    assert results is not None
    values = numbers | dict(zip("pqr", results, strict=False))
    equations = (
        f" {values[left]} {operation} {values[right]} = {result}."
        for (left, operation, right), result in zip(chain, results, strict=True)
    )
    return "".join(equations) + f" The answer is {results[-1]}"


def wrong_solutions(chain: tuple[Step, ...], numbers: dict[str, int]) -> list[str]:
    """Solutions whose arithmetic is right and whose answer is not: another operation somewhere."""
    right_answer = final_result(chain, numbers)
    wrong = []
    for operations in itertools.product(OPERATIONS, repeat=len(chain)):
        changed = tuple(
            (left, operation, right)
            for (left, _, right), operation in zip(chain, operations, strict=True)
        )
        results = _evaluate(changed, numbers)
        if results is not None and results[-1] != right_answer:
            wrong.append(solution(changed, numbers))
    return wrong


def misread_solutions(chain: tuple[Step, ...], numbers: dict[str, int]) -> list[str]:
    """Wrong solutions with the right operations, in which one number is off by one."""
    return [
        solution(chain, misread)
        for name, value in numbers.items()
        for misread in (numbers | {name: value - 1}, numbers | {name: value + 1})
        if _evaluate(chain, misread) is not None
    ]


def _choices(rng: Random, chain: tuple[Step, ...], numbers: dict[str, int]) -> tuple[str, ...]:
    """The solution among wrong ones; misread ones only where other operations give too few."""
    wrong = wrong_solutions(chain, numbers)
    rng.shuffle(wrong)
    misread = misread_solutions(chain, numbers)
    rng.shuffle(misread)
    choices = [solution(chain, numbers), *(wrong + misread)[: NUM_CHOICES - 1]]
    rng.shuffle(choices)
    return tuple(choices)


def _examples(split: str, seed: int) -> Iterator[Example]:
    rng = _rng(split, seed)
    while True:
        text, chain = _draw_wording(rng, TRAINING[rng.choice(BENCHMARKS)])
        numbers = _draw_numbers(rng, text, chain, split)
        yield Example(_prompt(rng, text, numbers), solution(chain, numbers))


def _rng(purpose: str, seed: int) -> Random:
    """A stream of its own for each purpose; the same in every process and Python version."""
    digest = hashlib.sha256(f"{purpose} {seed}".encode()).digest()
    return Random(int.from_bytes(digest[:8], "big"))


def _draw_wording(rng: Random, wordings: tuple[Wording, ...]) -> tuple[str, tuple[Step, ...]]:
    text, chain = rng.choice(wordings)
    return text, parse_chain(chain)


def _draw_numbers(rng: Random, text: str, chain: tuple[Step, ...], split: str) -> dict[str, int]:
    """Different numbers for the text's slots, of the given split, for which the chain works out."""
    factors = {
        name
        for left, operation, right in chain
        for name in {"*": (left, right), "/": (right,)}.get(operation, ())
    }
    names = [name for name in "xyzw" if f"{{{name}}}" in text]
    while True:
        numbers = {
            name: rng.randint(2, MAX_FACTOR if name in factors else MAX_NUMBER) for name in names
        }
        drawn = tuple(numbers.values())
        if (
            len(set(drawn)) == len(drawn)
            and split_of(drawn) == split
            and _evaluate(chain, numbers) is not None
        ):
            return numbers


def _prompt(rng: Random, text: str, numbers: dict[str, int]) -> str:
    a, b, c = rng.sample(PEOPLE, 3)
    t, u = rng.sample(THINGS, 2)
    box, boxes = rng.choice(CONTAINERS)
    question = text.format(a=a, b=b, c=c, t=t, u=u, box=box, boxes=boxes, **numbers)
    return f"Question: {question}\nAnswer:"
