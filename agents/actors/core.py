"""What an engine has to do for `ActorPool`: run actors somewhere, bring their lots, and give them weights.

`agents.actors.local` has processes of this machine, `agents.actors.ray` actors of a Ray cluster. File
name = `[scale] engine`.
"""

from __future__ import annotations

import queue
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rltf_env.errors import RLTFError

LIVES = 2  # of a generator: the first, and one more
EARNED = 5  # lots in good order with which a generator has earned the lives back that were lost before it


class GeneratorError(RLTFError, RuntimeError):
    """A generator died again soon after it had been replaced."""


class GeneratorWarning(UserWarning):
    """A generator has died, or hung, and was replaced."""


class Actor(Protocol):
    """A generator as the learner sees it: the `life`-th of its `index`, which has sent `sent` lots."""

    index: int
    life: int
    lives: int
    sent: int
    log: Path

    def tell(self, version: int) -> None:
        """There are new weights."""
        ...

    def hang_up(self) -> None:
        """Nothing more is wanted of it."""
        ...

    def end(self) -> str:
        """Waits for its end, and makes one if that takes long; says how it ended."""
        ...


Lots = queue.Queue[tuple[Any, dict[str, Any] | None]]  # an `Actor`, and a lot of programs; None: the actor has ended


@dataclass(frozen=True)
class Start:
    """What an engine is told of an actor to start.

    Args:
        index: of the generator.
        life: how often it has been started, this one counted in.
        lives: that it has left, this one counted in.
        orders: `pool.instructions`.
        version: of the weights that it begins with.
    """

    index: int
    life: int
    lives: int
    orders: dict[str, Any]
    version: int


class Engine(Protocol):
    """Where actors run. It has `load(scale, policy, folder, lots)`; folder is where it may keep files."""

    def push(self, version: int) -> None:
        """Makes the policy's present weights available. Also called before the first actor is started."""
        ...

    def begin(self, start: Start) -> Any:
        """Starts an actor, whose lots come by the queue. Returns at once."""
        ...

    def lives(self, dead: Any) -> int:
        """How many lives are left of a generator that has just lost one; 0 ends the run."""
        ...

    def close(self) -> None:
        """After the last actor has ended."""
        ...
