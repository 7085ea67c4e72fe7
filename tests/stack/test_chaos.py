"""Workers killed under load: nobody gets another's answer, every failure is retryable, recovery is quick.

`BLINDSIGHT_CHAOS_SECONDS=60` makes the long run.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pytest

from blindsight.problems import CATALOGUE
from tests.support.images import noisy, plain
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    import psutil

    from tests.support.processes import Gateway
    from tests.support.stack import Stack

SECONDS = float(os.environ.get("BLINDSIGHT_CHAOS_SECONDS", "8"))
CALLERS = 64
BETWEEN_KILLS = 2.0
WHOLE_AGAIN_SECONDS = 3.0
PROBE_CLASS = 999


@dataclass
class Outcomes:
    """What one caller saw."""

    right: int = 0
    wrong: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


def call(port: int, class_id: int, stop: threading.Event) -> Outcomes:
    """One caller, on one connection, without a pause; by hand, because 64 of httpx's would be most of the load."""
    outcomes, photo = Outcomes(), noisy(class_id)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while not stop.is_set():
        connection.request("POST", "/classify", photo, {"content-type": "image/png"})
        answer = connection.getresponse()
        body = json.loads(answer.read())
        if answer.status == 200 and body["predictions"][0]["class_id"] == class_id:
            outcomes.right += 1
        elif answer.status != 200 and body["retryable"] and CATALOGUE[body["code"]].status == answer.status:
            outcomes.refused[body["code"]] += 1
        else:
            outcomes.wrong.append(str(body)[:200])
    connection.close()
    return outcomes


def whole_again(stack: Stack, gateway: Gateway, dead: psutil.Process) -> bool:
    """All workers back, none of them the dead one, and a caller who comes now is answered."""
    workers = {worker.pid for worker in stack.enclave.workers()}
    if stack.enclave.status()["workers"] != stack.workers or len(workers) != stack.workers or dead.pid in workers:
        return False
    answer = gateway.client.post("/classify", content=plain(PROBE_CLASS), headers={"content-type": "image/png"})
    return bool(answer.status_code == 200 and answer.json()["predictions"][0]["class_id"] == PROBE_CLASS)


@pytest.mark.timeout(SECONDS + 120)
def test_workers_killed_under_64_callers(tiny_stack: Stack) -> None:
    # Places for all callers and for the one who looks whether the service is whole.
    with tiny_stack.another_gateway(max_in_flight=CALLERS + 1) as gateway:
        outcomes, recoveries = kill_workers(tiny_stack, gateway)
    refused = sum((outcome.refused for outcome in outcomes), Counter())
    answered = sum(outcome.right for outcome in outcomes)
    print(
        f"\n{SECONDS:g} s: {answered} right answers, refusals {dict(refused)}, {len(recoveries)} kills,"
        f" whole again after {statistics.median(recoveries):.2f} s (median), {max(recoveries):.2f} s (worst)"
    )
    assert [text for outcome in outcomes for text in outcome.wrong] == []
    assert all(outcome.right for outcome in outcomes)
    assert refused.keys() <= {"worker_lost", "overloaded"}
    # A kill costs one caller at the most.
    assert refused["worker_lost"] <= len(recoveries)
    assert max(recoveries) < WHOLE_AGAIN_SECONDS


def kill_workers(stack: Stack, gateway: Gateway) -> tuple[list[Outcomes], list[float]]:
    """What each caller saw, and the seconds from each kill until the service was whole again."""
    stop = threading.Event()
    recoveries: list[float] = []
    with ThreadPoolExecutor(CALLERS) as threads:
        calls = [threads.submit(call, gateway.port, class_id, stop) for class_id in range(10, 10 + 13 * CALLERS, 13)]
        try:
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                victim = stack.enclave.workers()[len(recoveries) % stack.workers]
                victim.kill()
                killed = time.monotonic()
                wait_until("whole again", partial(whole_again, stack, gateway, victim))
                recoveries.append(time.monotonic() - killed)
                time.sleep(max(0.0, killed + BETWEEN_KILLS - time.monotonic()))
        finally:
            stop.set()
        return [done.result() for done in calls], recoveries
