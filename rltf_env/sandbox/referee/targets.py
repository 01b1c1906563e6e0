"""What can be falsified in a test function: the side of a comparison that is not the program's, the class of an expected
exception, the direction of an assertion. Read from the syntax tree; `canaries.py` chooses among it, `changes.py` changes it.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from rltf_env.sandbox.referee import asserting, certainty, choices, computed, looks, outside, raising, reach, tolerance
from rltf_env.sandbox.referee.asserting import arguments_of, name_of
from rltf_env.sandbox.referee.changes import (
    OPPOSITE,
    Change,
    change_in,
    equal_to_none,
    negate,
    one_more,
    other_answer,
    other_binding,
    other_choices,
    other_constant,
    other_container,
    other_equality,
    other_members,
    other_method,
    other_operator,
    other_patterns,
    other_relation,
    other_returns,
    other_value,
    unequal_to_all,
    unlikely,
)
from rltf_env.sandbox.referee.helpers import Helpers
from rltf_env.sandbox.referee.origins import Origins, is_of_program, note_values, path_of
from rltf_env.sandbox.referee.rows import Rows
from rltf_env.sandbox.referee.settings import set_by

Site = tuple[ast.AST, Change, bool, bool]  # a node, what to do to it, sound?, value?
_ORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


class Finder:
    """Finds what can be falsified in one test function.

    Args:
        module: the names of the test's module.
        helpers: functions of the test's own.
        scope: the function, or the statements of a script that is itself the test.
        names: outside of it, those only compared; those that the program may bind as well; ids of what is looked at for more.
    """

    def __init__(
        self, module: Origins, helpers: Helpers, scope: Sequence[ast.AST], names: tuple[set[str], set[str], set[int]]
    ) -> None:
        (shared, common, looked_at), self.helpers = names, helpers.within(scope)
        self.program_names = {*module.program_names, *self.helpers.names}
        self.values: dict[str, list[ast.expr]] = defaultdict(list)
        self.literals = module.literals_within(scope)
        note_values(scope, self.values, self.program_names, self.literals)
        self.own = set(self.values)
        self.answers = looks.answers(self.values, module.named)
        for name, values in module.values_within(scope).items():
            self.values.setdefault(name, values)
        self.single, self.single_parts = looks.single_names(scope) | shared, looks.single_parts(scope)
        nodes = [part for node in scope for part in ast.walk(node)]
        ifs = [n for n in nodes if isinstance(n, ast.If) and certainty.complains(n.body, self._ours(n.test))]
        self.complaints = set(map(id, ifs))
        self.wrong = choices.turned(nodes, ifs)  # where the truth would be wrong
        self.alternatives = choices.alternatives(scope, self.wrong, self._ours)
        self.doubtful = {id(n) for node in scope for n in certainty.doubtful(node, self.literals, helpers.all)}
        unsure = [*raising.idle(nodes), *certainty.unsure(scope, self.literals)]
        self.doubtful |= {id(part) for node in unsure for part in ast.walk(node)}
        asserted = [
            pair
            for n in nodes
            if id(n) not in self.doubtful
            for pair in certainty.asserted(n, self.literals, self._complains(n))
        ]
        self.held = {id(leaf): wrong for leaf, wrong in asserted}
        self.places: dict[int, list[ast.AST]] = defaultdict(list)  # what asserts something about a node
        self.lists: dict[int, list[ast.AST]] = defaultdict(list)  # that are expected, and hold a node; inner ones first
        self.branches = reach.branches(nodes, self._ours, self.literals)
        self.spared: dict[Change, Change] = {}  # of changes: others that may fit where they do not
        self.direct: set[int] = set()  # values that are compared with what the program answered, as it is
        self.own_equality: set[int] = set()  # what is expected of an answer, and made by the program's own classes
        self.nodes, self.kinds = nodes, computed.Kinds(self.values, helpers.all)
        calls = [n for n in nodes if isinstance(n, ast.Call) and self._uses(n)]
        arguments = [arg for n in calls for arg in arguments_of(n)] + set_by(nodes, module.trees)
        self.handed = set(map(ast.unparse, arguments))
        self.inputs = looks.inputs(arguments, self.values)
        self.fixed = {name: value for name, value in self.literals.items() if name not in common}
        bound = looks.settled(nodes, self.values) | self.fixed.keys()
        self.rows = Rows(self.values, module.values, self.literals, bound, module.trees)
        self.shared = looked_at | outside.handed_on(nodes, arguments, self._ours, self.rows)
        self.open = self.rows.looked_at(nodes) | self.shared
        called = [n for n in nodes if isinstance(n, ast.Call) and any(map(self._ours, map(looks.whole_of, n.args[:1])))]
        self.beside, self.given = self.helpers.held(calls + [n for n in called if looks.maps(n)], self.rows)
        self.sources = self.inputs | looks.sources(arguments, self.values)
        self.binders = looks.binders(scope)
        self.statements = raising.places(nodes)

    def _ours(self, node: ast.AST) -> bool:
        return is_of_program(node, self.program_names)

    def _uses(self, node: ast.AST) -> bool:
        """True for a call of the program's, whose arguments are input and no expectation."""
        return isinstance(node, ast.Call) and is_of_program(node.func, self.program_names)

    def _arguments(self, call: ast.Call) -> list[ast.expr]:
        """The arguments of a call that may be expectations: what goes to the program is input, and any answer may be right."""
        expected = self.helpers.expected(call)
        return expected if expected is not None else [] if self._uses(call) else call.args

    def _complains(self, node: ast.AST) -> bool | None:
        """Whether an `if` complains where its condition holds, or where it does not; None of a node that complains of nothing."""
        if not isinstance(node, ast.If):
            return None
        return id(node) in self.complaints or (
            False if certainty.complains(node.orelse, self._ours(node.test)) else None
        )

    def targets(self) -> list[Site]:
        """All of it, each once."""
        asserted = [(node, site) for node in self.nodes for site in self._of(node)] + self._counted()
        if not any(site[3] and self._ours(n) for n, site in asserted):  # a helper compares, perhaps: what it is handed
            calls = [n for n in self.nodes if isinstance(n, ast.Call) and id(n) not in self.alternatives]
            calls = [n for n in calls if not ast.unparse(n.func).startswith("super()")]  # a base class knows no answer
            arguments = (lambda n: self.helpers.beside(n, self._ours)) if asserted else self._arguments
            asserted += [(n, site) for n in calls for arg in arguments(n) for site in self._values(arg, False)]
            beside = [(n, part) for n, part in self.beside if self._shows(part)]
            asserted += [(n, site) for n, part in beside for site in self._values(part, False, other_answer)]
        for node, site in asserted:
            self.places[id(site[0])].append(node)
            self.direct |= {id(site[0])} if site[3] and looks.is_direct(node, self.answers) else set()
        sites = [site for _, site in asserted]
        sites.sort(key=lambda site: not site[2])  # of equals the sound one counts, then the first
        unique = {
            (id(site[0]), site[3], site[1] if raising.is_another(site[1]) else None): site for site in reversed(sites)
        }
        twins = [(n, self.spared[c], False, v) for n, c, _, v in unique.values() if c in self.spared]
        return [*unique.values(), *twins]

    def _by_kind(self, make: Callable[[str], Change], kind: str) -> Change:
        """A change of a computed value, and one that may fit where that does not: what is empty, or a container of numbers."""
        change = make(kind)
        self.spared |= {change: make(_TWINS[kind])} if kind in _TWINS else {}
        return change

    def _counted(self) -> list[tuple[ast.AST, Site]]:
        """Of comparisons whose outcome is kept or counted, and asserted later: `if f(x) != y: failures += 1`."""
        sites: list[tuple[ast.AST, Site]] = []
        for node in self.nodes:
            inner = getattr(node, "value", None) if isinstance(node, _KEEPING) else None
            if isinstance(node, ast.If) and not any(
                isinstance(n, ast.Assert) or self._uses(n) for n in certainty.below(node)
            ):
                inner = node.test
            compared = (
                [] if inner is None else [n for n in ast.walk(inner) if isinstance(n, ast.Compare) and self._ours(n)]
            )
            for each in compared:
                sites += [(node, s) for s in self._comparison(each, False, isinstance(each.ops[0], ast.NotEq)) if s[3]]
        return sites

    def _of(self, node: ast.AST) -> list[Site]:
        sound = id(node) not in self.doubtful
        if id(node) in self.alternatives:
            return []
        if isinstance(node, ast.Assert):
            return self._condition(node, node.test, sound)
        if isinstance(node, ast.If) and self._complains(node) is not None:
            return self._condition(node, node.test, sound)
        expects = isinstance(node, raising.FORMS) and not raising.is_asked(node, self._uses)
        if expects or (isinstance(node, ast.Try) and self._ours(node)):
            return raising.of(node, self.statements.get(id(node)), self.binders, sound)
        if isinstance(node, ast.Match):
            shown = self._ours(node.subject) and choices.shows_patterns(node)
            return [(node, other_patterns, False, True)] if shown else []
        return self._called(node, sound) if isinstance(node, ast.Call) else []

    def _called(self, node: ast.Call, sound: bool) -> list[Site]:
        name = name_of(node.func)
        if (name in asserting.RAISES or name.startswith("assertRaises")) and node.args and not self._uses(node):
            return raising.of_class(node, sound)
        if name in tolerance.NAMES:
            return self._call(node, name, self.held.get(id(node)) is False)
        return self._call(node, name, sound) if name.startswith("assert") else []

    def _condition(self, owner: ast.AST, test: ast.expr, sound: bool) -> list[Site]:
        """Of what has to be true, or must not be where the test complains if it is."""
        compared = looks.comparisons(test, self._uses, self._ours)
        sites = self._compared(compared, id(test) in self.wrong)
        known = {id(part) for n in compared for part in ast.walk(n)} | self.alternatives
        for call in [n for n in ast.walk(test) if isinstance(n, ast.Call) and id(n) not in known]:
            if not tolerance.of(call):
                expected = [arg for arg in self._arguments(call) if not self._ours(arg)]
                sites += [t for arg in expected for t in self._values(arg, False, change_in(call, arg))]
        return [*sites, *self._choices(test), (owner, negate("test"), sound, False)]

    def _choices(self, test: ast.expr) -> list[Site]:
        """Of conditions of which one has to hold, each with a value: all of these values at once. What is asked of an answer."""
        found = [(n, p) for n, p in choices.of(test, self.wrong, self._ours) if id(n) not in self.alternatives]
        held = {id(n) for n, _ in found if self.held.get(id(n)) is (id(n) in self.wrong)}
        sites = [(node, other_choices(places), id(node) in held, True) for node, places in found]
        return [*sites, *looks.asked(test, self._ours, self.wrong)]

    def _compared(self, nodes: list[ast.Compare], wrong: bool) -> list[Site]:
        """Of comparisons in a condition, which has to hold unless `wrong`. What the text says of each of them counts more."""
        return [site for n in nodes for site in self._comparison(n, id(n) in self.held, self.held.get(id(n), wrong))]

    def _comparison(self, node: ast.Compare, sound: bool, wrong: bool = False) -> list[Site]:
        """Of a comparison that has to hold; if `wrong`, one that must not."""
        sides = [node.left, *node.comparators]
        if id(node) in self.alternatives:
            return []  # more than one answer may be right
        equal, member = (ast.NotEq, ast.NotIn) if wrong else (ast.Eq, ast.In)
        if any(isinstance(op, (ast.NotIn, ast.In)) for op in node.ops):
            return self._membership(sides, sound) if len(sides) == 2 and isinstance(node.ops[0], member) else []
        if any(isinstance(op, (ast.NotEq, ast.Eq)) and not isinstance(op, equal) for op in node.ops):
            return [(node, other_equality, sound, True)] if not wrong and len(sides) == 2 and self._ours(node) else []
        if all(isinstance(op, (ast.Is, ast.IsNot, *_ORDERS)) for op in node.ops):
            sites = [*self._orders(node, sound, wrong), (node, other_operator, sound and len(node.ops) == 1, False)]
            identical = len(sides) == 2 and isinstance(node.ops[0], ast.IsNot if wrong else ast.Is)
            return [*looks.truths(sides, sound), *sites] if identical else sites
        if any(isinstance(op, _ORDERS) for op in node.ops):
            return [(node, other_operator, False, False)]
        sure = sound and all(isinstance(op, equal) for op in node.ops)
        sites = [t for side in self._expected(sides) for t in self._side(node, side, sure)]
        if len(sides) != 2 or not all(map(self._ours, sides)):
            return sites
        return self._own([*sites, (node, other_relation, sure, True), (node, other_equality, sure, True)], sides)

    def _own(self, sites: list[Site], sides: list[ast.expr]) -> list[Site]:
        """Of a comparison in which only the program has a part: it says what is equal."""
        sites += [(call, equal_to_none, sites[-1][2], True) for call in looks.made_for(sides, self.single, self.nodes)]
        self.own_equality |= {id(site[0]) for site in sites}
        return sites

    def _orders(self, node: ast.Compare, sound: bool, wrong: bool) -> list[Site]:
        near = (ast.GtE, ast.Gt) if wrong else (ast.LtE, ast.Lt)
        if len(node.ops) != 1 or not isinstance(node.ops[0], near):
            return []
        return self._distance(node.left, node.comparators[0], sound)

    def _distance(self, size: ast.expr, limit: ast.expr, sound: bool) -> list[Site]:
        """Of `abs(f(x) - 0.5) < 1e-6` what the answer has to be near to."""
        node, limits = tolerance.difference(size), tolerance.below(limit, self.fixed)
        sides = [node.left, node.right] if node is not None and not self._ours(limit) else []
        others = [side for side in sides if not self._ours(side)]
        if node is None or len(others) != 1:
            return []
        return self._side(node, others[0], sound and limits.known, limits)

    def _call(self, node: ast.Call, name: str, sound: bool) -> list[Site]:
        arguments = node.args[:2] if name in asserting.TWO or name in OPPOSITE else self._arguments(node)
        if name in ("assertTrue", "assertFalse", "assertIsInstance") and node.args:
            test = node if name == "assertIsInstance" else node.args[0]
            compared = looks.comparisons(test, self._uses, self._ours)
            sites = [*self._compared(compared, name == "assertFalse"), *self._choices(test)]
            return [*sites, (node, other_method, sound, False)]
        if name in ("assertLess", "assertLessEqual") and len(node.args) > 1:
            return [*self._distance(node.args[0], node.args[1], sound), (node, other_method, sound, False)]
        if name == "assertIn" and len(arguments) == 2:
            return [*self._membership(arguments, sound), (node, other_method, sound, False)]
        exact, limits = name in asserting.EQUAL or name in asserting.ARRAYS, tolerance.of(node, self.fixed)
        sure = sound and (exact or (limits is not None and limits.known))
        compared = [] if name in asserting.ORDER else self._expected(arguments)
        sites = [t for a in compared for t in self._side(node, a, sure, self._limits(node, name))]
        if name in asserting.EQUAL and len(node.args) > 1 and all(map(self._ours, node.args[:2])):
            sites = self._own([*sites, (node, unequal_to_all, sound, True)], node.args[:2])
        if name in OPPOSITE:
            sites.append((node, other_method, sound, False))
        return [*looks.truths(arguments, sound), *sites] if name == "assertIs" else sites

    def _expected(self, sides: list[ast.expr]) -> list[ast.expr]:
        """Of values that are compared those that do not come from the program; if all do, the second, as in `x == Point(1, 2)`.

        What one function returns for two inputs may be the same whatever the inputs: then none of them is an expectation.
        Where nobody knows which side is the program's, it is none that shows what it is, or is made of what is shown, as the
        `call(1, 2)` of mocks, and rather one that calls something.
        """
        others = [side for side in sides if not self._ours(side)]
        if len(others) == len(sides):
            shown = [s for s in sides if self._shows(s)] or [s for s in sides if computed.is_made_of_constants(s)]
            others = shown or [s for s in sides if not certainty.calls(s)] or sides
        calls = {ast.unparse(side.func) for side in sides if isinstance(side, ast.Call)}
        return others or ([] if len(calls) == 1 and all(isinstance(side, ast.Call) for side in sides) else sides[1:])

    def _membership(self, sides: list[ast.expr], sound: bool) -> list[Site]:
        """Of `member in container`: each of the values that may be right; or the one that the program's container holds."""
        (member, container), name = sides, path_of(sides[1])
        known = [] if name in self.inputs or self._ours(container) else self.values.get(name) or [container]
        literals, own = choices.shown(known), self._ours(container)
        if not literals and not self._ours(member):  # what is printed, for one
            sure = sound and isinstance(member, ast.Constant) and isinstance(member.value, str)
            sites = self._values(member, sure, unlikely)
            self.own_equality |= {id(site[0]) for site in sites} if own else set()
            return sites
        if all(map(self._shows, literals)) and (literals == [container] or (literals and name in self.single)):
            return [(each, other_members, sound, True) for each in literals]
        self.own_equality |= {id(member)} if own else set()
        sites = [(member, equal_to_none, sound, True) if own else (container, other_container, sound, True)]
        return [*sites, *((each, other_members, False, True) for each in literals)]

    # --------------------------------------------------------------------------------------------------- values

    def _limits(self, call: ast.Call, name: str) -> tolerance.Tolerance | None:
        """How far off the arguments of an assert method may be; None where they have to be equal as they are."""
        return None if name in asserting.EQUAL else tolerance.of(call, self.fixed) or tolerance.USUAL

    def _side(
        self, owner: ast.AST, side: ast.expr, sound: bool, limits: tolerance.Tolerance | None = None
    ) -> list[Site]:
        """Of a side that is expected: the constants that it shows, or, if it is computed, all of it.

        Args:
            owner: the comparison, or the call of an assert method.
            sound: the test fails in any case where the sides are farther from each other than they may be.
            limits: how far that is; None if they have to be equal.
        """
        kinds = {type(o) for o in (side, *self.values.get(path_of(side), ()))} if asserting.counts(owner) else set()
        sound = sound and kinds.isdisjoint((ast.Dict, ast.DictComp))  # of which only the keys count
        change = tolerance.far(limits) if limits else other_constant if ast.Constant in kinds else other_answer
        if change is None:
            return []
        if self._shows(side) or self._ours(side):
            return self._values(side, sound, change)
        pure = looks.is_pure(side, self.values, self.sources) and not (self.kinds.makers(side) or self._parts(side))
        sites = [s for s in self._values(side, False, change) if id(s[0]) not in self.given] if pure else []
        if limits is None or limits.kind:
            sites += self._whole(side, sound and self._ours(owner), near=limits.kind if limits else "")
        return sites

    def _whole(self, value: ast.expr, sound: bool, *, near: str, depth: int = 0) -> list[Site]:
        """All of a value, where it is computed: what is read from the test's names is then as false as what is compared."""
        name = path_of(value)
        origins = self.values.get(name, []) if depth < 3 and (name in self.single or name not in self.sources) else []
        known = bool(origins) and not any(isinstance(o, ast.Starred) or self._ours(o) for o in origins)
        sure = sound and name in self.single
        sites = [s for o in origins for s in self._whole(o, sure, near=near, depth=depth + 1)] if known else []
        if (known and sure) or not computed.can_change(value):
            return sites
        sites += self._in_rows(value, sound)
        if any(site[2] for site in sites):
            return sites
        kind = near or self.kinds.of(value)
        if not known and (site := self._rebound(value, kind, sound)):
            return [site] if site[2] else [site, (value, self._by_kind(other_value, kind), sound, True)]
        return self._made(value, kind, sound) or [*sites, (value, self._by_kind(other_value, kind), sound, True)]

    def _rebound(self, value: ast.expr, kind: str, sound: bool) -> Site | None:
        """Of what a loop binds, or a part of that: another value as soon as it is bound, for no text shows what it is."""
        inner = value.value if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant) else value
        name, text = path_of(inner), ast.unparse(value)
        handed = name in self.sources if inner is value else any(text in each for each in self.handed)
        if name not in self.binders or handed or self._parts(value):
            return None
        sure = sound and (name in self.single or text in self.single_parts)
        return self.binders[name], self._by_kind(partial(other_binding, value), kind), sure, True

    def _made(self, value: ast.expr, kind: str, sound: bool) -> list[Site]:
        """Of a value that a function of the test's own computes: what that returns, so that whoever calls it is told the same."""
        makers = [each for each in self.kinds.makers(value) if not any(map(self._uses, ast.walk(each)))]
        name = name_of(value.func) if isinstance(value, ast.Call) else ""
        once = sum(name_of(n.func) == name for n in self.nodes if isinstance(n, ast.Call)) == 1
        sure = sound and once and len(makers) == 1 and name not in self.sources and not self.kinds.is_called(name)
        sites: list[Site] = [(each, self._by_kind(other_returns, kind), sure, True) for each in makers]
        return sites if sure or not sites else [*sites, (value, self._by_kind(other_value, kind), sound, True)]

    def _in_rows(self, value: ast.expr, sound: bool) -> list[Site]:
        """What is there to see where rows of cases, a fixture, or a function hold a value."""
        parts = self._parts(value)
        looked_at = self.open | self.rows.open
        sure = [sound and looked_at.isdisjoint(map(id, ast.walk(part))) for part in parts]
        return [s for part, each in zip(parts, sure, strict=True) for s in self._values(part, each, other_answer)]

    def _parts(self, value: ast.expr) -> list[ast.expr]:
        """What a value may be in the text, if it is not there itself, and does not go to the program as well."""
        parts = self.rows.parts(ast.Starred(value) if isinstance(value, (ast.ListComp, ast.GeneratorExp)) else value)
        return [p for p in parts if p is not value and id(p) not in self.given and self._shows(p)]

    def _shows(self, value: ast.expr, depth: int = 0) -> bool:
        """True if a value is made of constants that are there to see, and stand for nothing else."""
        if isinstance(value, ast.Constant):
            return value.value is not ...
        if isinstance(value, (ast.List, ast.Tuple, ast.Set)):
            return all(self._shows(part, depth) for part in value.elts)
        if isinstance(value, ast.Dict):
            return all(part is not None and self._shows(part, depth) for part in [*value.keys, *value.values])
        if isinstance(value, ast.UnaryOp):
            return self._shows(value.operand, depth)
        if tolerance.is_approx(value):
            return True  # `_values` looks into it
        if computed.is_array(value):
            return self._shows(value.args[0], depth)
        name = path_of(value) if isinstance(value, (ast.Name, ast.Attribute)) else ""
        return bool(name) and self._stands_for_itself(name) and depth < 3 and name not in self.program_names and \
            bool(self.values.get(name)) and all(self._shows(origin, depth + 1) for origin in self.values[name])  # fmt: skip

    def _stands_for_itself(self, name: str) -> bool:
        """True if the function looks at a name once, and nobody else may."""
        return name in self.single or (name not in self.own and name.startswith("self."))

    def _values(self, value: ast.expr, sound: bool, change: Change = other_constant, depth: int = 0) -> list[Site]:
        """Constants and empty containers that this value is made of, also by way of names.

        `sound`: a change of one that the value shows as it is makes another value.
        """
        if isinstance(value, ast.Constant):
            return [(value, change, sound, True)] if value.value is not ... else []
        if isinstance(value, _SHOWING) and not getattr(value, "elts", getattr(value, "keys", ())):
            return [(value, change if change is unlikely else one_more, sound, True)]
        if tolerance.is_approx(value):
            return self._approximate(value, sound)
        if isinstance(value, (ast.Name, ast.Attribute)) and path_of(value):
            name = path_of(value)
            if depth >= 3 or name in self.inputs:
                return []  # to another input the same answer may be as wrong, or as right
            alone = sound and name in self.single
            origins = [o for o in self.values.get(name, ()) if name not in self.program_names or looks.is_object(o)]
            sure = {id(o): alone and id(o) not in self.shared and not self._ours(o) for o in origins}
            return [s for o in origins for s in self._values(o, sure[id(o)], change, depth + 1)]
        minus = isinstance(getattr(value, "op", None), ast.USub)
        shown = minus or isinstance(value, _SHOWING) or computed.is_array(value)
        sites = [
            s for e in looks.inside(value) for s in self._values(e, sound and shown, change_in(value, e, change), depth)
        ]
        for site in sites if sound and isinstance(value, (ast.List, ast.Tuple)) else ():
            self.lists[id(site[0])].append(value)
        return sites

    def _approximate(self, call: Any, sound: bool) -> list[Site]:
        """Of `approx(...)`: farther away than it allows for."""
        limits = tolerance.of(call, self.fixed) or tolerance.USUAL
        change = tolerance.far(limits)
        if change is None or not call.args:
            return []
        if self._shows(call.args[0]):
            return self._values(call.args[0], sound and limits.known, change)
        return self._whole(call.args[0], sound and limits.known, near=limits.kind) if limits.kind else []


_KEEPING = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.Expr)
_TWINS = {"any": "filled", "near": "nearby"}
_SHOWING = (ast.List, ast.Tuple, ast.Set, ast.Dict)
