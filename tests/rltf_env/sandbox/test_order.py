"""The order in which a test and its copies run says nothing, whatever a program does."""

from __future__ import annotations

import marshal
from typing import Any

from rltf_env.sandbox.referee.suite import read
from rltf_env.sandbox.referee.together import Together

JUDGED = 60
OPTIONS = {"packages": [], "case_seconds": 1.0, "wall_seconds": 5.0, "program_seconds": 9.0, "kept_output": 100}
RIGHT = "def f(n): return n + 1"


class Cage:
    """Runs the reference on what it is given; of any other program nothing is left. Remembers what it was given."""

    def __init__(self) -> None:
        self.codes: list[Any] = []

    def __call__(self, source: str, request: bytes, count: int, isolate: bool) -> tuple[Any, list[Any], Any]:
        ((_, job),) = marshal.loads(request)
        data = b'{"ok": 1}\n'
        if source == RIGHT:
            data += b'{"missing": [], "results": [{"id": "", "status": "%s"}]}\n' % self._status(job["codes"])
        elif source == "dies":
            self.codes.append(job["codes"])
        return None, [({"status": 0, "seconds": 0.0, "wall": 0.0, "end": ""}, b"", data)], None

    def _status(self, codes: list[bytes]) -> bytes:
        namespace = {"f": lambda n: n + 1}
        try:
            for code in map(marshal.loads, codes):
                exec(code, namespace)
            return b"passed"
        except AssertionError:
            return b"failed"


def test_a_program_that_ends_in_a_copy_does_not_know_that_the_test_comes_next() -> None:
    cage = Cage()
    together = Together(read(["assert f(1) == 2\nassert f(5) == 6"], "f", {"f"}, []), "f", [RIGHT], OPTIONS)
    together.prove(cage)
    real = marshal.loads(together.evidence.real)
    seconds = []
    for _ in range(JUDGED):
        cage.codes = []
        together.judge("dies", cage)
        assert cage.codes[-1] == real
        seconds += [codes == real for codes in cage.codes[1:2]]
    assert set(seconds) == {True, False}
