"""TRL's GRPOTrainer with our judge: what it is given, what it gets back, and two real updates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.policies import tiny
from agents.trl import dataset, reward_function
from rltf_env import datasets, sandbox
from rltf_env.core import CallCase, CaseResult, Outcome, Problem, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import SandboxError, UnknownName, UsageError

DOUBLE = Problem(
    "double",
    "Return twice x.",
    (CallCase((2,), 4), CallCase((3,), 6)),
    entry_point="f",
    prefix="def f(x):\n",
    examples=(),
)
RIGHT = "def f(x):\n    return 2 * x"
RULES: dict[str, Any] = {
    RIGHT: True,
    "def f(x):\n    return 4": [True, False],
    "def f(x):\n    return": "SyntaxError",
    "def f(x):\n    return broken": SandboxError("down"),
}
COMPLETIONS = ["    return 2 * x", "    return 4", "    return", "    return broken"]


def make(**options: Any) -> UnitTestEnv:
    return UnitTestEnv([DOUBLE], sandbox=sandbox.load("scripted", rules=RULES), **({"reward": "coarse"} | options))


def test_the_dataset_has_prompts_with_the_given_code_and_ids() -> None:
    rows = dataset([DOUBLE], style="statement")
    assert rows.column_names == ["prompt", "problem"]
    assert rows[0] == {"prompt": "Return twice x.\ndef f(x):", "problem": "double"}


def test_an_instruct_model_gets_one_message_and_begins_behind_the_given_code() -> None:
    def template(messages: list[dict[str, str]], tokenize: bool, add_generation_prompt: bool) -> str:
        assert (tokenize, add_generation_prompt) == (False, True)
        return f"<user>{messages[0]['content']}<model>"

    prompt = dataset([DOUBLE], apply_chat_template=template)[0]["prompt"]
    assert prompt.startswith("<user>Return twice x.")
    assert prompt.endswith("<model>def f(x):")


def test_rewards_are_the_environments_and_what_could_not_be_judged_is_none() -> None:
    rewards = reward_function(make())(
        prompts=["p"] * 4, completions=COMPLETIONS, problem=["double"] * 4, trainer_state=None
    )
    assert rewards == [1.0, pytest.approx(-0.3), -1.0, None]


def test_the_line_break_may_be_the_models() -> None:
    assert reward_function(make())(completions=["\n    return 2 * x"], problem=["double"]) == [1.0]


def test_conversations_and_fences_are_read() -> None:
    fenced = [[{"role": "assistant", "content": f"```python\n{text}\n```"}] for text in COMPLETIONS]
    function = reward_function(make(), extract=lambda text: text.split("```python\n")[1].removesuffix("\n```"))
    assert function(completions=fenced[:2], problem=["double"] * 2) == [1.0, pytest.approx(-0.3)]


def test_the_program_is_taken_out_of_an_answer_by_default() -> None:
    answer = "<think>return 4?</think>\nSure:\n```python\n    return 2 * x\n```\n"
    parts = [{"role": "assistant", "content": [{"type": "text", "text": answer}]}]
    rules = {RIGHT + "\n": True}
    env = UnitTestEnv([DOUBLE], sandbox=sandbox.load("scripted", rules=rules), reward="coarse")
    assert reward_function(env)(completions=[answer, parts], problem=["double"] * 2) == [1.0, 1.0]


@pytest.mark.parametrize(
    "completion",
    [
        "# cafe\u0301\n",
        "# 1 \u212b\n",
        f"# {tiny.END}\n",
        "# \ud800\n",
        "\0",
        "",
        [],
        None,
        [{"role": "assistant", "content": None}],
        [{"role": "assistant"}],
        [{"role": "assistant", "content": [{"type": "image"}]}],
    ],
)
def test_any_completion_has_a_verdict(completion: Any) -> None:
    from tokenizers import normalizers

    from rltf_env.tokenizers import HuggingFace

    tokenizer = tiny.dataset_tokenizer(300, "procedural", {"size": 8})
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    judge = sandbox.load("scripted", rules=lambda source, problem: "SyntaxError")
    env = UnitTestEnv([DOUBLE], sandbox=judge, reward="fine", tokenizer=HuggingFace(tokenizer))
    (reward,) = reward_function(env)(completions=[completion], problem=["double"])
    assert reward is not None
    assert reward <= 0


def test_what_is_missing_is_said() -> None:
    function = reward_function(make())
    with pytest.raises(UsageError, match=r"column 'problem'"):
        function(completions=["x"], prompts=["p"])
    with pytest.raises(UnknownName, match="Did you mean 'double'"):
        function(completions=["x"], problem=["duoble"])


# trl and transformers of these versions name an argument of transformers by its old name.
@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
def test_grpo_trains_two_steps_and_leaves_out_what_could_not_be_judged(tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="needs TRL: pip install 'rltf[thirdparty]'")
    from agents.examples import grpo
    from rltf_env.tokenizers import HuggingFace

    policy = tiny.load(width=16, layers=1, heads=2, vocab_size=300, dataset_options={"size": 16})
    before = {name: weight.clone() for name, weight in policy.model.state_dict().items()}
    asked: list[str] = []

    def rule(source: str, problem: Problem) -> Any:
        asked.append(source)
        return SandboxError("down") if len(asked) == 2 else (Outcome.PASSED if len(asked) % 2 else "SyntaxError")

    problems = datasets.source("procedural")
    env = UnitTestEnv(
        source=problems,
        tokenizer=HuggingFace(policy.tokenizer),
        reward="coarse",
        sandbox=sandbox.load("scripted", rules=rule),
    )
    trainer = grpo.make(policy, env, str(tmp_path), steps=2, max_completion_length=8, learning_rate=1e-2)
    trainer.train()
    lines = [line for line in trainer.state.log_history if "reward" in line]
    assert len(lines) == 2
    assert len(asked) >= 8
    after = trainer.model.state_dict()
    assert any((before[name] != after[name].cpu()).any() for name in before)


def test_a_reward_that_masks_tokens_is_refused_since_the_trainer_cannot_know() -> None:
    verdict = Verdict((CaseResult(Outcome.PASSED),) * 2, frozenset({1}), code=frozenset({1, 2}))
    judge = sandbox.load("scripted", default=verdict)
    score = reward_function(UnitTestEnv([DOUBLE], sandbox=judge, reward="coarse+executed"))
    with pytest.raises(UsageError, match="one number for a program"):
        score(completions=["    return 2 * x"], problem=["double"])
