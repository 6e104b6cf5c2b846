"""A model whose weights several processes share out (torch's fully_shard). Light to import.

Each process holds some rows of every parameter. A layer's others are there while it is used; those of
the root (embeddings, head and what stands beside the layers) from its forward pass to the end of the
backward pass. A forward pass, and to make a tensor whole, is something that all processes do together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn


PRETENDED = "pretended_rows"
"""The attribute of a tensor, in plans, that stands for the rows of it that a process holds."""


def share_out(model: nn.Module, device: torch.device) -> None:
    """Shares the model out over all processes, each layer and the root by itself.

    On the host it may be whole: a layer at a time goes to the device, of which only this process's rows
    stay there. Gradients are summed over processes; where one lacks a gradient, it counts as zeros.
    """
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    from lwft_bench.models.parts import find_parts

    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    for module in (*find_parts(model).layers, model):
        fully_shard(module, mesh=mesh)
        assert isinstance(module, FSDPModule)
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)
        module.set_reduce_scatter_unused_params(True, recurse=False)


def why_not_shared_out(model: nn.Module) -> str | None:
    """Why the model cannot be shared out; None if it can."""
    from lwft_bench.models.parts import find_parts

    modules: list[nn.Module] = list(find_parts(model).layers)
    owners: dict[nn.Parameter, int] = {}
    for number, module in enumerate((*modules, model)):
        kinds = set()
        for name, parameter in module.named_parameters():
            if parameter.dim() == 0:
                return f"{name} is a single number, which has no rows"
            if "experts" in name.split("."):
                return f"it is a mixture of experts ({name}), which has not been tried"
            if owners.setdefault(parameter, number) == number:
                kinds.add(parameter.dtype)
            elif module is not model:
                return f"its layers have parameters in common ({name})"
        if len(kinds) > 1:
            return (
                f"parameters of several dtypes stand together: {', '.join(sorted(map(str, kinds)))}"
            )
    embeddings: Any = model
    tables = (embeddings.get_input_embeddings(), embeddings.get_output_embeddings())
    inside = {owners[p] for table in tables if table is not None for p in table.parameters()}
    return None if inside <= {len(modules)} else "its embeddings stand inside a layer"


def is_shared_out(model: nn.Module) -> bool:
    """Whether `share_out` was called on it, or plans pretend so."""
    return hasattr(model, "reshard")


def settle(model: nn.Module) -> None:
    """After forward passes without gradients: lets go of the root's rows that are others'.

    Its parameters are this process's rows again. A model that is not shared out is left alone.
    """
    if is_shared_out(model):
        shared: Any = model
        shared.reshard()


def own_rows(tensor: torch.Tensor) -> torch.Tensor:
    """What of the tensor this process holds, without its history: all of it, unless it is shared out."""
    shared: Any = tensor
    if hasattr(tensor, "to_local"):
        tensor = shared.to_local()
    rows: torch.Tensor = getattr(tensor, PRETENDED, tensor)
    return rows.detach()


def first_element(tensor: torch.Tensor) -> int:
    """The number, in the whole tensor, of the first element that this process holds."""
    if not hasattr(tensor, "to_local"):
        return 0
    shared: Any = tensor
    rows = tensor.shape[0]
    each = -(-rows // shared.device_mesh.size())
    return min(each * shared.device_mesh.get_local_rank(), rows) * (tensor.numel() // rows)


def made_whole(tensor: torch.Tensor) -> torch.Tensor:
    """All of the tensor, where it is; of one that is shared out, a copy that all processes make."""
    shared: Any = tensor
    made: torch.Tensor = shared.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return made


def whole_state(model: nn.Module, *, kept: bool = True) -> dict[str, torch.Tensor] | None:
    """The state dict of a model that is shared out, made whole a tensor at a time, on the host.

    Args:
        kept: False: only to help others make theirs; it is empty.

    Returns:
        None for a model that is not shared out: its own state dict is whole.
    """
    if not is_shared_out(model):
        return None
    made: dict[int, torch.Tensor] = {}
    state = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in made:
            gathered = made_whole(tensor.detach()).cpu()
            made[id(tensor)] = gathered if kept else gathered.new_empty(0)
        if kept:
            state[name] = made[id(tensor)]
    return state
