"""The worker process: loads the function from its working folder and answers one call after the other.

Started as `python -I -m enclave_runtime.workers.worker FD`, where FD is its end of a socket pair. Nothing that the
function prints reaches anyone: standard output and error are closed to it after start-up.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclave_runtime.workers import hardening, messages

if TYPE_CHECKING:
    from types import ModuleType


def main(descriptor: int) -> int:
    """Serve calls on `descriptor` until the runtime closes it."""
    hardening.harden()
    channel = socket.socket(fileno=descriptor)
    stream = channel.makefile("rb")
    try:
        function = _load()
    except BaseException as error:  # noqa: BLE001 -- whatever the function's import raises is reported, once
        channel.sendall(messages.encode({"error": f"{type(error).__name__}: {error}"}))
        return 1
    hardening.silence()
    # From here on it yields to the runtime, and to a worker that is being started in a lost one's place.
    os.nice(hardening.NICE)
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


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
