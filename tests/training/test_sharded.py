"""Two processes that share out a model train it as one process does that has all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lwft_bench.optimizers.adamw import AdamW
from lwft_bench.state.layout import cut
from lwft_bench.state.precision import PRECISIONS
from lwft_bench.training.ranks import ALONE
from tests.training.rank_scenarios import config, run_on_ranks
from tests.training.shared_out import ALL, SCENARIOS, trained
from tests.training.tiny import assert_same, make_run

TOLERANCE = 0.05 * config().lr
PRECISE = [*ALL, "tied", "gpt2", "clip-global", "clip-unit"]
PRECISE += ["micro-batches", "one-by-one", "checkpointing"]

Given = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    """What two ranks made of every scenario."""
    folder = tmp_path_factory.mktemp("shared")
    return run_on_ranks(folder, list(SCENARIOS), "tests.training.shared_out")


def alone(folder: Path, name: str) -> dict[str, Any]:
    """The same scenario on one process, the whole batch at once."""
    options = dict(SCENARIOS[name].keywords)  # type: ignore[attr-defined]
    options.pop("mutant", None)
    return trained(folder, ALONE, **(options | {"micro_batch_size": None}))


def furthest(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def differing(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    """Share of the elements."""
    number = sum(int((first[name] != second[name]).sum()) for name in first)
    return number / sum(tensor.numel() for tensor in first.values())


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", PRECISE)
def test_shared_out_trains_as_one_process(tmp_path: Path, given: Given, name: str) -> None:
    one, two = alone(tmp_path, name), given[name][0]
    assert two["selections"] == one["selections"]
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-6)
    np.testing.assert_allclose(two["shown"].numpy(), one["shown"].numpy(), rtol=5e-6)
    assert furthest(two["weights"], one["weights"]) < TOLERANCE
    for key in ("probabilities", "scores"):
        for got, expected in zip(two[key], one[key], strict=True):
            assert (got is None) == (expected is None)
            if got is not None:
                np.testing.assert_allclose(got, expected, rtol=5e-6)
    assert (two["updated"], two["frozen_unchanged"]) == (one["updated"], True)
    assert two["survived"] == pytest.approx(one["survived"], abs=0.01)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_training_is_felt(tmp_path: Path, given: Given) -> None:
    """The test above compares something: each of these cards moves weights further than it allows."""
    for name in PRECISE[: len(ALL)]:
        fresh = make_run(tmp_path / name, ALL[name], config()).weights()
        assert furthest(given[name][0]["weights"], fresh) > 2 * TOLERANCE


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", ["grass", "layers"])
def test_each_process_has_its_part_of_offloaded_state(
    tmp_path: Path, given: Given, name: str
) -> None:
    whole = alone(tmp_path, name)["host_bytes"]
    parts = [of_rank["host_bytes"] for of_rank in given[name]]
    assert all(0.5 * whole <= part <= 0.55 * whole for part in parts)
    assert all(of_rank["device_bytes"] == 0 for of_rank in given[name])


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", [*PRECISE, "master", "stochastic"])
def test_all_ranks_know_the_same(given: Given, name: str) -> None:
    first, second = given[name]
    for key in ("digest", "losses", "selections", "probabilities", "checksums"):
        assert first[key] == second[key], key


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_rounding_with_sixteen_bits_is_alike(tmp_path: Path, given: Given) -> None:
    """Bits drawn for an element are those that it has in the whole tensor."""
    for name in ("master", "stochastic"):
        one, two = alone(tmp_path / name, name), given[name][0]
        np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-3)
    same = alone(tmp_path / "again", "stochastic")["weights"]
    assert differing(given["stochastic"][0]["weights"], same) < 0.01
    assert differing(given["lost offset"][0]["weights"], same) > 0.03


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_norm_of_own_rows_is_another_clipping(tmp_path: Path, given: Given) -> None:
    """The tests above can fail."""
    one, mutant = alone(tmp_path, "clip-global"), given["local clipping"][0]
    assert furthest(mutant["weights"], one["weights"]) > TOLERANCE
    assert given["clip-global"][0]["digest"] != given["fft"][0]["digest"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_probing_own_rows_measures_something_else(tmp_path: Path, given: Given) -> None:
    one = alone(tmp_path, "grass")["shown"]
    for mutant in given["local probing"]:
        assert float((mutant["shown"][:3] / one[:3] - 1).abs().min()) > 1e-3


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", ["stopped-1", "stopped-10"])
def test_stopped_on_one_rank_all_go_on_to_the_same_bits(given: Given, name: str) -> None:
    for stopped, undisturbed in zip(given[name], given["undisturbed"], strict=True):
        assert_same(stopped["weights"], undisturbed["weights"])
        assert stopped["losses"] == undisturbed["losses"]
        assert stopped["selections"] == undisturbed["selections"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_state_dict_of_a_tied_model_is_whole(given: Given) -> None:
    first, second = given["saved"]
    assert_same(first["state"], second["state"])
    assert {"lm_head.weight", "model.embed_tokens.weight"} <= first["state"].keys()
    for name, weight in first["weights"].items():
        assert torch.equal(first["state"][name], weight)


def test_a_rank_without_rows_has_nothing_to_keep() -> None:
    assert cut((0,), AdamW(), PRECISIONS["float32"], 2048, first=7) == ()


def test_elements_are_numbered_in_the_whole_tensor() -> None:
    buckets = cut((300,), AdamW(), PRECISIONS["float32"], 1024, first=70)
    assert len(buckets) > 1
    assert [bucket.first for bucket in buckets] == [70 + bucket.start for bucket in buckets]
    assert buckets[-1].stop == 300
