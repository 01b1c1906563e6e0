"""How lines are labelled and a model of them is trained, as options: nothing heavy is imported, so that commands can name them."""

from __future__ import annotations

from dataclasses import dataclass

from agents.options import chosen
from rltf_env.errors import UnknownName, UsageError

LABELS_FOLDER, MODEL_FOLDER = "line_labels", "line_model"  # of a run
KEEP = ("revised", "all", "hard")


@dataclass(frozen=True)
class LabelSettings:
    """What is labelled.

    Args:
        problems, samples: programs: `samples` for each of `problems` problems; equal ones count once.
        completions: K, of a beginning.
        chunk: problems that are labelled side by side, and lost by Ctrl-C.
        temperature: at which programs and completions are drawn.
        seed: of problems and draws.
    """

    problems: int = 256
    samples: int = 4
    completions: int = 8
    chunk: int = 32
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.problems, self.samples, self.completions, self.chunk) < 1:
            raise UsageError(f"Expected problems, samples, completions, chunk >= 1, got {chosen(self)}.")

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return -(-self.problems // self.chunk)


@dataclass(frozen=True)
class LineModelSettings:
    """How a line model is trained.

    Args:
        keep: which programs are learnt from. "revised", the paper's best: wrong ones of which some
            line could be built on; "all", those that passed too; "hard": wrong ones for problems
            that no program of the labels has solved.
        unseen: the share of the problems whose programs the model is measured on, not taught.
        updates, batch_size, lr, seed: of the learning.
        checkpoint_every: updates between two checkpoints.
    """

    keep: str = "revised"
    unseen: float = 0.125
    updates: int = 300
    batch_size: int = 32
    lr: float = 3e-4
    seed: int = 0
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        if self.keep not in KEEP:
            raise UnknownName("value of --keep", str(self.keep), KEEP)
        if min(self.updates, self.batch_size, self.checkpoint_every) < 1:
            raise UsageError(f"Expected updates, batch_size, checkpoint_every >= 1, got {chosen(self)}.")
        if not 0 < self.unseen < 1 or not 0 < self.lr < float("inf"):
            raise UsageError(f"Expected 0 < unseen < 1 and a finite lr > 0, got {chosen(self)}.")
