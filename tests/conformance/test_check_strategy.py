"""Each check fails on a strategy that is wrong in that way, and says what is wrong."""

import itertools
import random
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from lwft_bench.strategies import Needs, PluginOptions, Selection, Strategy
from lwft_bench.testing import check_strategy
from lwft_bench.testing.outcomes import MAX_CHECK_SECONDS
from lwft_bench.testing.strategy_checks import MAX_CALL_SECONDS, STRATEGY_CHECKS


class Uniform(Strategy):
    """Right in every way; what is wrong is added to it."""

    def select(self, step):
        unit = int(self.context.rng.integers(len(self.context.units)))
        return Selection(units=[unit], num_steps=10)


def selecting(**fields):
    """A strategy that always gives this selection."""

    class Constant(Strategy):
        def select(self, step):
            return Selection(**({"units": [0], "num_steps": 10} | fields))

    return Constant


class TakesAnyOption(Uniform):
    class Options(BaseModel):
        pass


class NeedsSomething(Uniform):
    needs = Needs(gradients="some")


class ChangesItsNeeds(Uniform):
    @property
    def needs(self):
        return Needs(probing_steps=5 if hasattr(self, "context") else 2)


class MeasuresUnasked(Uniform):
    def start(self, context):
        super().start(context)
        context.measure("weight_norm")


class ReturnsAList(Uniform):
    def select(self, step):
        return [0]


class ScalesTheWindow(Uniform):
    def observe(self, window):
        window.grad_rms[:] /= window.grad_rms.max()


class DividesByTheStepsLeft(Uniform):
    def start(self, context):
        super().start(context)
        self.share = 1 // (context.total_steps - 1)


class TakesTheSecondUnit(Uniform):
    def select(self, step):
        return Selection(units=[1], num_steps=10)


class KnowsSixtyFourLayers(Uniform):
    def select(self, step):
        return Selection(units=[0], num_steps=1, scores=list(range(64))[: len(self.context.units)])


class DrawsFromItsOwnStream(Uniform):
    def select(self, step):
        unit = np.random.default_rng().integers(len(self.context.units))
        return Selection(units=[unit], num_steps=10)


class DrawsFromNumpysStream(Uniform):
    def select(self, step):
        return Selection(units=[np.random.randint(len(self.context.units))], num_steps=10)


class DrawsFromPythonsStream(Uniform):
    def select(self, step):
        return Selection(units=[random.randrange(len(self.context.units))], num_steps=10)


class ForgetsItsPlace(Strategy):
    def start(self, context):
        super().start(context)
        self.turn = itertools.cycle(range(len(context.units)))

    def select(self, step):
        return Selection(units=[next(self.turn)], num_steps=10)


class ForgetsWhatItObserved(Uniform):
    mean_loss = 0.0

    def observe(self, window):
        self.mean_loss = float(window.loss.mean())

    def select(self, step):
        return Selection(units=[int(self.mean_loss * 1e6) % len(self.context.units)], num_steps=7)


class MeasuresAnewOnRestart(Strategy):
    needs = Needs(measure=True)

    def start(self, context):
        super().start(context)
        self.norms = context.measure("weight_norm")

    def select(self, step):
        return Selection(units=[0], num_steps=10, scores=self.norms)


class SavesASet(Uniform):
    def state_dict(self):
        return {"seen": {1, 2}}


class LoadsAnotherState(Uniform):
    count = 0

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"] + 1


class BreaksOnOverflow(Uniform):
    needs = Needs(gradients="all")

    def observe(self, window):
        with np.errstate(all="raise"):
            np.square(window.grad_rms)


class PicksTheLargestGradient(Uniform):
    """Gives NaN probabilities when no unit has a gradient."""

    needs = Needs(gradients="all")
    share = None

    def observe(self, window):
        total = np.nan_to_num(window.grad_rms, posinf=1.0).sum(axis=0)
        with np.errstate(invalid="ignore"):
            self.share = np.minimum(total / total.sum(), 1) if total.any() else total / 0.0

    def select(self, step):
        return Selection(units=[0], num_steps=10, probabilities=self.share)


class Sleeps(Uniform):
    def select(self, step):
        time.sleep(2.5 * MAX_CALL_SECONDS)
        return Selection(units=[0], num_steps=100)


class NeverReturns(Uniform):
    def select(self, step):
        while True:
            pass


class NeverVaries(Uniform):
    varies = False


BROKEN = [
    ("refuses unknown options", TakesAnyOption, "derive it from PluginOptions"),
    ("states its needs", NeedsSomething, "must be 'selected' or 'all', got 'some'"),
    ("states its needs", ChangesItsNeeds, "needs changed"),
    ("varies as it says", NeverVaries, "varies is False, but 10 different selections"),
    ("varies as it says", selecting(), "varies is True, but 1 different selections"),
    ("selects validly", MeasuresUnasked, "without Needs"),
    ("selects validly", ReturnsAList, r"\[0\] is no Selection"),
    ("selects validly", selecting(units=[]), "units is empty"),
    ("selects validly", selecting(units=[0, 0]), "one unit twice"),
    ("selects validly", selecting(units=[10]), r"must lie in 0\.\.9, got \[10\]"),
    ("selects validly", selecting(units=[-1]), "must lie in"),
    ("selects validly", selecting(units=[0.0]), "must be integers"),
    ("selects validly", selecting(num_steps=0), "at least 1, got 0"),
    ("selects validly", selecting(num_steps=2.0), "must be an integer"),
    ("selects validly", selecting(probabilities=[1.0]), "10 units, but 1 probabilities"),
    ("selects validly", selecting(probabilities=[0.2] * 10), r"sum to 2\.0, not to 1"),
    ("selects validly", selecting(probabilities=[2.0, -1.0] + [0.0] * 8), "must lie in 0..1"),
    ("selects validly", selecting(scores=[1.0]), "10 units, but 1 scores"),
    ("selects validly", ScalesTheWindow, "read-only"),
    ("selects validly in one step", DividesByTheStepsLeft, "ZeroDivisionError"),
    ("selects validly among one unit", TakesTheSecondUnit, r"must lie in 0\.\.0"),
    ("selects validly among 100 units", KnowsSixtyFourLayers, "100 units, but 64 scores"),
    ("is deterministic", DrawsFromItsOwnStream, "two runs with seed 0 differ"),
    ("leaves other random streams alone", DrawsFromNumpysStream, "drew from numpy.random"),
    ("leaves other random streams alone", DrawsFromPythonsStream, "drew from random"),
    ("saves and restores exactly", ForgetsItsPlace, "selects otherwise"),
    ("saves and restores exactly", ForgetsWhatItObserved, "selects otherwise"),
    ("saves and restores exactly", MeasuresAnewOnRestart, "selects otherwise"),
    ("saves and restores exactly", SavesASet, r"\{1, 2\}, neither JSON-able nor a numpy array"),
    ("saves and restores exactly", LoadsAnotherState, "leaves a state_dict"),
    ("survives extreme gradients", BreaksOnOverflow, "FloatingPointError: overflow"),
    ("survives missing gradients", PicksTheLargestGradient, "probabilities must lie in"),
    ("is quick", Sleeps, "s with 100 units, over"),
]


def test_every_check_is_seen_to_fail():
    assert {check for check, _, _ in BROKEN} == set(STRATEGY_CHECKS)


@pytest.mark.parametrize(("check", "strategy", "detail"), BROKEN)
def test_broken_strategy_fails_its_check(check, strategy, detail, monkeypatch):
    # That check alone: the others would sleep, too.
    monkeypatch.setattr(
        "lwft_bench.testing.strategy_checks.STRATEGY_CHECKS", {check: STRATEGY_CHECKS[check]}
    )
    (outcome,) = check_strategy(strategy)
    assert outcome.name == check
    assert not outcome.passed
    assert re.search(detail, outcome.detail), outcome.detail


def test_the_strategy_they_derive_from_passes():
    assert [outcome for outcome in check_strategy(Uniform) if not outcome.passed] == []


def test_failure_names_the_line_of_the_strategy():
    outcomes = {o.name: o for o in check_strategy(DividesByTheStepsLeft)}
    assert f"({__file__}:" in outcomes["selects validly in one step"].detail
    assert outcomes["selects validly"].passed


def test_a_strategy_that_hangs_fails_instead(monkeypatch):
    monkeypatch.setattr("lwft_bench.testing.check.MAX_CHECK_SECONDS", 0.05)
    outcomes = {outcome.name: outcome for outcome in check_strategy(NeverReturns)}
    assert list(outcomes) == list(STRATEGY_CHECKS)
    assert not outcomes["selects validly"].passed
    assert f"TimeoutError: not done after 0.05 s ({__file__}:" in outcomes["selects validly"].detail


def test_checks_end_within_a_minute():
    assert len(STRATEGY_CHECKS) * MAX_CHECK_SECONDS < 60


def test_what_it_observes_may_decide_whether_it_varies():
    class VariesByChance(Uniform):
        varies = None

    assert all(outcome.passed for outcome in check_strategy(VariesByChance))


def test_options_are_given_or_refused():
    class WithOption(Uniform):
        varies = False

        class Options(PluginOptions):
            unit: int

        def select(self, step):
            return Selection(units=[self.options.unit], num_steps=10)

    assert all(o.passed for o in check_strategy(WithOption, {"unit": 0}))
    assert all(o.passed for o in check_strategy(WithOption, WithOption.Options(unit=0)))
    assert not all(o.passed for o in check_strategy(WithOption, {"unit": 99}))
    with pytest.raises(ValidationError):
        check_strategy(WithOption)


def test_checking_needs_no_torch():
    """In a process of its own, since other tests may have imported it."""
    code = """
import sys
from lwft_bench.testing import check_strategy
assert all(outcome.passed for outcome in check_strategy("grass"))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
