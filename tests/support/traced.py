"""Processes under strace: every file that they change or try to, and every address that they talk to or try to."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_REPOSITORY = Path(__file__).resolve().parents[2]
_PACKAGES: Final = ("blindsight", "enclave_function", "enclave_runtime", "gateway", "model_build")

_CHANGING: Final = (
    "mkdir", "mkdirat", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink",
    "unlinkat", "rmdir", "truncate", "chmod", "fchmodat", "chown", "lchown", "fchownat", "mknod", "mknodat", "utime",
    "utimes", "utimensat", "setxattr", "lsetxattr", "removexattr", "mount", "umount2",
)  # fmt: skip
_OPENING: Final = ("open", "openat", "openat2", "creat")
_STARTING: Final = ("clone", "clone3", "fork", "vfork")
_SYSCALLS: Final = ",".join(("%network", *_OPENING, *_CHANGING, *_STARTING))

_LINE = re.compile(r"(?P<pid>\d+) +(?P<rest>.*)")
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>.*)")
_UNFINISHED = re.compile(r"(?P<begun>.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(?P<rest>.*)")
_PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<(?P<folder>[^>]*)>, )?"(?P<path>(?:[^"\\]|\\.)*)"')
_STARTED = re.compile(r"(\d+)(?: /\* (\d+) in strace's PID NS \*/)?")
_CURRENT = re.compile(r"AT_FDCWD<(?P<folder>[^>]*)>")
_OPENED = re.compile(r"\d+<(?P<path>/[^>]*)>(?:\(deleted\))?")
_ADDRESS = re.compile(r"\{(?P<address>sa_family=AF_[^}]*)\}")
_PORT = re.compile(r"sin6?_port=htons\((\d+)\)")
_INTERNET = re.compile(r'inet_addr\("([^"]*)"\)|inet_pton\(AF_INET6, "([^"]*)"')
_UNIX = re.compile(r'sun_path=(@?"[^"]*")')


@dataclass(frozen=True)
class Address:
    """What a socket was connected or bound to, or sent to. `path` is a Unix socket's, in quotes as strace writes it."""

    call: str
    family: str
    host: str = ""
    port: int = 0
    path: str = ""


@dataclass(frozen=True)
class _Call:
    pid: int
    name: str
    arguments: str
    result: str


@dataclass(frozen=True)
class Trace:
    """What strace wrote, of a process and all that it started."""

    text: str

    def __post_init__(self) -> None:
        assert self.text, "strace wrote nothing"

    def changed(self) -> set[str]:
        """Paths that were opened for writing, made, renamed or removed, or that this was tried with.

        Not by processes in a mount namespace of their own, from their first mount on: their files are in memory, under
        paths of another root, and what is lent to them is read-only.
        """
        found: set[str] = set()
        current: dict[int, str] = {}
        apart: set[int] = set()
        for call in self._calls():
            if call.name == "mount":
                apart.add(call.pid)
            if call.name in _STARTING and call.pid in apart and (started := _STARTED.match(call.result)):
                apart.add(int(started[2] or started[1]))
            if call.pid in apart:
                continue
            if (folder := _CURRENT.search(call.arguments)) is not None:
                current[call.pid] = folder["folder"]
            if call.name in _OPENING:
                if not re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", call.arguments) and call.name != "creat":
                    continue
                if (opened := _OPENED.fullmatch(call.result)) is not None:
                    found.add(opened["path"])
                    continue
            elif call.name not in _CHANGING:
                continue
            paths = [(match["folder"], match["path"]) for match in _PATH.finditer(call.arguments)]
            # A symbolic link's target is a text, not a file that is touched.
            for folder_named, path in paths[1:] if call.name.startswith("symlink") else paths:
                found.add(os.path.normpath(os.path.join(folder_named or current.get(call.pid, "?"), path)))  # noqa: PTH118 -- as the call states it
        return found

    def families(self) -> set[str]:
        """Address families of the sockets that were made."""
        return {call.arguments.partition(",")[0] for call in self._calls() if call.name == "socket"}

    def addresses(self) -> set[Address]:
        """Everything that a socket was connected, bound or sent to. Sends without an address are not among them."""
        return {
            _address(call.name, match["address"])
            for call in self._calls()
            if call.name in {"connect", "bind", "sendto", "sendmsg", "sendmmsg"}
            for match in _ADDRESS.finditer(call.arguments)
        }

    def _calls(self) -> Iterator[_Call]:
        """In the order of their ends; calls that a process did not come back from are given without a result."""
        begun: dict[int, str] = {}
        for line in self.text.splitlines():
            parts = _LINE.fullmatch(line)
            if parts is None:
                continue
            pid, rest = int(parts["pid"]), parts["rest"]
            if (unfinished := _UNFINISHED.fullmatch(rest)) is not None:
                begun[pid] = unfinished["begun"]
                continue
            if (resumed := _RESUMED.fullmatch(rest)) is not None:
                rest = begun.pop(pid, "") + resumed["rest"]
            if (call := _CALL.fullmatch(rest)) is not None:
                yield _Call(pid, call["name"], call["arguments"], call["result"])
        for pid, rest in begun.items():
            name, _, arguments = rest.partition("(")
            yield _Call(pid, name, arguments, "")


def _address(call: str, text: str) -> Address:
    family = text.removeprefix("sa_family=").partition(",")[0]
    port, internet, unix = _PORT.search(text), _INTERNET.search(text), _UNIX.search(text)
    return Address(
        call,
        family,
        host=(internet[1] or internet[2]) if internet else "",
        port=int(port[1]) if port else 0,
        path=unix[1] if unix else "",
    )


def compile_sources() -> None:
    """Compile the repository's modules, as an installed package's are: a first start would write `__pycache__`."""
    folders = [str(_REPOSITORY / name) for name in _PACKAGES]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *folders], check=True)


def require_strace() -> str:
    """The path of strace; skips the test where processes cannot be traced."""
    found = shutil.which("strace")
    if found is None:
        pytest.skip("strace is not installed")
    if subprocess.run([found, "-f", "-o", os.devnull, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system does not allow processes to be traced")
    return found


def command(trace: Path) -> list[str]:
    """What to put before a command so that its trace goes to the file `trace`."""
    options = ["-f", "--seccomp-bpf", "-qq", "-y", "-s", "4096", "-e", f"trace={_SYSCALLS}", "-e", "signal=none"]
    return [require_strace(), *options, "-o", str(trace)]


def interpreter(folder: Path) -> tuple[Path, Path]:
    """A program that is this interpreter under strace, and the file that it traces to."""
    compile_sources()
    trace, program = folder / "trace", folder / "traced-python"
    words = " ".join(f"'{word}'" for word in (*command(trace), sys.executable))
    program.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    program.chmod(0o755)
    return program, trace


def fresh_environment(home: Path) -> dict[str, str]:
    """A user's environment with an empty home, and nothing that would silence a library: not even a build server's."""
    home.mkdir()
    silencing = ("ORT_", "XDG_", "CI", "GITHUB_", "TF_BUILD", "PYTEST", "BLINDSIGHT_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(silencing)}
    return {**kept, "HOME": str(home)}


def check_silent(trace: Path, *memory: Path) -> None:
    """Check that a process that has ended used no socket but the one it was given, and wrote to `memory` only.

    A library's cache is a record of what was done, and in memory, too, it has no place.
    """
    seen = Trace(trace.read_text())
    assert not (paths := outside(seen.changed(), *memory, os.devnull)), f"it wrote, or tried to: {paths}"
    assert not (caches := {path for path in seen.changed() if "/.cache" in path}), f"it kept a cache: {caches}"
    assert not (addresses := seen.addresses()), f"it talked, or tried to, to {addresses}"
    assert seen.families() <= {"AF_UNIX"}, f"it made sockets of {seen.families()}"


def outside(changed: set[str], *allowed: Path | str) -> list[str]:
    """Those of the changed paths that are in or under none of the allowed ones."""
    places = [os.path.realpath(place) for place in allowed]
    return sorted(
        path for path in changed if not any(path == place or path.startswith(f"{place}/") for place in places)
    )
