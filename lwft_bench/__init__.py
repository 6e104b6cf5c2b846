"""A benchmark and ablation harness for layer-wise fine-tuning of language models."""

__version__ = "0.1.0"
