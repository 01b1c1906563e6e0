"""The environment: see a problem, emit a program token by token, have it judged at the last token.

`judge(problem, program)` (`judging.py`) is the meaning of everything here; `step(token)` writes one token down and calls
`judge` when there are no more. Policies that generate in batch call `judge`, `judge_many` or `submit` and pay nothing for `step`;
`vector.py` has many rows of this at once, `text.py` whole programs as actions.

    Source --draw--> Problem --prompts--> observation ... token, token, end --Sandbox--> Verdict --Reward--> Feedback
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import gymnasium
import numpy as np
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.spaces import Box, Dict, Discrete

from rltf_env import _gym, state
from rltf_env.base import MissingDataWarning, Options, UnitTestEnvBase, rendering
from rltf_env.core import Attempt, IntArray, Judgement, Problem
from rltf_env.view import ansi, screen
from rltf_env.view.pixels import Pixels

__all__ = ["MissingDataWarning", "UnitTestEnv"]

Observation = dict[str, IntArray]
RENDER_MODES = ("ansi", "human", "rgb_array")


class UnitTestEnv(UnitTestEnvBase, gymnasium.Env[Any, Any]):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Code generation as a reinforcement learning environment: one action is one token, one episode is one program.

    *Observation* `Dict(prompt=Box(0, V, (P,), int64), program=Box(0, V, (T,), int64))`: token ids, padded on the right with
    V, which no token has, so that `obs["program"] != V` is the mask. Every observation is a fresh copy.
    *Action* `Discrete(V)`, a token id. *Terminated* when it is end-of-sequence, *truncated* when it is the T-th token and is
    not; never both. Both are judged. *Reward* 0 until then, and at last `feedback.total`; what each token earned is
    `info["feedback"].rewards`, whose sum is the sum of the step rewards.
    *Info* at reset: `problem` (its id) and `prompt` (its text); at the end: `problem`, `program` (`core.Program`), `verdict`
    (`core.Verdict`) and `feedback` (`core.Feedback`).

    The only randomness is which problem comes, and that is drawn from `self.np_random`: same seed, same episodes.

    `gymnasium.make(..., max_episode_steps=N)` shortens episodes to N steps, what is given aside: the N-th token truncates
    and the program is judged, as at T. (Gymnasium's `TimeLimit` reports *truncated* at the N-th step whatever it was, hence also
    on an end-of-sequence there; that is the one case of both.)

    Args:
        dataset: what `datasets.load` takes: a name, a file or folder, `"hub:owner/name"`, `"module:attr"`, or the problems.
        split, root, dataset_options: passed on to it (filters, held-out cases, ...); None stands for its own defaults.
        source, source_options: what decides which problem comes next, in place of drawing uniformly: the name of a file of
            `rltf_env/sources`, over the problems of `dataset`, and its options; or a `core.Source` with problems of its own.
        curriculum, curriculum_options: what makes the source's problems easier for a while: the name of a file of
            `rltf_env/curricula`, or a function that takes the source, and its options. Without one they come as they are.
        reward, reward_options: name of a reward and its options, or a `core.Reward`.
        sandbox, sandbox_options: name of a judge and its options, or a `core.Sandbox`. A named one is opened at the first
            judgement, shared by all environments of the process that name it with equal options, and closed when the last of
            them is; one that was passed in is left open.
        tokenizer: `"bytes"`, a hub id or folder, or a `core.Tokenizer`.
        prompt_style: how a problem is put into words: a name or a function, see `prompts.render`; None picks what suits it.
        max_prompt_tokens: P. max_program_tokens: T, tokens that are given included.
        on_long_prompt: `"error"` or `"truncate"`, for prompts of more than P tokens.
        render_mode: `"ansi"` (`render` gives the frame as text), `"human"` (each step draws it on the terminal),
            `"rgb_array"` (the frame as a picture, for videos) or None.

    Raises:
        UnknownName: no such dataset, reward, sandbox, option ...; the message names the nearest.
        UsageError: an impossible size, or options for something that is not named.

    Where the data of a dataset of the package are missing, the embedded procedural problems are used, with a `MissingDataWarning`;
    `dataset_name` and `data_digest` say what is in use.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 10}  # noqa: RUF012 - Gymnasium's own form

    def __init__(
        self,
        dataset: str | Sequence[Problem] = "procedural",
        *,
        render_mode: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(dataset, **options)
        self.render_mode = rendering(render_mode, RENDER_MODES)
        self.action_space = Discrete(self.pad_id)
        self.observation_space = Dict(
            prompt=Box(0, self.pad_id, (self.max_prompt_tokens,), np.int64),
            program=Box(0, self.pad_id, (self.max_program_tokens,), np.int64),
        )
        self._problem: Problem | None = None
        self._judgement: Judgement | None = None
        self._prompt = self._padded((), self.max_prompt_tokens)
        self._program = self._padded((), self.max_program_tokens)
        self._prefix_length = self._length = 0
        self._limit = self.max_program_tokens

    # ------------------------------------------------------------------------------------------------------- episodes

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begins the next episode.

        Args:
            seed: restarts the stream of problems.
            options: `{"problem": id}` takes that problem instead of drawing one. `{"prefix": text}` begins the program with
                this text, in place of the problem's own prefix, which it must extend.

        Raises:
            UnknownName: an unknown option or problem.
            UsageError: a prefix that leaves no room for a token, or a prompt that is too long.
        """
        super().reset(seed=seed)
        problem = self.choose(_gym.reset_options(options), self.np_random)
        text, prompt, prefix = self.initial_state(problem)
        steps = _gym.time_limit(self)
        self._limit = min(self.max_program_tokens, len(prefix) + (steps or self.max_program_tokens))
        self._begin(problem, prompt, prefix, len(prefix))
        if self.render_mode == "human":
            self.render()
        return self._observation(), {"problem": problem.id, "prompt": text}

    def _begin(self, problem: Problem, prompt: Sequence[int], tokens: Sequence[int], prefix_length: int) -> None:
        self._problem, self._judgement = problem, None
        self._prompt = self._padded(prompt, self.max_prompt_tokens)
        self._program = self._padded(tokens, self.max_program_tokens)
        self._prefix_length, self._length = prefix_length, len(tokens)

    def step(self, action: int | np.integer[Any]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Writes one token down; at the last, judges the program.

        Raises:
            ResetNeeded: before `reset`, or after the end of the episode.
            InvalidAction: not a token id in [0, V).
            SandboxError: the judge failed twice. The step did not happen: it can be taken again.
        """
        if self._problem is None or self._judgement is not None:
            when = "the episode has ended" if self._problem else "no episode has begun"
            raise ResetNeeded(f"Expected reset() before step(): {when}.")
        token, last = self._token(action), self._length + 1
        self._program[self._length] = token
        terminated = token == self._eos
        truncated = not terminated and last == self._limit
        reward, info = self._finish(self._problem, last, truncated) if terminated or truncated else (0.0, {})
        self._length = last
        if self.render_mode == "human":
            self.render()
        return self._observation(), reward, terminated, truncated, info

    def _token(self, action: Any) -> int:
        try:
            token = operator.index(action)
        except TypeError:
            token = -1
        if not 0 <= token < self.pad_id:
            raise InvalidAction(f"Expected a token id, an integer in [0, {self.pad_id}), got {action!r}.")
        return token

    def _finish(self, problem: Problem, length: int, truncated: bool) -> tuple[float, dict[str, Any]]:
        tokens = self._program[:length].copy()
        program = self.tokenizer.program(tokens, prefix_length=self._prefix_length, truncated=truncated)
        judgement = self.judge(problem, program)
        self.source.observe(Attempt(problem, program, judgement.verdict))
        self._judgement = judgement
        info = {"problem": problem.id, "program": program, **judgement._asdict()}
        return judgement.feedback.total, info

    def _observation(self) -> Observation:
        return {"prompt": self._prompt.copy(), "program": self._program.copy()}

    def _padded(self, tokens: Sequence[int] | IntArray, size: int) -> IntArray:
        array = np.full(size, self.pad_id, np.int64)
        array[: len(tokens)] = tokens
        return array

    @property
    def problem(self) -> Problem:
        """The problem of the running episode; raises `ResetNeeded` before the first."""
        if self._problem is None:
            raise ResetNeeded("Expected reset() before asking for the problem: no episode has begun.")
        return self._problem

    @property
    def tokens(self) -> IntArray:
        """int64 (<=T,): a copy of the program so far, with what was given, without padding."""
        return self._program[: self._length].copy()

    # ---------------------------------------------------------------------------------------------------------- state

    def get_state(self) -> dict[str, Any]:
        """The moment as plain data, random generator included: for search, for beams, for going on elsewhere.

        `set_state` takes it in this environment or another of the same arguments, in any process, any number of times. It
        survives JSON while the episode runs; after its end it holds the `Judgement` too, and survives pickling. Wrappers have
        counters of their own, which are not part of it. Raises `ResetNeeded` before the first episode.
        """
        return {
            **state.of(self.problem, self.source, self.np_random),
            "tokens": self._program[: self._length].tolist(),
            "given": self._prefix_length,
            "limit": self._limit,
            "judgement": self._judgement,
        }

    def set_state(self, saved: Mapping[str, Any]) -> Observation:
        """Goes to a moment that `get_state` saved, and returns its observation.

        Raises:
            UsageError: not such a state, or one of an environment with another tokenizer or other limits.
            UnknownName: its problem is not one of this source.
        """
        state.check(saved, ("tokens", "given", "limit", "judgement"))
        tokens = state.tokens(saved, self.pad_id, self.max_program_tokens)
        problem = state.problem(saved, self.source, self._problem)
        same = problem is self._problem
        prompt = self._prompt[self._prompt != self.pad_id] if same else self.encode_prompt(problem)
        state.restore(saved, self.source, self.np_random)
        self._begin(problem, prompt.tolist(), tokens, saved["given"])
        self._limit, self._judgement = saved["limit"], saved["judgement"]
        return self._observation()

    def render(self) -> str | Pixels | None:  # type: ignore[override]
        """The program so far, and after the end the verdict, the failing line and the heat of each token (`ansi.frame`)."""
        if self.render_mode is None:
            gymnasium.logger.warn('render() needs a mode: gymnasium.make(..., render_mode="ansi").')
            return None
        program = self.tokenizer.program(self._program[: self._length], prefix_length=self._prefix_length)
        frame = ansi.frame(self.problem, program, self.max_program_tokens, self._judgement)
        return screen.present(self.render_mode, frame, last=self._judgement is not None)
