"""The worker process: loads the function from its folder, and answers one call after the other.

`boot` starts it with the file descriptor of its end of a socket pair, and the function's folder.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclave_runtime.confinement import child, messages

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


def main() -> int:
    """Serve calls until the runtime closes the channel."""
    descriptor, folder = int(sys.argv[1]), Path(sys.argv[2])
    channel, plan = child.begin(descriptor)
    os.chdir(folder)
    return child.serve(channel, plan, lambda: _load(folder), lambda error: (f"{type(error).__name__}: {error}", b""))


def _load(folder: Path) -> Callable[[dict[str, Any], bytes], bytes]:
    child.import_from(folder)
    function = importlib.import_module("app")
    return lambda call, body: _encoded(_answer(function, call, body))


def _answer(function: ModuleType, call: dict[str, Any], body: bytes) -> dict[str, Any]:
    try:
        return {"result": function.classify(body, top_k=call["top_k"], threads=call["threads"])}
    except Exception as error:  # noqa: BLE001 -- an input must not end the worker
        code = getattr(error, "code", None)
        if not isinstance(code, str):
            # Not a problem that the function declares. The message may contain input, so only the type is reported.
            return {"failure": type(error).__name__}
        return {
            "problem": {"code": code, "detail": getattr(error, "detail", ""), "limits": getattr(error, "limits", {})}
        }


def _encoded(answer: dict[str, Any]) -> bytes:
    try:
        return messages.encode(answer)
    except (TypeError, ValueError, RecursionError) as error:  # The result cannot be encoded; the worker is intact.
        return messages.encode({"failure": type(error).__name__})
