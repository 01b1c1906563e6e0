"""TRL with token credit: advantages (B, T) to the digit, and the program through a tool. Needs TRL; a few steps on a CPU."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

pytest.importorskip("trl", reason="needs TRL: pip install 'rltf[thirdparty]'")

import torch

from agents.policies import tiny
from rltf_env import answers, datasets, sandbox
from rltf_env.adapters import trl as adapter
from rltf_env.core import CallCase, CaseResult, Failure, Feedback, Outcome, Problem, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import SandboxError, UsageError
from rltf_env.tokenizers import HuggingFace

# trl and transformers of these versions name an argument of transformers by its old name; environments are experimental.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*'environment_factory'.*"),
]
DOUBLE = Problem(
    "double", "Return twice x.", (CallCase((2,), 4), CallCase((3,), 6)), entry_point="f", examples=(CallCase((1,), 2),)
)
ANSWER = "Sure.\n```python\ndef f(x):\n    return x[0]\n```\n"
FAILS = Verdict((CaseResult(Outcome.RUNTIME_ERROR, Failure("IndexError", line=2, bases=("LookupError",))),))


@pytest.fixture(scope="module")
def policy() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tiny.load(width=16, layers=1, heads=2, vocab_size=300, dataset_options={"size": 16})
    torch.set_num_threads(before)


def judge(rule: Any) -> Any:
    return sandbox.load("scripted", rules=lambda source, problem: rule(source))


def environment(policy: Any, rule: Any, problems: Any = (DOUBLE,), reward: str = "rltf") -> UnitTestEnv:
    tokenizer = HuggingFace(policy.tokenizer)
    return UnitTestEnv(list(problems), tokenizer=tokenizer, reward=reward, sandbox=judge(rule))


def config(folder: Path, **options: Any) -> Any:
    from trl.trainer.grpo_config import GRPOConfig

    base = {"num_generations": 4, "per_device_train_batch_size": 4, "max_completion_length": 8, "beta": 0.0}
    base |= {"logging_steps": 1, "save_strategy": "no", "report_to": "none", "disable_tqdm": True, "use_cpu": True}
    return GRPOConfig(output_dir=str(folder), **(base | {"max_steps": 2} | options))


def trainer(policy: Any, env: UnitTestEnv, folder: Path, **options: Any) -> Any:
    own = {key: options.pop(key) for key in ("credit_weight", "choose", "reward_funcs") if key in options}
    return adapter.TokenCreditTrainer(
        policy.model,
        env=env,
        args=config(folder, **options),
        train_dataset=adapter.dataset(env.source.problems),  # type: ignore[attr-defined]
        processing_class=policy.tokenizer,
        **own,
    )


# ---------------------------------------------------------------------------------------- what is rewarded


def test_the_whole_share_is_the_number_and_the_rest_stays_with_the_ids_that_spell_the_line(policy: Any) -> None:
    env = environment(policy, lambda source: SandboxError("down") if "pass" in source else FAILS)
    unit_tests = adapter.UnitTests(env)
    ids = [env.tokenizer.encode(text) for text in (ANSWER, "```\npass\n```")]
    metrics: dict[str, float] = {}
    rewards = unit_tests(
        completion_ids=ids, completions=["", ""], problem=["double"] * 2, log_metric=metrics.__setitem__
    )
    assert rewards == [pytest.approx(-0.9), None]
    feedback, unknown = unit_tests.feedback
    assert unknown is None
    assert feedback is not None
    credit = feedback.token_rewards
    guilty = policy.tokenizer.decode(np.array(ids[0])[credit < 0])
    assert guilty.strip() == "return x[0]"
    assert metrics == {"unit_tests/token_credit": pytest.approx(float(credit.sum()))}


def test_a_wrapped_environment_judges_too_and_anything_else_is_refused() -> None:
    with gymnasium.make("RLTF-Procedural-v0", reward="coarse") as env:
        env.reset(seed=0)
        problem = env.unwrapped.problem  # type: ignore[attr-defined]
        assert adapter.reward_function(env)(completions=["def f(x: return"], problem=[problem.id]) == [-1.0]  # type: ignore[arg-type]
    for make in (adapter.reward_function, adapter.ProgramEnvironment, adapter.UnitTests):
        with pytest.raises(UsageError, match=r"Expected an environment that judges, such as .* got 'mbpp'"):
            make("mbpp")


def test_a_missing_column_is_said(policy: Any) -> None:
    with pytest.raises(UsageError, match=r"column 'problem' .* adapters\.trl\.dataset"):
        adapter.UnitTests(environment(policy, lambda source: True))(completion_ids=[[1]])


# -------------------------------------------------------------------------------------------- advantages


def scored(trainer: Any, count: int = 4) -> dict[str, Any]:
    rows = [dict(trainer.train_dataset[0])] * count
    return trainer._generate_and_score_completions(rows)


def test_advantages_are_trls_own_and_what_the_reward_says_of_each_token(policy: Any, tmp_path: Path) -> None:
    asked: list[str] = []

    def rule(source: str) -> Any:
        asked.extend([source] * (source not in asked))
        failure = Failure("IndexError", line=1, bases=("LookupError", "Exception"))
        first = Verdict((CaseResult(Outcome.RUNTIME_ERROR, failure),))
        return [first, Outcome.PASSED, SandboxError("down"), first][asked.index(source)]

    env = environment(policy, rule)
    made = trainer(policy, env, tmp_path, credit_weight=0.5, choose=None, scale_rewards="none")
    output = scored(made)
    advantages, mask = output["advantages"], output["completion_mask"]
    assert advantages.shape == mask.shape == output["completion_ids"].shape
    feedback = made.unit_tests.feedback
    whole = list(made._logs["rewards"]["unit_tests"])
    assert sorted(value for value in whole if value == value) == pytest.approx([-0.9, -0.9, 1.0])
    mean = np.nanmean(whole)
    for row, (value, each) in enumerate(zip(whole, feedback, strict=True)):
        length = int(mask[row].sum())
        if each is None:
            assert value != value
            assert not advantages[row].any()
            continue
        expected = (value - mean) + 0.5 * each.token_rewards[:length]
        assert advantages[row, :length].tolist() == pytest.approx(expected.tolist(), abs=1e-6)
        assert not advantages[row, length:].any()


def test_the_loss_is_that_of_the_laid_credit_to_the_digit(policy: Any, tmp_path: Path) -> None:
    made = trainer(policy, environment(policy, lambda source: FAILS), tmp_path, loss_type="grpo", bf16=False)
    output = scored(made)
    rng = torch.Generator().manual_seed(0)
    output["advantages"] = torch.randn(output["completion_mask"].shape, generator=rng)
    made.model.train()
    made.model.zero_grad()
    made.current_gradient_accumulation_steps = 1
    made._compute_loss(made.model, output).backward()
    theirs = [parameter.grad.clone() for parameter in made.model.parameters() if parameter.grad is not None]
    made.model.zero_grad()
    ids = torch.cat([output["prompt_ids"], output["completion_ids"]], 1)
    keep = torch.cat([output["prompt_mask"], output["completion_mask"]], 1)
    size = output["completion_ids"].shape[1]
    logits = made.model(input_ids=ids, attention_mask=keep).logits[:, -size - 1 : -1] / made.args.temperature
    logprobs = logits.log_softmax(-1).gather(-1, output["completion_ids"][..., None])[..., 0]
    mask = output["completion_mask"]
    loss = -((output["advantages"] * logprobs * mask).sum(1) / mask.sum(1).clamp(min=1)).mean()
    loss.backward()
    ours = [parameter.grad for parameter in made.model.parameters() if parameter.grad is not None]
    assert len(ours) == len(theirs) > 3
    for own, other in zip(ours, theirs, strict=True):
        assert torch.allclose(own, other, atol=1e-6)


def test_weight_zero_is_trls_own_trainer(policy: Any, tmp_path: Path) -> None:
    output = scored(trainer(policy, environment(policy, lambda source: FAILS), tmp_path, credit_weight=0.0))
    assert not (output["advantages"] * output["completion_mask"]).any()  # equal programs, no advantage


def test_rows_of_other_lengths_are_refused() -> None:
    from rltf_env.adapters import _trl_trainer as code

    output = {"advantages": torch.zeros(2), "completion_mask": torch.ones(2, 3)}
    with pytest.raises(UsageError, match="feedback on the 2 completions of the batch, got it on 1"):
        code.laid(output, [None], 1.0)
    with pytest.raises(UsageError, match=r"Expected TRL to give advantages \(B,\)"):
        code._check_shapes({"advantages": torch.zeros(2, 3), "completion_mask": torch.ones(2, 3)})
    masked = output | {"tool_mask": torch.tensor([[1, 0, 1], [1, 1, 1]])}
    ones = Feedback(np.ones(3, np.float32), np.array([True, True, False]))
    assert code.laid(masked, [ones, None], 2.0).tolist() == [[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert code.laid(output, [ones, None], 2.0).tolist() == [[2.0, 2.0, 0.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss_type": "luspo"}, "Expected a loss of tokens"),
        ({"importance_sampling_level": "sequence"}, "got 'dapo' and 'sequence'"),
        ({"off_policy_mask_threshold": 0.1}, "off_policy_mask_threshold"),
    ],
)
def test_losses_of_whole_sequences_are_refused(policy: Any, tmp_path: Path, options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        trainer(policy, environment(policy, lambda source: FAILS), tmp_path, **options)


def test_two_steps_change_the_model_and_further_rewards_are_added(policy: Any, tmp_path: Path) -> None:
    problems = datasets.load("procedural", size=4)
    env = environment(policy, lambda source: FAILS if len(source) % 2 else "SyntaxError", problems)
    before = {name: weight.clone() for name, weight in policy.model.state_dict().items()}
    made = trainer(
        policy, env, tmp_path, learning_rate=1e-2, reward_funcs=lambda completions, **_: [1.0] * len(completions)
    )
    made.train()
    lines = [line for line in made.state.log_history if "reward" in line]
    assert len(lines) == 2
    assert all("rewards/unit_tests/mean" in line and "unit_tests/token_credit" in line for line in lines)
    after = made.model.state_dict()
    assert any((before[name] != after[name].cpu()).any() for name in before)


# ----------------------------------------------------------------------------------------- through a tool


def tool(rule: Any) -> adapter.ProgramEnvironment:
    env = UnitTestEnv([DOUBLE], sandbox=judge(rule), reward="coarse")
    return adapter.environment(env)()


def test_a_program_is_tried_on_the_examples_and_rewarded_on_the_cases() -> None:
    asked: list[int] = []

    def rule(source: str) -> Any:
        asked.append(len(source))
        return (
            Outcome.PASSED
            if "2 * x" in source
            else Verdict((CaseResult(Outcome.WRONG_ANSWER, Failure("WrongAnswer", "not so")),))
        )

    made = tool(rule)
    assert made.reset(problem="double", prompt=[{"role": "user", "content": "..."}]) is None
    assert made.try_program("def f(x): return x") == "0 of 1 examples passed. WrongAnswer: not so"
    assert made.submit_program("def f(x): return x") == "Taken."
    assert made.get_reward() == pytest.approx(-0.3)
    made.submit_program("```python\ndef f(x): return 2 * x\n```")
    assert made.get_reward() == 1.0
    assert (made.reset(problem="double") or "").startswith("Return twice x.")
    assert made.get_reward() == pytest.approx(-0.3)  # nothing handed in is an empty program, which is judged
    assert asked[-1] == 0


def test_a_broken_judge_gives_a_tool_no_reward() -> None:
    made = tool(lambda source: SandboxError("down"))
    made.reset(problem="double")
    assert made.get_reward() is None
    with pytest.raises(UsageError, match=r"Expected reset\(\)"):
        tool(lambda source: True).get_reward()


def test_the_tools_have_schemas() -> None:
    from transformers.utils import get_json_schema

    made = tool(lambda source: True)
    tools = [name for name, _ in inspect.getmembers(type(made), inspect.isfunction) if name[0] != "_"]
    assert tools == ["get_reward", "reset", "submit_program", "try_program"]
    schema = get_json_schema(made.submit_program)["function"]
    assert schema["parameters"]["required"] == ["program"]


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")


def test_trl_rolls_out_with_the_tools(policy: Any, tmp_path: Path, silent: None) -> None:
    """An untrained model calls no tool: the reward is that of an empty program."""
    import trl
    from trl.trainer.grpo_trainer import GRPOTrainer

    tokenizer = policy.tokenizer
    template = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
    before = tokenizer.chat_template
    tokenizer.chat_template = template.read_text(encoding="utf-8")
    env = UnitTestEnv([DOUBLE], sandbox=judge(lambda source: "SyntaxError" if source else "NameError"), reward="coarse")
    try:
        made = GRPOTrainer(
            policy.model,
            environment_factory=adapter.environment(env),
            args=config(tmp_path, max_steps=1),
            train_dataset=adapter.dataset([DOUBLE], messages=True),
            processing_class=tokenizer,
        )
        made.train()
    finally:
        tokenizer.chat_template = before
    (line,) = [line for line in made.state.log_history if "reward" in line]
    assert line["rewards/ProgramEnvironment/mean"] == pytest.approx(-0.6)


def test_an_answer_is_read_by_the_rule_of_all_adapters(policy: Any) -> None:
    unit_tests = adapter.UnitTests(environment(policy, lambda source: Outcome.PASSED))
    assert unit_tests.choose is answers.choose


def test_the_example_compares_both_on_the_same_seeds() -> None:
    from agents.examples import trl_credit

    policy = tiny.load(width=16, layers=1, heads=2, vocab_size=300, dataset_options={"size": 16})
    before = {name: weight.clone() for name, weight in policy.model.state_dict().items()}
    rows = trl_credit.compare(policy, steps=1, seeds=2, max_completion_length=8)
    assert [row[0] for row in rows] == [0, 1]
    assert all(0 <= share <= 1 for row in rows for share in row[1:])
    after = policy.model.state_dict()
    assert all((before[name] == after[name]).all() for name in before)  # both start from the same weights
