"""A vLLM server as its client sees it: one request at a time, and what may come of it.

Routes and shapes are those of vLLM's OpenAI-compatible server from 0.27 on, read in its sources:
`vllm/entrypoints/openai/completion/protocol.py` and `vllm/entrypoints/serve/dev`. Errors are
`{"error": {"message": ...}}`, or FastAPI's `{"detail": ...}` for a route that is not there.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

from rltf_env.errors import RLTFError, UsageError

KEY = "VLLM_API_KEY"  # as vLLM itself calls it
SHOWN = 300  # characters of an answer that an error shows
RESERVED = (401, 403)
LATER = (408, 425, 429)  # and every 5xx: the same request may do well when it is sent again


class ServerError(RLTFError, RuntimeError):
    """A vLLM server did not answer in time, or not as expected."""


class Lost(ServerError):
    """A request that may do well when it is sent again: no connection, a broken one, a busy server."""


class Missing(ServerError):
    """A route that the server does not have."""


class Peer:
    """A vLLM server. Its calls may come from several threads; each has a connection of its own.

    Args:
        url: `http://host:port`; a token may stand in it, `http://x:TOKEN@host:port`.
        patience: seconds of silence after which a request counts as lost.
    """

    def __init__(self, url: str, patience: float) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise UsageError(f"Expected the URL of a vLLM server, got {error}.") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            bare = url.rpartition("@")[2]
            raise UsageError(f"Expected a URL such as http://127.0.0.1:8000, got {bare!r}.")
        self.patience, self._token = patience, unquote(parts.password or "") or os.environ.get(KEY, "")
        self._make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port = parts.hostname, port
        self._path = parts.path.rstrip("/").removesuffix("/v1")  # control routes stand beside it
        self.shown = f"{parts.scheme}://{parts.hostname}" + (f":{port}" if port else "") + self._path
        self._open: set[http.client.HTTPConnection] = set()
        self._lock = threading.Lock()

    def get(self, path: str) -> dict[str, Any]:
        """The answer to a GET.

        Raises:
            Lost, Missing, ServerError, UsageError: what else may come of it.
        """
        return self._ask("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any] | None = None, **query: str) -> dict[str, Any]:
        """The answer to a POST; `query` goes behind the path. Raises as `get`."""
        text = json.dumps(body).encode() if body is not None else b""
        return self._ask("POST", path + (f"?{urlencode(query)}" if query else ""), text)

    def hang_up(self) -> None:
        """Ends all requests under way, from another thread. vLLM aborts a request whose client is gone."""
        with self._lock:
            opened = list(self._open)
        for connection in opened:
            if connection.sock is not None:
                with contextlib.suppress(OSError):  # the other side was quicker
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def _ask(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Connection": "close"}
        headers |= {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            with self._connection() as connection:
                connection.request(method, self._path + path, body, headers)
                reply = connection.getresponse()
                return self._checked(path, reply.status, reply.read())
        except TimeoutError as error:
            raise Lost(f"{self.shown} said nothing for {self.patience:g} s to {path}") from error
        except (OSError, http.client.HTTPException) as error:
            raise Lost(f"{self.shown}{path}: {error!r}") from error

    @contextlib.contextmanager
    def _connection(self) -> Iterator[http.client.HTTPConnection]:
        connection = self._make(self._host, self._port, timeout=self.patience)
        with self._lock:
            self._open.add(connection)
        try:
            yield connection
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _checked(self, path: str, status: int, content: bytes) -> dict[str, Any]:
        """The object in an answer of status 200. Some routes answer with nothing."""
        reason = _reason(content)
        if status in RESERVED:
            whose = "another" if self._token else "none"
            raise UsageError(f"Expected the API key of {self.shown}, got {whose}. Set {KEY}.")
        if status == 404:
            raise Missing(f"{self.shown} has no {path.partition('?')[0]}: {reason}")
        if status in LATER or status >= 500:
            raise Lost(f"{self.shown}{path} answered {status}: {reason}")
        if status != 200:
            raise UsageError(f"{self.shown}{path} refused a request with {status}: {reason}")
        try:
            value = json.loads(content or b"{}")
        except ValueError as error:
            raise ServerError(f"Expected JSON from {self.shown}{path}, got {reason!r}.") from error
        if not isinstance(value, dict):
            raise ServerError(f"Expected an object from {self.shown}{path}, got {reason!r}.")
        return value


def _reason(content: bytes) -> str:
    """What an answer says, an error's own words if it has any."""
    text = content[:SHOWN].decode(errors="replace")
    try:
        value = json.loads(content)
        error = value.get("error", value.get("detail", text))
        return str(error["message"] if isinstance(error, dict) else error)[:SHOWN]
    except (ValueError, KeyError, AttributeError):
        return text
