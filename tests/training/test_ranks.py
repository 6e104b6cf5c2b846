"""Two processes train one cell as one process would, and stay the same bit for bit."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lwft_bench.data.batching import DataOrder
from lwft_bench.data.micro_batches import Splitting
from lwft_bench.training.ranks import ALONE, RankLost, Ranks, RanksDiffer, lost_ranks
from tests.training.rank_scenarios import (
    CARDS,
    CLIPS,
    SCENARIOS,
    STEPS,
    config,
    experts,
    run_on_ranks,
)
from tests.training.tiny import assert_same, examples, make_run

PRECISE = [*CARDS, *CLIPS, "micro-batches", "in-backward"]

Given = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    """What two ranks made of every scenario."""
    return run_on_ranks(tmp_path_factory.mktemp("ranks"), list(SCENARIOS))


def alone(folder: Path, name: str) -> dict[str, Any]:
    """The same scenario on one process, the whole batch at once."""
    options = dict(SCENARIOS[name].keywords)  # type: ignore[attr-defined]
    return SCENARIOS["fft"].func(folder, ALONE, **(options | {"micro_batch_size": None}))  # type: ignore


def furthest(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    return max(float((first[name] - second[name]).abs().max()) for name in first)


@pytest.mark.parametrize("name", PRECISE)
def test_two_ranks_train_as_one(tmp_path: Path, given: Given, name: str) -> None:
    one, two = alone(tmp_path, name), given[name][0]
    assert two["selections"] == one["selections"]
    assert two["tokens"] == one["tokens"]
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-6)
    np.testing.assert_allclose(two["shown"].numpy(), one["shown"].numpy(), rtol=5e-6)
    assert furthest(two["weights"], one["weights"]) < 0.05 * config().lr


def test_probing_measures_the_gradient_of_the_whole_batch(tmp_path: Path, given: Given) -> None:
    one, two = alone(tmp_path, "grass")["shown"], given["grass"][0]["shown"]
    np.testing.assert_allclose(two[:3].numpy(), one[:3].numpy(), rtol=1e-6)
    assert one[:3].isfinite().all() and not one[3:].isfinite().all()


def test_a_rank_may_lack_a_gradient_that_others_have(tmp_path: Path, given: Given) -> None:
    one, two = experts(tmp_path, ALONE), given["experts"]
    assert two[0]["digest"] == two[1]["digest"]
    assert furthest(two[0]["weights"], one["weights"]) < 0.05 * config().lr
    fresh = make_run(tmp_path / "fresh", CARDS["fft"], config()).weights()
    moved = {name for name in fresh if not torch.equal(two[0]["weights"][name], fresh[name])}
    assert fresh.keys() - moved == {"model.layers.1.mlp.gate_proj.weight"}


def test_a_mean_of_means_is_another_loss(tmp_path: Path, given: Given) -> None:
    """The tests above can fail: what many trainers do moves the weights further."""
    one, mutant = alone(tmp_path, "fft"), given["mean-of-means"][0]
    assert furthest(mutant["weights"], one["weights"]) > 0.05 * config().lr


@pytest.mark.parametrize("name", [*PRECISE, "bf16", "undisturbed"])
def test_weights_are_the_same_bits_on_all_ranks(given: Given, name: str) -> None:
    first, second = given[name]
    assert first["digest"] == second["digest"]
    assert first["losses"] == second["losses"]


@pytest.mark.parametrize("mode", ["clip-global", "clip-unit"])
def test_clipping_is_felt(given: Given, mode: str) -> None:
    assert given[mode][0]["digest"] != given[CLIPS[mode][0]][0]["digest"]


def test_ranks_draw_different_dropout(given: Given) -> None:
    first, second = given["dropout"]
    assert not torch.equal(first["state"], second["state"])


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name.startswith("stopped")])
def test_stopped_on_one_rank_all_stop_and_go_on_to_the_same_weights(
    given: Given, name: str
) -> None:
    for stopped, undisturbed in zip(given[name], given["undisturbed"], strict=True):
        assert_same(stopped["weights"], undisturbed["weights"])
        assert stopped["losses"] == undisturbed["losses"]
        assert stopped["selections"] == undisturbed["selections"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("differs", "RanksDiffer: the model after 0 steps differs between ranks"),
        ("diverges", "Diverged: the loss is inf at step 0"),
    ],
)
def test_all_ranks_see_what_is_wrong(given: Given, name: str, error: str) -> None:
    for of_rank in given[name]:
        assert of_rank["error"].startswith(error)


@pytest.mark.parametrize("micro_batch_size", [None, 1, 2, 3])
@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_shares_are_even_and_make_up_the_batch(world: int, micro_batch_size: int | None) -> None:
    order, whole = (
        DataOrder(
            examples(),
            batch_size=5,
            splitting=Splitting(max_sequences=micro_batch_size),
            seed=0,
            num_ranks=number,
        )
        for number in (world, 1)
    )
    everyone = [Ranks(rank, world) for rank in range(world)]
    for _ in range(STEPS):
        batches = order.next_batch()
        rows = [sum(len(b.lengths) for b in ranks.share(batches)) for ranks in everyone]
        assert max(rows) - min(rows) <= 1
        assert rows == sorted(rows, reverse=True)
        lengths = sorted(itertools.chain.from_iterable(b.lengths for b in batches))
        expected = whole.next_batch()
        assert lengths == sorted(itertools.chain.from_iterable(b.lengths for b in expected))
        for ranks in everyone:
            sizes = [len(b.lengths) for b in ranks.share(batches)]
            assert all(size == (micro_batch_size or max(sizes)) for size in sizes[:-1])


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("[/x/third_party/gloo/gloo/transport/tcp/pair.cc:537] Read error"), True),
        (torch.distributed.DistBackendError("NCCL error"), True),
        (RuntimeError("shapes do not match"), False),
        (torch.OutOfMemoryError("too much"), False),
        (RanksDiffer("they do"), False),
    ],
)
def test_an_error_of_a_collective_says_that_a_rank_is_lost(error: Exception, lost: bool) -> None:
    with pytest.raises(RankLost if lost else type(error)), lost_ranks():
        raise error
