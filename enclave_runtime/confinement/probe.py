"""A test that confines a short-lived process, because a kernel can refuse what it announces."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from blindsight.errors import ProducerError
from enclave_runtime import archive
from enclave_runtime.confinement import folder, sandbox
from enclave_runtime.confinement.layers import CGROUP, LayerUnavailable
from enclave_runtime.confinement.plan import Limits, Plan
from enclave_runtime.confinement.process import new_place

if TYPE_CHECKING:
    from enclave_runtime.confinement.warden import Warden

_LIMITS = Limits(memory_bytes=1 << 30, file_bytes=1 << 20)


def attempt(warden: Warden) -> tuple[str, str] | None:
    """The refused layer and the reason; None if the kernel grants everything that the warden wants. The caller has one
    thread.

    Raises `OSError` and `ProducerError` if the test itself fails.
    """
    with ExitStack() as stack:
        place = new_place(archive.memory() or Path(tempfile.gettempdir()))
        stack.callback(folder.remove, place)
        user = warden.take_user()
        stack.callback(warden.give_back, user)
        plan = Plan(
            warden.layers,
            _LIMITS,
            working=str(place / "working"),
            hidden=tuple(map(str, warden.hidden)),
            user=user,
        )
        begins, begin = os.pipe()
        answers, answer = os.pipe()
        child = os.fork()
        if not child:
            os.close(begin)
            os.close(answers)
            _try(plan, begins, answer)
        os.close(begins)
        os.close(answer)
        stack.callback(os.waitpid, child, 0)
        try:
            with os.fdopen(answers, "rb") as stream:
                try:
                    if (group := warden.group(_LIMITS)) is not None:
                        stack.callback(group.remove)
                        group.add(child)
                finally:
                    os.close(begin)
                return _reading(stream.read())
        except OSError as error:
            return CGROUP, f"{error.strerror}: {error.filename or 'no process can be added'}"


def _reading(answer: bytes) -> tuple[str, str] | None:
    if answer == b"confined":
        return None
    if not answer:
        raise ProducerError("not_confined", "The sandbox cannot be tried: the process for that ended without a word.")
    layer, reason = json.loads(answer.decode())
    return layer, reason


def _try(plan: Plan, begins: int, answer: int) -> None:
    try:
        os.read(begins, 1)
        try:
            sandbox.confine(plan)
            os.write(answer, b"confined")
        except LayerUnavailable as error:
            os.write(answer, json.dumps([error.layer, error.reason]).encode())
    finally:
        os._exit(0)
