from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.profiler import ProfilerActivity, profile

from lwft_bench.memory.accounting import HOST, MemoryAccount, rounded
from lwft_bench.memory.fake import fake_model

KIB = 1024
BATCH, LENGTH, VOCABULARY = 3, 24, 256


@pytest.fixture(autouse=True)
def no_garbage_collector() -> Iterator[None]:
    """Frees must be seen without its help."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(params=["real", "fake"])
def mode(request: pytest.FixtureRequest) -> contextlib.AbstractContextManager[Any]:
    return FakeTensorMode() if request.param == "fake" else contextlib.nullcontext()


def kib(n: int) -> torch.Tensor:
    return torch.empty(n * KIB, dtype=torch.uint8)


class TestStorages:
    def test_counted_once_and_freed_at_once(
        self, mode: contextlib.AbstractContextManager[Any]
    ) -> None:
        with mode, MemoryAccount() as account:
            x = kib(4)
            views = [x[1:], x.view(2, -1), x.detach()]
            assert account.live_bytes == 4 * KIB
            del x
            assert account.live_bytes == 4 * KIB
            del views
            assert account.live_bytes == 0
        assert account.peak_bytes == 4 * KIB

    def test_free_is_seen_after_leaving(self) -> None:
        with MemoryAccount() as account:
            x = kib(4)
        del x
        assert account.live_bytes == 0

    def test_resize(self, mode: contextlib.AbstractContextManager[Any]) -> None:
        with mode, MemoryAccount() as account:
            x = kib(1)
            x.resize_(3 * KIB)
            assert account.live_bytes == 3 * KIB
            y = torch.empty(0, dtype=torch.uint8)
            torch.bitwise_not(x, out=y)
            assert account.live_bytes == 6 * KIB

    def test_swapped_data(self, mode: contextlib.AbstractContextManager[Any]) -> None:
        with mode, MemoryAccount() as account:
            x, y = kib(1), kib(2)
            x.data = y
            assert account.live_bytes == 2 * KIB
            z = kib(4)
            z.set_(y)
            assert account.live_bytes == 2 * KIB
            del x, y
            assert account.live_bytes == 2 * KIB

    def test_saved_for_backward_until_used(
        self, mode: contextlib.AbstractContextManager[Any]
    ) -> None:
        with mode, MemoryAccount() as account:
            x = torch.empty(KIB, requires_grad=True)
            loss = x.exp().sum()
            assert account.live_bytes == 2 * 4 * KIB + 4
            loss.backward()
            assert account.live_bytes == 2 * 4 * KIB + 4
            x.grad = None
            assert account.live_bytes == 4 * KIB + 4

    def test_operations_that_return_lists(
        self, mode: contextlib.AbstractContextManager[Any]
    ) -> None:
        with mode, MemoryAccount() as account:
            xs = torch._foreach_neg([torch.empty(KIB), torch.empty(KIB)])
            assert account.live_bytes == 2 * 4 * KIB
            del xs
            assert account.live_bytes == 0


class TestComponents:
    def test_innermost_wins(self) -> None:
        with MemoryAccount() as account:
            with account.component("staging"):
                a = kib(1)
                with account.component("optimizer_state"):
                    b = kib(2)
                c = a + 1
            assert account.live == {"staging": 2 * KIB, "optimizer_state": 2 * KIB}
            del a, b, c
        assert account.report().component_peaks == {
            "staging": 2 * KIB,
            "optimizer_state": 2 * KIB,
        }

    def test_default_is_activations_where_a_graph_is_recorded(self) -> None:
        with MemoryAccount() as account:
            a = kib(1)
            with torch.no_grad():
                b = kib(2)
                with account.phase("forward"):
                    c = kib(4)
            assert account.live == {"activations": 5 * KIB, "rest": 2 * KIB}
            del a, b, c

    def test_adopt_counts_what_existed_before(self) -> None:
        weights = [kib(4), kib(2)]
        account = MemoryAccount()
        account.adopt([*weights, weights[0][1:]], "weights")
        assert account.live == {"weights": 6 * KIB}

    def test_host_is_counted_apart(self) -> None:
        slab = kib(8)
        with MemoryAccount() as account:
            account.exclude([slab])
            with account.component(HOST):
                slab[:KIB].clone()
            bucket = kib(1)
            bucket.copy_(slab[:KIB])
        report = account.report()
        assert account.live == {"activations": KIB}
        assert report.components == report.component_peaks == {"activations": KIB}
        assert (report.peak_bytes, report.host_peak_bytes) == (KIB, 9 * KIB)

    def test_relabelling_reaches_back_to_the_peak(self) -> None:
        with torch.no_grad(), MemoryAccount() as account:
            early = kib(4)
            peak = kib(8)
            del peak
            late = kib(2)
            account.relabel(early, "gradients")
            account.relabel(late, "gradients")
            assert account.live == {"gradients": 6 * KIB}
        assert account.report().components == {"gradients": 4 * KIB, "rest": 8 * KIB}


class TestPhases:
    def test_each_has_its_peak_and_counts_in_the_outer_one(self) -> None:
        with MemoryAccount() as account:
            x = kib(1)
            with account.phase("probe"):
                with account.phase("forward"):
                    kib(8)
                y = kib(2)
            with account.phase("forward"):
                kib(4)
            with account.phase("update"):
                del y
            kib(16)
            del x
        report = account.report()
        assert report.phases == {
            "probe": 9 * KIB,
            "probe/forward": 9 * KIB,
            "forward": 7 * KIB,
            "update": 3 * KIB,
        }
        assert report.peak_bytes == 17 * KIB

    def test_same_phase_again_keeps_the_higher_peak(self) -> None:
        with MemoryAccount() as account:
            for size in (2, 4, 1):
                with account.phase("forward"):
                    kib(size)
        assert account.report().phases == {"forward": 4 * KIB}


def test_rounding() -> None:
    assert [rounded(n) for n in (0, 1, 512, 513)] == [0, 512, 512, 1024]
    with MemoryAccount() as account:
        x, y = torch.empty(1), torch.empty(200)
        del x, y
    report = account.report()
    assert (report.peak_bytes, report.rounded_peak_bytes) == (804, 512 + 1024)


def test_mlp_by_hand(mode: contextlib.AbstractContextManager[Any]) -> None:
    batch, inner, outer = 5, 32, 16
    float32 = 4
    with mode, MemoryAccount() as account:
        x = torch.empty(batch, outer)
        first = torch.empty(inner, outer, requires_grad=True)
        second = torch.empty(outer, inner, requires_grad=True)
        account.adopt([x, first, second], "weights")
        weights = float32 * (batch * outer + 2 * inner * outer)
        hidden, output = float32 * batch * inner, float32 * batch * outer
        with account.phase("forward"):
            # relu keeps its output, and its input dies with the expression
            y = F.relu(x @ first.t()) @ second.t()
            loss = y.sum()
            del y
        assert account.live == {"weights": weights, "activations": hidden + float32}
        for parameter in (first, second):
            parameter.register_post_accumulate_grad_hook(
                lambda parameter: account.relabel(parameter.grad, "gradients")
            )
        with account.phase("backward"):
            loss.backward()
        gradient = float32 * inner * outer
    report = account.report()
    assert report.component_peaks["gradients"] == 2 * gradient
    # The loss's gradient is one number, expanded. As relu's gradient appears, the gradient of its
    # output, the saved output and the second weight's gradient are there; at the first weight's
    # gradient relu's gradient is left of these.
    one = float32
    assert report.phases == {
        "forward": weights + max(2 * hidden, hidden + output + float32),
        "backward": weights + float32 + one + max(3 * hidden + gradient, hidden + 2 * gradient),
    }


def test_gradients_freed_in_hooks_are_never_there_together() -> None:
    weights = [torch.empty(64, 64, requires_grad=True) for _ in range(4)]
    with MemoryAccount() as account:

        def free(parameter: torch.Tensor) -> None:
            account.relabel(parameter.grad, "gradients")
            parameter.grad = None

        for weight in weights:
            weight.register_post_accumulate_grad_hook(free)
        x = torch.ones(1, 64)
        for weight in weights:
            x = x @ weight
        x.sum().backward()
        assert "gradients" not in account.live
    assert account.report().component_peaks["gradients"] == 4 * 64 * 64


class Traced(MemoryAccount):
    """Notes what is live after every operation."""

    def __init__(self) -> None:
        super().__init__()
        self.trace: list[tuple[str, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        if func.namespace != "prim":  # fake tensors ask for their device
            self.trace.append((str(func), self.live_bytes))
        return result


class LlamaStep:
    """Training steps of a small Llama: hooks, fused AdamW, each gradient freed once used."""

    def __init__(
        self,
        *,
        attention: str = "sdpa",
        checkpointing: bool = False,
        dtype: torch.dtype = torch.float32,
        mode: FakeTensorMode | None = None,
        keep: Callable[[], object] = lambda: None,
    ) -> None:
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            attention_dropout=0.1 if attention == "eager" else 0.0,
            attn_implementation=attention,
        )
        torch.manual_seed(0)
        with torch.device("cpu" if mode is None else "meta"):
            model = LlamaForCausalLM(config).to(dtype)
        self.model = model if mode is None else fake_model(model, mode)
        self.model.train()
        if checkpointing:
            enable = getattr(self.model, "activation_checkpointing_enable", None)
            enable = enable or self.model.gradient_checkpointing_enable  # its name before
            enable({"use_reentrant": False})
        self.dtype, self.attention, self.keep = dtype, attention, keep
        self.kept: object = None
        self.state: dict[torch.nn.Parameter, list[torch.Tensor]] = {}

    def batch(self, padding: int) -> dict[str, torch.Tensor]:
        mask = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril().repeat(BATCH, 1, 1, 1)
        mask[1:, :, :, LENGTH - padding :] = False
        if self.attention == "eager":
            mask = torch.zeros(mask.shape, dtype=self.dtype).masked_fill_(
                ~mask, torch.finfo(self.dtype).min
            )
        return {
            "input_ids": torch.randint(0, VOCABULARY, (BATCH, LENGTH)),
            "attention_mask": mask,
            "position_ids": torch.arange(LENGTH).repeat(BATCH, 1),
        }

    def __call__(self, account: MemoryAccount, batch: dict[str, torch.Tensor]) -> None:
        with account.phase("forward"):
            hidden = self.model.model(**batch, use_cache=False).last_hidden_state
            self.kept = self.kept or self.keep()
            with account.component("logits_and_loss"):
                logits = self.model.lm_head(hidden).float()
                targets = batch["input_ids"].view(-1)
                loss = F.cross_entropy(logits.view(-1, VOCABULARY), targets, reduction="sum")
                loss = loss / (BATCH * LENGTH)
            del hidden, logits
        with account.phase("backward"):
            loss.backward()
        with account.phase("update"), torch.no_grad():
            for parameter in self.model.parameters():
                self.update(account, parameter)

    def update(self, account: MemoryAccount, parameter: torch.nn.Parameter) -> None:
        if parameter not in self.state:
            with account.component("optimizer_state"):
                zeros = [torch.zeros_like(parameter) for _ in range(2)]
                self.state[parameter] = [*zeros, torch.zeros(())]
        average, square, step = self.state[parameter]
        step.add_(torch.ones(()))
        torch._fused_adamw_(
            [parameter], [parameter.grad], [average], [square], [], [step],
            lr=1e-3, beta1=0.9, beta2=0.999, weight_decay=0.0, eps=1e-8, amsgrad=False,
            maximize=False, grad_scale=None, found_inf=None,
        )  # fmt: skip
        parameter.grad = None


def run_llama(*, fake: bool, padding: int = 0, **options: Any) -> Traced:
    mode = FakeTensorMode() if fake else None
    step = LlamaStep(mode=mode, **options)
    account = Traced()
    for parameter in step.model.parameters():
        parameter.register_post_accumulate_grad_hook(
            lambda parameter: account.relabel(parameter.grad, "gradients")
        )
    with mode or contextlib.nullcontext(), account:
        account.adopt([*step.model.parameters(), *step.model.buffers()], "weights")
        for _ in range(2):
            step(account, step.batch(padding))
    return account


@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointing"])
@pytest.mark.parametrize("padding", [0, 5], ids=["unpadded", "padded"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bf16"])
def test_fake_step_is_the_real_step_to_the_byte(
    dtype: torch.dtype, attention: str, padding: int, checkpointing: bool
) -> None:
    real, fake = (
        run_llama(
            fake=fake,
            dtype=dtype,
            attention=attention,
            padding=padding,
            checkpointing=checkpointing,
        )
        for fake in (False, True)
    )
    assert real.trace == fake.trace
    assert real.report() == fake.report()


def test_components_of_a_step_are_the_arithmetic() -> None:
    step = LlamaStep()
    weights = sum(p.numel() * 4 for p in step.model.parameters())
    num_parameters = len(list(step.model.parameters()))
    peaks = run_llama(fake=True).report().component_peaks
    assert peaks["gradients"] == weights
    assert peaks["weights"] == weights + sum(b.numel() * 4 for b in step.model.buffers())
    assert peaks["optimizer_state"] == 2 * weights + 4 * num_parameters
    # logits and their log-softmax, then loss, the count of targets and the mean
    assert peaks["logits_and_loss"] == 2 * BATCH * LENGTH * VOCABULARY * 4 + 3 * 4


def test_stray_tensor_is_noticed() -> None:
    real = run_llama(fake=False, keep=lambda: [kib(1024)])
    fake = run_llama(fake=True)
    assert real.report() != fake.report()
    assert real.peak_bytes == fake.peak_bytes + 2**20


@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointing"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_profiler_is_of_the_same_opinion(attention: str, checkpointing: bool) -> None:
    """The unwatched step, as torch's own profiler sees its allocator."""

    def prepared() -> tuple[LlamaStep, dict[str, torch.Tensor]]:
        step = LlamaStep(attention=attention, checkpointing=checkpointing)
        batch = step.batch(padding=5)
        step(MemoryAccount(), batch)
        return step, batch

    step, batch = prepared()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        step(MemoryAccount(), batch)
    sizes = [
        event.nbytes()
        for event in profiled.profiler.kineto_results.events()
        if event.name() == "[memory]"
    ]
    random_state = torch.get_rng_state().nbytes
    live = peak = 0
    for nbytes in sizes:
        live += 0 if abs(nbytes) == random_state else nbytes
        peak = max(peak, live)

    step, batch = prepared()
    account = MemoryAccount()
    account.adopt([*step.model.parameters(), *step.model.buffers()], "weights")
    account.adopt([t for state in step.state.values() for t in state], "optimizer_state")
    account.adopt(batch.values(), "rest")
    before = account.live_bytes
    with account:
        step(account, batch)
    # Eager attention saves its scale, a number, in every layer; the profiler sees it as 8 bytes.
    saved_scales = 2 * 8 if attention == "eager" else 0
    assert 0 <= peak - (account.peak_bytes - before) <= saved_scales
