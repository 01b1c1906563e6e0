"""Programs of the battery, see `_battery.py`: those that turn on the judge itself, and on the program that comes after them.

They forge results in every way, stop and signal what they came from, set what a next program would inherit, leave folders
that cannot be removed, put files in the place of the judge's own, and queue, hoard and wait.
"""

from __future__ import annotations

PROGRAMS = r"""
=== stop_parent | add | fail | stops the process that it came from, and leaves
import os, signal
def add(a, b):
    os.kill(os.getppid(), signal.SIGSTOP)
    return a - b
=== stop_parent_stdin | square | fail | the same, from a program that prints
import os, signal
try:
    os.kill(os.getppid(), signal.SIGSTOP)
except OSError:
    pass
print(int(input()) + 1)
=== stop_everybody | add | fail | a child stops whatever it can, for ever
import os, signal
def add(a, b):
    if not os.fork():
        os.setsid()
        while True:
            for pid in range(1, 40):
                if pid != os.getpid():
                    try:
                        os.kill(pid, signal.SIGSTOP)
                    except OSError:
                        pass
    return a - b
=== append_flag | square | Passed | sets a flag of its standard output that the next program would inherit
import fcntl, os
fcntl.fcntl(1, fcntl.F_SETFL, os.O_APPEND)
os.write(1, str(int(input()) ** 2).encode())
=== rewrite_in_place | square | Passed | goes back in its output and writes over it: no flag of an earlier program is in the way
import os
answer = str(int(input()) ** 2).encode()
os.write(1, b"x" * len(answer))
os.lseek(1, 0, 0)
os.write(1, answer)
=== module_state | add | Passed | leaves a mark on a module, which its next call must not find
import math
math.calls = getattr(math, "calls", 0) + 1
def add(a, b):
    return a + b if math.calls == 1 else 0
=== module_state_stdin | square | Passed | the same, where all cases might share a process
import math
math.calls = getattr(math, "calls", 0) + 1
print(int(input()) ** 2 if math.calls == 1 else 0)
=== class_state_stdin | square | Passed | a mark on a class of the library
import collections
collections.Counter.calls = getattr(collections.Counter, "calls", 0) + 1
print(int(input()) ** 2 if collections.Counter.calls == 1 else 0)
=== forge_deep | add | fail | a forged result that is nested beyond what JSON's reader can take
import os
def add(a, b):
    os.write(3, b'{"v": ' + b"[" * 200000 + b"]" * 200000 + b"}\n")
    os._exit(0)
=== forge_deep_first | add | fail | the same, before it is asked
import os
os.write(3, b'{"ok": 1}\n{"v": 1}\n{"v": ' + b'{"t": [' * 100000 + b"]}" * 100000 + b"}\n")
os._exit(0)
=== forge_many_lines | add | fail | millions of forged results
import os
os.write(3, b"{}\n" * 5_000_000)
os._exit(0)
=== forge_newlines | add | fail | sixteen million empty ones
import os
os.write(3, b"\n" * ((1 << 20) - 10))
os._exit(0)
=== forge_collisions | add | fail | a forged dictionary whose keys all have the same hash
import os
keys = b", ".join(b"[%d, 0]" % (i * (2 ** 61 - 1)) for i in range(30000))
os.write(3, b'{"ok": 1}\n{"h": 0}\n{"v": {"d": [' + keys + b"]}}\n")
os._exit(0)
=== forge_types | add | fail | forged results of the wrong types, everywhere
import os
parts = (
    b'{"v": {"i": "zz"}}',
    b'{"v": {"t": 5}}',
    b'{"v": {"d": [1]}}',
    b'{"v": {"x": 1e308}}',
    b'{"v": {"r": [0, "a"]}}',
    b'{"v": {"n": "eval"}}',
    b'{"v": {"c": "12"}}',
    b'{"v": {"F": [1, 0]}}',
    b'{"v": {"D": []}}',
)
def add(a, b):
    for part in parts:
        os.write(3, part + b"\n")
    os._exit(0)
=== forge_exponent | add | fail | a number with an exponent that nobody can write out
import os
def add(a, b):
    os.write(3, b'{"v": {"D": "1e999999999999999999"}}\n{"v": 1e400}\n')
    os._exit(0)
=== forge_exception | add | fail | a forged exception with everything out of proportion
import os
def add(a, b):
    line, bases = b"9" * 4000, b'"Exception", ' * 9000 + b"[]"
    message = b"\\u001b]0;owned\\u0007\\udc80" + b"m" * 100000
    os.write(3, b'{"e": {"kind": "' + b"K" * 500000 + b'", "own": 1, "line": ' + line + b', "bases": [')
    os.write(3, bases + b'], "message": "' + message + b'"}}\n')
    os._exit(0)
=== forge_exit | add | Exited | a forged exit status
import os
def add(a, b):
    os.write(3, b'{"x": {"a": [1, 2, 3]}}\n')
    os._exit(0)
=== forge_batch | square | fail | says that all cases went well before there was one
import os
os.write(1, b"9\n")
os.write(3, b'{"case": 0, "out": 2, "cpu": 0.000001, "status": 0}\n{"case": 1, "out": 2, "cpu": 0.000001, "status": 0}\n')
os._exit(0)
=== forge_not_utf8 | add | fail | results that are no text
import os
def add(a, b):
    os.write(3, b'{"v": "\xff\xfe"}\n\x00\xff{"v": 3}\n')
    os._exit(0)
=== surrogate_message | add | ValueError@2 | a message that no terminal can print
def add(a, b):
    raise ValueError("\udc80\x1b[2J")
=== surrogate_result | add | WrongAnswer | a text that is no text
def add(a, b):
    return "\udc80" * 10
=== long_class_name | add | Exception/WrongAnswer/fail | an exception whose name is longer than its program
def add(a, b):
    raise type("E" * 1_000_000, (Exception,), {})
=== control_class_name | add | Exception | a name that writes on the terminal
def add(a, b):
    raise type("\x1b[31mPassed", (Exception,), {})
=== huge_result_int | add | WrongAnswer | a number of a million digits
def add(a, b):
    return 1 << 3_000_000
=== minus_zero | add | WrongAnswer | -0.0 is not 3
def add(a, b):
    return -0.0 * (a + b)
=== infinite | add | WrongAnswer | nor is infinity
def add(a, b):
    return float("inf")
=== huge_float_text | square | WrongAnswer | a number whose exponent is enormous
print("9e" + "9" * 200)
=== decimal_result | add | Passed/WrongAnswer | the sum, as a Decimal
from decimal import Decimal
def add(a, b):
    return Decimal(a) + Decimal(b)
=== fraction_result | add | Passed/WrongAnswer | the sum, as a Fraction
from fractions import Fraction
def add(a, b):
    return Fraction(a + b)
=== decimal_exponent | add | WrongAnswer | a Decimal that would not fit into any memory
from decimal import Decimal
def add(a, b):
    return Decimal("1e999999999999")
=== odd_keys | add | WrongAnswer | keys that are texts and lie about it
class Key(str):
    __eq__ = lambda self, other: True
    __hash__ = lambda self: 0
def add(a, b):
    return {Key("a"): 1, "a": 2}
=== alias_bomb | add | Unrepresentable/WrongAnswer/MemoryLimit/OutputLimit/Timeout | small in memory, endless when written out
def add(a, b):
    result = [0]
    for _ in range(60):
        result = [result, result]
    return result
=== result_mutates | add | WrongAnswer/fail | a list that grows while it is looked at
class Growing(list):
    def __iter__(self):
        self.append(0)
        return super().__iter__()
    __len__ = lambda self: 0
def add(a, b):
    return Growing([a + b])
=== own_mem | add | fail | writes into its own memory, where the harness is
import os, re
def add(a, b):
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "r+b", 0) as mem:
        for line in maps:
            low, high = (int(x, 16) for x in line.split()[0].split("-"))
            if "r-xp" in line and "python" in line:
                mem.seek(low)
                mem.write(b"\xcc" * 4096)
    return a - b
=== io_uring | add | ForbiddenCall | asks for a queue of system calls that no filter sees
import ctypes
def add(a, b):
    ctypes.CDLL(None).syscall(425, 8, ctypes.create_string_buffer(200))
    return a + b
=== clone3_namespaces | add | fail | clone3, whose flags a filter cannot read
import ctypes, struct
def add(a, b):
    args = struct.pack("=8Q", 0x10000000, 0, 0, 0, 17, 0, 0, 0)
    if ctypes.CDLL(None, use_errno=True).syscall(435, args, 64) < 0:
        raise OSError(ctypes.get_errno(), "clone3")
    return a - b
=== old_calls | add | ForbiddenCall/Killed | a system call by its 32-bit number
import ctypes, mmap
def add(a, b):
    ctypes.CDLL(None).syscall(0x40000000 + 57)
    return a + b
=== keyring | add | ForbiddenCall | the kernel's keyring, which outlives a process
import ctypes
def add(a, b):
    ctypes.CDLL(None).syscall(248, b"user", b"rltf", b"x", 1, -3)
    return a + b
=== file_owner | add | fail | lets the kernel send a signal in its name
import fcntl, os, signal
def add(a, b):
    r, w = os.pipe()
    for pid in (os.getppid(), 1):
        try:
            fcntl.fcntl(r, fcntl.F_SETOWN, pid)
            fcntl.fcntl(r, 10, signal.SIGKILL)
            fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC)
            os.write(w, b"x")
        except OSError:
            pass
    return a - b
=== sibling | add | fail | a child that is its parent's, not its own
import ctypes, os, time
def add(a, b):
    pid = ctypes.CDLL(None).syscall(56, 0x8000 | 17, 0, 0, 0, 0)
    if pid == 0:
        time.sleep(1000)
    return a - b
=== fork_chain | add | Passed | a child that is never the same for long: every process forks the next and ends
import os
def add(a, b):
    if not os.fork():
        os.setsid()
        while True:
            if os.fork():
                os._exit(0)
    return a + b
=== vfork_chain | add | Passed/fail | the same, as fast as it can be
import ctypes, os
libc = ctypes.CDLL(None)
def add(a, b):
    if not os.fork():
        while True:
            if libc.fork():
                libc._exit(0)
    return a + b
=== deep_folders | add | Passed | a thousand folders inside each other
import os
home = os.getcwd()
def add(a, b):
    os.chdir(home)
    for _ in range(1500):
        os.mkdir(f"d{a}")
        os.chdir(f"d{a}")
    return a + b
=== locked_names | add | Passed | names that whoever cleans up might use
import os
def add(a, b):
    for number in range(50):
        os.makedirs(f".{number}.rltf/x", exist_ok=True)
    return a + b
=== sparse_file | add | Passed/OSError/FileLimit | a file that says it is large
def add(a, b):
    with open("sparse", "wb") as file:
        file.truncate(1 << 19)
    return a + b
=== shm_flood | add | fail | fills shared memory
def add(a, b):
    for number in range(10000):
        with open(f"/dev/shm/x{number}", "wb") as file:
            file.write(b"x" * 500_000)
    return a - b
=== odd_file_names | add | Passed | names that are no text
import os
def add(a, b):
    for name in (b"\xff\xfe", b"new\nline", b"x" * 255, b"-rf"):
        open(name, "w").close()
    os.symlink("/", f"root{a}")
    os.symlink(f"loop{a}", f"loop{a}")
    os.mkfifo(f"pipe{a}")
    return a + b
=== replace_streams | square | fail | puts other files in the place of the judge's
import os
for name in ("stdout", "result", "said", "lines", "request"):
    for folder in ("..", "/tmp", "."):
        try:
            os.rename(f"{folder}/{name}", f"{folder}/{name}.old")
        except OSError:
            pass
        try:
            os.symlink("/etc/passwd", f"{folder}/{name}")
        except OSError:
            pass
print("root")
=== fifo_streams | square | fail | or pipes that nobody writes to
import os
for name in ("stdout", "result", "said", "lines", "request"):
    for folder in ("..", "/tmp", "."):
        try:
            os.unlink(f"{folder}/{name}")
        except OSError:
            pass
        try:
            os.mkfifo(f"{folder}/{name}")
        except OSError:
            pass
print("root")
=== said_garbage | square | fail | writes nonsense where the process spoke of itself
for name in ("said", "lines", "result"):
    try:
        open(f"../{name}", "w").write("{{{" * 1000)
    except OSError:
        pass
print("root")
=== audit_hook | add | fail | an audit hook that forbids everything
import sys
def hook(*args):
    raise RuntimeError("no")
sys.addaudithook(hook)
def add(a, b):
    return a - b
=== faulthandler_dump | add | WrongAnswer/fail | has its stack written among its results
import faulthandler
def add(a, b):
    faulthandler.dump_traceback(3)
    return a - b
=== faulthandler_later | add | Timeout | and later again and again
import faulthandler
faulthandler.dump_traceback_later(0.01, repeat=True, file=3)
def add(a, b):
    while True:
        pass
=== xcpu_handler | add | Timeout | hears the signal of its limit, and goes on
import signal
signal.signal(signal.SIGXCPU, lambda *args: None)
def add(a, b):
    while True:
        pass
=== alarm_storm | add | Timeout | a signal every microsecond
import signal
signal.signal(signal.SIGALRM, lambda *args: None)
signal.setitimer(signal.ITIMER_REAL, 1e-6, 1e-6)
def add(a, b):
    while True:
        pass
=== signal_queue | add | Timeout/fail | queues signals for its parent without end
import os, signal
def add(a, b):
    while True:
        try:
            os.kill(os.getppid(), signal.SIGCHLD)
        except OSError:
            pass
=== fd_exhaustion | add | OSError@4 | opens files until there can be no more
hold = []
def add(a, b):
    while True:
        hold.append(open("/dev/null"))
=== pipe_memory | add | OSError/MemoryLimit/PermissionError/Timeout/BlockingIOError | fills the kernel's buffers
import fcntl, os
hold = []
def add(a, b):
    while True:
        r, w = os.pipe()
        hold.append(r)
        fcntl.fcntl(w, 1031, 1 << 20)
        os.write(w, b"x" * (1 << 20))
=== inotify | add | Passed/OSError | watches that nobody takes away
import ctypes
libc = ctypes.CDLL(None)
def add(a, b):
    fd = libc.inotify_init()
    libc.inotify_add_watch(fd, b"/tmp", 0xFFF)
    return a + b
=== abstract_socket | add | PermissionError/OSError | a socket with a name in no folder
import socket
def add(a, b):
    s = socket.socket(socket.AF_UNIX)
    s.bind("\0rltf")
    return a + b
=== netlink | add | PermissionError/OSError | a socket to the kernel
import socket
def add(a, b):
    s = socket.socket(16, 3, 0)
    return a + b
=== huge_stack | square | Passed/fail/MemoryLimit/ValueError/RuntimeError | a thread with a stack of half a gigabyte
import sys, threading
sys.setrecursionlimit(10 ** 9)
threading.stack_size(1 << 29)
def deep(n):
    return deep(n + 1)
t = threading.Thread(target=deep, args=(0,))
t.start()
t.join()
print(1)
=== stdin_closed | square | Passed | closes standard input when it has read it
import sys
n = int(input())
sys.stdin.close()
print(n * n)
=== stdin_rewritten | square | Passed | reads its input twice, and writes over it
import os
n = int(os.read(0, 100))
os.lseek(0, 0, 0)
os.write(0, b"7\n")
print(n * n)
=== stdout_truncate_huge | square | OutputLimit/WrongAnswer/FileLimit/OSError/fail | makes its output look endless
import os
os.ftruncate(1, 1 << 20)
=== del_at_exit | square | WrongAnswer | speaks when it is taken down
class Late:
    def __del__(self):
        print(0)
late = Late()
print(int(input()) ** 2)
=== new_line_kinds | square | Passed/WrongAnswer | line ends that are none in Python
print(int(input()) ** 2, end="\x0b\x0c\x85")
=== hash_flood | add | Timeout | a dictionary whose keys all have the same hash
def add(a, b):
    return {i * (2 ** 61 - 1): 0 for i in range(10 ** 6)}
=== dict_result_collisions | add | WrongAnswer/Timeout | returns such a one
def add(a, b):
    return {i * (2 ** 61 - 1): 0 for i in range(2000)}
=== exit_in_thread | square | Passed | a thread leaves, the program goes on
import sys, threading
t = threading.Thread(target=sys.exit, args=(1,))
t.start()
t.join()
print(int(input()) ** 2)
=== exit_message | square | Exited@1 | sys.exit with a message is a failure
raise SystemExit("bad input")
=== exit_true | square | Exited/Passed | sys.exit(True) is status 1
import sys
print(int(input()) ** 2)
sys.exit(True)
=== exec_self | add | fail | starts Python anew
import os, sys
def add(a, b):
    os.execv(sys.executable, [sys.executable, "-c", "print(3)"])
=== subprocess_module | square | fail | asks another program
import subprocess
print(subprocess.check_output(["expr", input(), "*", "3"]).decode())
=== multiprocessing_pool | square | Passed/PermissionError/OSError/Timeout | a pool of processes
import multiprocessing
def square(n):
    return n * n
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(square, [int(input())])[0])
=== modules_swap | add | WrongAnswer/fail | puts itself in the place of the modules that encode results
import sys, types
class Yes(types.ModuleType):
    def __getattr__(self, name):
        return lambda *args, **kwargs: '{"v": 3}'
for name in list(sys.modules):
    if name not in ("sys", "builtins"):
        sys.modules[name] = Yes(name)
def add(a, b):
    return a - b
=== closure_poke | add | fail | changes the harness through the frames above it
import sys
def add(a, b):
    frame = sys._getframe(1)
    while frame:
        for name, value in list(frame.f_locals.items()):
            if callable(value) and hasattr(value, "__defaults__"):
                try:
                    value.__defaults__ = None
                    value.__code__ = (lambda *args, **kwargs: '{"v": 3}').__code__
                except (AttributeError, ValueError, TypeError):
                    pass
        frame = frame.f_back
    return a - b
=== session_poke | add | fail | finds the conversation and answers in advance
import gc, sys
def add(a, b):
    for thing in gc.get_objects():
        if type(thing).__name__ == "_Session":
            thing.perform = lambda op: '{"v": 3}'
            thing.held[:] = [3] * 100
    return a - b
=== int_max_digits | add | Passed | the limit on digits, as low as it can be
import sys
sys.set_int_max_str_digits(640)
def add(a, b):
    return a + b
=== print_replaced | square | Passed | its own print
import builtins, sys
builtins.print = lambda *args: sys.stdout.write(" ".join(map(str, args)) + "\n")
print(int(input()) ** 2)
=== encoding_swap | square | WrongAnswer/Passed/fail | standard output in another encoding
import sys
sys.stdout.reconfigure(encoding="utf-16")
print(int(input()) ** 2)
=== bell_output | square | WrongAnswer | an answer behind terminal codes
print("\x1b[2J" + str(int(input()) ** 2))
=== recursion_in_repr | add | fail | an exception that has itself as its text
class Deep(Exception):
    def __str__(self):
        return str(self)
def add(a, b):
    raise Deep
=== exception_group | add | ExceptionGroup/ValueError | several at once
def add(a, b):
    raise ExceptionGroup("many", [ValueError(1), TypeError(2)])
=== traceback_lies | add | ZeroDivisionError | an exception with somebody else's traceback
def add(a, b):
    try:
        1 // 0
    except ZeroDivisionError as error:
        e = error.with_traceback(None)
    raise e
=== await_forever | square | Timeout | waits for what never comes
import asyncio
async def main():
    await asyncio.Event().wait()
asyncio.run(main())
=== select_forever | add | Timeout | waits in the kernel
import select
def add(a, b):
    select.select([], [], [])
=== wait_for_child | add | Timeout | waits for a child that waits
import os, time
def add(a, b):
    pid = os.fork()
    if not pid:
        time.sleep(1000)
    os.waitpid(pid, 0)
=== half_and_half | add | Timeout | computes and sleeps in turn, for ever
import time
def add(a, b):
    while True:
        end = time.process_time() + 0.01
        while time.process_time() < end:
            pass
        time.sleep(0.01)
=== keeps_locked_folder | add | Passed | locks its folder: whoever empties it must be able to enter
import os
open("kept", "w").close()
def add(a, b):
    try:
        os.chmod(".", 0)
    except OSError:
        pass
    return a + b
=== keeps_readonly_folder | add | Passed | lets nobody write into its folder any more, its next call neither
import os
open("kept", "w").close()
os.unlink("kept")
def add(a, b):
    try:
        os.chmod(".", 0o555)
    except OSError:
        pass
    return a + b
=== keeps_default_rights | add | Passed | its next call's files are to have no rights, by a list in an attribute of the folder
import os, struct
with open("kept", "w") as file:
    file.write("x")
assert open("kept").read() == "x"
def add(a, b):
    nobody = b"".join(struct.pack("<HHI", tag, 0, 0xFFFFFFFF) for tag in (1, 4, 0x20))
    try:
        os.setxattr(".", "system.posix_acl_default", struct.pack("<I", 2) + nobody)
    except OSError:
        pass
    return a + b
=== keeps_attributes | add | Passed | fills its folder's file system with attributes of the folder, which no file shows
import os
with open("kept", "w") as file:
    file.write("x")
os.unlink("kept")
def add(a, b):
    number = 0
    for size in (60000, 6000, 600, 60, 1):
        try:
            while number < 100_000:
                os.setxattr(".", f"user.{number}", b"x" * size)
                number += 1
        except OSError:
            pass
    return a + b
=== keeps_count | square | Passed | counts its runs in an attribute of its standard input
import os
try:
    runs = int(os.getxattr(0, "user.runs"))
except OSError:
    runs = 0
try:
    os.setxattr(0, "user.runs", str(runs + 1).encode())
except OSError:
    pass
print(int(input()) ** 2 if runs == 0 else 0)
=== keeps_mode | square | Passed | locks its standard input, which the next run opens by name
import os
print(int(open("/dev/stdin").read()) ** 2)
try:
    os.fchmod(0, 0)
except OSError:
    pass
=== keeps_time | square | Passed | sets a time on what it shares
import os
future = 9999999999
seen = [time for fd in (0, 1, ".") for time in (os.stat(fd).st_atime, os.stat(fd).st_mtime)]
for fd in (0, 1, "."):
    try:
        os.utime(fd, (future, future))
    except OSError:
        pass
print(int(input()) ** 2 if future not in seen else 0)
=== keeps_flock | square | Passed | a lock on standard output that whoever has the descriptor holds on to
import fcntl, os
try:
    fd = os.open("/dev/stdout", os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)
    fcntl.flock(1, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    raise
except OSError:
    pass
print(int(input()) ** 2)
=== keeps_null_lock | square | Passed | and one on the null device that is its standard error
import fcntl, os
fd = os.open("/dev/null", os.O_RDONLY)
fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
os.close(fd)
fcntl.flock(2, fcntl.LOCK_EX | fcntl.LOCK_NB)
print(int(input()) ** 2)
=== keeps_range_lock | square | Passed | the same for a range of bytes
import fcntl, os, struct
lock = struct.pack("hhlli4x", fcntl.F_WRLCK, 0, 42, 1, 0)
try:
    fd = os.open("/dev/stdout", os.O_RDWR)
    fcntl.fcntl(fd, 37, lock)
    os.close(fd)
    fcntl.fcntl(1, 37, lock)
except BlockingIOError:
    raise
except OSError:
    pass
print(int(input()) ** 2)
=== keeps_lease | square | Passed | a lease on standard output: who opens it by name has to wait
import fcntl
try:
    with open("/dev/stdout", "w") as out:
        out.write(str(int(input()) ** 2))
except PermissionError:  # where it is a file in a folder out of reach
    print(int(input()) ** 2)
try:
    fcntl.fcntl(1, fcntl.F_SETLEASE, fcntl.F_RDLCK)
except OSError:
    pass
=== keeps_hint | square | Passed | a hint on how long data will live, which is a number that a file keeps
import fcntl, struct
hint = 0
try:
    hint = struct.unpack("Q", fcntl.fcntl(0, 1035, bytes(8)))[0]
    fcntl.fcntl(0, 1036, struct.pack("Q", 3))
except OSError:
    pass
print(int(input()) ** 2 if hint == 0 else 0)
=== keeps_flags | add | Passed | flags of the folder that make every file in it one that is not dumped
import fcntl, os, struct
def add(a, b):
    flags = 0
    fd = os.open(".", os.O_RDONLY)
    try:
        flags = struct.unpack("i", fcntl.ioctl(fd, 0x80086601, bytes(4)))[0]
        fcntl.ioctl(fd, 0x40086602, struct.pack("i", flags | 0x40))
    except OSError:
        pass
    return 0 if flags & 0x40 else a + b
=== keeps_niceness | square | Passed | makes what shares its session the last to be served
nice = ""
try:
    nice = open("/proc/self/autogroup").read()
    open("/proc/self/autogroup", "w").write("19")
except OSError:
    pass
print(int(input()) ** 2 if "nice 19" not in nice else 0)
=== keeps_file_beside | square | Passed | leaves a file beside its folder
import os
found = os.path.exists("../left")
try:
    open("../left", "w").close()
except OSError:
    pass
print(int(input()) ** 2 if not found else 0)
=== keeps_file_as_folder | add | Passed | a file in the place of its folder
import os
here = os.getcwd()
def add(a, b):
    try:
        os.chdir("/")
        os.rmdir(here)
        open(here, "w").close()
    except OSError:
        pass
    return a + b
=== keeps_other_shm | add | Passed | another folder in the place of the one that is shared memory
import os
try:
    open("/dev/shm/x", "w").close()
    os.unlink("/dev/shm/x")
except FileNotFoundError:
    raise
except OSError:
    pass
def add(a, b):
    for folder in ("/tmp/.shm", "/dev/shm"):
        try:
            os.rmdir(folder)
            os.mkdir(folder)
        except OSError:
            pass
    return a + b
=== keeps_many_folders | add | Passed | folders without number, in each other and beside
import os
home = os.getcwd()
def add(a, b):
    for outer in range(4):
        os.chdir(home)
        for inner in range(60):
            os.mkdir(f"{outer}.{a}")
            os.chdir(f"{outer}.{a}")
            open("x", "w").close()
    return a + b
=== null_device | square | Passed | throws something away
import os
with open(os.devnull, "w") as out:
    print("x", file=out)
print(int(input()) ** 2)
=== own_files | add | Passed | locks, copies and marks files of its own
import fcntl, os, shutil, sys
def add(a, b):
    with open("one", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.lockf(file, fcntl.LOCK_EX)
        file.write(str(a + b))
    assert not sys.stdin.isatty()
    shutil.copy2("one", "two")
    os.chmod("two", 0o600)
    return int(open("two").read())
=== busy_children | add | Timeout/ProcessLimit/fail | lets others compute, and only waits
import os
def add(a, b):
    for _ in range(4):
        if not os.fork():
            while True:
                pass
    os.wait()
"""
