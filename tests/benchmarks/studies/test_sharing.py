"""Locks of a study's folder."""

from __future__ import annotations

import threading
from pathlib import Path

from benchmarks.studies.sharing import held


def test_a_lock_that_another_has_is_not_waited_for(tmp_path: Path) -> None:
    with held(tmp_path / "new" / "grpo.lock") as first, held(tmp_path / "new" / "grpo.lock") as second:
        assert (first, second) == (True, False)
    with held(tmp_path / "new" / "grpo.lock") as again:
        assert again


def test_a_lock_is_waited_for_where_that_is_asked(tmp_path: Path) -> None:
    got = threading.Event()

    def wait() -> None:
        with held(tmp_path / "warm.lock", wait=True) as mine:
            assert mine
            got.set()

    with held(tmp_path / "warm.lock"):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not got.wait(0.05)
    waiting.join(60)
    assert got.is_set()
