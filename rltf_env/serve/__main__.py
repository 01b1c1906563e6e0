"""`rltf serve [--host HOST] [--port PORT] [--dataset NAME[:SPLIT]] ...`: the judge and the problems over HTTP.

Without options the service listens on loopback alone, and needs no token. Where other machines can reach it, a client
needs the token, from the variable RLTF_JUDGE_TOKEN or a file. The first line of the output says where the service
listens. After SIGTERM or Ctrl-C it answers what was asked, and ends; after a second Ctrl-C it does not wait for verdicts.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rltf_env import datasets, plugins
from rltf_env.command import Parser, at_least, guarded, leave
from rltf_env.core import Problem
from rltf_env.errors import RLTFError, UsageError
from rltf_env.sandbox.cage.isolation import LEVELS
from rltf_env.sandbox.pool.options import Options
from rltf_env.serve.settings import Settings

TOKEN = "RLTF_JUDGE_TOKEN"


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    made = Parser(prog="rltf serve", description=(__doc__ or "").split("\n\n", 1)[1])
    usual = Settings()
    made.add_argument("--host", default=usual.host, help="address to listen on (default: %(default)s)")
    made.add_argument("--port", type=at_least(0), default=usual.port, help="0 takes a free one (default: %(default)s)")
    made.add_argument("--token-file", type=Path, help=f"file that holds the token; else ${TOKEN}")
    made.add_argument("--dataset", action="append", default=[], metavar="NAME[:SPLIT]",
                      help="problems that may be named by id; may be repeated")  # fmt: skip
    made.add_argument("--reward", default=usual.reward, help="of /get_reward and /reward (default: %(default)s)")
    made.add_argument("--sandbox", default=usual.sandbox, help="which judge (default: %(default)s)")
    made.add_argument("--workers", type=at_least(0), default=0, help="judges side by side; 0: one for each processor")
    made.add_argument("--require", default="filtered", choices=LEVELS, help="weakest isolation that will do")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                      help="an option of the judge, such as case_seconds=2; may be repeated")  # fmt: skip
    made.add_argument(
        "--queue",
        type=at_least(1),
        default=usual.queue,
        help="programs that may wait or be judged (default: %(default)s)",
    )
    made.add_argument(
        "--body-mb", type=at_least(1), default=usual.body >> 20, help="most MiB of a request (default: %(default)s)"
    )
    made.add_argument(
        "--patience", type=float, default=usual.patience, help="most seconds for a program (default: %(default)s)"
    )
    made.add_argument("--drain", type=float, default=usual.drain, help="most seconds to end in (default: %(default)s)")
    return made


def settings(asked: argparse.Namespace) -> Settings:
    """What the service is told.

    Raises:
        UsageError, DataError: something of it cannot be.
    """
    options: dict[str, Any] = {"workers": asked.workers, "require": asked.require}
    options |= plugins.options(asked.set)
    if asked.sandbox in ("auto", "forkserver", "subprocess"):
        Options.check(asked.sandbox, options)
    return Settings(
        host=asked.host,
        port=asked.port,
        token=_token(asked.token_file),
        sandbox=asked.sandbox,
        options=options,
        problems=[problem for name in asked.dataset for problem in _problems(name)],
        reward=asked.reward,
        queue=asked.queue,
        body=asked.body_mb << 20,
        patience=asked.patience,
        drain=asked.drain,
    )


def _token(file: Path | None) -> str:
    if file is None:
        return os.environ.get(TOKEN, "").strip()
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise UsageError(f"Expected a file with the token, got {str(file)!r}: {error}.") from error
    if not text:
        raise UsageError(f"Expected a token in {str(file)!r}, got an empty file.")
    return text


def _problems(name: str) -> Sequence[Problem]:
    dataset, colon, split = name.rpartition(":")
    plain = not colon or "/" in split or dataset == "hub"
    return datasets.load(name) if plain else datasets.load(dataset, split)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 1 where the judge does not start, 2 where something is wrong with what was asked."""
    return guarded(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    asked = parser().parse_args(arguments)
    try:
        from rltf_env.serve import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("fastapi", "uvicorn", "starlette", "pydantic"):
            raise
        sys.stderr.write(f"rltf serve: needs FastAPI and uvicorn, got no {error.name}. pip install 'rltf[serve]'\n")
        return 2
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.WARNING)
    try:
        chosen = settings(asked)
        service = app.Service(chosen)
        opened = app.listen(chosen)
    except (RLTFError, OSError) as error:
        sys.stderr.write(f"rltf serve: {error}\n")
        return 2
    shown = "with a token" if chosen.token else "without a token, for this machine alone"
    opened.listen(128)  # so that whoever reads the next line may connect
    print(f"rltf serve: {app.url(opened)} {shown}, {len(chosen.problems)} problems", flush=True)
    return 0 if app.run(service, opened) else 1


if __name__ == "__main__":
    leave(main())
