"""Whole runs: cut in two, killed, started on the wrong folder, on a full disk, without data. Most are judged by a rule."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from rich.console import Console
from torch import Tensor

from agents import train, training
from agents.config import Recipe, finished, read
from agents.policies import causal
from agents.running import checkpoint
from agents.running import folder as folders
from agents.running.panel import Screen
from rltf_env import datasets
from rltf_env.core import Problem
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError
from rltf_env.sources import Cycle

COMMON = """
[run]
updates = 8
checkpoint_every = 2
eval_every = 4
threads = 1

[env]
id = "RLTF-Procedural-v0"
split = "train"
prompt_style = "statement"
max_prompt_tokens = 400
max_program_tokens = 80
sandbox = "judge_by_rule:load"
dataset_options = { depths = [1] }

[policy]
kind = "tiny"
width = 16
layers = 1
heads = 2
vocab_size = 280
dataset_options = { size = 4 }

[eval]
size = 3
sampling = { temperature = 1.0 }
"""
FEW_POSITIONS = """
[run]
updates = 2
threads = 1
[env]
id = "RLTF-Procedural-v0"
max_prompt_tokens = 256
max_program_tokens = 256
[policy]
kind = "shape"
vocab_size = 300
config = { model_type = "gpt2", n_embd = 32, n_layer = 1, n_head = 2, n_positions = 128, vocab_size = 300 }
[agent]
kind = "grpo"
problems = 2
samples_per_problem = 2
batch_size = 4
[eval]
size = 2
"""
AGENTS = {
    "rltf": """
[agent]
kind = "rltf"
buffer = 12
fill = 8
refresh = 4
refresh_every = 3
samples_per_problem = 2
batch_size = 4
references = { size = 8 }
optimiser = { lr = 1e-2, warmup = 2 }
""",
    "curriculum": """
[agent]
kind = "rltf"
buffer = 12
fill = 8
refresh = 4
refresh_every = 2
samples_per_problem = 2
batch_size = 4
supervised = 0
baseline = "group_mean"
optimiser = { lr = 1e-2, warmup = 2 }
""",
    "rltf_online_critic": """
[agent]
kind = "rltf"
buffer = 12
fill = 8
refresh = 4
refresh_every = 3
samples_per_problem = 2
batch_size = 4
supervised = 0
baseline = "group_mean"
critic = { mode = "online", updates = 2, batch_size = 3 }
optimiser = { lr = 1e-2, warmup = 2 }
""",
    "actor_critic": """
[agent]
kind = "actor_critic"
buffer = 12
fill = 8
refresh = 4
refresh_every = 3
samples_per_problem = 2
batch_size = 4
optimiser = { lr = 1e-2, warmup = 2 }
""",
    "soft_q": """
[agent]
kind = "soft_q"
buffer = 12
fill = 8
refresh = 4
refresh_every = 3
samples_per_problem = 2
batch_size = 4
offline = 0.25
references = { size = 8 }
optimiser = { lr = 1e-2, warmup = 2 }
""",
    "ppo": """
[agent]
kind = "ppo"
problems = 3
samples_per_problem = 2
batch_size = 4
epochs = 2
value_warmup = 3
kl_target = 0.01
optimiser = { lr = 1e-2, warmup = 2 }
""",
    "grpo": """
[agent]
kind = "grpo"
problems = 3
samples_per_problem = 2
batch_size = 4
epochs = 2
credit = "token"
resample = 1
optimiser = { lr = 1e-2, warmup = 2 }
""",
    "reinforce": """
[agent]
kind = "reinforce"
problems = 6
batch_size = 4
kl_reward = 0.1
optimiser = { lr = 1e-2, warmup = 2 }
""",
    "supervised": """
[agent]
kind = "supervised"
batch_size = 4
optimiser = { lr = 1e-2, warmup = 2 }
""",
}
OVERRIDES = {
    "curriculum": [
        "env.source=cycle",
        "env.sandbox=judge_by_rule:every_other",
        "env.dataset_options={ size = 2, depths = [3] }",
        "env.curriculum=cccs",
        'env.curriculum_options={ alpha = 1.0, statements = ["stmt"], stride = 1, mix = 0.3, back = 2 }',
        "env.max_program_tokens=160",
    ],
}
JUDGE = """
import zlib

from agents.testing import by_checksum
from rltf_env import sandbox
from rltf_env.core import Outcome

def load():
    return sandbox.load("scripted", rules=by_checksum)

def every_other():
    return sandbox.load("scripted", rules=passes)

def passes(source, problem):
    return [Outcome.PASSED if zlib.crc32(source.encode()) % 2 else Outcome.WRONG_ANSWER] * len(problem.cases)
"""
MakeRecipe = Callable[..., Recipe]


@pytest.fixture(autouse=True)
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third party's sandbox, by name."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "judge_by_rule.py").write_text(JUDGE)
    monkeypatch.syspath_prepend(tmp_path / "modules")


@pytest.fixture
def recipe(tmp_path: Path) -> MakeRecipe:
    def make(kind: str, out: str, *overrides: str) -> Recipe:
        path = tmp_path / f"{kind}.toml"
        path.write_text(COMMON + AGENTS[kind])
        return read(path, [f"run.out={json.dumps(str(tmp_path / out))}", *OVERRIDES.get(kind, ()), *overrides])

    return make


def lines(out: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in train.TIMINGS} for line in found]


def weights(out: Path) -> dict[str, Tensor]:
    return causal.load(str(out / "policy")).model.state_dict()


def assert_same_run(a: Path, b: Path) -> None:
    assert lines(a) == lines(b)
    first, second = weights(a), weights(b)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    ends = [json.loads((out / "summary.json").read_text()) for out in (a, b)]
    last = [end["evaluations"][str(end["updates"])] for end in ends]
    assert last[0] == last[1]
    programs = [(out / "samples.jsonl").read_text() for out in (a, b)]
    assert programs[0] == programs[1]


# ---------------------------------------------------------------------------------------------------------- continuing


@pytest.mark.parametrize("kind", AGENTS)
def test_a_run_in_two_parts_is_the_run_in_one(recipe: MakeRecipe, tmp_path: Path, kind: str) -> None:
    train.train(recipe(kind, "whole"))
    train.train(recipe(kind, "parts", "run.updates=4"))
    train.train(recipe(kind, "parts"))
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert [line["step"] for line in lines(tmp_path / "whole")] == list(range(1, 9))
    assert lines(tmp_path / "whole")[0] != lines(tmp_path / "whole")[1]


def test_a_checkpoint_knows_how_far_a_curriculum_has_come(recipe: MakeRecipe, tmp_path: Path) -> None:
    train.train(recipe("curriculum", "run"))
    saved = checkpoint.latest(tmp_path / "run" / "checkpoints")
    assert saved is not None
    assert any(advanced for advanced, _, _ in saved["source"]["standings"].values())
    assert saved["source"]["source"] in range(2)  # the position of "cycle"


def test_looking_more_often_changes_nothing(recipe: MakeRecipe, tmp_path: Path) -> None:
    train.train(recipe("rltf", "seldom", "run.eval_every=0", "run.checkpoint_every=0"))
    train.train(recipe("rltf", "often", "run.eval_every=1", "run.checkpoint_every=1"))
    assert_same_run(tmp_path / "seldom", tmp_path / "often")


def test_another_seed_is_another_run(recipe: MakeRecipe, tmp_path: Path) -> None:
    for seed in (0, 1):
        train.train(recipe("supervised", f"seed-{seed}", f"run.seed={seed}", "run.updates=2"))
    assert lines(tmp_path / "seed-0") != lines(tmp_path / "seed-1")


def test_a_finished_run_is_not_done_again(recipe: MakeRecipe, tmp_path: Path) -> None:
    first = train.train(recipe("supervised", "run"))
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert train.train(recipe("supervised", "run")) == first
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before  # timings included


def test_no_updates_measures_the_policy_as_it_is(recipe: MakeRecipe, tmp_path: Path) -> None:
    summary = train.train(recipe("supervised", "run", "run.updates=0"))
    assert list(summary["evaluations"]) == ["0"]
    assert lines(tmp_path / "run") == []


def start(recipe: Recipe, tmp_path: Path) -> subprocess.Popen[bytes]:
    path = tmp_path / "started.toml"
    path.write_text(tomli_w.dumps(recipe.to_dict()))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "modules")}
    command = [sys.executable, "-m", "agents.train", str(path)]
    return subprocess.Popen(
        command,
        env=environment,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", ["rltf", "curriculum", "actor_critic", "soft_q", "ppo", "grpo"])
def test_a_killed_run_continues_to_the_same_end(recipe: MakeRecipe, tmp_path: Path, kind: str) -> None:
    """Killed between checkpoints, then continued by the same command and killed nearer to the end, then let go."""
    train.train(recipe(kind, "whole", "run.updates=24"))
    out, killed = tmp_path / "killed", recipe(kind, "killed", "run.updates=24")
    for count in (5, 15):
        process = start(killed, tmp_path)
        metrics = out / "metrics.jsonl"
        wait_for(lambda path=metrics, n=count: path.exists() and len(path.read_bytes().splitlines()) >= n, process)
        process.kill()
        process.communicate()
        assert not (out / "summary.json").exists()
        assert len(list((out / "checkpoints").glob("step-*.pt"))) > 0
    with open(out / "metrics.jsonl", "a") as file:
        file.write('{"step": 99, "half a li')
    (out / ".summary.json.1.tmp").write_text("half")
    (out / ".policy.tmp").mkdir()
    (out / ".policy.tmp" / "config.json").write_text("half")
    (out / "checkpoints" / ".step-000024.pt.1.tmp").write_text("half")
    train.train(killed)
    assert_same_run(tmp_path / "whole", out)
    assert not [p for p in out.rglob("*") if p.name.endswith(".tmp")]


def press_ctrl_c_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    shown = Screen.update

    def update(screen: Screen, line: Mapping[str, float]) -> None:
        shown(screen, line)
        if line["step"] == step:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Screen, "update", update)


@pytest.mark.parametrize("step", [3, 4])  # 4 would be measured as well
def test_ctrl_c_ends_after_the_running_update_and_loses_nothing(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    train.train(recipe("rltf", "whole"))
    with monkeypatch.context() as patch:
        press_ctrl_c_at(patch, step)
        with pytest.raises(KeyboardInterrupt, match=f"after update {step} of 8; .* same command goes on"):
            train.train(recipe("rltf", "stopped", "run.checkpoint_every=0"))
    assert [line["step"] for line in lines(tmp_path / "stopped")] == list(range(1, step + 1))
    assert not (tmp_path / "stopped" / "summary.json").exists()
    train.train(recipe("rltf", "stopped", "run.checkpoint_every=0"))
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")
    summaries = [json.loads((tmp_path / out / "summary.json").read_text()) for out in ("whole", "stopped")]
    assert summaries[0]["evaluations"] == summaries[1]["evaluations"]


def test_ctrl_c_while_it_measures_keeps_the_update_and_measures_again(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train.train(recipe("supervised", "whole"))
    with monkeypatch.context() as patch:
        patch.setattr(training, "evaluate", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt, match="after update 4 of 8"):
            train.train(recipe("supervised", "stopped", "run.eval_first=false"))
    train.train(recipe("supervised", "stopped", "run.eval_first=false"))
    assert list(json.loads((tmp_path / "stopped" / "summary.json").read_text())["evaluations"]) == ["4", "8"]
    assert lines(tmp_path / "whole") == lines(tmp_path / "stopped")


@pytest.mark.parametrize(("every", "words"), [(0, "before the first of 8"), (2, "after update 2 of 8")])
def test_ctrl_c_in_an_update_with_nothing_to_lose_ends_it_at_once(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, words: str
) -> None:
    """The first fill of a buffer takes minutes: nobody waits for its end."""
    made, step = recipe("rltf", "run", f"run.checkpoint_every={every}", "run.eval_every=0"), every + 1
    updates, make = [], training.make_agent

    def agent(*args: Any) -> Any:
        found = make(*args)
        update = found.update

        def interrupted() -> dict[str, float]:
            updates.append(1)
            if len(updates) == step:
                os.kill(os.getpid(), signal.SIGINT)
                pytest.fail("the update went on")
            return update()

        found.update = interrupted
        return found

    with monkeypatch.context() as patch:
        patch.setattr(training, "make_agent", agent)
        with pytest.raises(KeyboardInterrupt, match=words):
            train.train(made)
    train.train(made)
    train.train(recipe("rltf", "whole", "run.eval_every=0"))
    assert_same_run(tmp_path / "whole", tmp_path / "run")


@pytest.mark.timeout(180)
def test_ctrl_c_at_the_command_is_one_line(recipe: MakeRecipe, tmp_path: Path) -> None:
    process = start(recipe("supervised", "run", "run.updates=100000", "run.eval_every=0"), tmp_path)
    metrics = tmp_path / "run" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.read_bytes().count(b"\n") >= 2, process)
    process.send_signal(signal.SIGINT)
    complaint = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130
    assert "Traceback" not in complaint
    assert " ".join(complaint.split()).startswith("Stopped after update")
    assert checkpoint.latest(tmp_path / "run" / "checkpoints")


@pytest.mark.timeout(180)
def test_an_interrupted_run_leaves_no_worker_behind(recipe: MakeRecipe, tmp_path: Path) -> None:
    made = recipe("rltf", "run", "run.updates=100000", "run.eval_every=0", "env.sandbox=auto")
    process = start(made, tmp_path)
    metrics = tmp_path / "run" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and b"reward" in metrics.read_bytes(), process)
    workers = descendants(process.pid)
    assert workers  # there was something to leave behind
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    deadline = time.monotonic() + 20
    while alive := [pid for pid in workers if is_alive(pid)]:
        assert time.monotonic() < deadline, f"left behind: {alive}"
        time.sleep(0.02)


def descendants(pid: int) -> list[int]:
    parents = {int(p.name): stat(int(p.name))[1] for p in Path("/proc").iterdir() if p.name.isdigit()}
    found, left = [], [pid]
    while left:
        children = [child for child, parent in parents.items() if parent == left[-1]]
        left.pop()
        found += children
        left += children
    return found


def stat(pid: int) -> tuple[str, int]:
    """State and parent of a process; of one that is gone, ("X", 0)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "X", 0
    return fields[0], int(fields[1])


def is_alive(pid: int) -> bool:
    return stat(pid)[0] not in "XZ"


# --------------------------------------------------------------------------------------------------------- run folders


def test_what_a_run_folder_holds(recipe: MakeRecipe, tmp_path: Path) -> None:
    made = recipe("rltf", "run")
    summary = train.train(made)
    out = tmp_path / "run"
    names = {"recipe.toml", "metrics.jsonl", "evaluations.json", "samples.jsonl", "tensorboard"}
    names |= {"checkpoints", "policy", "summary.json", ".lock"}
    assert {p.name for p in out.iterdir()} == names
    assert json.loads((out / "summary.json").read_text()) == summary
    assert list(summary["evaluations"]) == ["0", "4", "8"]
    assert summary["dataset"] == "procedural"
    assert summary["data_digest"]
    assert (summary["seed"], summary["updates"], summary["recipe"]) == (0, 8, made.digest)
    assert summary["versions"]["torch"] == version("torch")
    again = read(out / "recipe.toml")
    assert again == made
    assert train.train(again) == summary  # the resolved recipe continues the run that wrote it


def test_a_policy_half_saved_is_not_that_of_a_finished_run(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(self: causal.CausalPolicy, folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(causal.CausalPolicy, "save", cut_off)
        with pytest.raises(KeyboardInterrupt):
            train.train(recipe("supervised", "run", "run.updates=2"))
    with pytest.raises(MissingData, match="finished run"):
        finished(tmp_path / "run")
    train.train(recipe("supervised", "run", "run.updates=2"))
    assert finished(tmp_path / "run").policy["kind"] == "causal"


def test_a_folder_of_another_recipe_is_left_alone(recipe: MakeRecipe, tmp_path: Path) -> None:
    train.train(recipe("supervised", "run", "run.updates=2"))
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    with pytest.raises(DataError, match=r"another .*run\.out=FOLDER"):
        train.train(recipe("supervised", "run", "run.updates=2", "agent.batch_size=5"))
    with pytest.raises(DataError, match="another"):
        train.train(recipe("rltf", "run", "run.updates=2"))
    assert before == {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}


def test_fewer_updates_than_were_done_are_refused(recipe: MakeRecipe) -> None:
    train.train(recipe("supervised", "run", "run.updates=4"))
    with pytest.raises(DataError, match=r"at most run\.updates=2 updates, got 4"):
        train.train(recipe("supervised", "run", "run.updates=2"))


def test_two_runs_do_not_write_into_one_folder(recipe: MakeRecipe, tmp_path: Path) -> None:
    made, out = recipe("supervised", "run", "run.updates=1"), tmp_path / "run"
    with folders.exclusive(out):
        (out / ".recipe.toml.1.tmp").write_text("being written")
        with pytest.raises(UsageError, match=r"one run, got a second .*run\.out=FOLDER"):
            train.train(made)
        assert {p.name for p in out.iterdir()} == {".lock", ".recipe.toml.1.tmp"}
    train.train(made)


HOLDER = """
import subprocess, sys
from pathlib import Path
from agents.running import folder as folders
from agents.running.panel import Screen
with folders.exclusive(Path(sys.argv[1])):
    child = [sys.executable, "-c", "import time; time.sleep(600)"]
    print(subprocess.Popen(child, stdout=subprocess.DEVNULL, close_fds=False).pid, flush=True)
    sys.stdin.read()
"""


def test_a_killed_run_leaves_no_lock_nor_do_its_children_keep_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    pipe, where = subprocess.PIPE, Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=where, stdin=pipe, stdout=pipe) as process:
        assert process.stdout
        child = int(process.stdout.readline())
        try:
            with pytest.raises(UsageError, match="one run"), folders.exclusive(tmp_path):
                pass
            process.kill()
            process.wait(timeout=60)
            with folders.exclusive(tmp_path):
                assert is_alive(child)
        finally:
            os.kill(child, signal.SIGKILL)


def test_without_locks_a_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with folders.exclusive(tmp_path), folders.exclusive(tmp_path):
        assert (tmp_path / folders.LOCK).exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_disk_that_fills_up_loses_nothing_that_was_saved(recipe: MakeRecipe, tmp_path: Path) -> None:
    train.train(recipe("rltf", "whole"))
    made, out = recipe("rltf", "run"), tmp_path / "run"
    (out / "checkpoints").mkdir(parents=True)
    blocked = out / "checkpoints" / f".step-000004.pt.{os.getpid()}.tmp"

    save = checkpoint.save

    def late(folder: Path, step: int, state: Mapping[str, Any]) -> Path:
        if step == 4:
            blocked.symlink_to("/dev/full")
        return save(folder, step, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", late)
        with pytest.raises(DataError, match=r"full disk.*start the same command again"):
            train.train(made)
    assert [p.name for p in (out / "checkpoints").iterdir()] == ["step-000002.pt"]
    train.train(made)
    assert_same_run(tmp_path / "whole", out)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_disk_that_is_full_for_the_metrics_says_so(recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def full(path: Path, done: int) -> Iterator[Any]:
        with open("/dev/full", "a", buffering=1) as file:
            yield file

    monkeypatch.setattr(folders, "_log", full)
    with pytest.raises(DataError, match="full disk"):
        train.train(recipe("supervised", "run"))


# -------------------------------------------------------------------------------------------------------------- errors


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
    assert told.index("update     3") < told.index("after 3 updates")  # the last one, whatever the rhythm
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
