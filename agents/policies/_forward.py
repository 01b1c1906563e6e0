"""One way to call every model: it is told what it takes, and what it has read comes back under one name."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor

CACHES = ("past_key_values", "cache_params", "state", "mems")  # what models call what they have read


class Forward:
    """A model's `forward`. Models differ in the arguments that they take and in the name of their cache.

    Args:
        model: of transformers, LoRA's adapters and all.
    """

    def __init__(self, model: Any) -> None:
        base = model.get_base_model() if hasattr(model, "get_base_model") else model  # of LoRA
        parameters = inspect.signature(base.forward).parameters
        self.model, self.names = model, frozenset(parameters)
        self.takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())

    def __call__(self, *, cache: Any = None, logits_to_keep: int = 0, **arguments: Any) -> Any:
        """The model's output.

        Args:
            cache: what it has read, as `cache_of` gave it: the name it goes by, and the thing itself.
            logits_to_keep: of the last tokens; 0: of all.
            arguments: of its forward; those that are None, and those that it does not have, are left out.
        """
        passed = {name: value for name, value in arguments.items() if value is not None and self._takes(name)}
        if cache is not None:
            passed[cache[0]] = cache[1]
        if logits_to_keep and "logits_to_keep" in self.names:
            passed["logits_to_keep"] = logits_to_keep
        out = self.model(**passed)
        if logits_to_keep:
            out.logits = out.logits[:, -logits_to_keep:]
        return out

    def _takes(self, name: str) -> bool:
        return name in self.names or self.takes_any


def cache_of(out: Any) -> tuple[str, Any]:
    """Under which name an output has what was read, and the thing itself.

    Raises:
        NotImplementedError: the model keeps nothing.
    """
    for name in CACHES:
        cache = getattr(out, name, None)
        if cache is not None:
            return name, cache
    raise NotImplementedError(f"{type(out).__name__} holds no cache")


def last_states(states: Any, tokens: int) -> Tensor:
    """(B, tokens, D): of what a model says of its layers, the last one's states of the last tokens."""
    return states[-1][:, -tokens:]
