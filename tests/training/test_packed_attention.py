"""Sequences packed into one row, or sorted by length, train as padded ones do."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AttentionInterface

from lwft_bench.data.masks import unmasked
from lwft_bench.data.micro_batches import Packing
from lwft_bench.dry_run.dry_run import dry_run
from lwft_bench.dry_run.steps import BatchShape
from lwft_bench.evaluation.converted import with_noise
from lwft_bench.models.loading import load_model
from lwft_bench.preflight.cells import check_cells, check_structures
from lwft_bench.schema.cell import ModelConfig, TrainingConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.strategies.base import Needs
from lwft_bench.suites.identity import identify
from lwft_bench.suites.loading import Changes, load_suite
from lwft_bench.training import packed_attention
from lwft_bench.training.causal_sequences import takes
from lwft_bench.training.packed_attention import (
    attend_by_sequence,
    require_apart,
    require_no_balance,
)
from tests.training.tiny import (
    CPU,
    FAMILIES,
    LLAMA,
    examples,
    full_fine_tuning,
    make_run,
    method,
    training,
)

STEPS, LR = 50, 1e-3
LISA = {"strategy_num_active": 2, "strategy_period": 5, "always_train": ("embed", "head")}
SPLITS: dict[str, dict[str, Any]] = {
    "packed": {"batching": "packed"},
    "packed in parts": {"batching": "packed", "max_tokens": 40},
    "by length": {"batching": "by_length", "micro_batch_size": 2},
    "checkpointed": {"batching": "packed", "checkpointing": True},
}


def tiny(config: dict[str, Any], attention: str = "sdpa") -> torch.nn.Module:
    return load_model(
        ModelConfig(name="tiny", config=config), dtype=torch.float32, attention=attention, seed=0
    )


def trained(folder: Path, card: Any, **options: Any) -> tuple[list[float], dict[str, torch.Tensor]]:
    config = training(STEPS, lr=LR, dropout=False, **options)
    run = make_run(folder, card, config, data=examples(40))
    run.trainer.run()
    return [row.loss for row in run.trainer.trace.steps], run.weights()


@pytest.fixture(scope="module")
def padded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {
        name: trained(tmp_path_factory.mktemp("padded"), card)
        for name, card in (("fft", full_fine_tuning()), ("lisa", method("lisa", **LISA)))
    }


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("card", ["fft", "lisa"])
def test_losses_and_weights_are_those_of_padded_rows(
    card: str, split: str, padded: dict[str, Any], tmp_path: Path
) -> None:
    config = full_fine_tuning() if card == "fft" else method("lisa", **LISA)
    losses, weights = trained(tmp_path, config, **SPLITS[split])
    expected_losses, expected = padded[card]
    assert losses == pytest.approx(expected_losses, abs=1e-4)
    worst = max(float((weights[name] - expected[name]).abs().max()) for name in expected)
    assert worst <= 0.01 * LR


def gradients_of_attention(lengths: tuple[int, ...], **options: Any) -> list[torch.Tensor]:
    """What attention returns, and the gradients of queries, keys and values, [1, heads, tokens, 16]."""
    generator = torch.Generator().manual_seed(0)
    dtype = options.pop("dtype", torch.float32)
    tensors = [
        torch.randn(1, sum(lengths), heads, 16, generator=generator, dtype=dtype).transpose(1, 2)
        for heads in options.pop("heads", (4, 4, 4))
    ]
    for tensor in tensors:
        tensor.requires_grad_()
    module = torch.nn.Module()
    module.num_key_value_groups = tensors[0].shape[1] // tensors[1].shape[1]
    attend = AttentionInterface()["sdpa_by_sequence"]
    found, _ = attend(module, *tensors, None, packing=Packing.of(lengths), **options)
    weights = torch.randn(found.shape, generator=generator).to(dtype)
    return [found.detach(), *torch.autograd.grad((found * weights).sum(), tensors)]


@pytest.mark.parametrize(
    "options",
    [{}, {"dtype": torch.bfloat16}, {"scaling": 0.5}, {"heads": (4, 2, 2)}, {"is_causal": False}],
    ids=str,
)
def test_calling_the_kernel_itself_changes_no_bit(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    attend_by_sequence(tiny(LLAMA))
    lengths = (5, 1, 40, 17)
    itself = gradients_of_attention(lengths, **options)
    monkeypatch.setattr(packed_attention, "takes", lambda *_: False)
    through_sdpa = gradients_of_attention(lengths, **options)
    assert all(map(torch.equal, itself, through_sdpa))


def test_where_attention_does_more_than_the_kernel_it_is_not_called() -> None:
    module, row = torch.nn.Module(), torch.zeros(1, 2, 6, 4)
    alike = (row, row, row)
    assert takes(module, alike, None, {"dropout": 0.0, "scaling": None})
    assert not takes(module, alike, torch.ones(6, 6), {})
    assert not takes(module, alike, None, {"dropout": 0.1})
    assert not takes(module, alike, None, {"softcap": 30.0})
    assert not takes(module, alike, None, {"is_causal": False})
    assert takes(module, (row, row[:, :1], row[:, :1]), None, {})  # heads in groups
    assert not takes(module, (row[:, :1], row, row), None, {})
    assert not takes(module, (row, row[:, :, :3], row[:, :, :3]), None, {})
    assert not takes(module, (row, row, row[..., :2]), None, {})
    assert not takes(module, (row.double(),) * 3, None, {})
    assert not takes(module, (row.to("meta"),) * 3, None, {})
    module.is_causal = False
    assert not takes(module, alike, None, {})


def test_a_probing_step_keeps_attention_among_the_activations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What an autograd.Function makes in its forward pass is no rest, in probing as in training."""
    shape = BatchShape.packed((40, 33, 21, 12), 60)
    cell = smoke_cell(batching="packed")

    def probed() -> dict[str, int]:
        return dry_run(cell, [shape], [(7,)], Needs(probing_steps=1)).memory.components

    itself = probed()
    monkeypatch.setattr(packed_attention, "takes", lambda *_: False)
    assert itself["activations"] == pytest.approx(probed()["activations"], rel=0.01)


@pytest.mark.parametrize("family", FAMILIES)
def test_models_keep_packed_sequences_apart(family: str) -> None:
    model = tiny(FAMILIES[family])
    attend_by_sequence(model)
    require_apart(model, CPU, 40)


def test_the_trap_is_seen() -> None:
    """With plain sdpa and no mask packed sequences attend to one another, and no loss shows it."""
    with pytest.raises(UserError, match="see one another"):
        require_apart(tiny(LLAMA), CPU, 40)


def test_what_cannot_be_packed_is_refused() -> None:
    with pytest.raises(UserError, match="attention is eager"):
        attend_by_sequence(tiny(LLAMA, "eager"))
    with pytest.raises(UserError, match="counts padding too"):
        require_no_balance(0.01)
    require_no_balance(0.0)
    with pytest.raises(ValueError, match="needs attention: sdpa"):
        TrainingConfig(steps=1, batching="packed", attention="eager")
    with pytest.raises(ValueError, match="give one of them"):
        TrainingConfig(steps=1, max_tokens=64, micro_batch_size=2)
    with pytest.raises(ValueError, match="never there at once"):
        TrainingConfig(steps=1, max_tokens=64, update="in_backward")


def smoke_cell(**settings: Any) -> Any:
    changes = Changes(
        settings=tuple(f"training.{key}={value}" for key, value in settings.items()),
        methods=("fft",),
    )
    (cell,) = load_suite("smoke", changes).cells
    return cell


def test_settings_at_their_defaults_are_in_no_identity() -> None:
    plain = smoke_cell()
    assert {"batching", "max_tokens"}.isdisjoint(plain.training.as_recorded())
    same = smoke_cell(batching="padded", max_tokens="null")
    assert identify(same) == identify(plain)
    packed = smoke_cell(batching="packed")
    assert packed.training.as_recorded()["batching"] == "packed"
    assert identify(packed).digest != identify(plain).digest


def test_a_plan_knows_that_packed_rows_need_less() -> None:
    lengths, targets = (40, 33, 21, 12), 60
    padded = [BatchShape(len(lengths), 40, targets)]
    packed = [BatchShape.packed(lengths, targets)]
    every = tuple(range(8))
    plain = dry_run(smoke_cell(), padded, [every], Needs())
    less = dry_run(smoke_cell(batching="packed"), packed, [every], Needs())
    assert less.memory.peak_bytes < plain.memory.peak_bytes
    share = sum(lengths) / (len(lengths) * 40)
    ((kind, flops),) = less.flops.items()
    assert flops == pytest.approx(share * plain.flops[kind], rel=0.05)


WINDOWS: dict[str, dict[str, Any]] = {
    "mistral": LLAMA | {"model_type": "mistral", "sliding_window": 16},
    "qwen2": LLAMA
    | {
        "model_type": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 16,
        "max_window_layers": 2,
    },
    "gemma3": LLAMA | {"model_type": "gemma3_text", "sliding_window": 16, "head_dim": 8},
}


@pytest.mark.parametrize("family", WINDOWS)
def test_packed_sequences_keep_their_windows(family: str) -> None:
    """The first sequence is longer than the window; logits and gradients are those of each alone."""
    packed, alone = (with_noise(tiny(WINDOWS[family])) for _ in range(2))
    alone.load_state_dict(packed.state_dict())
    attend_by_sequence(packed)
    require_apart(packed, CPU, 40)
    lengths = (40, 7, 1, 25)
    ids = (torch.arange(sum(lengths)) * 7 + 5) % 48
    packing = Packing.of(lengths)
    weights = torch.randn(sum(lengths), 48, generator=torch.Generator().manual_seed(1))
    with unmasked():
        found = packed(
            input_ids=ids[None],
            position_ids=packing.position_ids,
            packing=packing,
            use_cache=False,
        ).logits[0]
        rows = [alone(input_ids=row[None], use_cache=False).logits[0] for row in ids.split(lengths)]
    expected = torch.cat(rows)
    assert torch.allclose(found, expected, atol=1e-5 * float(expected.detach().std()))
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    others = dict(alone.named_parameters())
    for name, parameter in packed.named_parameters():
        own, other = parameter.grad, others[name].grad
        assert own is not None and other is not None, name
        assert torch.allclose(own, other, atol=1e-4 * float(own.abs().max())), name


@pytest.mark.parametrize(
    "config",
    [
        LLAMA | {"model_type": "lfm2", "layer_types": ["conv", "full_attention"] * 2},
        LLAMA
        | {
            "model_type": "llama4_text",
            "attention_chunk_size": 16,
            "head_dim": 8,
            "num_local_experts": 2,
            "intermediate_size_mlp": 24,
        },
    ],
    ids=["a convolution", "chunks of positions"],
)
def test_what_goes_on_from_one_sequence_to_the_next_is_refused(config: dict[str, Any]) -> None:
    """In a model that has learnt nothing, whose logits hardly show it."""
    model = tiny(config)
    attend_by_sequence(model)
    with pytest.raises(
        UserError, match="see one another in this model, or their positions or windows"
    ):
        require_apart(model, CPU, 40)


def test_what_packing_cannot_do_is_told_before_a_run() -> None:
    changes = Changes(settings=("training.batching=packed",), methods=("fft",))
    (cell,) = load_suite("smoke", changes).cells
    config = LLAMA | {
        "model_type": "mixtral",
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "output_router_logits": True,
    }
    experts = cell.model.model_copy(
        update={"path": None, "config": config, "tokenizer": "embedded"}
    )
    (told,) = check_cells([cell.model_copy(update={"model": experts})]).problems
    assert "the loss that balances the routers" in told


def test_each_batching_of_a_model_is_checked() -> None:
    """One that is padded, checked before a packed one of the same method, says nothing of it."""
    padded, packed = smoke_cell(), smoke_cell(batching="packed")
    config = LLAMA | {"model_type": "stablelm"}
    other = padded.model.model_copy(update={"path": None, "config": config})
    cells = [cell.model_copy(update={"model": other}) for cell in (padded, packed)]
    (told,) = check_structures(cells).problems
    assert "0 of its 4 layers" in told


def test_a_model_that_can_only_be_planned_is_checked_too() -> None:
    packed = smoke_cell(batching="packed")
    update = {"path": None, "config": LLAMA | {"model_type": "nemotron"}, "tokenizer": None}
    other = packed.model.model_copy(update=update)
    (told,) = check_structures([packed.model_copy(update={"model": other})]).problems
    assert "0 of its 4 layers" in told


RECURRENT = {"num_hidden_layers": 3, "lru_width": 16, "attention_window_size": 16}


@pytest.mark.parametrize(
    "model_type", ["falcon", "stablelm", "nemotron", "recurrent_gemma", "lfm2"]
)
def test_attention_that_is_not_told_is_refused_before_a_run(model_type: str) -> None:
    """Falcon's attention is its own, layers of StableLM and Nemotron hand nothing on to theirs, and some
    layers of the others have none.
    """
    changes = Changes(settings=("training.batching=packed",), methods=("fft",))
    (cell,) = load_suite("smoke", changes).cells
    unknown = {"intermediate_size", "num_key_value_heads"} if model_type == "falcon" else set()
    config = {k: v for k, v in LLAMA.items() if k not in unknown} | {"model_type": model_type}
    if model_type == "recurrent_gemma":
        config |= RECURRENT
        del config["max_position_embeddings"]
    if model_type == "lfm2":
        config |= {"layer_types": ["conv", "full_attention"] * 2}
    update = {"path": None, "config": config, "tokenizer": "embedded"}
    other = cell.model.model_copy(update=update)
    (told,) = check_cells([cell.model_copy(update={"model": other})]).problems
    assert "layers be told which tokens" in told
