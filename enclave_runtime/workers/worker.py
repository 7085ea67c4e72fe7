"""The worker process: loads the function from its working folder and answers one call after the other.

Started as `python -I -m enclave_runtime.workers.worker FD`, where FD is its end of a socket pair. Nothing that the
function prints reaches anyone: standard output and error are closed to it after start-up.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclave_runtime.workers import messages

if TYPE_CHECKING:
    from types import ModuleType

_NICE = 5
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


def main(descriptor: int) -> int:
    """Serve calls on `descriptor` until the runtime closes it."""
    _harden()
    channel = socket.socket(fileno=descriptor)
    stream = channel.makefile("rb")
    try:
        function = _load()
    except BaseException as error:  # noqa: BLE001 -- whatever the function's import raises is reported, once
        channel.sendall(messages.encode({"error": f"{type(error).__name__}: {error}"}))
        return 1
    _silence()
    # From here on it yields to the runtime, and to a worker that is being started in a lost one's place.
    os.nice(_NICE)
    channel.sendall(messages.encode({"ready": True}))
    while (message := messages.read(stream)) is not None:
        channel.sendall(_encoded(_answer(function, *message)))
    return 0


def _load() -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    return importlib.import_module("app")


def _answer(function: ModuleType, call: dict[str, Any], body: bytes) -> dict[str, Any]:
    try:
        return {"result": function.classify(body, top_k=call["top_k"], threads=call["threads"])}
    except Exception as error:  # noqa: BLE001 -- a bad input must not end the worker
        code = getattr(error, "code", None)
        if not isinstance(code, str):
            # Not a problem that the function declares. Its message may quote the input, so only its type leaves.
            return {"failure": type(error).__name__}
        return {
            "problem": {"code": code, "detail": getattr(error, "detail", ""), "limits": getattr(error, "limits", {})}
        }


def _encoded(answer: dict[str, Any]) -> bytes:
    try:
        return messages.encode(answer)
    except (TypeError, ValueError, RecursionError) as error:  # Not JSON, or too much of it: no reason to end.
        return messages.encode({"failure": type(error).__name__})


def _harden() -> None:
    """Die with the runtime, leave no core dump, be no debugger's."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the group; the runtime decides when to end.


def _silence() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    if null > 2:
        os.close(null)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
