"""A service of judges as its client sees it: one request at a time, and what may come of it. Standard library only."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from rltf_env.errors import DataError, UsageError
from rltf_env.sandbox import protocol
from rltf_env.sandbox.hosts import LONGEST, Host, Later, Lost, Refused, TooLong, Unknown
from rltf_env.sandbox.protocol import Result

# What a connection that breaks, or is aborted by another thread, raises in whoever uses it.
_BROKEN = (OSError, http.client.HTTPException, AttributeError)


class Service(Host):
    """A service at a URL.

    Args:
        url: `http://host:port` or `https://...`; a token may stand in it: `http://x:TOKEN@host:port`.
        token: what is shown otherwise.
    """

    def __init__(self, url: str, token: str) -> None:
        try:
            parts = urlsplit(url)
            self.port = parts.port
        except ValueError as error:
            raise UsageError(f"Expected the URL of a service, got {error}.") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"Expected a URL such as http://127.0.0.1:8080, got one without http:// or a host: {_bare(url)!r}."
            )
        self.secure, self.name = parts.scheme == "https", parts.hostname
        self.path = parts.path.rstrip("/")
        self.token = unquote(parts.password or "") or token
        super().__init__(f"{parts.scheme}://{parts.hostname}" + (f":{self.port}" if self.port else ""))

    def connect(self, patience: float) -> ServiceConnection:
        """A new connection, opened when it is needed."""
        return ServiceConnection(self, patience)

    def headers(self) -> dict[str, str]:
        """What goes with each request."""
        shown = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {"Content-Type": "application/json"} | shown


class ServiceConnection:
    """A connection to a service, opened when it is needed; for one thread. `abort` may come from another.

    Args:
        patience: seconds of silence after which it is given up. A service that judges says so every second.
    """

    def __init__(self, host: Service, patience: float) -> None:
        self.host, self.patience = host, patience
        self._http: http.client.HTTPConnection | None = None

    def about(self) -> dict[str, Any]:
        """What the service says of itself. Raises Lost, Later, UsageError."""
        reply = self._send("GET", "/about", None)
        text = self._read(reply)
        self._check(reply, text)
        try:
            return dict(json.loads(text))
        except ValueError as error:
            raise UsageError(f"Expected a service of rltf at {self.host.shown}, got another.") from error

    def judge(self, body: bytes) -> Iterator[tuple[int, Result]]:
        """Results as they come, with the number of their job.

        Raises:
            Lost, Later, Unknown, Refused, TooLong, UsageError: what else may come of it.
        """
        if self.host.about is not None and len(body) > self.host.about.get("body", len(body)):
            raise TooLong
        reply = self._send("POST", "/judge", body)
        if reply.status != 200:
            text = self._read(reply)
            if reply.status == 409:
                raise Unknown(_unknown(text))
            if reply.status == 413:
                raise TooLong
            if reply.status == 422:
                raise Refused(_detail(text))
            self._check(reply, text)
        whole = False
        try:
            for line in _lines(reply):
                yield protocol.decode_line(line, self.host.shown)
            whole = True
        except (*_BROKEN, DataError) as error:
            raise Lost(f"{self.host.shown}: {error!r}", handed=True) from error
        finally:
            if not whole:  # what is left of this reply must not be taken for the next
                reply.close()
                self.abort()

    def abort(self) -> None:
        """Ends the connection; the service drops what it has not begun."""
        opened, self._http = self._http, None
        if opened is None:
            return
        if opened.sock is not None:
            with contextlib.suppress(OSError):  # the other side was quicker
                opened.sock.shutdown(socket.SHUT_RDWR)  # wakes a thread that reads
        opened.close()

    def _send(self, method: str, path: str, body: bytes | None) -> http.client.HTTPResponse:
        """The head of a reply. A kept connection that turns out to be closed is opened anew, once."""
        for kept in (self._http is not None, False):
            try:
                if self._http is not None and self._http.sock is None:  # the service said that it would close it
                    self._http = None
                opened = self._http = self._http or self._open()
                opened.request(method, self.host.path + path, body, self.host.headers())
                return opened.getresponse()
            except ConnectionRefusedError as error:
                self.abort()
                raise Lost(f"{self.host.shown}: {error}", handed=False) from error
            except _BROKEN as error:
                self.abort()
                idle = kept and isinstance(
                    error, http.client.RemoteDisconnected | ConnectionResetError | BrokenPipeError
                )
                if not idle:
                    raise Lost(f"{self.host.shown}: {error!r}", handed=body is not None) from error
        raise AssertionError("the second try returns or raises")

    def _open(self) -> http.client.HTTPConnection:
        name, port = self.host.name, self.host.port
        if self.host.secure:
            context = ssl.create_default_context()
            opened = http.client.HTTPSConnection(name, port, timeout=self.patience, context=context)
        else:
            opened = http.client.HTTPConnection(name, port, timeout=self.patience)
        opened.connect()
        opened.auto_open = 0  # one that `abort` has closed stays closed
        opened.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def _read(self, reply: http.client.HTTPResponse) -> bytes:
        try:
            return reply.read()
        except _BROKEN as error:
            reply.close()
            self.abort()
            raise Lost(f"{self.host.shown}: {error!r}", handed=False) from error

    def _check(self, reply: http.client.HTTPResponse, text: bytes) -> None:
        if reply.status == 200:
            return
        if reply.status in (401, 403):
            raise UsageError(
                f"Expected the token of {self.host.shown}, got {'another' if self.host.token else 'none'}. Set RLTF_JUDGE_TOKEN, "
                "pass token=, or put it into the URL: http://x:TOKEN@host:port."
            )
        if reply.status in (429, 503):
            raise Later(_seconds(reply.getheader("Retry-After")))
        if reply.status >= 500:
            raise Lost(f"{self.host.shown} answered {reply.status}", handed=True)
        raise UsageError(f"{self.host.shown} refused a request with {reply.status}: {_detail(text)}")


def _bare(url: str) -> str:
    """A URL without what stands before its host, which may be a token."""
    return url.rpartition("@")[2]


def _lines(reply: http.client.HTTPResponse) -> Iterator[bytes]:
    """The lines of a reply as they come; empty ones are signs of life."""
    rest = b""
    while part := reply.read1(1 << 16):
        *lines, rest = (rest + part).split(b"\n")
        yield from filter(None, lines)


def _detail(text: bytes) -> str:
    """Why a request was refused."""
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        return text[:200].decode("utf-8", "replace")


def _unknown(text: bytes) -> list[str]:
    try:
        return [str(each) for each in json.loads(text)["unknown"]]
    except (ValueError, KeyError, TypeError):
        return []


def _seconds(header: str | None) -> float:
    try:
        return min(max(float(header or 1), 0.05), LONGEST)
    except ValueError:
        return 1.0
