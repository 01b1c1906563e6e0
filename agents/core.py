"""The dictionary of learning: every value that flows from a policy to its loss, and every seam on the way.

    Policy --Decoder--> Completion --env.judge--> Episode --Agent--> TrainingSample --batch--> Batch --loss--> a better Policy

Seams: Policy, Decoder (or ExampleAwareDecoder), Agent (OffPolicyAgent, HasJournal), Credit.

Axes: B batch, P prompt, T program tokens, V vocabulary. Prompts are padded on the left and programs on the right, so that
every program of a batch starts at the same column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from rltf_env._renamed import renamed, renamed_fields
from rltf_env.core import BoolArray, Feedback, FloatArray, IntArray, Outcome, Problem, Program, Verdict


@renamed_fields(behaviour="behaviour_logprobs")
@dataclass(frozen=True, eq=False)
class Completion:
    """Tokens that a decoder chose after a prompt.

    Args:
        tokens: int64 (T,), beginning with the given tokens, ending with end-of-sequence (or the token that completes
            a stop string) unless truncated.
        logprobs: float32 (T,), log-probability under the policy itself (temperature 1, nothing cut off): what
            `Policy.evaluate` reproduces. 0 on given tokens.
        behaviour_logprobs: float32 (T,), log-probability under the distribution that was really sampled from. 0 on given tokens.
        given: number of leading tokens that were not chosen.
        truncated: cut off at the length limit.
        kept: with a stop string: the characters of the text that stand before it, which are the program; None: all.
        version: where a server wrote it that others push weights to as well: the updates that those weights had seen, at
            least. None: the policy's own weights wrote it.
    """

    tokens: IntArray
    logprobs: FloatArray
    behaviour_logprobs: FloatArray
    given: int
    truncated: bool
    kept: int | None = None
    version: int | None = None


@renamed_fields(behaviour="behaviour_logprobs")
@dataclass(frozen=True, eq=False)
class Episode:
    """A judged program with all that an agent may need to learn from it later.

    `version` counts the updates that the policy had seen when it wrote the program.
    """

    problem: str
    prompt: IntArray  # (P,)
    program: Program
    logprobs: FloatArray  # (T,)
    behaviour_logprobs: FloatArray  # (T,)
    verdict: Verdict
    feedback: Feedback
    version: int


@renamed_fields(learn="loss_mask", logprobs="old_logprobs")
@dataclass(frozen=True, eq=False)
class TrainingSample:
    """What an update needs of an episode: plain arrays. `weights` multiply the log-probability of each token.

    `key` says which programs count as the same one to a buffer that wants each once (`agents.learning.distinct`), or "".
    """

    prompt: IntArray  # (P,)
    tokens: IntArray  # (T,)
    loss_mask: BoolArray  # (T,)
    weights: FloatArray  # (T,)
    old_logprobs: FloatArray  # (T,), when sampled
    version: int = 0
    extra: Mapping[str, FloatArray] = field(default_factory=dict)  # (T,) each; see `Batch.extra`
    key: str = ""


@renamed_fields(learn="loss_mask", logprobs="old_logprobs")
@dataclass(frozen=True, eq=False)
class Batch:
    """Rectangular tensors for one update. `weights` is what each token's log-probability is multiplied by."""

    prompt: Tensor  # int64 (B, P), left-padded
    prompt_mask: Tensor  # bool (B, P)
    tokens: Tensor  # int64 (B, T), right-padded
    token_mask: Tensor  # bool (B, T): there is a token
    loss_mask: Tensor  # bool (B, T): and it is to be learnt from
    weights: Tensor  # float32 (B, T)
    old_logprobs: Tensor  # float32 (B, T), when sampled
    # float32 (B, T) each: what else an agent's loss reads, by name.
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        tensors = {
            f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self) if f.name != "extra"
        }
        return Batch(**tensors, extra={name: t.to(device, non_blocking=True) for name, t in self.extra.items()})


State = TypeVar("State")


@runtime_checkable
class Policy(Protocol[State]):
    """A transformer that writes programs.

    One that reads a batch without its padding may say so by an attribute `supports_packing`, true. Whose programs end at more
    tokens than `eos_id` names them all in `ends`. One that takes so many tokens and no more has `check_room(prompt, program)`,
    which refuses lengths that it cannot hold.

    Further attributes that a policy may have: `own_loss(batch)`, a scalar, mean over rows, that every agent descends
    beside its loss; `meet(draw)`, called before learning with a function that draws prompts; `measured()`, a context in
    which it writes as it is measured, where that is not how it learns; `writes_itself`, true where no other engine can
    write with its weights; `updates`, how many updates its weights have seen, where a learner counts them;
    `can_defer` with `before_head(batch)`, where logits can be made later of what the head reads, and
    `head_rows`, how many for each position (`agents.learning.logits`).
    """

    model: nn.Module
    tokenizer: Any  # a transformers tokenizer
    eos_id: int
    pad_id: int

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        ...

    def begin(self, prompts: Sequence[IntArray], given: Sequence[IntArray], repeats: int = 1) -> tuple[State, Tensor]:
        """Reads each prompt (and the given tokens after it) once, for `repeats` rows each; logits (B * repeats, V)."""
        ...

    def extend(self, state: State, tokens: Tensor) -> Tensor:
        """Appends one token (B,) to each row; the next logits (B, V)."""
        ...

    def keep(self, state: State, rows: Tensor) -> None:
        """Drops all rows of `state` but these."""
        ...

    def logits(self, batch: Batch) -> Tensor:
        """(B, T, V): the logits from which each token of the programs was drawn; anything finite where there is no token."""
        ...

    def read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """`logits`, and the last hidden states (B, T, D) from which they were computed: what a value head stands on.

        State t has read the prompt and the tokens before t, not token t.
        """
        ...

    def save(self, folder: Path) -> None:
        """Writes a plain transformers folder."""
        ...


class Done(Protocol):
    """Is told of completion `k` of prompt `i`."""

    def __call__(self, i: int, k: int, completion: Completion, /) -> None: ...


@dataclass(frozen=True, eq=False)
class Request:
    """What is to be written, as a decoder hands it to an engine.

    Args:
        prompts: (N,), int64 (P,) each.
        prefixes: (N,), int64 tokens that each program begins with.
        repeats: programs for each prompt.
        max_tokens: of a program, its prefix included.
        generator: the randomness of the draws.
        done: told of each completion as soon as it is written.
    """

    prompts: Sequence[IntArray]
    prefixes: Sequence[IntArray]
    repeats: int
    max_tokens: int
    generator: torch.Generator
    done: Done | None = None


@runtime_checkable
class Decoder(Protocol):
    """A way of choosing tokens from a policy."""

    def __call__(
        self,
        policy: Policy[Any],
        prompts: Sequence[IntArray],
        given: Sequence[IntArray],
        *,
        repeats: int,
        max_tokens: int,
        generator: torch.Generator,
        done: Done | None = None,
    ) -> list[list[Completion]]:
        """`repeats` completions for each prompt, of at most `max_tokens` tokens, the given ones included.

        Args:
            done: told of each completion as soon as it is written, in whatever order they end.
        """
        ...


Judge = Callable[[Iterable[tuple[Problem, Program]]], Iterable[Verdict | None]]


@dataclass(frozen=True, eq=False)
class PublicExamples:
    """The public side of N problems, in the order of their prompts.

    Args:
        problems: (N,), each with its examples as its cases, without references or cases held out; None: it has no examples.
        encode: the prompt of a problem in tokens, int64 (P,), worded as the policy is asked.
        spell: the program that is judged, of a completion.
        judge: verdicts, in order; None: it could not be had.
    """

    problems: tuple[Problem | None, ...]
    encode: Callable[[Problem], IntArray]
    spell: Callable[[Problem, Completion], Program]
    judge: Judge

    def verdicts(self, groups: Sequence[Sequence[Completion]]) -> list[list[Verdict | None]]:
        """What the examples say of the completions for each problem (N, K); None where they say nothing."""
        pairs = zip(self.problems, groups, strict=True)
        jobs = ((problem, self.spell(problem, c)) for problem, group in pairs if problem for c in group)
        verdicts = iter(self.judge(jobs))
        return [
            [next(verdicts) if problem else None for _ in group]
            for problem, group in zip(self.problems, groups, strict=True)
        ]


@runtime_checkable
class ExampleAwareDecoder(Protocol):
    """A way of choosing tokens that looks at what public examples say of its programs."""

    def informed(self, public: PublicExamples) -> Decoder:
        """The decoder for the prompts of these problems, in their order."""
        ...


AnyDecoder = Decoder | ExampleAwareDecoder


@runtime_checkable
class Agent(Protocol):
    """A learning algorithm. One `update` is one optimiser step."""

    def update(self) -> dict[str, float]:
        """Takes one step and says how it went."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that an exact continuation needs, model and optimiser included."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave, so that the next update is the one that would have followed."""
        ...


@runtime_checkable
class HasJournal(Protocol):
    """An agent that has something to tell besides its metrics: an `agents.running.journal.UpdateLog`."""

    @property
    def journal(self) -> Any:
        """What happened in the newest update."""
        ...


class Credit(Protocol):
    """A part of an agent that weighs its samples anew, such as a critic, and may learn from them first."""

    def __call__(
        self, samples: Sequence[TrainingSample], outcomes: Sequence[Outcome], rng: np.random.Generator, /
    ) -> tuple[Sequence[TrainingSample], dict[str, float]]:
        """The samples (N,) with other weights, and metrics; `outcomes` (N,) are what became of the programs."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that an exact continuation needs."""
        ...

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Takes over what `state_dict` gave."""
        ...


class BufferConfig(Protocol):
    """How an off-policy agent fills its buffer, in programs and updates (`refresh_every`, `max_staleness`)."""

    @property
    def buffer(self) -> int:
        """The most programs that the buffer holds."""
        ...

    @property
    def fill(self) -> int:
        """Programs written before the first update."""
        ...

    @property
    def refresh(self) -> int:
        """Programs written at each refresh."""
        ...

    @property
    def refresh_every(self) -> int:
        """Updates between two refreshes."""
        ...

    @property
    def batch_size(self) -> int:
        """Programs of an update."""
        ...

    @property
    def max_staleness(self) -> int:
        """Updates after which a program is forgotten; 0: never."""
        ...

    @property
    def sampling(self) -> Any:
        """How programs are drawn: an `agents.decoding.sampling.Sampling`."""
        ...


@runtime_checkable
class OffPolicyAgent(Agent, HasJournal, Protocol):
    """An agent that learns from programs, whoever wrote them: what `[scale]` can feed.

    An actor calls `write` and sends what it gives; the learner calls `ingest` on what comes. `fill_from_actors`, unless None, is
    called before each update in place of the agent's own writing.
    """

    policy: Policy[Any]
    learner: Any  # `updates`, the number of its updates
    buffer: Any  # its length, and `forget(version)`
    sampled: dict[str, float]
    fill_from_actors: Callable[[], None] | None

    @property
    def config(self) -> BufferConfig:
        """How the buffer is filled."""
        ...

    def write(self, programs: int) -> tuple[list[Problem], list[list[Episode]], list[TrainingSample]]:
        """`programs` programs of the present policy: problems, a group of episodes for each, a sample for each episode."""
        ...

    def ingest(
        self, samples: Sequence[TrainingSample], outcomes: Sequence[Outcome], sampled: Mapping[str, float], /
    ) -> Sequence[TrainingSample]:
        """Puts samples into the buffer, and gives them back as they are in it."""
        ...

    def log_samples(
        self, problems: Sequence[Problem], groups: Sequence[Sequence[Episode]], samples: Sequence[TrainingSample], /
    ) -> None:
        """Tells the journal of programs to look at."""
        ...


def rngs(seed: int, device: torch.device) -> tuple[np.random.Generator, torch.Generator]:
    """The two sources of randomness of a run: one for choices on the host, one for sampling on the device."""
    host, device_seed = np.random.SeedSequence(seed).spawn(2)
    generator = torch.Generator(device)
    generator.manual_seed(int(device_seed.generate_state(1, np.uint64)[0] >> 1))
    return np.random.Generator(np.random.PCG64(host)), generator


__getattr__ = renamed(__name__, {"generators": "agents.core.rngs"})
