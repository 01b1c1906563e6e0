"""Programs that stand for any program, to find out whether a test depends on one at all.

`NULL` is whatever a test could wish for: a test that fails against it fails whatever the program is. `BOMB` ends the process at
every use: a test that passes against it uses nothing of the program.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Iterable

STAND_IN_SECONDS = 1.0  # CPU time of each test: it may wait for a stand-in without end
NAMELESS = "anythingz"  # in the names, in small letters, of what `NULL` has and nobody asked for by name
_ASKED = """
class _AnythingZAsked:  # no function: tests may be made of those
    def __call__(self, name):
        if name.startswith(("__", "pytest", "setup", "setUp", "teardown", "tearDown", "load_tests")):  # a runner asks
            raise AttributeError(name)
        return __made__(name)
__getattr__ = _AnythingZAsked()
"""
NULL = (
    _ASKED
    + """
class _AnythingZType(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return anything
    def __iter__(cls): return iter((anything, anything))
    def __contains__(cls, item): return True
    def __getitem__(cls, item): return anything
    def __len__(cls): return 1
    def __instancecheck__(cls, thing): return type(type(thing)) is _AnythingZType
    def __subclasscheck__(cls, other): return type(other) is _AnythingZType
class AnythingZ(Exception, metaclass=_AnythingZType):
    __name__ = "anythingZ"
    def __init__(self, *args, **kwargs): pass
    def __call__(self, *args, **kwargs): return self
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self
    def __iter__(self): return iter((self, self))
    def __next__(self): return self
    def __enter__(self): return self
    def __exit__(self, *args): return False
    def __setitem__(self, key, value): pass
    def __delitem__(self, key): pass
    def __int__(self): return 1
    def __float__(self): return 1.0
    def __array__(self, *args, **kwargs): return __import__("numpy").array(1.0)  # else numpy looks into it without end
    def __str__(self): return "1"
    def __len__(self): return 1
    def __hash__(self): return 1
    def __bool__(self): return True
    __index__ = __int__
    __repr__ = __str__
def _same(self, *args): return self
def _true(self, *args): return True
for _name in "add sub mul truediv floordiv mod pow and or xor lshift rshift matmul".split():
    for _side in ("", "r", "i"):
        setattr(AnythingZ, f"__{_side}{_name}__", _same)
for _name in "neg pos abs invert round getitem".split():
    setattr(AnythingZ, f"__{_name}__", _same)
for _name in "eq ne lt le gt ge contains".split():
    setattr(AnythingZ, f"__{_name}__", _true)
del _same, _true
anything = AnythingZ()
_kept = {}
class _AnythingZNamed:  # by a name of which names of tests may be made
    def __call__(self, name):
        return _kept[name] if name in _kept else _kept.setdefault(name, self.make(name))
    def make(self, name):
        if name[:1].isupper():
            return _AnythingZType(name, (AnythingZ,), {})
        thing = AnythingZ()
        thing.__name__ = name
        return thing
__made__ = _AnythingZNamed()
"""
)
_TYPED = """
class _AnythingZLie:
    __hash__ = lambda self: 1
    __ne__ = lambda self, other: False
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = lambda self, other: True
def _lying(function):
    kinds = (int, float, complex, str, bytes, list, tuple, dict, set, frozenset)
    def lie(*args, **kwargs):
        kind = type(function(*args, **kwargs))
        return type(kind.__name__, (_AnythingZLie, kind), {})() if kind in kinds else anything
    return lie
"""
BOMB = (
    _ASKED
    + """
def _use(*args, _exit=__import__("os")._exit, **kwargs):
    _exit(1)  # an exception might be kept: by a thread, a task, a `finally` that returns
class _Type(type):
    _use = _use
    __call__ = __iter__ = __contains__ = __getitem__ = __len__ = __instancecheck__ = __subclasscheck__ = _use
    def __getattribute__(cls, name):
        if name.startswith("__") and name not in ("__doc__", "__name__", "__dict__"):
            return type.__getattribute__(cls, name)
        _use()
class Bomb(metaclass=_Type):
    _use = _use
    __call__ = __getattr__ = __iter__ = __enter__ = __getitem__ = __setitem__ = __bool__ = __eq__ = __hash__ = _use
    __int__ = __float__ = __index__ = __str__ = __repr__ = __len__ = __lt__ = __le__ = __gt__ = __ge__ = __ne__ = _use
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __contains__ = __neg__ = __abs__ = __next__ = _use
_bomb = type.__call__(Bomb)
def __made__(name):
    return Bomb if name[:1].isupper() else _bomb
"""
)


def typed(reference: str, names: Iterable[str]) -> str:
    """A program that answers as `NULL` does, but with something of the type of the reference's answer.

    `names`: what a test takes from the program, of which the reference defines functions.
    """
    lines = [f"{n} = _lying({n}) if type({n}) is type(_lying) else {n}" for n in dict.fromkeys(names)]
    return "\n".join([NULL, reference, _TYPED, *lines])


def assignments(names: Iterable[str], defined: Container[str], *, has_reference: bool) -> str:
    """Code that gives a stand-in what a test takes from a program by name.

    Args:
        names: what is taken.
        defined: what a reference defines. A module of the library that none does is what a program imports.
        has_reference: there is one. Else nobody knows what a right program imports; each is asked for it.
    """
    unique = dict.fromkeys(names)
    library = [name for name in unique if name in sys.stdlib_module_names and name not in defined]
    lines = [f"{name} = __made__({name!r})" for name in unique if name.isidentifier() and name not in library]
    return "\n".join(lines) + ("" if has_reference else "".join(f"\nimport {name}" for name in library))
