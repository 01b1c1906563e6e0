"""What a service is told, checked."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rltf_env.core import Problem, Sandbox
from rltf_env.errors import UsageError
from rltf_env.sandbox import check_runs

SECRET = 16  # characters that a token has at least


@dataclass(frozen=True)
class Settings:
    """How a service is run.

    Args:
        host: the address that it listens on. Anything but loopback needs a token.
        port: 0 takes a free one.
        token: what a client must show, as `Authorization: Bearer TOKEN` or as the password of
            Basic. "": nothing, which is for loopback alone.
        sandbox: the judge's name, as `sandbox.load` has it, or an open one, which stays open.
        options: the judge's options, with a name.
        problems: those that may be named by their id alone.
        reward: of `rltf_env.rewards`, for the routes that answer with a number.
        queue: programs that may be inside, waiting or being judged.
        waiting: requests that may wait to come in, on routes whose clients cannot be told to
            come again.
        body: bytes of a request.
        problem_bytes: bytes of the problems that clients have sent and that are remembered.
        upload: seconds that a body may take to come.
        patience: seconds after which a program that was not judged is given up.
        drain: seconds that requests may take to end once the service is told to.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str = ""
    sandbox: str | Sandbox = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    reward: str = "coarse"
    queue: int = 4096
    waiting: int = 4096
    body: int = 32 << 20
    problem_bytes: int = 256 << 20
    upload: float = 60.0
    patience: float = 300.0
    drain: float = 30.0

    def __post_init__(self) -> None:
        check_runs(self.sandbox, "a service, whose clients count programs that pass")
        for name in ("queue", "waiting", "body", "problem_bytes", "upload", "patience", "drain"):
            if not getattr(self, name) > 0:
                raise UsageError(f"Expected {name} to be a positive number, got {getattr(self, name)!r}.")
        if not 0 <= self.port <= 65535:
            raise UsageError(f"Expected a port from 0 (any that is free) to 65535, got {self.port}.")
        if not self.token and not is_loopback(self.host):
            raise UsageError(
                f"Expected a token to listen on {self.host!r}, got none: who reaches the service may run programs. "
                "Put one into the variable RLTF_JUDGE_TOKEN or name a file with --token-file."
            )
        if self.token and (len(self.token) < SECRET or not self.token.isascii() or not self.token.isprintable()):
            raise UsageError(f"Expected a token of {SECRET} printable ASCII characters or more, got another.")


def is_loopback(host: str) -> bool:
    """True for names and addresses that only this machine reaches."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
