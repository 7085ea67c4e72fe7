"""The process that runs a Cape function: loads `app.py` and answers one call after the other.

Started through `boot` with FD, its end of a socket pair. Its working folder is a private copy of the function's.
"""

from __future__ import annotations

import builtins
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from enclave_runtime.confinement import child, messages

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""Of an input, and of a result."""

_HANDLER = "cape_handler"
_MAX_TEXT = 300


def main() -> int:
    """Serve calls until the runtime closes the channel."""
    channel, plan = child.begin(int(sys.argv[1]))
    working = Path(plan.working)
    os.chdir(working)
    return child.serve(channel, plan, lambda: _load(working), _load_error, max_body_bytes=MAX_BODY_BYTES)


class _HandlerMissingError(Exception):
    pass


def _load(working: Path) -> Callable[[dict[str, Any], bytes], bytes]:
    sys.argv = ["app.py"]
    child.import_from(working)
    handler = getattr(importlib.import_module("app"), _HANDLER, None)
    if not callable(handler):
        raise _HandlerMissingError
    return lambda _, data: _answer(handler, data)


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
