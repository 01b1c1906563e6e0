"""The environment: see a problem, emit a program token by token, have it judged at the last token.

`judge(problem, program)` is the meaning of everything here; `step(token)` writes one token down and calls `judge` when there
are no more. Policies that generate in batch call `judge`, `judge_many` or `submit` and pay nothing for `step`.

    Source --draw--> Problem --prompts--> observation ... token, token, end --Sandbox--> Verdict --Reward--> Feedback
"""

from __future__ import annotations

import copy
import operator
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.spaces import Box, Dict, Discrete

from rltf_env import datasets, prompts, render, rewards, tokenizers
from rltf_env import sandbox as sandboxes
from rltf_env.core import (
    Attempt,
    IntArray,
    Judgement,
    Problem,
    Program,
    Reward,
    Sandbox,
    Source,
    Tokenizer,
    Verdict,
)
from rltf_env.errors import MissingData, SandboxError, UnknownName, UsageError

Observation = dict[str, IntArray]
AnyProgram = Program | Sequence[int] | IntArray | str

RENDER_MODES = ("ansi",)
RESET_OPTIONS = ("problem", "prefix")
ON_LONG_PROMPT = ("error", "truncate")
_OPENING = threading.Lock()
FINGERPRINT = 64  # problems of an endless source that its digest is taken over


class MissingDataWarning(UserWarning):
    """The data that were asked for are not there; embedded problems are used in their place."""


class UnitTestEnv(gymnasium.Env[Any, Any]):
    """Code generation as a reinforcement learning environment: one action is one token, one episode is one program.

    *Observation* `Dict(prompt=Box(0, V, (P,), int64), program=Box(0, V, (T,), int64))`: token ids, padded on the right with
    V, which no token has, so that `obs["program"] != V` is the mask. Every observation is a fresh copy.
    *Action* `Discrete(V)`, a token id. *Terminated* when it is end-of-sequence, *truncated* when it is the T-th token and is
    not; never both. Both are judged. *Reward* 0 until then, and at last `feedback.total`; what each token earned is
    `info["feedback"].rewards`, whose sum is the sum of the step rewards.
    *Info* at reset: `problem` (its id) and `prompt` (its text); at the end: `problem`, `program` (`core.Program`), `verdict`
    (`core.Verdict`) and `feedback` (`core.Feedback`).

    The only randomness is which problem comes, and that is drawn from `self.np_random`: same seed, same episodes.

    Args:
        dataset: name of a dataset, `"module:attr"`, or a sequence of problems.
        split, root, dataset_options: passed on to it; None stands for its own defaults.
        source: decides which problem comes next, in place of drawing uniformly from `dataset`.
        reward, reward_options: name of a reward and its options, or a `core.Reward`.
        sandbox, sandbox_options: name of a judge and its options, or a `core.Sandbox`. A named one is opened at the first
            judgement and closed by `close()`; one that was passed in may be shared and is left open.
        tokenizer: `"bytes"`, a hub id or folder, or a `core.Tokenizer`.
        prompt_style: how a problem is put into words: a name or a function, see `prompts.render`; None picks what suits it.
        max_prompt_tokens: P. max_program_tokens: T, tokens that are given included.
        on_long_prompt: `"error"` or `"truncate"`, for prompts of more than P tokens.
        render_mode: `"ansi"` or None.

    Raises:
        UnknownName: no such dataset, reward, sandbox, option ...; the message names the nearest.
        UsageError: an impossible size, or options for something that is not named.

    Where the data of `dataset` are missing, the embedded procedural problems are used, with a `MissingDataWarning`;
    `dataset_name` and `data_digest` say what is in use.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 10}  # noqa: RUF012 - Gymnasium's own form

    def __init__(
        self,
        dataset: str | Sequence[Problem] = "procedural",
        *,
        split: str | None = None,
        root: str | None = None,
        dataset_options: Mapping[str, Any] | None = None,
        source: Source | None = None,
        reward: str | Reward = "rltf",
        reward_options: Mapping[str, Any] | None = None,
        sandbox: str | Sandbox = "auto",
        sandbox_options: Mapping[str, Any] | None = None,
        tokenizer: str | Tokenizer = "bytes",
        prompt_style: prompts.Style | None = None,
        max_prompt_tokens: int = 512,
        max_program_tokens: int = 512,
        on_long_prompt: str = "error",
        render_mode: str | None = None,
    ) -> None:
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise UnknownName("render mode", render_mode, RENDER_MODES)
        self.render_mode = render_mode
        self.tokenizer = tokenizers.load(tokenizer)
        self.reward = rewards.load(reward, **(reward_options or {}))
        self.max_prompt_tokens = _positive("max_prompt_tokens", max_prompt_tokens)
        self.max_program_tokens = _positive("max_program_tokens", max_program_tokens)
        if isinstance(prompt_style, str) and prompt_style not in prompts.STYLES:
            raise UnknownName("prompt style", prompt_style, prompts.STYLES)
        if on_long_prompt not in ON_LONG_PROMPT:
            raise UnknownName("value of on_long_prompt", on_long_prompt, ON_LONG_PROMPT)
        self.prompt_style, self.on_long_prompt = prompt_style, on_long_prompt
        if not isinstance(sandbox, str) and sandbox_options:
            raise UsageError(f"Expected sandbox_options with the name of a sandbox, got them with {sandbox!r}.")
        self._judge = sandbox
        self._judge_options = dict(sandbox_options or {})
        self._own: Sandbox | None = None
        self.split, self.root = split, root
        self.source, self.dataset_name = _find_source(dataset, split, root, dict(dataset_options or {}), source)

        self.pad_id: int = self.tokenizer.vocab_size
        self.action_space = Discrete(self.pad_id)
        self.observation_space = Dict(
            prompt=Box(0, self.pad_id, (self.max_prompt_tokens,), np.int64),
            program=Box(0, self.pad_id, (self.max_program_tokens,), np.int64),
        )
        self._problem: Problem | None = None
        self._judgement: Judgement | None = None
        self._prompt = self._padded((), self.max_prompt_tokens)
        self._program = self._padded((), self.max_program_tokens)
        self._given = self._length = 0
        self._eos = self.tokenizer.eos_id

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
        problem = self._choose(options or {})
        given = self.tokenizer.encode(problem.prefix) if problem.prefix else []
        if len(given) >= self.max_program_tokens:
            raise UsageError(
                f"Expected a prefix of less than max_program_tokens = {self.max_program_tokens} tokens, got {len(given)} "
                f"for problem {problem.id!r}. Raise max_program_tokens=, or shorten the prefix."
            )
        prompt, tokens = self._fitted(problem)
        self._prompt = self._padded(tokens, self.max_prompt_tokens)
        self._program = self._padded(given, self.max_program_tokens)
        self._problem, self._judgement = problem, None
        self._given = self._length = len(given)
        return self._observation(), {"problem": problem.id, "prompt": prompt}

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
        truncated = not terminated and last == self.max_program_tokens
        reward, info = self._finish(self._problem, last, truncated) if terminated or truncated else (0.0, {})
        self._length = last
        return self._observation(), reward, terminated, truncated, info

    def _choose(self, options: dict[str, Any]) -> Problem:
        for key, value in options.items():
            if key not in RESET_OPTIONS:
                raise UnknownName("reset option", key, RESET_OPTIONS)
            if not isinstance(value, str):
                raise UsageError(f"Expected reset option {key!r} to be a string, got {value!r}.")
        problem = self.source.find(options["problem"]) if "problem" in options else self.source.draw(self.np_random)
        prefix = options.get("prefix", problem.prefix)
        if not prefix.startswith(problem.prefix):
            raise UsageError(
                f"Expected a prefix that begins with that of problem {problem.id!r}, {problem.prefix!r}, got {prefix!r}."
            )
        return problem if prefix == problem.prefix else replace(problem, prefix=prefix)

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
        program = self.tokenizer.program(tokens, given=self._given, truncated=truncated)
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

    # -------------------------------------------------------------------------------------------------------- judging

    def judge(self, problem: Problem, program: AnyProgram) -> Judgement:
        """Verdict and feedback on a program.

        Args:
            problem: what it should solve; it need not be the problem of the running episode, which is left alone.
            program: a `Program`; or its token ids (T,), as an agent emitted them: the problem's prefix included, padding
                on the right allowed, cut off at the limit if there are T of them and no end token; or its text, the whole of
                it, prefix included, which is judged as it is.

        Raises:
            SandboxError: the judge failed twice.
            UsageError: token ids that no episode could give, or a text that the tokenizer cannot spell.
        """
        program = self._as_program(problem, program)
        try:
            verdict = self.sandbox.run(program.text, problem)
        except SandboxError:
            verdict = self.sandbox.run(program.text, problem)
        return self._judgement_of(problem, program, verdict)

    def judge_many(self, pairs: Iterable[tuple[Problem, AnyProgram]]) -> Iterator[Judgement]:
        """`judge` of each pair, in order, as many at a time as the sandbox likes; `pairs` may be endless."""
        pairs = iter(pairs)
        owed: deque[tuple[Problem, Program]] = deque()  # handed to the sandbox, not answered yet

        def jobs() -> Iterator[tuple[str, Problem]]:
            for problem, program in tuple(owed):
                yield program.text, problem
            for problem, program in pairs:
                owed.append((problem, self._as_program(problem, program)))
                yield owed[-1][1].text, problem

        retried = None
        while True:
            try:
                for verdict in self.sandbox.map(jobs()):
                    yield self._judgement_of(*owed.popleft(), verdict)
                return
            except SandboxError:
                if not owed or owed[0] is retried:
                    raise
                retried = owed[0]  # verdicts come in order, so this is the one that failed

    def submit(self, problem: Problem, program: AnyProgram) -> Future[Judgement]:
        """`judge` in the background."""
        program = self._as_program(problem, program)
        future: Future[Judgement] = Future()
        future.set_running_or_notify_cancel()

        def settle(verdict: Callable[[], Verdict]) -> None:
            try:
                future.set_result(self._judgement_of(problem, program, verdict()))
            except BaseException as error:
                future.set_exception(error)

        def done(first: Future[Verdict]) -> None:
            if first.cancelled() or not isinstance(first.exception(), SandboxError):
                settle(first.result)
            else:  # again, but not in this thread: it may be the very one that the sandbox judges with
                again = partial(self.sandbox.run, program.text, problem)
                threading.Thread(target=settle, args=(again,), daemon=True).start()

        self.sandbox.submit(program.text, problem).add_done_callback(done)
        return future

    def encode_prompt(self, problem: Problem) -> IntArray:
        """int64 (<=P,): the prompt of `problem` in tokens, without padding."""
        return np.asarray(self._fitted(problem)[1], np.int64)

    def _fitted(self, problem: Problem) -> tuple[str, list[int]]:
        """The prompt as text and as tokens, both as they are shown."""
        text = prompts.render(problem, self.prompt_style)
        tokens = self.tokenizer.encode(text)
        if len(tokens) > self.max_prompt_tokens:
            tokens = prompts.fit(
                problem, self.tokenizer, self.max_prompt_tokens, self.prompt_style, on_long=self.on_long_prompt
            )
            text = self.tokenizer.program(tokens).text
        return text, tokens

    def _judgement_of(self, problem: Problem, program: Program, verdict: Verdict) -> Judgement:
        return Judgement(verdict, self.reward(Attempt(problem, program, verdict)))

    def _as_program(self, problem: Problem, program: AnyProgram) -> Program:
        if isinstance(program, Program):
            return program
        prefix = self.tokenizer.encode(problem.prefix) if problem.prefix else []
        if isinstance(program, str):
            return self._spelled(program, problem.prefix, prefix)
        tokens = self._emitted(program)
        given = len(prefix) if tokens[: len(prefix)].tolist() == prefix else 0
        cut = tokens[-1] != self._eos and len(tokens) >= self.max_program_tokens
        return self.tokenizer.program(tokens, given=given, truncated=bool(cut))

    def _spelled(self, text: str, prefix: str, given: list[int]) -> Program:
        """The program that an agent would have had to emit to write `text`."""
        if not text.startswith(prefix):
            prefix, given = "", []
        program = self.tokenizer.program(
            [*given, *self.tokenizer.encode(text[len(prefix) :]), self._eos], given=len(given)
        )
        if program.text != text:
            raise UsageError(
                f"Expected a text that the tokenizer can spell, but {text!r} comes back as {program.text!r}. "
                "Pass the tokens, or a core.Program."
            )
        return program

    def _emitted(self, program: Sequence[int] | IntArray) -> IntArray:
        """int64 (T,): the tokens without padding on the right. The tokenizer checks the rest."""
        tokens = np.asarray(program)
        if tokens.ndim != 1 or tokens.dtype.kind not in "iu" or np.all(tokens == self.pad_id):
            raise UsageError(f"Expected a program as token ids (T,) with at least one token, got {program!r}.")
        return tokens[: np.flatnonzero(tokens != self.pad_id)[-1] + 1].astype(np.int64)

    # ------------------------------------------------------------------------------------------------------ resources

    @property
    def sandbox(self) -> Sandbox:
        """The judge, opened when it is first needed."""
        if not isinstance(self._judge, str):
            return self._judge
        with _OPENING:  # `judge` may be called from several threads
            own = sandboxes.load(self._judge, **self._judge_options) if self._own is None else self._own
            self._own = own
        return own

    @cached_property
    def data_digest(self) -> str:
        """What is really in use: SHA-256 over all problems, or over the first of an endless source drawn with seed 0."""
        problems = getattr(self.source, "problems", None)
        if problems is None:
            source, rng = copy.deepcopy(self.source), np.random.default_rng(0)
            problems = [source.draw(rng) for _ in range(FINGERPRINT)]
        return datasets.digest(problems)

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

    def render(self) -> str | None:  # type: ignore[override]
        """The program so far, and after the end the verdict, the failing line and the heat of each token (`render.ansi`)."""
        if self.render_mode is None:
            gymnasium.logger.warn('render() needs a mode: gymnasium.make(..., render_mode="ansi").')
            return None
        program = self.tokenizer.program(self._program[: self._length], given=self._given)
        return render.ansi(self.problem, program, self.max_program_tokens, self._judgement)

    def close(self) -> None:
        """Closes the sandbox, if the environment opened it."""
        own, self._own = self._own, None
        if own is not None:
            own.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_own": None}  # a copy opens its own when it needs one


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise UsageError(f"Expected {name} to be an integer of at least 1, got {value!r}.")
    return int(value)


def _find_source(
    dataset: str | Sequence[Problem],
    split: str | None,
    root: str | None,
    options: dict[str, Any],
    source: Source | None,
) -> tuple[Source, str]:
    """The source and the name of the data that it draws from: `"custom"` unless they were asked for by name."""
    if source is not None:
        if options:
            raise UsageError(f"Expected dataset_options with a dataset, got them with source={source!r}.")
        return datasets.source(source), "custom"
    if not isinstance(dataset, str):
        return datasets.source(dataset, split, root, **options), "custom"
    try:
        return datasets.source(dataset, split, root, **options), dataset
    except MissingData as error:
        warnings.warn(
            f"{error} Until then the embedded procedural problems are used: what is measured says nothing on {dataset!r}.",
            MissingDataWarning,
            stacklevel=3,
        )
    return datasets.source("procedural", split if split in ("train", "validation", "test") else None), "procedural"
