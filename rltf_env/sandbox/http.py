"""The judge of a service (`rltf serve`), on this machine or others. Standard library only.

    sandbox.load("http", urls="http://judge-1:8080 http://judge-2:8080")

A job is ours until its verdict is here: what a service did not answer is handed out again, to
another one if there is one, and the first verdict settles. Judging is pure and a service remembers
its verdicts, so a program whose answer was lost on the way is not run anew. No answer of a service
is ever a verdict but a verdict: all else is tried again, and in the end a `SandboxError`.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from rltf_env.errors import UnknownName, UsageError
from rltf_env.sandbox.client import RemoteSandbox, check_numbers
from rltf_env.sandbox.dispatch import Dispatcher
from rltf_env.sandbox.services import Service

URLS, TOKEN = "RLTF_JUDGE_URL", "RLTF_JUDGE_TOKEN"


def load(
    urls: str | Sequence[str] = "",
    token: str = "",
    *,
    batch: int = 64,
    ahead: int = 256,
    connections: int = 16,
    pending: int = 10_000,
    tries: int = 3,
    patience: float = 30.0,
    wait: float = 300.0,
    require: str = "none",
    **expected: Any,
) -> RemoteSandbox:
    """The judge of one or more services.

    Limits of programs, workers and the other options of a judge are the service's own (`rltf serve --set KEY=VALUE`).

    Args:
        urls: of the services, in a list or with blanks between them; without, $RLTF_JUDGE_URL.
        token: what they ask for; without, $RLTF_JUDGE_TOKEN. A token in a URL goes before it.
        batch: programs in a request, at most.
        ahead: programs that a service may have been handed.
        connections: requests at a time.
        pending: programs that may wait here; beyond that `submit` blocks.
        tries: connections that may be lost over a program before it is given up.
        patience: seconds of silence after which a connection counts as lost.
        wait: seconds without any service before all that waits is given up.
        require: the weakest level of isolation that will do, one of `isolation.LEVELS`.
        expected: options of a judge (`trace=True`, `case_seconds=2`) that the services must have been started with:
            what a reward needs is asked for in this way.

    Raises:
        UnknownName: an option that no judge of a service has.
        UsageError: no URL, a wrong token, services that differ or were started with other options than `expected`, or an
            option of no use.
        SandboxError: no service answered for `wait` seconds, or the isolation is too weak.
    """
    names = (urls or os.environ.get(URLS, "")).split() if isinstance(urls, str) else list(urls)
    if not names:
        raise UsageError(
            f"Expected the URL of a service, got none. Start one with `rltf serve`, then pass urls= or set {URLS}."
        )
    numbers: dict[str, Any] = {
        "batch": batch,
        "ahead": ahead,
        "connections": connections,
        "pending": pending,
        "tries": tries,
    }
    check_numbers(numbers, {"patience": patience, "wait": wait}, require)
    hosts = [Service(name, token or os.environ.get(TOKEN, "")) for name in names]
    opened = RemoteSandbox(Dispatcher(hosts, **numbers, patience=patience, wait=wait), require)
    try:
        _check_expected(expected, opened.options)
    except UsageError:
        opened.close()
        raise
    return opened


def _check_expected(expected: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Raises UnknownName or UsageError on an option that the services do not have."""
    own = [name for name, each in inspect.signature(load).parameters.items() if each.kind is not each.VAR_KEYWORD]
    for name, value in expected.items():
        if name not in options:
            hint = "How many workers judge, and what they remember, is the service's: see rltf serve --help."
            raise UnknownName("option of sandbox 'http'", name, (*own, *options), hint=hint)
        if options[name] != (list(value) if isinstance(value, tuple) else value):
            raise UsageError(
                f"Expected a service with {name} = {value!r}, got {options[name]!r}. "
                f"Start it with rltf serve --set {name}={json.dumps(value, default=str)}."
            )
