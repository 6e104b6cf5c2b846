"""Why training needs no attention mask, and what keeps it so on real and on fake tensors.

Training batches are padded on the right. In a causal model a token sees only what stands before
it, so no real token ever sees padding: the logits of real tokens are those of the unpadded rows,
with absolute, rotary and ALiBi positions and with sliding windows alike, and what the model
computes for padding is not counted in the loss. A mask would change nothing but the kernel (memory
efficient instead of flash) and the memory. So the model is called with `attention_mask=None`.

A ready-made 4-D mask, the other way, is passed through unchanged by transformers, but to every
layer: models that mix full and sliding attention (Gemma 2 and 3, Qwen 2) would lose their
windows, OPT and BLOOM derive positions from the mask and need a 2-D one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from transformers import PreTrainedModel, masking_utils


@contextmanager
def unmasked() -> Iterator[None]:
    """Inside, a model called with `attention_mask=None` reads no tensor to decide on a mask.

    Without a mask, transformers looks at the values of the position ids for sequences packed into
    one row, GPT-2 at the token ids for padding, and BART's family at a mask of ones that it makes
    itself. All wait for the device at every forward pass; and a fake tensor has no values, so that on
    fake tensors a mask is built which real ones do not have. Rows here hold one sequence each.
    """
    # create=True: a transformers without these functions does not look, and is left alone.
    with (
        patch.object(
            masking_utils, "find_packed_sequence_indices", lambda position_ids: None, create=True
        ),
        patch.object(
            masking_utils, "prepare_padding_mask", lambda *arguments, **options: None, create=True
        ),
        patch.object(
            PreTrainedModel,
            "warn_if_padding_and_no_attention_mask",
            lambda *arguments: None,
            create=True,
        ),
    ):
        yield
