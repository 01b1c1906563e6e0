"""Answers of a server that speaks OpenAI's protocol: vLLM, llama.cpp, Ollama, SGLang, or a service.

    --agent http://127.0.0.1:8000/v1 --option model=NAME [--option api=completions]

`chat` asks in words and takes the program out of the answer
(`rltf_env.answers`); `completions` continues the prompt, and the suite's stop
texts end it. Asks for all samples of a problem at once and, where the server gives fewer (llama.cpp, Ollama), again for the
rest, each time with another seed. Time-outs, refused connections and statuses 408, 409, 429 and 5xx are tried again, with
waits that double. An API key comes from the environment and goes nowhere else.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from benchmarks.core import Answer
from benchmarks.solvers import before_stop, whole_program
from benchmarks.suites import Suite
from rltf_env import answers, prompts
from rltf_env.core import Problem
from rltf_env.errors import DataError, RLTFError, UnknownName, UsageError
from rltf_env.joining import join

APIS = {"chat": "/chat/completions", "completions": "/completions"}
AGAIN = (408, 409, 429)  # and every 5xx
LONGEST_WAIT = 60.0  # seconds between two tries
OPENAI_STOPS = 4  # more stop texts than this are refused by some; the rest is cut off here


class EndpointError(RLTFError, RuntimeError):
    """The server did not answer, or not as expected. What was written so far is kept: run again to continue."""


@dataclass(frozen=True)
class Endpoint:
    """See the module's head, and `load` for the fields."""

    url: str
    suite: Suite
    model: str
    api: str
    side_by_side: int
    timeout: float
    tries: int
    wait: float
    key: str = field(repr=False)
    extra: Mapping[str, Any]
    pause: Callable[[float], None] = time.sleep
    batch: int = 1

    @property
    def name(self) -> str:
        """The model's name at the server."""
        return self.model

    def describe(self) -> dict[str, Any]:
        """What a record says of the solver."""
        description = {"kind": "endpoint", "model": self.model, "api": self.api, "extra": dict(self.extra)}
        if self.api == "chat":
            return description
        return description | {"stop": list(self.suite.stop) or "customary"}

    # -------------------------------------------------------------------------------------------------------- writing

    def write(self, problems: Sequence[Problem], samples: int, seed: int) -> list[list[Answer]]:
        """Programs for problems, in order."""
        return [self._write(problem, samples, seed) for problem in problems]

    def _write(self, problem: Problem, samples: int, seed: int) -> list[Answer]:
        answers: list[Answer] = []
        while len(answers) < samples:
            began = time.perf_counter()
            count = samples - len(answers)
            reply = self._post(self._question(problem, count, _seed(seed, problem.id, len(answers))))
            choices = reply.get("choices")
            if not isinstance(choices, list) or not choices:
                raise EndpointError(f"Expected choices in the server's answer, got {str(reply)[:200]}.")
            seconds = (time.perf_counter() - began) / len(choices)
            tokens = _tokens(reply, len(choices))
            answers += [self._answer(problem, choice, tokens, seconds) for choice in choices[:count]]
        return answers

    def _question(self, problem: Problem, count: int, seed: int) -> dict[str, Any]:
        suite = self.suite
        question: dict[str, Any] = {
            "model": self.model, "n": count, "seed": seed, "max_tokens": suite.max_tokens,
            "temperature": suite.temperature, "top_p": suite.top_p,
        }  # fmt: skip
        if suite.top_k:
            question["top_k"] = suite.top_k
        if self.api == "chat":
            question["messages"] = [{"role": "user", "content": prompts.chat(problem, _message)}]
        else:
            question["prompt"] = prompts.render(problem) + problem.prefix
            question["stop"] = list(self._stop(problem)[:OPENAI_STOPS])
        return question | dict(self.extra)

    def _stop(self, problem: Problem) -> tuple[str, ...]:
        """Texts that end a continuation: the suite's for code to complete, else the customary ones."""
        return self.suite.stop if problem.prefix and self.suite.stop else prompts.stops([problem])

    def _answer(self, problem: Problem, choice: Any, tokens: int | None, seconds: float) -> Answer:
        try:
            reply = choice["message"]["content"] if self.api == "chat" else choice["text"]
            truncated = choice.get("finish_reason") == "length"
            reply = reply or ""  # a chat model that refused to say anything
            origin = ""
            if self.api == "chat":
                choice = answers.choose(reply, problem.entry_point)
                origin = choice.description
                text = whole_program(problem.prefix, choice.program, problem.entry_point)
            else:
                text = join(problem.prefix, before_stop(reply, self._stop(problem))).text
        except (KeyError, TypeError, AttributeError) as error:
            raise EndpointError(f"Expected a choice of the {self.api} API, got {str(choice)[:200]}.") from error
        return Answer(text, tokens=tokens, truncated=truncated, seconds=seconds, taken=origin)

    # --------------------------------------------------------------------------------------------------------- asking

    def _post(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """The server's answer; tried again as long as that may help."""
        wait = self.wait
        for left in reversed(range(self.tries)):
            try:
                return self._once(question)
            except urllib.error.HTTPError as error:
                reason = error.read().decode(errors="replace")[:300]
                complaint, delay = f"status {error.code}: {reason}", error.headers.get("Retry-After", "")
                if not (error.code in AGAIN or error.code >= 500):
                    raise EndpointError(f"Expected the server to take the question, got {complaint}") from error
                wait = max(wait, float(delay)) if delay.isdigit() else wait
            except (OSError, http.client.HTTPException, ValueError) as error:  # refused, timed out, cut off, no JSON
                complaint = f"{type(error).__name__}: {error}"
            if not left:
                raise EndpointError(
                    f"Expected an answer within {self.tries} tries, got {complaint}. Run again to continue."
                )
            self.pause(min(wait, LONGEST_WAIT))
            wait *= 2
        raise AssertionError("unreachable")

    def _once(self, question: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        request = urllib.request.Request(self.url + APIS[self.api], json.dumps(question).encode(), headers)
        local = urlsplit(self.url).hostname in ("localhost", "127.0.0.1", "::1")
        opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if local else []))
        with opener.open(request, timeout=self.timeout) as reply:
            value = json.loads(reply.read())
        if not isinstance(value, dict):
            raise ValueError(f"a JSON {type(value).__name__} instead of an object")
        return value


def _message(messages: list[dict[str, str]], **options: Any) -> str:
    """In place of a chat template: the server has its own, and wants the message as it is."""
    return messages[0]["content"]


def _seed(seed: int, problem: str, done: int) -> int:
    """A seed for one request: another for every problem, and for every further request of one."""
    return zlib.crc32(f"{seed}/{problem}/{done}".encode()) & 0x7FFFFFFF


def _tokens(reply: Mapping[str, Any], count: int) -> int | None:
    """Tokens of one choice, where the server counted and gave one; of several it only tells the sum."""
    usage = reply.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return tokens if isinstance(tokens, int) and count == 1 else None


def load(
    spec: str,
    suite: Suite,
    *,
    model: str = "",
    api: str = "chat",
    side_by_side: int = 8,
    timeout: float = 300.0,
    tries: int = 6,
    wait: float = 1.0,
    key_variable: str = "OPENAI_API_KEY",
    extra: Mapping[str, Any] | None = None,
) -> Endpoint:
    """The solver of the server at `spec`, such as http://127.0.0.1:8000/v1.

    Args:
        model: its name there.
        api: "chat" or "completions".
        side_by_side: questions at a time.
        timeout: seconds for one answer.
        tries, wait: how often a question is put, and seconds before the second time; each further wait is twice as long.
        key_variable: the environment variable that holds the API key, if the server wants one.
        extra: further fields of the question, as the server understands them (`{top_k = 40}`).
    """
    if not model:
        raise UsageError(
            "Expected the name of the server's model, got none. Pass --option model=NAME (GET /v1/models lists them)."
        )
    if api not in APIS:
        raise UnknownName("api", api, APIS)
    if side_by_side < 1 or tries < 1 or timeout <= 0 or wait < 0:
        raise UsageError("Expected side_by_side, tries >= 1, timeout > 0 and wait >= 0.")
    try:
        host = urlsplit(spec).hostname
    except ValueError:
        host = None
    if not host:
        raise DataError(f"Expected the URL of a server such as http://127.0.0.1:8000/v1, got {spec!r}.")
    key = os.environ.get(key_variable, "")
    return Endpoint(spec.rstrip("/"), suite, model, api, side_by_side, timeout, tries, wait, key, dict(extra or {}))
