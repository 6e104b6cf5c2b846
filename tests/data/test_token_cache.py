from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
from transformers import PreTrainedTokenizerFast

from lwft_bench.data import token_cache
from lwft_bench.data.batching import TokenisedExamples, tokenise
from lwft_bench.data.examples import Example
from lwft_bench.data.token_cache import cached_pairs

EXAMPLES = [Example("Q: 1+1=", " 2"), Example("", " no"), Example("Q: ab", "bab")]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files appear."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(token_cache, "CACHED_FROM", len(EXAMPLES))
    return tmp_path / "lwft-bench" / "tokens"


def tokenised(
    tokenizer: PreTrainedTokenizerFast, examples: list[Example] = EXAMPLES
) -> TokenisedExamples:
    return tokenise(examples, tokenizer, 64, "target")


def never() -> NoReturn:
    raise AssertionError("this is in the cache")


def test_a_second_cell_reads_what_the_first_has_tokenised(
    merging_tokenizer: PreTrainedTokenizerFast, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tokenised(merging_tokenizer)
    (file,) = files.iterdir()
    found = cached_pairs(EXAMPLES, merging_tokenizer, never)
    assert [len(prompt) for prompt, _ in found] == first.num_prompt_tokens
    assert tokenised(merging_tokenizer) == first
    assert [*files.iterdir()] == [file]
    monkeypatch.setattr(token_cache, "CACHED_FROM", 99)
    assert tokenised(merging_tokenizer) == first


def test_other_texts_and_other_tokenizers_have_other_files(
    merging_tokenizer: PreTrainedTokenizerFast, tokenizer: PreTrainedTokenizerFast, files: Path
) -> None:
    tokenised(merging_tokenizer)
    tokenised(tokenizer)
    assert len([*files.iterdir()]) == 2
    moved = [Example("Q: 1+1= ", "2"), *EXAMPLES[1:]]  # the same text, with another boundary
    assert tokenised(tokenizer, moved).num_prompt_tokens != tokenised(tokenizer).num_prompt_tokens
    assert len([*files.iterdir()]) == 3


def test_small_sets_leave_no_file(tokenizer: PreTrainedTokenizerFast, files: Path) -> None:
    tokenised(tokenizer, EXAMPLES[:2])
    assert not files.exists()


def test_a_file_that_was_cut_short_is_made_again(
    tokenizer: PreTrainedTokenizerFast, files: Path
) -> None:
    first = tokenised(tokenizer)
    (file,) = files.iterdir()
    whole = file.read_bytes()
    for size in (0, 5, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        assert tokenised(tokenizer) == first
        assert file.read_bytes() == whole
    assert [*files.iterdir()] == [file]


def test_without_a_folder_to_write_to_nothing_is_kept(
    tokenizer: PreTrainedTokenizerFast, files: Path
) -> None:
    files.parent.write_text("a file where the folder should be")
    assert len(tokenised(tokenizer)) == 3
