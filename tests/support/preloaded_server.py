"""The process of `tests.support.preloaded`: it loads the packages of others, and forks for each command.

It ends when the tests' end of its connection is closed.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import resource
import runpy
import selectors
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_REPOSITORY = str(Path(__file__).resolve().parents[2])
_PACKAGES = ("blindsight", "blindsight_cli", "gateway")
_MODULES = ("enclave_function.commands", "enclave_image.commands", "kms_standin.__main__", "release_build.cli")
_MAX_REQUEST = 1 << 20


def load() -> None:
    """Import our commands, and forget what is ours of it: only the packages of others stay."""
    for package in _PACKAGES:
        found = importlib.import_module(package)
        for module in pkgutil.walk_packages(found.__path__, f"{package}."):
            if "migrations" not in module.name:  # Alembic runs these.
                _import(module.name)
    for name in _MODULES:
        _import(name)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if name != "__main__" and file.startswith(f"{_REPOSITORY}/") and "site-packages" not in file:
            del sys.modules[name]
    gc.collect()
    gc.freeze()


def fault_of_threads() -> str | None:
    """Why this process must not fork: of several threads, only the one that forks is in the new process."""
    # Libraries start threads that Python does not know of.
    count = len(list(Path("/proc/self/task").iterdir()))
    return None if count == 1 else f"it has {count} threads, of which a fork keeps one"


def _import(name: str) -> None:
    # Some need an extra that is not installed, some only run as a program.
    with contextlib.suppress(ImportError, SystemExit):
        importlib.import_module(name)


def serve(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Fork for each request. Returns the request and its streams in the new process; None in this one, at the end."""
    running: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not connection:
                    selector.unregister(key.fileobj)
                    _tell_end(key.fd, *running.pop(key.fd))
                    continue
                request, descriptors = _receive(connection)
                if request is None:
                    return None
                with contextlib.ExitStack() as stack:
                    for descriptor in descriptors[:-1]:
                        stack.callback(os.close, descriptor)
                    told = socket.socket(fileno=descriptors[-1])
                    pid = _fork(told)
                    if pid == 0:
                        stack.pop_all()
                        return request, descriptors[:-1]
                if pid is not None:
                    handle = os.pidfd_open(pid)
                    running[handle] = pid, told
                    selector.register(handle, selectors.EVENT_READ)
                    # Who asked may have gone.
                    with contextlib.suppress(ConnectionError):
                        socket.send_fds(told, [str(pid).encode()], [handle])


def _fork(told: socket.socket) -> int | None:
    """As `os.fork`. None after `told` was told why there is no new process."""
    fault = fault_of_threads()
    if fault is None:
        try:
            return os.fork()
        except OSError as error:
            fault = f"it cannot fork: {error.strerror}"
    with told, contextlib.suppress(ConnectionError):
        told.send(fault.encode())
    return None


def _tell_end(handle: int, pid: int, told: socket.socket) -> None:
    os.close(handle)
    _, status = os.waitpid(pid, 0)
    with told, contextlib.suppress(ConnectionError):
        told.send(str(os.waitstatus_to_exitcode(status)).encode())


def _receive(connection: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    content, descriptors, _, _ = socket.recv_fds(connection, _MAX_REQUEST, 4)
    return (json.loads(content) if content else None), descriptors


def _become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Give this process the streams, folder, environment and limits of a new one."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    for each in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if each > 2:
            with contextlib.suppress(OSError):  # The one that listed them is closed.
                os.close(each)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    tempfile.tempdir = None
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    sys.path[0] = request["cwd"]
    sys.argv[1:] = request["arguments"]
    for number, limit in request["limits"].items():
        resource.setrlimit(int(number), (limit, limit))


def main() -> None:
    interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    load()
    asked = serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        signal.signal(signal.SIGINT, interrupted)
        _become(*asked)
        runpy.run_module(asked[0]["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
