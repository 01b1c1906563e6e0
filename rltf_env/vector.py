"""Many rows of `UnitTestEnv` in one: arrays in, arrays out, one judge that works on several programs at a time.

What `gymnasium.make_vec(id, num_envs=N)` makes. A step writes N tokens with one assignment; Python looks at single rows only
where one ends. Row `i` with seed `s` plays exactly what `UnitTestEnv` plays after `reset(seed=s + i)`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
from gymnasium import logger
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rltf_env import _gym
from rltf_env.base import Options, UnitTestEnvBase, positive, rendering
from rltf_env.core import Attempt, BoolArray, IntArray, Judgement, Problem, Program
from rltf_env.env import Observation
from rltf_env.errors import SandboxError, UnknownName, UsageError
from rltf_env.view import ansi, pixels
from rltf_env.view.pixels import Pixels

Seeds = int | Sequence[int | None] | None
Step = tuple[Observation, npt.NDArray[np.float64], BoolArray, BoolArray, dict[str, Any]]
RENDER_MODES = ("ansi", "rgb_array")  # not "human": frames of many rows would take one another's place on the terminal
REUSED = 4  # observations whose memory is used again once nobody holds them
MODES = {mode.value: mode for mode in AutoresetMode}


class _Copies:
    """Copies of an array, made in memory that nobody holds any more: fresh megabytes cost more than what is copied into them."""

    def __init__(self, array: IntArray) -> None:
        self._copies = [np.empty_like(array)]
        self._unheld = sys.getrefcount(self._copies[0])

    def __call__(self, array: IntArray) -> IntArray:
        """A copy of `array` that stays as it is for as long as anybody holds it, or a view of it."""
        for index in range(len(self._copies)):
            if sys.getrefcount(self._copies[index]) == self._unheld:
                np.copyto(self._copies[index], array)
                return self._copies[index]
        copy = array.copy()
        if len(self._copies) < REUSED:
            self._copies.append(copy)
        return copy


@dataclass
class _Row:
    """What a row is besides its tokens."""

    rng: np.random.Generator | None = None
    seed: int | None = None
    problem: Problem | None = None
    prefix_length: int = 0
    program: Program | None = None  # once it is whole
    verdict: Future[Judgement] | None = None  # while it is being judged
    judgement: Judgement | None = None  # after the end


class UnitTestVectorEnv(UnitTestEnvBase, VectorEnv[Any, Any, Any]):  # pyright: ignore[reportIncompatibleVariableOverride]
    """N episodes side by side, with the results, infos and seeds that Gymnasium's `SyncVectorEnv` has over N `UnitTestEnv`.

    *Observation* `Dict(prompt=Box (N, P), program=Box (N, T))`, int64, padded with V. *Action* `MultiDiscrete([V] * N)`, one
    token id a row. Rewards float64 (N,), terminations and truncations bool (N,). Infos are Gymnasium's: an array for each
    key, and under `_key` the rows that have it.

    All programs that end in a step are judged side by side, by one judge. So that nobody waits, `overlap=True` has a program
    judged while the other rows go on. Meanwhile the row stands still: its observation is the whole program, its reward is 0,
    its flags are False, its action is ignored, and `infos["judging"]`, bool (N,), is True for it; leave such steps out of
    what is learned. When the verdict is there, the step reports reward, flag and info as if the program had just ended. A step
    waits only when every row is being judged. What a row earns does not depend on this, the step in which it is told does.

    Args:
        num_envs: N.
        autoreset_mode: `"NextStep"` (the step after the end begins the next episode, its action is ignored), `"SameStep"` (the
            ending step does, `final_obs` and `final_info` are in the infos), `"Disabled"` (`reset(options={"reset_mask":
            rows})`), or the member of `gymnasium.vector.AutoresetMode`.
        overlap: see above.
        copy: observations are copies, which stay as they are. False hands out the arrays that the next step writes to, as
            `SyncVectorEnv(copy=False)` does: faster, for those who take what they need at once.
        max_episode_steps: tokens that an episode may have at most, what is given aside, as `gymnasium.make` has it.
        options: those of `UnitTestEnv`. A source that changes as it goes is one for all rows.
    """

    def __init__(
        self,
        dataset: str | Sequence[Problem] = "procedural",
        *,
        num_envs: int = 1,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        overlap: bool = False,
        copy: bool = True,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        if isinstance(autoreset_mode, str) and autoreset_mode not in MODES:
            raise UnknownName("autoreset mode", autoreset_mode, MODES)
        super().__init__(dataset, **options)
        self.num_envs, self.overlap, self.copy = positive("num_envs", num_envs), overlap, copy
        self.max_episode_steps = None if max_episode_steps is None else positive("max_episode_steps", max_episode_steps)
        if render_mode == "human":
            raise UsageError(
                f"Expected render_mode 'ansi' or None of {num_envs} rows, got 'human': they would take one another's place on the "
                "terminal. Show the rows of 'ansi' as you like, or gymnasium.make one environment with 'human'."
            )
        self.render_mode, self.autoreset_mode = rendering(render_mode, RENDER_MODES), AutoresetMode(autoreset_mode)
        self.metadata = {"render_modes": list(RENDER_MODES), "render_fps": 10, "autoreset_mode": self.autoreset_mode}
        self._make_spaces()
        rows, length = self.num_envs, self.max_program_tokens
        self._prompt = np.full((rows, self.max_prompt_tokens), self.pad_id, np.int64)
        # All programs in one line, and a cell for nobody's.
        self._cells = np.full(rows * length + 1, self.pad_id, np.int64)
        self._program = self._cells[:-1].reshape(rows, length)  # the same memory
        self._copy_prompt, self._copy_program = _Copies(self._prompt), _Copies(self._program)
        self._cell = np.full(rows, rows * length)  # where each row's next token goes
        self._last = np.full(rows, -1)  # where the last one goes that it may have
        self._going = np.zeros(rows, bool)  # rows that take a token: begun, not ended, not being judged
        self._rows = [_Row() for _ in range(rows)]
        self._over = set(range(rows))  # rows whose episode has ended, or not begun
        self._waiting: set[int] = set()  # rows that wait for a verdict

    def _make_spaces(self) -> None:
        self.single_action_space = Discrete(self.pad_id)
        self.single_observation_space = Dict(
            prompt=Box(0, self.pad_id, (self.max_prompt_tokens,), np.int64),
            program=Box(0, self.pad_id, (self.max_program_tokens,), np.int64),
        )
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)

    # ---------------------------------------------------------------------------------------------------------- reset

    def reset(self, *, seed: Seeds = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:  # type: ignore[override]
        """Begins an episode in every row, or in those of `options["reset_mask"]`, bool (N,).

        Args:
            seed: that of the first row, the others' follow; or one for each row (None: its stream goes on).
            options: as for `UnitTestEnv.reset`, for every row that is reset.
        """
        options = _gym.reset_options(options)
        rows = self._rows_of(options.pop("reset_mask", None))
        seeds = self._seeds(seed)
        infos: dict[str, Any] = {}
        for row in rows:
            if seeds[row] is not None:
                self._rows[row].rng, self._rows[row].seed = seeding.np_random(seeds[row])
            infos = self._add_info(infos, self._begin(row, options), row)
        return self._observation(), infos

    def _rows_of(self, mask: Any) -> list[int]:
        if mask is None:
            return list(range(self.num_envs))
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            raise UsageError(f"Expected reset_mask to be a bool array of shape ({self.num_envs},), got {mask!r}.")
        if not mask.any():
            raise UsageError("Expected a reset_mask with at least one row, got none.")
        return np.flatnonzero(mask).tolist()

    def _seeds(self, seed: Seeds) -> Sequence[int | None]:
        if seed is None or isinstance(seed, int | np.integer):
            return [None if seed is None else int(seed) + row for row in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise UsageError(f"Expected a seed for each of {self.num_envs} rows, got {len(seed)}.")
        return seed

    def _begin(self, index: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """Starts the next episode of a row; the row is as it was if that fails."""
        row = self._rows[index]
        problem = self.choose(options, self._generator(row))
        text, prompt, prefix = self.initial_state(problem)
        row.problem, row.prefix_length = problem, len(prefix)
        row.program = row.verdict = row.judgement = None
        for array, tokens in ((self._prompt[index], prompt), (self._program[index], prefix)):
            array[: len(tokens)] = tokens
            array[len(tokens) :] = self.pad_id
        length = self.max_program_tokens
        most = min(length, len(prefix) + (self.max_episode_steps or length))
        self._cell[index] = index * length + len(prefix)
        self._last[index] = index * length + most - 1
        self._going[index] = True
        self._over.discard(index)
        self._waiting.discard(index)
        return {"problem": problem.id, "prompt": text}

    # ----------------------------------------------------------------------------------------------------------- step

    def step(self, actions: IntArray) -> Step:
        """Writes one token down in every row that goes on; judges the programs that are whole.

        Raises:
            ResetNeeded: before `reset`; with autoreset disabled, also when a row has ended.
            InvalidAction: not a token id in [0, V) for each row that takes one.
            SandboxError: the judge failed twice on a program. The step did not happen: it can be taken again.
        """
        self._check_begun()
        tokens = self._tokens(actions)
        self._cells[self._cell] = tokens
        whole = ((tokens == self._eos) & self._going) | (self._cell == self._last)
        rewards, flags, infos = np.zeros(self.num_envs), np.zeros((2, self.num_envs), bool), {}
        if self._over or self._waiting or whole.any():
            infos = self._turn(np.flatnonzero(whole).tolist(), rewards, flags)
        else:
            self._cell += self._going
        if self.overlap:
            infos["judging"] = np.zeros(self.num_envs, bool)
            infos["judging"][list(self._waiting)] = True
            infos["_judging"] = infos["judging"].copy()
        return self._observation(), rewards, flags[0], flags[1], infos

    def _check_begun(self) -> None:
        disabled = self.autoreset_mode is AutoresetMode.DISABLED
        if self._over and (disabled or any(self._rows[index].problem is None for index in self._over)):
            raise ResetNeeded(f"Expected reset() before step(): rows {sorted(self._over)} have no running episode.")

    def _tokens(self, actions: Any) -> IntArray:
        tokens = np.asarray(actions)
        if tokens.shape != (self.num_envs,) or tokens.dtype.kind not in "iu":
            raise InvalidAction(f"Expected a token id for each of {self.num_envs} rows, got {actions!r}.")
        wrong = ((tokens < 0) | (tokens >= self.pad_id)) & self._going
        if wrong.any():
            raise InvalidAction(f"Expected token ids in [0, {self.pad_id}), got {tokens[wrong]}.")
        return tokens

    def _turn(self, whole: list[int], rewards: npt.NDArray[np.float64], flags: BoolArray) -> dict[str, Any]:
        """The rest of a step in which rows begin or end. `whole`: those whose program is complete with this token."""
        programs = {index: self._complete(index) for index in whole}
        verdicts = self._verdicts(programs)
        self._cell += self._going  # from here on the step has happened
        for index, program in programs.items():
            self._rows[index].program = program
            self._going[index], self._cell[index], self._last[index] = False, len(self._cells) - 1, -1
        begin, self._over = self._over, set()
        infos: dict[str, Any] = {}
        for index in sorted({*begin, *verdicts}):
            if index in begin:
                info = self._begin(index, {})
            else:
                rewards[index], info = self._end(index, verdicts[index])
                flags[int(info["program"].truncated), index] = True
                if self.autoreset_mode is AutoresetMode.SAME_STEP:
                    final = {"final_obs": self._observation_of(index), "final_info": info}
                    infos = self._add_info(infos, final, index)
                    info = self._begin(index, {})
            infos = self._add_info(infos, info, index)
        return infos

    def _complete(self, index: int) -> Program:
        """The program of a row whose last token has just been written."""
        row, begin, end = self._rows[index], index * self.max_program_tokens, int(self._cell[index]) + 1
        truncated = bool(self._cells[end - 1] != self._eos)
        return self.tokenizer.program(
            self._cells[begin:end].copy(), prefix_length=row.prefix_length, truncated=truncated
        )

    def _verdicts(self, programs: Mapping[int, Program]) -> dict[int, Judgement]:
        """What the judge has to say by now; without `overlap`, on every one of `programs`."""
        pending = {index: self._submit(index, program) for index, program in programs.items()}
        pending |= {index: verdict for index in self._waiting if (verdict := self._rows[index].verdict)}
        if self.overlap:
            if len(pending) == self.num_envs:
                wait(pending.values(), return_when=FIRST_COMPLETED)
            ready = {index: verdict for index, verdict in pending.items() if verdict.done()}
        else:
            ready = pending
        try:
            verdicts = {index: verdict.result() for index, verdict in ready.items()}
        except SandboxError:
            for index in self._waiting & ready.keys():
                row = self._rows[index]
                if row.program and ready[index].exception():
                    row.verdict = self._submit(index, row.program)
            raise
        self._waiting = pending.keys() - verdicts.keys()
        for index in self._waiting:
            self._rows[index].verdict = pending[index]
        return verdicts

    def _submit(self, index: int, program: Program) -> Future[Judgement]:
        return self.submit(self._problem(index), program)

    def _end(self, index: int, judgement: Judgement) -> tuple[float, dict[str, Any]]:
        row, problem = self._rows[index], self._problem(index)
        assert row.program, "only whole programs are judged"
        row.verdict, row.judgement = None, judgement
        self._over.add(index)
        self.source.observe(Attempt(problem, row.program, judgement.verdict))
        return judgement.feedback.total, {"problem": problem.id, "program": row.program, **judgement._asdict()}

    # ---------------------------------------------------------------------------------------------------------- views

    def _observation(self) -> Observation:
        if not self.copy:
            return {"prompt": self._prompt, "program": self._program}
        return {"prompt": self._copy_prompt(self._prompt), "program": self._copy_program(self._program)}

    def _observation_of(self, index: int) -> Observation:
        return {"prompt": self._prompt[index].copy(), "program": self._program[index].copy()}

    def _problem(self, index: int) -> Problem:
        problem = self._rows[index].problem
        if problem is None:
            raise ResetNeeded("Expected reset() first: no episode has begun.")
        return problem

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problem of each row; raises `ResetNeeded` before the first reset."""
        return tuple(map(self._problem, range(self.num_envs)))

    @property
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generator of each row."""
        return tuple(self._generator(row) for row in self._rows)

    @property
    def np_random_seed(self) -> tuple[int | None, ...]:  # type: ignore[override]
        """The seed of each row."""
        return tuple(row.seed for row in self._rows if self._generator(row))

    def _generator(self, row: _Row) -> np.random.Generator:
        if row.rng is None:
            row.rng, row.seed = seeding.np_random()
        return row.rng

    def render(self) -> tuple[str, ...] | tuple[Pixels, ...] | None:  # type: ignore[override]
        """A frame for each row, as `UnitTestEnv.render` has it."""
        if self.render_mode is None:
            logger.warn('render() needs a mode: gymnasium.make_vec(..., render_mode="ansi").')
            return None
        frames = tuple(map(self._frame, range(self.num_envs)))
        return tuple(map(pixels.picture, frames)) if self.render_mode == "rgb_array" else frames

    def _frame(self, index: int) -> str:
        row, tokens = self._rows[index], self._program[index]
        program = row.program or self.tokenizer.program(tokens[tokens != self.pad_id], prefix_length=row.prefix_length)
        return ansi.frame(self._problem(index), program, self.max_program_tokens, row.judgement)

    def close(self, **kwargs: Any) -> None:
        """Gives back the judge. What is still being judged is forgotten."""
        VectorEnv.close(self, **kwargs)

    def close_extras(self, **kwargs: Any) -> None:
        """What `close` does, once."""
        UnitTestEnvBase.close(self)
