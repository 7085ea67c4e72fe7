"""The pool: order, bounds, losses, and never another caller's answer."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import random
import select
import signal
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.problems import Problem
from enclave_runtime.confinement.messages import PREFIX
from enclave_runtime.workers.pool import PoolLimits, WorkerPool
from enclave_runtime.workers.process import FunctionBroken, WorkerProcess
from tests.enclave_runtime.workers import fake_function
from tests.enclave_runtime.workers.fake_function import Gate, call, eventually, within

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from enclave_runtime.confinement.warden import Warden

    Start = Callable[..., Awaitable[WorkerPool]]

SECRET = "passport-number-4711"


async def problem_of(awaitable: Awaitable[Any]) -> Problem:
    with pytest.raises(Problem) as raised:
        await within(awaitable)
    return raised.value


def begin(pool: WorkerPool, **members: Any) -> asyncio.Task[dict[str, Any]]:
    return asyncio.create_task(pool.classify(call(**members), 5))


async def answer(pool: WorkerPool, **members: Any) -> dict[str, Any]:
    return await within(pool.classify(call(**members), 5))


def idle(pool: WorkerPool, workers: int) -> bool:
    return (pool.alive, pool.busy, pool.queued) == (workers, 0, 0)


async def test_a_call_is_answered_with_all_processors_when_alone(start_pool: Start):
    pool = await start_pool(2)
    result = await within(pool.classify(call(value="v"), 3))
    assert (result["value"], result["top_k"], result["threads"]) == ("v", 3, 4)
    assert idle(pool, 2)


async def test_calls_that_run_beside_others_get_one_processor_each(start_pool: Start, gate: Gate):
    pool = await start_pool(2)
    first = begin(pool, gate=gate.name)
    await gate.arrived()
    assert (await answer(pool))["threads"] == 1
    await gate.open()
    assert (await within(first))["threads"] == 4


async def test_one_call_at_a_time_and_first_come_first_served(start_pool: Start, gate: Gate):
    pool = await start_pool(1)
    running = begin(pool, gate=gate.name)
    await gate.arrived()
    waiting = [begin(pool, value=number) for number in range(10)]
    await eventually(lambda: pool.queued == 10)
    assert (pool.alive, pool.busy) == (1, 1)
    await gate.open()
    results = await within(asyncio.gather(running, *waiting))
    assert [result["calls"] for result in results] == list(range(1, 12))
    assert [result["value"] for result in results[1:]] == list(range(10))
    assert idle(pool, 1)


async def test_the_queue_is_bounded(start_pool: Start, gate: Gate):
    pool = await start_pool(1, queue=2)
    calls = [begin(pool, gate=gate.name)]
    await gate.arrived()
    calls += [begin(pool), begin(pool)]
    await eventually(lambda: pool.queued == 2)
    problem = await problem_of(pool.classify(call(), 5))
    assert (problem.kind.code, problem.kind.retry) == ("overloaded", True)
    await gate.open()
    await within(asyncio.gather(*calls))


async def test_a_call_that_takes_too_long_loses_its_worker_only(start_pool: Start, gate: Gate):
    pool = await start_pool(1, call_seconds=0.5)
    first = await answer(pool)
    late = begin(pool, gate=gate.name)
    await gate.arrived()
    next_in_line = begin(pool)
    assert (await problem_of(late)).kind.code == "deadline_exceeded"
    assert (await within(next_in_line))["life"] != first["life"]
    assert pool.restarts == 1
    assert idle(pool, 1)


async def test_a_crash_touches_no_other_call_and_the_worker_is_replaced(start_pool: Start, gate: Gate):
    pool = await start_pool(2)
    other = begin(pool, gate=gate.name, value="unhurt")
    await gate.arrived()
    problem = await problem_of(pool.classify(call(do="crash"), 5))
    assert (problem.kind.code, problem.kind.retry) == ("worker_lost", True)
    await eventually(lambda: pool.alive == 2)
    assert pool.restarts == 1
    await gate.open()
    assert (await within(other))["value"] == "unhurt"
    assert (await answer(pool, value=1))["value"] == 1


async def test_a_worker_lost_while_idle_is_replaced(start_pool: Start):
    pool = await start_pool(1)
    life = (await answer(pool))["life"]
    (worker,) = pool._idle
    os.kill(worker.pid, signal.SIGKILL)
    await eventually(lambda: pool.restarts == 1 and pool.alive == 1)
    assert (await answer(pool))["life"] != life


async def test_a_cancelled_waiting_call_leaves_the_queue(start_pool: Start, gate: Gate):
    pool = await start_pool(1)
    running = begin(pool, gate=gate.name)
    await gate.arrived()
    waiting, behind = begin(pool, value="given up"), begin(pool, value="behind")
    await eventually(lambda: pool.queued == 2)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert pool.queued == 1
    await gate.open()
    await within(running)
    # The second call that the worker ever saw: the one given up never reached it.
    assert (await within(behind))["calls"] == 2


async def test_a_cancelled_running_call_is_finished_for_nobody(start_pool: Start, gate: Gate):
    pool = await start_pool(1)
    life = (await answer(pool))["life"]
    running = begin(pool, gate=gate.name)
    await gate.arrived()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert pool.busy == 1
    following = begin(pool, value="mine")
    await gate.open()
    result = await within(following)
    assert (result["value"], result["life"], result["calls"]) == ("mine", life, 3)
    assert pool.restarts == 0
    assert idle(pool, 1)


async def test_a_call_cancelled_as_its_turn_comes_passes_the_worker_on(
    start_pool: Start, gate: Gate, monkeypatch: pytest.MonkeyPatch
):
    pool = await start_pool(1)
    running = begin(pool, gate=gate.name)
    await gate.arrived()
    unlucky, behind = begin(pool), begin(pool, value="behind")
    await eventually(lambda: pool.queued == 2)
    genuine = pool._release

    def release_and_cancel(worker: WorkerProcess) -> None:
        # The worker is the unlucky call's now, and the call has not run since.
        monkeypatch.undo()
        genuine(worker)
        unlucky.cancel()

    monkeypatch.setattr(pool, "_release", release_and_cancel)
    await gate.open()
    await within(running)
    with pytest.raises(asyncio.CancelledError):
        await unlucky
    assert (await within(behind))["value"] == "behind"
    assert idle(pool, 1)


async def test_cancellation_at_any_moment_loses_no_worker(start_pool: Start):
    pool = await start_pool(2)
    moments = random.Random(1)
    for _ in range(6):
        calls = [begin(pool, value=number) for number in range(8)]
        for task in moments.sample(calls, 5):
            for _ in range(moments.randrange(12)):
                await asyncio.sleep(0)
            task.cancel()
        for number, outcome in enumerate(await within(asyncio.gather(*calls, return_exceptions=True))):
            assert isinstance(outcome, asyncio.CancelledError) or outcome["value"] == number
    await eventually(lambda: idle(pool, 2))
    assert pool.restarts == 0


async def test_no_answer_goes_to_the_wrong_caller_whatever_dies(start_pool: Start):
    """Each result is that of its own input, or a problem that says to try again."""
    pool = await start_pool(3)
    chance = random.Random(2)
    actions = [chance.choice([None] * 12 + ["crash", "answer and die"]) for _ in range(100)]
    calls = [begin(pool, do=action, value=f"value {number}") for number, action in enumerate(actions)]

    async def kill_now_and_then() -> None:
        while True:
            await asyncio.sleep(chance.random() * 0.1)
            for worker in chance.sample(sorted(pool._busy, key=lambda worker: worker.pid), min(1, pool.busy)):
                os.kill(worker.pid, signal.SIGKILL)

    killer = asyncio.create_task(kill_now_and_then())
    outcomes = await within(asyncio.gather(*calls, return_exceptions=True), 60)
    killer.cancel()
    right = 0
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, dict):
            assert outcome["value"] == f"value {number}"
            right += 1
        else:
            assert isinstance(outcome, Problem)
            assert outcome.kind.retry
    assert right > 30
    await eventually(lambda: idle(pool, 3))
    assert pool.restarts > 0
    assert (await answer(pool, value="after"))["value"] == "after"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ValueError('the model is damaged')", "ValueError: the model is damaged"),
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("raise SystemExit('enough')", "SystemExit: enough"),
        ("def classify(:", "SyntaxError"),
    ],
)
async def test_a_function_that_cannot_be_loaded_is_reported(tmp_path: Path, warden: Warden, source: str, reason: str):
    function = fake_function.write(tmp_path, source)
    async with WorkerPool(function, warden, PoolLimits(workers=2, processors=1)) as pool:
        with pytest.raises(FunctionBroken) as broken:
            await within(pool.wait_started())
        assert str(broken.value).startswith(reason)
        assert pool.alive == 0


async def test_a_function_that_loaded_once_is_tried_again(
    tmp_path: Path, warden: Warden, caplog: pytest.LogCaptureFixture
):
    """A replacement may fail for want of memory; that must not end the service."""
    source = "from pathlib import Path\nassert not Path('no more').exists()\n" + fake_function.SOURCE
    function = fake_function.write(tmp_path, source)
    async with WorkerPool(function, warden, PoolLimits(workers=1, processors=1)) as pool:
        await within(pool.wait_started())
        (function.folder / "no more").touch()
        assert (await problem_of(pool.classify(call(do="crash"), 5))).kind.code == "worker_lost"
        waiting = begin(pool, value="patient")
        await eventually(lambda: "ended while starting" in caplog.text)
        (function.folder / "no more").unlink()
        assert (await within(waiting))["value"] == "patient"


FAILURES: list[tuple[dict[str, Any], str | None]] = [
    ({"do": "fail"}, "ValueError"),
    ({"do": "fail strangely", "name": SECRET}, None),
    ({"do": "not json"}, "TypeError"),
    ({"do": "not a number"}, "ValueError"),
    ({"do": "not an object"}, None),
    ({"do": "big", "length": 2_000_000}, "ValueError"),
    ({"do": "refuse", "code": SECRET, "detail": SECRET, "limits": {}}, None),
    ({"do": "refuse", "code": "worker_lost", "detail": SECRET, "limits": {}}, None),
    ({"do": "refuse", "code": "internal", "detail": SECRET, "limits": {}}, None),
    ({"do": "refuse", "code": "not_an_image", "detail": 5, "limits": {}}, None),
    ({"do": "refuse", "code": "not_an_image", "detail": "x", "limits": [SECRET]}, None),
]
"""What a call does, and the exception's name in the log: that of a built-in one, or none."""


async def test_a_failing_function_tells_nothing_and_keeps_its_worker(
    start_pool: Start, caplog: pytest.LogCaptureFixture
):
    pool = await start_pool(1)
    life = (await answer(pool))["life"]
    for members, logged in FAILURES:
        caplog.clear()
        with caplog.at_level(logging.DEBUG):
            problem = await problem_of(pool.classify(call(secret=SECRET, **members), 5))
        assert (problem.kind.code, problem.kind.retry) == ("internal", False), members
        assert SECRET not in str(problem.body())
        assert problem.__cause__ is None
        records = [record for record in caplog.records if record.name.startswith("enclave_runtime")]
        assert [getattr(record, "exception", None) for record in records] == [logged], members
        assert SECRET not in str([vars(record) for record in caplog.records])
    assert (await answer(pool))["life"] == life


async def test_a_declared_problem_is_the_callers(start_pool: Start):
    pool = await start_pool(1)
    limits = {"limit_pixels": 10, "limit_text": "x", "status": 200, "detail": "other", "self": 1}
    problem = await problem_of(
        pool.classify(call(do="refuse", code="too_many_pixels", detail="Too many.", limits=limits), 5)
    )
    assert problem.body() == {
        "type": "/problems#too_many_pixels",
        "title": "The image has too many pixels",
        "status": 422,
        "detail": "Too many.",
        "code": "too_many_pixels",
        "retryable": False,
        "limit_pixels": 10,
    }


async def test_a_large_answer_comes_whole(start_pool: Start):
    pool = await start_pool(1)
    assert len((await answer(pool, do="big", length=1_000_000))["big"]) == 1_000_000


async def test_a_large_image_goes_whole(start_pool: Start):
    pool = await start_pool(1)
    image = call(do="digest", image="x" * 20_000_000)
    assert (await within(pool.classify(image, 5)))["sha256"] == hashlib.sha256(image).hexdigest()


async def test_a_worker_that_talks_nonsense_is_replaced(start_pool: Start):
    pool = await start_pool(1)
    lives = {(await answer(pool))["life"]}
    for forged in (
        PREFIX.pack(2, 0) + b"[]",
        PREFIX.pack(4, 0) + b"null",
        PREFIX.pack(3, 0) + b"{a}",
        PREFIX.pack(2, 0) + b"\xff\xff",
        PREFIX.pack(0xFFFFFFFF, 0),
        PREFIX.pack(2, 0xFFFFFFFF) + b"{}",
        PREFIX.pack(100_000, 0) + b"[" * 100_000,
    ):
        problem = await problem_of(pool.classify(call(do="forge", bytes=forged.hex()), 5))
        assert problem.kind.code == "worker_lost"
        life = (await answer(pool))["life"]
        assert life not in lives
        lives.add(life)


async def test_leaving_the_pool_ends_everything(tmp_path: Path, warden: Warden, gate: Gate):
    function = fake_function.write(tmp_path)
    async with WorkerPool(function, warden, PoolLimits(workers=1, processors=1)) as pool:
        await answer(pool)
        (worker,) = pool._idle
        ended = os.pidfd_open(worker.pid)
        running = begin(pool, gate=gate.name)
        await gate.arrived()
        waiting = begin(pool)
        await eventually(lambda: pool.queued == 1)
    try:
        assert select.select([ended], [], [], 20)[0]
    finally:
        os.close(ended)
    assert (await problem_of(running)).kind.code == "worker_lost"
    assert (await problem_of(waiting)).kind.code == "draining"
    assert (pool.alive, pool.busy, pool.queued) == (0, 0, 0)
