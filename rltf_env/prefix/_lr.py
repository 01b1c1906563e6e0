"""A parser that is fed one terminal at a time and forks: LR(0) states made when they are first met, FOLLOW as lookahead.

An LR parser never shifts a terminal after which no sentence of the grammar could follow (Knuth 1965; Aho et al., "Compilers",
4.5.5): a sequence of terminals that was shifted is the beginning of a program. Where the grammar leaves several
ways open (`a, b` may become a tuple or what is assigned to), all are followed, each on a stack of its own (Tomita 1986).
Stacks are linked lists that share what is below, and equal stacks are one object: to remember a state costs nothing, and what was
tried from it once is remembered with it. Threads may share a machine; nothing waits for a lock, which a fork could leave closed.
"""

from __future__ import annotations

from collections import defaultdict

from rltf_env.prefix import _grammar

Item = tuple[int, int]  # a production and how much of it has been seen
Kernel = frozenset[Item]
MOST_SHARED = 200_000  # stack entries that are shared before all are forgotten and sharing begins anew


class State:
    """What may be shifted and reduced after the items of `kernel` have been seen.

    Args:
        kernel: the items.
        moves: by symbol: the state after it, or its kernel until somebody comes there.
        reductions: the rules that may end: what they become, how many symbols they replace, and what may follow.
    """

    __slots__ = ("kernel", "moves", "reductions")

    def __init__(
        self, kernel: Kernel, moves: dict[str, State | Kernel], reductions: list[tuple[str, int, frozenset[str]]]
    ) -> None:
        self.kernel, self.moves, self.reductions = kernel, moves, reductions


class Table:
    """The states of one grammar. Threads share it: a state is finished before the one step that shows it to others."""

    def __init__(self, productions: tuple[_grammar.Production, ...], start: str) -> None:
        self.productions = productions
        self.by_name: dict[str, list[int]] = defaultdict(list)
        for number, (name, _) in enumerate(productions):
            self.by_name[name].append(number)
        self.follow = self._follow(start)
        self._states: dict[Kernel, State] = {}
        self.start = self.state(frozenset((number, 0) for number in self.by_name[start]))

    def _first(self) -> dict[str, set[str]]:
        """The terminals that each rule may begin with; no rule matches nothing."""
        first: dict[str, set[str]] = {name: set() for name in self.by_name}
        changed = True
        while changed:
            changed = False
            for name, (head, *_) in self.productions:
                new = first.get(head, {head}) - first[name]
                first[name] |= new
                changed = changed or bool(new)
        return first

    def _follow(self, start: str) -> dict[str, frozenset[str]]:
        first = self._first()
        follow: dict[str, set[str]] = {name: set() for name in self.by_name}
        changed = True
        while changed:
            changed = False
            for name, symbols in self.productions:
                for symbol, after in zip(symbols, [*symbols[1:], None], strict=True):
                    if symbol in follow:
                        new = (follow[name] if after is None else first.get(after, {after})) - follow[symbol]
                        follow[symbol] |= new
                        changed = changed or bool(new)
        return {name: frozenset(terminals) for name, terminals in follow.items()}

    def state(self, kernel: Kernel) -> State:
        """The one state with these items."""
        state = self._states.get(kernel)
        return state or self._states.setdefault(kernel, self._closed(kernel))

    def _closed(self, kernel: Kernel) -> State:
        moves: dict[str, set[Item]] = defaultdict(set)
        reductions = []
        todo, seen = list(kernel), set(kernel)
        while todo:
            number, at = todo.pop()
            name, symbols = self.productions[number]
            if at == len(symbols):
                reductions.append((name, at, self.follow[name]))
                continue
            moves[symbols[at]].add((number, at + 1))
            new = {(each, 0) for each in self.by_name.get(symbols[at], ())} - seen
            seen |= new
            todo += new
        return State(kernel, {symbol: frozenset(items) for symbol, items in moves.items()}, reductions)

    def move(self, state: State, symbol: str) -> State | None:
        """The state after `symbol`, or None where it may not come."""
        target = state.moves.get(symbol)
        if isinstance(target, frozenset):
            target = state.moves[symbol] = self.state(target)
        return target

    def reductions(self, state: State, terminal: str) -> list[tuple[str, int]]:
        """The rules that may end before `terminal`: what they become, and how many symbols they replace."""
        return [(name, size) for name, size, follow in state.reductions if terminal in follow]


class Stack:
    """A state on top of other states. Equal stacks are one object (`Machine.push`)."""

    __slots__ = ("after", "below", "state")

    def __init__(self, state: State, below: Stack | None) -> None:
        self.state, self.below = state, below
        self.after: dict[str, tuple[Stack, ...]] = {}  # by terminal: what was found the last time

    def __reduce__(self) -> tuple[object, ...]:
        kernels, stack = [], self
        while stack.below is not None:
            kernels.append(stack.state.kernel)
            stack = stack.below
        return _restored, (kernels[::-1],)


Stacks = tuple[Stack, ...]


class Machine:
    """All parses at once."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._shared: dict[tuple[State, int], Stack] = {}
        self.bottom = Stack(table.start, None)

    def push(self, below: Stack, state: State) -> Stack:
        """The stack with `state` on top; equal stacks are one object, so that they compare quickly."""
        key = state, id(below)
        stack = self._shared.get(key)  # keeps `below` alive, and so its id its own
        return stack or self._shared.setdefault(key, Stack(state, below))

    def advance(self, stacks: Stacks, terminal: str) -> Stacks:
        """The parses after `terminal`; none if no program goes on like this."""
        if len(self._shared) > MOST_SHARED:
            self._shared.clear()
            self.bottom.after.clear()
        if len(stacks) == 1:
            return self._advanced(stacks[0], terminal)
        return tuple(dict.fromkeys(new for stack in stacks for new in self._advanced(stack, terminal)))

    def _advanced(self, stack: Stack, terminal: str) -> Stacks:
        stacks = stack.after.get(terminal)
        if stacks is None:
            stacks = stack.after[terminal] = self._search(stack, terminal)
        return stacks

    def _search(self, stack: Stack, terminal: str) -> Stacks:
        move, reductions = self.table.move, self.table.reductions
        shifted: dict[Stack, None] = {}
        todo, seen = [stack], {stack}
        while todo:
            top = todo.pop()
            state = move(top.state, terminal)
            if state is not None:
                shifted[self.push(top, state)] = None
            for name, size in reductions(top.state, terminal):
                base = top
                for _ in range(size):
                    base = base.below  # type: ignore[assignment]  # there are as many as the rule has symbols
                state = move(base.state, name)  # type: ignore[union-attr]
                new = self.push(base, state)  # type: ignore[arg-type]  # after a rule that could begin here
                if new not in seen:
                    seen.add(new)
                    todo.append(new)
        return tuple(shifted)


def _restored(kernels: list[Kernel]) -> Stack:
    """The stack of these states in this process, from the bottom up."""
    stack = PYTHON.bottom
    for kernel in kernels:
        stack = PYTHON.push(stack, PYTHON.table.state(kernel))
    return stack


PYTHON = Machine(Table(_grammar.productions(), _grammar.START))
"""The one machine of Python's grammar that a process needs."""
