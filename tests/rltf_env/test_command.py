"""What ends a command early is a sentence: refused files, full disks, Ctrl-C, a reader that has gone."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rltf_env.command import check_writable, explain, guarded, importing
from rltf_env.errors import MissingData, UsageError

NOBODY = 65534


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Takes root's privileges away for a block: permissions mean nothing to root."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(was)


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder that an ordinary user may read, and not write."""
    for above in (tmp_path, *tmp_path.parents):
        if above.stat().st_uid == os.geteuid() and not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)


def fails(error: BaseException) -> int:
    """Runs a command that ends with this error."""

    def work() -> int:
        raise error

    return guarded(work, "Stopped here.")


def test_the_status_of_work_that_ends_well_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: 1) == 1
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (UsageError("Expected this."), 2, "UsageError: Expected this.\n"),
        (MissingData("Expected data."), 2, "MissingData: Expected data.\n"),
        (KeyboardInterrupt(), 130, "Stopped here.\n"),
        (KeyboardInterrupt("After update 3."), 130, "After update 3.\n"),
    ],
)
def test_an_error_of_the_users_making_is_one_line(
    capsys: pytest.CaptureFixture[str], error: BaseException, status: int, words: str
) -> None:
    assert fails(error) == status
    assert capsys.readouterr().err == words


def test_a_mistake_of_the_projects_own_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        fails(ZeroDivisionError())
    with pytest.raises(OSError, match="of a socket"):
        fails(OSError(errno.ENOTSOCK, "of a socket"))


def test_a_folder_that_may_not_be_written_is_a_sentence_with_its_owner(
    closed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        (closed / "run").mkdir()
        return 0

    with ordinary_user():
        assert guarded(work) == 2
    words = capsys.readouterr().err
    assert words.startswith(f"PermissionError: Expected to be allowed to use '{closed}/run', got 'Permission denied'")
    assert f"'{closed}' belongs to " in words
    assert "(dr-xr-xr-x), and you are " in words
    assert words.count("\n") == 1


def test_an_error_of_the_disk_is_found_behind_that_of_a_library(capsys: pytest.CaptureFixture[str]) -> None:
    wrapped = RuntimeError("serialisation failed")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device", "/somewhere/weights")
    assert fails(wrapped) == 2
    assert "Expected room on the disk for '/somewhere/weights', got a full disk." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.EROFS, "a read-only file system"),
        (errno.ENOTDIR, "a file where a folder should be"),
        (errno.EISDIR, "a folder"),
        (errno.ENOENT, "nothing there"),
    ],
)
def test_each_refusal_of_the_system_has_its_words(code: int, words: str) -> None:
    assert f"Expected to use '/out/x', got {words}" in explain(OSError(code, "as C has it", "/out/x"))


def test_a_file_that_is_written_aside_is_told_as_its_folder() -> None:
    error = OSError(errno.EROFS, "", "/out/.x.quarantine.json.27853.new")
    assert "Expected to use '/out', got" in explain(error)


def test_where_nothing_can_be_written_is_said_before_the_work(closed: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_writable(tmp_path / "new" / "page.html")
    check_writable(tmp_path / "file")
    check_writable(tmp_path, folder=True)
    assert not (tmp_path / "new").exists()
    with pytest.raises(UsageError, match="got a folder"):
        check_writable(tmp_path)
    with pytest.raises(UsageError, match="got a file where a folder should be"):
        check_writable(tmp_path / "file" / "page.html")
    with ordinary_user(), pytest.raises(UsageError, match="Permission denied"):
        check_writable(closed / "new" / "page.html")
    closed.chmod(0o444)  # not even to be entered
    with ordinary_user(), pytest.raises(UsageError, match="Permission denied"):
        check_writable(closed / "new" / "page.html")


def test_a_reader_that_has_gone_ends_a_command_quietly() -> None:
    code = (
        "import sys\nfrom rltf_env.command import guarded\n"
        "def work():\n    while True: sys.stdout.write('line ' * 1000)\nsys.exit(guarded(work))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline(10)
        process.stdout.close()
        assert process.wait(20) == 141
        assert process.stderr.read() == ""


def test_a_reader_that_has_gone_ends_a_command_that_writes_with_rich_alike(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        try:
            raise BrokenPipeError
        except BrokenPipeError:
            raise SystemExit(1)  # noqa: B904 - as rich.console.Console.on_broken_pipe does

    assert guarded(work) == 141
    assert capsys.readouterr() == ("", "")


def test_an_exit_that_a_command_asks_for_is_its_own() -> None:
    with pytest.raises(SystemExit, match="7"):
        fails(SystemExit(7))


def test_ctrl_c_ends_a_command_though_what_it_imports_swallows_it() -> None:
    code = (
        "import os, signal\nfrom rltf_env.command import importing\nwith importing('Stopped here.'):\n"
        "    try:\n        os.kill(os.getpid(), signal.SIGINT)\n        for _ in range(1000): pass\n"
        "    except BaseException:\n        pass\nprint('went on')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "Stopped here.\n")


def test_after_the_imports_ctrl_c_means_what_it_meant() -> None:
    before = signal.getsignal(signal.SIGINT)
    with importing():
        assert (signal.getsignal(signal.SIGINT) is before) == (before is not signal.default_int_handler)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("encoding", "text", "written"), [("ascii", "\xfc", b"\\xfc\n"), ("utf-8", "\xfc\ud800", b"\xc3\xbc\\ud800\n")]
)
def test_a_character_that_cannot_be_written_is_escaped(
    encoding: str, text: str, written: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    assert guarded(lambda: 0 * out.write(f"{text}\n")) == 0
    out.flush()
    assert out.buffer.getvalue() == written  # type: ignore[attr-defined]
