"""Gymnasium's ids. `import rltf_env` registers them; `gym.make("rltf_env:RLTF-MBPP-v0")` does both at once.

No split is named: each dataset's own default is train, or test where there is no other, and a list of problems is taken whole.
Everything in a spec is plain JSON, so `gym.spec(id).to_json()` remakes the same environment elsewhere. A change of behaviour
bumps the `-vN` of the id.

`max_episode_steps` stays unset on purpose: the environment cuts a program off itself, after `max_program_tokens` tokens, and
judges it. To shorten programs pass `max_program_tokens=`. `max_episode_steps=` does it too, and the program is judged (`_gym.py`);
but Gymnasium's wrapper then reports an end-of-sequence on the last allowed token as both terminated and truncated.
"""

from __future__ import annotations

from typing import Any

import gymnasium

# Room in tokens of the default tokenizer, bytes: every prompt of every split fits, and every reference solution of the fixed
# sets, with what is given and the end token. Longest prompt / longest reference, measured: MBPP 4,332 / 1,332 (both in test;
# in train 916 / 909), HumanEval 0 (its prompt is code that is given) / 1,994, procedural up to depth 6: 400 / 484. APPS
# statements have no bound: they lose their end. RLTF's own limits there, 800 + 512 BPE tokens, are some 2,400 + 1,500 bytes.
ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "RLTF-APPS-v0": {
        "dataset": "apps",
        "max_prompt_tokens": 4096,
        "max_program_tokens": 2048,
        "on_long_prompt": "truncate",
    },
    "RLTF-MBPP-v0": {"dataset": "mbpp", "max_prompt_tokens": 4608, "max_program_tokens": 1536},
    "RLTF-HumanEval-v0": {
        "dataset": "humaneval",
        "max_prompt_tokens": 2048,
        "max_program_tokens": 2560,
    },
    "RLTF-Procedural-v0": {
        "dataset": "procedural",
        "max_prompt_tokens": 512,
        "max_program_tokens": 512,
    },
}


# The twins of each id: `RLTF-MBPP-Text-v0` takes whole programs as text, `RLTF-MBPP-Repair-v0` gives three tries at each problem.
TWINS: dict[str, dict[str, Any]] = {"Text": {}, "Repair": {"max_turns": 3}}


def specs() -> dict[str, dict[str, Any]]:
    """What Gymnasium is told of each id, twins included."""
    token = {"entry_point": "rltf_env.env:UnitTestEnv", "vector_entry_point": "rltf_env.vector:UnitTestVectorEnv"}
    entries = {id: {**token, "kwargs": kwargs} for id, kwargs in ENVIRONMENTS.items()}
    for id, kwargs in ENVIRONMENTS.items():
        name, version = id.rsplit("-", 1)
        for twin, more in TWINS.items():
            entries[f"{name}-{twin}-{version}"] = {"entry_point": "rltf_env.text:TextEnv", "kwargs": kwargs | more}
    return entries


def register() -> None:
    """Makes the ids known to Gymnasium; a second call changes nothing."""
    for id, spec in specs().items():
        if id not in gymnasium.registry:
            gymnasium.register(id, **spec)
