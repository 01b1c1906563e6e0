"""A vLLM server of the tests' own: its routes, shapes and states as vLLM has them, its tokens from a small policy."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import torch
from safetensors.torch import load_file

from agents.decoding.sampling import Sampling
from agents.policies.causal import CausalPolicy

CONTROL = ("/weight_info", "/update_weight_version", "/pause", "/resume", "/sleep", "/wake_up", "/is_sleeping",
           "/reset_prefix_cache", "/collective_rpc")  # fmt: skip
UNREAD = np.array([], np.int64)


class Refusal(Exception):
    """An answer with another status than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status, self.message = status, message


def expect(truth: bool, what: str) -> None:
    """Refuses a request that vLLM would, or that would do harm there."""
    if not truth:
        raise Refusal(400, what)


class FakeVLLM:
    """`vllm serve START` with `policy` as its model, whose weights it owns. `asked` counts requests by route.

    Args:
        policy: writes; its weights are replaced as they are pushed.
        start: the folder that it serves.
        without: routes that it does not have.
        raw: says log-probabilities before temperature and cut-offs, as without --logprobs-mode.
        sleeps: was started with --enable-sleep-mode.
    """

    def __init__(
        self, policy: CausalPolicy, start: Path, *, without: tuple[str, ...] = (), raw: bool = False,
        sleeps: bool = True, max_model_len: int = 256,
    ) -> None:  # fmt: skip
        self.policy, self.start, self.without, self.raw, self.sleeps = policy, start, without, raw, sleeps
        self.max_model_len = max_model_len
        self.asked: Counter[str] = Counter()
        self.seen: list[dict[str, Any]] = []  # requests for completions
        self.events: list[str] = []  # pauses, loads and sleeps, in their order
        self.key = ""  # what it was started with: --api-key
        self.left = -1  # completions before it is started anew, between two requests
        self.off = 0.0  # nats by which it understates log-probabilities
        self.busy = self.cut = 0  # completions to come that are refused as too many, or cut off
        self.hold = threading.Event()  # completions wait for it
        self.hold.set()
        self.version, self.asleep, self.gone = "default", set[str](), False
        self.resumed = threading.Event()
        self.resumed.set()
        self.running, self.idle = 0, threading.Condition()
        self.writing = threading.Lock()
        self.port = 0
        self.begin()

    def begin(self) -> None:
        """Starts it, anew with the weights of its folder if it was killed."""
        self.load(self.start)
        handler = type("Handler", (_Handler,), {"fake": self})
        self.server = _Server(("127.0.0.1", self.port), handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.005})
        self.thread.start()

    def kill(self) -> None:
        """Ends it: connections break, and its weights are gone."""
        self.server.shutdown()
        self.server.server_close()
        self.server.break_off()
        self.thread.join()
        self.version, self.gone = "default", True

    def __enter__(self) -> FakeVLLM:
        return self

    def __exit__(self, *exc: object) -> None:
        self.hold.set()
        self.resumed.set()
        self.kill()

    # --------------------------------------------------------------------------------------------------------- routes

    def answer(self, route: str, query: dict[str, list[str]], body: dict[str, Any]) -> dict[str, Any]:
        """What a request is answered with."""
        self.asked[route] += 1
        if route in self.without:
            raise Refusal(404, "Not Found")
        if route == "/v1/completions":
            return self.completion(body)
        if route == "/v1/models":
            model = {"id": "policy", "object": "model", "root": str(self.start), "max_model_len": self.max_model_len}
            return {"object": "list", "data": [model]}
        if route == "/version":
            return {"version": "0.25.1"}
        if route not in CONTROL:
            raise Refusal(404, "Not Found")
        return getattr(self, route[1:])(query, body) or {}

    def weight_info(self, query: Any, body: Any) -> dict[str, Any]:
        return {"weight_version": self.version}

    def update_weight_version(self, query: Any, body: Any) -> dict[str, Any]:
        self.version = body["new_version"]
        return {"success": True, "new_version": self.version}

    def pause(self, query: Any, body: Any) -> dict[str, Any]:
        expect(query["mode"] == ["wait"], "programs would be broken off")
        self.resumed.clear()
        with self.idle:
            self.idle.wait_for(lambda: not self.running)
        self.events.append("pause")
        return {"status": "paused"}

    def resume(self, query: Any, body: Any) -> dict[str, Any]:
        self.events.append("resume")
        self.resumed.set()
        return {"status": "resumed"}

    def collective_rpc(self, query: Any, body: Any) -> dict[str, Any]:
        expect(body["method"] == "reload_weights", "no such method")
        expect("weights" not in self.asleep, "there is no memory for weights")
        self.load(Path(body["kwargs"]["weights_path"]))
        self.events.append("load")
        return {"results": [None]}

    def load(self, folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        own = dict(self.policy.model.named_parameters(remove_duplicate=False))
        if {n: p.shape for n, p in own.items()} != {n: t.shape for n, t in tensors.items()}:
            raise Refusal(500, "Internal Server Error")
        with torch.no_grad():
            for name, tensor in tensors.items():
                own[name].copy_(tensor)
        self.gone = False

    def reset_prefix_cache(self, query: Any, body: Any) -> None:
        self.events.append("reset")

    def sleep(self, query: Any, body: Any) -> None:
        level = query["level"][0]
        self.events.append(f"sleep {level}")
        if self.sleeps:
            self.asleep = {"weights", "kv_cache"}
            self.gone = level == "2"

    def wake_up(self, query: Any, body: Any) -> None:
        for tag in query["tags"]:
            expect(tag in self.asleep, "memory is mapped twice")
            self.asleep.discard(tag)
            self.events.append(f"wake {tag}")

    def is_sleeping(self, query: Any, body: Any) -> dict[str, Any]:
        return {"is_sleeping": bool(self.asleep)}

    # ----------------------------------------------------------------------------------------------------- completions

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.busy:
            self.busy -= 1
            raise Refusal(503, "too many requests are waiting")
        if self.cut:
            self.cut -= 1
            raise ConnectionResetError
        if self.left == 0:
            self.load(self.start)
            self.version = "default"
        self.left -= 1
        self.seen.append(body)
        expect(body["model"] == "policy", "The model does not exist.")
        if len(body["prompt"]) + body["max_tokens"] > self.max_model_len:
            raise Refusal(400, f"This model's maximum context length is {self.max_model_len} tokens.")
        self.resumed.wait()
        with self.idle:
            self.running += 1
            self.idle.notify_all()
        try:
            self.hold.wait()
            return self.written(body)
        finally:
            with self.idle:
                self.running -= 1
                self.idle.notify_all()

    def written(self, body: dict[str, Any]) -> dict[str, Any]:
        expect(not self.asleep and not self.gone, "it has no weights")
        tokens, own, drawn = self.draw(body)
        reason = (
            "stop" if tokens[-1] in body.get("stop_token_ids", ()) or len(tokens) < body["max_tokens"] else "length"
        )
        said = own if self.raw else drawn
        return {
            "id": "cmpl-1", "object": "text_completion", "created": int(time.time()), "model": "policy",
            "choices": [{
                "index": 0, "text": self.policy.tokenizer.decode(tokens), "finish_reason": reason, "stop_reason": None,
                "token_ids": tokens, "prompt_token_ids": body["prompt"],
                "logprobs": {"text_offset": [], "tokens": [], "top_logprobs": [], "token_logprobs": said},
            }],
            "usage": {"prompt_tokens": len(body["prompt"]), "completion_tokens": len(tokens)},
        }  # fmt: skip

    def draw(self, body: dict[str, Any]) -> tuple[list[int], list[float], list[float]]:
        """Tokens, the model's own log-probabilities of them, and those that they were drawn with."""
        expect(body["logprobs"] == 0 and body["return_token_ids"] and body["ignore_eos"], "something is missing")
        for token in (int(t) for t, bias in body.get("logit_bias", {}).items() if bias == 100):
            return [token], [-5.0], [0.0]
        how = Sampling(body["temperature"], body.get("top_p", 1.0), body.get("top_k", 0), min_p=body.get("min_p", 0.0))
        generator = torch.Generator().manual_seed(body.get("seed", 0))
        with self.writing, torch.no_grad():  # a model is read by one thread at a time
            ((c,),) = how(
                self.policy, [np.array(body["prompt"])], [UNREAD], max_tokens=body["max_tokens"], generator=generator
            )
        tokens, decode = c.tokens.tolist(), self.policy.tokenizer.decode
        ends = (i for i in range(1, len(tokens) + 1) if any(s in decode(tokens[:i]) for s in body.get("stop", ())))
        end = next(ends, len(tokens))
        behaviour = c.behaviour_logprobs if body["temperature"] else c.logprobs
        return tokens[:end], c.logprobs.tolist()[:end], (behaviour - self.off).tolist()[:end]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        self.sockets: set[socket.socket] = set()
        super().__init__(*args)

    def get_request(self) -> tuple[socket.socket, Any]:
        opened, address = super().get_request()
        self.sockets.add(opened)
        return opened, address

    def break_off(self) -> None:
        for opened in self.sockets:
            try:
                opened.shutdown(socket.SHUT_RDWR)
            except OSError:  # it is closed
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:  # a client that has hung up
        return


class _Handler(http.server.BaseHTTPRequestHandler):
    fake: FakeVLLM

    def do_GET(self) -> None:
        self.respond({})

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.respond(json.loads(content) if content else {})

    def respond(self, body: dict[str, Any]) -> None:
        parts = urlsplit(self.path)
        try:
            guarded = bool(self.fake.key) and parts.path.startswith("/v1")  # vLLM guards nothing else
            if guarded and self.headers.get("Authorization") != f"Bearer {self.fake.key}":
                raise Refusal(401, "Unauthorized")
            status, value = 200, self.fake.answer(parts.path, parse_qs(parts.query), body)
        except Refusal as refusal:
            status, value = refusal.status, {"error": {"message": refusal.message, "code": refusal.status}}
        text = json.dumps(value).encode() if value else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: object) -> None:
        return
