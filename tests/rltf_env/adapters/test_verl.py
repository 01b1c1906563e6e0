"""verl: `compute_score`, and the agent loop on the real classes where verl is installed, else on stand-ins of the same shapes."""

from __future__ import annotations

import asyncio
import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rltf_env.adapters import verl as adapter
from rltf_env.errors import SandboxError, UsageError
from rltf_env.tokenizers import Bytes

torch = pytest.importorskip("torch", reason="verl's scores are tensors of torch")
pydantic = pytest.importorskip("pydantic", reason="verl's outputs are models of pydantic")

TOKENIZER = Bytes()

# ------------------------------------------------------------------------------------------------ one number


def test_the_score_of_an_answer_has_the_same_keys_whatever_it_is(world: Any) -> None:
    scores = [adapter.compute_score("ours", text, "double", {}, dataset=world.made()) for text in (world.right, "?")]
    assert scores[0] == {"score": 1.0, "passed": 1.0, "pass_ratio": 1.0}
    assert scores[1].keys() == scores[0].keys()


def test_the_source_of_a_row_names_the_dataset(double: str, world: Any) -> None:
    (row,) = adapter.rows([world.problem], double)
    assert row["reward_model"] == {"style": "rule", "ground_truth": "double"}
    score = adapter.compute_score(
        row["data_source"], world.right, row["reward_model"]["ground_truth"], row["extra_info"], reward="coarse"
    )
    assert score["passed"] == 1.0


def test_what_verl_adds_for_a_reward_model_is_not_an_option_of_ours(world: Any) -> None:
    more = {"reward_router_address": "127.0.0.1:1", "reward_model_tokenizer": None}
    assert adapter.compute_score("ours", world.right, "double", dataset=world.made(), **more)["score"] == 1.0


def test_a_failure_of_the_judge_is_raised_and_no_score(double: str, world: Any) -> None:
    with pytest.raises(SandboxError):
        adapter.compute_score(double, world.right, "double", sandbox=world.broken)


def test_rows_are_alike_and_name_the_loop_only_if_asked(world: Any) -> None:
    from dataclasses import replace

    plain = adapter.rows([world.problem, replace(world.problem, id="other")], "ours")
    assert plain[0].keys() == plain[1].keys()
    assert "agent_name" not in plain[0]
    assert adapter.rows([world.problem], "ours", agent="unit_tests")[0]["agent_name"] == "unit_tests"


# ------------------------------------------------------------------------------------------------- the loop


class Output(pydantic.BaseModel):
    """In the shapes of verl 0.9.1's `AgentLoopOutput`: what is unset is not handed on, the score stands on the last id."""

    prompt_ids: list[int]
    response_ids: list[int]
    response_mask: list[int]
    response_logprobs: list[float] | None = None
    reward_score: float | None = None
    num_turns: int = 0
    metrics: dict[str, Any]
    extra_fields: dict[str, Any] = pydantic.Field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        output = self.model_dump(exclude_unset=True)
        for name, of in (("prompts", "prompt_ids"), ("responses", "response_ids"), ("response_mask", "response_mask")):
            output[name] = torch.tensor(output.pop(of), dtype=torch.int64)
        score = output.pop("reward_score", None)
        if score is not None:
            output["rm_scores"] = torch.zeros(len(self.response_ids))
            output["rm_scores"][-1] = score
        return output


class SingleTurn:
    """In the shapes of verl's single-turn loop, with a model that always says the same."""

    def __init__(self, trainer_config: Any = None, **options: Any) -> None:
        self.tokenizer, self.response_length, self.says = options["tokenizer"], 512, options["says"]

    async def run(self, sampling_params: dict[str, Any], **row: Any) -> Any:
        return answered(Output, self.says)


def answered(kind: Any, text: str, metrics: Any = None) -> Any:
    ids = [*TOKENIZER.encode(text), TOKENIZER.eos_id]
    given = {"prompt_ids": [1, 2], "response_ids": ids, "response_mask": [1] * len(ids), "num_turns": 2}
    output = kind(**given, metrics={} if metrics is None else metrics)
    output.extra_fields.update({"turn_scores": []})  # as verl does: the default, changed in place
    return output


@pytest.fixture(params=["stand-in", "verl"])
def loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`_verl_loop`, imported on stand-ins or on the real package; and a loop of which the model says what it is told."""
    if request.param == "verl":
        pytest.importorskip("verl.experimental.agent_loop.agent_loop", reason="needs verl 0.9")
    else:
        base, single = ModuleType("agent_loop"), ModuleType("single_turn_agent_loop")
        base.AgentLoopOutput, single.SingleTurnAgentLoop = Output, SingleTurn  # type: ignore[attr-defined]
        place = "verl.experimental.agent_loop"
        for name in ("verl", "verl.experimental", place):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.setitem(sys.modules, f"{place}.agent_loop", base)
        monkeypatch.setitem(sys.modules, f"{place}.single_turn_agent_loop", single)
    monkeypatch.delitem(sys.modules, "rltf_env.adapters._verl_loop", raising=False)
    module = importlib.import_module("rltf_env.adapters._verl_loop")
    yield SimpleNamespace(module=module, real=request.param == "verl")
    sys.modules.pop("rltf_env.adapters._verl_loop", None)


def run(loops: Any, world: Any, env: Any, says: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    kind = loops.module.UnitTestAgentLoop
    if loops.real:  # verl's own constructor wants a server and a configuration of everything
        place = importlib.import_module("verl.experimental.agent_loop.agent_loop")

        async def generate(self: Any, sampling_params: Any, **row: Any) -> Any:
            return answered(place.AgentLoopOutput, says, place.AgentLoopMetrics())

        monkeypatch.setattr(kind.__mro__[1], "run", generate)
        monkeypatch.setattr(kind.__mro__[1], "__init__", lambda self, **options: vars(self).update(options))
    loop = kind(tokenizer=TOKENIZER, says=says, judge={"dataset": env})
    loop.response_length = 512
    (row,) = adapter.rows([world.problem], "ours")
    return asyncio.run(loop.run({}, raw_prompt=row["prompt"], **row))


def test_scores_are_dense_and_their_sum_is_the_reward(loops: Any, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    env = world.made(reward="rltf", reward_options={"alpha": "clipped"})
    output = run(loops, world, env, world.raises, monkeypatch)
    sample = output.as_dict()
    scores = sample["rm_scores"]
    assert scores.shape == sample["responses"].shape == sample["response_mask"].shape
    assert scores.dtype == torch.float32
    assert scores.sum().item() == pytest.approx(output.reward_score, abs=1e-5)
    charged = torch.nonzero(scores[:-1])[:, 0].tolist()
    assert TOKENIZER.program([output.response_ids[i] for i in charged]).text.rstrip() == "    return x[0]"
    assert "token_rewards" not in sample
    assert sample["extra_fields"]["turn_scores"] == []
    assert sample["extra_fields"]["reward_extra_info"].keys() == {"acc", "passed", "pass_ratio"}


def test_a_right_program_has_its_reward_on_the_last_id(loops: Any, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = run(loops, world, world.made(), world.right, monkeypatch).as_dict()["rm_scores"]
    assert scores[-1].item() == 1.0
    assert not scores[:-1].any()


def test_a_failure_of_the_judge_is_no_sample(loops: Any, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(loops, world, world.made(world.down), world.right, monkeypatch) == []


def test_numbers_for_other_tokens_are_an_error(loops: Any) -> None:
    base = loops.module.CreditedOutput.__mro__[1]
    metrics = {} if base is Output else importlib.import_module(base.__module__).AgentLoopMetrics()
    given = {"prompt_ids": [1], "response_ids": [1, 2], "response_mask": [1, 1], "metrics": metrics}
    made = loops.module.CreditedOutput(**given, reward_score=1.0, token_rewards=[1.0])
    with pytest.raises(UsageError, match="one an id"):
        made.as_dict()


def test_the_file_has_what_verls_own_loader_looks_for(loops: Any) -> None:
    if not loops.real:
        pytest.skip("needs verl 0.9")
    load = importlib.import_module("verl.utils.import_utils").load_extern_object
    assert load("pkg://rltf_env.adapters.verl", "compute_score").__name__ == "compute_score"
    assert load(str(Path(adapter.__file__)), "compute_score").__name__ == "compute_score"
    locate = importlib.import_module("hydra.utils").get_class
    assert locate("rltf_env.adapters.verl.UnitTestAgentLoop") is loops.module.UnitTestAgentLoop
