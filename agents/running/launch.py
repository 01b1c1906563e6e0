"""Whether a launcher such as `torchrun` has started this process as one of several, and as which: its environment variables.

Nothing heavy is imported here: the command asks before it has said its first line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from rltf_env.errors import UsageError

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Launch:
    """This process among `world` that were started together, on as many machines as the launcher has.

    Args:
        rank: of all of them.
        world: how many there are.
        local_rank: of those on this machine.
        local_world: how many are on this machine.
        address, port: where they meet.
    """

    rank: int
    world: int
    local_rank: int
    local_world: int
    address: str
    port: int

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    @property
    def is_one_machine(self) -> bool:
        """Whether all of them are on this machine."""
        return self.local_world == self.world

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Launch | None:
        """What the variables say; None where some of `NEEDED` are missing, or of a process that was started alone.

        Raises:
            UsageError: they are no numbers, or say what cannot be.
        """
        given = os.environ if environment is None else environment
        if not all(given.get(name) for name in NEEDED):
            return None
        rank, world, port = (_number(given, name) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
        local_rank = _number(given, "LOCAL_RANK", rank)
        local_world = _number(given, "LOCAL_WORLD_SIZE", world if local_rank == rank else local_rank + 1)
        if not (0 <= rank < world and 0 <= local_rank < local_world <= world):
            raise UsageError(
                f"Expected ranks below their numbers, got RANK={rank} of WORLD_SIZE={world}, LOCAL_RANK={local_rank} of "
                f"LOCAL_WORLD_SIZE={local_world}. Let torchrun set them."
            )
        return None if world == 1 else cls(rank, world, local_rank, local_world, given["MASTER_ADDR"], port)


def _number(environment: Mapping[str, str], name: str, default: int = 0) -> int:
    text = environment.get(name, "") or str(default)
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"Expected a number in the environment variable {name}, got {text!r}.") from None
