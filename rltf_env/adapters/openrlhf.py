"""OpenRLHF: unit tests as its reward function, a file that `--reward.remote_url` names.

    # reward.py
    from rltf_env.adapters.openrlhf import reward_function
    reward_func = reward_function("mbpp", split="train", reward="coarse")

    python -m openrlhf.cli.train_ppo_ray --reward.remote_url reward.py --data.label_key label ...

The label of a row is the id of its problem; `rows` makes such rows. OpenRLHF scatters one number
onto the last token, so there is no credit for single tokens here. It logs what its function raises
and goes on without a reward, and it has no way of leaving a sample out. Without a reward model the
run then ends with an error. That is better than a reward of 0, which would say that a program was bad.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rltf_env.adapters import judge
from rltf_env.core import Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

RewardFunction = Callable[..., dict[str, Any]]


def rows(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Rows with `input`, a conversation for `--data.apply_chat_template`, and `label`, the problem's id."""
    return [{"input": judge.messages(problem), "label": problem.id} for problem in problems]


def reward_function(dataset: str | UnitTestEnv, **options: Any) -> RewardFunction:
    """`reward_func(queries, prompts, labels) -> {"rewards", "scores", "extra_logs"}`, as OpenRLHF calls it.

    `rewards` are `feedback.total`; `scores`, by which OpenRLHF filters groups, the shares of cases passed, in [0, 1].
    Everything is opened at the first call, in the process that makes it.

    Args:
        dataset, options: what `adapters.judge.opened` takes.
    """

    def reward_func(queries: Sequence[str], prompts: Sequence[Any], labels: Sequence[str], **_: Any) -> dict[str, Any]:
        """Judges a batch. Raises SandboxError: OpenRLHF then has no reward for it, as it should be."""
        env = judge.opened(dataset, **options)
        sizes = [len(column) if hasattr(column, "__len__") else column for column in (queries, prompts, labels)]
        if None in sizes or len(set(sizes)) > 1:
            raise UsageError(
                "Expected as many queries as prompts and labels, got {}, {} and {}. Name the column of the ids: "
                "--data.label_key label.".format(*sizes)
            )
        problems = [judge.find(env, label) for label in labels]
        answers = [answer_of(query, prompt) for query, prompt in zip(queries, prompts, strict=True)]
        asked = [judge.ask(env, problem, answer) for problem, answer in zip(problems, answers, strict=True)]
        results = [
            judge.Result(problem, program, future.result())
            for problem, (program, future) in zip(problems, asked, strict=True)
        ]
        return _tensors(results)

    return reward_func


def _tensors(results: Sequence[judge.Result]) -> dict[str, Any]:
    """What OpenRLHF takes: float tensors (B,). A list of one would become a matrix in its hands."""
    import torch

    notes = [result.notes for result in results]
    return {
        "rewards": torch.tensor([result.reward for result in results]),
        "scores": torch.tensor([note["pass_ratio"] for note in notes]),
        "extra_logs": {name: torch.tensor([note[name] for note in notes]) for name in notes[0]} if notes else {},
    }


def answer_of(query: str, prompt: Any) -> str:
    """What follows the prompt in a query, which holds both.

    Raises:
        UsageError: the prompt is not there. To look for a program in all of it would find the prompt's own code.
    """
    if not isinstance(query, str) or not isinstance(prompt, str) or not prompt or prompt not in query:
        raise UsageError(
            f"Expected a query that holds its prompt, got {str(query)[:60]!r} for {str(prompt)[:60]!r}. OpenRLHF cuts "
            "prompts that are too long from the left: raise --data.max_len, so that no prompt is cut."
        )
    return query[query.index(prompt) + len(prompt) :]
