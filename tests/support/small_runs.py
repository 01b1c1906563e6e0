"""Recipes of small runs, one for each kind of agent, and a judge that goes by a rule."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

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
    "rlcf": """
[agent]
kind = "rlcf"
problems = 3
samples_per_problem = 2
batch_size = 4
epochs = 2
kl_target = 0.01
optimiser = { lr = 1e-2, warmup = 2 }
discriminator = { where = "all", updates = 2, batch_size = 4, generations = 2, optimiser = { lr = 1e-2, warmup = 0 } }
""",
    "supervised": """
[agent]
kind = "supervised"
batch_size = 4
optimiser = { lr = 1e-2, warmup = 2 }
""",
}
OVERRIDES = {
    "rlcf": [
        "env.sandbox=static",
        "env.reward=coarse+fine",
        "env.reward_options={ coarse = { passed = 0.0 } }",
        'eval.sandbox="judge_by_rule:load"',
    ],
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


def place_judge(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str = JUDGE) -> None:
    """Puts the judge into a folder to be imported from, whatever another test has imported under its name."""
    folder.mkdir(exist_ok=True)
    (folder / "judge_by_rule.py").write_text(source)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "judge_by_rule", raising=False)
