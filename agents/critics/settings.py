"""How a critic, or a discriminator, is trained, as options: nothing heavy is imported, so that a command can name them at once."""

from __future__ import annotations

from dataclasses import dataclass

from agents.options import chosen
from rltf_env.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """How a critic is trained.

    Args:
        classes: 2, passed or not; 4, the outcomes.
        problems, samples: sampled programs: `samples` for each of `problems` problems.
        unseen: the share of the problems whose programs the critic is measured on, not taught.
        references: the share of each batch that are reference programs.
        updates, batch_size, lr, seed: of the learning.
    """

    classes: int = 2
    problems: int = 512
    samples: int = 8
    unseen: float = 0.125
    references: float = 0.125
    updates: int = 300
    batch_size: int = 32
    lr: float = 3e-4
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.problems - 1, self.samples, self.updates, self.batch_size) < 1 or not 0 <= self.references < 1:
            raise UsageError(
                f"Expected problems >= 2, samples, updates, batch_size >= 1 and 0 <= references < 1, got {chosen(self)}."
            )
        if not 0 < self.unseen < 1 or self.lr <= 0:
            raise UsageError(f"Expected 0 < unseen < 1 and lr > 0, got {chosen(self)}.")


@dataclass(frozen=True)
class DiscriminatorSettings:
    """How a discriminator is trained.

    Args:
        problems, samples: sampled programs: `samples` for each of `problems` problems.
        unseen: the share of the problems that it is measured on, not taught.
        updates, batch_size, lr, seed: of the learning.
    """

    problems: int = 512
    samples: int = 4
    unseen: float = 0.125
    updates: int = 300
    batch_size: int = 32
    lr: float = 3e-4
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.problems, self.samples, self.updates) < 1 or self.batch_size < 2 or self.batch_size % 2:
            raise UsageError(
                f"Expected problems, samples, updates >= 1 and an even batch_size >= 2, got {chosen(self)}."
            )
        if not 0 < self.unseen < 1 or self.lr <= 0:
            raise UsageError(f"Expected 0 < unseen < 1 and lr > 0, got {chosen(self)}.")
