"""A trunk that stays as it is while what stands on it learns (as ATC does after pre-training, arXiv 2009.08319).

    learns    the head, and the last `thaw` layers (of a decoder, where there is an encoder too)
    frozen    all else: embeddings, the layers before, the encoder, the last norm

A head that is tied to the embedding is untied first: it begins as a copy and learns alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from torch import nn

from rltf_env.errors import UnknownName, UsageError

Frozen = Literal["trunk"]
SHOWN = 20  # names of modules, in an error


def check(freeze: str | None, thaw: int, lora: Mapping[str, Any] | None) -> None:
    """Refuses options that cannot be, before anything is loaded or changed."""
    if freeze is None:
        if thaw != 1:
            raise UsageError(f'Expected policy.freeze = "trunk" with policy.thaw, got thaw = {thaw} alone.')
        return
    if freeze != "trunk":
        raise UnknownName("value of policy.freeze", str(freeze), ("trunk",))
    if thaw < 0:
        raise UsageError(f"Expected policy.thaw >= 0, the layers that learn, got {thaw}.")
    if lora is not None:
        raise UsageError(
            "Expected policy.freeze or policy.lora, got both: adapters already leave all other weights as they are."
        )


def freeze(model: Any, thaw: int) -> None:
    """Lets only the head and the last `thaw` layers of a model learn.

    Raises:
        UsageError: no layers are found, there are fewer than `thaw`, there is no head, or a layer that learns shares
            weights with one that does not.
    """
    found, head = layers(model), model.get_output_embeddings()
    if head is None:
        raise UsageError(f"Expected a model with a head for policy.freeze, got {type(model).__name__} without one.")
    if thaw > len(found):
        raise UsageError(f"Expected policy.thaw <= {len(found)}, the model's layers, got {thaw}.")
    _untie(model, head)
    model.requires_grad_(False)
    learning = [head, *found[len(found) - thaw :]]
    for part in learning:
        part.requires_grad_(True)
    _check_apart(model, learning)


def layers(model: Any) -> list[nn.Module]:
    """The layers of a model in their order; of one with an encoder, those of its decoder.

    They are the largest list of modules that lies in no other list.

    Raises:
        UsageError: there is none.
    """
    part = model.get_decoder() if model.config.is_encoder_decoder else model
    lists = list(_lists(part))
    if not lists:
        names = ", ".join([name for name, _ in part.named_modules() if name][:SHOWN]) or "none"
        raise UsageError(
            f"Expected a model whose layers stand in a list for policy.freeze, got {type(model).__name__} with the modules "
            f"{names}. Leave policy.freeze out."
        )
    return list(max(lists, key=lambda each: sum(p.numel() for p in each.parameters())))


def _lists(module: nn.Module) -> Iterator[nn.ModuleList]:
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield child
        else:
            yield from _lists(child)


def _untie(model: Any, head: nn.Module) -> None:
    """Gives the head a matrix of its own where it has another module's.

    The config says so, for a saved model would be tied again. Where more is tied than the head, as an encoder's embedding to a
    decoder's, it goes on saying that weights are tied: two matrices that are both saved and differ stay two.
    """
    weight = head.weight
    sharing = [name for name, p in model.named_parameters(remove_duplicate=False) if p is weight]
    if len(sharing) == 1:
        return
    head.weight = nn.Parameter(weight.detach().clone())  # type: ignore[arg-type]
    if len(sharing) == 2:
        for config in {id(each): each for each in (model.config, model.config.get_text_config(decoder=True))}.values():
            config.tie_word_embeddings = False


def _check_apart(model: nn.Module, learning: list[nn.Module]) -> None:
    """Refuses layers of which a frozen part is made, too: it would not stay as it is."""
    inside = {id(module) for part in learning for module in part.modules()}
    own = {id(p) for part in learning for p in part.parameters()}
    for name, module in model.named_modules():
        if id(module) not in inside and any(id(p) in own for p in module.parameters(recurse=False)):
            raise UsageError(
                f"Expected layers with weights of their own for policy.freeze, got {name!r}, which is frozen and shares some "
                "with what learns. Choose another policy.thaw, or leave policy.freeze out."
            )
