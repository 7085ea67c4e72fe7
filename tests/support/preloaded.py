"""Commands of ours, started by a fork from a process that has the packages of others loaded.

A start of the interpreter with typer, httpx2 or FastAPI takes most of a second of processor time, and the tests start
over a thousand commands. Our own modules are not kept: each command imports them anew, as `python -m MODULE` in its
folder and environment does.

Limits: a process that was forked differs from a plain one in these. A test of one of them uses `subprocess`.

- Its parent is the server. If that ends before it does, its exit status is not known (`LOST`).
- `/proc/PID/cmdline`, the file mode mask, session and priority are the server's.
- The packages of others are in its memory from the start. What they read as they were imported (variables, files,
  limits) is what the server had; resource limits apply from then on, with what was loaded counted.
- Hashes have the server's seed. `random` is seeded anew.
- The first moments, until its handlers are set, ignore SIGINT.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SERVER = Path(__file__).with_name("preloaded_server.py")
_INTERPRETERS = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_")
"""Beginnings of the variables that count as the interpreter starts, or its libraries."""

_MAX_MESSAGE = 1 << 12
_END_SECONDS = 10.0
_UNWRITTEN = "PYTHONDONTWRITEBYTECODE"
"""Of those, the one that each process can be given."""

Limits = dict[int, int]
"""Soft and hard limits by the numbers of `resource`."""


LOST = 255
"""The return code of a process that has ended after its server had: only a parent can know it."""


class Forked:
    """A command that runs; it is used as `subprocess.Popen` is. Threads can share it."""

    def __init__(self, pid: int, handle: int, ended: socket.socket, arguments: list[str]) -> None:
        """`handle`, a pidfd, names this process and never another one that gets its number.

        `ended` tells its status as `os.waitstatus_to_exitcode` gives it, once. Both are this object's.
        """
        self.pid = pid
        self.args = arguments
        self.returncode: int | None = None
        self._ended, self._handle = ended, handle
        weakref.finalize(self, _close, handle, ended)
        self._lock = threading.Lock()

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
                signal.pidfd_send_signal(self._handle, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _settled(self, timeout: float | None) -> int | None:
        until = None if timeout is None else time.monotonic() + timeout
        if self.returncode is None and _readable(self._ended, until):
            with self._lock:
                if self.returncode is None and (told := _received(self._ended)):
                    self.returncode = int(told)
            # Without its server there is only the handle, which becomes readable at the end of the process.
            if self.returncode is None and _readable(self._handle, until):
                self.returncode = LOST
        return self.returncode


def _received(connection: socket.socket) -> bytes:
    """The next message; empty if the other end has gone."""
    with contextlib.suppress(ConnectionError):
        return connection.recv(_MAX_MESSAGE)
    return b""


def _close(handle: int, ended: socket.socket) -> None:
    os.close(handle)
    ended.close()


def _readable(file: socket.socket | int, until: float | None) -> bool:
    """Wait, until the time of `time.monotonic`, for something to read. Unlike `select`, for any number of files."""
    polled = select.poll()
    polled.register(file, select.POLLIN)
    milliseconds = None if until is None else max(0, math.ceil((until - time.monotonic()) * 1000))
    return bool(polled.poll(milliseconds))


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
    request = {"module": module, "arguments": words, "cwd": str(cwd), "env": dict(env), "limits": limits or {}}
    with contextlib.ExitStack() as stack:
        streams = [_descriptor(each, stack) for each in (stdin, stdout, stderr)]
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            _send(env, request, [*streams, theirs.fileno()])
    try:
        pid, handle = begun(ours)
    except BaseException:
        ours.close()
        raise
    return Forked(pid, handle, ours, [sys.executable, "-m", module, *words])


def begun(connection: socket.socket) -> tuple[int, int]:
    """The number and the handle of the process, as the server tells them. Raises `RuntimeError` for a fault there."""
    told, handles = b"", []
    with contextlib.suppress(ConnectionError):
        told, handles, _, _ = socket.recv_fds(connection, _MAX_MESSAGE, 1, socket.MSG_CMSG_CLOEXEC)
    if not handles:
        raise RuntimeError(f"the server of the tests' processes: {told.decode() or 'it has ended'}")
    return int(told), handles[0]


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
        # A number of the thread's own, which nothing else closes.
        feeding = os.fdopen(os.dup(stdin[1].fileno()), "wb", 0)
        for end in (*stdin, out[1], err[1]):
            end.close()
        threading.Thread(target=_feed, args=(feeding, given), daemon=True).start()
        try:
            said = _read([out[0], err[0]], timeout)
            return subprocess.CompletedProcess(process.args, process.wait(timeout), *said)
        except TimeoutError:
            raise subprocess.TimeoutExpired(process.args, timeout) from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(_END_SECONDS)


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
    """Write all of it, and close. The reader may have gone, and the pipe may be closed."""
    with contextlib.suppress(BrokenPipeError, ValueError), pipe:
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


class _Server:
    """A process that forks, for the variables that a process has from its start."""

    def __init__(self, env: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        command = [sys.executable, str(_SERVER), str(theirs.fileno())]
        # It lets SIGINT in once it ignores it: Ctrl-C at the tests is for its processes.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with theirs:
                self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._connection = ours
        atexit.register(self.end)

    def send(self, request: dict[str, object], descriptors: list[int]) -> None:
        """Raises `ConnectionError` if it has ended."""
        socket.send_fds(self._connection, [json.dumps(request).encode()], descriptors)

    def end(self) -> None:
        self._connection.close()
        self.process.wait(_END_SECONDS)


_lock = threading.Lock()
_servers: dict[tuple[tuple[str, str], ...], _Server] = {}
"""By the variables that a process has from its start."""


def _send(env: Mapping[str, str], request: dict[str, object], descriptors: list[int]) -> None:
    """Send the request to the server for `env`, which is started if there is none or it has ended."""
    fixed = tuple(sorted((name, env[name]) for name in env if name.startswith(_INTERPRETERS) and name != _UNWRITTEN))
    with _lock:
        server = _servers.get(fixed)
        if server is not None:
            with contextlib.suppress(ConnectionError):
                server.send(request, descriptors)
                return
            server.end()
        _servers[fixed] = _Server(env)
        _servers[fixed].send(request, descriptors)
