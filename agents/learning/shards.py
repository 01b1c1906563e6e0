"""A learner whose weights, gradients and moments are shared out over the ranks: FSDP2 (`torch.distributed.fsdp.fully_shard`).

    [scale] ranks = N, shard = true

Each rank holds a part of every tensor. A layer's weights are gathered when it is read, forwards and backwards,
and let go again. Its gradients are summed over the ranks, and each keeps its part. So all ranks make equally
many passes (`Ranks.idle`), and none reads by itself.

Whoever does (writing, measuring, saving: rank 0) gets a plain model with all weights for it (`whole_model`).
That gathers them once, and costs rank 0 their room while it lasts: a quarter of what a learner takes in float32.

Two passes through a model before one backward pass do not go together with this: what the first has cached
reaches the loss past the layers' outputs, and nobody gathers their weights again. A decoder that is sharded
reads each row whole instead.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from agents import parallel
from agents.core import Policy
from rltf_env.errors import UsageError

T = TypeVar("T")
SKELETON = "_rltf_skeleton"  # of a sharded model: the same without weights


def is_sharded(module: nn.Module) -> bool:
    """Whether each rank has a part of the module's weights."""
    return SKELETON in vars(module)


def share_out(policy: Policy[Any], parts: Iterable[nn.Module]) -> None:
    """Shares the parts of a learner out over the current ranks, if those share weights at all.

    Args:
        policy: whose model is read; questions about it are asked before, since nobody could ask them alone afterwards.
        parts: of its model and beside it, whole; those that are shared out already stay so.

    Raises:
        UsageError: a policy that is read in more than one pass, or a compiled model.
    """
    ranks = parallel.current()
    if not ranks.sharded:
        return
    _check(policy)
    for part in parts:
        if not is_sharded(part):
            _shard(part, policy.device, ranks.world)


def share_copy(policy: Policy[Any]) -> None:
    """Shares out a policy's copy that does not learn, as `share_out` does."""
    share_out(policy, [policy.model])


def _check(policy: Any) -> None:
    if not getattr(policy, "can_shard", False):
        raise UsageError(
            f"Expected a decoder (policy.kind = 'causal') with scale.shard = true, got {type(policy).__name__}: its model is read "
            "in parts. Remove scale.shard: with scale.ranks alone every rank has all weights."
        )
    if getattr(policy.model, "_compiled_call_impl", None) is not None:
        raise UsageError("Expected a model that is not compiled with scale.shard = true. Remove one of the two.")
    if not is_sharded(policy.model):
        policy.settle()


def _shard(module: nn.Module, device: torch.device, world: int) -> None:
    """Layers first, each a group of its own, then what is left."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard  # half a second, for those who need it

    object.__setattr__(module, SKELETON, _skeleton(module))
    mesh = init_device_mesh(device.type, (world,))
    names = {name for part in module.modules() for name in getattr(part, "_no_split_modules", None) or ()}
    for part in [part for part in module.modules() if type(part).__name__ in names]:
        fully_shard(part, mesh=mesh)
    parallel.current().roots.append(fully_shard(module, mesh=mesh))


def _skeleton(module: nn.Module) -> nn.Module:
    """The module without its weights, which take no room."""
    memo: dict[int, Any] = {
        id(p): nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=p.requires_grad)
        for p in module.parameters()
    }
    return copy.deepcopy(module, memo)


# ------------------------------------------------------------------------------------------------------------- gathered


@contextmanager
def whole_model(policy: Policy[Any]) -> Iterator[None]:
    """In this block rank 0's policy has a plain model with the present weights; all ranks enter it.

    The other ranks' policies stay as they are, and are not to be read there. What is learnt in the block is lost.
    """
    sharded = policy.model
    if not is_sharded(sharded):
        yield
        return
    weights = [_of_first(p) for p in sharded.parameters()]
    if not parallel.current().leads:
        yield
        return
    policy.model = _filled(sharded, weights)
    try:
        yield
    finally:
        policy.model = sharded


def _of_first(tensor: Tensor) -> Tensor:
    """The whole tensor on rank 0, where it is; on the others nothing of it. All ranks ask."""
    every = whole(tensor)
    return every if parallel.current().leads else every.new_empty(0)


def _filled(sharded: nn.Module, weights: Iterable[Tensor]) -> nn.Module:
    """A plain model with these weights, and all else as in the sharded one."""
    skeleton: nn.Module = getattr(sharded, SKELETON)
    holes = zip(skeleton.parameters(), weights, strict=True)
    memo: dict[int, Any] = {id(hole): nn.Parameter(value, requires_grad=hole.requires_grad) for hole, value in holes}
    plain = copy.deepcopy(skeleton, memo)
    for own, theirs in zip(plain.buffers(), sharded.buffers(), strict=True):
        own.copy_(theirs)
    return plain.train(sharded.training)


def state_dict(module: nn.Module) -> dict[str, Any]:
    """The module's state with whole tensors: on rank 0 where it is sharded, and on the others nothing of it."""
    return module.state_dict() if not is_sharded(module) else gathered(module.state_dict())


def load_state_dict(module: nn.Module, state: Mapping[str, Any]) -> None:
    """Takes over whole tensors, of which a sharded module keeps its part."""
    own = module.state_dict()
    module.load_state_dict({name: part_like(value, own.get(name)) for name, value in state.items()})


def gathered(state: T) -> T:
    """Plain data with whole tensors in the place of shares, on the host. On the ranks other than 0 these are empty.

    All ranks ask at the same place.
    """
    if isinstance(state, Tensor):
        return cast(T, _of_first(state).cpu() if _is_part(state) else state)
    if isinstance(state, dict):
        return cast(T, {name: gathered(value) for name, value in state.items()})
    if isinstance(state, list):
        return cast(T, [gathered(value) for value in state])
    return state


def shared_out(state: Mapping[str, Any], leaves: Sequence[Tensor]) -> dict[str, Any]:
    """The state of an optimiser with whole tensors, cut as its parameters are: `leaves`, in their order."""
    cut = {
        index: {
            name: part_like(value, leaves[index]) if _is_like(value, leaves[index]) else value
            for name, value in of.items()
        }
        for index, of in state["state"].items()
    }
    return {**state, "state": cut}


def _is_like(value: Any, leaf: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == leaf.shape


def part_like(value: Any, own: Any) -> Any:
    """A rank's part of a whole tensor, cut as its `own`; or the value itself, where that is whole."""
    if not _is_part(own) or _is_part(value):
        return value
    from torch.distributed.tensor import distribute_tensor

    whole_one = value.detach().to(own.device)
    return distribute_tensor(whole_one, own.device_mesh, own.placements, src_data_rank=None)


@torch.no_grad()
def whole(tensor: Tensor) -> Tensor:
    """A tensor with all its numbers; all ranks ask for it."""
    return cast(Any, tensor.detach()).full_tensor() if _is_part(tensor) else tensor


def _is_part(value: Any) -> bool:
    """Whether it is a DTensor, of which this rank has a part."""
    return isinstance(value, Tensor) and hasattr(value, "full_tensor")


@contextmanager
def passes() -> Iterator[None]:
    """In this block models are read, by all ranks equally often. Afterwards no weights are left gathered.

    A pass without a backward pass leaves some behind, and they are not what is learnt next.
    """
    roots = parallel.current().roots
    if not roots:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "FSDP2-wrapped module", UserWarning)  # of views, which nobody here writes to
        yield
    for root in roots:
        if root._get_fsdp_state()._is_root:  # it has been read
            root.reset_iter_state()
