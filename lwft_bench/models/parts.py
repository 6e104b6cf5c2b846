"""Any transformers causal language model, seen as parts and layers.

Everything is found from the module tree; there is no table of model classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from lwft_bench.schema.errors import UserError
from lwft_bench.schema.units import Part

PARTS: tuple[Part, ...] = ("embed", "final_norm", "head", "other")


@dataclass(frozen=True)
class ModelParts:
    """A model's parameters, each in exactly one decoder layer or part.

    Names and their order are those of `named_parameters()` of the model given to `find_parts`. A
    tensor that occurs twice stands in `embed` when tied to the head, and otherwise in the first of
    the layers that share it.
    """

    layers: list[nn.Module]
    """Decoder layers, from the input on."""
    layer_parameters: list[dict[str, nn.Parameter]]
    """Per layer: qualified name -> parameter, adapters inside the layer included."""
    parts: dict[Part, dict[str, nn.Parameter]]
    """embed, final_norm, head and other: qualified name -> parameter."""
    decoder_path: str
    """Qualified name of the module list that holds the layers."""
    tied: bool
    """Whether the head uses the embedding's weight."""

    def num_parameters(self, part: Part | Literal["layers"] | None = None) -> int:
        """Parameters (elements) of one part, of all layers, or of the whole model."""
        groups = list(self.layer_parameters) if part in ("layers", None) else []
        groups += [self.parts[name] for name in PARTS if part in (name, None)]
        return sum(parameter.numel() for group in groups for parameter in group.values())


def find_parts(model: nn.Module) -> ModelParts:
    """See `model` as parts and decoder layers.

    - layers: entries of the decoder stack, the outermost `nn.ModuleList` that holds more parameters
      than all other outermost ones together, and none of embed and head. Entries may differ in
      class (hybrids of attention and state-space layers). Models inside that take pictures or sound
      are not looked into.
    - embed, head: what `get_input_embeddings` and `get_output_embeddings` return.
    - final_norm: the normalisation that stands next to the stack in its parent, or else in the
      nearest ancestor that has one.
    - other: the rest, such as position tables, projections, a normalisation of the embeddings.

    Works on meta-device models and on models wrapped by peft.

    Raises:
        UserError: there is no decoder stack.
    """
    causal_lm: Any = model  # peft's wrapper passes the next two calls on
    embedding = causal_lm.get_input_embeddings()
    head = causal_lm.get_output_embeddings()
    decoder_path, stack = _find_decoder_stack(model, apart_from=[embedding, head])

    owner: dict[int, Part | int] = {}

    def claim(module: nn.Module | None, part: Part | int) -> None:
        for parameter in [] if module is None else module.parameters():
            owner.setdefault(id(parameter), part)

    claim(embedding, "embed")
    for index, layer in enumerate(stack):
        claim(layer, index)
    claim(head, "head")
    claim(_find_final_norm(model, decoder_path), "final_norm")

    layer_parameters: list[dict[str, nn.Parameter]] = [{} for _ in stack]
    parts: dict[Part, dict[str, nn.Parameter]] = {part: {} for part in PARTS}
    for name, parameter in model.named_parameters():
        part = owner.get(id(parameter), "other")
        group = layer_parameters[part] if isinstance(part, int) else parts[part]
        group[name] = parameter

    found = ModelParts(
        layers=list(stack),
        layer_parameters=layer_parameters,
        parts=parts,
        decoder_path=decoder_path,
        tied=head is not None and any(owner[id(p)] == "embed" for p in head.parameters()),
    )
    assert found.num_parameters() == sum(p.numel() for p in model.parameters())
    return found


def _find_decoder_stack(
    model: nn.Module, apart_from: list[nn.Module | None]
) -> tuple[str, nn.ModuleList]:
    """Qualified name and module of the decoder stack."""
    embeddings = {id(p) for module in apart_from if module is not None for p in module.parameters()}
    stacks: dict[str, nn.ModuleList] = {}
    towers = [f"{name}." for name, module in model.named_modules() if name and _is_tower(module)]
    for name, module in model.named_modules():  # outer modules come before those inside them
        if (
            isinstance(module, nn.ModuleList)
            and not name.startswith(tuple(towers))
            and not any(name.startswith(f"{outer}.") for outer in stacks)
            and not any(id(p) in embeddings for p in module.parameters())
        ):
            stacks[name] = module
    sizes = {name: sum(p.numel() for p in stack.parameters()) for name, stack in stacks.items()}
    largest = max(sizes, key=sizes.__getitem__, default=None)
    if largest is None or sizes[largest] <= sum(sizes.values()) - sizes[largest]:
        seen = ", ".join(f"{name} ({size:,} parameters)" for name, size in sizes.items()) or "none"
        raise UserError(
            f"no decoder stack found in {type(model).__name__}: looked for an nn.ModuleList of"
            " layers, apart from the embeddings, that holds more parameters than all other module"
            f" lists together; module lists found: {seen}",
            "Layer-wise fine-tuning needs a causal language model whose decoder layers stand in one"
            " nn.ModuleList.",
        )
    _require_whole_layers(model, largest, stacks)
    return largest, stacks[largest]


def _require_whole_layers(model: nn.Module, path: str, stacks: dict[str, nn.ModuleList]) -> None:
    """Refuses models that keep attentions in one list and feed-forward networks in another (XLM)."""
    parent, length = path.rpartition(".")[0], len(stacks[path])
    beside = [
        name
        for name, stack in stacks.items()
        if name.rpartition(".")[0] == parent and len(stack) == length and list(stack.parameters())
    ]
    if len(beside) > 1 and length > 1:
        raise UserError(
            f"the layers of {type(model).__name__} are cut into parts that stand in"
            f" {len(beside)} lists: {', '.join(beside)}",
            "Layer-wise fine-tuning needs a causal language model whose decoder layers stand in one"
            " nn.ModuleList.",
        )


def _is_tower(module: nn.Module) -> bool:
    """Whether it is a transformers model of its own that takes something else than tokens.

    Some towers do not say what their input is called, but what it is.
    """
    takes = getattr(module, "main_input_name", None)
    if not isinstance(takes, str):
        return False
    kinds = getattr(module, "input_modalities", "text")
    return takes not in ("input_ids", "inputs_embeds") or "text" not in kinds


def _find_final_norm(model: nn.Module, decoder_path: str) -> nn.Module | None:
    """The normalisation between the last layer and the head, or None.

    Modules usually stand in the order of the forward pass, so the nearest one after the stack is
    meant. OPT's stands before it. Normalisations of the embeddings, which their names tell apart, may
    stand before it (Bloom) or after it (BART); LFM2's `embedding_norm` is none of them.
    """
    path = decoder_path.split(".")
    for depth in reversed(range(len(path))):
        children = list(model.get_submodule(".".join(path[:depth])).named_children())
        stack_at = [name for name, _ in children].index(path[depth])
        ranked = [
            ((at < stack_at, abs(at - stack_at)), child)
            for at, (name, child) in enumerate(children)
            if "norm" in type(child).__name__.lower()
            and not list(child.children())  # RobertaPreLayerNormEncoder is none
            and ("emb" not in name or (at > stack_at and name == "embedding_norm"))
        ]
        if ranked:
            return min(ranked, key=lambda entry: entry[0])[1]
    return None
