"""What keeps a program in its cage, strongest first, and what of it works here. Linux, through ctypes; standard library only.

    namespaces  user (when not root), PID, network, IPC, UTS: no network, nothing outside to see, to signal or to leave behind
    root        a file system of its own: the interpreter read-only, a small private /tmp, nothing else
    uid         a user of its own that owns nothing (when root)
    caps        else the caller's user, without capabilities: no wall around files, which `root` or `landlock` have to be
    landlock    the same view of files enforced again, by the kernel's own sandbox; alone where there is no private root
    seccomp     system calls that no program needs: fatal, or refused
    rlimits     memory, CPU time, file size, processes, no core files

All of it is set up once, in the warm parent, and inherited by every program. Each layer is tried; those that took hold are
named in `Verdict.judge`, and `level` sums them up. `require=` refuses to judge below a level.
"""

# pyright: reportPossiblyUnboundVariable=false, reportOptionalMemberAccess=false
# (modules that some platforms lack are used only where the layers that need them are)
from __future__ import annotations

import contextlib
import errno
import os
import signal
import struct
from collections.abc import Callable, Iterable
from typing import Any

try:
    import ctypes
    import resource
except ImportError:  # not on Windows; only `level` is asked for there
    pass

LEVELS = ("none", "limits", "filtered", "contained", "full")
LAYERS = ("user", "pid", "net", "ipc", "uts", "root", "rlimits", "uid", "caps", "landlock", "seccomp")
NAMESPACES = {"pid": 0x20000000, "net": 0x40000000, "ipc": 0x08000000, "uts": 0x04000000}
NEWUSER, NEWNS = 0x10000000, 0x00020000
NO_NEW_PRIVS, SET_PDEATHSIG, SET_DUMPABLE, SET_SECCOMP, SET_SUBREAPER = 38, 1, 4, 22, 36
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


class _Libc:
    """The C library, with failures as exceptions."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
        self.prctl_raw = self._libc.prctl

    def call(self, name: str, *args: Any) -> int:
        return self._checked(name, getattr(self._libc, name)(*args))

    def syscall(self, number: int, *args: Any) -> int:
        wide = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
        return self._checked(f"syscall {number}", self._libc.syscall(ctypes.c_long(number), *wide))

    def _checked(self, name: str, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{name}: {os.strerror(number)}")
        return result

    def prctl(self, option: int, value: int = 0, third: int = 0) -> None:
        self.call("prctl", option, value, third, 0, 0)

    def mount(self, source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
        texts = [text.encode() or None for text in (source, target, kind)]
        self.call("mount", *texts, ctypes.c_ulong(flags), data.encode() or None)


# --------------------------------------------------------------------------------------------------------- namespaces


def may_administer() -> bool:
    """True if this process has the capability (CAP_SYS_ADMIN) to make namespaces other than a user's."""
    with open("/proc/self/status") as file:
        effective = next((line.split()[1] for line in file if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) & 1 << 21)


def enter_namespaces(without: Iterable[str] = ()) -> list[str]:
    """Gives this process, and with "pid" its next child, their own view of the system; returns the layers that took hold."""
    libc, layers = _Libc(), []
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
    _Libc().prctl(SET_PDEATHSIG, number)


# --------------------------------------------------------------------------------------------------------- file system


def readable() -> list[str]:
    """Folders that a program needs: the standard library and the shared libraries under it."""
    folders = {os.path.dirname(os.path.realpath(os.__file__))}
    folders |= {os.path.dirname(os.path.realpath(path)) for path in _mapped() if ".so" in os.path.basename(path)}
    folders |= {os.path.realpath(path) for path in ("/usr/share/zoneinfo", "/lib/x86_64-linux-gnu", "/lib64")}
    kept: list[str] = []
    for folder in sorted(folder for folder in folders if os.path.isdir(folder)):
        if not any(_covers(k, [folder]) for k in kept):
            kept.append(folder)
    return kept


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
    libc = _Libc()
    libc.call("unshare", NEWNS)
    libc.mount("none", "/", flags=MS_REC | MS_PRIVATE)
    shown = readable()
    root = next(p for p in ("/sys", "/mnt", "/run", "/tmp") if os.path.isdir(p) and not _covers(p, [*shown, *packages]))
    libc.mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,nr_inodes=2000,mode=755")
    _devices(libc, root, quota)
    for path in [*shown, *packages, "/etc/localtime"]:
        if os.path.exists(path):
            _show(libc, path, root + path)
    _hide_packages(libc, shown, packages, root)
    for name in {path.split(os.sep)[2] for path in (*shown, *packages) if _covers("/tmp", [path])}:
        _seal(libc, f"{root}/tmp/{name}")
    os.makedirs(root + "/proc/self" if not own_processes else root + "/proc")
    if not own_processes:
        _show(libc, f"/proc/{os.getpid()}", root + "/proc/self")
    os.chdir(root)
    os.mkdir("old")
    libc.syscall(_NUMBERS["pivot_root"], b".", b"old")  # pyright: ignore[reportArgumentType]
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


def _show(libc: _Libc, path: str, target: str) -> None:
    """Binds `path` read-only at `target`."""
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "a").close()
    libc.mount(path, target, flags=MS_BIND | MS_REC)
    kept = os.statvfs(target).f_flag  # what the original forbids may not be allowed again
    kept = kept & 0xC08 | (1 << 21 if kept & 4096 else 0)
    libc.mount("none", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | kept)


def _seal(libc: _Libc, path: str) -> None:
    """Forbids writing into a folder that leads to what is shown, in the midst of what may be written."""
    libc.mount(path, path, flags=MS_BIND | MS_REC)
    libc.mount("none", path, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def _hide_packages(libc: _Libc, shown: list[str], packages: list[str], root: str) -> None:
    """Covers site-packages inside the standard library's folder: what is installed there is nobody's business."""
    for folder in shown:
        for name in ("site-packages", "dist-packages"):
            inner = os.path.join(folder, name)
            if os.path.isdir(inner):
                libc.mount("tmpfs", root + inner, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
                for path in packages:
                    if path.startswith(inner + os.sep):
                        _show(libc, path, root + path)


def _devices(libc: _Libc, root: str, quota: int) -> None:
    os.mkdir(root + "/dev")
    for name in ("null", "zero", "full", "random", "urandom"):
        open(f"{root}/dev/{name}", "a").close()
        libc.mount(f"/dev/{name}", f"{root}/dev/{name}", flags=MS_BIND)
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


def drop_user(number: int) -> str:
    """Becomes a user that owns nothing (when root), and gives every capability away; returns the layer that this makes."""
    layer = "caps"
    if os.getuid() == 0 and may_administer() and _maps(number):
        for folder in folders():
            os.chown(folder, number, number)
        if os.getcwd() != "/tmp":
            os.chmod("..", 0o711)  # to be passed through
        os.setgroups([])
        os.setresgid(number, number, number)
        os.setresuid(number, number, number)
        layer = "uid"
    drop_capabilities()
    return layer


def _maps(number: int) -> bool:
    """True if this user namespace has the user `number`."""
    with open("/proc/self/uid_map") as file:
        spans = [tuple(map(int, line.split())) for line in file]
    return any(first <= number < first + size for first, _, size in spans)


def drop_capabilities() -> None:
    """Gives every capability away."""
    header = struct.pack("=Ii", 0x20080522, 0)
    _Libc().call("capset", header, bytes(24))


# ------------------------------------------------------------------------------------------------------------ landlock

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_READ, _FILE = 0b1101, 0b111  # execute, read a file, read a folder; what applies to a file: execute, write, read
_TRUNCATE, _IOCTL = 1 << 14, 1 << 15


def landlock(read: Iterable[str], write: Iterable[str]) -> None:
    """Forbids every file but those below `read` (to be read) and `write` (for everything)."""
    libc = _Libc()
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


def _allow(libc: _Libc, rules: int, path: str, rights: int) -> None:
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


# ------------------------------------------------------------------------------------------------------------- seccomp
# Numbers of system calls: (x86_64, aarch64). Those above 424 are the same everywhere.

_CALLS: dict[str, tuple[int | None, int]] = {
    "fork": (57, None), "vfork": (58, None), "clone": (56, 220), "clone3": (435, 435),
    "execve": (59, 221), "execveat": (322, 281),
    "socket": (41, 198), "prlimit64": (302, 261), "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "msgget": (68, 186),
    "mq_open": (240, 180), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "fcntl": (72, 25), "ioctl": (16, 29),
    "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119), "sched_setparam": (142, 118),
    "sched_setattr": (314, 274), "setpriority": (141, 140), "ioprio_set": (251, 30),
    "mbind": (237, 235), "set_mempolicy": (238, 237), "migrate_pages": (256, 238), "move_pages": (279, 239),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "process_madvise": (440, 440), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "setns": (308, 268), "unshare": (272, 97),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "reboot": (169, 142), "swapon": (167, 224),
    "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171), "sethostname": (170, 161),
    "setdomainname": (171, 162), "syslog": (103, 116), "vhangup": (153, 58), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "fanotify_init": (300, 262), "iopl": (172, None), "ioperm": (173, None),
    "open_tree_attr": (467, 467), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "removexattrat": (466, 466),
    "file_setattr": (469, 469), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None),
    "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
}  # type: ignore[dict-item]  # fmt: skip


def _machine() -> str:
    return os.uname().machine if hasattr(os, "uname") else ""


_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_COLUMN, _ARCH = _MACHINES.get(_machine(), (0, 0))
_NUMBERS = {name: numbers[_COLUMN] for name, numbers in _CALLS.items() if numbers[_COLUMN] is not None}
REFUSED = (
    "execve execveat socket shmget shmat shmctl semget msgget mq_open memfd_create memfd_secret sched_setaffinity "
    "sched_setscheduler sched_setparam sched_setattr setpriority ioprio_set mbind set_mempolicy migrate_pages move_pages "
    "pidfd_open pidfd_send_signal"
).split()  # answered with "not permitted": an honest program may ask and live without
FATAL = (
    "ptrace process_vm_readv process_vm_writev kcmp process_madvise pidfd_getfd mount umount2 pivot_root chroot open_tree "
    "move_mount fsopen fsconfig fsmount fspick mount_setattr setns unshare bpf perf_event_open userfaultfd keyctl add_key "
    "request_key io_uring_setup io_uring_enter io_uring_register kexec_load kexec_file_load init_module finit_module "
    "delete_module reboot swapon swapoff acct quotactl settimeofday clock_settime clock_adjtime adjtimex sethostname "
    "setdomainname syslog vhangup name_to_handle_at open_by_handle_at fanotify_init iopl ioperm "
    "open_tree_attr"
).split()  # no program does these by accident: SIGSYS
UNSUPPORTED = (
    "setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat file_setattr"
).split()  # answered as by a file system that has no such thing: what they set, emptying a file or a folder does not undo
MARKS = "chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat".split()
_ALLOW, _TRAP, _ERRNO = 0x7FFF0000, 0x00030000, 0x00050000
# Orders to descriptors that programs need: DUPFD, GETFD ... SETLKW, DUPFD_CLOEXEC, SETPIPE_SZ and its like; TCGETS, TIOCGWINSZ,
# FIONREAD, FIONBIO, FIONCLEX, FIOCLEX. The others leave locks, leases, owners and attributes behind on files they share.
_ORDERS: dict[str, tuple[int, ...]] = {
    "fcntl": (0, 1, 2, 3, 4, 5, 6, 7, 1030, 1031, 1032, 1034),
    "ioctl": (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451),
}
_NEW_NAMESPACES = 0x7E020080  # flags of clone(2), CLONE_NEWTIME included


def _program(own_pid: int | None, marks: bool) -> list[tuple[int, int, int, int]]:
    """The filter as BPF instructions (code, jump if true, jump if false, constant)."""
    load, equal, any_bit, leave = 0x20, 0x15, 0x45, 0x06
    refuse, fatal = (leave, 0, 0, _ERRNO | errno.EPERM), (leave, 0, 0, _TRAP)
    unsupported, missing = (leave, 0, 0, _ERRNO | errno.ENOTSUP), (leave, 0, 0, _ERRNO | errno.ENOSYS)
    done = (leave, 0, 0, _ERRNO)  # it returns 0, and that is all
    lines = [(load, 0, 0, 4), (equal, 1, 0, _ARCH), fatal, (load, 0, 0, 0)]
    if _COLUMN == 0:
        lines += [(0x35, 0, 1, 0x40000000), fatal]  # the x32 numbers
    kinds = [(FATAL, fatal), (REFUSED, refuse), (UNSUPPORTED, unsupported), (("clone3",), missing)]
    for names, answer in kinds if marks else [*kinds, (MARKS, done)]:
        for name in names:
            if name in _NUMBERS:
                lines += [(equal, 0, 1, _NUMBERS[name]), answer]
    argument = (load, 0, 0, 16)
    lines += [(equal, 0, 4, _NUMBERS["clone"]), argument, (any_bit, 0, 1, _NEW_NAMESPACES), refuse, (load, 0, 0, 0)]
    lines += [(equal, 0, 4, _NUMBERS["prlimit64"]), argument, (equal, 1, 0, 0), refuse, (load, 0, 0, 0)]
    for name, orders in _ORDERS.items():
        answer = refuse if name == "fcntl" else (leave, 0, 0, _ERRNO | errno.ENOTTY)
        known = [(equal, len(orders) - at, 0, order) for at, order in enumerate(orders)]
        lines += [(equal, 0, len(orders) + 3, _NUMBERS[name]), (load, 0, 0, 24), *known, answer, (load, 0, 0, 0)]
    if own_pid is not None:  # without a PID namespace: signals to itself only
        for name in ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"):
            lines += [(equal, 0, 4, _NUMBERS[name]), argument, (equal, 1, 0, own_pid), refuse, (load, 0, 0, 0)]
    return [*lines, (leave, 0, 0, _ALLOW)]


def seccomp(own_pid: int | None = None, marks: bool = True) -> None:
    """Filters the system calls of this process and of all that come from it.

    Args:
        own_pid: the only process it may signal.
        marks: it may set modes, owners and times of the files it owns. Landlock lets it do so to files that it may not even
            read: where they are the caller's, nothing comes of it, on the program's own files either.
    """
    if _machine() not in _MACHINES:
        raise OSError(errno.ENOSYS, f"no table of system calls for {_machine()}")
    code = b"".join(struct.pack("=HBBI", *line) for line in _program(own_pid, marks))
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack(
        "@HxxxxxxQ" if struct.calcsize("P") == 8 else "@HxxI", len(code) // 8, ctypes.addressof(buffer)
    )
    libc = _Libc()
    libc.prctl(NO_NEW_PRIVS, 1)
    holder = ctypes.create_string_buffer(program, len(program))
    libc.prctl(SET_SECCOMP, 2, ctypes.addressof(holder))


# ------------------------------------------------------------------------------------------------------------- all of it


def confine(options: dict[str, Any], layers: list[str], packages: list[str], user: int) -> list[str]:
    """Applies every layer that works to this process, which runs no program itself; returns those that took hold.

    Args:
        options: of the judge; `without` names layers to leave out.
        layers: those that `enter_namespaces` brought about.
        packages: files and folders of third-party packages that programs may import.
        user: a number that no one else's files or processes have.
    """
    layers, shown = list(layers), readable()
    below = [*shown, *packages, "/proc", "/dev", "/etc/localtime"]
    steps: list[tuple[str, Callable[[], str | None]]] = [
        ("root", lambda: private_root(packages, 4 * options["file_bytes"], "pid" in layers)),
        ("rlimits", lambda: _common_limits(options)),
        ("uid", lambda: drop_user(user)),
        ("landlock", lambda: landlock(below, [*folders(), os.devnull])),
        ("seccomp", lambda: seccomp(_only(options, layers), not {"root", "uid"}.isdisjoint(layers))),
    ]
    for name, apply in steps:
        left_out = name in options["without"] or (name == "uid" and "caps" in options["without"])
        if left_out or not _sensible(name, layers, shown, options["backend"]):
            if name == "uid":
                drop_capabilities()
            continue
        with contextlib.suppress(OSError):
            layers.append(apply() or name)
    with contextlib.suppress(OSError):
        _Libc().prctl(SET_DUMPABLE, 0)
    return layers


def _only(options: dict[str, Any], layers: list[str]) -> int | None:
    """The one process that a program may signal, or None if it can reach none but its own anyway."""
    own = options["backend"] == "subprocess" and "pid" not in layers
    scoped = "landlock" in layers and _Libc().syscall(_LANDLOCK_CREATE, None, 0, 1) >= 6
    return os.getpid() if own and not scoped else None


def _sensible(name: str, layers: list[str], shown: list[str], backend: str) -> bool:
    """False where a layer would do harm without another one."""
    if name == "root":
        return may_administer() and ("pid" in layers or backend == "subprocess")
    if name == "uid":
        return os.getuid() != 0 or "user" in layers or "root" in layers or all(map(_open_to_all, shown))
    return True


def _open_to_all(path: str) -> bool:
    while path != "/":
        if not os.stat(path).st_mode & 1:
            return False
        path = os.path.dirname(path)
    return True


def _common_limits(options: dict[str, Any]) -> None:
    """Limits that bind the warm parent as well; the others are set in each program."""
    count = options["processes"] + 2  # the warm parent, and the process that compiled the program
    for what, limit in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 256), (resource.RLIMIT_NPROC, count)):
        hard = resource.getrlimit(what)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (limit, limit))


def dumpable() -> Callable[[], None]:
    """A cheap function that gives a program its own entries in /proc back, which the parent that it comes from has hidden."""
    prctl = _Libc().prctl_raw
    return lambda: prctl(SET_DUMPABLE, 1, 0, 0, 0)


def adopt_orphans() -> None:
    """Orphans below this process become its children, so that it can end them."""
    _Libc().prctl(SET_SUBREAPER, 1)
