"""The models that trainers are measured on: one that ships with the package, two drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

PERIOD = 2
"""Steps for which layer-wise methods keep a selection: short, so that ten turns see several."""
NUM_ACTIVE = 2
LORA = {"r": 32, "alpha": 64, "dropout": 0.05}
LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "up_proj", "down_proj")
LR = 1e-4
EPS = 1e-5
"""AdamW's. With 1e-8 single weights whose gradient is next to nothing would move by its rounding, and
the same training could not be told from another."""
ALLOWED = 0.05
"""Learning rates that the bare loop may end apart from this trainer's padded steps."""


@dataclass(frozen=True, slots=True)
class Size:
    """hidden: None is the embedded model with its own tokenizer. length: tokens, longer ones are cut."""

    name: str
    batch_size: int
    length: int
    hidden: int | None = None
    layers: int = 8
    vocabulary: int = 0

    @property
    def shape(self) -> dict[str, object]:
        """A transformers config."""
        assert self.hidden is not None
        return {
            "model_type": "llama",
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "intermediate_size": self.hidden * 11 // 4,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.hidden // 32,
            "num_key_value_heads": self.hidden // 32,
            "max_position_embeddings": 1024,
            "tie_word_embeddings": False,
        }


SIZES = {
    size.name: size
    for size in (
        Size("embedded", batch_size=4, length=512),
        Size("llama-6m", batch_size=6, length=320, hidden=192, layers=8, vocabulary=6000),
        Size("llama-14m", batch_size=6, length=320, hidden=256, layers=12, vocabulary=8000),
    )
}
