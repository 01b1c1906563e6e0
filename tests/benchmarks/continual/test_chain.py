"""Chains of runs: what each begins with, what is measured, and that one that was killed ends as if it had not been."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from agents.running import checkpoint
from benchmarks.continual import __main__ as command
from benchmarks.continual import chain, figures, sequence
from benchmarks.continual.chain import Chain
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError

TASKS = """
[run]
updates = 2
checkpoint_every = 1
threads = 1
[env]
id = "RLTF-Procedural-v0"
dataset = "retold"
dataset_options = { size = 8, depths = [1] }
source = "uniform"
split = "train"
prompt_style = "statement"
max_prompt_tokens = 400
max_program_tokens = 100
sandbox = "scripted"
[policy]
kind = "tiny"
width = 16
layers = 1
heads = 2
vocab_size = 280
dataset_options = { size = 4 }
[agents.supervised]
kind = "supervised"
batch_size = 4
optimiser = { lr = 1e-2, warmup = 1, decay = "linear", length = 2 }
[agents.rltf]
kind = "rltf"
buffer = 8
fill = 4
refresh = 4
refresh_every = 1
samples_per_problem = 2
batch_size = 4
baseline = "group_mean"
[eval]
split = "seen"
size = 3
options = { size = 3, depths = [2] }
sampling = { temperature = 1.0 }
[warm.run]
updates = 1
[pooled.policy]
pool = 4
top = 1
length = 2
[[tasks]]
name = "generate"
env.dataset_options = { tasks = ["generate"] }
eval.options = { tasks = ["generate"] }
[[tasks]]
name = "refine"
env.dataset_options = { tasks = ["refine"], seed = 1 }
eval.options = { tasks = ["refine"] }
"""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tasks") / "two.toml"
    path.write_text(TASKS)
    return path


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which chains share their warm start."""
    return tmp_path_factory.mktemp("chains")


def made(file: Path, out: Path, method: str, agent: str = "", **changes: Any) -> Chain:
    return Chain(sequence.read(file, changes.get("overrides", ())), method, agent, out, 0)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from agents.building import make_policy
    from agents.config import finished

    return make_policy(finished(folder)).model.state_dict()


@pytest.mark.parametrize(
    ("method", "agent"),
    [("finetune", ""), ("replay", "rltf"), ("joint", ""), ("separate", ""), ("pool-forced", "")],
)
def test_a_chain_runs_and_its_results_are_those_of_its_method(method: str, agent: str, file: Path, out: Path) -> None:
    each = made(file, out, method, agent)
    chain.run(each)
    result = chain.collect(each)
    assert len(result["before"]) == len(result["final"]) == 2
    assert all(0 <= value <= 1 for value in (*result["before"], *result["final"]))
    assert (result["matrix"] is None) == (method in ("joint", "separate"))
    assert np.shape(result["matrix"] or [[0, 0], [0, 0]]) == (2, 2)
    assert set(result["data_digests"]) == {"generate", "refine"}
    kinds = {(folder / "policy" / "policy.json").is_file() for folder in each.folders}
    assert kinds == {method.startswith("pool")}


def test_a_run_begins_with_what_the_one_before_has_left(file: Path, out: Path) -> None:
    each = made(file, out, "finetune")
    chain.run(each)
    first, second = (each.recipe(number).policy["path"] for number in (0, 1))
    assert first == str(out / "seed-0" / "warm" / "policy")
    assert second == str(each.folders[0] / "policy")
    separate = made(file, out, "separate")
    assert {separate.recipe(number).policy["path"] for number in (0, 1)} == {first}


def test_what_has_been_done_is_not_done_again(file: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    each = made(file, out, "finetune")
    chain.run(each)
    monkeypatch.setattr(chain, "train", lambda *a: pytest.fail("trained again"))
    monkeypatch.setattr(chain, "scores", lambda *a: pytest.fail("measured again"))
    chain.run(each)


@pytest.mark.parametrize("method", [pytest.param("replay", marks=pytest.mark.slow), "pool-forced"])
def test_a_chain_killed_in_its_second_run_ends_as_one_that_was_not(
    method: str, file: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = made(file, out, method), made(file, tmp_path, method)
    chain.run(whole)  # unless a test before has done it
    save = checkpoint.save

    def save_and_die(folder: Path, step: int, state: Any) -> Path:
        path = save(folder, step, state)
        if folder.parent == killed.folders[1] and step == 1:
            raise KeyboardInterrupt
        return path

    monkeypatch.setattr(checkpoint, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        chain.run(killed)
    monkeypatch.setattr(checkpoint, "save", save)
    with pytest.raises(MissingData, match=r"2-refine/on-generate\.json"):
        chain.collect(killed)
    chain.run(killed)
    assert chain.collect(killed) == chain.collect(whole)
    for number in (0, 1):
        first, second = (weights(each.folders[number]) for each in (whole, killed))
        assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_a_chain_killed_while_it_is_measured_measures_the_rest(
    file: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = made(file, out, "finetune")
    chain.run(each)
    before = chain.collect(each)
    (each.folders[1] / "on-refine.json").unlink()
    looks: list[str] = []
    scores = chain.scores
    monkeypatch.setattr(chain, "scores", lambda recipe, *a: looks.append(recipe.run.name) or scores(recipe, *a))
    chain.run(each)
    assert looks == ["refine"]
    assert chain.collect(each) == before


def test_a_missing_run_is_named(file: Path, tmp_path: Path) -> None:
    each = made(file, tmp_path, "finetune")
    with pytest.raises(MissingData, match="warm"):
        each.recipe(0)
    with pytest.raises(MissingData, match=r"start/on-generate\.json"):
        chain.collect(each)
    (tmp_path / "seed-0" / "start").mkdir(parents=True)
    (tmp_path / "seed-0" / "start" / "on-generate.json").write_text("{}")
    with pytest.raises(DataError, match="Remove it"):
        chain.collect(each)


def test_unknown_methods_and_agents_and_replay_of_nothing_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="finetune"):
        made(file, tmp_path, "finetuning")
    with pytest.raises(UnknownName, match="rltf"):
        made(file, tmp_path, "replay", "rltff")
    alone = TASKS[: TASKS.index('[[tasks]]\nname = "refine"')]
    (tmp_path / "one.toml").write_text(alone)
    with pytest.raises(UsageError, match="two tasks or more"):
        made(tmp_path / "one.toml", tmp_path, "replay")


def test_texts_are_scored_by_bleu_without_a_judge(
    file: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "evaluate", lambda *a, **k: pytest.fail("judged"))
    tasks = sequence.read(file, ["score=bleu"])
    recipe = sequence.measure_recipe(tasks, tasks.tasks[0], "", dict(tasks.policy), 0)
    policy: Any = chain.make_policy(recipe)
    looks: list[str] = []

    @contextmanager
    def measured() -> Iterator[None]:
        looks.append("begun")
        yield
        looks.append("ended")

    policy.measured = measured  # as a pool has it, which then chooses among all of its pairs
    with chain.make_env(recipe, policy) as env:
        problems = chain.Measure(recipe, policy, env).problems
        told: list[int] = []
        result = chain.scores(recipe, policy, env, problems, "bleu", told.append)
    assert looks == ["begun", "ended"]
    assert len(result["rates"]) == sum(told) == 3
    assert all(0 <= rate <= 1 for rate in result["rates"])


def test_a_problems_score_is_the_share_of_its_programs_that_pass(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = SimpleNamespace(passed=np.array([0, 3, 4]), samples=4, lost=1)
    monkeypatch.setattr(chain, "evaluate", lambda *a, **k: counted)
    tasks = sequence.read(file, [])
    recipe = sequence.measure_recipe(tasks, tasks.tasks[0], "", dict(tasks.policy), 0)
    nobody: Any = None  # the programs are counted already
    result = chain.scores(recipe, nobody, nobody, [], "pass", lambda done: None)
    assert (result["rates"], result["lost"]) == ([0.0, 0.75, 1.0], 1)


# -------------------------------------------------------------------------------------------------------------- figures

RESULT = {"before": [0.04, 0.06], "final": [0.3, 0.6], "matrix": [[0.5, 0.1], [0.3, 0.6]], "data_digests": {}}
ALONE = {**RESULT, "matrix": None}


def test_figures_are_of_each_seed_and_their_mean() -> None:
    other = {**RESULT, "final": [0.5, 0.6], "matrix": [[0.5, 0.1], [0.5, 0.6]]}
    found = figures.over_seeds({0: RESULT, 1: other})
    assert found["forgetting"]["by_seed"] == pytest.approx([0.2, 0.0])
    assert found["forgetting"]["mean"] == pytest.approx(0.1)
    assert found["forgetting"]["low"] < 0 < found["forgetting"]["high"]
    assert found["average"]["by_seed"] == pytest.approx([0.45, 0.55])
    assert found["forward"]["by_seed"] == pytest.approx([0.04, 0.04])
    rows = figures.mean_matrix({0: RESULT, 1: other})
    np.testing.assert_allclose(rows, [[0.04, 0.06], [0.5, 0.1], [0.4, 0.6]])
    np.testing.assert_allclose(figures.mean_matrix({0: ALONE}), [[0.04, 0.06], [0.3, 0.6]])
    assert figures.over_seeds({0: RESULT})["average"]["low"] is None
    assert figures.over_seeds({0: ALONE})["forgetting"] == {"by_seed": [None], "mean": None, "low": None, "high": None}


def test_the_table_and_the_picture_show_what_was_before_and_after_each_task(file: Path, tmp_path: Path) -> None:
    each = made(file, tmp_path, "finetune")
    content = command.write(each, {0: RESULT}, [])
    folder = tmp_path / "finetune-supervised"
    text = (folder / "figures.md").read_text()
    assert "| before | 4.0 | 6.0 |" in text
    assert "| after refine | 30.0 | 60.0 |" in text
    assert "| forgetting | 20.0 | - | 20.0 |" in text
    assert (folder / "matrix.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "figures.json").read_text()) == json.loads(json.dumps(content))
    alone = command.write(made(file, tmp_path, "joint"), {0: ALONE}, [])
    assert not alone["chained"]
    assert "| at the end | 30.0 | 60.0 |" in (tmp_path / "joint-supervised" / "figures.md").read_text()


# -------------------------------------------------------------------------------------------------------------- command


def test_the_command_runs_a_sequence_and_collects_it_again(
    file: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(file), "--method", "finetune", "--out", str(out), "replay=0.5"]
    assert command.main(words) == 0
    first = capsys.readouterr().out
    assert "finetune, supervised: two, seeds 0" in first
    assert command.main([*words, "--results"]) == 0
    assert "| after refine |" in capsys.readouterr().out


def test_the_command_says_what_is_wrong_in_one_sentence(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([str(file), "--results", "--out", str(tmp_path)]) == 2
    assert "this run of the chain is missing" in capsys.readouterr().err
    assert command.main(["none"]) == 2
    assert "Shipped: retold" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        command.main([str(file), "--seeds", "0"])
    assert "--seeds: expected a whole number of at least 1, got '0'" in capsys.readouterr().err


def test_ctrl_c_ends_the_command_in_a_sentence_and_its_status(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(chain, "run", pressed)
    assert command.main([str(file), "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "Stopped. The same command goes on from here.\n"
