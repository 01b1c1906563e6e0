"""TRL's GRPOTrainer with our judge: problems as its dataset, our rewards as its `reward_funcs`.

    env = gymnasium.make("RLTF-Procedural-v0", tokenizer=tokenizer).unwrapped
    trainer = GRPOTrainer(model, reward_funcs=reward_function(env), train_dataset=dataset(problems), args=GRPOConfig(...))

`agents/examples/grpo.py` is the whole of it. TRL generates and updates; the environment judges. A verdict that could not be had is
`None`, which TRL leaves out of the group's baseline and gives no advantage: a broken judge says nothing on a program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rltf_env import answers, prompts
from rltf_env.core import Problem, Program
from rltf_env.env import UnitTestEnv
from rltf_env.errors import SandboxError, UsageError

PROBLEM = "problem"  # the column that holds a problem's id
Extract = Callable[..., Any]
RewardFunction = Callable[..., list[float | None]]


def dataset(
    problems: Sequence[Problem],
    style: prompts.Style | None = None,
    apply_chat_template: Callable[..., Any] | None = None,
) -> Any:
    """A `datasets.Dataset` with the columns `prompt` and `problem`: the text to continue, and the problem's id.

    The code that a problem gives for free stands at the end of its prompt, so that what the model writes begins behind it, with the
    white space that belongs to its first token.

    Args:
        problems: of one dataset, or several: ids must differ.
        style: how a problem is put into words (`prompts.render`).
        apply_chat_template: of an instruct model's tokenizer; the prompt is then one user message (`prompts.chat`) in its format.
    """
    from datasets import Dataset

    def text(problem: Problem) -> str:
        if apply_chat_template is None:
            return prompts.render(problem, style) + problem.prefix.rstrip()
        return prompts.chat(problem, apply_chat_template, opening=problem.prefix.rstrip())

    return Dataset.from_dict({"prompt": [text(problem) for problem in problems], PROBLEM: [p.id for p in problems]})


def reward_function(env: UnitTestEnv, extract: Extract | None = answers.extract) -> RewardFunction:
    """A reward function in TRL's sense: `(prompts, completions, **columns) -> list[float | None]`, one for each completion.

    The number is `feedback.total` of the environment's own reward, on the problem's given code and the completion. All
    completions of a batch are judged at once. None: the judge failed twice (`SandboxError`). Any completion whatever has a
    verdict: one that does not come back from the tokenizer's tokens is judged as text (`env.program_of`).

    Args:
        env: judges, and finds the problems by the ids in the column `problem`. Its tokenizer should be the model's, if the reward
            counts tokens, as `fine` does. A reward that leaves chosen tokens out of learning, such as `executed`, is refused
            at the first program of which it does so: the trainer takes one number for a program, and learns from all of it.
        extract: takes the program out of a completion, called with the text and the problem's entry point if it is
            `answers.extract`, else with the text alone; None: all of it is the program.
    """

    def unit_tests(completions: Sequence[Any], **columns: Any) -> list[float | None]:
        if PROBLEM not in columns:
            raise UsageError(
                f"Expected a column {PROBLEM!r} with the ids of the problems. Build it with agents.trl.dataset."
            )
        problems = [env.source.find(id) for id in columns[PROBLEM]]
        texts = [_program(completion, p, extract) for completion, p in zip(completions, problems, strict=True)]
        programs = [env.program_of(problem, text) for problem, text in zip(problems, texts, strict=True)]
        futures = [env.submit(problem, program) for problem, program in zip(problems, programs, strict=True)]
        return [_total(future, program) for future, program in zip(futures, programs, strict=True)]

    return unit_tests


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
    """
    if isinstance(completion, str) or completion is None:
        return completion or ""
    message = completion if isinstance(completion, Mapping) else (completion[-1] if len(completion) else {})
    content = message.get("content") if isinstance(message, Mapping) else message
    if content is None or isinstance(content, str):
        return content or ""
    parts = [content] if isinstance(content, Mapping) else content
    return "".join(part if isinstance(part, str) else str(part.get("text") or "") for part in parts)


def _total(future: Any, program: Program) -> float | None:
    try:
        feedback = future.result().feedback
    except SandboxError:
        return None
    if not np.array_equal(feedback.learn, program.chosen):
        raise UsageError(
            "Expected a reward that learns from all that a program's writer chose, got one that leaves tokens out, as "
            '"executed" does. TRL takes one number for a program: choose a reward without it, or an agent of agents/algorithms/.'
        )
    return feedback.total
