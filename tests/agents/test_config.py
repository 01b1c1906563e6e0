"""Recipes: strict about keys and types, and what a checkpoint may be continued with."""

from __future__ import annotations

import importlib
import inspect
import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import gymnasium
import pytest
import tomli_w

from agents.algorithms import rltf
from agents.config import Recipe, read
from agents.learning.learner import OptimiserConfig
from agents.options import build
from rltf_env import plugins, prompts, rewards
from rltf_env.base import UnitTestEnvBase
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError
from rltf_env.rewards.rltf import PAPER, RELEASED_CODE

TEXT = """
[run]
updates = 5

[env]
id = "RLTF-Procedural-v0"

[policy]
kind = "tiny"

[agent]
kind = "supervised"
optimiser = { lr = 1e-3 }
"""
DEMO = Path(__file__).parents[2] / "agents" / "recipes" / "procedural_rltf.toml"
RECIPES = sorted((Path(__file__).parents[2] / "agents" / "recipes").glob("*.toml"))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    return path


def test_the_file_gives_the_run_its_name(recipe: Path) -> None:
    assert read(recipe).run.name == "mine"
    assert read(recipe, ["run.name=other"]).run.name == "other"


def test_overrides_are_toml_and_bare_words_are_strings(recipe: Path) -> None:
    made = read(
        recipe,
        ["run.seed=3", "run.out=some/where", "agent.optimiser.lr=0.5", "env.reward_options.weights={fine=2}",
         "policy.path=\"a b\"", "eval.sampling.temperature=1", "agent.extra=[1, 2]", "run.updates = 7"],
    )  # fmt: skip
    assert (made.run.seed, made.run.out, made.run.updates) == (3, "some/where", 7)
    assert made.agent == {"kind": "supervised", "optimiser": {"lr": 0.5}, "extra": [1, 2]}
    assert made.env["reward_options"] == {"weights": {"fine": 2}}
    assert made.policy["path"] == "a b"
    assert made.eval.sampling.temperature == 1.0


def test_an_override_may_hold_a_table_as_json(recipe: Path) -> None:
    assert read(recipe, ['env.dataset_options={"depths": [1]}']).env["dataset_options"] == {"depths": [1]}


def test_defaults(recipe: Path) -> None:
    made = read(recipe)
    assert made.eval.sampling.temperature == 0.0
    assert (made.run.seed, made.run.checkpoint_every) == (0, 50)


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("run.updtes=3", UnknownName, "Did you mean 'updates'"),
        ("rn.updates=3", UnknownName, "Did you mean 'run'"),
        ("eval.sampling.temprature=3", UnknownName, "Did you mean 'temperature'"),
        ("run.updates=many", UsageError, "run.updates: expected int, got 'many'"),
        ("run.updates=true", UsageError, "run.updates: expected int, got True"),
        ("run.updates=1.5", UsageError, "expected int, got 1.5"),
        ("run.name=3", UsageError, "run.name: expected str, got 3"),
        ("run.trackers=['wandbb']", UnknownName, "Did you mean 'wandb'"),
        ("run.samples_every=-1", UsageError, "Expected run.samples_every >= 0, got -1."),
        ("run.updates=-1", UsageError, "Expected run.updates >= 0, got -1."),
        ("run.eval_every=-1", UsageError, "Expected run.eval_every >= 0, got -1."),
        ("eval.size=-5", UsageError, "size >= 0"),
        ("eval.samples=0", UsageError, "samples >= 1"),
        ("eval.sampling.top_p=2", UsageError, "top_p"),
        ("eval=3", UsageError, "expected a table, got 3"),
        ("run=3", UsageError, "run: expected a table, got 3"),
        ("policy=3", UsageError, "policy: expected a table, got 3"),
        ("run.seed", UsageError, "table.key=value"),
        ("=3", UsageError, "table.key=value"),
        ("run.updates.more=3", UsageError, "'updates' is a value, not a table"),
    ],
)
def test_wrong_overrides_say_so(recipe: Path, override: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        read(recipe, [override])


@pytest.mark.parametrize("table", ["env", "policy", "agent", "run"])
def test_missing_tables_and_keys_say_so(recipe: Path, table: str) -> None:
    recipe.write_text(re.sub(rf"\[{table}\].*?(?=\n\[|\Z)", "", TEXT, flags=re.S))
    with pytest.raises(UsageError, match=r"expected (env|policy|agent|updates), got none"):
        read(recipe)


def test_a_missing_file_names_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"procedural_rltf\.toml"):
        read(tmp_path / "no.toml")
    with pytest.raises(MissingData):
        read(tmp_path)


@pytest.mark.parametrize("content", [b"[run\nx", b"\xff\xfe"])
def test_what_is_not_toml_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(DataError, match="expected TOML"):
        read(path)


@pytest.mark.parametrize(
    "override", ["run.name=x", "run.out=x", "run.updates=9", "run.eval_every=9", "run.checkpoint_every=9",
                 "run.log_every=9", "run.samples_every=9",
                 "run.trackers=['wandb']", "eval.size=9", "eval.sampling.temperature=0.3"],
)  # fmt: skip
def test_digest_does_not_see_where_how_long_and_how_it_is_shown(recipe: Path, override: str) -> None:
    assert read(recipe, [override]).digest == read(recipe).digest


@pytest.mark.parametrize(
    "override", ["run.seed=9", "run.threads=1", "env.split=test", "policy.width=9", "agent.batch_size=9",
                 "agent.optimiser.lr=9.0", "agent.kind=rltf"],
)  # fmt: skip
def test_digest_sees_all_else(recipe: Path, override: str) -> None:
    assert read(recipe, [override]).digest != read(recipe).digest


def test_digest_does_not_see_where_servers_are(recipe: Path) -> None:
    served = "agent.sampling={ engine = 'vllm_server', engine_options = { url = '%s', folder = 'f' } }"
    one, other = (read(recipe, [served % url]) for url in ("http://one:8000", "http://other:8000"))
    assert one.digest == other.digest != read(recipe).digest
    assert one.agent["sampling"]["engine_options"]["url"] == "http://one:8000", "it is still in the recipe"


def test_a_resolved_recipe_reads_back_equal(recipe: Path, tmp_path: Path) -> None:
    made = read(recipe, ["eval.options.difficulty=x", "run.seed=4"])
    again = tmp_path / "again.toml"
    again.write_text(tomli_w.dumps(made.to_dict()))
    assert read(again) == made
    assert read(again).digest == made.digest


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_shipped_recipes_are_in_order(path: Path) -> None:
    made = read(path)
    options = dict(made.agent)
    kind = options.pop("kind")
    module = importlib.import_module(f"agents.algorithms.{kind}")
    build(module.Config, options, "agent")
    assert made.policy["kind"] in plugins.names("policies", package="agents")
    known = {*inspect.signature(UnitTestEnvBase).parameters, "id", "chat_opening"}
    assert made.env["id"] in gymnasium.registry
    assert set(made.env) <= known
    try:
        rewards.load(made.env.get("reward", "rltf"), **made.env.get("reward_options", {}))
    except MissingData:  # one that is learnt first: the recipe's head says how
        assert "python -m agents.train_" in path.read_text().partition("[run]")[0]
    assert made.env.get("prompt_style", "chat") in (*prompts.STYLES, "chat")


@pytest.mark.parametrize("path", [p for p in RECIPES if not p.stem.startswith("procedural")], ids=lambda p: p.stem)
def test_a_recipes_head_has_its_exact_command_and_what_it_needs(path: Path) -> None:
    head = path.read_text().partition("[run]")[0]
    assert f"python -m agents.train agents/recipes/{path.name}" in head
    assert all(line.startswith("#") for line in head.splitlines())


RLTF_CONSTANTS = {  # section 4.1 of the paper and the released scripts, where they agree
    "buffer": 6400, "fill": 6400, "refresh_every": 50, "samples_per_problem": 20, "batch_size": 256, "supervised": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "baseline", "reduction", "sampling", "micro_batch"),
    [("paper", "best_so_far", "seq_sum", (1.0, 1.0), 32), ("released", "greedy", "token_mean", (0.6, 0.95), 4)],
)
def test_rltfs_two_recipes_hold_its_constants(
    name: str, baseline: str, reduction: str, sampling: tuple[float, float], micro_batch: int
) -> None:
    made = read(next(p for p in RECIPES if p.stem == f"rltf_{name}_apps"))
    options = dict(made.agent)
    options.pop("kind")
    config = build(rltf.Config, options, "agent")
    assert {key: getattr(config, key) for key in RLTF_CONSTANTS} == RLTF_CONSTANTS
    assert (config.baseline, config.reduction, config.clip, config.critic.mode) == (baseline, reduction, 0.0, "off")
    assert (config.sampling.temperature, config.sampling.top_p) == sampling
    optimiser = config.optimiser
    assert (optimiser.lr, optimiser.weight_decay, optimiser.warmup) == (2e-6, 0.05, 500)
    assert optimiser.micro_batch == micro_batch
    assert (made.env["max_prompt_tokens"], made.env["max_program_tokens"]) == (800, 512)
    assert made.env["sandbox_options"]["case_seconds"] == 4.0
    assert (made.eval.sampling.temperature, made.eval.sampling.top_p) == (0.6, 0.95)


def test_the_papers_recipe_is_what_its_equations_say() -> None:
    made = read(next(p for p in RECIPES if p.stem == "rltf_paper_apps"))
    assert made.env["reward_options"] == PAPER
    assert made.agent["supervised_reduction"] == "seq_sum"  # eq. 7
    optimiser = build(OptimiserConfig, made.agent["optimiser"], "optimiser")
    assert (optimiser.rise, optimiser.dropout, optimiser.clip_norm) == ("linear", False, 0.0)
    assert (made.agent["importance_cap"], made.agent.get("clip", 0.0)) == (0.0, 0.0)
    assert "loss_temperature" not in made.agent  # drawn at 1, learnt from at 1


@pytest.mark.parametrize("name", ["rltf_released_apps", "rltf_warm_apps"])
def test_the_released_recipes_learn_as_the_released_code(name: str) -> None:
    made = read(next(p for p in RECIPES if p.stem == name))
    optimiser = build(OptimiserConfig, made.agent["optimiser"], "optimiser")
    assert (optimiser.rise, optimiser.dropout, optimiser.clip_norm) == ("log", True, 1.0)
    assert "supervised_reduction" not in made.agent  # the mean over tokens


@pytest.mark.parametrize("name", ["rltf_released_apps", "smollm2_mbpp_cpu"])
def test_what_was_drawn_at_one_temperature_and_learnt_from_at_another_still_is(name: str) -> None:
    agent = read(next(p for p in RECIPES if p.stem == name)).agent
    assert agent["sampling"]["temperature"] != 1
    assert (agent["loss_temperature"], agent["importance_cap"]) == (1, 0.0)
    assert "dual_clip" not in agent


def test_the_demos_recipe_is_clipped_on_one_side_as_it_was_measured() -> None:
    config = build(rltf.Config, {k: v for k, v in read(DEMO).agent.items() if k != "kind"}, "agent")
    assert (config.clip, config.dual_clip, config.sampling.temperature, config.sampling.top_p) == (0.2, 0.0, 1.0, 1.0)


def test_the_released_recipes_reward_is_that_of_the_released_code() -> None:
    made = read(next(p for p in RECIPES if p.stem == "rltf_released_apps"))
    wanted = {**RELEASED_CODE, "categories": dict(RELEASED_CODE["categories"])}
    assert made.env["reward_options"] == wanted


@dataclass(frozen=True)
class Inner:
    x: float = 1.0


@dataclass(frozen=True)
class Outer:
    name: str
    how: Literal["a", "b"] = "a"
    sizes: list[int] = field(default_factory=list)
    maybe: int | None = None
    anything: Any = None
    inner: Inner = field(default_factory=Inner)


def test_build_by_hand() -> None:
    made = build(Outer, {"name": "n", "how": "b", "inner": {"x": 2}, "maybe": 3, "sizes": [1]}, "here")
    assert made == Outer("n", "b", [1], 3, None, Inner(2.0))
    assert isinstance(made.inner.x, float)
    assert build(Inner, {}, "here") == Inner()
    whole = replace(made, name="m")
    assert build(Outer, {"name": "n", "inner": whole.inner}, "here").inner is whole.inner


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "here: expected name, got none"),
        ({"name": "n", "how": "c"}, "Unknown value of here.how 'c'"),
        ({"name": "n", "inner": {"y": 2}}, "Unknown key in here.inner 'y'"),
        ({"name": "n", "inner": {"x": "2"}}, "here.inner.x: expected float, got '2'"),
        ({"name": "n", "inner": {"x": True}}, "here.inner.x: expected float, got True"),
        ({"name": "n", "sizes": 3}, "here.sizes: expected list, got 3"),
        ({"name": "n", "inner": {"x": float("nan")}}, "here.inner.x: expected a finite number, got nan"),
        ({"name": "n", "anything": float("-inf")}, "here.anything: expected a finite number, got -inf"),
    ],
)
def test_build_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        build(Outer, options, "here")


AGENTS = ("rltf", "supervised", "actor_critic", "ppo", "grpo", "dr_grpo", "rloo", "reinforce", "dapo")


@pytest.mark.parametrize("kind", AGENTS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_number_of_an_agent_is_other_than_finite(kind: str, value: float) -> None:
    cls = importlib.import_module(f"agents.algorithms.{kind}").Config
    floats = [f.name for f in fields(cls) if f.type == "float"]
    tables = [{name: value} for name in floats] + [{"optimiser": {"clip_norm": value}}]
    for table in tables:
        with pytest.raises(UsageError, match=r"agent\.\S+: expected a finite number"):
            build(cls, table, "agent")


def test_a_recipe_is_a_dataclass_all_through(recipe: Path) -> None:
    assert build(Recipe, read(recipe).to_dict(), "again") == read(recipe)
