"""What a program may use of the standard library and leave nothing behind that another of its cases could notice.

The lists were made by reading the library. A function that hands something of its own to a method of its argument is in none
of them (`re.escape` to `translate`, `deepcopy` to its second argument's `get`), nor is one that notes something down.
Standard library only.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

NOTE, ONCE = "note", "once"
Use = bool | str  # of a name: NOTE in annotations only, ONCE with one argument; True: its attributes can be set

MODULES: dict[str, str] = {  # what a program may use of them; "*": whatever is public
    "math": "*",
    "cmath": "*",
    "itertools": "*",
    "heapq": "heappush heappop heapify heapreplace heappushpop merge nlargest nsmallest",
    "bisect": "bisect bisect_left bisect_right insort insort_left insort_right",
    "collections": "Counter OrderedDict defaultdict deque namedtuple ChainMap UserDict UserList UserString",
    "collections.abc": "*",
    "functools": "reduce cmp_to_key lru_cache cache partial total_ordering wraps cached_property",
    "operator": "abs add and_ concat contains countOf eq floordiv ge getitem gt index indexOf inv invert is_ is_not itemgetter le "
    "lshift lt matmul mod mul ne neg not_ or_ pos pow rshift sub truediv truth xor",
    "string": "ascii_letters ascii_lowercase ascii_uppercase capwords digits hexdigits octdigits printable punctuation whitespace",
    "re": "compile match search findall finditer sub subn split fullmatch A ASCII I IGNORECASE M MULTILINE S DOTALL X VERBOSE",
    "copy": "copy deepcopy",
    "sys": "stdin stdout stderr exit maxsize maxunicode setrecursionlimit set_int_max_str_digits "
    "get_int_max_str_digits getsizeof version version_info hexversion byteorder platform float_info int_info",
    "fractions": "Fraction",
    "statistics": "mean fmean geometric_mean harmonic_mean median median_low median_high mode multimode pstdev pvariance stdev "
    "variance quantiles",
    "random": "random randint randrange shuffle choice choices sample uniform seed gauss getrandbits triangular betavariate "
    "expovariate gammavariate lognormvariate normalvariate paretovariate vonmisesvariate weibullvariate Random",
    "array": "array",
    "datetime": "date datetime time timedelta timezone tzinfo MINYEAR MAXYEAR UTC",
    "numbers": "Number Complex Real Rational Integral",
    "dataclasses": "dataclass field asdict astuple",
    "typing": "AbstractSet Any AnyStr Callable ClassVar Collection Container Counter DefaultDict Deque Dict Final FrozenSet "
    "Generator Generic Hashable Iterable Iterator List Literal Mapping MutableMapping MutableSequence MutableSet NamedTuple "
    "NoReturn Optional OrderedDict Reversible Sequence Set Sized Text Tuple Type TypeAlias TypeVar Union cast",
    "time": "time time_ns perf_counter perf_counter_ns monotonic monotonic_ns gmtime localtime strftime",
    "__future__": "*",
}  # fmt: skip
if sys.version_info >= (3, 12):  # the names of its fields are interned, and such texts are never given back there
    MODULES["collections"] = MODULES["collections"].replace("namedtuple ", "")
SETTERS = {  # what sets attributes of its arguments
    "functools": "total_ordering wraps cached_property".split(),
    "dataclasses": ["dataclass"],
    "copy": ["copy", "deepcopy"],
}
_SINGLE = frozenset("copy deepcopy wraps total_ordering".split())  # what is to be called with one argument only
KEEPING = frozenset("re typing fractions statistics random datetime numbers collections.abc".split())  # keep arguments
_tables: dict[str, dict[str, Use]] = {}


def prepare(*modules: str) -> None:
    """Reads what modules hold, once, so that forks need not."""
    for name in modules:
        if name in MODULES:
            table(name)


def table(module: str) -> dict[str, Use]:
    """The names of a module that a program may use, and how."""
    if module not in _tables:
        space = vars(import_module(module))
        names = public(module) if MODULES[module] == "*" else MODULES[module].split()
        _tables[module] = {name: _kind(module, name, space[name]) for name in names if name in space}
    return _tables[module]


def public(module: str) -> list[str]:
    """What `from module import *` brings."""
    space = vars(import_module(module))
    return space.get("__all__", [name for name in space if name[0] != "_"])


def _kind(module: str, name: str, value: Any) -> Use:
    """How a name may be used: in annotations (NOTE), called with one argument (ONCE), or True if its attributes can be set."""
    if module == "typing":
        return NOTE
    if module in ("sys", "random") and callable(value):  # the judge may have put a function of its own in its place
        return True
    return ONCE if module in SETTERS and name in _SINGLE else _settable(value)


def _settable(value: Any) -> bool:
    if isinstance(value, type):
        return bool(value.__flags__ & 1 << 9) and not value.__flags__ & 1 << 8  # made at run time, and not immutable
    return hasattr(value, "__dict__")
