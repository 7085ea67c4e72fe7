"""The load generator: callers, each with a connection of its own, which send the next request after each answer.

A process beside the measured ones. `python -m benchmarks.load` reads the JSON object of one turn from each line of its
input, prints `begin` and `end` at the begin and the end of the counted time, and then one JSON object: the result, or
`error`. Callers do not pause, so the counted time is a steady state.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import uvloop

from benchmarks import lanes
from blindsight.errors import BlindsightError

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.lanes import Asks

ERROR, IGNORE, WAIT = "error", "ignore", "wait"
"""Behaviour of callers after a refusal: end the turn, send again at once, or wait as long as `Retry-After` says."""

_SCORE_TOLERANCE = 1e-6
"""Scores of one photo may differ by the order in which threads add. Ranks may not differ."""

_FUNCTIONS_STAGES = ("decode", "preprocess", "run")
_REFUSED = frozenset({429, 503})
_LAST_ANSWERS_SECONDS = 60.0
_LEAST_ANSWERS = 3
"""The counted time lasts until this number of answers has come, because a photo may take longer than a turn."""

_POLL_SECONDS = 0.02


class WrongAnswer(Exception):
    """An answer whose status is not 200, or that differs from the first one."""


@dataclass
class Crowd:
    """Callers with the same behaviour, and their answers."""

    callers: int
    refusals: str
    answers: list[tuple[float, float, int, bytes]] = field(default_factory=list)
    """Begin and end (`time.perf_counter()`, seconds), status (0: the connection was lost) and content, in the order of
    the ends."""
    asking: dict[int, float] = field(default_factory=dict)
    """When the request began that is in progress, by caller (`time.perf_counter()`, seconds)."""

    async def call_repeatedly(self, caller: Asks, stop: asyncio.Event) -> None:
        """Let one caller send requests until `stop` is set. Raises `WrongAnswer`, `OSError`."""
        while not stop.is_set():
            begun, wait = time.perf_counter(), 0.0
            self.asking[id(caller)] = begun
            try:
                answer = await caller.ask()
                status, content, wait = answer.status, answer.content, answer.retry_after
            except OSError as error:
                if self.refusals == ERROR:
                    raise
                status, content = 0, str(error).encode()
            finally:
                del self.asking[id(caller)]
            if self.refusals == ERROR and status != 200:
                raise WrongAnswer(f"status {status}: {content[:300].decode(errors='replace')}")
            self.answers.append((begun, time.perf_counter(), status, content if status == 200 else b""))
            if status in _REFUSED and self.refusals == WAIT:
                await _first(stop, wait)

    def result(self, began: float, ended: float) -> dict[str, Any]:
        """Figures of the answers within the counted time; `images` counts each with its share of it (`share`).

        Raises `WrongAnswer` if answers differ.
        """
        good = [(begin, end, json.loads(content)) for begin, end, status, content in self.answers if status == 200]
        check_alike([content["predictions"] for _, _, content in good])
        within = [(begin, end, content) for begin, end, content in good if began <= end <= ended]
        statuses = [status for _, end, status, _ in self.answers if began <= end <= ended]
        stages = [
            stages_of(content["timings_ms"], 1000 * (end - begin))
            for begin, end, content in within
            if "timings_ms" in content
        ]
        return {
            "callers": self.callers,
            "answers": len(within),
            "images": sum(share(begin, end, began, ended) for begin, end, _ in good),
            "refused": sum(status in _REFUSED for status in statuses),
            "other": sum(status != 200 and status not in _REFUSED for status in statuses),
            "latencies_ms": [round(1000 * (end - begin), 3) for begin, end, _ in within],
            "stages_ms": {name: median(each[name] for each in stages) for name in (stages[0] if stages else {})},
            "predictions": good[0][2]["predictions"] if good else [],
        }


async def turn(spec: dict[str, Any]) -> dict[str, Any]:
    """Let callers send requests for `warm_up` and then `seconds` seconds, and return the figures of the latter.

    `spec` is that of a lane (`lanes.callers`) with `warm_up`, `seconds` and `crowds`. Each crowd has `callers`,
    `refusals`, and members that replace the lane's. Raises `WrongAnswer` or `OSError` for the first bad answer of a
    crowd that must not get any. The callers of such a crowd connect one after the other, and each asks once before the
    next connects: services that start something for a connection, as Cape's process, have started it, and connections
    that come at once may all reach the same worker of a service.
    """
    crowds = [Crowd(each["callers"], each.get("refusals", ERROR)) for each in spec["crowds"]]
    made = [await asyncio.to_thread(lanes.callers, spec | each) for each in spec["crowds"]]
    async with contextlib.AsyncExitStack() as opened:
        callers = []
        for crowd, make in zip(crowds, made, strict=True):
            for _ in range(crowd.callers):
                caller = await opened.enter_async_context(make())
                if crowd.refusals == ERROR:
                    await caller.ask()
                callers.append((crowd, caller))
        began, ended, cpu = await _at_work(callers, spec["warm_up"], spec["seconds"])
    results = [crowd.result(began, ended) for crowd in crowds]
    if not sum(result["answers"] for result in results):
        raise WrongAnswer("no answer came within the counted time")
    return {"seconds": ended - began, "generator_cpu_seconds": cpu, "crowds": results}


def stages_of(timings: dict[str, float], latency: float) -> dict[str, float]:
    """The stages of one answer and what is between them, in milliseconds.

    `timings` are those of our answer; `inside` is the rest of its `enclave`, and `outside` the rest of the `latency`.
    """
    known = sum(timings.get(name, 0.0) for name in _FUNCTIONS_STAGES)
    enclave = timings.get("enclave", known)
    return timings | {"inside": enclave - known, "outside": latency - enclave}


def share(begin: float, end: float, began: float, ended: float) -> float:
    """The part (0..1) of an answer's time from `begin` to `end` that is within the counted time. All in seconds.

    Answers that come in bunches, as those of callers whose requests are processed at once, would otherwise count too
    much or too little: which bunches end within a turn depends on its length.
    """
    return max(min(end, ended) - max(begin, began), 0.0) / (end - begin)


async def _at_work(callers: list[tuple[Crowd, Asks]], warm_up: float, seconds: float) -> tuple[float, float, float]:
    """When the counted time began and ended, and the processor seconds of this process in it."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(crowd.call_repeatedly(caller, stop)) for crowd, caller in callers]
    for task in tasks:
        task.add_done_callback(lambda _: stop.set())  # None ends before the others, unless it failed.
    try:
        await _first(stop, warm_up)
        began, cpu = time.perf_counter(), time.process_time()
        print("begin", flush=True)
        await _first(stop, seconds)
        await _until(stop, lambda: _answered(callers, began) >= _LEAST_ANSWERS)
        ended, cpu = time.perf_counter(), time.process_time() - cpu
        print("end", flush=True)
        # An answer that is not complete counts with its share, which only its end determines. Until then the others
        # go on: with fewer callers it would come sooner.
        await _until(stop, lambda: not any(begun < ended for crowd, _ in callers for begun in crowd.asking.values()))
        stop.set()
        await asyncio.wait(tasks, timeout=_LAST_ANSWERS_SECONDS)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return began, ended, cpu


def _answered(callers: list[tuple[Crowd, Asks]], began: float) -> int:
    crowds = {id(crowd): crowd for crowd, _ in callers}.values()
    return sum(status == 200 and end >= began for crowd in crowds for _, end, status, _ in crowd.answers)


async def _until(stop: asyncio.Event, reached: Callable[[], bool]) -> None:
    end = time.perf_counter() + _LAST_ANSWERS_SECONDS
    while not (reached() or stop.is_set() or time.perf_counter() > end):
        await _first(stop, _POLL_SECONDS)


async def alternate(spec: dict[str, Any]) -> dict[str, Any]:
    """Let one caller send one request in each lane in turn for `seconds`. Returns latencies in milliseconds by lane.

    `spec` has the lanes' specifications by name under `alternate`. Raises `WrongAnswer`.
    """
    latencies: dict[str, list[float]] = {name: [] for name in spec["alternate"]}
    answers: list[list[dict[str, Any]]] = []
    async with contextlib.AsyncExitStack() as opened:
        asked = []
        for name, lane in spec["alternate"].items():
            make = await asyncio.to_thread(lanes.callers, lane)
            asked.append((name, await opened.enter_async_context(make())))
        counting = time.perf_counter() + spec["warm_up"]
        end, number = counting + spec["seconds"], 0
        last = end + _LAST_ANSWERS_SECONDS
        while (now := time.perf_counter()) < end or (
            now < last and len(min(latencies.values(), key=len)) < _LEAST_ANSWERS
        ):
            counted = now >= counting
            # Each lane in each place of the sequence equally often.
            first = number % len(asked)
            for name, caller in asked[first:] + asked[:first]:
                begun = time.perf_counter()
                answer = await caller.ask()
                if answer.status != 200:
                    raise WrongAnswer(f"status {answer.status}")
                if counted:
                    latencies[name].append(round(1000 * (time.perf_counter() - begun), 3))
                answers.append(json.loads(answer.content)["predictions"])
            number += 1
    check_alike(answers)
    if not all(latencies.values()):
        raise WrongAnswer("no answer came within the counted time")
    print("begin\nend", flush=True)
    return {"latencies_ms": latencies}


def check_alike(answers: list[list[dict[str, Any]]]) -> None:
    """Raise `WrongAnswer` unless all `answers` have the classes of the first, in the same order, with its scores."""
    for answer in answers:
        if [item["label"] for item in answer] != [item["label"] for item in answers[0]] or any(
            abs(item["score"] - expected["score"]) > _SCORE_TOLERANCE
            for item, expected in zip(answer, answers[0], strict=True)
        ):
            raise WrongAnswer("two answers to one photo differ")


async def _first(stop: asyncio.Event, seconds: float) -> None:
    """Wait until `stop` is set, for at most `seconds`."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


def main() -> None:
    """Perform one turn for each line, until the input ends."""
    for line in sys.stdin:
        try:
            spec = json.loads(line)
            result = uvloop.run(alternate(spec) if "alternate" in spec else turn(spec))
        except (WrongAnswer, BlindsightError, OSError) as error:
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
