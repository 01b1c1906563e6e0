"""Random numbers that are the same in every run, so that the same program is judged the same. Standard library only.

That is so of `random` and `numpy.random`, of their generators without a seed, too. What asks the system itself for random
bytes (`os.urandom`, `secrets`, `uuid.uuid4`) gets new ones every time.
"""

from __future__ import annotations

import itertools
import sys
from importlib.machinery import PathFinder
from typing import Any

NUMPY = "numpy.random"
_counts = [itertools.count(1)]  # the seeds of generators that were given none


def install() -> None:
    """From now on generators without a seed draw the same numbers; call `seed` before each run."""
    import random  # not above: `warmup` imports it, and leaves out that every fork seeds it

    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())  # type: ignore[arg-type]
    original = random.Random.seed

    def seed(self: Any, a: Any = None, version: int = 2) -> None:
        """As in the library, but without a seed the next number is one."""
        original(self, next(_counts[0]) if a is None else a, version)

    random.Random.seed = seed  # type: ignore[method-assign]
    random.seed = random._inst.seed  # type: ignore[attr-defined]


def seed() -> None:
    """Begins a run: whatever draws numbers draws the same as in any other."""
    import random

    _counts[0] = itertools.count(1)
    random.seed(0)
    module = sys.modules.get(NUMPY)
    if module is not None:
        _seed_numpy(module)


def _seed_numpy(module: Any) -> None:
    """Seeds NumPy's own generator, and those that are made without a seed: they ask `randbits` for one."""
    import random

    bits = sys.modules.get(f"{NUMPY}.bit_generator")
    if bits is not None:
        bits.randbits = random.Random(0).getrandbits  # type: ignore[attr-defined]
    module.seed(0)


class _Finder:
    """Has `numpy.random` seeded when it is imported, by whomever."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != NUMPY:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_seed(module: Any) -> None:
            execute(module)
            _seed_numpy(module)

        spec.loader.exec_module = execute_and_seed  # type: ignore[method-assign]
        return spec
