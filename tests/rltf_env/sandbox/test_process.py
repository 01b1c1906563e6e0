"""The referee's process, asked to leave."""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from types import ModuleType

import pytest

from rltf_env.sandbox import frames, messages
from rltf_env.sandbox.referee import deadline, process

DEADLINE = "rltf_env.sandbox.referee.deadline"


@pytest.fixture(autouse=True)
def _signals() -> object:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("half", [None, ModuleType(DEADLINE)], ids=["not imported", "half imported"])
def test_one_that_is_asked_while_it_starts_leaves_without_a_word(
    half: ModuleType | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, DEADLINE)
    if half:
        monkeypatch.setitem(sys.modules, DEADLINE, half)
    with pytest.raises(SystemExit) as left:
        process._leave(signal.SIGTERM, None)
    assert type(left.value) is SystemExit
    assert left.value.code == 0


def test_one_that_judges_leaves_by_an_exit_that_no_test_hears() -> None:
    with pytest.raises(deadline.Leave):
        process._leave(signal.SIGTERM, None)


def test_one_whose_caller_went_before_it_could_answer_ends_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    desk = object.__new__(process._Desk)
    desk.frames, desk.messages, desk.outbox, desk.waiting = frames, messages, writing, deque(["a job"])
    monkeypatch.setattr(desk, "_receive_all", lambda: None)
    monkeypatch.setattr(desk, "_judge", lambda job: desk._send(messages.Failed(1, "", "")))
    desk.work()
    os.close(writing)
