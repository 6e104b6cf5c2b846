"""Gold answers that no response can be counted right for: each would lower a score for good, unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lwft_bench.data.extraction import COMPARISONS, OWN_RULE, is_number, rule

if TYPE_CHECKING:
    from lwft_bench.data.benchmarks import BenchmarkConfig


def expected_answer(benchmark: BenchmarkConfig, answer: str) -> str | None:
    """What a gold answer of a generated benchmark should be; None: a response can have this one.

    Responses that state the answer and nothing else are judged as the benchmark judges. What a rule of
    a benchmark's own finds is not known; but no response has what would end it.
    """
    assert benchmark.extraction is not None
    if benchmark.metric == "numeric_match":
        return None if is_number(answer) else "a number"
    if not answer.strip():
        return "an answer that is not empty"
    for stop in benchmark.stop:
        if stop in answer:
            return f"an answer without {stop!r}, which ends a response (`stop`)"
    if benchmark.extraction == OWN_RULE:
        return None
    extract, agree = rule(benchmark.extraction), COMPARISONS[benchmark.metric]
    found = [extract(response) for response in (answer, f"The answer is {answer}")]
    if any(prediction is not None and agree(prediction, answer) for prediction in found):
        return None
    reads = next((prediction for prediction in found if prediction is not None), None)
    seen = "nothing" if reads is None else repr(reads)
    return f"an answer as rule {benchmark.extraction} finds one (it finds {seen} in this)"
