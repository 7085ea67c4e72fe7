"""Namespaces: a separate root directory, process ids, network, IPC and host name.

See namespaces(7), mount_namespaces(7), user_namespaces(7), pivot_root(2). Needs root, as inside an enclave, or a kernel
that permits user namespaces for users.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from enclave_runtime.confinement import hardening, libc, mounted, system, waiting
from enclave_runtime.confinement.layers import NAMESPACES, LayerUnavailable

if TYPE_CHECKING:
    from enclave_runtime.confinement.plan import Plan

_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = (
    0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
_ALWAYS: Final = _NEWNS | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET

_MAX_FILES: Final = 200_000
_COVER_BYTES: Final = 1 << 16
_ROOT: Final = "root"
_HOST_NAME: Final = "function"

_KEPT_FLAGS: Final = (
    (os.ST_NODEV, libc.MS_NODEV),
    (os.ST_NOEXEC, libc.MS_NOEXEC),
    (os.ST_NOATIME, libc.MS_NOATIME),
    (os.ST_NODIRATIME, libc.MS_NODIRATIME),
    (os.ST_RELATIME, libc.MS_RELATIME),
)
"""Flags of statvfs and of mount: a user namespace cannot remove restrictions of an existing mount, so they are
repeated."""


def enter(plan: Plan) -> None:
    """Move the calling process, which has one thread, into new namespaces.

    Returns in a new process, the first of its process namespace; the calling one waits, and exits with the same status.
    Raises `LayerUnavailable`.
    """
    user, group = os.getuid(), os.getgid()
    flags = _ALWAYS | (_NEWUSER if plan.layers.user_namespace else 0)
    if Path("/proc/self/ns/cgroup").exists():  # Since Linux 4.6.
        flags |= _NEWCGROUP
    try:
        libc.unshare(flags)
        if plan.layers.user_namespace:
            Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
        # Not earlier: then the maps would be root's to write.
        hardening.close_memory()
        if first := os.fork():
            waiting.outside(first)
        socket.sethostname(_HOST_NAME)
        _change_root(plan)
    except OSError as error:
        raise LayerUnavailable(NAMESPACES, f"{error.strerror}: {error.filename or 'unshare'}") from error


def _change_root(plan: Plan) -> None:
    _keep_mounts_to_itself()
    root = Path(plan.working).parent / _ROOT
    root.mkdir(mode=0o755)
    options = f"mode=0755,size={plan.limits.file_bytes},nr_inodes={_MAX_FILES}"
    libc.mount("tmpfs", str(root), "tmpfs", libc.MS_NOSUID | libc.MS_NODEV, options)
    for path in _outermost(system.lent((*system.TO_RUN, *plan.read_only), plan.hidden)):
        _lend(root, path, libc.MS_RDONLY)
    _lend_packages(root, plan)
    for path in plan.writable:
        _lend(root, path, 0)
    for path in (*system.TO_READ, *plan.sockets):
        _lend(root, path, libc.MS_RDONLY | libc.MS_NOEXEC)
    for device in plan.devices:
        _lend(root, device, libc.MS_NOEXEC)
    for name, leads_to in system.DEVICE_LINKS.items():
        _inside(root, name).symlink_to(leads_to)
    _make_proc(root)
    _make_accounts(root, plan)
    for shared in (system.TEMPORARY, system.SHARED_MEMORY):
        folder = _inside(root, shared)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o1777)
    _inside(root, str(Path(plan.working).parent)).mkdir(parents=True, exist_ok=True)
    os.chdir(root)
    try:
        libc.pivot_root(".", ".")
        libc.umount(".", libc.MNT_DETACH)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # The kernel's initial file system, from which an enclave runs, cannot be moved away: it is covered instead.
        libc.mount(".", "/", None, libc.MS_MOVE)
        os.chroot(".")
    os.chdir("/")


def _keep_mounts_to_itself() -> None:
    """Keep further mounts invisible to other processes."""
    try:
        libc.mount(None, "/", None, libc.MS_REC | libc.MS_PRIVATE)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # The root directory is not a mount, as after chroot(2): then those below it that others share, one by one.
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
            before, _, _ = line.partition(" - ")
            if " shared:" in before:
                libc.mount(None, mounted.decoded(before.split(" ")[4]), None, libc.MS_PRIVATE)


def _lend(root: Path, source: str, flags: int) -> None:
    """Mount the file or folder `source` at the same path inside; a link is copied. Missing ones are skipped."""
    target = _inside(root, source)
    try:
        status = os.lstat(source)
        if stat.S_ISLNK(status.st_mode) and source not in system.TO_RUN:
            status = Path(source).stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISLNK(status.st_mode):
        target.symlink_to(Path(source).readlink())
        return
    if stat.S_ISDIR(status.st_mode):
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    libc.mount(source, str(target), None, libc.MS_BIND)
    is_device = stat.S_ISCHR(status.st_mode)
    flags |= libc.MS_NOSUID | (0 if is_device else libc.MS_NODEV)
    given = os.statvfs(target).f_flag
    kept = sum(mount_flag for vfs_flag, mount_flag in _KEPT_FLAGS if given & vfs_flag)
    libc.mount(None, str(target), None, libc.MS_REMOUNT | libc.MS_BIND | flags | kept)


def _lend_packages(root: Path, plan: Plan) -> None:
    """Hide the folders of packages, and mount some of their contents."""
    flags = libc.MS_NOSUID | libc.MS_NODEV
    covered = [target for folder in plan.package_folders if (target := _inside(root, folder)).is_dir()]
    for target in covered:
        libc.mount("tmpfs", str(target), "tmpfs", flags, f"mode=0755,size={_COVER_BYTES}")
    for path in plan.packages:
        _lend(root, path, libc.MS_RDONLY)
    for target in covered:
        libc.mount(None, str(target), None, libc.MS_REMOUNT | libc.MS_BIND | libc.MS_RDONLY | flags)


def _make_proc(root: Path) -> None:
    """A /proc of this process namespace; if the kernel refuses it, as in containers, some of the system's files."""
    proc = _inside(root, "/proc")
    proc.mkdir(exist_ok=True)
    hardened = libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC
    try:
        libc.mount("proc", str(proc), "proc", hardened)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        for name in system.PROC_OF_MACHINE:
            _lend(root, name, libc.MS_RDONLY | libc.MS_NOEXEC)
        return
    # The rest tells of the machine and of others, or controls it.
    shown = {Path(name).name for name in system.PROC_OF_MACHINE}
    with os.scandir(proc) as entries:
        for entry in entries:
            if entry.name.isdecimal() or entry.name in shown or entry.is_symlink():
                continue
            if entry.is_dir():
                libc.mount("tmpfs", entry.path, "tmpfs", libc.MS_RDONLY | hardened, "size=0,mode=0555")
            else:
                libc.mount("/dev/null", entry.path, None, libc.MS_BIND)


def _make_accounts(root: Path, plan: Plan) -> None:
    """Password and group files with only the process's own user."""
    user = os.getuid() if plan.user is None else plan.user
    group = os.getgid() if plan.user is None else plan.user
    etc = _inside(root, "/etc")
    etc.mkdir(exist_ok=True)
    (etc / "passwd").write_text(f"{system.USER}:x:{user}:{group}::{plan.working}:/bin/sh\n", encoding="utf-8")
    (etc / "group").write_text(f"{system.USER}:x:{group}:\n", encoding="ascii")


def _outermost(paths: tuple[str, ...]) -> list[str]:
    """Without paths inside another one, which are mounted with it."""
    kept: list[str] = []
    for path in sorted(dict.fromkeys(paths), key=len):
        if not any(Path(path).is_relative_to(other) and not Path(other).is_symlink() for other in kept):
            kept.append(path)
    return kept


def _inside(root: Path, path: str) -> Path:
    return root / path.lstrip("/")
