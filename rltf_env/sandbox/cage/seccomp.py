"""The system calls that programs may make: the tables, and the filter that the kernel runs. Linux; standard library only."""

# pyright: reportPossiblyUnboundVariable=false
from __future__ import annotations

import ctypes
import errno
import os
import struct

from rltf_env.sandbox.cage.libc import NO_NEW_PRIVS, Libc

SET_SECCOMP, SET_DUMPABLE = 22, 4  # orders to prctl(2)
# Numbers of system calls: (x86_64, aarch64). Those above 424 are the same everywhere.

_CALLS: dict[str, tuple[int | None, int]] = {
    "fork": (57, None), "vfork": (58, None), "clone": (56, 220), "clone3": (435, 435),
    "execve": (59, 221), "execveat": (322, 281),
    "socket": (41, 198), "prlimit64": (302, 261), "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "msgget": (68, 186),
    "mq_open": (240, 180), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "fcntl": (72, 25), "ioctl": (16, 29), "socketpair": (53, 199), "setsockopt": (54, 208), "bind": (49, 200),
    "connect": (42, 203), "listen": (50, 201), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269),
    "prctl": (157, 167), "vmsplice": (278, 75), "io_setup": (206, 0), "inotify_init": (253, None), "inotify_init1": (294, 26),
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
    "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88), "preadv2": (327, 286), "mincore": (27, 232),
    "cachestat": (451, 451),
}  # type: ignore[dict-item]  # fmt: skip


def _machine() -> str:
    return os.uname().machine if hasattr(os, "uname") else ""


_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_COLUMN, _ARCH = _MACHINES.get(_machine(), (0, 0))
NUMBERS = {name: number for name, numbers in _CALLS.items() if (number := numbers[_COLUMN]) is not None}
REFUSED = (
    "execve execveat socket bind connect listen sendmsg sendmmsg vmsplice io_setup inotify_init inotify_init1 "
    "shmget shmat shmctl semget msgget mq_open memfd_create memfd_secret sched_setaffinity "
    "sched_setscheduler sched_setparam sched_setattr setpriority ioprio_set mbind set_mempolicy migrate_pages move_pages "
    "pidfd_open pidfd_send_signal mincore cachestat"
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
# As in a kernel before them; the C library then does without: `preadv2` would say which pages of a file are in memory.
MISSING = ("clone3", "preadv2")
MARKS = "chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat".split()
_ALLOW, _TRAP, _ERRNO = 0x7FFF0000, 0x00030000, 0x00050000
# Orders to descriptors that programs need: DUPFD, GETFD ... SETLKW, DUPFD_CLOEXEC, GETPIPE_SZ, GET_SEALS; TCGETS, TIOCGWINSZ,
# FIONREAD, FIONBIO, FIONCLEX, FIOCLEX. The others leave locks, leases, owners and attributes behind on files they share, or
# take what the kernel has for pipes of all of a user's processes.
_ORDERS: dict[str, tuple[int, ...]] = {
    "fcntl": (0, 1, 2, 3, 4, 5, 6, 7, 1030, 1032, 1034),
    "ioctl": (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451),
}
_BUFFERS = (7, 8, 32, 33)  # options of sockets: SO_SNDBUF, SO_RCVBUF, and what overrides their limits
_STREAM, _KIND = 1, 0xF  # a socket that has no address to send to, and what of a type says so
_NEW_NAMESPACES = 0x7E020080  # flags of clone(2), CLONE_NEWTIME included


Line = tuple[int, int, int, int]  # an instruction of the filter: code, jump if true, jump if false, constant


def _program(own_pid: int | None, marks: bool) -> list[Line]:
    """The filter as BPF instructions."""
    load, equal, any_bit, leave = 0x20, 0x15, 0x45, 0x06
    refuse, fatal = (leave, 0, 0, _ERRNO | errno.EPERM), (leave, 0, 0, _TRAP)
    unsupported, missing = (leave, 0, 0, _ERRNO | errno.ENOTSUP), (leave, 0, 0, _ERRNO | errno.ENOSYS)
    done = (leave, 0, 0, _ERRNO)  # it returns 0, and that is all
    lines = [(load, 0, 0, 4), (equal, 1, 0, _ARCH), fatal, (load, 0, 0, 0)]
    if _COLUMN == 0:
        lines += [(0x35, 0, 1, 0x40000000), fatal]  # the x32 numbers
    kinds = [(FATAL, fatal), (REFUSED, refuse), (UNSUPPORTED, unsupported), (MISSING, missing)]
    for names, answer in kinds if marks else [*kinds, (MARKS, done)]:
        for name in names:
            if name in NUMBERS:
                lines += [(equal, 0, 1, NUMBERS[name]), answer]
    argument = (load, 0, 0, 16)
    lines += [(equal, 0, 4, NUMBERS["clone"]), argument, (any_bit, 0, 1, _NEW_NAMESPACES), refuse, (load, 0, 0, 0)]
    lines += [(equal, 0, 4, NUMBERS["prlimit64"]), argument, (equal, 1, 0, 0), refuse, (load, 0, 0, 0)]
    lines += _sockets(refuse)
    lines += [
        (equal, 0, 6, NUMBERS["prctl"]),
        argument,
        (equal, 0, 3, SET_DUMPABLE),
        (load, 0, 0, 24),
        (equal, 1, 0, 1),
    ]
    lines += [refuse, (load, 0, 0, 0)]  # a program that hides its entries in /proc hides its memory
    for name, orders in _ORDERS.items():
        answer = refuse if name == "fcntl" else (leave, 0, 0, _ERRNO | errno.ENOTTY)
        checks = [(equal, len(orders) - at, 0, order) for at, order in enumerate(orders)]
        lines += [(equal, 0, len(orders) + 3, NUMBERS[name]), (load, 0, 0, 24), *checks, answer, (load, 0, 0, 0)]
    if own_pid is not None:  # without a PID namespace: signals to itself only
        for name in ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"):
            lines += [(equal, 0, 4, NUMBERS[name]), argument, (equal, 1, 0, own_pid), refuse, (load, 0, 0, 0)]
    return [*lines, (leave, 0, 0, _ALLOW)]


def _sockets(refuse: Line) -> list[Line]:
    """What keeps pairs of sockets, all that a program may have, to themselves and small: streams, no address, no buffers."""
    number, second, third = (0x20, 0, 0, 0), (0x20, 0, 0, 24), (0x20, 0, 0, 32)
    equal, both = 0x15, 0x54
    options = [(equal, len(_BUFFERS) - at, 0, option) for at, option in enumerate(_BUFFERS)]
    return [
        (equal, 0, 5, NUMBERS["socketpair"]), second, (both, 0, 0, _KIND), (equal, 1, 0, _STREAM), refuse, number,
        (equal, 0, len(_BUFFERS) + 4, NUMBERS["setsockopt"]), third, *options, (0x05, 0, 0, 1), refuse, number,
        (equal, 0, 6, NUMBERS["sendto"]), (0x20, 0, 0, 48), (equal, 0, 2, 0), (0x20, 0, 0, 52), (equal, 1, 0, 0), refuse, number,
    ]  # fmt: skip


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
    libc = Libc()
    libc.prctl(NO_NEW_PRIVS, 1)
    holder = ctypes.create_string_buffer(program, len(program))
    libc.prctl(SET_SECCOMP, 2, ctypes.addressof(holder))
