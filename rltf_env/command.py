"""What all commands do alike: what a user or a machine gets wrong is one sentence and an exit status, never a traceback.

parser(module, text)     what a command takes, under the name by which it was called
at_least(number)         the type of an argument that is a whole number
guarded(work)            runs a command's work: errors of ours, Ctrl-C and refused files end it in words
importing(stopped)       while libraries are imported at the start of a command: Ctrl-C ends it whatever they do with it
leave(status)            ends the process with it
check_writable(path)     before hours of work: whether its result can be written there
explain(error)           an error of the operating system as a sentence
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import gc
import io
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn

from rltf_env.errors import RLTFError, UsageError
from rltf_env.view.terminals import colours

OVERRIDE = "table.key=value"  # what commands call an argument that changes a recipe
USAGE, STOPPED, NO_READER = 2, 130, 141  # exit statuses; the last two are 128 + the number of a signal
ASIDE = (".tmp", ".new")  # what is written beside a file, to take its place
FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EACCES, errno.EPERM)
WORDS = {
    errno.EROFS: "a read-only file system. Choose another place",
    errno.ENOTDIR: "a file where a folder should be. Choose another place",
    errno.EEXIST: "a file where a folder should be. Choose another place",
    errno.EISDIR: "a folder. Name a file",
    errno.ENOENT: "nothing there. Check the path, or make its folder first",
    errno.ENAMETOOLONG: "a name that is too long for this file system. Choose a shorter one",
    errno.ELOOP: "links that lead in a circle. Choose another place",
    errno.EIO: "an error of the disk. Choose another place",
}


# A module, and what the user typed for it.
_called: ContextVar[tuple[str, str]] = ContextVar("_called", default=("", ""))


@contextlib.contextmanager
def called(module: str, name: str) -> Iterator[None]:
    """While it lasts, `parser` calls the command of `module` by this name."""
    token = _called.set((module, name))
    try:
        yield
    finally:
        _called.reset(token)


def parser(module: str, text: str | None, **options: Any) -> argparse.ArgumentParser:
    """A command's parser. Usage and description name it as it was called: `rltf NAME`, or `python -m MODULE`.

    Args:
        module: as `python -m` takes it.
        text: the module's own text, whose first paragraph is the description.
        options: of `argparse.ArgumentParser`.
    """
    known, name = _called.get()
    plain = f"python -m {module}"
    name = name if known == module else plain
    words = {key: value.replace(plain, name) for key, value in options.items() if key in ("description", "epilog")}
    description = (text or "").split("\n\n")[0].replace(plain, name)
    return Parser(prog=name, **{"description": description, **options, **words})


class Parser(argparse.ArgumentParser):
    """A parser that names the option which a misspelt one may have meant."""

    def error(self, message: str) -> NoReturn:
        """Ends the process with status 2."""
        start, unknown = "unrecognized arguments: ", ""
        if message.startswith(start):
            unknown = message.removeprefix(start).split()[0].partition("=")[0]
        near = difflib.get_close_matches(unknown, self._options(), n=1) if unknown.startswith("-") else []
        if near:
            message += f". Did you mean {near[0]}?"
        elif unknown and any(action.metavar == OVERRIDE for action in self._actions):
            message += f". A value of a recipe is changed by {OVERRIDE}, without dashes, such as run.updates=3"
        super().error(message)

    def _options(self) -> set[str]:
        """The names of all options, those of subcommands too."""
        found = set(self._option_string_actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                found.update(*(each._option_string_actions for each in action.choices.values()))
        return found


def at_least(least: int) -> Callable[[str], int]:
    """What `add_argument` takes as a type: a whole number, no less than `least`."""

    def read(text: str) -> int:
        with contextlib.suppress(ValueError):
            if (number := int(text)) >= least:
                return number
        raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")

    return read


def guarded(work: Callable[[], int], stopped: str = "Stopped.") -> int:
    """Runs `work` and returns its exit status; what ends it early is told on standard error, in one message.

    Args:
        work: a command's work, its imports included. An exception that is a mistake of this project is raised.
        stopped: what Ctrl-C says, unless the KeyboardInterrupt has words of its own.

    Returns:
        The status of `work`; 2 for an error of the user's or the machine's making; 130 after Ctrl-C; 141 where nobody
        reads the output any more (`| head`).
    """
    _escape_what_cannot_be_written()
    try:
        return work()
    except KeyboardInterrupt as error:
        _tell("", str(error) or stopped)
        return STOPPED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it ends
        return NO_READER
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        return NO_READER  # rich has put the output aside, and ends the process with a status of its own
    except RLTFError as error:
        _tell(type(error).__name__, str(error))
        return USAGE
    except Exception as error:
        refused = _refused(error)
        if refused is None:
            raise
        _tell(type(refused).__name__, explain(refused))
        return USAGE


def _escape_what_cannot_be_written() -> None:
    """From now on a character that the encoding of standard output lacks is written as an escape (`\\xfc`), as on standard error.

    A statement may hold any character, and a terminal or pipe with LANG=C takes ASCII alone.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def importing(stopped: str = "Stopped.") -> Iterator[None]:
    """While it lasts, Ctrl-C ends the process at once, with `stopped` on standard error.

    What torch and others run as they are imported swallows a KeyboardInterrupt now and then, and the command would go on as
    if nobody had asked. It is for the start of a command, where nothing is open yet. Where Ctrl-C is ignored or handled by
    somebody else, and outside the main thread, it does nothing.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def end(*_: object) -> NoReturn:
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # it was being written to, or is closed
            sys.stdout.flush()
        os.write(2, f"{stopped}\n".encode())
        os._exit(STOPPED)

    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def leave(status: int) -> NoReturn:
    """Ends the process at once. Without this, Python first looks for garbage among all that torch has brought: for seconds."""
    gc.freeze()
    sys.exit(status)


def _tell(kind: str, text: str) -> None:
    out = sys.stderr
    red, plain = ("\x1b[31m", "\x1b[0m") if colours(out) else ("", "")
    out.write(f"{red}{kind}:{plain} {text}\n" if kind else f"{text}\n")
    out.flush()


def _refused(error: BaseException | None) -> OSError | None:
    """The error of the file system behind an exception: libraries wrap it in errors of their own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (*FULL, *FORBIDDEN, *WORDS):
            return error
        error = error.__cause__ or error.__context__
    return None


def explain(error: OSError) -> str:
    """An error of the file system as a sentence: the path, what came, and what to do."""
    path = _meant(error)
    place = repr(str(path)) if path else "a file"
    if error.errno in FULL:
        return (
            f"Expected room on the disk for {place}, got a full disk. Free some space and start the same command again."
        )
    if error.errno in FORBIDDEN:
        return (
            f"Expected to be allowed to use {place}, got {os.strerror(error.errno)!r}{_rights(path)}. "
            "Choose another place, or change its owner or its rights."
        )
    return f"Expected to use {place}, got {WORDS.get(error.errno or 0, error.strerror)}."


def _meant(error: OSError) -> Path | None:
    """The path that the user knows: not the file that is written beside another to take its place."""
    name = error.filename2 or error.filename
    if not isinstance(name, str | bytes | os.PathLike):
        return None
    path = Path(os.fsdecode(name))
    return path.parent if path.name.startswith(".") and path.name.endswith(ASIDE) else path


def _rights(path: Path | None) -> str:
    """Whose the nearest thing is that there is on the way to `path`, and who asks."""
    if path is None or os.name != "posix":
        return ""
    for each in (path, *path.absolute().parents):
        try:
            found = os.stat(each)
        except OSError:
            continue
        owner = f"{_name(found.st_uid)} ({stat.filemode(found.st_mode)})"
        return f": {str(each)!r} belongs to {owner}, and you are {_name(os.geteuid())}"
    return ""


def _name(user: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def check_writable(path: str | os.PathLike[str], *, folder: bool = False) -> None:
    """Raises `UsageError` if a file (or a folder) could not be written at `path`; nothing is made.

    Whoever works for hours asks this before, so that the result is not lost.
    """
    target = Path(path).expanduser()
    if not folder and os.path.isdir(target):  # Path.is_dir raises where a folder above may not be entered
        raise UsageError(explain(IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))))
    above = next((each for each in (target, *target.absolute().parents) if os.path.lexists(each)), Path.cwd())
    if not folder and above == target:
        above = target.absolute().parent  # a file that is there is replaced
    if not os.path.isdir(above):
        raise UsageError(explain(NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(above))))
    if not os.access(above, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise UsageError(explain(PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))))
