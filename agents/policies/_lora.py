"""LoRA (arXiv 2106.09685) through the peft library: small matrices beside the frozen ones learn, and are merged on saving."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from agents.options import build, chosen
from rltf_env.errors import UsageError


@dataclass(frozen=True)
class Lora:
    """`[policy] lora = { r = 8, alpha = 16, targets = ["q_proj", "v_proj"] }`.

    Args:
        r: rank of the update of a matrix.
        alpha: its scale is alpha / r.
        targets: ends of the names of the linear layers that get one ("q" and "v" in T5); "all-linear": every one but the head.
    """

    r: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ("all-linear",)

    def __post_init__(self) -> None:
        if self.r < 1 or not self.alpha > 0 or not self.targets:
            raise UsageError(f"Expected r >= 1, alpha > 0 and at least one target, got {chosen(self)}.")


def attach(model: Any, options: Mapping[str, Any], seed: int) -> Any:
    """`model` with adapters, drawn with `seed`, as the only parameters that learn. At first they change nothing.

    Raises:
        UsageError: peft is not installed, or no layer has a name like the targets.
    """
    lora = build(Lora, dict(options), "policy.lora")
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise UsageError(f"policy.lora needs the peft library ({error}): pip install 'rltf[lora]'.") from error
    targets = "all-linear" if lora.targets == ("all-linear",) else list(lora.targets)
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,  # pyright: ignore[reportArgumentType] - any number will do
        target_modules=targets,
        lora_dropout=0.0,
        bias="none",
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.default_generator.manual_seed(seed)
        # peft 0.21 asks that way.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True`")  # refused below, in our words
        try:
            adapted = get_peft_model(model, config)
        except ValueError as error:
            raise UsageError(f"Expected policy.lora.targets to name linear layers of the model: {error}") from error
    _check_own(adapted)
    return adapted


def _check_own(adapted: Any) -> None:
    """Refuses adapters beside a matrix that two parts share: merged on saving, they would change both, and only one had learnt."""
    owners: dict[int, list[str]] = {}
    for name, parameter in adapted.named_parameters(remove_duplicate=False):
        owners.setdefault(parameter.data_ptr(), []).append(name)
    for name, module in adapted.named_modules():
        if not getattr(module, "lora_A", None) and not getattr(module, "lora_embedding_A", None):
            continue
        names = [each.removeprefix("base_model.model.") for each in owners[module.get_base_layer().weight.data_ptr()]]
        if len(names) > 1:
            raise UsageError(
                f"Expected policy.lora.targets to leave alone what {type(adapted.get_base_model()).__name__} shares between its "
                f"parts, got {name.rpartition('.')[2]!r}, whose matrix also serves elsewhere ({', '.join(names)}): what is "
                'saved would not be what was trained. Leave it out of the targets ("all-linear" does), or untie the model.'
            )


def merged(model: Any) -> Any:
    """The plain model that `model` amounts to: itself without adapters, else a copy with the adapters added to the weights."""
    return copy.deepcopy(model).merge_and_unload() if hasattr(model, "merge_and_unload") else model


def change_nothing(model: Any) -> bool:
    """Whether `model` has adapters that amount to 0, as they do before they learn: with them off it is the same model."""
    if not hasattr(model, "disable_adapter"):
        return False
    outputs = [p for name, p in model.named_parameters() if "lora_B" in name or "lora_embedding_B" in name]
    return bool(outputs) and not any(bool(p.any()) for p in outputs)
