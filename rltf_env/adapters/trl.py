"""TRL's GRPOTrainer with our judge: problems as its dataset, unit tests as its reward, credit for its tokens.

    env = UnitTestEnv("mbpp", tokenizer=HuggingFace(tokenizer), reward="rltf")
    rows = dataset(problems)                                      a `datasets.Dataset`: prompts, and ids of problems

    GRPOTrainer(model, reward_funcs=reward_function(env), train_dataset=rows, ...)       one number a completion
    TokenCreditTrainer(model, env=env, train_dataset=rows, ...)                          and one for each of its tokens
    GRPOTrainer(model, environment_factory=environment(env), train_dataset=rows, ...)    the program through a tool

TRL generates and updates; the environment judges. A verdict that could not be had is `None`, which
TRL leaves out of the group's baseline and gives no advantage: a broken judge says nothing on a
program. `TokenCreditTrainer` is in `_trl_trainer.py`, which imports TRL when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from rltf_env import answers, prompts
from rltf_env.adapters._trl_rewards import PROBLEM, UnitTests, problems_of, result_of
from rltf_env.adapters.judge import number, within
from rltf_env.core import Judgement, Problem, Program
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

__all__ = ["PROBLEM", "ProgramEnvironment", "UnitTests", "completion_text", "dataset", "environment", "reward_function"]

Extract = Callable[..., Any]
RewardFunction = Callable[..., list[float | None]]


def dataset(
    problems: Sequence[Problem],
    style: prompts.Style | None = None,
    apply_chat_template: Callable[..., Any] | None = None,
    *,
    messages: bool = False,
) -> Any:
    """A `datasets.Dataset` with the columns `prompt` and `problem`: the text to continue, and the problem's id.

    The code that a problem gives for free stands at the end of its prompt, so that what the model writes begins behind it, with
    the white space that belongs to its first token.

    Args:
        problems: of one dataset, or several: ids must differ.
        style: how a problem is put into words (`prompts.render`).
        apply_chat_template: of an instruct model's tokenizer; the prompt is then one user message (`prompts.chat`) in its format.
        messages: the prompt is that message itself, which TRL puts into the model's format. Tools need it so.
    """
    from datasets import Dataset

    def text(problem: Problem) -> Any:
        if messages:
            return [prompts.message(problem)]
        if apply_chat_template is None:
            return prompts.render(problem, style) + problem.prefix.rstrip()
        return prompts.chat(problem, apply_chat_template, opening=problem.prefix.rstrip())

    return Dataset.from_dict({"prompt": [text(problem) for problem in problems], PROBLEM: [p.id for p in problems]})


# -------------------------------------------------------------------------------------------------- one number


def reward_function(env: UnitTestEnv, extract: Extract | None = answers.extract) -> RewardFunction:
    """A reward function in TRL's sense: `(prompts, completions, **columns) -> list[float | None]`, one for each completion.

    The number is `feedback.total` of the environment's own reward, on the problem's given code and the completion. All
    completions of a batch are judged at once. None: the judge failed twice (`SandboxError`). Any completion whatever has a
    verdict: one that does not come back from the tokenizer's tokens is judged as text (`env.program_of`).

    Args:
        env: judges, and finds the problems by the ids in the column `problem`. Its tokenizer should be the model's, if the reward
            counts tokens, as `fine` does. A reward that leaves chosen tokens out of learning, such as `executed`, is refused
            at the first program of which it does so: here is one number for a program, and the trainer learns from all of it.
        extract: takes the program out of a completion, called with the text and the problem's entry point if it is
            `answers.extract`, else with the text alone; None: all of it is the program.
    """
    env = within(env)

    def unit_tests(completions: Sequence[Any], **columns: Any) -> list[float | None]:
        problems = problems_of(env, columns, completions)
        texts = [_program(completion, p, extract) for completion, p in zip(completions, problems, strict=True)]
        programs = [env.program_of(problem, text) for problem, text in zip(problems, texts, strict=True)]
        futures = [env.submit(problem, program) for problem, program in zip(problems, programs, strict=True)]
        return [_total(result_of(future), program) for future, program in zip(futures, programs, strict=True)]

    return unit_tests


def _total(judgement: Judgement | None, program: Program) -> float | None:
    return None if judgement is None else number(judgement, program)


def _program(completion: Any, problem: Problem, extract: Extract | None) -> str:
    """The whole program that a completion amounts to."""
    text = completion_text(completion)
    if extract is answers.extract:
        text = answers.extract(text, problem.entry_point).program
    elif extract is not None:
        text = extract(text)
    return answers.joined(problem.prefix, text, problem.entry_point)


def completion_text(completion: Any) -> str:
    """The text of a completion: a text itself, or what the last message of a conversation says.

    A message's content may be a text, parts (of which the texts count), or nothing, as in a tool call: that is "".

    Raises:
        UsageError: something else.
    """
    try:
        return _said(completion)
    except (AttributeError, KeyError, TypeError) as error:
        raise UsageError(
            f"Expected a completion as text, a message or a conversation, got {type(completion).__name__}: "
            f"{str(completion)[:60]!r}."
        ) from error


def _said(completion: Any) -> str:
    if isinstance(completion, str) or completion is None:
        return completion or ""
    message = completion if isinstance(completion, Mapping) else (completion[-1] if len(completion) else {})
    content = message.get("content") if isinstance(message, Mapping) else message
    if content is None or isinstance(content, str):
        return content or ""
    parts = [content] if isinstance(content, Mapping) else content
    return "".join(part if isinstance(part, str) else str(part.get("text") or "") for part in parts)


# ------------------------------------------------------------------------------------------- through a tool


class ProgramEnvironment:
    """What TRL's `environment_factory` makes for each rollout: a problem, and tools to try and to hand in a program.

    The reward is that of the last program that was handed in; of none, that of an empty program.

    Args:
        env: judges, and finds the problems by the ids in the column `problem`.
    """

    def __init__(self, env: UnitTestEnv) -> None:
        self._env = within(env)
        self._problem: Problem | None = None
        self._program = ""

    def reset(self, **row: Any) -> str | None:
        """Begins with the problem of a row; its prompt is in the row already, so nothing is added to it."""
        (self._problem,) = problems_of(self._env, {name: [value] for name, value in row.items()}, [row])
        self._program = ""
        return None if row.get("prompt") else prompts.render(self._problem)

    def try_program(self, program: str) -> str:
        """Runs a Python program on the public examples of the problem.

        Args:
            program: The whole Python program.

        Returns:
            Which of the examples it passes, and what went wrong with the first that it does not.
        """
        problem = self._asked()
        if not problem.examples:
            return "This problem has no public examples."
        verdict = self._env.verdict_on(replace(problem, cases=problem.examples), self._whole(program))
        passed = round(verdict.pass_ratio * len(verdict.results))
        failure = f" {verdict.failure.kind}: {verdict.failure.message}" if verdict.failure else ""
        return f"{passed} of {len(verdict.results)} examples passed.{failure}"

    def submit_program(self, program: str) -> str:
        """Hands in a Python program as the answer. The last one that is handed in counts.

        Args:
            program: The whole Python program.

        Returns:
            That it was taken.
        """
        self._program = program
        return "Taken."

    def get_reward(self) -> float | None:
        """`feedback.total` of the program that was handed in; None: the judge failed twice."""
        problem = self._asked()
        text = self._whole(self._program)
        program = self._env.program_of(problem, text)
        return _total(result_of(self._env.submit(problem, program)), program)

    def _asked(self) -> Problem:
        if self._problem is None:
            raise UsageError("Expected reset() with a row before a program.")
        return self._problem

    def _whole(self, program: str) -> str:
        return _program(program, self._asked(), answers.extract)


def environment(env: UnitTestEnv) -> Callable[[], ProgramEnvironment]:
    """What `GRPOTrainer(environment_factory=...)` takes; rows are those of `dataset(problems, messages=True)`."""
    return partial(ProgramEnvironment, env)


def __getattr__(name: str) -> Any:
    """`TokenCreditTrainer`, which needs TRL, when it is asked for."""
    if name == "TokenCreditTrainer":
        from rltf_env.adapters._trl_trainer import TokenCreditTrainer

        return TokenCreditTrainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
