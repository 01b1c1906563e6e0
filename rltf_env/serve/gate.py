"""What every request passes first: where it comes from, its token, the size of its body and the time that takes.

Plain ASGI, around the whole application. An error that nobody foresaw ends here: its kind and
place are logged, never its message, which may quote a program.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import time
import traceback
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rltf_env.serve.replies import RETRIED, detail
from rltf_env.serve.settings import Settings, is_loopback

OPEN = ("/health",)  # what a load balancer may ask without a token
LOG = logging.getLogger("rltf.serve")


class Gate:
    """The application behind a door.

    Args:
        count: told the path and the status of each reply.
    """

    def __init__(self, app: ASGIApp, settings: Settings, count: Callable[[str, int], None]) -> None:
        self.app, self.settings, self.count = app, settings, count
        self.secret = _hashed(settings.token.encode()) if settings.token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            refusal = self._refusal(scope)
            if refusal is not None:
                await refusal(scope, receive, watched)
            else:
                await self.app(scope, self._limited(scope, receive), watched)
        except Exception as error:
            LOG.error("%s in %s", type(error).__name__, _place(error))
            if not status:
                reply = detail(RETRIED.get(scope["path"], 500), "The service failed on this request.")
                await reply(scope, receive, watched)
        finally:
            self.count(scope.get("path", ""), status)

    # ---------------------------------------------------------------------------------------------------------- who

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = dict(reversed(scope["headers"]))  # the first counts of each
        if self.secret is None:
            complaint = _foreign(headers)
            if complaint:
                return detail(403, complaint)
        elif scope["path"] not in OPEN and not hmac.compare_digest(
            _hashed(_shown(headers.get(b"authorization", b""))), self.secret
        ):
            text = "Expected the service's token, as 'Authorization: Bearer TOKEN' or as the password of Basic."
            return detail(401, text, {"WWW-Authenticate": 'Basic realm="rltf"'})
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > self.settings.body:
            return self._too_long()
        return None

    def _too_long(self) -> ASGIApp:
        text = f"Expected a body of {self.settings.body} bytes at most. Send fewer programs at a time."
        return detail(413, text, {"Connection": "close"})

    # --------------------------------------------------------------------------------------------------------- body

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """`receive`, as long as the body is short enough and comes in time."""
        left, until, whole = self.settings.body, time.monotonic() + self.settings.upload, False

        async def limited() -> Message:
            nonlocal left, whole
            if whole:  # what comes now is the end of the connection, which may take its time
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(until - time.monotonic(), 0.001))
            except TimeoutError:
                late = RETRIED.get(scope["path"], 408)
                raise HTTPException(
                    late, f"Expected the body within {self.settings.upload:g} s.", {"Connection": "close"}
                ) from None
            if message["type"] == "http.request":
                left -= len(message.get("body", b""))
                whole = not message.get("more_body", False)
                if left < 0:
                    raise HTTPException(413, f"Expected a body of {self.settings.body} bytes at most.")
            return message

        return limited


def _hashed(secret: bytes) -> bytes:
    """Of equal length for all, so that the time of a comparison says nothing on the token's."""
    return hashlib.sha256(secret).digest()


def _shown(header: bytes) -> bytes:
    """The token in an Authorization header; what is none is another's."""
    kind, _, value = header.partition(b" ")
    if kind.lower() != b"basic":
        return value.strip() if kind.lower() == b"bearer" else b""
    try:  # http://x:TOKEN@host/run_code: for trainers that know a URL and no header
        return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""


def _foreign(headers: dict[bytes, bytes]) -> str:
    """Why a request without a token is refused: a browser sends it for a page of somebody else's."""
    host = headers.get(b"host", b"").decode("latin-1")
    if host and not is_loopback(_name(f"//{host}")):
        return "Expected a Host that is this machine's own, since the service asks for no token."
    origin = headers.get(b"origin")
    if origin is not None and not is_loopback(_name(origin.decode("latin-1"))):
        return "Expected no request of another site's page, since the service asks for no token."
    return ""


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _place(error: Exception) -> str:
    """Where an error was raised: files and lines, none of their contents."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return " > ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames)
