"""An enclave that stands still with its connections open, as a machine that is paused: no client waits for ever."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psutil
import pytest

from blindsight.errors import CapeError
from tests.support.cape_guest import Guest, trust_of, zipped
from tests.support.stack import running_stack
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.models import TinyModel

HELD = 300 << 20
"""Bytes that the function holds while it works, by which it is seen from outside."""
FUNCTION = f"""\
import time


def cape_handler(data):
    held = b"x" * {HELD}
    time.sleep(float(data))
    return data
"""


def at_work(pid: int) -> bool:
    """Whether a process of this runtime holds what the function holds."""
    return any(each.memory_info().rss > HELD for each in psutil.Process(pid).children(recursive=True))


@pytest.mark.timeout(240)
def test_a_client_is_told_within_a_minute_and_a_slow_function_is_waited_for(
    colour_model: TinyModel, tmp_path: Path
) -> None:
    with (
        running_stack(colour_model.folder, tmp_path, workers=1, cape=True) as stack,
        ThreadPoolExecutor(1) as threads,
    ):
        ada = Guest.sign_up("ada", stack.gateway.url, trust_of(stack))
        function = ada.deploy("sleep", zipped(FUNCTION))
        # Longer than an enclave may stand still: while it answers others, its client waits.
        assert ada.run(function, b"45") == b"45"
        wait_until("the function has ended", lambda: not at_work(stack.enclave.pid))
        waiting = threads.submit(ada.run, function, b"5")
        wait_until("the function runs", lambda: at_work(stack.enclave.pid))
        stack.enclave.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        try:
            with pytest.raises(CapeError, match="the enclave cannot be reached"):
                waiting.result(timeout=70)
        finally:
            stack.enclave.process.send_signal(signal.SIGCONT)
        assert time.monotonic() - began < 60
        stack.gateway.wait_ready()
        assert ada.run(function, b"0") == b"0"
