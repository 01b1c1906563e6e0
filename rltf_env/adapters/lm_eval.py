"""lm-evaluation-harness: our problems as a task with pass@k, judged by our judge. Nothing of lm-eval is imported.

    simple_evaluate(model=..., tasks=[task("humaneval", digest="151f7846", samples=20, ks=(1, 10))], ...)
    (folder / "humaneval.yaml").write_text(as_yaml("humaneval", digest="151f7846"))      lm-eval --include_path folder

    documents   the problems, after a look at their digest, as a data set
    programs    a filter: the program of each answer, handed to the judge at once with all the others
    pass_at_k   a metric of one document: pass@k (Chen et al. 2021, arXiv 2107.03374, eq. 1) over what was judged
    mean        an aggregation: over the documents that have the figure

A program that could not be judged is no sample: pass@k is over the others, `unjudged` counts it, and
a document with fewer than k judged programs has no pass@k. A run of which nothing was judged has NaN.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from rltf_env import prompts
from rltf_env.adapters import judge
from rltf_env.core import Judgement, Outcome, Problem
from rltf_env.errors import SandboxError, UnknownName, UsageError

SPLIT = "test"
PROMPTS = ("chat", "text")
# Verdicts to come, by id and program.
_asked: defaultdict[tuple[str, str], deque[Future[Judgement]]] = defaultdict(deque)


# ------------------------------------------------------------------------------------------------ the task


def task(
    dataset: str,
    *,
    name: str = "",
    split: str | None = None,
    digest: str = "",
    samples: int = 1,
    ks: int | Sequence[int] = (1,),
    prompt: str = "chat",
    generation: Mapping[str, Any] | None = None,
    judge_options: Mapping[str, Any] | None = None,
    **dataset_options: Any,
) -> dict[str, Any]:
    """The task's configuration, as `simple_evaluate(tasks=[...])` takes it.

    Args:
        dataset, split, dataset_options: of `datasets.load`.
        digest: the first digits that the problems' digest must have; "" asks nothing.
        samples: answers for each problem. ks: the k of each pass@k, one or several.
        prompt: `chat`, a user message (with `--apply_chat_template`), or `text`, which a base model goes on with.
        generation: lm-eval's `generation_kwargs`: `until`, `max_gen_toks`, `temperature`, ...
        judge_options: of `UnitTestEnv`, such as `{"sandbox_options": {"case_seconds": 4.0}}`.
    """
    if prompt not in PROMPTS:
        raise UnknownName("kind of prompt", prompt, PROMPTS)
    ks = (ks,) if isinstance(ks, int) else ks
    if samples < 1 or not ks or not all(1 <= k <= samples for k in ks):
        raise UsageError(f"Expected samples of at least 1 and 1 <= k <= samples, got {samples} and {tuple(ks)}.")
    where = {"dataset": dataset, "split": split, "digest": digest, "prompt": prompt}
    where |= {"judge_options": dict(judge_options or {}), "dataset_options": dataset_options}
    return {
        "task": name or f"rltf_{dataset.replace('/', '_')}",
        "custom_dataset": documents,
        "dataset_kwargs": {key: value for key, value in where.items() if value},
        "output_type": "generate_until",
        "test_split": SPLIT,
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{id}}",
        "target_delimiter": "",
        "num_fewshot": 0,
        "repeats": samples,
        "generation_kwargs": {"until": [], "max_gen_toks": 512, "do_sample": False, **(generation or {})},
        "filter_list": [{"name": "judged", "filter": [{"function": "custom", "filter_fn": programs}]}],
        "metric_list": [{"metric": pass_at_k, "aggregation": mean, "higher_is_better": True, "k": list(ks)}],
        "metadata": {"version": 1.0},
    }


def as_yaml(dataset: str, **options: Any) -> str:
    """The same as the text of a YAML file, for `--include_path`; `options` are those of `task`."""
    return "".join(f"{name}: {_spelled(value)}\n" for name, value in task(dataset, **options).items())


def _spelled(value: Any) -> str:
    """A value on one line: JSON, which YAML contains, with the names of functions in between."""
    if callable(value):
        return f"!function {__name__}.{value.__name__}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_spelled(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_spelled, value)) + "]"
    return json.dumps(value)


# -------------------------------------------------------------------------------------- what the task is made of


def documents(
    dataset: str,
    split: str | None = None,
    digest: str = "",
    prompt: str = "chat",
    judge_options: Mapping[str, Any] | None = None,
    dataset_options: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> dict[str, Any]:
    """A `datasets.Dataset` of the split `test`, a row a problem: `id`, `prompt`, and how it is found and judged again.

    Raises:
        DataError: the problems are not those of the digest.
    """
    from datasets import Dataset

    own = dict(dataset_options or {})
    loaded = judge.problems(dataset, split, digest=digest, **own)
    how = {"dataset": dataset, "split": split, "dataset_options": own, "reward": "coarse", **(judge_options or {})}
    text = json.dumps({name: value for name, value in how.items() if value not in (None, {})})
    rows = [{"id": problem.id, "prompt": _prompt(problem, prompt), "judge": text} for problem in loaded]
    return {SPLIT: Dataset.from_list(rows)}


def _prompt(problem: Problem, kind: str) -> str:
    if kind == "chat":
        return prompts.message(problem)["content"]
    return prompts.render(problem) + problem.prefix.rstrip()


def programs(resps: Sequence[Sequence[str]], docs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The program of each answer, as lm-eval will log it. All are with the judge by then: their verdicts are kept."""
    made = []
    for answers, doc in zip(resps, docs, strict=True):
        env = judge.opened(**_how(doc))
        problem = judge.find(env, doc["id"])
        asked = [judge.ask(env, problem, answer) for answer in answers]
        for program, future in asked:
            _asked[problem.id, program.text].append(future)
        made.append([program.text for program, _ in asked])
    return made


def _how(doc: Mapping[str, Any]) -> dict[str, Any]:
    """How the problem of a document is found and judged."""
    try:
        return {"dataset": json.loads(doc["judge"])["dataset"], **json.loads(doc["judge"])}
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"Expected a document made by {__name__}.documents, got {str(doc)[:60]!r}.") from error


def pass_at_k(
    references: Sequence[str], predictions: Sequence[Sequence[str]], k: int | Sequence[int]
) -> dict[str, float]:
    """`pass@k` of one document for each k, NaN where fewer than k programs were judged; and `unjudged`, a share, NaN of none.

    Args:
        references: the problem's id, alone.
        predictions: its programs, which went through the filter `programs`.
        k: one or several.

    Raises:
        UsageError: not one document, or programs that did not go through the filter.
    """
    if not len(references) == len(predictions) == 1:
        raise UsageError(
            f"Expected the id and the programs of one document, got {len(references)} ids and programs of {len(predictions)}."
        )
    (id,), (texts,) = references, predictions
    passed = [verdict for text in texts if (verdict := _passed(id, text)) is not None]
    figures = {f"pass@{each}": estimate(len(passed), sum(passed), each) for each in ([k] if isinstance(k, int) else k)}
    return {**figures, "unjudged": 1 - len(passed) / len(texts) if texts else math.nan}


def _passed(id: str, text: str) -> bool | None:
    """Whether a program passed; None: the judge failed twice."""
    if not _asked.get((id, text)):
        raise UsageError(
            f"Expected a program of {id!r} from the filter {__name__}.programs, got another: {text[:60]!r}."
        )
    try:
        return _asked[id, text].popleft().result().verdict.outcome is Outcome.PASSED
    except SandboxError:
        return None


def estimate(n: int, correct: int, k: int) -> float:
    """1 - C(n - correct, k) / C(n, k), exactly, rounded once; NaN for n < k."""
    every = math.comb(n, k)
    return (every - math.comb(n - correct, k)) / every if n >= k else math.nan


def mean(items: Sequence[float]) -> float:
    """The mean of the documents that have the figure; NaN of none."""
    judged = [item for item in items if not math.isnan(item)]
    return math.fsum(judged) / len(judged) if judged else math.nan
