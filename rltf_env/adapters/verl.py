"""verl: unit tests as `compute_score`, one number a program; or an agent loop that gives each token its own.

    reward.custom_reward_function.path=pkg://rltf_env.adapters.verl
    reward.custom_reward_function.reward_kwargs={split: train, reward: coarse}

    # loops.yaml, named by actor_rollout_ref.rollout.agent.agent_loop_config_path
    - name: unit_tests
      _target_: rltf_env.adapters.verl.UnitTestAgentLoop
      judge: {dataset: mbpp, split: train, reward: rltf}

`rows` makes the rows of its parquet files. When the judge cannot decide, `compute_score` raises, so
that verl drops the group, and the agent loop returns no sample. The loop is in `_verl_loop.py`,
which imports verl when it is asked for; nothing else here needs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rltf_env.adapters import judge
from rltf_env.core import Problem

IGNORED = ("reward_router_address", "reward_model_tokenizer")  # what verl adds where a reward model is served too


def rows(problems: Iterable[Problem], dataset: str, *, agent: str = "", split: str = "") -> list[dict[str, Any]]:
    """Rows for `pandas.DataFrame(rows).to_parquet(...)`: the same keys and types in each.

    Args:
        dataset: the name by which a worker finds the problems; it becomes `data_source`.
        agent: the name of the agent loop in its YAML file, for rows that choose one.
        split: noted in `extra_info`.
    """
    chosen = {"agent_name": agent} if agent else {}
    return [
        {
            "data_source": dataset,
            "prompt": judge.messages(problem),
            "ability": "code",
            "reward_model": {"style": "rule", "ground_truth": problem.id},
            "extra_info": {"index": index, "split": split, "difficulty": problem.difficulty},
            **chosen,
        }
        for index, problem in enumerate(problems)
    ]


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    **options: Any,
) -> dict[str, float]:
    """`score` (`feedback.total`), `passed` and `pass_ratio` of an answer; the same keys always.

    Args:
        data_source: the dataset, unless `options` names another.
        solution_str: the answer, special tokens left out.
        ground_truth: the problem's id.
        options: what `adapters.judge.opened` takes, from `reward_kwargs`.

    Raises:
        SandboxError: the judge failed twice. verl (v1) then drops the group of the sample.
    """
    rest = {name: value for name, value in options.items() if name not in IGNORED}
    env = judge.opened(rest.pop("dataset", data_source), **rest)
    result = judge.judge(env, judge.find(env, ground_truth), solution_str)
    return {"score": result.reward, **result.notes}


def __getattr__(name: str) -> Any:
    """`UnitTestAgentLoop` and `CreditedOutput`, which need verl, when they are asked for."""
    if name in ("CreditedOutput", "UnitTestAgentLoop"):
        from rltf_env.adapters import _verl_loop

        return getattr(_verl_loop, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
