"""Critic sampling (CodeRL, arXiv 2207.01780, section 3.4): drafts, tried on the public examples, are refined or repaired.

    draft    N programs for a problem, tried on its public examples; P of them pass
    refine   where P > 0: from each, a prefix goes on, N / P times: it ends with argmax_t p(passed | w_1:t), or before the first
             token of it at which p(failed) > p(passed)
    repair   where P = 0: the M that the critic thinks best are shown to the policy, with what the examples say of them, N / M times

Half of the `n` programs for each one that is handed in are drafts, half come of them, so `best_of_n` with the same n is its
baseline. N is n/2 times the programs handed in. One that passes the examples is handed in before one that does not, a second
one before a draft, a likelier one before another; with n = 2 every second program is handed in, as in CodeRL, but for one
that fails where its draft did not. Where we differ: neither repair model nor its training was released, so the policy itself
repairs, asked by `rltf_env.prompts.repair`; `python -m agents.repair_pairs` makes what teaches it. Any critic will do:
p(failed) is 1 - p(passed). At least one token is written anew.
What is handed in was chosen, not drawn: its log-probabilities are the policy's after the problem's own prompt,
`behaviour_logprobs` is that of each token when it was written. Problems without public examples are refined, and so are those
of which the judge lost every draft; a single draft that it lost is neither refined nor repaired, and is no program that passes.

`second` measures the two apart: where "refine" or "repair" alone would have to do the other, it draws anew from the problem's
prompt, as `best_of_n` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from agents.core import Completion, Decoder, Done, Policy, PublicExamples, TrainingSample
from agents.critics.outcome import Critic
from agents.decoding._choosing import best, handed_in, passing
from agents.decoding.sampling import Sampling
from agents.learning.reference import logprobs
from rltf_env import prompts as wording
from rltf_env.core import FloatArray, IntArray, Problem, Verdict
from rltf_env.errors import UnknownName, UsageError
from rltf_env.tokenizers import HuggingFace

SECOND = ("both", "refine", "repair")


@dataclass(frozen=True)
class Task:
    """A program to write in the second half: for which problem, after which prompt and tokens, from which draft, if any."""

    problem: int
    prompt: IntArray
    given: IntArray
    draft: Completion | None
    refines: bool


@dataclass(frozen=True)
class CriticSampling:
    """See the module's head and `agents.core.ExampleAwareDecoder`.

    Args:
        critic: reads with the policy's tokenizer.
        n: programs for each one handed in; even.
        repairs: M, how many drafts are repaired where none passes.
        sampling: how tokens are drawn, in both halves.
        second: what the second half may do: "both", "refine" or "repair".
    """

    critic: Critic
    n: int = 2
    repairs: int = 1
    sampling: Sampling = field(default_factory=Sampling)
    second: str = "both"

    def __post_init__(self) -> None:
        if self.n < 2 or self.n % 2 or self.repairs < 1:
            raise UsageError(f"Expected an even n >= 2 and repairs >= 1, got n={self.n}, repairs={self.repairs}.")
        if self.second not in SECOND:
            raise UnknownName("value of second", str(self.second), SECOND)

    def informed(self, public: PublicExamples) -> Decoder:
        """The decoder that knows the problems' public examples."""
        return partial(self._write, public)

    def _write(
        self,
        public: PublicExamples,
        policy: Policy[Any],
        prompts: Sequence[IntArray],
        given: Sequence[IntArray],
        *,
        repeats: int,
        max_tokens: int,
        generator: torch.Generator,
        done: Done | None = None,
    ) -> list[list[Completion]]:
        if self.critic.policy.tokenizer.get_vocab() != policy.tokenizer.get_vocab():
            raise UsageError("Expected the critic to have the policy's tokenizer, got another one.")
        draw = partial(self.sampling, policy, max_tokens=max_tokens, generator=generator)
        half = self.n // 2
        drafts = draw(prompts, given, repeats=repeats * half)
        replies = public.verdicts(drafts)
        room = _context(policy) - max_tokens
        tasks: list[Task] = []
        for i, (prompt, group, verdicts) in enumerate(zip(prompts, drafts, replies, strict=True)):
            problem, known = public.problems[i], any(v is not None for v in verdicts)
            seeds = [c for c, ok in zip(group, passing(verdicts, known=known), strict=True) if ok]
            if self.second == ("repair" if seeds else "refine"):
                tasks += [Task(i, prompt, given[i], None, False)] * len(group)
            elif seeds or problem is None:
                tasks += self._refine(i, prompt, seeds, len(group))
            else:
                tasks += self._repair(i, prompt, given[i], group, verdicts, problem, public, room)
        new = draw([t.prompt for t in tasks], [t.given for t in tasks], repeats=1)
        written = self._joined(policy, prompts, tasks, [c for (c,) in new])
        seconds = [[c for t, c in zip(tasks, written, strict=True) if t.problem == i] for i in range(len(prompts))]
        again = public.verdicts(seconds)
        parts = [slice(k * half, (k + 1) * half) for k in range(repeats)]
        chosen = [
            [_choose(seconds[i][p], again[i][p], drafts[i][p], replies[i][p]) for p in parts]
            for i in range(len(prompts))
        ]
        return handed_in(chosen, done)

    def _refine(self, i: int, prompt: IntArray, seeds: Sequence[Completion], count: int) -> list[Task]:
        passed = [p[:, -1] for p in self.critic.probabilities([_sample(prompt, c) for c in seeds])]
        starts = [c.tokens[: min(kept(p, c.given), self._before_stop(c))] for c, p in zip(seeds, passed, strict=True)]
        each = zip(seeds, starts, shares(count, len(seeds)), strict=True)
        return [Task(i, prompt, start, c, True) for c, start, share in each for _ in range(share)]

    def _before_stop(self, c: Completion) -> int:
        """How many of a program's tokens stand before its stop string, if it ends in one: what is kept may not begin it."""
        if c.kept is None:
            return len(c.tokens)
        starts = HuggingFace(self.critic.policy.tokenizer).program(c.tokens).starts
        return max(int(np.searchsorted(starts, c.kept, "left")), c.given)

    def _repair(
        self,
        i: int,
        prompt: IntArray,
        given: IntArray,
        group: Sequence[Completion],
        verdicts: Sequence[Verdict | None],
        problem: Problem,
        public: PublicExamples,
        room: float,
    ) -> list[Task]:
        failed = [(c, v) for c, v in zip(group, verdicts, strict=True) if v is not None]
        scores = self.critic.judgements([_sample(prompt, c) for c, _ in failed])[:, -1]
        chosen = np.argsort(-scores, kind="stable")[: self.repairs].tolist()
        tasks: list[Task] = []
        for at, share in zip(chosen, shares(len(group), len(chosen)), strict=True):
            draft, verdict = failed[at]
            text = public.spell(problem, draft).text
            asked = _repair_prompt(public, problem, text, verdict, room)
            if asked is not None:
                tasks += [Task(i, asked, given, draft, False)] * share
            elif self.second == "repair":
                tasks += [Task(i, prompt, given, None, False)] * share
            else:
                tasks += self._refine(i, prompt, [draft], share)
        return tasks

    def _joined(
        self, policy: Policy[Any], prompts: Sequence[IntArray], tasks: Sequence[Task], new: Sequence[Completion]
    ) -> list[Completion]:
        """The new programs as completions of their problems' own prompts."""
        repaired = [k for k, task in enumerate(tasks) if task.draft and not task.refines]
        samples = [_sample(prompts[tasks[k].problem], new[k]) for k in repaired]
        own = dict(zip(repaired, logprobs(policy, samples, self.sampling.rows), strict=True))
        joined: list[Completion] = []
        for k, (task, c) in enumerate(zip(tasks, new, strict=True)):
            if task.draft is None:
                joined.append(c)
            elif task.refines:
                n, draft = c.given, task.draft
                logp = np.concatenate([draft.logprobs[:n], c.logprobs[n:]])
                drawn = np.concatenate([draft.behaviour_logprobs[:n], c.behaviour_logprobs[n:]])
                joined.append(replace(c, logprobs=logp, behaviour_logprobs=drawn, given=draft.given))
            else:
                chosen = np.arange(len(c.tokens)) >= c.given
                joined.append(replace(c, logprobs=(own[k] * chosen).astype(np.float32)))
        return joined


# ------------------------------------------------------------------------------------------------------------ the maths


def kept(passed: FloatArray, given: int = 0) -> int:
    """How many tokens of a program are kept: up to and with the most promising one, but none from the first doubtful one on.

    Args:
        passed: (T,), p(passed | w_1:t) when token t has been read. Doubtful: below 1/2.
        given: tokens that are kept anyway.

    Never all T of them, so that there is something to write anew.
    """
    chosen = passed[given:-1]
    if not len(chosen):
        return min(given, len(passed))
    end = int(chosen.argmax()) + 1
    doubtful = np.flatnonzero(chosen[:end] < 0.5)
    return given + (int(doubtful[0]) if len(doubtful) else end)


def shares(count: int, seeds: int) -> list[int]:
    """`count` dealt to `seeds` as evenly as can be; the first get what is left over."""
    return [count // seeds + (i < count % seeds) for i in range(seeds)]


def _choose(
    seconds: Sequence[Completion],
    again: Sequence[Verdict | None],
    drafts: Sequence[Completion],
    replies: Sequence[Verdict | None],
) -> Completion:
    """A second program, unless the drafts alone have one that passes."""
    known = any(v is not None for v in (*again, *replies))
    if any(passing(again, known=known)) or not any(passing(replies, known=known)):
        return best(seconds, again)
    return best(drafts, replies)


def _sample(prompt: IntArray, c: Completion) -> TrainingSample:
    size = len(c.tokens)
    return TrainingSample(prompt, c.tokens, np.arange(size) >= c.given, np.zeros(size, np.float32), c.logprobs)


def _context(policy: Policy[Any]) -> float:
    """How many tokens prompt and program may have together."""
    most = getattr(policy, "positions", None)
    return float("inf") if most is None else most


def _repair_prompt(
    public: PublicExamples, problem: Problem, text: str, verdict: Verdict, room: float
) -> IntArray | None:
    """The prompt of a repair; a program too long for the model's context is shown without its last lines.

    None where the problem alone leaves no room for it: then a program can only be refined.
    """
    reply = wording.report(problem, verdict, verdict)
    if np.array_equal(public.encode(wording.repair(problem, text, reply)), public.encode(problem)):
        raise UsageError(
            "Expected prompts that show a problem's statement, got a style that does not: a repair could not be asked for. "
            "Choose another prompt style."
        )
    asked = wording.fitting_repair(problem, text, reply, lambda p: len(public.encode(p)), room)
    return None if asked is None else public.encode(asked)


def load(
    critic: str, n: int = 2, repairs: int = 1, second: str = "both", device: str = "auto", **options: Any
) -> CriticSampling:
    """A `CriticSampling` decoder.

    Args:
        critic: a folder that `Critic.save` wrote: `python -m agents.train_critic RUN` makes one.
        n, repairs, second: see `CriticSampling`.
        device: of the critic.
        options: those of `Sampling`.
    """
    return CriticSampling(Critic.load(critic, device=device), n, repairs, Sampling(**options), second)
