"""Commands of ours, started by a fork from a process that has the packages of others loaded.

A start of the interpreter with typer, httpx2 or FastAPI takes most of a second of processor time, and the tests start
over a thousand commands. Our own modules are not kept: each command imports them anew, as `python -m MODULE` in its
folder and environment does. A test of the start itself, or of the process's command line, uses `subprocess`.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SERVER = Path(__file__).with_name("preloaded_server.py")
_INTERPRETERS = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_")
"""Beginnings of the variables that count as the interpreter starts, or its libraries."""

_UNWRITTEN = "PYTHONDONTWRITEBYTECODE"
"""Of those, the one that each process can be given."""

Limits = dict[int, int]
"""Soft and hard limits by the numbers of `resource`."""


class Forked:
    """A command that runs; it is used as `subprocess.Popen` is."""

    def __init__(self, pid: int, ended: socket.socket, arguments: list[str]) -> None:
        """`ended` tells its status as `os.waitstatus_to_exitcode` gives it, once."""
        self.pid = pid
        self.args = arguments
        self.returncode: int | None = None
        self._ended = ended

    def poll(self) -> int | None:
        """Its return code, or None as long as it runs."""
        return self._settled(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises `subprocess.TimeoutExpired`."""
        code = self._settled(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _settled(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._ended], [], [], timeout)[0]:
            told = self._ended.recv(64)
            assert told, "the preloaded process has ended"
            self.returncode = int(told)
            self._ended.close()
        return self.returncode


def start(
    module: str,
    arguments: Sequence[object],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    limits: Limits | None = None,
) -> Forked:
    """Start `python -m MODULE ARGUMENTS`. Files and descriptors are as in `subprocess.Popen`, but for its pipes."""
    words = [str(each) for each in arguments]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    request = {"module": module, "arguments": words, "cwd": str(cwd), "env": dict(env), "limits": limits or {}}
    with contextlib.ExitStack() as stack:
        stack.enter_context(theirs)
        streams = [_descriptor(each, stack) for each in (stdin, stdout, stderr)]
        with _lock:
            _send(_server(env), request, [*streams, theirs.fileno()])
    pid = int(ours.recv(64))
    return Forked(pid, ours, [sys.executable, "-m", module, *words])


def run(
    module: str,
    arguments: Sequence[object],
    *,
    cwd: Path,
    env: Mapping[str, str],
    given: bytes = b"",
    timeout: float = 90,
    limits: Limits | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run it to its end. `given` is its standard input. Raises `subprocess.TimeoutExpired` after it was killed."""
    with contextlib.ExitStack() as stack:
        stdin, out, err = (_pipe(stack) for _ in range(3))
        streams = {"stdin": stdin[0], "stdout": out[1], "stderr": err[1]}
        process = start(module, arguments, cwd=cwd, env=env, limits=limits, **streams)
        for end in (stdin[0], out[1], err[1]):
            end.close()
        threading.Thread(target=_feed, args=(stdin[1], given), daemon=True).start()
        try:
            said = _read([out[0], err[0]], timeout)
        except TimeoutError:
            process.kill()
            raise subprocess.TimeoutExpired(process.args, timeout) from None
        return subprocess.CompletedProcess(process.args, process.wait(timeout), *said)


def run_text(
    module: str,
    arguments: Sequence[object],
    *,
    cwd: Path,
    env: Mapping[str, str],
    given: str = "",
    timeout: float = 90,
    limits: Limits | None = None,
) -> subprocess.CompletedProcess[str]:
    """As `run`, with UTF-8."""
    done = run(module, arguments, cwd=cwd, env=env, given=given.encode(), timeout=timeout, limits=limits)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def _feed(pipe: IO[bytes], content: bytes) -> None:
    with pipe, contextlib.suppress(BrokenPipeError):
        view = memoryview(content)
        while view:
            view = view[os.write(pipe.fileno(), view) :]


def _pipe(stack: contextlib.ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    ends = os.pipe()
    return stack.enter_context(os.fdopen(ends[0], "rb", 0)), stack.enter_context(os.fdopen(ends[1], "wb", 0))


def _read(pipes: list[IO[bytes]], timeout: float) -> list[bytes]:
    """Read all of them until their ends. Raises `TimeoutError`."""
    said = [bytearray() for _ in pipes]
    until = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for pipe, content in zip(pipes, said, strict=True):
            selector.register(pipe, selectors.EVENT_READ, content)
        while selector.get_map():
            ready = selector.select(until - time.monotonic())
            if not ready and time.monotonic() >= until:
                raise TimeoutError
            for key, _ in ready:
                read = os.read(key.fd, 1 << 16)
                key.data.extend(read)
                if not read:
                    selector.unregister(key.fileobj)
    return [bytes(each) for each in said]


def _descriptor(stream: int | IO[bytes], stack: contextlib.ExitStack) -> int:
    if stream == subprocess.DEVNULL:
        return stack.enter_context(Path(os.devnull).open("r+b", 0)).fileno()
    return stream if isinstance(stream, int) else stream.fileno()


def _send(server: socket.socket, request: dict[str, object], descriptors: list[int]) -> None:
    sent = socket.SCM_RIGHTS, array.array("i", descriptors).tobytes()
    server.sendmsg([json.dumps(request).encode()], [(socket.SOL_SOCKET, *sent)])


_lock = threading.Lock()
_servers: dict[tuple[tuple[str, str], ...], socket.socket] = {}
"""The connections by the variables that a process has from its start."""


def _server(env: Mapping[str, str]) -> socket.socket:
    fixed = tuple(sorted((name, env[name]) for name in env if name.startswith(_INTERPRETERS) and name != _UNWRITTEN))
    if fixed not in _servers:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        command = [sys.executable, str(_SERVER), str(theirs.fileno())]
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        theirs.close()
        atexit.register(_end, process, ours)
        _servers[fixed] = ours
    return _servers[fixed]


def _end(process: subprocess.Popen[bytes], connection: socket.socket) -> None:
    connection.close()
    process.wait(10)
