"""`python -m benchmarks.speed.ray`: the judge behind Ray beside the same judge asked directly, taking turns in one run.

A cluster of `--nodes` nodes on this machine, which share `--workers` workers, judges the same
programs as a local judge with as many; best of `--repeat` rounds. The figures are this machine's:
quote the ratio. The exit status is 1 if the cluster is below `--least` of the local judge. Needs Ray
(`pip install 'rltf[ray]'`).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console

from benchmarks.speed.grading import Row, race
from benchmarks.speed.serve import WARM, jobs, table, timer
from rltf_env import sandbox
from rltf_env.cluster import QUIET
from rltf_env.command import Parser, guarded, leave
from rltf_env.errors import UsageError


@contextlib.contextmanager
def cluster(nodes: int, workers: int) -> Iterator[None]:
    """A cluster of this machine, to which this process is attached."""
    os.environ.update(QUIET)
    try:
        ray: Any = importlib.import_module("ray")
        utils: Any = importlib.import_module("ray.cluster_utils")
    except ImportError as error:
        raise UsageError(f"This measurement needs Ray ({error}): pip install 'rltf[ray]'.") from error
    node = {"num_cpus": workers, "node_ip_address": "127.0.0.1", "object_store_memory": 100 << 20}
    made = utils.Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    for _ in range(nodes - 1):
        made.add_node(**node)
    ray.init(address=made.address, logging_level=logging.ERROR, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()
        made.shutdown()


def measure(asked: argparse.Namespace) -> list[Row]:
    """Programs a second of both ways."""
    pairs, warm = jobs(asked.programs), jobs(WARM, "warm")
    share = max(asked.workers // asked.nodes, 1)
    with cluster(asked.nodes, share), contextlib.ExitStack() as stack:
        far = stack.enter_context(sandbox.load("ray", workers=share, batch=asked.batch, cache=1))
        near = stack.enter_context(sandbox.load(workers=share * asked.nodes, cache=1))
        ways = {"local judge": near, f"Ray, {asked.nodes} nodes, batches of {asked.batch}": far}
        while len(far.hosts) < asked.nodes:
            list(far.map(warm))
        for opened in ways.values():
            list(opened.map(warm))
        return race({name: timer(opened, pairs) for name, opened in ways.items()}, len(pairs), asked.repeat)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status."""
    return guarded(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    parser = Parser(prog="python -m benchmarks.speed.ray", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2, help="of the local judge, and of all nodes together")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--programs", type=int, default=2000, help="of a round")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--least", type=float, default=0.9, help="share of the local judge's speed that will do")
    asked = parser.parse_args(arguments)
    rows = measure(asked)
    share = rows[1].rate / rows[0].rate
    Console().print(table(rows))
    print(f"Behind Ray, {share:.0%} of the local judge's programs a second are judged.")
    return 0 if share >= asked.least else 1


if __name__ == "__main__":
    leave(main())
