"""Weights on servers that several writers share: who pushes, when, and what is refused."""

from __future__ import annotations

import fcntl
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_vllm import FakeVLLM, Refusal
from served import PUSH, assert_right, learn, sampling, texts, twin, write

from agents.core import Completion
from agents.engines import vllm_server
from agents.engines._folder import Label, Shared
from agents.engines.vllm_server import ServerError
from agents.policies.causal import CausalPolicy
from rltf_env.errors import UsageError

Serve = Callable[..., FakeVLLM]


# ------------------------------------------------------------------------------------------------------------- weights


def test_a_push_shows_in_what_is_written_next(writer: CausalPolicy, serve: Serve, folder: Path) -> None:
    server = serve()
    asked = sampling(server, folder=folder)
    writer.updates = 0  # type: ignore[attr-defined]
    before = write(writer, asked)
    learn(writer, 7)
    after = write(writer, asked)
    assert texts(before) != texts(after)
    assert_right(writer, after, asked, writer)
    assert server.events == PUSH * 2
    assert {c.version for group in before for c in group} == {0}
    assert {c.version for group in after for c in group} == {7}
    assert len(list(folder.glob("weights-*"))) == 1, "older ones are removed"


def test_writers_of_one_version_push_it_once(writer: CausalPolicy, serve: Serve, folder: Path) -> None:
    server = serve()
    learn(writer, 4)
    writers = [writer, twin(writer), twin(writer)]
    asked = sampling(server, folder=folder)
    written: dict[int, list[list[Completion]]] = {}
    threads = [
        threading.Thread(target=lambda i=i, w=w: written.update({i: write(w, asked)})) for i, w in enumerate(writers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.events == PUSH
    assert texts(written[0]) == texts(written[1]) == texts(written[2])


def test_a_writer_that_is_behind_takes_newer_weights_and_says_so(
    writer: CausalPolicy, serve: Serve, folder: Path
) -> None:
    server, behind = serve(), twin(writer)
    asked = sampling(server, folder=folder)
    writer.updates = behind.updates = 1  # type: ignore[attr-defined]
    write(writer, asked)
    write(behind, asked)
    learn(writer, 2)
    write(writer, asked)
    groups = write(behind, asked)
    assert server.events == PUSH * 2, "the older weights are not pushed back"
    assert {c.version for group in groups for c in group} == {2}
    assert_right(behind, groups, asked, writer)
    learn(behind, 3, seed=4)  # and when it is ahead, it pushes
    assert_right(behind, write(behind, asked), asked, behind)
    assert server.events == PUSH * 3


def test_a_run_that_continues_from_a_checkpoint_wants_its_own_weights_first(
    writer: CausalPolicy, serve: Serve, folder: Path
) -> None:
    server, killed = serve(), twin(writer)
    asked = sampling(server, folder=folder)
    learn(killed, 9)
    write(killed, asked)
    writer.updates = 5  # type: ignore[attr-defined]
    assert_right(writer, write(writer, asked), asked, writer)
    assert server.events == PUSH * 2


def test_weights_without_a_count_are_told_apart(writer: CausalPolicy, serve: Serve, folder: Path) -> None:
    server = serve()
    asked = sampling(server, folder=folder)
    write(writer, asked)
    other = twin(writer)
    learn(other, 0)
    del other.updates  # type: ignore[attr-defined]
    groups = write(other, asked)
    assert_right(other, groups, asked, other)
    assert {c.version for group in groups for c in group} == {None}


def test_a_writer_that_dies_in_a_push_leaves_it_to_the_next(writer: CausalPolicy, serve: Serve, folder: Path) -> None:
    server = serve()
    asked = sampling(server, folder=folder)
    write(writer, asked)
    server.version = str(Label(Shared(folder).run).so("loading"))  # it said so, paused, and died
    server.resumed.clear()
    assert_right(writer, write(writer, asked), asked, writer)
    assert server.events == PUSH * 2


def test_a_push_that_hangs_is_waited_for_no_longer_than_patience(
    writer: CausalPolicy, serve: Serve, folder: Path
) -> None:
    with open(folder / "lock", "w+") as file:
        file.write("process 77 of somewhere")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ServerError, match=r"within 0\.2 s \(patience\).* process 77 of somewhere"):
            write(writer, sampling(serve(), folder=folder, patience=0.2))


def test_two_runs_at_one_server_are_refused(writer: CausalPolicy, serve: Serve, folder: Path) -> None:
    server = serve()
    asked = sampling(server, folder=folder)
    write(writer, asked)
    server.version = str(Label("another", "is", 3, "abc"))
    with pytest.raises(UsageError, match="serve this run alone"):
        write(writer, asked)


def test_engines_end_with_their_policies(writer: CausalPolicy, serve: Serve, folder: Path) -> None:
    writer = twin(writer)
    write(writer, sampling(serve(), folder=folder))
    assert any(each is writer for each in vllm_server._engines)
    count = len(vllm_server._engines)
    del writer
    assert len(vllm_server._engines) < count


# --------------------------------------------------------------------------------------------------------------- sleep


def test_servers_sleep_between_two_requests(writer: CausalPolicy, serve: Serve, folder: Path) -> None:
    server = serve()
    asked = sampling(server, folder=folder, sleep=1)
    first = write(writer, asked)
    assert server.asleep
    assert texts(write(writer, asked)) == texts(first)
    assert server.events == [*PUSH, "sleep 1", "wake weights", "wake kv_cache", "sleep 1"]
    learn(writer, 1)
    assert_right(writer, write(writer, asked), asked, writer)
    assert server.events[-5:] == ["wake weights", "load", "reset", "wake kv_cache", "sleep 1"]


def test_weights_that_sleep_dropped_are_pushed_again(writer: CausalPolicy, serve: Serve, folder: Path) -> None:
    server = serve()
    asked = sampling(server, folder=folder, sleep=2)
    first = write(writer, asked)
    assert texts(write(writer, asked)) == texts(first)
    assert server.events == [*PUSH, "sleep 2", "wake weights", "load", "reset", "wake kv_cache", "sleep 2"]


def test_the_last_writer_puts_servers_to_sleep(writer: CausalPolicy, serve: Serve, folder: Path) -> None:
    server = serve()
    asked = sampling(server, folder=folder, sleep=1)
    with Shared(folder).using(1.0):  # another one writes
        write(writer, asked)
        assert not server.asleep
    write(writer, asked)
    assert server.asleep


def test_a_server_that_cannot_sleep_is_named(writer: CausalPolicy, serve: Serve, folder: Path) -> None:
    with pytest.raises(UsageError, match="--enable-sleep-mode"):
        write(writer, sampling(serve(sleeps=False), folder=folder, sleep=1))


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"without": ("/weight_info", "/is_sleeping")}, "development mode .* VLLM_SERVER_DEV_MODE=1 vllm serve"),
        ({"without": ("/weight_info",)}, r"vLLM 0\.27 or newer .* got 0\.25\.1"),
        ({"raw": True}, "--logprobs-mode processed_logprobs"),
        ({"max_model_len": 12}, "within 12 tokens .* got 28.* --max-model-len 28"),
    ],
)
def test_a_server_of_another_kind_is_refused(
    writer: CausalPolicy, serve: Serve, folder: Path, how: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        write(writer, sampling(serve(**how), folder=folder))


def test_a_server_of_another_model_is_refused(writer: CausalPolicy, serve: Serve, folder: Path) -> None:
    server = serve()
    server.start = folder / "elsewhere"
    with pytest.raises(UsageError, match=r"serve this policy, got .*elsewhere"):
        write(writer, sampling(server, folder=folder))


def test_a_folder_of_another_vocabulary_is_refused(writer: CausalPolicy, serve: Serve, folder: Path) -> None:
    config = folder / "start" / "config.json"
    size = writer.model.config.vocab_size
    config.write_text(config.read_text().replace(f'"vocab_size": {size}', f'"vocab_size": {size + 7}'))
    with pytest.raises(UsageError, match=rf"vocab_size = {size}, got {size + 7}\..* python -m agents.start_folder"):
        write(writer, sampling(serve(), folder=folder))
    shutil.rmtree(folder / "start")
    with pytest.raises(UsageError, match=r"got none.* python -m agents\.start_folder RECIPE"):
        write(writer, sampling("http://127.0.0.1:9", folder=folder))


def test_weights_that_do_not_fit_are_an_error_that_says_where(
    writer: CausalPolicy, serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()

    def refuse(_: Path) -> None:
        raise Refusal(500, "Internal Server Error")

    monkeypatch.setattr(server, "load", refuse)
    with pytest.raises(ServerError, match=r"to load .*weights-000000.* answered 500.* --load-format dummy"):
        write(writer, sampling(server, folder=folder))
    assert server.resumed.is_set(), "other writers are not kept waiting"
    assert server.version.split("/")[2] == "broken", "and do not take what was loaded"
