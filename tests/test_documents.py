"""README.md and docs/ do what they say: Python blocks run, commands name something that is there, links lead somewhere.

Marks stand in HTML comments on the line before a block, where a reader of the page does not see them:

    <!-- needs: data -->    skipped where no real data are at hand (--data, RLTF_DATA)
    <!-- prints -->         a text block: what the Python block before it prints, to the letter
    <!-- results: NAME -->  generated from a record, see `benchmarks.documents`
    <!-- tree -->           a text block: a name on each line, indented by two below its folder

A Python block runs by itself, as a newcomer would paste it: own process, empty folder, warnings are errors. A bash block is
read line by line: it may make, run modules with `python -m`, clone, install and set variables, and nothing that is not known.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import gymnasium
import pytest

import rltf_env  # noqa: F401 (registers the ids)
from agents import train
from agents.config import read
from benchmarks import documents, evaluate
from rltf_env import cli
from rltf_env.errors import UnknownName

ROOT = Path(__file__).resolve().parents[1]
PAGES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in documents.pages()}
OTHERS = ("CONTRIBUTING.md", "PAPERS.md", "SECURITY.md", "CHANGELOG.md")
ALL = {**PAGES, **{name: (ROOT / name).read_text(encoding="utf-8") for name in OTHERS}}
README = PAGES["README.md"]
FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[a-z: ]+) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
LANGUAGES = ("python", "bash", "text", "toml")
HARMLESS = (
    "git",
    "cd",
    "export",
    "source",
    "ray",
    "vllm",
)  # words that begin a line of which nothing here can be checked


@dataclass(frozen=True)
class Block:
    line: int
    language: str
    code: str
    mark: str = ""
    printed: str | None = None
    page: str = "README.md"


def blocks(text: str, page: str = "README.md") -> list[Block]:
    found: list[Block] = []
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("code"))
        block = Block(line, match["language"], match["code"], match["mark"] or "", page=page)
        if block.mark == "prints":
            before = found.pop()
            found.append(Block(before.line, before.language, before.code, before.mark, block.code, page))
        else:
            found.append(block)
    return found


def of(language: str, mark: str | None = None) -> list[pytest.param]:
    chosen = [b for b in every() if b.language == language and mark in (None, b.mark)]
    return [pytest.param(block, id=f"{block.page}, line {block.line}") for block in chosen]


def every() -> list[Block]:
    return [block for page, text in PAGES.items() for block in blocks(plain(text), page)]


def plain(text: str) -> str:
    """A page without the directives for the site's builder, its lines numbered as before."""
    return re.sub(r"^```\{[\w-]+\}$.*?^```$", lambda m: "\n" * m[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL)


def run(block: Block, folder: Path, data: str = "") -> None:
    """Runs a Python block; AssertionError unless it ends well and prints what it should."""
    environment = {**os.environ, "RLTF_DATA": data, "COLUMNS": "120"}
    if not data:
        del environment["RLTF_DATA"]
    command = [sys.executable, "-W", "error", "-c", block.code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, f"{block.page}, line {block.line}:\n{done.stderr}"
    assert block.printed is None or done.stdout == block.printed, (
        f"{block.page}, line {block.line} prints:\n{done.stdout}"
    )


# ---------------------------------------------------------------------------------------------------------- commands


def make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[1].split())  # type: ignore[index]


def check_command(line: str, saved: frozenset[str] = frozenset()) -> None:
    """AssertionError unless the command names things that are there; a page may have had recipes `saved` before."""
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if not words or words[0] in HARMLESS:
        return
    if words[0] == "torchrun":
        words = ["python", *words[words.index("-m") :]]
    if words[0] == "make":
        unknown = {word for word in words[1:] if "=" not in word} - make_targets()
        assert not unknown, f"the Makefile has no target {unknown}: {line}"
    elif re.search(r"(^|/)python[0-9.]*$", words[0]) and words[1] == "-m":
        check_module(words[2], [word for word in words[3:] if word not in saved], line)
    elif words[0] == "rltf":
        assert len(words) > 1 and words[1] in (*cli.COMMANDS, "completion"), f"no such command: {line}"  # noqa: PT018
        check_files([word for word in words[2:] if word not in saved], line)
    elif words[0] == "pip":
        check_install(words[1:], line)
    else:
        raise AssertionError(f"this test does not know how to check: {line}")


def check_module(module: str, arguments: list[str], line: str) -> None:
    if module == "pip":
        return check_install(arguments, line)
    spec = importlib.util.find_spec(module)
    assert spec, f"no module {module}: {line}"
    if spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(f"{module}.__main__")
    starts = spec and spec.origin and 'if __name__ == "__main__":' in Path(spec.origin).read_text(encoding="utf-8")
    assert starts or module == "pytest", f"{module} does nothing when it is run: {line}"
    return check_files(arguments, line)


def check_files(arguments: list[str], line: str) -> None:
    for argument in arguments:
        if argument.endswith(".toml"):
            assert (ROOT / argument).is_file(), f"no file {argument}: {line}"


def check_install(arguments: list[str], line: str) -> None:
    known = set(
        tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    )
    asked = {extra for part in re.findall(r"\[([\w,]+)\]", " ".join(arguments)) for extra in part.split(",")}
    assert asked <= known, f"no extras {asked - known}: {line}"


def commands(block: Block) -> list[str]:
    """The lines of a bash block; a backslash at the end joins two."""
    return block.code.replace("\\\n", " ").splitlines()


def missing(tree: str) -> list[str]:
    """Paths of a tree block that do not exist."""
    folders: list[str] = []
    gone = []
    for line in tree.splitlines():
        name = line.split()[0] if line.strip() else ""
        depth = (len(line) - len(line.lstrip())) // 2
        folders[depth:] = [name]
        if name and not ROOT.joinpath(*folders).exists():
            gone.append("/".join(folder.rstrip("/") for folder in folders))
    return gone


# ------------------------------------------------------------------------------------------------------- the project


@pytest.mark.parametrize("block", of("python"))
def test_python_block_runs(block: Block, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    run(block, tmp_path, str(request.getfixturevalue("data")) if block.mark == "needs: data" else "")


@pytest.mark.parametrize("block", of("bash"))
def test_commands_name_what_is_there(block: Block) -> None:
    saved = frozenset(re.findall(r"Save this as `(\w+\.toml)`", PAGES.get(block.page, "")))
    for line in commands(block):
        check_command(line, saved)


@pytest.mark.parametrize("block", of("text", "tree"))
def test_tree_shows_what_is_there(block: Block) -> None:
    assert not missing(block.code)


@pytest.mark.parametrize("block", of("toml"))
def test_toml_block_is_a_recipe(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(block.code, encoding="utf-8")
    read(path)


def test_own_problems_come_to_a_trained_model_and_an_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's rows and recipes in turn, of a few updates each, then its evaluation."""
    page = "docs/own-problems.md"
    monkeypatch.chdir(tmp_path)
    rows, warm, learnt = (b.code for b in blocks(PAGES[page], page) if b.language in ("python", "toml"))
    exec(rows, {})
    for name, recipe in {"warm": warm, "mine": learnt}.items():
        Path(f"{name}.toml").write_text(recipe)
        assert train.main([f"{name}.toml", "run.updates=2", "run.eval_every=0", "eval.samples=1"]) == 0
    assert evaluate.main(["./mine", "--split", "test", "--agent", "runs/mine", "--max-tokens", "8"]) == 0
    assert len(list(Path("runs/evaluations").rglob("report.json"))) == 1


def test_pages_have_blocks_of_known_kinds_and_marks() -> None:
    assert {block.language for block in every()} == set(LANGUAGES)
    assert {block.mark for block in every()} <= {"", "needs: data", "tree"}
    assert any(block.mark == "tree" for block in every())


@pytest.mark.parametrize("page", PAGES)
def test_every_fence_is_a_block(page: str) -> None:
    text = plain(PAGES[page])
    assert text.count("```") == 2 * len(re.findall(FENCE, text))


def test_readme_has_at_most_200_lines() -> None:
    assert len(README.splitlines()) <= 200


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    titles = re.findall(r"^#+ (.+)$", re.sub(FENCE, "", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def dead(page: Path, text: str) -> list[str]:
    """Relative links of a page that lead to no file, or to no heading of it."""
    gone = []
    for link in re.findall(r"\]\((?!https?://)([^)]+)\)", re.sub(FENCE, "", text)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        inside = target.suffix == ".md" and target.is_file()
        if not target.exists() or (anchor and not (inside and anchor in anchors(target.read_text(encoding="utf-8")))):
            gone.append(link)
    return gone


@pytest.mark.parametrize("page", ALL)
def test_links_lead_somewhere(page: str) -> None:
    assert not dead(ROOT / page, ALL[page])


@pytest.mark.parametrize("page", ALL)
def test_paths_in_the_text_exist(page: str) -> None:
    paths = re.findall(r"`((?:rltf_env|agents|benchmarks|tests)/(?!.*NAME)[\w./-]+)`", ALL[page])
    assert not [path for path in paths if not (ROOT / path).exists()]


@pytest.mark.parametrize("page", ALL)
def test_ids_and_make_targets_in_the_text_are_known(page: str) -> None:
    assert set(re.findall(r"RLTF-\w+-v\d+", ALL[page])) <= set(gymnasium.registry)
    assert set(re.findall(r"`make ([a-z-]+)`", ALL[page])) <= make_targets()


def test_every_page_is_listed_and_readme_links_security() -> None:
    listed = "".join(PAGES[f"docs/{page}.md"] for page in ("index", "integrations", "results/index"))
    listed = listed.replace("(integrations/", "(")
    assert all(f"({Path(page).name})" in listed for page in PAGES if not page.endswith(("README.md", "index.md")))
    assert "(SECURITY.md)" in README


def test_generated_blocks_are_those_of_the_records() -> None:
    assert not documents.stale(), "run: python -m benchmarks.documents"


def test_every_record_and_every_generated_block_has_a_page() -> None:
    used = {match["name"] for text in PAGES.values() for match in documents.MARK.finditer(text)}
    assert used == set(documents.BLOCKS)


# ------------------------------------------------------------------------------------------------------- the checker


def python(code: str, printed: str | None = None) -> Block:
    return Block(1, "python", code, printed=printed)


def test_blocks_are_found_with_their_marks_and_output() -> None:
    text = "a\n```python\nprint(1)\n```\n<!-- prints -->\n```text\n1\n```\n\n<!-- needs: data -->\n```bash\nmake test\n```\n"
    assert blocks(text) == [
        Block(2, "python", "print(1)\n", "", "1\n"),
        Block(11, "bash", "make test\n", "needs: data"),
    ]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (python("1 / 0"), "ZeroDivisionError"),
        (python("import warnings; warnings.warn('old')"), "UserWarning: old"),
        (python("print('one')", printed="two\n"), r"prints:\s+one"),
        (python("open('here')"), "FileNotFoundError"),
    ],
)
def test_block_that_does_not_do_what_it_says_is_refused(block: Block, message: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=message):
        run(block, tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("make nonsense", "no target"),
        ("python -m agents.nonsense", "no module"),
        ("python -m rltf_env.core", "does nothing when it is run"),
        ("python -m pytest agents/recipes/nonsense.toml", "no file"),
        ("pip install -e '.[nonsense]'", "no extras"),
        ("rm -rf /", "does not know how to check"),
    ],
)
def test_command_that_cannot_work_is_refused(line: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_command(line)


def test_good_commands_pass_and_joined_lines_are_one() -> None:
    block = Block(
        1,
        "bash",
        "RLTF_DATA=x make test  # why\n.venv/bin/python -m pytest \\\n  -q\n\n# note\npip install -e '.[agents]'\n",
    )
    for line in commands(block):
        check_command(line)


def test_tree_with_a_file_that_is_gone_is_refused() -> None:
    assert missing("rltf_env/  the environment\n  env.py  an episode\n  gone.py  nothing\ntests/\n") == [
        "rltf_env/gone.py"
    ]


def test_dead_links_and_anchors_are_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# A title, really\n")
    text = "[a](there.md) [b](gone.md) [c](there.md#a-title-really) [d](there.md#other) [e](https://x.org/y)"
    assert dead(tmp_path / "page.md", text) == ["gone.md", "there.md#other"]


def test_a_figure_changed_by_hand_is_found_and_an_unknown_block_refused() -> None:
    page = PAGES["docs/results/demo.md"]
    assert documents.rewritten(page.replace("48.0%", "58.0%")) == page
    with pytest.raises(UnknownName, match="demo/seen"):
        documents.rewritten("<!-- results: demo/seem -->\n<!-- end -->\n")
