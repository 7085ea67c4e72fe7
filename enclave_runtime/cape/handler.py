"""The process that runs a Cape function: confines itself, loads `app.py` and answers one call after the other.

Started as `python -I -m enclave_runtime.cape.handler FD CODE_DIR` in its working folder, a private copy of CODE_DIR;
FD is its end of a socket pair. All that this module needs is imported before the sandbox closes.
"""

from __future__ import annotations

import builtins
import importlib
import os
import resource
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from enclave_runtime.cape import sandbox
from enclave_runtime.workers import hardening, messages

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""Of an input, and of a result."""
MEMORY_VARIABLE: Final = "BLINDSIGHT_FUNCTION_MEMORY"
SANDBOX_VARIABLE: Final = "BLINDSIGHT_FUNCTION_SANDBOX"
"""`off` for the insecure mode."""

_HANDLER = "cape_handler"
_MAX_FILE_BYTES = 1 << 30
_MAX_OPEN_FILES = 1024
_MAX_TEXT = 300


def main(descriptor: int, code: Path) -> int:
    """Serve calls on `descriptor` until the runtime closes it."""
    hardening.harden()
    hardening.silence()
    channel = socket.socket(fileno=descriptor)
    channel.set_inheritable(False)
    stream = channel.makefile("rb")
    confined = os.environ.pop(SANDBOX_VARIABLE, "") != "off"
    _limit(int(os.environ.pop(MEMORY_VARIABLE)))
    # Before the sandbox, which lets no priority be changed.
    os.nice(hardening.NICE)
    if confined:
        working = Path.cwd()
        try:
            sandbox.confine(read_only=[code], writable=[working], sockets=[working.parent])
        except sandbox.SandboxUnavailable as error:
            channel.sendall(messages.encode({"unconfined": str(error)}))
            return 1
    try:
        handler = _load()
    except BaseException as error:  # noqa: BLE001 -- whatever the function's import raises is reported, once
        channel.sendall(messages.encode({"error": _load_error(error)}))
        return 1
    channel.sendall(messages.encode({"ready": True}))
    while (message := messages.read(stream, max_body_bytes=MAX_BODY_BYTES)) is not None:
        channel.sendall(_answer(handler, message[1]))
    return 0


class _HandlerMissingError(Exception):
    pass


def _limit(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_FILE_BYTES, _MAX_FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_OPEN_FILES, _MAX_OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))


def _load() -> Callable[[bytes], object]:
    sys.argv = ["app.py"]
    sys.path.insert(0, str(Path.cwd()))
    handler = getattr(importlib.import_module("app"), _HANDLER, None)
    if not callable(handler):
        raise _HandlerMissingError
    return handler  # type: ignore[no-any-return]


def _load_error(error: BaseException) -> str:
    """What the function's owner needs to know. No input has been near the process yet."""
    if isinstance(error, _HandlerMissingError):
        return f"app.py defines no function {_HANDLER}"
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 -- the exception is the function's own
        text = ""
    return f"app.py cannot be loaded: {type(error).__name__[:_MAX_TEXT]}: {text}"[:_MAX_TEXT]


def _answer(handler: Callable[[bytes], object], data: bytes) -> bytes:
    try:
        result = _encoded(handler(data))
        if len(result) > MAX_BODY_BYTES:
            return messages.encode({"too_large": True})
        return messages.encode({"ok": True}, result)
    except BaseException as error:  # noqa: BLE001 -- also `sys.exit`: the process serves the next call
        return messages.encode({"failure": _name(error)})


def _encoded(value: object) -> bytes:
    """Bytes as they are, text in UTF-8, anything else as Python writes it: the published results are like that."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return str(value).encode()


def _name(error: BaseException) -> str:
    """A built-in exception's name; any other name, and every message, could be made of the input."""
    name = type(error).__name__
    return name if getattr(builtins, name, None) is type(error) else Exception.__name__


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2])))
