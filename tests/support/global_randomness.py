"""Which calls draw from, or set, a generator that a whole process shares."""

from __future__ import annotations

import ast

MAKERS = (
    "default_rng",
    "Generator",
    "BitGenerator",
    "SeedSequence",
    "PCG64",
    "PCG64DXSM",
    "Philox",
    "SFC64",
    "MT19937",
)
READERS = {"random.getstate", "numpy.random.get_state"}  # look, and change nothing
SEEDERS = {
    "torch.manual_seed", "torch.seed", "torch.set_rng_state", "torch.cuda.manual_seed", "torch.cuda.manual_seed_all",
    "torch.cuda.set_rng_state", "torch.random.manual_seed", "transformers.set_seed", "accelerate.utils.set_seed",
    "stable_baselines3.common.utils.set_random_seed",
}  # fmt: skip
DRAWS = {f"torch.{name}" for name in ("rand", "randn", "randint", "randperm", "multinomial", "bernoulli", "normal")}


def uses_global_rng(name: str, keywords: dict[str | None, ast.expr]) -> bool:
    """True for a call, by its dotted name, that touches global random state."""
    if name in READERS:
        return False
    if name.startswith("numpy.random."):
        return name.split(".")[2] not in MAKERS
    if name.startswith("random."):
        return name not in ("random.Random", "random.SystemRandom")
    return name in SEEDERS or (name in DRAWS and "generator" not in keywords)
