"""The system call filter, for operations that Landlock does not cover. See seccomp(2) and bpf(4).

Calls are allowed unless they are listed here, or are newer than this list.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from dataclasses import dataclass
from typing import Final

from enclave_runtime.confinement import libc

_PR_SET_SECCOMP = 22
_PR_GET_SECCOMP = 21
_MODE_FILTER = 2

_AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16

_LOAD, _AND, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06

_ALLOW = 0x7FFF0000
_KILL = 0x80000000
_IGNORE = 0x00050000
"""The call does nothing and returns success."""
_REFUSE = _IGNORE | errno.EPERM
_UNKNOWN = _IGNORE | errno.ENOSYS

_FIRST_UNKNOWN = 463
"""The first call that this list does not consider. The numbers of x32 are above it, too."""

_AF_UNIX = 1
_NEW_NAMESPACES = 0x7E020000
_NEW_THREAD = 0x00010000
_OWNER_COMMANDS = ((8, 15), (0x8901, 0x8902))
"""Of fcntl and ioctl: the receiver of a file's SIGIO."""
_LEASE, _NOTIFY = 1024, 1026
"""Of fcntl: a lease on a file outside holds up a process that opens it; a notification tells of changes to folders."""
_SHARED_ANONYMOUS = 0x21
"""Flags of mmap for memory that no data limit counts."""

# Numbers on x86_64 and aarch64; None where the architecture has no such call.
_REFUSED: Final[dict[str, tuple[int | None, int | None]]] = {
    # Other processes.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "ioprio_set": (251, 30),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # System V and POSIX message passing: all processes of a machine share their names.
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    # Mounts and namespaces.
    "mount": (165, 40),
    "umount2": (166, 39),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "mount_setattr": (442, 442),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    # Files: what Landlock leaves alone. A watch tells the names of files made in folders that cannot be listed.
    "mknod": (133, None),
    "mknodat": (259, 33),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "cachestat": (451, 451),
    "statmount": (457, 457),
    "listmount": (458, 458),
    # The kernel: what runs in it for others, or does calls where no filter sees them.
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "memfd_secret": (447, 447),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "sysfs": (139, None),
    "_sysctl": (156, None),
    "lookup_dcookie": (212, 18),
    "lsm_set_self_attr": (460, 460),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "syslog": (103, 116),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "adjtimex": (159, 171),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "ioperm": (173, None),
    "iopl": (172, None),
    "vhangup": (153, 58),
}

# Refused unless the process's files and sockets are out of all others' sight. Semaphores take a link, listening
# processes a socket.
_REFUSED_IN_COMMON: Final[dict[str, tuple[int | None, int | None]]] = {
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "link": (86, None),
    "linkat": (265, 37),
    "truncate": (76, 45),  # By path; Landlock knows of it since ABI 3 only.
}

# Without effect there. Modes of files that all functions see could shut others out, yet `shutil.copy` must not fail.
_IGNORED_IN_COMMON: Final[dict[str, tuple[int | None, int | None]]] = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
}

# Without effect. A process that left the session would be out of its socket's reach.
_IGNORED: Final[dict[str, tuple[int | None, int | None]]] = {
    "setsid": (112, 157),
    "setpgid": (109, 154),
}

# Refused where a process may make no others.
_FORK, _VFORK = (57, None), (58, None)
_MEMFD, _MMAP = (319, 279), (9, 222)
_UTIMENSAT = (280, 88)

_CLONE, _CLONE3 = (56, 220), (435, 435)
_SOCKET, _SOCKETPAIR = (41, 198), (53, 199)
_PRLIMIT, _SETAFFINITY, _SETPRIORITY = (302, 261), (203, 122), (141, 140)

# Where Landlock does not yet keep signals inside.
_KILL_CALLS = ((62, 129), (234, 131), (129, 138), (297, 240))
"""kill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo: to itself only."""
_OTHER_SIGNALS = ((200, 130), (424, 424))
"""tkill, pidfd_send_signal."""
_FCNTL, _IOCTL = (72, 25), (16, 29)

_Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand."""


@dataclass(frozen=True)
class Rules:
    """Restrictions that other layers enforce, so that the filter can permit more. The default is the strictest.

    `private`: files and sockets that the process creates are invisible to others. `signals_inside`: its signals cannot
    leave. `one_process`: it can create threads, but no processes, and no memory that its limit does not count.
    `sockets`: it can create Unix sockets besides connected pairs.
    """

    private: bool
    signals_inside: bool
    one_process: bool
    sockets: bool


def unsupported() -> str | None:
    """The reason why no filter can be installed; None if one can."""
    if platform.machine() not in _AUDIT_ARCH or sys.byteorder != "little":
        return f"no system call filter for {platform.machine()}"
    try:
        libc.prctl(_PR_GET_SECCOMP)
    except OSError:
        return "the kernel has no seccomp"
    return None


def install(rules: Rules) -> None:
    """Filter the system calls of the calling thread and its children. NO_NEW_PRIVS must be set.

    Raises `OSError`.
    """
    instructions = _program(platform.machine(), rules, own_pid=os.getpid())
    code = b"".join(struct.pack("<HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(instructions), ctypes.addressof(buffer))
    header = ctypes.create_string_buffer(program, len(program))
    libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(header))


def _program(machine: str, rules: Rules, *, own_pid: int) -> list[_Instruction]:
    column = list(_AUDIT_ARCH).index(machine)
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _FIRST_UNKNOWN),
        (_RETURN, 0, 0, _UNKNOWN),
    ]

    def on(numbers: tuple[int | None, int | None], *body: _Instruction) -> None:
        number = numbers[column]
        if number is not None:
            program.extend([(_EQUAL, 0, len(body), number), *body])

    on(_SOCKETPAIR, *_only(0, _AF_UNIX))
    on(_SOCKET, *(_only(0, _AF_UNIX) if rules.sockets else (_return(_REFUSE),)))
    on(_CLONE, *_clone(one_process=rules.one_process))
    on(_CLONE3, _return(_UNKNOWN))  # Its flags are in memory, out of a filter's sight. The C library falls back.
    on(_PRLIMIT, *_only(0, 0))
    on(_SETAFFINITY, *_only(0, 0))
    on(_SETPRIORITY, *_only(1, 0, then=_only(0, 0)))
    if rules.one_process:
        for call in (_FORK, _VFORK, _MEMFD):
            on(call, _return(_REFUSE))
        shared = ((_LOAD, 0, 0, _ARGUMENTS_AT + 24), (_AND, 0, 0, _SHARED_ANONYMOUS), (_EQUAL, 0, 1, _SHARED_ANONYMOUS))
        on(_MMAP, *shared, _return(_REFUSE), _return(_ALLOW))
    owners = _OWNER_COMMANDS if not rules.signals_inside else ((), ())
    for call, commands in ((_FCNTL, (_LEASE, _NOTIFY, *owners[0])), (_IOCTL, owners[1])):
        if commands:
            on(call, *_none_of(1, commands))
    if not rules.signals_inside:
        for call in _KILL_CALLS:
            on(call, *_only(0, own_pid))
        for call in _OTHER_SIGNALS:
            on(call, _return(_REFUSE))
    refused, ignored = dict(_REFUSED), dict(_IGNORED)
    if not rules.private:
        refused |= _REFUSED_IN_COMMON
        ignored |= _IGNORED_IN_COMMON
        on(_UTIMENSAT, *_times_by_path())
    for numbers in refused.values():
        on(numbers, _return(_REFUSE))
    for numbers in ignored.values():
        on(numbers, _return(_IGNORE))
    return [*program, _return(_ALLOW)]


def _clone(*, one_process: bool) -> tuple[_Instruction, ...]:
    namespaces = ((_LOAD, 0, 0, _ARGUMENTS_AT), (_ANY_BIT, 0, 1, _NEW_NAMESPACES), _return(_REFUSE))
    processes = ((_ANY_BIT, 1, 0, _NEW_THREAD), _return(_REFUSE)) if one_process else ()
    return (*namespaces, *processes, _return(_ALLOW))


def _none_of(argument: int, values: tuple[int, ...]) -> tuple[_Instruction, ...]:
    """Refuse a call if the low half of its `argument` is among `values`."""
    last = len(values) - 1
    tests = tuple((_EQUAL, last - index, 1 if index == last else 0, value) for index, value in enumerate(values))
    return ((_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument), *tests, _return(_REFUSE), _return(_ALLOW))


def _times_by_path() -> tuple[_Instruction, ...]:
    """For utimensat: by descriptor, which has no path, a process changes the times of files that it has opened.

    By path, to set times has no effect, lest copying a file fails; to touch is refused, since programs make the file
    then, which they would not if told that it had been touched.
    """
    path, times = _ARGUMENTS_AT + 8, _ARGUMENTS_AT + 16
    return (
        (_LOAD, 0, 0, path),
        (_EQUAL, 0, 3, 0),
        (_LOAD, 0, 0, path + 4),
        (_EQUAL, 0, 1, 0),
        _return(_ALLOW),
        (_LOAD, 0, 0, times),
        (_EQUAL, 0, 3, 0),
        (_LOAD, 0, 0, times + 4),
        (_EQUAL, 0, 1, 0),
        _return(_REFUSE),
        _return(_IGNORE),
    )


def _only(argument: int, value: int, *, then: tuple[_Instruction, ...] | None = None) -> tuple[_Instruction, ...]:
    """Allow a call if the low half of its `argument` is `value`: enough for what the kernel takes as an `int`.

    `then` are further conditions, of which the last instruction refuses.
    """
    rest = then or (_return(_ALLOW), _return(_REFUSE))
    return ((_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument), (_EQUAL, 0, len(rest) - 1, value), *rest)


def _return(action: int) -> _Instruction:
    return (_RETURN, 0, 0, action)
