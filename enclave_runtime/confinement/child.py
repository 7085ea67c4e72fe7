"""The confined process's side of the harness: it reads its plan from the runtime, confines itself and serves calls.

A program starts with `channel = child.begin(descriptor)` and continues with `child.serve`. It imports all modules of
the runtime before: afterwards it can only access the system's libraries and its own folder.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Any

from enclave_runtime.confinement import hardening, messages, packages, sandbox, system
from enclave_runtime.confinement.layers import LayerUnavailable
from enclave_runtime.confinement.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Channel:
    """The process's end of its socket to the runtime."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.set_inheritable(False)
        self._stream = self._socket.makefile("rb")

    def send(self, encoded: bytes) -> None:
        self._socket.sendall(encoded)

    def receive(self, *, max_body_bytes: int = messages.MAX_BODY_BYTES) -> tuple[dict[str, Any], bytes] | None:
        return messages.read(self._stream, max_body_bytes=max_body_bytes)


def begin(descriptor: int) -> tuple[Channel, Plan]:
    """Confine the calling process according to the runtime's plan. If that fails, reports the reason to the runtime and
    exits.
    """
    hardening.ignore_interrupts()
    hardening.die_with_parent()
    channel = Channel(descriptor)
    opening = channel.receive()
    if opening is None:
        sys.exit(1)
    plan = Plan.from_dict(opening[0]["plan"])
    hardening.silence()
    try:
        found_in = sandbox.confine(plan)
    except LayerUnavailable as error:
        channel.send(messages.encode({"unavailable": error.layer, "reason": error.reason}))
        sys.exit(1)
    temporary = system.TEMPORARY if plan.layers.namespaces else plan.working
    os.environ.update(HOME=plan.working, TMPDIR=temporary, USER=system.USER, LOGNAME=system.USER)
    packages.narrow(found_in)
    # Interpreters that the function starts believe no compiled file of the system either, only what they write.
    os.environ["PYTHONPYCACHEPREFIX"] = sys._xoptions["pycache_prefix"] = f"{temporary}/.bytecode"  # noqa: SLF001 -- there is no other way at run time
    return channel, plan


def serve(
    channel: Channel,
    plan: Plan,
    load: Callable[[], Callable[[dict[str, Any], bytes], bytes]],
    load_error: Callable[[BaseException], tuple[str, bytes]],
    *,
    max_body_bytes: int = messages.MAX_BODY_BYTES,
) -> int:
    """Load a function and answer calls with it until the runtime closes the channel.

    `load` returns the function that creates a call's encoded answer; `load_error` creates message and body for its
    exceptions.
    """
    try:
        answer = load()
    except BaseException as error:  # noqa: BLE001 -- whatever the function's import raises is reported, once
        text, body = load_error(error)
        channel.send(messages.encode({"error": text}, body))
        return 1
    # From here on it yields to the runtime, and to a process that is being started in a lost one's place.
    os.nice(plan.limits.nice)
    channel.send(messages.encode({"ready": True}))
    while (message := channel.receive(max_body_bytes=max_body_bytes)) is not None:
        channel.send(answer(*message))
    return 0


def import_from(folder: Path) -> None:
    """Give the function's own modules precedence."""
    sys.path.insert(0, str(folder))
