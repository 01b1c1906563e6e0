"""Who answers: files in three formats, functions, servers that fail now and then (a real one, on this machine), policies."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmarks import solvers, suites
from benchmarks.core import Answer
from benchmarks.solvers import before_stop, endpoint, whole_program
from rltf_env.core import Problem, ScriptCase
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError
from rltf_env.tokenizers import Bytes

PREFIX = 'def f(x):\n    """Doubles."""\n'
CASE = [ScriptCase("assert f(2) == 4")]
PROBLEMS = [Problem("HumanEval/0", PREFIX, CASE, "f", prefix=PREFIX), Problem("mbpp/11", "Double.", CASE, "f")]
SUITE = suites.get("humaneval")


def texts(groups: list[list[Answer]]) -> list[list[str]]:
    return [[answer.text for answer in group] for group in groups]


# ------------------------------------------------------------------------------------------------------------- files


def write(path: Path, content: str) -> str:
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return str(path)


ROWS = [
    {"task_id": "HumanEval/0", "completion": "    return 2 * x\n"},
    {"task_id": "Mbpp/11", "solution": "f = lambda x: 2 * x"},
    {"task_id": "HumanEval/0", "completion": "    return x\n"},
    {"task_id": "Mbpp/11", "solution": "f = abs"},
]
WHOLE = [[PREFIX + "    return 2 * x\n", PREFIX + "    return x\n"], ["f = lambda x: 2 * x", "f = abs"]]
LINES = "\n".join(map(json.dumps, ROWS))
CODE_LISTS = [
    {"question_id": "0", "code_list": WHOLE[0]},
    {"question_id": 11, "code_list": WHOLE[1], "output_list": []},
]
BY_ID = {"HumanEval/0": WHOLE[0], "mbpp/11": WHOLE[1]}
LISTS = [
    {"task_id": "HumanEval/0", "completion": ["    return 2 * x\n", "    return x\n"]},
    {"id": "mbpp_11", "solution": WHOLE[1]},
]
SAMPLES = [
    {"problem": problem, "sample": k, "text": text, "outcomes": "1"}
    for problem, programs in BY_ID.items()
    for k, text in enumerate(programs)
]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.jsonl", LINES),
        ("rows.jsonl.gz", LINES + "\n"),
        ("rows.json", json.dumps(ROWS, indent=1)),
        ("bigcode.json", json.dumps(WHOLE)),
        ("bigcode.jsonl", "\n".join(map(json.dumps, WHOLE))),
        ("lcb.json", json.dumps(CODE_LISTS)),
        ("lcb.jsonl", "\n".join(map(json.dumps, CODE_LISTS))),
        ("map.json", json.dumps(BY_ID)),
        ("map.json.gz", json.dumps(BY_ID, indent=1)),
        ("map.jsonl", "\n".join(json.dumps({id: programs}) for id, programs in BY_ID.items())),
        ("texts.jsonl", "\n".join(json.dumps({id: text}) for id, programs in BY_ID.items() for text in programs)),
        ("lists.jsonl", "\n".join(map(json.dumps, LISTS))),
        ("samples.jsonl.gz", "\n".join(map(json.dumps, SAMPLES))),
    ],
)
def test_every_format_of_completions_gives_the_same_programs(name: str, content: str, tmp_path: Path) -> None:
    solver = solvers.find(write(tmp_path / name, content), SUITE, {})
    assert solver.answered(PROBLEMS) == PROBLEMS  # type: ignore[attr-defined]
    assert texts(solver.write(PROBLEMS, 2, 0)) == WHOLE
    assert texts(solver.write(PROBLEMS, 1, 0)) == [[group[0]] for group in WHOLE]


def test_a_folder_of_programs_is_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    wanted = [WHOLE[0] * 6, WHOLE[1] * 6]  # more than ten: 10 comes after 9
    for problem, programs in zip(("HumanEval_0", "Mbpp_11"), wanted, strict=True):
        (tmp_path / "samples_0.8" / problem).mkdir(parents=True)
        for number, text in enumerate(programs):
            write(tmp_path / "samples_0.8" / problem / f"{number}.py", text)
    solver = solvers.find(str(tmp_path / "samples_0.8"), SUITE, {})
    assert solver.answered(PROBLEMS) == PROBLEMS  # type: ignore[attr-defined]
    assert texts(solver.write(PROBLEMS, 12, 0)) == wanted
    assert solver.name == "samples_0.8"


def test_a_policy_with_code_of_its_own_is_no_folder_of_programs(tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    write(tmp_path / "policy" / "modeling_own.py", "")
    assert solvers.kind(str(tmp_path)) == "policy"


def test_file_with_too_few_programs_says_how_many_there_are(tmp_path: Path) -> None:
    solver = solvers.find(write(tmp_path / "a.jsonl", LINES), SUITE, {})
    with pytest.raises(UsageError, match=r"Expected 3 programs for 'HumanEval/0' in a.jsonl, got 2. Pass --samples 2"):
        solver.write(PROBLEMS, 3, 0)
    with pytest.raises(UsageError, match="--answered"):
        solver.write([Problem("HumanEval/1", "", CASE, "f")], 1, 0)


def checked(path: Path, rows: list[dict[str, str]], samples: int, **options: Any) -> list[str]:
    solver = solvers.find(write(path / "a.jsonl", "\n".join(map(json.dumps, rows))), SUITE, options)
    return solver.check(solver.answered(PROBLEMS), samples)  # type: ignore[attr-defined]


def test_programs_that_would_not_be_judged_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    assert checked(tmp_path, ROWS, 2) == []
    message = (
        r"Expected 1 program for 'HumanEval/0' in a.jsonl, got 2, of which 1 would not be judged\. Pass --samples 2 to"
    )
    with pytest.raises(UsageError, match=message):
        checked(tmp_path, ROWS, 1)
    with pytest.raises(UsageError, match=r"got 2.*Pass --option surplus=drop"):
        checked(tmp_path, ROWS[:3], 1)
    with pytest.raises(UsageError, match=r"got 4.*Pass --samples 2 to have them judged, and --option surplus=drop"):
        checked(tmp_path, [*ROWS, ROWS[0], ROWS[0]], 1)
    with pytest.raises(UsageError, match="Expected 3 programs"):
        checked(tmp_path, ROWS, 3)


def test_programs_are_left_out_where_that_is_asked_for_and_told(tmp_path: Path) -> None:
    departures = ["the first 1 of up to 2 programs a problem, 1 of 3 left out"]
    assert checked(tmp_path, ROWS[:3], 1, surplus="drop") == departures
    assert checked(tmp_path, ROWS[:2], 1, surplus="drop") == []
    with pytest.raises(UnknownName, match="Did you mean 'drop'"):
        checked(tmp_path, ROWS, 1, surplus="drops")


def test_answered_problems_are_those_of_the_file(tmp_path: Path) -> None:
    solver = solvers.find(write(tmp_path / "a.jsonl", json.dumps(ROWS[0])), SUITE, {})
    assert solver.answered(PROBLEMS) == PROBLEMS[:1]  # type: ignore[attr-defined]


def test_capitals_tell_problems_apart_where_nothing_else_does(tmp_path: Path) -> None:
    small, large = Problem("f", "", CASE, "f"), Problem("F", "", CASE, "f")
    rows = [{"task_id": "F", "solution": "1"}, {"task_id": "f", "solution": "2"}]
    solver = solvers.find(write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows))), SUITE, {})
    assert solver.answered([small, large]) == [small, large]  # type: ignore[attr-defined]
    assert texts(solver.write([small, large], 1, 0)) == [["2"], ["1"]]


def test_the_end_of_an_id_names_a_problem_where_no_other_ends_so(tmp_path: Path) -> None:
    alike = [Problem(id, "", CASE, "f") for id in ("a/1", "b/1", "b/c/2", "1b")]
    solver = solvers.find(write(tmp_path / "a.jsonl", '{"question_id": "C/2", "code_list": [""]}'), SUITE, {})
    assert solver.answered(alike) == [alike[2]]  # type: ignore[attr-defined]
    solver = solvers.find(write(tmp_path / "a.jsonl", '{"question_id": 1, "code_list": [""]}'), SUITE, {})
    with pytest.raises(UnknownName, match=r"Unknown task_id of a.jsonl: '1'"):
        solver.answered(alike)  # type: ignore[attr-defined]
    solver = solvers.find(write(tmp_path / "a.jsonl", '{"task_id": "", "solution": ""}'), SUITE, {})
    with pytest.raises(UnknownName, match=r"Unknown task_id of a.jsonl: ''"):
        solver.answered(alike)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ('{"task_id": "HumanEval/0"}', DataError, "a.jsonl:1: expected an object with task_id and completion"),
        (LINES + "\n{", DataError, "a.jsonl:5: expected JSON"),
        ('{"task_id": true, "solution": ""}', DataError, "a.jsonl:1: expected an object with task_id and completion"),
        ('{"question_id": 1, "code_list": [1]}', DataError, "a.jsonl:1, code_list: expected a list of strings"),
        ('{"doc": {"task_id": 1}, "resps": [["a"]]}', DataError, "lm-eval's samples are a log: pass log:FILE"),
        ('{"HumanEval/0": [["f"]]}', DataError, "a.jsonl:1, HumanEval/0: expected a list of strings"),
        ('{"solution": "f = abs"}', DataError, "a.jsonl:1: expected an object with task_id"),
        ('{"task_id": 11, "text": "Write a function.", "code": "f = abs"}', DataError, "expected an object with"),
        ("{}", DataError, "a.jsonl:1: expected an object with task_id .* an object of programs by id"),
        ("", DataError, "got neither"),
        (LINES + "\n" + json.dumps(WHOLE[0]), DataError, "got both"),
    ],
)
def test_file_that_is_none_names_the_line(content: str, error: type, message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        solvers.find(write(tmp_path / "a.jsonl", content), SUITE, {})


def test_file_for_other_problems_names_the_nearest(tmp_path: Path) -> None:
    row = {"task_id": "HumanEval/00", "completion": ""}
    solver = solvers.find(write(tmp_path / "a.jsonl", json.dumps(row)), SUITE, {})
    with pytest.raises(UnknownName, match="Did you mean 'HumanEval/0'"):
        solver.answered(PROBLEMS)  # type: ignore[attr-defined]


def test_missing_file_is_missing_data(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="no file"):
        solvers.find(str(tmp_path / "none.jsonl"), SUITE, {})


# ----------------------------------------------------------------------------------------------- words into programs


FUTURE = "from __future__ import annotations\n"


def test_future_imports_of_an_answer_stand_before_the_prefix(tmp_path: Path) -> None:
    assert whole_program(PREFIX, FUTURE + "def f(x):\n    return 1\n", "f").startswith(FUTURE + PREFIX)
    assert whole_program("import math\n", FUTURE + "x = 1\n", None).startswith(FUTURE + "import math\n")
    row = {"task_id": "HumanEval/0", "completion": FUTURE + "def f(x):\n    return 2 * x\n"}
    solver = solvers.find(write(tmp_path / "a.jsonl", json.dumps(row)), SUITE, {})
    solver.answered(PROBLEMS)  # type: ignore[attr-defined]
    ((text,),) = texts(solver.write(PROBLEMS[:1], 1, 0))
    names: dict[str, Any] = {}
    exec(compile(text, "answer", "exec", dont_inherit=True), names)
    assert names["f"](2) == 4


def test_text_that_continues_a_prefix_follows_it() -> None:
    assert whole_program(PREFIX, "    return 1\n", "f") == PREFIX + "    return 1\n"
    assert whole_program(PREFIX, PREFIX + "    return 1\n", "f") == PREFIX + "    return 1\n"
    assert whole_program("", "x = 1", None) == "x = 1"


def test_text_that_defines_the_function_anew_keeps_what_the_prefix_imports() -> None:
    text = whole_program("import math\n" + PREFIX, "def f(x):\n    return math.pi\n", "f")
    assert text.startswith("import math\n")
    assert text.count("def f(") == 2
    compile(text, "program", "exec")


def test_stop_texts_end_a_completion() -> None:
    assert before_stop("    return 1\n\ndef g():", ("\nclass ", "\ndef ")) == "    return 1\n"
    assert before_stop("abc", ()) == "abc"


# --------------------------------------------------------------------------------------------------------- functions


def echo(problem: Problem, samples: int, seed: int) -> list[Any]:
    return [f"{problem.id} {seed} {i}" for i in range(samples)]


def with_tokens(problem: Problem, samples: int, seed: int) -> list[Any]:
    return [Bytes().program([120, 61, 195, 169, 256])] * samples


def wrong(problem: Problem, samples: int, seed: int) -> list[Any]:
    return [None]


def test_function_is_asked_problem_by_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    solver = solvers.find("test_solvers:echo", SUITE, {})
    assert texts(solver.write(PROBLEMS, 2, 5)) == [
        ["HumanEval/0 5 0", "HumanEval/0 5 1"],
        ["mbpp/11 5 0", "mbpp/11 5 1"],
    ]
    (answer,) = solvers.find("test_solvers:with_tokens", SUITE, {}).write(PROBLEMS[:1], 1, 0)[0]
    assert (answer.text, answer.lengths, answer.tokens) == ("x=é", (1, 1, 0, 1, 0), 5)
    assert answer.program().starts.tolist() == Bytes().program([120, 61, 195, 169, 256]).starts.tolist()
    with pytest.raises(UsageError, match="Expected 1 programs"):
        solvers.find("test_solvers:wrong", SUITE, {}).write(PROBLEMS[:1], 1, 0)


def test_unknown_option_of_a_writer_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'timeout'"):
        solvers.find("http://127.0.0.1:1/v1", SUITE, {"timeot": 3})


# ---------------------------------------------------------------------------------------------------------- endpoint


class Server(ThreadingHTTPServer):
    """A server of OpenAI's protocol. `script` holds what it does before it answers: a status, "close", "junk"."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.script: list[Any] = []
        self.several = True  # honours `n`

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append({**asked, "path": self.path})
        self.server.headers.append(dict(self.headers))
        does = self.server.script.pop(0) if self.server.script else 200
        if does == "close":
            self.close_connection = True
            self.connection.close()
            return
        count = asked["n"] if self.server.several else 1
        text = f"    return {len(self.server.asked)}\n\ndef other(): pass"
        chat = {"message": {"content": f"Here:\n```python\n{text}\n```"}, "finish_reason": "stop"}
        plain = {"text": text, "finish_reason": "length"}
        body: Any = {"choices": [chat if "messages" in asked else plain] * count, "usage": {"completion_tokens": 7}}
        reply = b"{" if does == "junk" else json.dumps(body if does == 200 else {"error": "sorry"}).encode()
        self.send_response(200 if does == "junk" else does)
        if does == 429:
            self.send_header("Retry-After", "17")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def ask(server: Server, waits: list[float] | None = None, **options: Any) -> endpoint.Endpoint:
    from dataclasses import replace

    made = endpoint.load(server.url, SUITE, model="small", **options)
    return replace(made, pause=(waits if waits is not None else []).append)


def test_completions_continue_the_prompt_and_end_at_a_stop_text(server: Server) -> None:
    (group,) = ask(server, api="completions").write(PROBLEMS[:1], 2, 0)
    assert [answer.text for answer in group] == [PREFIX + "    return 1\n"] * 2
    assert group[0].truncated
    (asked,) = server.asked
    assert (asked["path"], asked["prompt"], asked["n"], asked["model"]) == ("/v1/completions", PREFIX, 2, "small")
    assert (asked["temperature"], asked["max_tokens"], len(asked["stop"])) == (0.0, 512, 4)


def test_chat_takes_the_first_block_of_code(server: Server) -> None:
    (group,) = ask(server).write(PROBLEMS[1:], 1, 0)
    assert group[0].text == "    return 1\n\ndef other(): pass\n"
    assert (group[0].tokens, group[0].truncated) == (7, False)
    assert server.asked[0]["messages"][0]["content"].startswith("Double.")


def test_server_that_gives_one_answer_at_a_time_is_asked_again_with_another_seed(server: Server) -> None:
    server.several = False
    (group,) = ask(server, api="completions").write(PROBLEMS[:1], 3, 0)
    assert [answer.text[-9:-1] for answer in group] == ["return 1", "return 2", "return 3"]
    assert [asked["n"] for asked in server.asked] == [3, 2, 1]
    assert len({asked["seed"] for asked in server.asked}) == 3


def test_failures_that_pass_are_tried_again_with_waits_that_double(server: Server) -> None:
    server.script = [503, "close", "junk", 429, 200]
    waits: list[float] = []
    (group,) = ask(server, waits, wait=1.0).write(PROBLEMS[1:], 1, 0)
    assert len(group) == 1
    assert waits == [1, 2, 4, 17]  # the last is what the server asked for


def test_failures_that_stay_end_the_run_and_say_how(server: Server) -> None:
    server.script = [500] * 3
    with pytest.raises(endpoint.EndpointError, match=r"within 3 tries, got status 500.*Run again to continue"):
        ask(server, tries=3).write(PROBLEMS[1:], 1, 0)
    server.script = [404]
    with pytest.raises(endpoint.EndpointError, match="status 404"):
        ask(server, waits := []).write(PROBLEMS[1:], 1, 0)
    assert waits == []


def test_server_that_does_not_answer_in_time_is_given_up() -> None:
    from dataclasses import replace
    from socket import socket

    with socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        made = endpoint.load(url, SUITE, model="m", timeout=0.05, tries=2)
        with pytest.raises(endpoint.EndpointError, match="within 2 tries, got TimeoutError"):
            replace(made, pause=lambda _: None).write(PROBLEMS[1:], 1, 0)


def test_key_comes_from_the_environment_and_goes_to_the_server_alone(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    solver = ask(server, key_variable="MY_KEY")
    solver.write(PROBLEMS[1:], 1, 0)
    assert server.headers[0]["Authorization"] == "Bearer secret"
    told = json.dumps(solver.describe()) + repr(solver)
    assert "secret" not in told
    assert "127.0.0.1" not in json.dumps(solver.describe())


def test_endpoint_without_a_model_is_refused() -> None:
    with pytest.raises(UsageError, match="--option model=NAME"):
        endpoint.load("http://127.0.0.1:1/v1", SUITE)


@pytest.mark.parametrize(("old", "new"), [("spelled", solvers.whole_program), ("cut", solvers.before_stop)])
def test_old_names_of_what_makes_a_program_work(old: str, new: object) -> None:
    with pytest.warns(DeprecationWarning, match=rf"^benchmarks\.solvers\.{old} is now "):
        assert getattr(solvers, old) is new
