"""`python -m rltf_env.play [ID]`: step through an episode token by token, type a program, or watch a policy write one.

What you type is a program, until an empty line, `:end` or Ctrl-D; then it is judged. Ctrl-C drops what has been typed.
A line that begins with ":" is a command, by its first letters:

    :step        each line is written, token by token, as you enter it, also an empty one; :end ends the program
    :prompt      the problem again
    :reference   the problem's own solution, judged
    :next        another problem
    :help        these commands
    :quit        leave, as does Ctrl-D where nothing has been typed

In a terminal, arrows move and recall lines.

A policy is `--policy module:attr`: a function that is called with the options of `--with KEY=VALUE` and gives a function
`(env, observation) -> token ids`, any iterable. If that has an attribute `tokenizer`, the environment uses it too. There is
`rltf_env.play:reference`, which types the problem's own solution. Where there is no terminal, input is read and frames are written
line by line, so `play` works in a pipe. `--html FILE` keeps the judged programs as a page.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TextIO

import gymnasium

from rltf_env import plugins
from rltf_env.command import at_least, check_writable, guarded, leave, parser
from rltf_env.core import Attempt, Feedback
from rltf_env.env import Observation, UnitTestEnv
from rltf_env.errors import UnknownName, UsageError
from rltf_env.tokenizers import fitting_prefix
from rltf_env.view import ansi, html, screen
from rltf_env.view.terminals import colours

Policy = Callable[[UnitTestEnv, Observation], Iterable[int]]
COMMANDS = ("step", "end", "prompt", "reference", "next", "help", "quit")
PAUSE = 0.03  # seconds between the frames of a policy, on a terminal


def reference() -> Policy:
    """A policy that types the problem's first solution."""

    def tokens(env: UnitTestEnv, observation: Observation) -> Iterable[int]:
        if not env.problem.solutions:
            raise UsageError(f"Expected problem {env.problem.id!r} to have a solution, got none.")
        return env.tokenizer.encode(
            env.problem.solutions[0].removeprefix(fitting_prefix(env.tokenizer, env.problem.prefix))
        )

    return tokens


class Session:
    """One environment, and a person or a policy at it. `attempts` collects the finished programs."""

    def __init__(self, env: UnitTestEnv, read: TextIO, write: TextIO) -> None:
        self.env, self.read, self.write = env, read, write
        self.attempts: list[tuple[Attempt, Feedback]] = []
        self.prompt = ""
        self.interactive = read.isatty() and write.isatty()
        if self.interactive:
            _editing()

    def begin(self, seed: int | None = None, **options: Any) -> Observation:
        """The next problem."""
        observation, info = self.env.reset(seed=seed, options=options)
        self.prompt = info["prompt"]
        return observation

    def again(self) -> Observation:
        """The same problem from its beginning."""
        return self.begin(problem=self.env.problem.id)

    def introduce(self) -> None:
        """The problem, and the code that is given."""
        self.say(f"\n{ansi.BOLD}{ansi.printable(self.env.problem.id)}{ansi.RESET}")
        self.say(ansi.printable(self.prompt, keep="\t\n"))
        if self.env.problem.prefix:
            self.say("The program begins with:\n" + ansi.printable(self.env.problem.prefix, keep="\t\n"))

    def emit(self, tokens: Iterable[int], *, frames: bool, pause: float = 0.0) -> bool:
        """Steps through `tokens`; True if the episode ended with one of them. Draws each of the `frames`, or the last alone."""
        for token in tokens:
            _, _, terminated, truncated, info = self.env.step(token)
            done = terminated or truncated
            frame = self.env.render()
            assert isinstance(frame, str), "a played environment renders text"
            if frames:
                screen.draw(frame, last=done, stream=self.write)
            elif done:
                self.say(frame)
            if done:
                attempt = Attempt(self.env.problem, info["program"], info["verdict"])
                self.attempts.append((attempt, info["feedback"]))
                return True
            if pause:
                time.sleep(pause)
        return False

    def with_end(self, tokens: Iterable[int]) -> Iterable[int]:
        """`tokens`, and the end of the sequence."""
        return itertools.chain(tokens, (self.env.tokenizer.eos_id,))

    def say(self, text: str) -> None:
        """A line for the person; without colours where there is no terminal, or one that wants none."""
        self.write.write(f"{text if colours(self.write) else screen.plain(text)}\n")
        self.write.flush()

    # ---- a person

    def line(self, prompt: str) -> str | None:
        """What the person enters, without the line end; None at the end of the input."""
        if self.interactive and self.read is sys.stdin and self.write is sys.stdout:
            try:
                return input(prompt)  # with line editing and history: see `_editing`
            except EOFError:
                return None
        if self.write.isatty():
            self.write.write(prompt)
            self.write.flush()
        text = self.read.readline()
        return text.rstrip("\r\n") if text else None

    def enter(self) -> tuple[str, str | None]:
        """A program and "", or "" and a command (None at the end of the input)."""
        typed: list[str] = []
        while True:
            try:
                line = self.line("... " if typed else ">>> ")
            except KeyboardInterrupt:
                if not self.interactive:
                    raise
                typed.clear()
                self.say("\nDropped what was typed. :quit or Ctrl-D leaves.")
                continue
            command = self.command(line) if line and line.startswith(":") else ""
            if line and not line.startswith(":"):
                typed.append(line)
            elif command not in ("", "end"):
                if typed:
                    self.say(f"Dropped {len(typed)} lines that were typed before :{command}.")
                return "", command
            elif not line or (command == "end" and typed):
                return ("\n".join(typed) + "\n", "") if typed else ("", None if line is None else "")

    def command(self, line: str) -> str:
        """The command that a line gives by its first letters; "" if there is no such one, which is said."""
        word = line[1:].strip()
        name = next((name for name in COMMANDS if name.startswith(word)), "") if word else "help"
        if not name:
            self.say(str(UnknownName("command", f":{word}", [f":{name}" for name in COMMANDS])))
        return name

    def meet(self) -> bool:
        """The person's turn at one problem. True to go on to another, False to leave."""
        while True:
            program, command = self.enter()
            if program:
                self.again()
                self.emit(self.with_end(self.env.tokenizer.encode(program)), frames=False)
            elif command in (None, "quit"):
                return False
            elif command == "next":
                return True
            elif command == "step":
                self.steps()
            elif command == "reference":
                self.emit(self.with_end(reference()(self.env, self.again())), frames=False)
            elif command == "prompt":
                self.introduce()
            elif command == "help":
                self.say((__doc__ or "").split("\n\nA policy")[0].partition("\n\n")[2])

    def steps(self) -> None:
        """Token by token, as lines are entered, until the program ends or is left."""
        self.again()
        self.say("Each line is written as you enter it. :end ends the program and has it judged, :quit leaves it.")
        while (line := self.line("tok> ")) is not None:
            command = self.command(line) if line.startswith(":") else ""
            if command == "quit":
                return
            if command == "end" and self.emit([self.env.tokenizer.eos_id], frames=True):
                return
            if command not in ("", "end"):
                self.say(f"Expected :end or :quit here, got :{command}. :quit leaves the program first.")
            if not line.startswith(":") and self.emit(self.env.tokenizer.encode(f"{line}\n"), frames=True):
                return


def _editing() -> None:
    """Line editing and history for `input`, where Python has readline; Tab indents."""
    try:
        import readline
    except ImportError:  # a Python without it: lines are entered as the terminal has them
        return
    readline.parse_and_bind("tab: tab-insert")


# ------------------------------------------------------------------------------------------------------------- command


def main(arguments: Sequence[str] | None = None, read: TextIO | None = None, write: TextIO | None = None) -> int:
    """The command. Returns the exit status: 0, or 2 with a message."""
    args = _parser().parse_args(arguments)
    return guarded(lambda: _run(args, read or sys.stdin, write or sys.stdout))


def _run(args: argparse.Namespace, read: TextIO, write: TextIO) -> int:
    if args.html:
        check_writable(args.html)
    policy = _policy(args)
    env = _environment(args, policy)
    session = Session(env, read, write)
    try:
        _episodes(session, policy, args)
    except KeyboardInterrupt:
        session.say("")
    finally:
        env.close()
    if args.html and session.attempts:
        html.save(args.html, session.attempts, f"{args.id}: {len(session.attempts)} judged")
        session.say(f"{len(session.attempts)} judged programs are in {args.html}")
    return 0


def _policy(args: argparse.Namespace) -> Policy | None:
    options = plugins.options(args.options)
    if args.policy is None:
        return None
    if ":" not in args.policy:
        raise UsageError(f'Expected a policy as "module:attr", got {args.policy!r}.')
    return plugins.find("", args.policy)(**options)


def _environment(args: argparse.Namespace, policy: Policy | None) -> UnitTestEnv:
    options = plugins.options(args.env)
    if hasattr(policy, "tokenizer"):
        options.setdefault("tokenizer", policy.tokenizer)  # type: ignore[union-attr]
    try:
        env = gymnasium.make(args.id, render_mode="ansi", disable_env_checker=True, **options).unwrapped
    except gymnasium.error.UnregisteredEnv as error:
        ours = [name for name in gymnasium.registry if name.startswith("RLTF-")]
        raise UnknownName("environment", args.id, ours) from error
    except gymnasium.error.Error as error:
        raise UsageError(f"Expected an environment that Gymnasium can make, got {args.id!r}: {error}") from error
    if not isinstance(env, UnitTestEnv):
        raise UsageError(f"Expected an environment whose actions are tokens, got {args.id!r}.")
    return env


def _episodes(session: Session, policy: Policy | None, args: argparse.Namespace) -> None:
    """Episodes: of a policy so many, of a person until it leaves."""
    if policy is None:
        session.say("Type a program and an empty line; :help says what else there is.")
    options = {"problem": args.problem} if args.problem else {}
    pause = PAUSE if session.write.isatty() else 0.0
    for number in itertools.count() if policy is None else range(args.episodes):
        observation = session.begin(seed=args.seed if number == 0 else None, **options)
        session.introduce()
        if policy is not None:
            session.emit(session.with_end(policy(session.env, observation)), frames=True, pause=pause)
        elif not session.meet():
            return


def _parser() -> argparse.ArgumentParser:
    rest = (__doc__ or "").partition("\n\n")[2]
    made = parser("rltf_env.play", __doc__, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("id", nargs="?", default="RLTF-Procedural-v0", help="environment id (default: %(default)s)")
    made.add_argument("--seed", type=at_least(0), help="of the stream of problems")
    made.add_argument("--problem", help="id of the problem, in place of drawing one")
    made.add_argument("--env", action="append", default=[], metavar="KEY=VALUE", help="an argument of gymnasium.make")
    made.add_argument("--policy", metavar="MODULE:ATTR", help="watch this one")
    made.add_argument(
        "--with", action="append", default=[], metavar="KEY=VALUE", dest="options", help="an option of the policy"
    )
    made.add_argument("--episodes", type=at_least(1), default=1, help="how many to watch (default: %(default)s)")
    made.add_argument("--html", metavar="FILE", help="write the judged programs as a page")
    return made


if __name__ == "__main__":
    leave(main())
