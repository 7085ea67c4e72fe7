"""Workers killed under load: nobody gets another's answer, every failure is retryable, recovery is quick.

`BLINDSIGHT_CHAOS_SECONDS=60` makes the long run.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx2
import pytest

from blindsight.problems import CATALOGUE
from tests.support.images import noisy, plain
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    import psutil

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
    refused: dict[str, int] = field(default_factory=dict)


def call(url: str, class_id: int, stop: threading.Event) -> Outcomes:
    outcomes, photo = Outcomes(), noisy(class_id)
    with httpx2.Client(base_url=url, timeout=60, trust_env=False) as client:
        while not stop.is_set():
            answer = client.post("/classify", content=photo, headers={"content-type": "image/png"})
            body = answer.json()
            if answer.status_code == 200 and body["predictions"][0]["class_id"] == class_id:
                outcomes.right += 1
            elif (
                answer.status_code != 200 and body["retryable"] and CATALOGUE[body["code"]].status == answer.status_code
            ):
                outcomes.refused[body["code"]] = outcomes.refused.get(body["code"], 0) + 1
            else:
                outcomes.wrong.append(answer.text[:200])
    return outcomes


def whole_again(stack: Stack, dead: psutil.Process) -> bool:
    """All workers back, none of them the dead one, and a caller who comes now is answered."""
    workers = {worker.pid for worker in stack.enclave.workers()}
    if stack.enclave.status()["workers"] != stack.workers or len(workers) != stack.workers or dead.pid in workers:
        return False
    answer = stack.client.post("/classify", content=plain(PROBE_CLASS), headers={"content-type": "image/png"})
    return bool(answer.status_code == 200 and answer.json()["predictions"][0]["class_id"] == PROBE_CLASS)


@pytest.mark.timeout(SECONDS + 120)
def test_workers_killed_under_64_callers(tiny_stack: Stack) -> None:
    stop = threading.Event()
    recoveries: list[float] = []
    with ThreadPoolExecutor(CALLERS) as threads:
        calls = [
            threads.submit(call, tiny_stack.gateway.url, class_id, stop)
            for class_id in range(10, 10 + 13 * CALLERS, 13)
        ]
        try:
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                victim = tiny_stack.enclave.workers()[len(recoveries) % tiny_stack.workers]
                victim.kill()
                killed = time.monotonic()
                wait_until("whole again", lambda victim=victim: whole_again(tiny_stack, victim), seconds=30)
                recoveries.append(time.monotonic() - killed)
                time.sleep(max(0.0, killed + BETWEEN_KILLS - time.monotonic()))
        finally:
            stop.set()
        outcomes = [done.result() for done in calls]
    refused = {code: sum(o.refused.get(code, 0) for o in outcomes) for o in outcomes for code in o.refused}
    answered = sum(outcome.right for outcome in outcomes)
    print(f"\n{answered} right answers, refusals {refused}, {len(recoveries)} kills, recoveries {recoveries}")
    assert [text for outcome in outcomes for text in outcome.wrong] == []
    assert all(outcome.right for outcome in outcomes)
    assert refused.keys() <= {"worker_lost", "overloaded"}
    assert max(recoveries) < WHOLE_AGAIN_SECONDS
