"""`python -m benchmarks.freeze SUITE`: freezes a suite by the digest of its data, for whoever has them.

    python -m benchmarks.freeze humaneval-plus --root DATA
    python -m benchmarks.freeze livecodebench-2025-04 --like livecodebench-2025-02-2025-05 \\
        --option start_date=2025-04-01 --option end_date=2025-04-30

It loads the problems, says how many there are and what was left out, and writes `benchmarks/frozen/SUITE.json`. From then on the
suite is one like the others: evaluation refuses other data, and records on it are ranked. A pull request with that file
shares it. `--like` makes a suite of another's protocol with other options of the dataset, such as another window of dates.
`--lm-eval FILE` and `--inspect` hand the protocol to another harness instead, whose log becomes a record (`--agent log:FILE`).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from benchmarks import records, suites
from benchmarks.suites import Suite
from rltf_env import datasets, plugins
from rltf_env.adapters import lm_eval
from rltf_env.command import Parser, guarded, leave
from rltf_env.errors import UsageError


def chosen(name: str, like: str | None, options: dict[str, Any], about: str | None) -> Suite:
    """The suite that is to be frozen, without a digest.

    Raises:
        UsageError: options for a suite that has its own.
    """
    if like is None:
        if options or about:
            raise UsageError(f"Expected options with --like, for a suite of your own, got them for {name!r}.")
        return suites.get(name)
    if name in suites.SUITES:
        raise UsageError(f"Expected a new name with --like, got {name!r}, which is a suite.")
    base = suites.get(like)
    words = about or f"As {base.id}, with " + ", ".join(f"{key}={value}" for key, value in options.items()) + "."
    return dataclasses.replace(base, name=name, version=1, options={**base.options, **options}, about=words, digest="")


def freeze(suite: Suite, folder: Path, root: str | None = None) -> tuple[Path, dict[str, Any], tuple[Any, ...]]:
    """The file that freezes a suite, what it holds, and what the dataset left out.

    Raises:
        DataError: the suite was frozen with other data.
    """
    where = {} if root is None else {"root": root}
    loaded = datasets.load(suite.dataset, split=suite.split, **where, **suite.options)
    digest = datasets.digest(loaded)
    if suite.digest and suite.digest != digest:
        suites.problems(suite, root)  # says so
    content = suites.written(suite, digest, len(loaded))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{suite.name}.json"
    records.write_json(path, content)
    return path, content, loaded.skipped


# -------------------------------------------------------------------------------------------- other harnesses


def as_lm_eval(suite: Suite, prompt: str = "chat") -> str:
    """The suite as a YAML file of lm-evaluation-harness."""
    sampling = {"temperature": suite.temperature, "top_p": suite.top_p} if suite.temperature else {}
    generation = {"until": list(suite.stop), "max_gen_toks": suite.max_tokens, "do_sample": suite.temperature > 0}
    return lm_eval.as_yaml(
        suite.dataset,
        name=f"rltf_{suite.name}",
        split=suite.split,
        digest=suite.digest,
        samples=suite.samples,
        ks=suite.ks,
        prompt=prompt,
        generation=generation | sampling,
        judge_options={"sandbox_options": dict(suite.judge)},
        **suite.options,
    )


def as_inspect(suite: Suite) -> str:
    """The command that runs the suite in Inspect AI, but for the model."""
    task: dict[str, Any] = {"dataset": suite.dataset, "split": suite.split, "digest": suite.digest}
    task |= {"samples": suite.samples, "k": list(suite.ks), "dataset_options": dict(suite.options)}
    task |= {"judge_options": {"sandbox_options": dict(suite.judge)}}
    words = ["inspect", "eval", "rltf/unit_tests"]
    for name, value in task.items():
        if value not in ("", {}):
            words += ["-T", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    sampling = {"temperature": suite.temperature, "top-p": suite.top_p, "max-tokens": suite.max_tokens}
    words += [word for name, value in sampling.items() for word in (f"--{name}", str(value))]
    words += ["--stop-seqs", ",".join(suite.stop)] if suite.stop else []
    return shlex.join(words)


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = Parser(prog="python -m benchmarks.freeze", description=(__doc__ or "").split("\n\n")[0])
    made.add_argument("suite", help=f"one of {', '.join(suites.SUITES)}; or a new name, with --like")
    made.add_argument("--like", metavar="SUITE", help="take the protocol of this suite")
    made.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="of the dataset, with --like")
    made.add_argument("--about", help="what the new suite is, in a sentence")
    made.add_argument("--root", help="the data folder (default: $RLTF_DATA)")
    made.add_argument(
        "--out", type=Path, default=suites.FROZEN, help="where the file goes (default: benchmarks/frozen)"
    )
    made.add_argument(
        "--lm-eval", type=Path, metavar="FILE", help="write a task of lm-evaluation-harness; freeze nothing"
    )
    made.add_argument("--prompt", default="chat", choices=lm_eval.PROMPTS, help="of that task")
    made.add_argument("--inspect", action="store_true", help="print a command of Inspect AI; freeze nothing")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. 0: done; 2: an error of the user's making."""
    asked = parser().parse_args(arguments)
    return guarded(lambda: _run(asked, Console(soft_wrap=True)))


def _run(asked: argparse.Namespace, console: Console) -> int:
    suite = chosen(asked.suite, asked.like, plugins.options(asked.option), asked.about)
    if asked.inspect:
        console.print(as_inspect(suite), markup=False, highlight=False)
        return 0
    if asked.lm_eval:
        asked.lm_eval.parent.mkdir(parents=True, exist_ok=True)
        records.write_bytes(asked.lm_eval, as_lm_eval(suite, asked.prompt).encode())
        console.print(f"{escape(str(asked.lm_eval))}: task rltf_{suite.name}", highlight=False)
        return 0
    path, content, skipped = freeze(suite, asked.out, asked.root)
    console.print(f"{suite.id}: {content['problems']} problems, digest {content['digest']}", highlight=False)
    if skipped:
        example = escape(": ".join(map(str, skipped[0])))
        console.print(f"{len(skipped)} were left out by the reader, such as {example}", highlight=False)
    console.print(f"{escape(str(path))} freezes it.", highlight=False)
    return 0


if __name__ == "__main__":
    leave(main())
