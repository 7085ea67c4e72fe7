"""The two processes that wait for a confined one in namespaces, and do nothing else.

Outside stands the process that the runtime started: its end tells that all inside have ended. Inside, the first process
of the process namespace takes in those whose parents have ended. The function is neither: the kernel keeps signals
from a namespace's first process, so that it could not even abort.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final, NoReturn

from enclave_runtime.confinement.plan import MAX_OPEN_FILES

if TYPE_CHECKING:
    from types import FrameType

END: Final = signal.SIGTERM
"""By which the runtime tells the process outside to end all. SIGKILL would leave nothing to wait for the others."""

_BY_SIGNAL: Final = 128
"""Added to a signal's number: the exit status of a process that stands for one which a signal ended."""


def outside(first: int) -> NoReturn:
    """Wait for `first`, the first process of a namespace, and end as it does; on `END`, end it."""

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
    """As the first process of a namespace, wait for all that end in it. End as `function` does, and all others with it.

    The caller has given up its privileges.
    """
    _let_go()
    os._exit(_wait(function))


def _wait(awaited: int) -> int:
    """Reap whatever ends until `awaited` does; returns its exit status."""
    while True:
        ended, status = os.wait()
        if ended == awaited:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else _BY_SIGNAL + os.WTERMSIG(status)


def _let_go() -> None:
    """Keep no file, the channel least of all: that it is closed has to show when the function ends."""
    os.closerange(3, MAX_OPEN_FILES)
