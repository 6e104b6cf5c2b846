"""What strategies may have measured, on real small models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lwft_bench.schema.errors import UserError
from lwft_bench.strategies.simulation import SimulatedTrainer, Simulation
from lwft_bench.strategies.spectrum import Spectrum
from lwft_bench.training.loss import DeviceBatch
from lwft_bench.training.singular_values import signal_to_noise
from tests.training.tiny import CPU, Run, assert_same, make_run, method, training

LORA = {"name": "lora", "r": 2, "alpha": 4, "dropout": 0.5}
DORA = LORA | {"dora": True}


def adapted(tmp_path: Path, adapter=LORA, family: str = "llama", **options) -> Run:
    """A run whose adapters are no longer at their start, where they add nothing."""
    run = make_run(tmp_path, method("ist", adapter=adapter), training(4), family, **options)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for group in run.assembly.groups.units:
            for parameter in group.parameters.values():
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return run


def scales(run: Run) -> list[dict[str, float]]:
    """Of the adapters; attention modules have a number of that name."""
    found = [getattr(module, "scaling", None) for module in run.model.modules()]
    return [dict(scaling) for scaling in found if isinstance(scaling, dict)]


def loss_now(run: Run, batches) -> float:
    """In evaluation mode, over all rows at once."""
    run.model.eval()
    with torch.no_grad():
        total = sum(float(run.assembly.loss(DeviceBatch.of(b, CPU))) for b in batches)
    run.model.train()
    return total / sum(batch.num_target_tokens for batch in batches)


@pytest.mark.parametrize("adapter", [LORA, DORA], ids=["lora", "dora"])
def test_suppressed_loss_is_that_with_the_update_scaled(tmp_path, adapter):
    """lora_B scaled by hand gives the same, as the update is linear in it."""
    run = adapted(tmp_path, adapter)
    order = run.trainer._probing_order
    start = order.state_dict()
    measured = run.trainer._measure("suppressed_loss", units=[(), (1,), (0, 3)], beta=0.25)
    order.load_state_dict(start)
    batches = order.next_batch()
    for units, loss in zip([(), (1,), (0, 3)], measured, strict=True):
        scaled = [
            p
            for unit in units
            for name, p in run.assembly.groups.units[unit].parameters.items()
            if "lora_B" in name
        ]
        assert bool(scaled) == bool(units)
        with torch.no_grad():
            for parameter in scaled:
                parameter.mul_(0.25)
        assert loss == pytest.approx(loss_now(run, batches), rel=1e-6)
        with torch.no_grad():
            for parameter in scaled:
                parameter.mul_(4)
    assert len(set(measured.tolist())) == 3


@pytest.mark.parametrize("adapter", [LORA, DORA], ids=["lora", "dora"])
def test_measuring_leaves_no_trace(tmp_path, adapter):
    """Weights, scales, training mode, gradients, hooks and random streams are as before."""
    run = adapted(tmp_path, adapter)
    scalings = scales(run)
    weights, random = run.weights(), torch.get_rng_state()
    for statistic, options in (
        ("suppressed_loss", {"units": [(0,), (1, 2)], "beta": 0.25}),
        ("outlier_share", {"tau": 2.0, "batches": 2}),
        ("snr", {}),
        ("weight_norm", {}),
    ):
        run.trainer._measure(statistic, **options)
    assert_same(run.weights(), weights)
    assert torch.equal(torch.get_rng_state(), random)
    assert scales(run) == scalings
    assert all(module.training for module in run.model.modules())
    assert all(parameter.grad is None for parameter in run.model.parameters())
    assert not any(module._forward_pre_hooks for module in run.model.modules())


def test_the_scale_is_restored_when_measuring_fails(tmp_path):
    run = adapted(tmp_path)
    before = scales(run)

    def fail(*_):
        raise MemoryError

    run.trainer._measures._assembly.loss._forward = fail
    with pytest.raises(MemoryError):
        run.trainer._measure("suppressed_loss", units=[(0,)], beta=0.25)
    assert scales(run) == before
    assert run.model.training


def test_batches_come_from_the_measuring_stream(tmp_path):
    """One for all sets; the training data are not used up."""
    run = adapted(tmp_path)
    run.trainer._measure("suppressed_loss", units=[(0,), (1,), (2,)], beta=0.25)
    assert run.trainer._probing_order.state_dict() == {"num_drawn": 4}
    assert run.order.state_dict() == {"num_drawn": 0}
    run.trainer._measure("outlier_share", tau=2.0, batches=3)
    assert run.trainer._probing_order.state_dict() == {"num_drawn": 16}
    rows = run.trainer.trace.measurements
    assert [row.statistic for row in rows] == ["suppressed_loss", "outlier_share"]
    assert [row.computed.micro_batches for row in rows] == [3, 3]
    assert all(row.computed.tokens > 0 and row.seconds > 0 for row in rows)
    assert rows[0].computed.tokens % 3 == 0


def test_statistics_of_weights_leave_adapters_out(tmp_path):
    full = make_run(tmp_path / "full", method("spectrum"), training(2))
    lora = adapted(tmp_path / "lora")
    for statistic, options in (
        ("weight_norm", {}),
        ("snr", {}),
    ):
        expected = full.trainer._measure(statistic, **options)
        assert lora.trainer._measure(statistic, **options) == pytest.approx(expected, rel=1e-12)


def test_snr_of_a_layer_is_the_mean_over_its_matrices(tmp_path):
    run = make_run(tmp_path, method("spectrum"), training(2))
    layer = run.model.model.layers[2]
    matrices = [p.detach() for p in layer.parameters() if p.dim() == 2]
    assert len(matrices) == 7
    expected = np.mean([signal_to_noise(matrix) for matrix in matrices])
    assert run.trainer._measure("snr")[2] == pytest.approx(expected)


def test_full_weights_cannot_be_suppressed(tmp_path):
    run = make_run(tmp_path, method("ist"), training(12))
    with pytest.raises(UserError, match="adapter 'full' cannot be suppressed"):
        run.trainer.run()


def test_what_was_not_asked_for_is_not_measured(tmp_path):
    run = make_run(tmp_path, method("spectrum"), training(2))
    with pytest.raises(RuntimeError, match="suppress=True"):
        run.trainer._measure("suppressed_loss", units=[(0,)], beta=0.25)
    with pytest.raises(ValueError, match="unknown statistic 'entropy'; there are: weight_norm"):
        run.trainer._measure("entropy")


def test_the_simulated_trainer_knows_the_same_statistics(tmp_path):
    run = make_run(tmp_path, method("spectrum"), training(2))
    simulated = SimulatedTrainer(Simulation(Spectrum, Spectrum.Options()))
    options = {"outlier_share": {"tau": 13.0, "batches": 2}}
    for statistic in set(run.trainer._measures._statistics) - {"suppressed_loss"}:
        assert len(simulated._measure(statistic, **options.get(statistic, {}))) == 10
    with pytest.raises(ValueError, match="unknown statistic"):
        simulated._measure("entropy")


@pytest.mark.parametrize(
    ("units", "statistic", "options", "refusal"),
    [
        (
            ("embed", "layers"),
            "outlier_share",
            {"tau": 13.0, "batches": 1},
            "embed has no linear map",
        ),
        (("head", "layers"), "snr", {}, "head has no weight matrix in floating point"),
    ],
)
def test_units_without_what_is_measured_are_refused(tmp_path, units, statistic, options, refusal):
    """In a model whose head is tied, the unit of the head is a norm alone."""
    run = make_run(tmp_path, method("spectrum", units=units), training(2), "llama-tied")
    if statistic == "outlier_share":
        head = run.model.lm_head
        head.weight = torch.nn.Parameter(head.weight.detach().clone())
    with pytest.raises(UserError, match=refusal):
        run.trainer._measure(statistic, **options)


def test_quantised_weights_have_no_statistics(tmp_path):
    pytest.importorskip("bitsandbytes")
    adapter = {"name": "qlora", "r": 2, "alpha": 4}
    run = make_run(tmp_path, method("spectrum", adapter=adapter), training(2))
    with pytest.raises(UserError, match="no weight matrix in floating point"):
        run.trainer._measure("snr")


def test_adapters_on_quantised_weights_are_suppressed_too(tmp_path):
    pytest.importorskip("bitsandbytes")
    run = adapted(tmp_path, {"name": "qlora", "r": 2, "alpha": 4})
    losses = run.trainer._measure("suppressed_loss", units=[(), (0, 1, 2, 3)], beta=0.25)
    assert losses[0] != losses[1]
