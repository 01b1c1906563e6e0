"""The routes put together, and the server that runs them."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from types import FrameType

import uvicorn
from fastapi import FastAPI

from rltf_env import __version__
from rltf_env.errors import SandboxError
from rltf_env.rewards import load as load_reward
from rltf_env.rewards import needs
from rltf_env.sandbox.store import ProblemStore
from rltf_env.serve import fusion, judging, prompting, replies, rewards, status, submissions
from rltf_env.serve.gate import Gate
from rltf_env.serve.queue import JudgeQueue
from rltf_env.serve.settings import Settings

ROUTES = (
    "/judge", "/run_code", "/submit", "/common_evaluate", "/common_evaluate_batch", "/get_prompts", "/get_prompt_by_id",
    "/list_ids", "/list_datasets", "/get_reward", "/reward", "/problems", "/about", "/health", "/metrics", "/docs",
    "/openapi.json",
)  # fmt: skip
GRACE = 0.5  # seconds that clients have to read that the service has ended
LOG = logging.getLogger("rltf.serve")


class Service:
    """A service: `gate` is the ASGI application, `queue` the judge behind it, `api` the routes alone."""

    def __init__(self, settings: Settings) -> None:
        if isinstance(settings.sandbox, str):  # its own judge records what its own reward reads
            needed = dict.fromkeys(needs(load_reward(settings.reward)), True)
            settings = replace(settings, options={**settings.options, **needed})
        self.settings = settings
        self.queue, self.store = JudgeQueue(settings), ProblemStore(settings.problems, settings.problem_bytes)
        self.requests: Counter[tuple[str, int]] = Counter()
        self.api = self._api()
        self.gate = Gate(self.api, settings, self._count)

    def _api(self) -> FastAPI:
        app = FastAPI(
            title="rltf serve",
            description="Programs judged by unit tests, in a cage.",
            version=__version__,
            docs_url=None,
            redoc_url=None,
            lifespan=self._lifespan,
            responses=replies.REFUSALS,
        )
        replies.install(app)
        app.include_router(judging.router(self.queue, self.store))
        app.include_router(fusion.router(self.queue))
        app.include_router(submissions.router(self.queue, self.store))
        app.include_router(prompting.router(self.store))
        app.include_router(rewards.router(self.queue, self.store))
        app.include_router(status.router(self.queue, self.store, self.requests))
        app.include_router(status.page(app))
        return app

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        await self.queue.open()
        try:
            yield
        finally:
            await self.queue.close()

    def _count(self, path: str, status: int) -> None:
        """Counts a reply by one of a few names, so that no client can add to the metrics."""
        known = path if path in ROUTES else "/problems/" if path.startswith("/problems/") else "other"
        self.requests[known, status] += 1


class Server(uvicorn.Server):
    """uvicorn, with an end that loses no words over what is lost.

    From the first signal on nobody is let in. After `drain` seconds, or a second Ctrl-C, whoever waits is told that there
    is no verdict; and who does not read that, or is still sending a request, is cut off. uvicorn's own way is to cancel
    the requests, each with a traceback.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        super().__init__(
            uvicorn.Config(
                service.gate,
                log_level="warning",
                access_log=False,
                ws="none",
                lifespan="on",
                server_header=False,
                timeout_keep_alive=60,
                h11_max_incomplete_event_size=64 << 10,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal to end."""
        self.service.queue.draining = True
        if not self.should_exit:
            super().handle_exit(sig, frame)
        elif self.started and sig == signal.SIGINT:
            self.service.queue.loop.call_soon_threadsafe(self._give_up)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends when all requests are answered."""
        overdue = self.service.queue.loop.call_later(self.service.settings.drain, self._give_up)
        try:
            await super().shutdown(sockets)
        finally:
            overdue.cancel()

    def _give_up(self) -> None:
        lost = self.service.queue.give_up()
        if lost:
            LOG.warning("ended before %d programs were judged", lost)
        self.service.queue.loop.call_later(GRACE, self._cut_off)

    def _cut_off(self) -> None:
        """Closes what connections are left, as if the clients had gone; again, for those that a request is yet to answer."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        self.service.queue.loop.call_later(GRACE, self._cut_off)


def listen(settings: Settings) -> socket.socket:
    """A socket at the service's address. Raises OSError if that is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((settings.host.strip("[]"), settings.port))
    except OSError:
        opened.close()
        raise
    return opened


def url(opened: socket.socket) -> str:
    """Where a socket is reached."""
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(service: Service, opened: socket.socket) -> bool:
    """Serves until a signal says otherwise and what was asked is answered. False if the judge does not start."""
    server = Server(service)
    # uvicorn raises the signal again when all is done; then there is nothing left to end.
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run(sockets=[opened])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return server.started


@contextlib.contextmanager
def background(settings: Settings | None = None) -> Iterator[str]:
    """A service in a thread of this process: gives its URL, and ends it.

        with background(Settings(port=0)) as url: ...

    Raises:
        SandboxError: the judge does not start.
    """
    service = Service(settings or Settings(port=0))
    opened = listen(service.settings)
    server = Server(service)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, name="rltf-serve", daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise SandboxError("The service did not start: its judge could not be opened.")
            time.sleep(0.01)
        yield url(opened)
    finally:
        service.queue.draining = True
        server.should_exit = True
        thread.join()
        opened.close()
