"""Machines that are not like this one, made of it in a mount namespace: runs a command as if it were there.

Arguments: the kind of surroundings, a folder to build them in, and the command. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_NEWNS = 0x00020000
_RDONLY, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 32, 4096, 16384, 1 << 18


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    text = [None if value is None else os.fsencode(value) for value in (source, target, kind, data)]
    check(_libc.mount(text[0], text[1], text[2], ctypes.c_ulong(flags), text[3]))


def check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def no_mount_point(folder: Path) -> None:
    """The root directory is not a mount of its own, so that it cannot be moved away, like an enclave's."""
    for entry in Path("/").iterdir():
        target = folder / entry.name
        if entry.is_symlink():
            target.symlink_to(entry.readlink())
        elif entry.is_dir():
            target.mkdir()
            mount(str(entry), str(target), None, _BIND | _REC)
    os.chroot(folder)
    os.chdir("/")


def container(_folder: Path) -> None:
    """As Docker starts one: root without most capabilities, a filter against namespaces, groups that cannot be made."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        place, kind = line.split(" ")[1:3]
        if kind in {"cgroup", "cgroup2"}:
            mount(None, place, None, _REMOUNT | _BIND | _RDONLY)
    mount("tmpfs", "/proc/acpi", "tmpfs", _RDONLY)
    mount("/dev/null", "/proc/keys", None, _BIND)
    keep("chown", "dac_override", "fowner", "kill", "setgid", "setuid", "setpcap")
    refuse(_UNSHARE, _MOUNT)


def privileged_container(_folder: Path) -> None:
    """With what docs/operations.md says to add."""
    keep("sys_admin", "setuid", "setgid", "setpcap", "chown", "dac_override", "fowner", "kill")


def no_change_of_owners(_folder: Path) -> None:
    """Namespaces can be made, but files given to no other user."""
    keep("sys_admin", "setuid", "setgid", "setpcap")


def read_only(folder: Path) -> None:
    """Nothing on disk can be written, as `docker run --read-only`; temporary files are in memory."""
    kept = folder / "kept"
    kept.mkdir()
    mount("/tmp", str(kept), None, _BIND | _REC)
    mount("tmpfs", "/tmp", "tmpfs", 0)
    if _REPOSITORY.is_relative_to("/tmp"):  # Where a clone may lie.
        _REPOSITORY.mkdir(parents=True)
        mount(str(kept / _REPOSITORY.relative_to("/tmp")), str(_REPOSITORY), None, _BIND | _REC)
    mount("/", "/", None, _BIND | _REC)
    os.chdir("/")
    os.chroot(".")
    mount(None, "/", None, _REMOUNT | _BIND | _RDONLY)


def no_shared_memory(folder: Path) -> None:
    """No /dev/shm, and a /dev with little in it."""
    dev = folder / "dev"
    dev.mkdir()
    for name in ("null", "zero", "urandom", "random", "full"):
        (dev / name).touch()
        mount(f"/dev/{name}", str(dev / name), None, _BIND)
    mount(str(dev), "/dev", None, _BIND | _REC)


def no_namespaces(_folder: Path) -> None:
    """A distribution that lets users make none."""
    refuse(_UNSHARE)


X86 = os.uname().machine == "x86_64"
_UNSHARE, _MOUNT = (272, 165) if X86 else (97, 40)


def refuse(*numbers: int) -> None:
    """A filter that answers EPERM."""
    program = [(0x20, 0, 0, 0)]
    for number in numbers:
        program += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050001)]
    program.append((0x06, 0, 0, 0x7FFF0000))
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *each) for each in program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    check(_libc.prctl(38, 1, 0, 0, 0))
    check(_libc.prctl(22, 2, ctypes.c_void_p(ctypes.addressof(header)), 0, 0))


def keep(*names: str) -> None:
    """Have these capabilities only."""
    numbers = {
        "chown": 0, "dac_override": 1, "fowner": 3, "kill": 5, "setgid": 6, "setuid": 7, "setpcap": 8, "sys_admin": 21,
    }  # fmt: skip
    kept = {numbers[name] for name in names}
    for capability in range(int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1):
        if capability not in kept:
            check(_libc.prctl(24, capability, 0, 0, 0))
    mask = sum(1 << capability for capability in kept)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    check(_libc.capset(header, sets))


_REPOSITORY = Path(__file__).parents[3]

KINDS = {
    each.__name__: each
    for each in (
        no_mount_point, container, privileged_container, no_change_of_owners, read_only, no_shared_memory,
        no_namespaces,
    )
}  # fmt: skip


def main() -> None:
    kind, folder, *command = sys.argv[1:]
    if os.geteuid() == 0:
        check(_libc.unshare(_NEWNS))
        mount(None, "/", None, _REC | _PRIVATE)
    KINDS[kind](Path(folder))
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
