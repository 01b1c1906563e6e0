"""Signs of life: at once, again after silence, never while something else is printed."""

from __future__ import annotations

import threading

from rltf_env.heartbeat import Heartbeat


def test_what_begins_is_told_at_once_and_again_while_it_takes_long() -> None:
    said: list[str] = []
    thrice = threading.Event()

    def say(text: str) -> None:
        said.append(text)
        if len(said) == 3:
            thrice.set()

    with Heartbeat(say, seconds=0.01) as pulse:
        pulse.begin("loading")
        pulse.doing("loading", "2 of 3")
        assert thrice.wait(20)
    assert said[0] == "loading"
    assert said[1].startswith("loading, 2 of 3, ")
    assert said[1].endswith(" s")


def test_what_is_printed_anyway_needs_no_line() -> None:
    said: list[str] = []
    with Heartbeat(said.append, seconds=1000) as pulse:
        pulse.doing("working")
        assert not pulse.silent()
    assert not said


def test_nobody_is_told_of_nothing() -> None:
    with Heartbeat() as pulse:
        pulse.begin("loading")
    assert pulse.line().startswith("loading")
