"""Other people's environments behind one function each: `python envs.py MODULE WORK` prints seconds and right programs.

Run by `speed/env.py` with whatever interpreter has them installed; so it imports nothing of this project. WORK is a JSON
file of `inputs`, `outputs` (ten cases of standard input) and `programs`; each program is an episode.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from typing import Any

FENCED = "```python\n{}\n```"  # how both want their answers


def gem(work: dict[str, Any]) -> tuple[Any, Any]:
    """GEM's CodeEnv with two threads, and an episode in it."""
    from datasets import Dataset  # pyright: ignore[reportMissingImports]
    from gem.envs.code_env import CodeEnv  # pyright: ignore[reportMissingImports]

    tests = json.dumps({"inputs": work["inputs"], "outputs": work["outputs"]})
    rows = Dataset.from_list([{"problem": "Add the three smallest.", "tests": tests}])
    env = CodeEnv(dataset=rows, dataset_name="apps_local", max_workers=2)

    def episode(program: str) -> bool:
        env.reset()
        return env.step(FENCED.format(program))[1] == 1.0

    return env, episode


def skyrl_gym(work: dict[str, Any]) -> tuple[Any, Any]:
    """SkyRL-Gym's LiveCodeBench environment, made anew for each episode, as its trainer does."""
    import skyrl_gym  # pyright: ignore[reportMissingImports]

    pairs = zip(work["inputs"], work["outputs"], strict=True)
    truth = json.dumps([{"input": stdin, "output": right, "testtype": "stdin"} for stdin, right in pairs])

    def episode(program: str) -> bool:
        env = skyrl_gym.make("lcb", env_config={}, extras={"reward_spec": {"ground_truth": truth}})
        env.init([{"role": "user", "content": "Add the three smallest."}])
        return float(env.step(FENCED.format(program))["reward"]) == 1.0

    return None, episode


def main(name: str, path: str) -> dict[str, float]:
    """Seconds for all episodes, when everything is warm, and how many programs were found right."""
    with open(path) as file:
        work = json.load(file)
    with contextlib.redirect_stdout(io.StringIO()):
        _module, episode = {"gem": gem, "skyrl_gym": skyrl_gym}[name](work)
        episode(work["programs"][0])
        start = time.perf_counter()
        right = sum(map(episode, work["programs"]))
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "right": right}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], sys.argv[2])) + "\n")
