"""OpenEnv: our problems and judge as an environment server.

    app = openenv.app("mbpp", split="train", reward="coarse")      a FastAPI application
    uvicorn.run(app, host="127.0.0.1", port=8000)

    with GenericEnvClient(base_url="http://127.0.0.1:8000").sync() as env:      any client of OpenEnv's
        result = env.reset(seed=0)                                 the prompt: result.observation["prompt"]
        result = env.step({"answer": "...```python ..."})          result.reward, result.done

An action is a whole answer in words, of which the program is judged; an episode is one problem and
`turns` answers to it. Where the judge cannot decide, the reward is None and the episode is over: a
number would say something about the program. What each line earned goes along in `metadata`.

OpenEnv is imported when a class or an application of it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rltf_env import prompts
from rltf_env.adapters import judge
from rltf_env.core import Feedback, Problem, Program, line_starts
from rltf_env.env import UnitTestEnv
from rltf_env.errors import SandboxError, UsageError

NAME = "rltf"  # in the routes of OpenEnv's tasks: /rltf/splits, /rltf/task
SESSIONS = 64
FAILED = "judge_failed"  # of an observation's metadata: the judge said nothing
_CLASSES = ("Answer", "Judged", "Progress", "UnitTestEnvironment")


class Episodes:
    """The methods of the environment; `UnitTestEnvironment` is this and OpenEnv's `Environment`.

    Sessions have an object each and share the judge of the process.

    Args:
        dataset, split, root: of `datasets.load`; the problems must be a list that ends.
        turns: answers to a problem in an episode. A right one ends it.
        dataset_options: further options of the dataset.
        problems: the dataset's, where they are loaded already.
        options: of `UnitTestEnv`, such as `reward` and `sandbox`.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(
        self,
        dataset: str,
        split: str | None = None,
        root: str | None = None,
        *,
        turns: int = 1,
        dataset_options: dict[str, Any] | None = None,
        problems: Sequence[Problem] = (),
        **options: Any,
    ) -> None:
        super().__init__()
        if turns < 1:
            raise UsageError(f"Expected turns >= 1, got {turns}.")
        where = {name: value for name, value in (("split", split), ("root", root)) if value is not None}
        self.problems = problems or judge.problems(dataset, **where, **(dataset_options or {}))
        if dataset_options:
            options["dataset_options"] = dataset_options
        self._opening = {"dataset": dataset, **where, **options}
        self.split, self.turns = split or "problems", turns
        self._rng = np.random.default_rng()
        self._problem: Problem | None = None
        self._episode, self._steps, self._done = "", 0, False

    # -------------------------------------------------------------------------------------------- an episode

    def reset(self, seed: int | None = None, episode_id: str | None = None, **choice: Any) -> Any:
        """Begins with a problem: the one that is named, or a drawn one.

        Args:
            seed: of the draw, and of all that follow.
            episode_id: kept in the state.
            choice: `problem`, an id; or `index`, a place among the problems, and perhaps `split`.

        Raises:
            UsageError, UnknownName: there is no such problem.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._problem = self._chosen(**choice)
        self._episode, self._steps, self._done = episode_id or "", 0, False
        return self._observation(self._problem, prompt=prompts.render(self._problem) + self._problem.prefix)

    def _chosen(self, problem: str = "", index: int | None = None, split: str | None = None, **more: Any) -> Problem:
        if more:
            raise UsageError(f"Expected problem, index or split to choose a problem by, got {', '.join(sorted(more))}.")
        if split is not None:
            self._check_split(split)
        if problem:
            return judge.find(self._env(), problem)
        if index is None:
            return self.problems[int(self._rng.integers(len(self.problems)))]
        if type(index) is not int or not 0 <= index < len(self.problems):
            raise UsageError(f"Expected an index from 0 to {len(self.problems) - 1}, got {index!r}.")
        return self.problems[index]

    def step(self, action: Any, timeout_s: float | None = None, **more: Any) -> Any:
        """Judges an answer.

        Args:
            action: an `Answer`. Its `problem` names one where there is no session, as in POST /step.
            timeout_s: seconds after which there is no verdict.

        Raises:
            UsageError: no problem is asked, or the episode is over.
        """
        problem = self._asked(action)
        self._steps += 1
        env = self._env()
        program, future = judge.ask(env, problem, action.answer)
        try:
            result = judge.Result(problem, program, future.result(timeout_s))
        except (SandboxError, TimeoutError):
            future.cancel()
            self._done = True
            return self._observation(problem, done=True, metadata={FAILED: True})
        self._done = result.passed or self._steps >= self.turns
        return self._observation(
            problem, reward=result.reward, done=self._done, failure=result.failure, passed=result.passed,
            pass_ratio=result.notes["pass_ratio"], metadata=_credit(result.judgement.feedback, program),
        )  # fmt: skip

    def _asked(self, action: Any) -> Problem:
        if action.problem:
            self._problem, self._steps, self._done = judge.find(self._env(), action.problem), 0, False
        if self._problem is None:
            raise UsageError("Expected reset() before an answer, or the answer's problem. POST /step has no session.")
        if self._done:
            raise UsageError("Expected reset() after the end of an episode, got another answer.")
        return self._problem

    def _observation(self, problem: Problem, **fields: Any) -> Any:
        return _made("Judged")(problem=problem.id, **fields)

    @property
    def state(self) -> Any:
        """The episode's id, the answers so far, the problem's id."""
        problem = "" if self._problem is None else self._problem.id
        return _made("Progress")(episode_id=self._episode or None, step_count=self._steps, problem=problem)

    def close(self) -> None:
        """Nothing: the judge is shared by all sessions of the process."""

    def _env(self) -> UnitTestEnv:
        return judge.opened(**self._opening)

    # --------------------------------------------------------------------------------------- OpenEnv's tasks

    def list_splits(self) -> list[str]:
        """The one split that there is."""
        return [self.split]

    def num_tasks(self, split: str) -> int:
        """How many problems."""
        self._check_split(split)
        return len(self.problems)

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """A problem's index, id and prompt. Raises IndexError."""
        self._check_split(split)
        if not 0 <= index < len(self.problems):
            raise IndexError(index)
        return self._task(index)

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> list[dict[str, Any]]:
        """Problems from `start` to before `stop`."""
        self._check_split(split)
        return [self._task(index) for index in range(*slice(start, stop).indices(len(self.problems)))]

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """All problems."""
        return self.get_task_range(split)

    def _task(self, index: int) -> dict[str, Any]:
        problem: Problem = self.problems[index]
        return {"id": problem.id, "index": index, "prompt": prompts.render(problem) + problem.prefix}

    def _check_split(self, split: str) -> None:
        if split != self.split:
            raise UsageError(f"Expected the split {self.split!r}, got {split!r}.")


def _credit(feedback: Feedback, program: Program) -> dict[str, Any]:
    """The whole program, and what each of its lines earned: together the reward."""
    starts: Sequence[int] = line_starts(program.text)
    lines = np.zeros(max(len(starts), 1))
    places = np.searchsorted(np.asarray(starts), program.starts, side="right") - 1
    np.add.at(lines, np.clip(places, 0, len(lines) - 1), np.asarray(feedback.rewards, np.float64))
    return {"program": program.text, "line_rewards": [round(float(each), 6) for each in lines]}


# ----------------------------------------------------------------------------------------------- OpenEnv's classes


def app(dataset: str, *, sessions: int = SESSIONS, **options: Any) -> Any:
    """The server, a FastAPI application: OpenEnv's routes (/reset, /step, /state, /ws, /schema, tasks) over our problems.

    It asks for no token: bind it to loopback, or put a proxy before it that does.

    Args:
        dataset: of `datasets.load`.
        sessions: that may be open at a time, each over a WebSocket of its own.
        options: of `Episodes`.
    """
    from openenv.core.env_server.http_server import create_fastapi_app  # pyright: ignore[reportMissingImports]

    environment = _made("UnitTestEnvironment")
    first = environment(dataset, **options)  # what is wrong with the problems is said now, not to the first client
    return create_fastapi_app(
        lambda: environment(dataset, problems=first.problems, **options),  # an object for each session
        _made("Answer"),
        _made("Judged"),
        env_name=NAME,
        max_concurrent_envs=sessions,
        state_cls=_made("Progress"),
    )


def _made(name: str) -> Any:
    """A class of ours over one of OpenEnv's, made once."""
    if name not in globals():
        globals().update(_classes())
    return globals()[name]


def _classes() -> dict[str, Any]:
    from openenv.core.env_server.interfaces import Environment  # pyright: ignore[reportMissingImports]
    from openenv.core.env_server.types import Action, Observation, State  # pyright: ignore[reportMissingImports]

    def fields(name: str, text: str, base: Any, **defaults: tuple[Any, Any]) -> Any:
        kinds = {field: kind for field, (kind, _) in defaults.items()}
        values = {field: value for field, (_, value) in defaults.items() if value is not ...}
        return type(name, (base,), {"__annotations__": kinds, "__doc__": text, "__module__": __name__, **values})

    return {
        "Answer": fields(
            "Answer", "An answer in words.", Action, answer=(str, ...), problem=(str, "")
        ),
        "Judged": fields(
            "Judged", "A problem, or what the judge says of an answer to it.", Observation, problem=(str, ""),
            prompt=(str, ""), failure=(str, ""), passed=(bool | None, None), pass_ratio=(float | None, None),
        ),
        "Progress": fields("Progress", "Where an episode stands.", State, problem=(str, "")),
        "UnitTestEnvironment": type(
            "UnitTestEnvironment", (Episodes, Environment), {"__doc__": Episodes.__doc__, "__module__": __name__}
        ),
    }  # fmt: skip


def __getattr__(name: str) -> Any:
    """`Answer`, `Judged`, `Progress` and `UnitTestEnvironment`, made when they are asked for."""
    if name in _CLASSES:
        return _made(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
