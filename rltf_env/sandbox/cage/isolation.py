"""What keeps a program in its cage, strongest first, and what of it works here. Linux, through ctypes; standard library only.

    namespaces  user (when not root), PID, network, IPC, UTS: no network, nothing outside to see, to signal or to leave behind
    root        a file system of its own: the interpreter read-only, a small private /tmp, nothing else
    uid         a user of its own that owns nothing (when root)
    caps        else the caller's user, without capabilities: no wall around files, which `root` or `landlock` have to be
    landlock    the same view of files enforced again, by the kernel's own sandbox; alone where there is no private root
    seccomp     system calls that no program needs: fatal, or refused
    rlimits     memory, CPU time, file size, processes, no core files

All of it is set up once, in the warm parent, and inherited by every program. Each layer is tried; those that took hold are
named in `Verdict.judged_by`, and `level` sums them up. `require=` refuses to judge below a level.
"""

# pyright: reportPossiblyUnboundVariable=false, reportOptionalMemberAccess=false
# (modules that some platforms lack are used only where the layers that need them are)
from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import struct
from collections.abc import Callable, Iterable
from typing import Any

from rltf_env.sandbox.cage.libc import NO_NEW_PRIVS, Libc
from rltf_env.sandbox.cage.seccomp import NUMBERS, seccomp

with contextlib.suppress(ImportError):  # not on Windows; only `level` is asked for there
    import resource

LEVELS = ("none", "limits", "filtered", "contained", "full")
LAYERS = ("user", "pid", "net", "ipc", "uts", "root", "rlimits", "uid", "caps", "landlock", "seccomp")
OPEN_FILES = 256
NAMESPACES = {"pid": 0x20000000, "net": 0x40000000, "ipc": 0x08000000, "uts": 0x04000000}
NEWUSER, NEWNS = 0x10000000, 0x00020000
SET_PDEATHSIG, SET_DUMPABLE, SET_SUBREAPER = 1, 4, 36  # orders to prctl(2)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = (
    1,
    2,
    4,
    8,
    32,
    4096,
    16384,
    1 << 18,
)
QUOTA_INODES = 4096


def level(layers: Iterable[str]) -> str:
    """The level that these layers add up to: the strongest of LEVELS of which nothing is missing."""
    have = set(layers)
    if have & {"root", "landlock", "uid"}:
        have.add("own files")
    if have & {"uid", "caps"}:
        have.add("no rights")
    steps = (
        ("limits", {"rlimits"}),
        ("filtered", {"seccomp", "own files"}),
        ("contained", {"pid", "net", "ipc"}),
        ("full", {"root", "no rights"}),
    )
    reached = "none"
    for name, needs in steps:
        if not needs <= have:
            break
        reached = name
    return reached


# --------------------------------------------------------------------------------------------------------- namespaces


def may_administer() -> bool:
    """True if this process has the capability (CAP_SYS_ADMIN) to make namespaces other than a user's."""
    with open("/proc/self/status") as file:
        effective = next((line.split()[1] for line in file if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) & 1 << 21)


def enter_namespaces(without: Iterable[str] = ()) -> list[str]:
    """Gives this process, and with "pid" its next child, their own view of the system; returns the layers that took hold."""
    libc, layers = Libc(), []
    uid, gid = os.getuid(), os.getgid()
    if "user" not in without and not may_administer():
        try:
            libc.call("unshare", NEWUSER)
            for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
                with open(f"/proc/self/{name}", "w") as file:
                    file.write(text)
            layers.append("user")
        except OSError:
            return layers
    for name, flag in NAMESPACES.items():
        if name not in without:
            with contextlib.suppress(OSError):
                libc.call("unshare", flag)
                layers.append(name)
    return layers


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """The kernel sends this process a signal when the one that started it ends, however it ends."""
    Libc().prctl(SET_PDEATHSIG, number)


# --------------------------------------------------------------------------------------------------------- file system


def readable() -> list[str]:
    """What a program needs: the standard library and the shared libraries under it.

    A folder of shared libraries that holds packages somewhere below is not shown whole, only the libraries in it.
    """
    library = os.path.dirname(os.path.realpath(os.__file__))
    libraries = {os.path.realpath(path) for path in _mapped() if ".so" in os.path.basename(path)}
    folders = {os.path.dirname(path) for path in libraries} | {"/usr/share/zoneinfo", "/lib/x86_64-linux-gnu", "/lib64"}
    folders = {os.path.realpath(folder) for folder in folders if os.path.isdir(folder)}
    around = {folder for folder in folders if folder != library and _holds_packages(folder)}
    files = {entry.path for folder in around for entry in os.scandir(folder) if ".so" in entry.name and entry.is_file()}
    roots: list[str] = []
    for path in sorted({library, *(folders - around), *files}):
        if not any(_covers(k, [path]) for k in roots):
            roots.append(path)
    return roots


PACKAGES = ("site-packages", "dist-packages")  # folders of what is installed


def _installed(folder: str) -> list[str]:
    """Folders of third-party packages in the standard library's."""
    return [os.path.join(folder, name) for name in PACKAGES if os.path.isdir(os.path.join(folder, name))]


def _holds_packages(folder: str) -> bool:
    inner = [entry.path for entry in os.scandir(folder) if entry.is_dir()]
    return any(map(_installed, [folder, *inner]))


def _without_packages(folders: list[str]) -> list[str]:
    """The same, with all that is in a folder in the place of one that packages are installed in."""
    paths: list[str] = []
    for folder in folders:
        hidden = _installed(folder)
        paths += [entry.path for entry in os.scandir(folder) if entry.path not in hidden] if hidden else [folder]
    return paths


def _mapped() -> set[str]:
    with open("/proc/self/maps") as file:
        return {line.split(None, 5)[5].strip() for line in file if line.count("/") and len(line.split(None, 5)) > 5}


def private_root(packages: list[str], quota: int, own_processes: bool) -> None:
    """Leaves this process with a root of its own, in a mount namespace of its own.

    Args:
        packages: files and folders of third-party packages that programs may import.
        quota: bytes that fit into the private /tmp and /dev/shm together.
        own_processes: there is a PID namespace, whose /proc may be seen whole; else this process sees itself in it alone.
    """
    libc = Libc()
    libc.call("unshare", NEWNS)
    libc.mount("none", "/", flags=MS_REC | MS_PRIVATE)
    visible = readable()
    root = next(
        p for p in ("/sys", "/mnt", "/run", "/tmp") if os.path.isdir(p) and not _covers(p, [*visible, *packages])
    )
    libc.mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,nr_inodes=2000,mode=755")
    _devices(libc, root, quota)
    for path in [*visible, *packages, "/etc/localtime"]:
        if os.path.exists(path):
            _show(libc, path, root + path)
    _hide_packages(libc, visible, packages, root)
    for name in {path.split(os.sep)[2] for path in (*visible, *packages) if _covers("/tmp", [path])}:
        _seal(libc, f"{root}/tmp/{name}")
    os.makedirs(root + "/proc/self" if not own_processes else root + "/proc")
    if not own_processes:
        _show(libc, f"/proc/{os.getpid()}", root + "/proc/self")
    os.chdir(root)
    os.mkdir("old")
    libc.syscall(NUMBERS["pivot_root"], b".", b"old")  # pyright: ignore[reportArgumentType]
    os.chdir("/")
    if own_processes:
        for options in ("subset=pid", ""):
            with contextlib.suppress(OSError):  # a container may forbid it; programs then do without /proc
                libc.mount("proc", "/proc", "proc", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, options)
                break
    libc.call("umount2", b"/old", 2)
    os.rmdir("/old")
    libc.mount("none", "/", flags=MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID)
    os.chdir("/tmp")


def _covers(folder: str, paths: list[str]) -> bool:
    return any(path == folder or path.startswith(folder + os.sep) for path in paths)


def _show(libc: Libc, path: str, target: str) -> None:
    """Binds `path` read-only at `target`."""
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "a").close()
    libc.mount(path, target, flags=MS_BIND | MS_REC)
    flags = os.statvfs(target).f_flag  # what the original forbids may not be allowed again
    flags = flags & 0xC08 | (1 << 21 if flags & 4096 else 0)
    libc.mount("none", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | flags)


def _seal(libc: Libc, path: str) -> None:
    """Forbids writing into a folder that leads to what is shown, in the midst of what may be written."""
    libc.mount(path, path, flags=MS_BIND | MS_REC)
    libc.mount("none", path, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def _hide_packages(libc: Libc, visible: list[str], packages: list[str], root: str) -> None:
    """Covers site-packages inside the standard library's folder: what is installed there is nobody's business."""
    for folder in visible:
        for inner in _installed(folder):
            libc.mount("tmpfs", root + inner, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
            for path in packages:
                if path.startswith(inner + os.sep):
                    _show(libc, path, root + path)


_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")  # not others' memory, nor terminals


def _devices(libc: Libc, root: str, quota: int) -> None:
    os.mkdir(root + "/dev")
    for device in _DEVICES:
        open(root + device, "a").close()
        libc.mount(device, root + device, flags=MS_BIND)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"{root}/dev/{name}")
    os.mkdir(root + "/tmp")
    os.mkdir(root + "/dev/shm")
    for folder, size in (("/tmp", quota * 3 // 4), ("/dev/shm", quota // 4)):  # mounts: a program cannot remove them
        options = f"size={size},nr_inodes={QUOTA_INODES},mode=700"
        libc.mount("tmpfs", root + folder, "tmpfs", MS_NOSUID | MS_NODEV, options)


# ---------------------------------------------------------------------------------------------------- user, capabilities


def folders() -> list[str]:
    """The folders that are the program's own. All else is out of its reach, the folder around them too."""
    return [".", "/dev/shm"] if os.getcwd() == "/tmp" else ["."]


USERS = range(1_879_048_192, 2_147_483_648)  # that no distribution, and no other manager of containers, hands out


def free_user() -> int:
    """A user that has no files and no processes, by chance: containers of a machine share its users, and do not see each other."""
    spans = [range(first, first + size) for first, _, size in _user_spans()]
    choice = next((USERS for span in spans if USERS[0] in span and USERS[-1] in span), range(60_000, 65_000))
    for _ in range(20):
        user = choice[int.from_bytes(os.urandom(8), "little") % len(choice)]
        if not _has_processes(user):
            break
    return user


def _has_processes(user: int) -> bool:
    """True if a process of this user can be seen."""
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == user:
                return True
    return False


def drop_user(number: int) -> str:
    """Becomes a user that owns nothing (when root), and gives every capability away; returns the layer that this makes."""
    layer = "caps"
    if os.getuid() == 0 and may_administer() and _maps(number):
        for folder in folders():
            os.chown(folder, number, number)
        if os.getcwd() != "/tmp":
            for around in ("..", "../.."):
                os.chmod(around, 0o711)  # to be passed through
        os.setgroups([])
        os.setresgid(number, number, number)
        os.setresuid(number, number, number)
        layer = "uid"
    drop_capabilities()
    return layer


def _maps(number: int) -> bool:
    """True if this user namespace has the user `number`."""
    return any(first <= number < first + size for first, _, size in _user_spans())


def _user_spans() -> list[tuple[int, ...]]:
    with open("/proc/self/uid_map") as file:
        return [tuple(map(int, line.split())) for line in file]


def drop_capabilities() -> None:
    """Gives every capability away."""
    header = struct.pack("=Ii", 0x20080522, 0)
    Libc().call("capset", header, bytes(24))


# ------------------------------------------------------------------------------------------------------------ landlock

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_READ, _FILE = 0b1101, 0b111  # execute, read a file, read a folder; what applies to a file: execute, write, read
_TRUNCATE, _IOCTL = 1 << 14, 1 << 15


def landlock(read: Iterable[str], write: Iterable[str]) -> None:
    """Forbids every file but those below `read` (to be read) and `write` (for everything)."""
    libc = Libc()
    version = libc.syscall(_LANDLOCK_CREATE, None, 0, 1)
    every = (1 << 13) - 1
    every |= (1 << 13) if version >= 2 else 0
    every |= _TRUNCATE if version >= 3 else 0
    attributes = struct.pack("=Q", every)
    if version >= 4:
        attributes += struct.pack("=Q", 3)  # binding and connecting TCP
    if version >= 6:
        attributes += struct.pack("=Q", 3)  # abstract sockets and signals to the outside
    rules = libc.syscall(_LANDLOCK_CREATE, attributes, len(attributes), 0)
    try:
        for paths, rights in ((read, _READ), (write, every)):
            for path in paths:
                _allow(libc, rules, path, rights)
        libc.prctl(NO_NEW_PRIVS, 1)
        libc.syscall(_LANDLOCK_RESTRICT, rules, 0)
    finally:
        os.close(rules)


def _allow(libc: Libc, rules: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _FILE | _TRUNCATE
        libc.syscall(_LANDLOCK_ADD, rules, 1, struct.pack("=Qi", rights, fd), 0)
    finally:
        os.close(fd)


# ------------------------------------------------------------------------------------------------------------- all of it


def confine(options: dict[str, Any], layers: list[str], packages: list[str], user: int) -> list[str]:
    """Applies every layer that works to this process, which runs no program itself; returns those that took hold.

    Args:
        options: of the judge; `without` names layers to leave out.
        layers: those that `enter_namespaces` brought about.
        packages: files and folders of third-party packages that programs may import.
        user: a number that no one else's files or processes have.
    """
    layers, visible = list(layers), readable()
    below = [*_without_packages(visible), *packages, *_DEVICES, "/proc", "/etc/localtime"]
    steps: list[tuple[str, Callable[[], str | None]]] = [
        ("root", lambda: private_root(packages, 4 * options["file_bytes"], "pid" in layers)),
        ("rlimits", _common_limits),
        ("uid", lambda: drop_user(user)),
        ("landlock", lambda: landlock(below, [*folders(), os.devnull])),
        ("seccomp", lambda: seccomp(_only(options, layers), not {"root", "uid"}.isdisjoint(layers))),
    ]
    for name, apply in steps:
        left_out = name in options["without"] or (name == "uid" and "caps" in options["without"])
        if name == "seccomp":  # after it, nothing may hide from the processes that watch it
            with contextlib.suppress(OSError):
                Libc().prctl(SET_DUMPABLE, 0)
        if left_out or not _sensible(name, layers, visible, options["backend"]):
            if name == "uid":
                drop_capabilities()
            continue
        with contextlib.suppress(OSError):
            layers.append(apply() or name)
    os.environ["TMPDIR"] = os.getcwd()  # which is emptied behind a program
    return layers


def _only(options: dict[str, Any], layers: list[str]) -> int | None:
    """The one process that a program may signal, or None if it can reach none but its own anyway."""
    own = options["backend"] == "subprocess" and "pid" not in layers
    scoped = "landlock" in layers and Libc().syscall(_LANDLOCK_CREATE, None, 0, 1) >= 6
    return os.getpid() if own and not scoped else None


def _sensible(name: str, layers: list[str], visible: list[str], backend: str) -> bool:
    """False where a layer would do harm without another one."""
    if name == "root":
        return may_administer() and ("pid" in layers or backend == "subprocess")
    if name == "uid":
        return os.getuid() != 0 or "user" in layers or "root" in layers or all(map(_open_to_all, visible))
    return True


def _open_to_all(path: str) -> bool:
    while path != "/":
        if not os.stat(path).st_mode & (1 if os.path.isdir(path) else 4):
            return False
        path = os.path.dirname(path)
    return True


def allow_open_files() -> None:
    """Lets this process open as many files as it and its programs need, where its caller could open fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, OPEN_FILES), hard))


def _common_limits() -> None:
    """Limits that bind the warm parent as well; the others are set in each program."""
    limits = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, OPEN_FILES)]
    if hasattr(resource, "RLIMIT_SIGPENDING"):  # counted for each user, as processes are
        limits.append((resource.RLIMIT_SIGPENDING, 256))
    for what, limit in limits:
        hard = resource.getrlimit(what)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (limit, limit))


def dumpable() -> Callable[[], None]:
    """A cheap function that gives a program its own entries in /proc back, which the parent that it comes from has hidden."""
    prctl = ctypes.CDLL(None).prctl  # with no types declared and no errors kept it touches ten pages less
    return lambda: prctl(SET_DUMPABLE, 1, 0, 0, 0)


def adopt_orphans() -> None:
    """Orphans below this process become its children, so that it can end them."""
    Libc().prctl(SET_SUBREAPER, 1)
