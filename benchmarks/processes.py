"""Measured processes: started in separate folders, awaited, and stopped while others take their turns."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent

START_SECONDS = 300.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.02

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens URLs of this machine and ignores proxies of the environment."""

_FOLDERS = re.compile(r"(?:/[^/\s'\"]+)+/")
_NUMBERED = re.compile(r"(.+?) \d+(?:, .+)?")
_SEVERAL = {"worker": "workers", "function": "functions"}


class StackError(Exception):
    """A measured service could not be started, or failed; the message states the reason."""


def source_paths() -> dict[str, str]:
    """The environment variable with which a process finds this source tree and the function's modules."""
    return {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "enclave_function")])}


@contextlib.contextmanager
def started(command: list[str], log: Path, settings: Mapping[str, str] | None = None) -> Iterator[psutil.Popen]:
    """A process in the folder of `log`, so that it reads no `.env` of the checkout. It ends with the block.

    `settings` are added to the environment, without its `BLINDSIGHT_` variables. Its children end, too. Its folder for
    temporary files has a short path: that of a Unix socket, as Ray makes them there, has at most 107 bytes.
    """
    others = {name: value for name, value in os.environ.items() if not name.startswith("BLINDSIGHT_")}
    with tempfile.TemporaryDirectory(prefix="b-", ignore_cleanup_errors=True) as short, log.open("wb") as output:
        environment = others | source_paths() | {"TMPDIR": short} | dict(settings or {})
        process = psutil.Popen(command, cwd=log.parent, env=environment, stdout=output, stderr=output)
        try:
            yield process
        finally:
            _end(process)


def _end(process: psutil.Popen) -> None:
    everyone = tree(process)
    resume(everyone)
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait()
    for left in everyone:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()


def tree(process: psutil.Process) -> list[psutil.Process]:
    """A process and all its descendants, itself first; empty if it has ended."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def freeze(processes: list[psutil.Process]) -> None:
    """Stop processes (SIGSTOP), so that they use no processor while others are measured."""
    _signal(processes, signal.SIGSTOP)


def resume(processes: list[psutil.Process]) -> None:
    _signal(processes, signal.SIGCONT)


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        # Another user's, which an ordinary one may not stop, goes on.
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.send_signal(number)


def named(everyone: list[psutil.Process]) -> dict[str, psutil.Process]:
    """A process and its descendants by distinct names: `server`, `worker 1`, or a program's name for itself."""
    roles: dict[str, psutil.Process] = {}
    counted: dict[str, int] = {}
    for index, process in enumerate(everyone):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            kind = _program(process) if index else "server"
            counted[kind] = counted.get(kind, 0) + 1
            roles[f"{kind} {counted[kind]}" if index else kind] = process
    return roles


def _program(process: psutil.Process) -> str:
    words = process.cmdline()
    if words and words[0].startswith("ray::"):
        return re.split(r"[:.(]", words[0].removeprefix("ray::"))[0]
    name = process.name()
    return "worker" if name.startswith("python") else name


def kind_of(role: str) -> str:
    """`workers` for `worker 1` and the processes around it; other names without their number."""
    found = _NUMBERED.fullmatch(role)
    name = found[1] if found else role
    return _SEVERAL.get(name, name)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_listening(port: int, process: psutil.Process, log: Path) -> None:
    for _ in _attempts(process, log):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return


def wait_ready(port: int, path: str, process: psutil.Process, log: Path) -> None:
    """Wait until `path` is answered with 200. Raises `StackError`."""
    for _ in _attempts(process, log):
        with contextlib.suppress(OSError), DIRECT.open(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            if response.status == 200:
                return


def _attempts(process: psutil.Process, log: Path) -> Iterator[None]:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        yield
        time.sleep(_POLL_SECONDS)
    raise StackError(f"it did not become ready: {last_line(log.read_text(errors='replace'))}")


def last_line(text: str) -> str:
    """The last line of a program's output, which is its reason, without the names of this machine's folders."""
    return _FOLDERS.sub("", (text.strip().splitlines() or ["it does not say why"])[-1].strip())


def run(*module_and_arguments: str) -> str:
    """Run one of our commands and return its output. Raises `StackError`."""
    done = subprocess.run(
        [sys.executable, "-m", *module_and_arguments], check=False, cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise StackError(f"{module_and_arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout
