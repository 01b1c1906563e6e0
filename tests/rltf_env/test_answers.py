"""Which part of an answer is the program: answers as models give them."""

from __future__ import annotations

import time

import pytest

from rltf_env.answers import choose, extract

F = "def f(x):\n    return 2 * x\n"
BAD = "def f(x):\n    return x +\n"
DRAFT = "def f(x):\n    return x\n"
USE = "print(f(2))\n"
S = "class Solution:\n    def f(self): pass\n"
READ = "n = int(input())\nprint(2 * n)\n"
LONG = 'def f(x):\n    """Doubles.\n\n    ```\n    f(2)\n    ```\n    """\n    return 2 * x\n'
BLANKS = 'def f(x):\n    s = """a\n    \n  b"""\n    \n    return 2 * x\n'
LIST = "".join(f"   {line}\n" for line in F.splitlines())
QUOTE = "".join(f"> {line}\n" for line in F.splitlines())


def fence(code: str, language: str = "python", mark: str = "```") -> str:
    return f"{mark}{language}\n{code}{mark}\n"


ANSWERS: list[tuple[str, str, str | None]] = [
    # ------------------------------------------------------------------ plain and fenced
    (F, F, "f"),
    (fence(F), F, "f"),
    (fence(F, ""), F, "f"),
    (fence(F, "py"), F, "f"),
    (fence(F, "Python"), F, "f"),
    (fence(F, "python3"), F, "f"),
    (fence(F, " python"), F, "f"),
    (fence(F, 'python title="f.py"'), F, "f"),
    (fence(F, "python", "~~~"), F, "f"),
    (fence(F, "python", "````"), F, "f"),
    ("Sure! Here it is:\n\n" + fence(F), F, "f"),
    (fence(F) + "\nThis doubles `x`.", F, "f"),
    ("Sure:\n```python\n" + F, F, "f"),
    ("```python\n" + F.rstrip() + "```", F, "f"),
    ("```python\n" + F.rstrip() + "\n```<|im_end|>", F, "f"),
    ("```python f = abs```", "f = abs", "f"),
    ("`f = abs`", "f = abs", "f"),
    (fence(F).replace("\n", "\r\n"), F.replace("\n", "\r\n"), "f"),
    # ------------------------------------------------------------------ thoughts
    ("<think>Let me see.</think>\n" + fence(F), F, "f"),
    ("<think>\n" + fence(DRAFT) + "No.</think>\n" + fence(F), F, "f"),
    ("<think>" + fence(DRAFT) + "\n</think>\n" + F, F, "f"),
    ("<think>\n" + fence(DRAFT), "", "f"),
    ("<think>I wonder", "", "f"),
    ("I think so.\n" + fence(DRAFT) + "</think>\n\n" + fence(F), F, "f"),
    ("<thinking>\n" + DRAFT + "</thinking>\n" + fence(F), F, "f"),
    ("<reasoning>a</reasoning>\n<answer>\n" + F + "</answer>", F, "f"),
    ("<reasoning>a</reasoning>\n<answer>\n" + fence(F) + "</answer>", F, "f"),
    ("[THINK]" + DRAFT + "[/THINK]" + fence(F), F, "f"),
    ("◁think▷hm◁/think▷\n" + fence(F), F, "f"),
    ("<|begin_of_thought|>\n" + fence(DRAFT) + "<|end_of_thought|>\n<|begin_of_solution|>\n" + fence(F), F, "f"),
    ("<|channel|>analysis<|message|>" + DRAFT + "<|end|><|start|>assistant<|channel|>final<|message|>\n" + fence(F), F, "f"),
    ("<think>\n</think>\n\n" + F, F, "f"),
    (F + "# <|end|>\n", F + "#", "f"),
    (F + "# </think>\n", F + "# </think>\n", "f"),
    ("<think>a</think>\n" + fence(DRAFT) + "<think>b</think>\n" + fence(F), F, "f"),
    ("def f(x):\n    return '<think>' + x\n", "def f(x):\n    return '<think>' + x\n", "f"),
    # ------------------------------------------------------------------ several blocks
    (fence(DRAFT) + "Better:\n" + fence(F), F, "f"),
    (fence(F) + "Use it:\n" + fence(USE), F, "f"),
    (fence(F) + "Output:\n" + fence("4\n", ""), F, "f"),
    (fence("pip install numpy\n", "bash") + fence(F), F, "f"),
    (fence(F) + fence("python f.py\n", "sh"), F, "f"),
    (fence(F) + fence("$ python f.py\n", "console"), F, "f"),
    (fence(F) + fence(">>> f(2)\n4\n", ""), F, "f"),
    (fence(F) + fence('{"f": 1}\n', "json"), F, "f"),
    (fence(F) + fence("4\n", "text"), F, "f"),
    (fence(F) + "Wrong would be:\n" + fence(BAD), F, "f"),
    (fence(F) + "In Java:\n" + fence("int f(int x) { return 2 * x; }\n", "java"), F, "f"),
    (fence(BAD) + fence(USE), BAD, "f"),
    (fence(F) + "And:\n" + fence("import unittest\nclass T(unittest.TestCase):\n    pass\n"), F, "f"),
    (fence(F) + "```python\nassert f(2) == 4\n", F, "f"),
    # ------------------------------------------------------------------ lists, quotations, indentation
    (fence(BLANKS), BLANKS, "f"),
    (fence("".join(f"  {line}" for line in BLANKS.splitlines(keepends=True))), BLANKS, "f"),
    ("1. Do this:\n\n   ```python\n" + LIST + "   ```\n", F, "f"),
    ("- ```python\n" + F.replace("def", "  def").replace("    ", "      ") + "  ```\n", F, "f"),
    ("> ```python\n" + QUOTE + "> ```\n", F, "f"),
    ("```python\n    def f(x):\n        return 2 * x\n```\n", F, "f"),
    ("   ~~~py\n" + LIST + "   ~~~\n", F, "f"),
    ("```python\n    n = int(input())\n    print(n)\n```", "n = int(input())\nprint(n)\n", None),
    # ------------------------------------------------------------------ opened by the prompt
    (F + "```\n", F, "f"),
    (F + "```\n\nThis doubles.", F, "f"),
    (F + "```\nUse it:\n" + fence(USE), F, "f"),
    ("    return 2 * x\n```\n", "    return 2 * x\n", "f"),
    (READ + "```\n", READ, None),
    # ------------------------------------------------------------------ bodies
    ("    return 2 * x\n", "    return 2 * x\n", "f"),
    (fence("    return 2 * x\n"), "    return 2 * x\n", "f"),
    # ------------------------------------------------------------------ fences within strings
    (fence(LONG), LONG, "f"),
    # ------------------------------------------------------------------ methods, classes, other definitions
    (fence("class Solution:\n    def f(self):\n        pass\n"), "class Solution:\n    def f(self):\n        pass\n", "Solution.f"),
    (fence(S) + fence("Solution().f()\n"), S, "Solution.f"),
    (fence("f = lambda x: 2 * x\n") + fence(USE), "f = lambda x: 2 * x\n", "f"),
    (fence("async def f(x):\n    pass\n") + fence(USE), "async def f(x):\n    pass\n", "f"),
    # ------------------------------------------------------------------ standard input
    (fence(READ, ""), READ, None),
    (fence(READ) + "Input:\n" + fence("3\n", "") + "Output:\n" + fence("6\n", ""), READ, None),
    (fence("3\n", "") + fence(READ), READ, None),
    ("import sys\n" + READ, "import sys\n" + READ, None),
    # ------------------------------------------------------------------ no fence, with prose; tags
    ("Here is the function:\n\n" + F, F, "f"),
    ("Here is the function:\n\n" + F + "\nThis doubles its argument.", F, "f"),
    ("[PYTHON]\n" + F + "[/PYTHON]", F, "f"),
    ("<code>\n" + F + "</code>", F, "f"),
    (F + "<|endoftext|>", F, "f"),
    ("I cannot help.", "I cannot help.", "f"),
    ("", "", "f"),
    (" \n", "", None),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "program", "entry_point"), ANSWERS)
def test_the_program_of_an_answer_is_the_one_that_a_reader_would_take(
    answer: str, program: str, entry_point: str | None
) -> None:
    assert extract(answer, entry_point=entry_point).program.rstrip() == program.rstrip()


def test_there_are_sixty_answers_and_more() -> None:
    assert len(ANSWERS) >= 60


@pytest.mark.parametrize(("answer", "program", "entry_point"), ANSWERS)
def test_the_offset_is_where_the_program_begins(answer: str, program: str, entry_point: str | None) -> None:
    found, offset = extract(answer, entry_point=entry_point)
    assert answer[offset:].lstrip(" >\t").startswith(found.partition("\n")[0].strip())


def test_the_prompt_may_have_opened_the_block() -> None:
    assert extract("x = 1\n```\nDone.", opened=True).program == "x = 1\n"


@pytest.mark.parametrize(
    "text", ["```", "~~~\n", "```\n```", "</think>", "<think>", "\ud800", "\0", "`" * 99, "'''\n```"]
)
def test_any_text_has_a_program(text: str) -> None:
    assert isinstance(extract(text, "f").program, str)


def test_the_reason_is_told() -> None:
    assert choose(fence(F) + fence(USE), "f").how == "block 1 of 2"
    assert choose("<think>hm", "f").how == "nothing but thoughts"


LINES = 20_000
LOOPS = {  # texts that a model in a loop writes
    "blanks before a backtick": "```" + " " * LINES + "`\n" + F,
    "blanks after a language": "```py" + " " * LINES + "x\n" + F,
    "blanks before code": " " * LINES + "x\n" + fence(F),
    "blanks between": F + " " * LINES + "b",
    "a line that ends with one backtick": "```python\n" + "a" * LINES + "`\n```",
    "tildes": "~" * LINES + "`",
    "fences in a string": "```python\nx = '''\n" + "```\n" * LINES,
    "thoughts": "<think>a</think>.\n" * LINES,
    "thoughts in one line": "<think>. " * LINES,
    "end marks": "<|im_end|> " * LINES + "x",
    "calls that nothing closes": "f = f(\n" * (LINES // 20),
    "strings that nothing closes": "x = '''\n" * (LINES // 20) + "def f(x",
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("text", LOOPS.values(), ids=LOOPS.keys())
def test_an_answer_without_sense_is_read_in_little_time(text: str) -> None:
    before = time.process_time()
    extract(text, "f")
    assert time.process_time() - before < 10
