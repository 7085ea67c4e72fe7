"""The two processes that wait for a confined one in namespaces.

The outer process, which the runtime started, ends when all inside have ended. The inner one, the first of the process
namespace, reaps orphans. The function runs in a third process, because the kernel blocks signals to a namespace's first
process, so that it could not even abort.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final, NoReturn

from enclave_runtime.confinement.plan import MAX_OPEN_FILES

if TYPE_CHECKING:
    from types import FrameType

END: Final = signal.SIGTERM
"""The signal with which the runtime makes the outer process end all others. After SIGKILL no process would wait for
them."""

_BY_SIGNAL: Final = 128
"""Added to a signal's number: the exit status for a process that a signal ended."""


def outside(first: int) -> NoReturn:
    """Wait for `first`, the first process of a namespace, and exit with its status; on `END`, end it."""

    def end(_number: int, _frame: FrameType | None) -> None:
        os.kill(first, signal.SIGKILL)

    signal.signal(END, end)
    _let_go()
    # The kernel tells of its end when all processes of its namespace have ended.
    code = _wait(first)
    if code > _BY_SIGNAL:
        # As the function ended, so that the runtime sees it. No core is dumped.
        number = code - _BY_SIGNAL
        if number not in {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(code)


def inside(function: int) -> NoReturn:
    """As the first process of a namespace, reap all processes in it. Exit with the status of `function`, which ends all
    others.

    The caller has dropped its privileges.
    """
    _let_go()
    os._exit(_wait(function))


def _wait(awaited: int) -> int:
    """Reap processes until `awaited` ends; returns its exit status."""
    while True:
        ended, status = os.wait()
        if ended == awaited:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else _BY_SIGNAL + os.WTERMSIG(status)


def _let_go() -> None:
    """Close all files, above all the channel, whose end must show when the function ends."""
    os.closerange(3, MAX_OPEN_FILES)
