"""Python's grammar (3.11 to 3.13, and 3.14 where that runs): whether a beginning of a program can be completed.

Written after the full grammar of the language reference, with two liberties. It describes the same *set* of programs but not
the same trees: where precedence decides only the shape of a tree, levels are merged. And it says itself what CPython checks
after parsing: what may be assigned to, deleted or annotated, where a star may stand, bytes beside text, `except:` last.

One rule a line: `name: alternatives`. Words in capitals and everything in quotes are terminals; `?`, `*` and `+` as usual;
parentheses group. No rule matches nothing, which `_lr.py` needs.
"""

from __future__ import annotations

import re
import sys
from functools import cache

Production = tuple[str, tuple[str, ...]]

START = "file"
_RULES = r"""
file: statement* END
statement: simple_line | compound
simple_line: small (';' small)* ';'? NEWLINE
small: assignment | results | yield | 'return' results? | import | raise | 'pass' | 'break' | 'continue' | type_alias
small: 'del' gone_list | 'assert' expression (',' expression)? | ('global' | 'nonlocal') NAME (',' NAME)*
raise: 'raise' (expression ('from' expression)?)?
type_alias: TYPE NAME type_params? '=' expression
value: results | yield

assignment: (targets '=')+ value | single AUGMENTED value | single ':' expression ('=' value)?
member: primary '.' NAME | primary '[' slices ']'
single: NAME | member | '(' single ')'
target: NAME | member | '(' target ')' | '(' target_tuple? ')' | '[' target_list? ']'
starred_target: target | '*' target
target_tuple: starred_target ',' target_list?
target_list: starred_target (',' starred_target)* ','?
targets: target | target_tuple
gone: NAME | member | '(' gone ')' | '(' gone_tuple? ')' | '[' gone_list? ']'
gone_tuple: gone ',' gone_list?
gone_list: gone (',' gone)* ','?

import: 'import' dotted_as (',' dotted_as)* | 'from' origin 'import' ('*' | '(' names ','? ')' | names)
origin: dotted | dots dotted?
dots: ('.' | '...')+
dotted: NAME ('.' NAME)*
dotted_as: dotted ('as' NAME)?
names: name_as (',' name_as)*
name_as: NAME ('as' NAME)?

compound: decorator* (function | class) | if | 'async'? (for | with) | while | try | match
block: NEWLINE INDENT statement+ DEDENT | simple_line
decorator: '@' named NEWLINE
class: 'class' NAME type_params? ('(' arguments? ')')? ':' block
function: 'async'? 'def' NAME type_params? '(' parameters? ')' ('->' expression)? ':' block
if: 'if' named ':' block elif* else?
elif: 'elif' named ':' block
else: 'else' ':' block
while: 'while' named ':' block else?
for: 'for' targets 'in' results ':' block else?
with: 'with' with_head ':' block
with_head: with_item (',' with_item)* | '(' with_item (',' with_item)* ','? ')'
with_item: expression ('as' target)?
try: 'try' ':' block (finally | handlers else? finally?)
handlers: handler+ | handler* 'except' ':' block | group_handler+
handler: 'except' expression ('as' NAME)? ':' block
group_handler: 'except' '*' expression ('as' NAME)? ':' block
finally: 'finally' ':' block

match: MATCH (named | star_tuple) ':' NEWLINE INDENT case+ DEDENT
case: CASE (pattern | open_sequence) ('if' named)? ':' block
pattern: closed ('|' closed)* ('as' NAME)?
closed: literal | NAME | constant | '(' pattern ')' | '(' open_sequence? ')' | '[' sequence? ']' | mapping | class_pattern
literal: signed (('+' | '-') NUMBER)? | STRING+ | BYTES+ | CONSTANT
signed: '-'? NUMBER
constant: NAME ('.' NAME)+
element: pattern | '*' NAME
sequence: element (',' element)* ','?
open_sequence: element ',' sequence?
mapping: '{' '}' | '{' pair_pattern (',' pair_pattern)* (',' '**' NAME)? ','? '}' | '{' '**' NAME ','? '}'
pair_pattern: (literal | constant) ':' pattern
class_pattern: (NAME | constant) '(' (class_patterns ','?)? ')'
class_patterns: pattern (',' pattern)* (',' keyword_pattern)* | keyword_pattern (',' keyword_pattern)*
keyword_pattern: NAME '=' pattern

type_params: '[' type_param (',' type_param)* ','? ']'
type_param: NAME (':' expression)? ('=' expression)? | '*' NAME ('=' star_expression)? | '**' NAME ('=' expression)?

results: expression | star_results
star_results: (star_expression ',')+ star_expression?
star_expression: '*' bits | expression
yield: 'yield' 'from' expression | 'yield' results?
named: NAME ':=' expression | expression
star_named: '*' bits | named
star_tuple: (star_named ',')+ star_named?
star_list: star_named (',' star_named)* ','?
expression: either 'if' either 'else' expression | either | 'lambda' lambda_parameters? ':' expression
either: inversion (('and' | 'or') inversion)*
inversion: 'not' inversion | comparison
comparison: bits (compare bits)*
compare: COMPARE | 'in' | 'not' 'in' | 'is' | 'is' 'not'
bits: operand (binary operand)*
binary: BINARY | '+' | '-' | '*' | '**' | '/' | '@' | '|'
operand: ('+' | '-' | '~') operand | 'await'? primary
primary: atom | member | primary '(' arguments? ')' | primary generator
atom: NAME | CONSTANT | NUMBER | '...' | text | BYTES+ | group | generator | list | dict | set
text: (STRING | format)+
group: '(' (yield | named) ')' | '(' star_tuple? ')'
generator: '(' named for_if+ ')'
list: '[' star_list? ']' | '[' named for_if+ ']'
set: '{' star_list '}' | '{' named for_if+ '}'
dict: '{' '}' | '{' pair (',' pair)* ','? '}' | '{' expression ':' expression for_if+ '}'
pair: expression ':' expression | '**' bits
for_if: 'async'? 'for' targets 'in' either ('if' either)*
slices: slice (',' slice)* ','?
slice: expression? ':' expression? (':' expression?)? | named | '*' expression

arguments: (positional | keywords | mappings | positional ',' keywords | positional ',' mappings) ','?
arguments: (keywords ',' mappings | positional ',' keywords ',' mappings) ','?
positional: argument (',' argument)*
argument: '*' expression | named
keyword: NAME '=' expression
keywords: keyword | keywords ',' (keyword | '*' expression)
mappings: '**' expression | mappings ',' (keyword | '**' expression)

format: FORMAT field* FORMAT_END
field: FIELD (results | yield) '='? ('!' NAME)? (SPEC field*)? FIELD_END
"""
_PARAMETERS = r"""
parameters: leading ','? | leading ',' trailing | trailing
leading: plain | filled | plain_after | filled_after
plain: parameter | plain ',' parameter
filled: default | plain ',' default | filled ',' default
plain_after: plain ',' '/' | plain_after ',' parameter
filled_after: filled ',' '/' | plain_after ',' default | filled_after ',' default
trailing: '*' rest (',' after_star)* (',' '**' parameter)? ','? | '**' parameter ','?
trailing: '*' (',' after_star)+ (',' '**' parameter)? ','?
after_star: parameter | default
default: parameter '=' expression
"""
_SINCE_3_14 = r"""
handler: 'except' expression ',' (expression (',' expression)* ','?)? ':' block
group_handler: 'except' '*' expression ',' (expression (',' expression)* ','?)? ':' block
"""  # PEP 758
_NAMES = "parameters leading plain filled plain_after filled_after trailing after_star default parameter rest"


def rules(version: tuple[int, int] = sys.version_info[:2]) -> str:
    """The grammar of a version, with the parameters of functions and, without annotations, of lambdas."""
    newest = _SINCE_3_14 if version >= (3, 14) else ""
    own = re.sub(rf"\b({'|'.join(_NAMES.split())})\b", r"lambda_\1", _PARAMETERS)
    return (
        f"{_RULES}{newest}{_PARAMETERS}parameter: NAME (':' expression)?\nrest: NAME (':' star_expression)?\n"
        f"{own}lambda_parameter: NAME\nlambda_rest: NAME\n"
    )


_TOKEN = re.compile(r"'[^']+'|\w+|[()|?*+]")


@cache
def productions(version: tuple[int, int] = sys.version_info[:2]) -> tuple[Production, ...]:
    """The grammar without `?`, `*`, `+` and groups: a repetition becomes a left-recursive rule of its own."""
    every_rule: dict[Production, None] = {}
    for line in filter(None, rules(version).splitlines()):
        name, _, right = line.partition(": ")
        reader = _Reader(_TOKEN.findall(right), every_rule)
        for alternative in reader.alternatives():
            every_rule[name, alternative] = None
    return tuple(every_rule)


class _Reader:
    """Reads the right side of a rule into its alternatives, each a sequence of symbols."""

    def __init__(self, tokens: list[str], rules: dict[Production, None]) -> None:
        self.tokens, self.at, self.rules = tokens, 0, rules

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1]

    def alternatives(self) -> list[tuple[str, ...]]:
        every = self.sequence()
        while self.peek() == "|":
            self.take()
            every = every + self.sequence()
        return every

    def sequence(self) -> list[tuple[str, ...]]:
        every: list[tuple[str, ...]] = [()]
        while self.peek() not in ("", "|", ")"):
            item = self.item()
            every = [left + right for left in every for right in item]
        return every

    def item(self) -> list[tuple[str, ...]]:
        token = self.take()
        if token == "(":
            every = self.alternatives()
            self.take()
        else:
            every = [(token,)]
        while self.peek() in ("?", "*", "+") and self.peek():
            mark = self.take()
            if mark in "*+":
                every = [(self.repeated(every),)]
            if mark in "?*":
                every = [(), *every]
        return every

    def repeated(self, every: list[tuple[str, ...]]) -> str:
        name = f"({' | '.join(' '.join(one) for one in every)})+"
        for one in every:
            self.rules[name, one] = None
            self.rules[name, (name, *one)] = None
        return name
