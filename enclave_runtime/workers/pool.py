"""A fixed number of warm workers with a bounded queue. Workers that end are replaced."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blindsight.problems import CATALOGUE, Problem
from enclave_runtime.workers import weights
from enclave_runtime.workers.process import LIMITS, FunctionBroken, WorkerLost, WorkerProcess, Workplace

if TYPE_CHECKING:
    from enclave_runtime.confinement.warden import Warden
    from enclave_runtime.function import Function

_log = logging.getLogger(__name__)

_LIMIT = "limit_"
"""Prefix of a problem's additional members; their values are integers."""

_RESTART_PAUSE = 0.2
"""Seconds before the next attempt after a worker has failed to start."""


@dataclass(frozen=True)
class PoolLimits:
    """Limits of the pool. A call that runs alone uses `processors` threads; concurrent calls use one thread each."""

    workers: int
    processors: int
    queue: int = 256
    """Maximum number of calls that wait for a worker."""
    call_seconds: float = 15.0
    """Timeout of a call in seconds, after which its worker is killed and replaced."""


class WorkerPool:
    """Gives each call to an idle worker, in the order of arrival.

    A worker processes one call at a time, so that a crash, a timeout or a hostile image does not affect other requests.
    """

    def __init__(self, function: Function, warden: Warden, limits: PoolLimits) -> None:
        threads = sorted({1, limits.processors})
        self._workplace = Workplace(warden, function.folder, function.weights, threads, LIMITS)
        self._draft = function.draft
        self._limits = limits
        self._idle: deque[WorkerProcess] = deque()
        self._busy: set[WorkerProcess] = set()
        self._waiting: deque[asyncio.Future[WorkerProcess]] = deque()
        self._keepers: list[asyncio.Task[None]] = []
        self._running: set[asyncio.Task[None]] = set()
        self._started = asyncio.Event()
        self.restarts = 0
        self.broken: str | None = None
        """The reason why the function cannot be loaded; None if it can, or if that is not known yet."""

    async def __aenter__(self) -> WorkerPool:
        self._keepers = [asyncio.create_task(self._keep(first=number == 0)) for number in range(self._limits.workers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(Problem("draining", "The enclave is shutting down."))
        await asyncio.gather(*self._running, return_exceptions=True)

    async def wait_started(self) -> None:
        """Wait until the first worker is warm. Raises `FunctionBroken` if the function cannot be loaded."""
        await self._started.wait()
        if self.broken is not None:
            raise FunctionBroken(self.broken)

    @property
    def alive(self) -> int:
        """Number of started workers."""
        return len(self._idle) + len(self._busy)

    @property
    def busy(self) -> int:
        """Number of workers that process a call."""
        return len(self._busy)

    @property
    def queued(self) -> int:
        """Number of calls that wait for a worker."""
        return len(self._waiting)

    async def classify(self, image: bytes | memoryview, top_k: int) -> dict[str, Any]:
        """Classify `image` in an idle worker, and return the object that the function's `classify` returns.

        Raises `Problem`: `overloaded`, `draining`, `deadline_exceeded`, `worker_lost`, `internal`, or the function's
        refusal of the image. A cancelled call leaves the queue. If it already runs, it is finished and its result
        dropped: killing its worker would let callers that disconnect slow down others.
        """
        worker = await self._acquire()
        outcome: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(self._settle(outcome, worker, image, top_k))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return _result(await outcome)

    async def _settle(
        self, outcome: asyncio.Future[dict[str, Any]], worker: WorkerProcess, image: bytes | memoryview, top_k: int
    ) -> None:
        """Run the call to its end and set `outcome`, unless the caller is gone."""
        try:
            answer = await self._run(worker, image, top_k)
        except BaseException as error:  # The pool's end cancels the call; its caller must not wait for ever.
            if not outcome.done():
                outcome.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            if not outcome.done():
                outcome.set_result(answer)

    async def _run(self, worker: WorkerProcess, image: bytes | memoryview, top_k: int) -> dict[str, Any]:
        threads = 1 if self.busy > 1 else self._limits.processors
        try:
            async with asyncio.timeout(self._limits.call_seconds):
                answer = await worker.call({"top_k": top_k, "threads": threads}, image)
        except TimeoutError as error:
            await self._discard(worker)
            raise Problem("deadline_exceeded", "The image took too long to classify.") from error
        except WorkerLost as error:
            await self._discard(worker)
            raise Problem("worker_lost", "The worker ended while it processed this image; send it again.") from error
        except BaseException:
            await self._discard(worker)
            raise
        self._release(worker)
        return answer

    async def _acquire(self) -> WorkerProcess:
        while self._idle:
            worker = self._idle.popleft()
            self._busy.add(worker)
            return worker
        if len(self._waiting) >= self._limits.queue:
            raise Problem("overloaded", "All workers are busy and the queue is full.")
        future: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._release(future.result())
            else:
                with contextlib.suppress(ValueError):
                    self._waiting.remove(future)
            raise

    def _release(self, worker: WorkerProcess) -> None:
        """Give `worker` to the call that has waited longest, or make it idle."""
        self._busy.discard(worker)
        if worker.ended:  # It ended right after its answer; `_keep` starts another.
            return
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                self._busy.add(worker)
                future.set_result(worker)
                return
        # Last in, first out: a single caller is served by the same worker, whose caches are warm.
        self._idle.appendleft(worker)

    async def _discard(self, worker: WorkerProcess) -> None:
        self._busy.discard(worker)
        await worker.kill()

    async def _start_first(self) -> WorkerProcess:
        """Start the worker that prepares the shared weights, then make these read-only for it."""
        try:
            await asyncio.to_thread(weights.make_draft, self._draft, self._workplace.weights)
        except OSError as error:
            raise WorkerLost from error
        worker = await WorkerProcess.start(self._workplace, draft=self._draft)
        try:
            owned = self._workplace.warden.layers.ids
            await asyncio.to_thread(weights.seal, self._draft, self._workplace.weights, owned=owned)
        except BaseException as error:
            await worker.kill()
            if isinstance(error, OSError):
                raise WorkerLost from error
            raise
        return worker

    async def _keep(self, *, first: bool) -> None:
        """Keep one worker running: start it, wait for its end, start the next.

        The first one prepares the shared weights before it processes any caller's image.
        """
        if not first:
            await self._started.wait()
        while self.broken is None:
            try:
                worker = await (WorkerProcess.start(self._workplace) if self._started.is_set() else self._start_first())
            except (FunctionBroken, WorkerLost) as error:
                # A function that was loaded before is intact: the reason may be a lack of memory.
                if isinstance(error, FunctionBroken) and not self._started.is_set():
                    self.broken = str(error)
                    self._started.set()
                    return
                _log.warning("a worker ended while starting")
                await asyncio.sleep(_RESTART_PAUSE)
                continue
            try:
                self._release(worker)
                self._started.set()
                status = await worker.wait()
            finally:
                self._busy.discard(worker)
                with contextlib.suppress(ValueError):
                    self._idle.remove(worker)
                await worker.kill()
            self.restarts += 1
            _log.warning("worker replaced", extra={"exit_status": status})


def _result(answer: dict[str, Any]) -> dict[str, Any]:
    # Workers decode hostile images, so their answers are untrusted input.
    match answer:
        case {"result": dict() as result}:
            return result
        case {"problem": {"code": str() as code, "detail": str() as detail, "limits": dict() as limits}} if (
            code in CATALOGUE and CATALOGUE[code].status < 500
        ):
            numbers = {
                name: limit for name, limit in limits.items() if isinstance(limit, int) and name.startswith(_LIMIT)
            }
            raise Problem(code, detail, **numbers)
        case {"failure": str() as name} if hasattr(builtins, name):
            _log.error("function failed", extra={"exception": name})
        case _:  # A taken-over worker could put content of the image into a name, and the host reads the log.
            _log.error("function failed")
    raise Problem("internal", "The function failed on this image.")
