"""Checkpoints: whole or not there; a full disk takes nothing away. The disk is full for real: writes go to /dev/full."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from agents.running import checkpoint, files
from rltf_env.errors import DataError

needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


def fill_disk(path: Path) -> None:
    """Makes the next write of `path` by this process meet a full disk."""
    path.with_name(f".{path.name}.{os.getpid()}.tmp").symlink_to("/dev/full")


def state(number: int) -> dict[str, Any]:
    return {"step": number, "tensor": torch.arange(100_000.0) + number}


def test_the_newest_two_are_kept_and_the_newest_is_read(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, state(step))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000002.pt", "step-000003.pt"]
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found["step"] == 3
    assert torch.equal(found["tensor"], state(3)["tensor"])


def test_a_million_comes_after_the_number_before(tmp_path: Path) -> None:
    for step in (999_998, 999_999, 1_000_000):
        checkpoint.save(tmp_path, step, {"step": step})
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found["step"] == 1_000_000
    assert not (tmp_path / "step-999998.pt").exists()


def test_none_where_there_is_none(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path / "nowhere") is None


def test_a_half_written_one_is_not_seen_and_cleared_away(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, state(1))
    half = tmp_path / ".step-000002.pt.4711.tmp"
    half.write_bytes((tmp_path / "step-000001.pt").read_bytes()[:5000])
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found["step"] == 1
    assert not half.exists()


def test_one_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 1, state(1))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match="Remove it to continue from the one before"):
        checkpoint.latest(tmp_path)


def test_one_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "trapped"),)

    torch.save({"step": 1, "x": Trap()}, tmp_path / "step-000001.pt")
    with pytest.raises(DataError):
        checkpoint.latest(tmp_path)
    assert not (tmp_path / "trapped").exists()


@needs_full
def test_a_full_disk_keeps_the_last_good_one(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, state(1))
    fill_disk(tmp_path / "step-000002.pt")
    with pytest.raises(DataError, match=r"full disk.*free some space and start the same command again"):
        checkpoint.save(tmp_path, 2, state(2))
    assert [p.name for p in tmp_path.iterdir()] == ["step-000001.pt"]
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found["step"] == 1


@needs_full
def test_a_full_disk_keeps_the_old_text(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text("old")
    fill_disk(path)
    with pytest.raises(DataError, match=r"room for summary\.json"):
        files.write_atomically(path, lambda file: file.write(b"new" * 10_000))
    assert path.read_text() == "old"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_known_below_other_errors(tmp_path: Path, code: int) -> None:
    with pytest.raises(DataError, match="full disk"), files.disk_full_as_error(tmp_path):
        raise RuntimeError("could not write") from OSError(code, "full")


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="something else"), files.disk_full_as_error(tmp_path):
        raise RuntimeError("something else")
    with pytest.raises(PermissionError):
        files.write_atomically(tmp_path / "x", lambda file: (_ for _ in ()).throw(PermissionError()))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    for name in ("old", "new"):
        files.write_folder(path, lambda folder, name=name: (folder / name).write_text(name) and None)
    assert [p.name for p in tmp_path.rglob("*")] == ["policy", "new"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
@pytest.mark.parametrize("before", [True, False])
def test_a_folder_that_was_cut_off_leaves_the_old_one(tmp_path: Path, before: bool, error: BaseException) -> None:
    path = tmp_path / "policy"
    if before:
        path.mkdir()
        (path / "config.json").write_text("old")

    def save(folder: Path) -> None:
        (folder / "config.json").write_text("new")
        assert path.exists() == before
        raise error

    with pytest.raises((KeyboardInterrupt, DataError)):
        files.write_folder(path, save)
    assert [p.name for p in tmp_path.rglob("*")] == ["policy", "config.json"] * before
    assert not before or (path / "config.json").read_text() == "old"


def test_leftovers_of_a_killed_writer_are_no_hindrance(tmp_path: Path) -> None:
    for name in (".policy.tmp", ".policy.old.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_text("half")
    files.write_folder(tmp_path / "policy", lambda folder: (folder / "new").write_text("new") and None)
    assert [p.name for p in tmp_path.rglob("*")] == ["policy", "new"]
