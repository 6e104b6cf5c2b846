from __future__ import annotations

import pytest

from lwft_bench.schema.errors import UserError
from lwft_bench.schema.findings import Findings


def test_problems_are_collected_once_with_their_place_and_what_helps() -> None:
    findings = Findings()
    for _ in range(2):
        with findings.collected("model m, task t"):
            raise UserError("is wrong", "mend it")
        with findings.collected("model m, task t"):
            raise UserError("model m: says so itself")
    assert findings.problems == {
        "model m, task t: is wrong": "mend it",
        "model m: says so itself": None,
    }
    with pytest.raises(UserError) as raised:
        findings.raise_problems()
    assert raised.value.message == ("model m, task t: is wrong\n  mend it\nmodel m: says so itself")


def test_what_helps_with_several_is_said_once_below_them() -> None:
    findings, more = Findings(), Findings()
    findings.problem("one", "mend it")
    more.problem("two", "mend it")
    more.problem("one", "mend it")
    more.problem("three")
    more.warn("four")
    findings.add(more)
    assert list(findings.warnings) == ["four"]
    with pytest.raises(UserError) as raised:
        findings.raise_problems()
    assert raised.value.message == "one\ntwo\n  mend it\nthree"


def test_an_error_that_nobody_expected_is_a_warning() -> None:
    findings = Findings()
    with findings.collected("model m"):
        raise NotImplementedError("no meta kernel")
    findings.raise_problems()
    (warning,) = findings.warnings
    assert warning == (
        "model m: could not be checked before the run (NotImplementedError: no meta kernel)"
    )


class Unsayable(Exception):
    def __str__(self) -> str:
        raise TypeError("no text")


@pytest.mark.parametrize("error", [Unsayable(), ValueError("z" * 30_000_000)])
def test_an_error_may_have_no_text_or_too_much(error: Exception) -> None:
    findings = Findings()
    with findings.collected("model m"):
        raise error
    (warning,) = findings.warnings
    assert type(error).__name__ in warning
    assert len(warning) < 400
