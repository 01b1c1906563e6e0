"""Programs whose user has other processes, which the kernel counts with theirs: these neither fail for it nor go without limit."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from processes import linux

from rltf_env import sandbox
from rltf_env.core import Outcome, Problem, StdinCase
from rltf_env.sandbox.cage import isolation

pytestmark = linux
SQUARE = Problem("square", "", [StdinCase("3\n", "9\n")])
FORKS = """
import os
from rltf_env.sandbox.cage.crowd import Crowd

user, others = {user}, {others}
reading, writing = os.pipe()
if os.getuid() == 0:
    os.setresuid(user, user, user)


def fork():
    if not os.fork():
        os.close(writing)
        os.read(reading, 1)  # until the one that counts has gone
        os._exit(0)


for _ in range(others):
    fork()
crowd = Crowd(10)
crowd.count()
crowd.limit()
for made in range(100):
    try:
        fork()
    except BlockingIOError:
        print(made)
        break
"""


@pytest.mark.parametrize("others", [0, 30, 150])
def test_a_program_may_have_as_many_processes_however_many_its_user_has(others: int) -> None:
    code = FORKS.format(user=isolation.free_user(), others=others)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert 8 <= int(done.stdout) <= 16, done.stderr


BOMB = """
import os, time
from rltf_env.sandbox.cage import clock, isolation
from rltf_env.sandbox.cage.crowd import Crowd

user = {user}
isolation.adopt_orphans()
if os.getuid() == 0:
    os.setresuid(user, user, user)
crowd = Crowd(30)
crowd.count()
crowd.limit()
if not os.fork():
    while True:
        try:
            os.fork()
        except BlockingIOError:
            pass
while len(clock.below("self")) < 25:
    time.sleep(0.01)
clock.end_children()
print(clock.below("self"))
"""


def test_what_forks_without_end_is_ended() -> None:
    code = BOMB.format(user=isolation.free_user())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout == "[]\n", done.stderr


@pytest.fixture
def threads() -> Iterator[None]:
    enough = threading.Event()
    several = [threading.Thread(target=enough.wait) for _ in range(150)]
    for each in several:
        each.start()
    yield
    enough.set()
    for each in several:
        each.join()


@pytest.mark.skipif(os.getuid() == 0, reason="for an ordinary user")
@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("backend", ["forkserver", "subprocess"])
def test_a_caller_with_many_threads_costs_no_program_its_own(backend: str) -> None:
    program = "import threading\nthreading.Thread(target=lambda: print(int(input()) ** 2)).start()"
    without = (*isolation.NAMESPACES, "user", "root")
    with sandbox.load(backend, workers=1, without=without) as judge:
        assert judge.run(program, SQUARE).outcome is Outcome.PASSED
