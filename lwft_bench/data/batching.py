"""Training data as token ids, and the order in which a cell sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from lwft_bench.data.examples import Example
from lwft_bench.data.micro_batches import Packing, Splitting, padded_length
from lwft_bench.data.token_cache import TokenPair, cached_pairs
from lwft_bench.schema.cell import Batching, TrainingConfig
from lwft_bench.schema.errors import UserError

IGNORED = -100
"""The label of a token that does not count in the loss."""


@dataclass(frozen=True, slots=True)
class TokenisedExamples:
    """Examples as token ids: prompt, target and the end-of-sequence token, without padding."""

    token_ids: list[list[int]]
    num_prompt_tokens: list[int]
    loss_on: Literal["target", "all"]
    padding_id: int
    num_truncated: int = 0
    """Examples that were cut on the right to `max_length`."""
    num_dropped: int = 0
    """Examples left out because the loss is on targets and `max_length` cut the whole of theirs."""

    def __len__(self) -> int:
        return len(self.token_ids)


@dataclass(frozen=True, slots=True)
class Batch:
    """One micro-batch, padded on the right or packed into one row, on the CPU.

    labels are aligned with input_ids: the loss shifts them. Token counts are known without reading
    a tensor.
    """

    input_ids: torch.Tensor
    """[rows, padded length], int64"""
    labels: torch.Tensor
    """[rows, padded length], int64; `IGNORED` where a token does not count"""
    lengths: tuple[int, ...]
    """Tokens of each row, padding not counted"""
    num_tokens: int
    num_target_tokens: int
    """Labels that count once shifted: `(labels[:, 1:] != IGNORED).sum()`"""
    packing: Packing | None = None
    """None: every sequence has a row of its own."""


def encode_pair(
    tokenizer: PreTrainedTokenizerBase, prompt: str, target: str
) -> tuple[list[int], list[int]]:
    """Token ids of a prompt and of the text that follows it.

    The prompt's ids are those of the prompt alone, special tokens included, since that is what
    generation starts from. The target's are what the tokenizer adds to them when it sees both
    together (a SentencePiece tokenizer would put a second space before a target seen alone); where
    a token would span the boundary, those of the target alone. Training and the scoring of
    choices both use this function.
    """
    return _split(
        tokenizer, tokenizer(prompt).input_ids, tokenizer(prompt + target).input_ids, target
    )


def _split(
    tokenizer: PreTrainedTokenizerBase, prompt_ids: list[int], joint_ids: list[int], target: str
) -> tuple[list[int], list[int]]:
    if joint_ids[: len(prompt_ids)] == prompt_ids:
        return prompt_ids, joint_ids[len(prompt_ids) :]
    return prompt_ids, tokenizer(target, add_special_tokens=False).input_ids


def encode_pairs(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase
) -> list[TokenPair]:
    """`encode_pair` of many, faster."""
    prompts = tokenizer([example.prompt for example in examples]).input_ids
    joints = tokenizer([example.prompt + example.target for example in examples]).input_ids
    return [
        _split(tokenizer, alone, joint, example.target)
        for example, alone, joint in zip(examples, prompts, joints, strict=True)
    ]


def tokenise(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    loss_on: Literal["target", "all"],
) -> TokenisedExamples:
    """Tokenise, append the end-of-sequence token, and cut on the right to `max_length` tokens.

    Where the loss is on targets, an example that has no token of its target left teaches nothing and
    is left out.

    Raises:
        UserError: the tokenizer has no end-of-sequence token, or no target survives the cut.
    """
    end = tokenizer.eos_token_id
    if end is None:
        raise UserError(
            f"the tokenizer {tokenizer.name_or_path!r} has no end-of-sequence token",
            hint="name a tokenizer that has one under the model's `tokenizer`",
        )
    if not examples:
        return TokenisedExamples([], [], loss_on, end)
    pairs = cached_pairs(examples, tokenizer, lambda: encode_pairs(examples, tokenizer))
    token_ids, num_prompt_tokens = [], []
    num_truncated = num_dropped = 0
    for prompt, target in pairs:
        if loss_on == "target" and len(prompt) >= max_length:
            num_dropped += 1
            continue
        ids = [*prompt, *target, end]
        num_truncated += len(ids) > max_length
        token_ids.append(ids[:max_length])
        num_prompt_tokens.append(len(prompt))
    if not token_ids:
        raise UserError(
            f"training.max_length = {max_length} cuts the target of every example: the shortest "
            f"prompt has {min(len(prompt) for prompt, _ in pairs)} tokens",
            hint="raise training.max_length",
        )
    return TokenisedExamples(token_ids, num_prompt_tokens, loss_on, end, num_truncated, num_dropped)


def collate(examples: TokenisedExamples, indices: Sequence[int]) -> Batch:
    """The examples at `indices` as one micro-batch."""
    rows = [examples.token_ids[index] for index in indices]
    lengths = tuple(len(row) for row in rows)
    shape = (len(rows), padded_length(max(lengths)))
    input_ids = np.full(shape, examples.padding_id, dtype=np.int64)
    labels = np.full(shape, IGNORED, dtype=np.int64)
    num_target_tokens = 0
    for row, (index, ids) in enumerate(zip(indices, rows, strict=True)):
        start = examples.num_prompt_tokens[index] if examples.loss_on == "target" else 0
        input_ids[row, : len(ids)] = ids
        labels[row, start : len(ids)] = ids[start:]
        num_target_tokens += len(ids) - max(start, 1)  # the first token is nobody's next token
    return Batch(
        input_ids=torch.from_numpy(input_ids),
        labels=torch.from_numpy(labels),
        lengths=lengths,
        num_tokens=sum(lengths),
        num_target_tokens=num_target_tokens,
    )


def collate_packed(examples: TokenisedExamples, indices: Sequence[int]) -> Batch:
    """The same in one row, one sequence after the other."""
    padded = collate(examples, indices)
    real = [slice(0, length) for length in padded.lengths]
    labels = padded.labels.clone()
    labels[:, 0] = IGNORED  # nobody's next token; here one would stand before it
    return replace(
        padded,
        input_ids=torch.cat([row[part] for row, part in zip(padded.input_ids, real, strict=True)])[
            None
        ],
        labels=torch.cat([row[part] for row, part in zip(labels, real, strict=True)])[None],
        packing=Packing.of(padded.lengths),
    )


def _collating(batching: Batching) -> Callable[[TokenisedExamples, Sequence[int]], Batch]:
    return collate_packed if batching == "packed" else collate


def batches(examples: TokenisedExamples, batch_size: int, batching: Batching) -> list[Batch]:
    """All examples once, in their own order; the last batch may be smaller. For validation."""
    make = _collating(batching)
    return [
        make(examples, range(start, min(start + batch_size, len(examples))))
        for start in range(0, len(examples), batch_size)
    ]


def splitting_of(training: TrainingConfig) -> Splitting:
    """How a cell's steps are split."""
    return Splitting(training.batching, training.micro_batch_size, training.max_tokens)


ALL_AT_ONCE = Splitting()
"""One micro-batch, padded."""


class DataOrder:
    """An endless stream of training batches, shuffled anew each epoch.

    The order is a function of `seed` and the number of examples alone: every method of a suite sees
    the same one. An epoch's permutation is drawn from a generator seeded with (seed, epoch), so any
    position is reached without replaying what came before, and the state is one number. A batch
    may straddle two epochs.

    splitting: how the sequences of a step come into micro-batches; which they are does not depend on it.

    With several ranks the batches hold the same examples. Every rank draws the micro-batches of all,
    and so knows the step's tokens; rank r trains micro-batches r, r + num_ranks, and so on.
    """

    def __init__(
        self,
        examples: TokenisedExamples,
        *,
        batch_size: int,
        splitting: Splitting = ALL_AT_ONCE,
        seed: int,
        num_ranks: int = 1,
    ) -> None:
        assert batch_size >= num_ranks, "a rank would have nothing to train on"
        self._examples = examples
        self._batch_size = batch_size
        self._splitting = splitting
        self._seed = seed
        self._num_ranks = num_ranks
        self._num_drawn = 0
        self._epoch = -1
        self._permutation = np.empty(0, dtype=np.int64)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in which every example is seen at least once."""
        return -(-len(self._examples) // self._batch_size)

    def next_batch(self) -> list[Batch]:
        """The micro-batches of the next optimizer step, of all ranks."""
        end = self._num_drawn + self._batch_size
        indices = [self._example_at(position) for position in range(self._num_drawn, end)]
        self._num_drawn = end
        return self._micro_batches(indices)

    def longest_batch(self) -> list[Batch]:
        """The micro-batches that need most memory: the longest examples, of all ranks. Leaves the
        order alone.
        """
        lengths = [len(ids) for ids in self._examples.token_ids]
        longest_first = sorted(range(len(lengths)), key=lambda index: -lengths[index])
        return self._micro_batches(np.resize(longest_first, self._batch_size).tolist())

    def largest_share(self) -> list[Batch]:
        """What one rank has of the longest batch: the first rank's, which is never the smaller."""
        return self.longest_batch()[:: self._num_ranks]

    def state_dict(self) -> dict[str, Any]:
        return {"num_drawn": self._num_drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._num_drawn = state["num_drawn"]

    def _example_at(self, position: int) -> int:
        epoch, offset = divmod(position, len(self._examples))
        if epoch != self._epoch:
            generator = np.random.default_rng((self._seed, epoch))
            self._permutation = generator.permutation(len(self._examples))
            self._epoch = epoch
        return int(self._permutation[offset])

    def _micro_batches(self, indices: Sequence[int]) -> list[Batch]:
        make = _collating(self._splitting.batching)
        shares = [self._split(indices[rank :: self._num_ranks]) for rank in range(self._num_ranks)]
        # A later rank has at most as many rows as an earlier one, so the turns stay the ranks'.
        return [
            make(self._examples, share[number])
            for number in range(len(shares[0]))
            for share in shares
            if number < len(share)
        ]

    def _split(self, indices: Sequence[int]) -> list[list[int]]:
        lengths = [len(self._examples.token_ids[index]) for index in indices]
        return self._splitting.split(indices, lengths)
