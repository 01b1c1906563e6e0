"""Runs that cannot begin, or not as the recipe has it: each says why."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from rich.console import Console
from small_runs import AGENTS, COMMON, FEW_POSITIONS, OVERRIDES, place_judge

from agents import train, training
from agents.config import Recipe, read
from agents.running import folder as folders
from rltf_env import datasets, sandbox
from rltf_env.core import CallCase, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import MissingData, UnknownName, UsageError
from rltf_env.sources import Cycle

MakeRecipe = Callable[..., Recipe]


@pytest.fixture(autouse=True)
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third party's sandbox, by name."""
    place_judge(tmp_path / "modules", monkeypatch)


@pytest.fixture
def recipe(tmp_path: Path) -> MakeRecipe:
    def make(kind: str, out: str, *overrides: str) -> Recipe:
        path = tmp_path / f"{kind}.toml"
        path.write_text(COMMON + AGENTS[kind])
        return read(path, [f"run.out={json.dumps(str(tmp_path / out))}", *OVERRIDES.get(kind, ()), *overrides])

    return make


def test_missing_data_end_the_run_and_no_stand_ins_are_used(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RLTF_DATA", raising=False)
    made = recipe("supervised", "run", 'env.id="RLTF-APPS-v0"', "env.dataset_options={}", "eval.size=1")
    with pytest.raises(MissingData, match=r"RLTF_DATA"):
        train.train(made)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("policy.widht=3", UsageError, r"\[policy\].*widht"),
        ("policy.kind=tinny", UnknownName, "Did you mean 'tiny'"),
        ("agent.kind=rlft", UnknownName, "Did you mean 'rltf'"),
        ("agent.batchsize=3", UnknownName, "Did you mean 'batch_size'"),
        ("agent.optimiser.lr=fast", UsageError, r"agent\.optimiser\.lr: expected float, got 'fast'"),
        ("env.max_promt_tokens=3", UnknownName, "Did you mean 'max_prompt_tokens'"),
        ("env.id=RLTF-Procedual-v0", UnknownName, "Did you mean 'RLTF-Procedural-v0'"),
        ("env.id=not an id", UnknownName, "RLTF-MBPP-v0"),
        ("env.reward=fien", UnknownName, "Did you mean 'fine'"),
        ("env.sandbox=forksever", UnknownName, "Did you mean 'forkserver'"),
        ("env.max_prompt_tokens=3", UsageError, "at most 3 tokens"),
        ("env.prompt_style=statment", UnknownName, "Did you mean 'statement'"),
    ],
)
def test_wrong_recipes_say_so(recipe: MakeRecipe, override: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        train.train(recipe("supervised", "run", override))


def test_a_prompt_too_long_to_be_measured_ends_the_run_before_it_begins(recipe: MakeRecipe, tmp_path: Path) -> None:
    made = recipe("supervised", "run")
    policy = train.make_policy(made)
    with train.make_env(made, policy) as env:
        drawn = max(len(env.encode_prompt(problem)) for problem in train.Measure(made, policy, env).problems)
    short = recipe("supervised", "run", f"env.max_prompt_tokens={drawn - 1}", "run.updates=0")
    with pytest.raises(UsageError, match=f"at most {drawn - 1} tokens"):
        train.train(short)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_problems_to_be_measured_are_evenly_spaced_and_programs_end_as_in_training(recipe: MakeRecipe) -> None:
    made = recipe("rltf", "run", "eval.size=3", 'agent.sampling={stop=["#"]}', "eval.options={size=10}")
    policy = train.make_policy(made)
    with train.make_env(made, policy) as env:
        all_of_them = datasets.load("procedural", split="test", size=10)
        measure = train.Measure(made, policy, env)
        assert [p.id for p in measure.problems] == [all_of_them[i].id for i in (0, 3, 6)]
        asked: list[Any] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training, "evaluate", lambda *a, **b: asked.append(a[3]))
            measure()
    assert asked[0].stop == ("#",)
    assert asked[0].temperature == 1.0


def test_a_source_that_moves_on_goes_on_where_it_was(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the API only: no recipe names a source yet."""
    make, drawn = train.make_env, []

    class Told(Cycle):
        def draw(self, rng: Any) -> Problem:
            drawn.append(super().draw(rng))
            return drawn[-1]

    @contextmanager
    def cycled(*args: Any) -> Iterator[Any]:
        with make(*args) as env:
            env.source = Told(datasets.load("procedural", depths=[1], size=50))
            yield env

    monkeypatch.setattr(training, "make_env", cycled)
    for updates in (4, 8):
        train.train(recipe("reinforce", "run", f"run.updates={updates}", "run.eval_every=0"))
    twice = [p.id for p in drawn]
    drawn.clear()
    train.train(recipe("reinforce", "whole", "run.eval_every=0"))
    assert twice == [p.id for p in drawn]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("agent.batchsize=3", "Did you mean 'batch_size'"),
        ("policy.kind=tinny", "Unknown policy 'tinny'. Did you mean 'tiny'"),
        ("policy.widht=8", "Did you mean 'width'"),
        ("env.id=RLTF-Procedura-v0", "Did you mean 'RLTF-Procedural-v0'"),
        ("env.max_token=8", "Unknown key in [env] 'max_token'"),
        ("env.reward=rltff", "Did you mean 'rltf'"),
        ("env.reward=coarse+fien", "Did you mean 'fine'"),
        ("env.reward_options.alhpa=clipped", "Did you mean 'alpha'"),
        ("env.curriculum=cccc", "Did you mean 'cccs'"),
    ],
)
def test_a_typo_is_told_before_the_folder_is_looked_at(
    recipe: MakeRecipe, tmp_path: Path, wrong: str, words: str
) -> None:
    with folders.exclusive(tmp_path / "run"), pytest.raises(UnknownName, match=re.escape(words)):
        train.train(recipe("rltf", "run", wrong))
    with pytest.raises(UnknownName):
        train.train(recipe("rltf", "new", wrong))
    assert not (tmp_path / "new").exists()


def test_a_run_that_cannot_begin_leaves_no_folder(recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="prompt"):
        train.train(recipe("rltf", "new", "env.max_prompt_tokens=2"))
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs to become an ordinary user")
def test_a_folder_of_somebody_else_is_one_message(
    recipe: MakeRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "theirs").mkdir(mode=0o755)
    path = tmp_path / "recipe.toml"
    path.write_text(tomli_w.dumps(recipe("supervised", "theirs/run").to_dict()))
    for above in (path, *path.parents[:-1]):
        above.chmod(above.stat().st_mode | 0o055)
    os.seteuid(65534)
    try:
        assert train.main([str(path)]) == 2
    finally:
        os.seteuid(0)
    error = capsys.readouterr().err
    assert error.startswith("PermissionError: Expected to be allowed to use")
    assert "belongs to root" in error


def test_a_run_says_what_it_is_doing_where_there_is_no_panel(recipe: MakeRecipe, tmp_path: Path) -> None:
    out = io.StringIO()
    console = Console(file=out, width=200)
    train.train(recipe("rltf", "run", "run.updates=3", "run.log_every=1000"), console)
    assert "rltf: loading the policy\n" in (told := out.getvalue())
    assert "rltf: pass@1 0.0% (0.0% to 56.1%) after 0 updates" in told
    assert told.index("update 3") < told.index("after 3 updates")  # the last one, whatever the rhythm
    train.train(recipe("rltf", "run", "run.updates=3", "run.log_every=1000"), console)
    assert "is finished after 3 updates; a larger run.updates goes on from there." in out.getvalue()


@pytest.mark.parametrize("table", ["policy", "agent", "env"])
def test_a_table_without_a_kind_says_so_on_the_terminal(
    recipe: MakeRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str
) -> None:
    """The message names the table in brackets, which the terminal's markup must not swallow."""
    made = recipe("supervised", "run").to_dict()
    made[table].pop("id" if table == "env" else "kind")
    path = tmp_path / "without.toml"
    path.write_text(tomli_w.dumps(made))
    assert train.main([str(path)]) == 2
    assert f"[{table}]: expected" in capsys.readouterr().err


def test_a_wrong_command_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main([str(tmp_path / "[no]" / "recipe.toml")]) == 2
    assert "MissingData:" in (error := capsys.readouterr().err)
    assert "[no]" in error.replace("\n", "")


def test_threads_are_given_back(recipe: MakeRecipe) -> None:
    torch.set_num_threads(2)
    train.train(recipe("supervised", "run", "run.updates=1"))
    assert torch.get_num_threads() == 2


def test_programs_beyond_a_models_positions_are_refused_before_the_first_update(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(FEW_POSITIONS)
    with pytest.raises(UsageError, match=r"128 positions of GPT2LMHeadModel, got \d+ and 256 tokens"):
        train.train(read(tmp_path / "r.toml", [f"run.out={tmp_path / 'run'}"]))


def test_a_summary_counts_the_problems_that_a_reward_cannot_compare_with_a_reference(recipe: MakeRecipe) -> None:
    problems = [Problem(f"p{i}", "Do.", [CallCase((), 1)], "f", solutions=["f = 1\n"] * (i > 0)) for i in range(3)]
    made = recipe("supervised", "run")

    def counted(some: Any, reward: str) -> Any:
        env = UnitTestEnv(some, reward=reward, sandbox=sandbox.load("scripted"))
        return training._summary(made, env, {}).get("without_reference")

    assert counted(problems, "coarse+structure") == 1
    assert counted(problems[1:], "structure") == 0
    assert counted(problems, "coarse") is None
    assert counted("procedural", "structure") is None, "of endless problems there is no count"
