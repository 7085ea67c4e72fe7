"""Processes in reserve."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blindsight.errors import CapeError
from enclave_runtime.cape.process import HandlerLimits, HandlerProcess
from enclave_runtime.cape.spares import Spares
from tests.enclave_runtime.cape import handler_sources as sources
from tests.enclave_runtime.cape.handler_sources import ReversingRpc, within
from tests.enclave_runtime.workers.fake_function import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from enclave_runtime.confinement.warden import Warden

ONE, OTHER = Path("/functions/one"), Path("/functions/other")


class FakeProcess:
    def __init__(self) -> None:
        self.ended = False
        self.closed = False

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.closed = True


class Starter:
    """Starts fake processes; each waits to be let go if `held`."""

    def __init__(self) -> None:
        self.started: list[FakeProcess] = []
        self.begun = 0
        self.running = 0
        self.most_running = 0
        self.failure: CapeError | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> HandlerProcess:
        self.begun += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.gate.wait()
            if self.failure is not None:
                raise self.failure
        finally:
            self.running -= 1
        process = FakeProcess()
        self.started.append(process)
        return process


@pytest.fixture
async def spares() -> AsyncIterator[Spares]:
    made = Spares()
    yield made
    await within(made.close())


@pytest.fixture
async def starter() -> Starter:
    return Starter()


async def started(starter: Starter, count: int) -> None:
    await eventually(lambda: len(starter.started) == count and not starter.running)


async def test_the_first_is_started_and_the_second_is_in_reserve(spares: Spares, starter: Starter):
    first = await within(spares.take(ONE, starter))
    await started(starter, 2)
    starter.gate.clear()
    second = await within(spares.take(ONE, starter))
    assert [first, second] == starter.started
    # The next is on its way, for the next caller.
    await eventually(lambda: starter.begun == 3)
    starter.gate.set()
    await started(starter, 3)
    assert not any(process.closed for process in starter.started)


async def test_functions_have_reserves_of_their_own(spares: Spares, starter: Starter):
    other = Starter()
    await within(spares.take(ONE, starter))
    await started(starter, 2)
    process = await within(spares.take(OTHER, other))
    assert process is other.started[0]
    await started(other, 2)


async def test_a_reserve_may_have_more(starter: Starter):
    spares = Spares(3)
    await within(spares.take(ONE, starter))
    await started(starter, 4)
    await within(spares.close())
    assert [process.closed for process in starter.started] == [False, True, True, True]


async def test_a_spare_that_has_ended_is_not_handed_out(spares: Spares, starter: Starter):
    await within(spares.take(ONE, starter))
    await started(starter, 2)
    starter.started[1].ended = True
    process = await within(spares.take(ONE, starter))
    assert process is starter.started[2]
    await eventually(lambda: starter.started[1].closed)


async def test_few_are_started_at_once_and_a_client_s_own_need_not_wait_for_reserves(spares: Spares, starter: Starter):
    other = Starter()
    for number in range(4):
        await within(spares.take(Path(f"/functions/{number}"), other))
    await started(other, 8)
    other.gate.clear()
    for number in range(4):
        await within(spares.take(Path(f"/functions/{number}"), other))
    await eventually(lambda: other.begun == 9)
    # Four reserves are to be filled, one at a time; this one is for a client.
    await within(spares.take(ONE, starter))
    assert (len(starter.started), other.begun) == (1, 9)
    other.gate.set()
    await started(other, 12)
    await started(starter, 2)
    starter.gate.clear()
    for number in range(5):
        asyncio.ensure_future(spares.take(Path(f"/new/{number}"), starter)).add_done_callback(
            lambda task: task.cancelled() or task.exception()
        )
    await eventually(lambda: starter.begun == 4)
    starter.gate.set()
    await started(starter, 12)
    assert starter.most_running == 2


async def test_what_cannot_be_started_is_told_and_leaves_no_reserve(spares: Spares, starter: Starter):
    starter.failure = CapeError("bad_bundle", "broken")
    with pytest.raises(CapeError, match="broken"):
        await within(spares.take(ONE, starter))
    assert starter.begun == 1
    assert not spares._shelves


async def test_a_spare_that_cannot_be_started_is_tried_again_with_the_next_client(spares: Spares, starter: Starter):
    await within(spares.take(ONE, starter))
    await started(starter, 2)
    starter.failure = CapeError("overloaded", "no memory")
    await within(spares.take(ONE, starter))
    await eventually(lambda: starter.begun == 3 and not starter.running)
    starter.failure = None
    assert await within(spares.take(ONE, starter)) is starter.started[2]
    await started(starter, 4)


async def test_a_dropped_function_has_no_reserve(spares: Spares, starter: Starter):
    await within(spares.take(ONE, starter))
    await started(starter, 2)
    await within(spares.drop(ONE))
    assert [process.closed for process in starter.started] == [False, True]
    await within(spares.drop(ONE))
    assert await within(spares.take(ONE, starter)) is starter.started[2]


async def test_a_function_dropped_while_its_process_starts_gets_no_reserve(spares: Spares, starter: Starter):
    starter.gate.clear()
    taking = asyncio.create_task(spares.take(ONE, starter))
    await eventually(lambda: starter.begun == 1)
    await within(spares.drop(ONE))
    starter.gate.set()
    assert await within(taking) is starter.started[0]
    assert not spares._shelves
    assert starter.begun == 1


async def test_a_spare_on_its_way_is_given_up_when_its_function_is_dropped(spares: Spares, starter: Starter):
    await within(spares.take(ONE, starter))
    await started(starter, 2)
    starter.gate.clear()
    await within(spares.take(ONE, starter))
    await eventually(lambda: starter.running == 1)
    await within(spares.drop(ONE))
    assert starter.running == 0
    assert len(starter.started) == 2


async def test_a_reserve_that_nobody_needs_is_closed(starter: Starter):
    spares = Spares(idle_seconds=0.05)
    first = await within(spares.take(ONE, starter))
    await eventually(lambda: len(starter.started) == 2 and starter.started[1].closed)
    assert first is starter.started[0]
    assert not starter.started[0].closed
    assert not spares._shelves
    await within(spares.close())


async def test_taking_one_keeps_the_reserve_for_longer(spares: Spares, starter: Starter):
    await within(spares.take(ONE, starter))
    expiry = spares._shelves[ONE].expiry
    assert expiry is not None
    await started(starter, 2)
    await within(spares.take(ONE, starter))
    later = spares._shelves[ONE].expiry
    assert later is not None
    assert expiry.cancelled()
    assert later.when() > expiry.when()
    assert expiry.when() - asyncio.get_running_loop().time() == pytest.approx(600, abs=30)


async def test_after_the_end_nothing_is_started(spares: Spares, starter: Starter):
    await within(spares.take(ONE, starter))
    await started(starter, 2)
    await within(spares.close())
    assert starter.started[1].closed
    with pytest.raises(CapeError) as refusal:
        await within(spares.take(ONE, starter))
    assert refusal.value.code == "enclave_unavailable"


async def test_with_real_processes(warden: Warden, spares: Spares, tmp_path: Path):
    code = sources.write(tmp_path, sources.HIDE_AND_SEEK)

    def start() -> Awaitable[HandlerProcess]:
        return HandlerProcess.start(code, warden=warden, limits=HandlerLimits(), rpc=ReversingRpc())

    taken: list[HandlerProcess] = []
    for _ in range(3):
        process = await within(spares.take(code, start))
        taken.append(process)
        # The callers before left nothing.
        assert await within(process.call(b'{"x": 1}')) == b"None"
        assert await within(process.call(b'{"x": 1}')) == b"Congrats, you found me!"
    assert len({process.pid for process in taken}) == 3
    for process in taken:
        await within(process.close())
    await within(spares.drop(code))
    assert [path.name for path in code.parent.iterdir()] == [code.name]


async def test_only_so_many_functions_have_a_reserve(starter: Starter):
    """Else every function that was run once would have an idle process for minutes."""
    spares = Spares(functions=2)
    paths = [Path(f"/functions/{number}") for number in range(3)]
    for number, path in enumerate(paths[:2], start=1):
        await within(spares.take(path, starter))
        await started(starter, 2 * number)
    # The first is the last one used by now, with a third process in reserve.
    await within(spares.take(paths[0], starter))
    await started(starter, 5)
    await within(spares.take(paths[2], starter))
    await eventually(lambda: starter.started[3].closed)
    await started(starter, 7)
    assert [process.closed for process in starter.started] == [False, False, False, True, False, False, False]
    assert await within(spares.take(paths[0], starter)) is starter.started[4]
    await started(starter, 8)
    await within(spares.close())
