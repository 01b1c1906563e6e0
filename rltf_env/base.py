"""What every environment here does with a problem: choose it, put it into tokens, judge a program on it.

`judge(problem, program)` is the meaning of an episode; `UnitTestEnv.step` calls it at the last token, `TextEnv.step` at each
program, `UnitTestVectorEnv` in the background. Policies that write whole programs call it, or `judge_many`, or `submit`.

    Source --draw--> Problem --prompts--> tokens ... Program --Sandbox--> Verdict --Reward--> Feedback
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import cached_property, partial
from inspect import Parameter, Signature, signature
from typing import Any, TypedDict

import numpy as np
from gymnasium.envs.registration import EnvSpec

from rltf_env import _gym, curricula, datasets, prompts, rewards, tokenizers
from rltf_env._problems import MissingDataWarning as MissingDataWarning
from rltf_env._problems import find_source, practised
from rltf_env._renamed import renamed
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
    line_starts,
)
from rltf_env.errors import SandboxError, UnknownName, UsageError
from rltf_env.plugins import as_options
from rltf_env.sandbox import check_runs
from rltf_env.sandbox import find as find_sandbox
from rltf_env.sandbox.pool import leases
from rltf_env.view import pixels

AnyProgram = Program | Sequence[int] | IntArray | str

RESET_OPTIONS = ("problem", "prefix")
ON_LONG_PROMPT = ("error", "truncate")
FINGERPRINT = 64  # problems of an endless source that its digest is taken over


class Options(TypedDict, total=False):
    """Arguments that every environment takes by name; `UnitTestEnv` says what they mean.

    They are the parameters of `UnitTestEnvBase.__init__`, and a test compares both.
    """

    split: str | None
    root: str | None
    dataset_options: Mapping[str, Any] | None
    source: str | Source | None
    source_options: Mapping[str, Any] | None
    curriculum: curricula.AnyCurriculum | None
    curriculum_options: Mapping[str, Any] | None
    reward: str | Reward
    reward_options: Mapping[str, Any] | None
    sandbox: str | Sandbox
    sandbox_options: Mapping[str, Any] | None
    tokenizer: str | Tokenizer
    prompt_style: prompts.Style | None
    max_prompt_tokens: int
    max_program_tokens: int
    on_long_prompt: str


class UnitTestEnvBase:
    """Problems, tokenizer, reward and judge of an environment. The arguments are those of `UnitTestEnv`."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Shows all arguments to `help` and `inspect.signature`, those that a class hands on by name included."""
        super().__init_subclass__(**options)
        cls.__signature__ = Signature(_parameters(cls))  # type: ignore[attr-defined]

    def __init__(
        self,
        dataset: str | Sequence[Problem] = "procedural",
        *,
        split: str | None = None,
        root: str | None = None,
        dataset_options: Mapping[str, Any] | None = None,
        source: str | Source | None = None,
        source_options: Mapping[str, Any] | None = None,
        curriculum: curricula.AnyCurriculum | None = None,
        curriculum_options: Mapping[str, Any] | None = None,
        reward: str | Reward = "rltf",
        reward_options: Mapping[str, Any] | None = None,
        sandbox: str | Sandbox = "auto",
        sandbox_options: Mapping[str, Any] | None = None,
        tokenizer: str | Tokenizer = "bytes",
        prompt_style: prompts.Style | None = None,
        max_prompt_tokens: int = 512,
        max_program_tokens: int = 512,
        on_long_prompt: str = "error",
        **unknown: Any,
    ) -> None:
        for name in unknown:
            raise UnknownName("argument", name, _arguments(type(self)))
        self.tokenizer = tokenizers.load(tokenizer)
        self.reward = rewards.load(reward, **as_options("reward_options", reward_options))
        self.max_prompt_tokens = positive("max_prompt_tokens", max_prompt_tokens)
        self.max_program_tokens = positive("max_program_tokens", max_program_tokens)
        if isinstance(prompt_style, str) and prompt_style not in prompts.STYLES:
            raise UnknownName("prompt style", prompt_style, prompts.STYLES)
        if on_long_prompt not in ON_LONG_PROMPT:
            raise UnknownName("value of on_long_prompt", on_long_prompt, ON_LONG_PROMPT)
        self.prompt_style, self.on_long_prompt = prompt_style, on_long_prompt
        if not isinstance(sandbox, str) and sandbox_options:
            raise UsageError(f"Expected sandbox_options with the name of a sandbox, got them with {sandbox!r}.")
        if isinstance(sandbox, str):
            find_sandbox(sandbox)  # it is opened when it is needed, but an unknown one is told now
        self._judge, self._judge_options = sandbox, as_options("sandbox_options", sandbox_options)
        if isinstance(sandbox, str):
            self._judge_options |= _needed(rewards.needs(self.reward), self._judge_options, "the reward")
        else:
            _check_opened(rewards.needs(self.reward), sandbox, "the reward")
        self._lease: leases.Lease | None = None
        self.split, self.root = split, root
        whole, self.dataset_name, self.dataset_options = find_source(
            dataset, split, root, dataset_options, source, source_options
        )
        if curriculum is not None:
            self.check_runs("a curriculum, which counts programs that pass")
        self.source = practised(whole, curriculum, curriculum_options)
        self._made = self.source, whole  # the digest is that of whole problems, unless somebody sets another source
        if rewards.reads_references(self.reward):
            _check_references(self.source)
        self.pad_id: int = self.tokenizer.vocab_size
        self._eos = self.tokenizer.eos_id

    # ------------------------------------------------------------------------------------------------------- problems

    def choose(self, options: Mapping[str, Any], rng: np.random.Generator) -> Problem:
        """The problem that reset options ask for, or else one drawn with `rng`; with the prefix that they give it."""
        for key, value in options.items():
            if key not in RESET_OPTIONS:
                raise UnknownName("reset option", key, RESET_OPTIONS)
            if not isinstance(value, str):
                raise UsageError(f"Expected reset option {key!r} to be a string, got {value!r}.")
        problem = self.source.find(options["problem"]) if "problem" in options else self.source.draw(rng)
        prefix = options.get("prefix", problem.prefix)
        if not prefix.startswith(problem.prefix):
            raise UsageError(
                f"Expected a prefix that begins with that of problem {problem.id!r}, {problem.prefix!r}, got {prefix!r}."
            )
        return problem if prefix == problem.prefix else replace(problem, prefix=prefix)

    def initial_state(self, problem: Problem) -> tuple[str, list[int], list[int]]:
        """How an episode begins: the prompt as text and as tokens (<=P,), and the tokens of what is given (<T,).

        Raises:
            UsageError: a prefix that leaves no room for a token, or a prompt that is too long.
        """
        prefix = self._opening_tokens(problem)
        if len(prefix) >= self.max_program_tokens:
            raise UsageError(
                f"Expected a prefix of less than max_program_tokens = {self.max_program_tokens} tokens, got {len(prefix)} "
                f"for problem {problem.id!r}. Raise max_program_tokens=, or shorten the prefix."
            )
        return *self._fitted(problem), prefix

    def encode_prompt(self, problem: Problem) -> IntArray:
        """int64 (<=P,): the prompt of `problem` in tokens, without padding."""
        return np.asarray(self._fitted(problem)[1], np.int64)

    def encode_prefix(self, problem: Problem) -> IntArray:
        """int64 (<T,): the tokens that `problem` gives for free; see `tokenizers.fitting_prefix`."""
        return np.asarray(self._opening_tokens(problem), np.int64)

    def _opening_tokens(self, problem: Problem) -> list[int]:
        text = tokenizers.fitting_prefix(self.tokenizer, problem.prefix)
        return self.tokenizer.encode(text) if text else []

    def _fitted(self, problem: Problem) -> tuple[str, list[int]]:
        """The prompt as text and as tokens, both as they are shown."""
        text = prompts.render(problem, self.prompt_style)
        tokens = tokenizers.encode_prompt(self.tokenizer, text)
        if len(tokens) > self.max_prompt_tokens:
            tokens = prompts.fit(
                problem, self.tokenizer, self.max_prompt_tokens, self.prompt_style, on_long=self.on_long_prompt
            )
            text = self.tokenizer.program(tokens).text
        return text, tokens

    @cached_property
    def data_digest(self) -> str:
        """What is really in use: SHA-256 over all problems, or over the first of an endless source drawn with seed 0."""
        whole = self._made[1] if self.source is self._made[0] else self.source
        problems = getattr(whole, "problems", None)
        if problems is None:
            source, rng = copy.deepcopy(whole), np.random.default_rng(0)
            problems = [source.draw(rng) for _ in range(FINGERPRINT)]
        return datasets.digest(problems)

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
        return self._judgement_of(problem, program, self.verdict_on(problem, program.text))

    def verdict_on(self, problem: Problem, text: str) -> Verdict:
        """What the judge says of a program's text. Raises SandboxError if it failed twice."""
        try:
            return self.sandbox.run(text, problem)
        except SandboxError:
            return self.sandbox.run(text, problem)

    def judge_many(self, pairs: Iterable[tuple[Problem, AnyProgram]]) -> Iterator[Judgement]:
        """`judge` of each pair, in order, as many at a time as the sandbox likes; `pairs` may be endless."""
        pairs = iter(pairs)
        pending: deque[tuple[Problem, Program]] = deque()  # handed to the sandbox, not answered yet

        def jobs() -> Iterator[tuple[str, Problem]]:
            for problem, program in tuple(pending):
                yield program.text, problem
            for problem, program in pairs:
                pending.append((problem, self._as_program(problem, program)))
                yield pending[-1][1].text, problem

        retried = None
        while True:
            try:
                for verdict in self.sandbox.map(jobs()):
                    yield self._judgement_of(*pending.popleft(), verdict)
                return
            except SandboxError:
                if not pending or pending[0] is retried:
                    raise
                retried = pending[0]  # verdicts come in order, so this is the one that failed

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

    def _judgement_of(self, problem: Problem, program: Program, verdict: Verdict) -> Judgement:
        return Judgement(verdict, self.reward(Attempt(problem, program, verdict)))

    def _as_program(self, problem: Problem, program: AnyProgram) -> Program:
        if isinstance(program, Program):
            return program
        prefix = self._opening_tokens(problem)
        if isinstance(program, str):
            return self._from_text(program, tokenizers.fitting_prefix(self.tokenizer, problem.prefix), prefix)
        tokens = self._emitted(program)
        size = len(prefix) if tokens[: len(prefix)].tolist() == prefix else 0
        truncated = tokens[-1] != self._eos and len(tokens) >= self.max_program_tokens
        return self.tokenizer.program(tokens, prefix_length=size, truncated=bool(truncated))

    def _from_text(self, text: str, prefix: str, prefix_tokens: list[int]) -> Program:
        """The program that an agent would have had to emit to write `text`."""
        if not text.startswith(prefix):
            prefix, prefix_tokens = "", []
        program = self.tokenizer.program(
            [*prefix_tokens, *self.tokenizer.encode(text[len(prefix) :]), self._eos], prefix_length=len(prefix_tokens)
        )
        if program.text != text:
            raise UsageError(
                f"Expected a text that the tokenizer can spell, but {text!r} comes back as {program.text!r}. "
                "Pass the tokens, or a core.Program."
            )
        return program

    def program_of(self, problem: Problem, text: str) -> Program:
        """The program that a text is, whatever it holds: in tokens where they spell it, else line by line (ids 0).

        For completions, which must all have a verdict. `judge` refuses a text that does not come back from tokens.
        """
        if not isinstance(text, str):
            raise UsageError(f"Expected a program as text, got {type(text).__name__}: {str(text)[:60]!r}.")
        try:
            return self._as_program(problem, text)
        except (UsageError, TypeError, UnicodeError):  # special tokens spelled out, normalisers, lone surrogates
            starts = np.array(line_starts(text), np.int64)
            return Program(np.zeros(len(starts), np.int64), text, starts)

    def _emitted(self, program: Sequence[int] | IntArray) -> IntArray:
        """int64 (T,): the tokens without padding on the right. The tokenizer checks the rest."""
        tokens = np.asarray(program)
        if tokens.ndim != 1 or tokens.dtype.kind not in "iu" or np.all(tokens == self.pad_id):
            raise UsageError(f"Expected a program as token ids (T,) with at least one token, got {program!r}.")
        return tokens[: np.flatnonzero(tokens != self.pad_id)[-1] + 1].astype(np.int64)

    # ------------------------------------------------------------------------------------------------------ resources

    @property
    def sandbox(self) -> Sandbox:
        """The judge, opened when it is first needed: one for all environments of a process that name it with equal options."""
        if not isinstance(self._judge, str):
            return self._judge
        if self._lease is None or not self._lease.good:
            with leases.lock():  # `judge` may be called from several threads
                self._lease = leases.lease(self._judge, self._judge_options, self._lease)
        return self._lease.sandbox

    def require(self, option: str, who: str) -> None:
        """From now on every verdict has what a boolean option of the sandbox asks for, such as `"facts"`, because `who` needs it.

        Raises:
            UsageError: `sandbox_options` forbids it, or the sandbox was opened by somebody else, without.
        """
        if not isinstance(self._judge, str):
            _check_opened({option}, self._judge, who)
        elif not self._judge_options.get(option):
            self._judge_options |= _needed({option}, self._judge_options, who)
            self.close()  # the next verdict is another judge's

    def check_runs(self, use: str) -> None:
        """Raises UsageError where `use`, in its words, needs a judge that runs programs, and this environment's does not."""
        check_runs(self._judge, use)

    def close(self) -> None:
        """Gives back the sandbox, if it was named; the last environment that does so closes it."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.close()

    @property
    def spec(self) -> EnvSpec | None:
        """How Gymnasium made this environment; copies of it share what is alive among the arguments."""
        return self._spec

    @spec.setter
    def spec(self, value: EnvSpec | None) -> None:
        """What Gymnasium registered the environment with."""
        self._spec = _gym.shared(value)

    _spec: EnvSpec | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_lease": None}  # a copy opens its own when it needs one


class UnknownRenderMode(UnknownName, TypeError):
    """No such render mode. Stable-Baselines3 asks each id for `rgb_array` and goes on without after a TypeError only."""


def rendering(mode: str | None, modes: Sequence[str]) -> str | None:
    """`mode`; UnknownRenderMode unless it is None or one of `modes`."""
    if mode is not None and mode not in modes:
        raise UnknownRenderMode("render mode", mode, modes)
    if mode == "rgb_array" and not pixels.available():
        hint = "rgb_array needs Pillow: pip install 'rltf[terminal]'."
        raise UnknownRenderMode("render mode", mode, [each for each in modes if each != mode], hint=hint)
    return mode


def _parameters(kind: type) -> list[Parameter]:
    """All parameters of an environment of this kind: the dataset first, then its own, then what it hands on."""
    inits = [
        vars(base)["__init__"]
        for base in kind.__mro__
        if issubclass(base, UnitTestEnvBase) and "__init__" in vars(base)
    ]
    every = [parameter for init in inits for parameter in signature(init).parameters.values()]
    by_name = {each.name: each for each in every if each.kind is not Parameter.VAR_KEYWORD and each.name != "self"}
    return sorted(by_name.values(), key=lambda each: each.kind)


def _arguments(kind: type) -> list[str]:
    """The names of all arguments that an environment of this kind takes."""
    return [each.name for each in _parameters(kind)]


def positive(name: str, value: int) -> int:
    """`value`; UsageError unless it is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise UsageError(f"Expected {name} to be an integer of at least 1, got {value!r}.")
    return int(value)


def _needed(wanted: Collection[str], options: Mapping[str, Any], who: str) -> dict[str, bool]:
    """The options that a named sandbox gets for what somebody needs. Raises UsageError on one that forbids it."""
    for name in sorted(wanted):
        if not options.get(name, True):
            raise UsageError(
                f"Expected sandbox_options with {name} = True, which {who} needs, got {options[name]!r}. "
                f"Leave the option out, or do without {who}."
            )
    return dict.fromkeys(wanted, True)


def _check_opened(wanted: Collection[str], sandbox: Sandbox, who: str) -> None:
    """Raises UsageError where a sandbox that is open says that it does not do what somebody needs.

    One that says nothing of its options is heard at the first verdict: a reward refuses one without what it reads.
    """
    options = getattr(sandbox, "options", None)
    for name in sorted(wanted):
        if getattr(options, name, None) is False:
            raise UsageError(
                f"Expected a sandbox that was opened with {name}=True, which {who} needs, got {sandbox!r} without. "
                f"Open it so, or name the sandbox: then the environment does."
            )


def _check_references(source: Source) -> None:
    problems = getattr(source, "problems", None)
    if problems and not any(problem.solutions for problem in problems):
        raise UsageError(
            "Expected problems with references, which the reward compares programs with, got none that has one. "
            "Choose another dataset or another reward."
        )


__getattr__ = renamed(__name__, {"Judging": "UnitTestEnvBase"})
