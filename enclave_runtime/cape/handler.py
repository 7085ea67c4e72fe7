"""The process that runs a Cape function: loads `app.py` and answers calls one after the other.

`boot` starts it with FD, its end of a socket pair. Its working folder is a private copy of the function's. With the
word EXPLAIN after FD, failures include their traceback: the sender of the code tests it.
"""

from __future__ import annotations

import builtins
import importlib
import os
import re
import sys
import traceback
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from enclave_runtime.confinement import child, messages

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""Of an input, and of a result."""

EXPLAIN: Final = "explain"
MAX_TRACEBACK_BYTES: Final = 64 * 1024

_HANDLER = "cape_handler"
_IMPORTING = "<frozen importlib"
_CALLING = (child.__file__, importlib.__file__, __file__)
_MISSING = re.compile(r"No module named '[\w.]{1,100}'")


def main() -> int:
    """Serve calls until the runtime closes the channel."""
    channel, plan = child.begin(int(sys.argv[1]))
    working = Path(plan.working)
    os.chdir(working)
    explained = _Traceback(working) if EXPLAIN in sys.argv[2:] else _no_traceback
    return child.serve(
        channel,
        plan,
        lambda: _load(working, explained),
        lambda error: (_load_error(error), explained(error)),
        max_body_bytes=MAX_BODY_BYTES,
    )


class _HandlerMissingError(Exception):
    pass


def _load(working: Path, explained: Callable[[BaseException], bytes]) -> Callable[[dict[str, Any], bytes], bytes]:
    sys.argv = ["app.py"]
    child.import_from(working)
    handler = getattr(importlib.import_module("app"), _HANDLER, None)
    if not callable(handler):
        raise _HandlerMissingError
    return lambda _, data: _answer(handler, data, explained)


def _load_error(error: BaseException) -> str:
    """The error for every caller. The code can be secret, and so can its messages."""
    if isinstance(error, _HandlerMissingError):
        return f"app.py defines no function {_HANDLER}"
    name = _name(error)
    # As Python words it; a function could word it otherwise.
    missing = _MISSING.fullmatch(_text(error)) if name == ModuleNotFoundError.__name__ else None
    return f"app.py cannot be loaded: {name}{f': {missing[0]}' if missing else ''}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 -- the exception is the function's own
        return ""


def _answer(handler: Callable[[bytes], object], data: bytes, explained: Callable[[BaseException], bytes]) -> bytes:
    try:
        result = _encoded(handler(data))
        if len(result) > MAX_BODY_BYTES:
            return messages.encode({"too_large": True})
        return messages.encode({"ok": True}, result)
    except BaseException as error:  # noqa: BLE001 -- also `sys.exit`: the process serves the next call
        return messages.encode({"failure": _name(error)}, explained(error))


class _Traceback:
    """The traceback of an exception as Python prints it, without the frames that called the function."""

    def __init__(self, working: Path) -> None:
        self._folder = f"{working}{os.sep}"

    def __call__(self, error: BaseException) -> bytes:
        if isinstance(error, _HandlerMissingError):
            return b""
        try:
            whole = traceback.TracebackException.from_exception(error)
            self._shorten(whole, set())
            text = "".join(whole.format()).replace(self._folder, "")
        except BaseException:  # noqa: BLE001 -- the exception is the function's own
            text = f"{_name(error)}, whose traceback cannot be shown\n"
        return text.encode(errors="replace")[-MAX_TRACEBACK_BYTES:]

    def _shorten(self, found: traceback.TracebackException, seen: set[int]) -> None:
        """Remove this module's frames and those of Python's import system, also from causes."""
        if id(found) in seen:
            return
        seen.add(id(found))
        steps = [frame for frame in found.stack if not frame.filename.startswith(_IMPORTING)]
        found.stack[:] = dropwhile(lambda frame: frame.filename in _CALLING, steps)
        for other in (found.__cause__, found.__context__, *(found.exceptions or ())):
            if other is not None:
                self._shorten(other, seen)


def _no_traceback(_: BaseException) -> bytes:
    return b""


def _encoded(value: object) -> bytes:
    """Bytes unchanged, text in UTF-8, other values as `repr` writes them, as Cape's published results."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return str(value).encode()


def _name(error: BaseException) -> str:
    """A built-in exception's name. Other names, and messages, could contain the input."""
    name = type(error).__name__
    return name if getattr(builtins, name, None) is type(error) else Exception.__name__
