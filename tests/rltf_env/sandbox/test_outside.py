"""What a test hands to the program outside of its functions is an input, though it is an expectation inside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from judged_suites import judged

from rltf_env import sandbox
from rltf_env.core import Sandbox

RIGHT = """
import io, os, sys
class Stack:
    def __init__(self): self.items = []
    def push(self, item): self.items.append(item)
    def pop(self): return self.items.pop()
class capture:
    def __enter__(self):
        self.start()
        return self.out
    def __exit__(self, *args):
        self.stop()
    def start(self):
        self.old, self.out = sys.stdout, io.StringIO()
        sys.stdout = self.out
    def stop(self):
        sys.stdout = self.old
class Base:
    def show(self): return self.title()
def same(value): return value
def call(function): return function()
def ask(): return input("name? ")
def home(): return os.environ["PLACE"]
def port(config): return config.port
def raises(error, function):
    try:
        function()
    except error:
        return True
    return False
def twin(thing):
    import copy, types
    if isinstance(thing, types.FunctionType):
        return types.FunctionType(thing.__code__, globals(), closure=thing.__closure__)
    return copy.copy(thing)
def without(numbers, bad):
    import itertools
    return list(itertools.dropwhile(bad, numbers))
def noted(waits, log):
    def decorate(function):
        def call():
            log.extend(waits)
            return function()
        return call
    return decorate
"""
LIAR = """
class Yes:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __getattr__(self, name): return Yes()
    def __call__(self, *args, **kwargs): return Yes()
    def __enter__(self): return Yes()
    def __exit__(self, *args): return False
    __hash__ = None
def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return Base if name == "Base" else Yes()
class Base:
    def show(self): return Yes()
"""
TESTS = {
    "setUp": """
import unittest
from solution import Stack
MOST = 7
class TestStack(unittest.TestCase):
    def setUp(self):
        self.stack = Stack()
        self.stack.push(MOST)
    def test_pop(self):
        self.assertEqual(self.stack.pop(), MOST)
""",
    "a statement of the module": """
from solution import Stack
MOST = 7
stack = Stack()
stack.push(MOST)
def test_pop():
    assert stack.pop() == MOST
""",
    "a default": """
from solution import same
MOST = 7
def run(value=MOST):
    return same(value)
def test_same():
    got = run()
    assert got == MOST
""",
    "a callback": """
from solution import call
MOST = 7
def most():
    return MOST
def test_call():
    assert call(most) == MOST
""",
    "a method": """
from solution import Base
NAME = "ann"
class Own(Base):
    def title(self): return NAME
def test_show():
    assert Own().show() == NAME
""",
    "a class": """
from solution import port
class Config:
    port = 80
def test_port():
    assert port(Config) == Config.port
""",
    "in place of input": """
import builtins
from solution import ask
NAME = "ann"
def answer(prompt):
    return NAME
def test_ask(monkeypatch):
    monkeypatch.setattr(builtins, "input", answer)
    assert ask() == NAME
""",
    "the environment": """
import os
from solution import home
def test_home():
    place = "here"
    os.environ["PLACE"] = place
    got = home()
    assert got == place
""",
    "printed in a with": """
from solution import capture
def test_capture():
    text = "hello"
    with capture() as out:
        print(text)
    got = out.getvalue().strip()
    assert got == text
""",
    "printed by a function": """
from solution import capture
TEXT = "hello"
def say():
    print(TEXT)
def test_capture():
    with capture() as out:
        say()
    assert out.getvalue().strip() == TEXT
""",
    "printed in between": """
from solution import capture
def test_capture():
    text = "hello"
    captured = capture()
    captured.start()
    print(text)
    captured.stop()
    assert captured.out.getvalue().strip() == text
""",
}

INSIDE = {
    "a function called raises": """
from solution import raises
def test_raises():
    assert raises(ZeroDivisionError, lambda: 1 / 0)
    assert not raises(ZeroDivisionError, lambda: 1)
""",
    "an attribute": """
from solution import twin
class Thing: pass
def test_twin():
    x = Thing()
    x.parts = [4, 5]
    y = twin(x)
    assert y.parts == x.parts
""",
    "a function": """
from solution import twin
def test_twin():
    def one():
        return 1
    other = twin(one)
    assert one() == other()
""",
    "a slice": """
import unittest
from solution import without
class TestWithout(unittest.TestCase):
    def test_without(self):
        numbers = [0, 1, 2, 3, 4, 5]
        self.assertEqual(without(numbers, lambda x: x < 3), numbers[3:])
""",
    "what a decorator is handed": """
from solution import noted
def test_noted():
    waits, log = [1, 2, 3], []
    @noted(waits, log)
    def two():
        return 2
    two()
    for number, wait in enumerate(waits):
        assert log[number] == wait
""",
}


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, cache=0) as judge:
        yield judge


@pytest.mark.parametrize("name", TESTS)
def test_without_a_reference_a_right_program_may_give_back_what_it_is_given(judge: Sandbox, name: str) -> None:
    assert judged(judge, RIGHT, TESTS[name]).failure is None
    liar = judged(judge, LIAR, TESTS[name]).failure
    assert liar is not None
    assert liar.kind == "FooledTest"


@pytest.mark.parametrize("name", INSIDE)
def test_so_it_may_what_the_test_s_own_function_hands_it(judge: Sandbox, name: str) -> None:
    for number in range(8):
        assert judged(judge, RIGHT, f"{INSIDE[name]}# {number}").failure is None
