"""What the caller's process and the referee say to each other, and how it gets across."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator

import pytest

from rltf_env.sandbox import messages
from rltf_env.sandbox.board import Board, Note
from rltf_env.sandbox.frames import read_frame, write_frame
from rltf_env.sandbox.pool.channel import Channel

if sys.platform != "linux":
    pytest.skip("pipes of a chosen size", allow_module_level=True)

import fcntl

from rltf_env.sandbox.referee import precompile

EXAMPLES = [
    messages.Judge(1, "x = 'é\\n'", 7, [3], {"cases": []}),
    messages.Judge(1, "", 7, []),
    messages.Cancel([1, 2]),
    messages.CalmGranted(),
    messages.Ready("full", ["pid"]),
    messages.NotReady("no"),
    messages.Judged(1, [[3, None, 0.5, "out"]], [1, 2]),
    messages.Judged(1, [], None, last=True),
    messages.Unjudgeable(1, "why"),
    messages.Failed(1, "error", "trace"),
    messages.CalmWanted(1),
    messages.Lost("gone"),
]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_messages_arrive_as_they_were(message: messages.Message) -> None:
    arrived = messages.decode(messages.encode(message))
    assert type(arrived) is type(message)
    assert arrived == message


def test_every_kind_of_message_is_tried() -> None:
    assert {type(message) for message in EXAMPLES} == set(messages._KINDS.values())


def test_a_field_that_is_json_already_is_not_written_twice() -> None:
    job = messages.decode(messages.encode(messages.Judge(1, "x", 7, []), '{"cases": [1]}'))
    assert job == messages.Judge(1, "x", 7, [], {"cases": [1]})


@pytest.mark.parametrize("payload", [b'["Judgement", 1]', b'["Cancel"]', b'["Cancel", 1, 2]', b"["])
def test_what_is_no_message_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="Expect"):
        messages.decode(payload)


# ---------------------------------------------------------------------------------------------------------- channel


class Ends:
    """A channel, and the descriptors of the process on the other side; its pipes hold a page."""

    def __init__(self) -> None:
        pipes = [os.pipe(), os.pipe()]
        for _, writing in pipes:
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        (self.read, to_it), (from_it, self.write) = pipes
        self.channel = Channel(os.fdopen(from_it, "rb", 0), os.fdopen(to_it, "wb", 0))

    def close(self) -> None:
        self.channel.close()
        for fd in (self.read, self.write):
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def ends() -> Iterator[Ends]:
    opened = Ends()
    yield opened
    opened.close()


def test_both_sides_may_send_more_than_a_pipe_holds_at_once(ends: Ends) -> None:
    requests, replies = [os.urandom(50_000) for _ in range(20)], [os.urandom(30_000) for _ in range(20)]
    received: list[bytes] = []

    def other_side() -> None:  # it writes an answer before it reads on, as the referee does
        for reply in replies:
            received.append(read_frame(ends.read))
            write_frame(ends.write, reply)

    thread = threading.Thread(target=other_side, daemon=True)
    thread.start()
    for request in requests:
        ends.channel.send(request)
    assert [ends.channel.receive(20) for _ in replies] == replies
    thread.join(20)
    assert received == requests


def test_sending_never_waits(ends: Ends) -> None:
    ends.channel.send(b"x" * (4 << 20))
    assert ends.channel.receive(0) is None
    assert ends.channel.receive(0.01) is None


def test_what_comes_piece_by_piece_is_put_together(ends: Ends) -> None:
    write_frame(ends.write, b"first")
    os.write(ends.write, b"\x06\0\0\0\0")
    assert ends.channel.receive(1) == b"first"
    assert ends.channel.receive(0.01) is None
    os.write(ends.write, b"\0\0\0sec")
    assert ends.channel.receive(0.01) is None
    os.write(ends.write, b"ond")
    assert ends.channel.receive(1) == b"second"


def test_the_last_frames_of_a_process_are_read_though_it_takes_no_more(ends: Ends) -> None:
    write_frame(ends.write, b"last")
    os.close(ends.read)
    os.close(ends.write)
    ends.read = ends.write = -1
    ends.channel.send(b"too late")
    assert ends.channel.receive(1) == b"last"
    with pytest.raises(EOFError):
        ends.channel.receive(1)


def test_a_closed_channel_writes_into_no_other_file(ends: Ends) -> None:
    ends.channel.close()
    reading, writing = os.pipe()  # it has the number of one of those that were closed
    ends.channel.send(b"x")
    os.close(writing)
    assert os.read(reading, 1) == b""
    os.close(reading)


# ------------------------------------------------------------------------------------------------------------ board


def test_a_board_tells_which_job_a_referee_began_with_last() -> None:
    board = Board(2)
    notes = [Note(board.fd, place) for place in range(2)]
    assert [board.job(0), board.job(1)] == [0, 0]
    notes[0].begin(5)
    notes[1].begin(6)
    assert [board.job(0), board.job(1)] == [5, 6]
    board.clear(1)
    assert [board.job(0), board.job(1)] == [5, 0]
    notes[1].calm_pace = 0.5
    notes[0].calm_pace = 0.7
    assert [note.calm_pace for note in notes] == [0.5, 0.5], "the least of what was measured"
    board.close()
    board.close()


def test_without_a_board_a_referee_remembers_for_itself() -> None:
    note = Note(-1, 0)
    note.begin(5)
    assert note.calm_pace == float("inf")
    note.calm_pace = 0.5
    assert note.calm_pace == 0.5


# --------------------------------------------------------------------------------------------------------- compiler


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_asking_the_compiler_never_blocks_in_pipes_of_two_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    def small() -> tuple[int, int]:
        reading, writing = pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 2 * 4096)
        return reading, writing

    pipe = os.pipe
    monkeypatch.setattr(os, "pipe", small)
    compiler = precompile.Compiler()
    sources = [f"x = {i}\n" + "".join(f"y{j} = {j}\n" for j in range(60 + 200 * (i % 3))) for i in range(60)]
    asking = threading.Thread(target=lambda: [compiler.ask(source) for source in sources], daemon=True)
    asking.start()
    asking.join(20)
    assert not asking.is_alive(), "it waits for room"
    assert compiler.answer(sources[0])
    compiler.close()
