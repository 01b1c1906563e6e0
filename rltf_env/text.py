"""The environment for whole programs: observation and action are text, one program a step, and perhaps another try.

A step of `TextEnv` is an episode of `UnitTestEnv`: the text is cut into the same tokens, held to the same limits, judged and
rewarded as one. With `max_turns` above 1 a program that fails may be repaired: the next observation goes on with the program
and what became of it on the problem's *public* examples; the reward is that of the last program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

import gymnasium
import numpy as np
from gymnasium.error import InvalidAction, ResetNeeded

from rltf_env import _gym, prompts, state
from rltf_env.base import Options, UnitTestEnvBase, positive, rendering
from rltf_env.core import Attempt, Judgement, Outcome, Problem, Program, Verdict
from rltf_env.spaces import Unicode, encodable
from rltf_env.tokenizers import Bytes
from rltf_env.view import ansi, screen
from rltf_env.view.pixels import Pixels

RENDER_MODES = ("ansi", "human", "rgb_array")
CHARACTERS = 64  # that a token is taken to spell at most, where it may be more than a byte: for the sizes of the spaces
FRAME = 200  # characters of the words around a program and its report, at most


class TextEnv(UnitTestEnvBase, gymnasium.Env[str, str]):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Code generation with programs as actions.

    *Observation* a text: the prompt, and behind it the code that is given. *Action* a text: the rest of the program. What is
    judged is what its tokens spell, the T-th being the last: a longer text is cut off. *Terminated* when a program passes every
    case, or is the last that is allowed; *truncated* instead, if that program was cut off. *Reward* `feedback.total` of that
    program, which is what `UnitTestEnv` pays for its tokens, and 0 before.
    *Info* at reset: `problem` (its id) and `prompt`; at the end `problem`, `program`, `verdict`, `feedback`, `turn` (from 1). After
    a program that may be repaired: `problem`, `program`, `turn`, and `examples`, the verdict on the public examples, if there
    are any. Of a hidden case neither observations nor infos tell what it holds: results keep outcome, kind and line of
    a failure, but not its message, nor what the program printed.

    `gymnasium.make(..., max_episode_steps=N)` allows no more than N programs; the N-th ends the episode as truncated.

    Args:
        dataset and others: those of `UnitTestEnv`.
        max_turns: programs that an episode may have.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 10}  # noqa: RUF012 - Gymnasium's own form

    def __init__(
        self,
        dataset: str | Sequence[Problem] = "procedural",
        *,
        max_turns: int = 1,
        render_mode: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(dataset, **options)
        self.render_mode, self.max_turns = rendering(render_mode, RENDER_MODES), positive("max_turns", max_turns)
        if self.max_turns > 1:
            self.check_runs("further turns, which end when a program passes")
        each = 1 if isinstance(self.tokenizer, Bytes) else CHARACTERS
        self._longest = each * self.max_program_tokens
        repaired = (self.max_turns - 1) * (self._longest + prompts.REPORT + FRAME)
        self.action_space = Unicode(self._longest)
        self.observation_space = Unicode(each * self.max_prompt_tokens + self._longest + repaired)
        self._problem: Problem | None = None
        self._prompt = ""
        self._prefix_tokens: list[int] = []
        self._turns = self.max_turns
        self._attempts: list[tuple[Program, str]] = []  # programs that failed, and what was said of them
        self._final: tuple[Program, Judgement] | None = None

    # ------------------------------------------------------------------------------------------------------- episodes

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begins the next episode; arguments and errors are those of `UnitTestEnv.reset`."""
        super().reset(seed=seed)
        problem = self.choose(_gym.reset_options(options), self.np_random)
        prompt, _, prefix_tokens = self.initial_state(problem)
        self._begin(problem, prompt, prefix_tokens, _gym.time_limit(self))
        self._draw()
        return self._observation(), {"problem": problem.id, "prompt": prompt}

    def _begin(self, problem: Problem, prompt: str, prefix_tokens: list[int], limit: int | None) -> None:
        self._problem, self._prompt, self._prefix_tokens = problem, prompt, prefix_tokens
        self._turns = min(self.max_turns, limit or self.max_turns)
        self._attempts, self._final = [], None

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Judges a program.

        Raises:
            ResetNeeded: before `reset`, or after the end of the episode.
            InvalidAction: not a text, or one with half of a surrogate pair.
            SandboxError: the judge failed twice. The step did not happen: it can be taken again.
        """
        problem = self.problem
        if self._final:
            raise ResetNeeded("Expected reset() before step(): the episode has ended.")
        program = self._program_of(action)
        judgement = self.judge(problem, program)
        turn = len(self._attempts) + 1
        info: dict[str, Any] = {"problem": problem.id, "program": program, "turn": turn}
        passed = judgement.verdict.outcome is Outcome.PASSED
        if not passed and turn < self._turns:
            return self._again(program, judgement.verdict, info)
        self._final = program, judgement
        self.source.observe(Attempt(problem, program, judgement.verdict))
        truncated = program.truncated or (not passed and turn < self.max_turns)
        info |= {"verdict": _without_hidden(judgement.verdict, problem), "feedback": judgement.feedback}
        self._draw()
        return self._observation(), judgement.feedback.total, not truncated, truncated, info

    def _program_of(self, action: str) -> Program:
        """The program of which `action` is what the agent wrote."""
        if not isinstance(action, str) or not encodable(action):
            raise InvalidAction(f"Expected a text that UTF-8 can hold, got {action!r}.")
        tokens = [*self._prefix_tokens, *self.tokenizer.encode(str(action)), self._eos]
        tokens = tokens[: min(tokens.index(self._eos) + 1, self.max_program_tokens)]
        return self.tokenizer.program(tokens, prefix_length=len(self._prefix_tokens), truncated=tokens[-1] != self._eos)

    def _again(
        self, program: Program, verdict: Verdict, info: dict[str, Any]
    ) -> tuple[str, float, bool, bool, dict[str, Any]]:
        public = self._on_examples(program)
        self._attempts.append((program, prompts.report(self.problem, verdict, public)))
        self._draw()
        return self._observation(), 0.0, False, False, info | ({"examples": public} if public else {})

    def _on_examples(self, program: Program) -> Verdict | None:
        """The verdict on the public examples alone: whatever it says is about what the agent may know."""
        if not self.problem.examples:
            return None
        return self.verdict_on(replace(self.problem, cases=self.problem.examples), program.text)

    def _observation(self) -> str:
        """What an agent reads before it writes; after the end, with what it wrote."""
        tries = [(prompts.clipped(program.text.rstrip(), self._longest), report) for program, report in self._attempts]
        text = self._prompt + (prompts.attempts(tries, self._turns) if tries else "")
        return text + (prompts.clipped(self._final[0].text, self._longest) if self._final else self.problem.prefix)

    @property
    def problem(self) -> Problem:
        """The problem of the running episode; raises `ResetNeeded` before the first."""
        if self._problem is None:
            raise ResetNeeded("Expected reset() first: no episode has begun.")
        return self._problem

    # ------------------------------------------------------------------------------------------------------ state, view

    def get_state(self) -> dict[str, Any]:
        """The moment, to be gone back to with `set_state`: see `UnitTestEnv.get_state`. It survives pickling."""
        common = state.of(self.problem, self.source, self.np_random)
        return {**common, "turns": self._turns, "attempts": list(self._attempts), "final": self._final}

    def set_state(self, saved: Mapping[str, Any]) -> str:
        """Goes to a moment that `get_state` saved, and returns its observation. Errors as in `UnitTestEnv.set_state`."""
        state.check(saved, ("turns", "attempts", "final"))
        problem = state.problem(saved, self.source, self._problem)
        prompt, _, prefix_tokens = self.initial_state(problem)
        state.restore(saved, self.source, self.np_random)
        self._begin(problem, prompt, prefix_tokens, saved["turns"])
        self._attempts, self._final = list(saved["attempts"]), saved["final"]
        return self._observation()

    def render(self) -> str | Pixels | None:  # type: ignore[override]
        """The latest program, and after the end its verdict, failing line and heat (`ansi.frame`)."""
        if self.render_mode is None:
            gymnasium.logger.warn('render() needs a mode: gymnasium.make(..., render_mode="ansi").')
            return None
        problem = self.problem
        prefix = self.tokenizer.program(np.array(self._prefix_tokens, np.int64), prefix_length=len(self._prefix_tokens))
        program, judgement = self._final or (self._attempts[-1][0] if self._attempts else prefix, None)
        frame = ansi.frame(problem, program, self.max_program_tokens, judgement)
        return screen.present(self.render_mode, frame, last=self._final is not None)

    def _draw(self) -> None:
        if self.render_mode == "human":
            self.render()


def _without_hidden(verdict: Verdict, problem: Problem) -> Verdict:
    """`verdict` without what could tell what hidden cases hold. No result of a suite says which case it is of."""
    public = list(problem.examples)
    shown = [case in public for case in problem.cases]
    if len(shown) != len(verdict.results):
        shown = [all(shown)] * len(verdict.results)
    results = (
        result if visible else prompts.without_contents(result)
        for visible, result in zip(shown, verdict.results, strict=True)
    )
    return replace(verdict, results=tuple(results))
