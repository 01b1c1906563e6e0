"""vLLM as a server that writes: against a stand-in with vLLM's routes, whose tokens a small policy draws."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_vllm import FakeVLLM
from served import PUSH, REPEATS, assert_right, learn, sampling, texts, write

from agents.core import Completion
from agents.decoding.sampling import Sampling
from agents.engines.vllm_server import Options, ServerError
from agents.policies.causal import CausalPolicy
from rltf_env.errors import UnknownName, UsageError

Serve = Callable[..., FakeVLLM]


# ------------------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("how", [{}, {"temperature": 0.7, "top_p": 0.9, "top_k": 40, "min_p": 0.001}])
def test_what_is_said_of_tokens_is_right(writer: CausalPolicy, serve: Serve, folder: Path, how: dict[str, Any]) -> None:
    server, ended = serve(), list[tuple[int, int]]()
    asked = sampling(server, folder=folder, how=how)
    groups = write(writer, asked, done=lambda i, k, completion: ended.append((i, k)))
    assert sorted(ended) == [(i, k) for i in range(3) for k in range(REPEATS)]
    assert_right(writer, groups, asked, writer)
    assert len(set(map(tuple, texts(groups)))) == 3 * REPEATS, "each program draws its own"
    assert texts(write(writer, asked)) == texts(groups)
    assert server.events == PUSH, "the same weights are not pushed again"


def test_greedy_programs_are_those_of_our_own_engine(writer: CausalPolicy, serve: Serve, folder: Path) -> None:
    asked = sampling(serve(), folder=folder, how={"temperature": 0.0})
    groups = write(writer, asked)
    assert_right(writer, groups, asked, writer)
    own = write(writer, Sampling(0.0))
    assert texts(groups) == texts(own)
    for ours, theirs in zip(own, groups, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-5)
            assert (a.truncated, a.given, a.kept) == (b.truncated, b.given, b.kept)


def test_programs_end_at_a_stop_string_where_ours_do(writer: CausalPolicy, serve: Serve, folder: Path) -> None:
    text = writer.tokenizer.decode(write(writer, Sampling(0.0))[0][0].tokens)
    how = {"temperature": 0.0, "stop": (text[2:4],)}
    theirs, ours = write(writer, sampling(serve(), folder=folder, how=how)), write(writer, Sampling(**how))
    assert texts(theirs) == texts(ours)
    assert [c.kept for group in theirs for c in group] == [c.kept for group in ours for c in group]
    assert any(c.kept is not None for group in theirs for c in group)


def test_tokens_that_the_tokenizer_lacks_are_never_drawn(
    writer: CausalPolicy, serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, size = serve(), len(writer.tokenizer)
    monkeypatch.setattr(type(writer.tokenizer), "__len__", lambda _: size - 2)
    write(writer, sampling(server, folder=folder))
    assert server.seen[-1]["logit_bias"] == {str(size - 2): -100.0, str(size - 1): -100.0}


# ------------------------------------------------------------------------------------------------ servers that go away


def test_programs_of_a_server_that_is_killed_are_written_by_its_successor(
    writer: CausalPolicy, serve: Serve, folder: Path
) -> None:
    server = serve()
    asked = sampling(server, folder=folder)
    learn(writer, 2)
    whole = write(writer, asked)
    server.hold.clear()
    killer = threading.Thread(target=lambda: (wait_for(server, 4), server.kill(), server.hold.set(), server.begin()))
    killer.start()
    groups = write(writer, asked)
    killer.join()
    assert texts(groups) == texts(whole), "nothing is lost, and weights were pushed again"
    assert server.events == PUSH * 2


def wait_for(server: FakeVLLM, running: int) -> None:
    """Until so many requests are under way."""
    with server.idle:
        server.idle.wait_for(lambda: server.running >= running)


def test_a_server_that_was_started_anew_between_two_requests_gets_the_weights(
    writer: CausalPolicy, serve: Serve, folder: Path
) -> None:
    server = serve()
    asked = sampling(server, folder=folder)
    learn(writer, 2)
    whole = write(writer, asked)
    server.kill()
    server.begin()
    assert texts(write(writer, asked)) == texts(whole)
    assert server.events == PUSH * 2


def test_a_server_that_is_started_anew_without_anybody_noticing_writes_nothing_that_counts(
    writer: CausalPolicy, serve: Serve, folder: Path
) -> None:
    server = serve()
    asked = sampling(server, folder=folder, connections=1)
    learn(writer, 2)
    whole = write(writer, asked)
    server.left = 3  # of six
    assert texts(write(writer, asked)) == texts(whole)
    assert server.events == PUSH * 2


def test_a_busy_server_and_a_broken_connection_are_tried_again(
    writer: CausalPolicy, serve: Serve, folder: Path
) -> None:
    server = serve()
    asked = sampling(server, folder=folder)
    whole = write(writer, asked)
    server.busy = server.cut = 2
    assert texts(write(writer, asked)) == texts(whole)


def test_rows_are_dealt_evenly_and_another_server_takes_over(writer: CausalPolicy, serve: Serve, folder: Path) -> None:
    one, two = serve(), serve()
    asked = sampling(one, two, folder=folder)
    learn(writer, 1)
    whole = write(writer, asked)
    assert one.events == two.events == PUSH
    rows = [[each["prompt"] for each in server.seen if each["max_tokens"] > 1] for server in (one, two)]
    assert len(rows[0]) == len(rows[1]) == 3
    two.hold.clear()
    killer = threading.Thread(target=lambda: (wait_for(two, 2), two.kill()))
    killer.start()
    assert texts(write(writer, asked)) == texts(whole)
    killer.join()
    two.begin()


def test_who_stops_asking_leaves_nothing_behind(writer: CausalPolicy, serve: Serve, folder: Path) -> None:
    server = serve()
    asked = sampling(server, folder=folder)
    write(writer, asked)

    def enough(i: int, k: int, completion: Completion) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(writer, asked, done=enough, repeats=20)
    assert not [each.name for each in threading.enumerate() if each.name.startswith("vllm_")]
    assert len(server.seen) < 60 + 7, "what had not been sent is not"
    assert_right(writer, write(writer, asked), asked, writer)


# -------------------------------------------------------------------------------------------------------------- errors


def test_a_server_that_is_not_there_is_named(writer: CausalPolicy, folder: Path) -> None:
    with pytest.raises(ServerError, match=r"all servers within 0\.2 s .*127\.0\.0\.1:9"):
        write(writer, sampling("http://127.0.0.1:9", folder=folder, patience=0.2))


def test_a_key_is_shown_and_a_wrong_one_is_named(
    writer: CausalPolicy, serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    server.key = "secret"
    with pytest.raises(UsageError, match=rf"API key of {server.url}, got none\. Set VLLM_API_KEY\."):
        write(writer, sampling(server, folder=folder))
    monkeypatch.setenv("VLLM_API_KEY", "another")
    with pytest.raises(UsageError, match="got another"):
        write(writer, sampling(server, folder=folder, connections=3))
    with_key = server.url.replace("http://", "http://x:secret@")
    asked = sampling(with_key, folder=folder)
    assert_right(writer, write(writer, asked), asked, writer)


def test_a_server_that_hangs_is_named(writer: CausalPolicy, serve: Serve, folder: Path) -> None:
    server = serve()
    asked = sampling(server, folder=folder, patience=0.3)
    write(writer, asked)
    server.hold.clear()
    with pytest.raises(ServerError, match=rf"programs from {server.url} within 0\.3 s .* said nothing"):
        write(writer, asked)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": ""}, "Expected the URL"),
        ({"url": "localhost:8000"}, "a URL such as"),
        ({"sleep": 3}, "sleep of 0, 1 or 2"),
        ({"patience": 0.0}, "patience > 0"),
    ],
)
def test_options_of_no_use_are_refused(writer: CausalPolicy, folder: Path, options: dict[str, Any], words: str) -> None:
    made = {"url": "http://127.0.0.1:9", "folder": str(folder), **options}
    with pytest.raises(UsageError, match=words):
        write(writer, Sampling(engine="vllm_server", engine_options=made))


def test_options_have_names(writer: CausalPolicy, folder: Path) -> None:
    made = {"url": "http://127.0.0.1:9", "folder": str(folder), "patient": 3}
    with pytest.raises(UnknownName, match="Did you mean 'patience'"):
        write(writer, Sampling(engine="vllm_server", engine_options=made))
    with pytest.raises(UsageError, match="expected url, folder"):
        write(writer, Sampling(engine="vllm_server"))
    assert Options("http://a http://b", "f").urls == ("http://a", "http://b")
