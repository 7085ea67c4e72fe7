"""The callers of a soak. Each sends its next request after the answer to the last one, and checks every answer."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx2

from benchmarks import documented, http1
from benchmarks.documented import Undocumented
from benchmarks.soak.photos import WrongAnswer
from blindsight.client import AsyncClient, GatewayProblem
from blindsight.errors import BlindsightError
from blindsight.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from benchmarks.soak.photos import Photo, Refused
    from benchmarks.stack import Service

BUSY = frozenset({"overloaded", "deadline_exceeded"})
"""Refusals that are documented for a service whose callers want more than it can do."""

_MOST_FAULTS = 50
_WAIT_SECONDS = 1.0
"""After a refusal, as its `Retry-After` says."""
_BATCH = 4
_RECEIPT_EVERY = 5


@dataclass
class Tally:
    """What came of the requests."""

    answers: Counter[str] = field(default_factory=Counter)
    """Right answers, by kind of request."""
    images: int = 0
    """Images with a right answer."""
    refusals: Counter[str] = field(default_factory=Counter)
    """Refusals because the service was busy, by code."""
    faults: Counter[str] = field(default_factory=Counter)
    """Wrong answers and undocumented errors, by description."""
    slowest: float = 0.0
    """Seconds of the slowest right answer."""

    def fault(self, text: str) -> None:
        self.faults[text if len(self.faults) < _MOST_FAULTS else "others"] += 1


class Kind(Protocol):
    """A kind of request: `ask` sends number `number` and checks the answer.

    It returns the number of images with right answers. Raises `Busy`, `WrongAnswer`, `Undocumented`, `OSError`,
    `BlindsightError`.
    """

    async def ask(self, number: int) -> int: ...


class Busy(Exception):
    """The service was busy; the message is the problem's code."""


def _accept(status: int, content: bytes) -> bytes:
    """`content` if the status is 200. Raises `Busy`, `Undocumented`."""
    if status == 200:
        return content
    code = documented.problem_code(status, content)
    if code in BUSY:
        raise Busy(code)
    raise Undocumented(f"a good request was refused with {code}")


@dataclass
class Plain:
    """A photo as a form, a raw body or JSON, on a persistent connection or, with `close`, on a new one each time."""

    port: int
    photos: list[Photo]
    how: str
    close: bool = False
    connection: http1.Connection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = http1.Connection(self.port)

    async def ask(self, number: int) -> int:
        photo = self.photos[number % len(self.photos)]
        if self.how == "form":
            body, media_type = http1.form(photo.content)
        elif self.how == "raw":
            body, media_type = photo.content, "image/jpeg"
        else:
            body = json.dumps({"image": base64.b64encode(photo.content).decode()}).encode()
            media_type = "application/json"
        query = f"?top_k={1 + number % 10}" if number % 3 else ""
        if self.how == "json":
            query = ""
        answer = await self.connection.ask(http1.post(f"/classify{query}", body, media_type, close=self.close))
        if self.close:
            self.connection.close()
        photo.check(documented.classification(_accept(answer.status, answer.content)))
        return 1


@dataclass
class Batch:
    """Several photos in one request."""

    http: httpx2.AsyncClient
    photos: list[Photo]

    async def ask(self, number: int) -> int:
        chosen = [self.photos[(number * _BATCH + index) % len(self.photos)] for index in range(_BATCH)]
        files = [("files", (photo.name, photo.content, "image/jpeg")) for photo in chosen]
        answer = await self.http.post("/classify/batch", files=files)
        results = json.loads(_accept(answer.status_code, answer.content))["results"]
        right = 0
        for photo, result in zip(chosen, results, strict=True):
            if "problem" in result:
                code = documented.code_of(result["problem"])
                if code not in BUSY:
                    raise Undocumented(f"a good image of a batch was refused with {code}")
                continue
            documented.checked(result)
            photo.check(result)
            right += 1
        return right


@dataclass
class Sealed:
    """A photo that the client encrypts after it has verified the enclave, every fifth time with a receipt."""

    client: AsyncClient
    photos: list[Photo]

    async def ask(self, number: int) -> int:
        photo = self.photos[number % len(self.photos)]
        try:
            answer = await self.client.classify(photo.content, with_receipt=number % _RECEIPT_EVERY == 0)
        except (GatewayProblem, Problem) as problem:
            if problem.code in BUSY:
                raise Busy(problem.code) from None
            raise
        found = [vars(each) for each in answer.predictions]
        photo.check({"predictions": found, "image": answer.image})
        return 1


@dataclass
class Wrong:
    """Bodies that are refused, each for its reason."""

    port: int
    bodies: list[Refused]
    connection: http1.Connection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = http1.Connection(self.port)

    async def ask(self, number: int) -> int:
        body = self.bodies[number % len(self.bodies)]
        answer = await self.connection.ask(http1.post("/classify", body.content, "application/octet-stream"))
        if answer.status == 200:
            raise WrongAnswer(f"{body.code}: such a body was answered")
        code = documented.problem_code(answer.status, answer.content)
        if code in BUSY:
            raise Busy(code)
        if code != body.code:
            raise WrongAnswer(f"{body.code}: such a body was refused with {code}")
        return 0


@dataclass(frozen=True)
class Crowd:
    """How many callers of each kind there are: together more than the gateway has places (64), so that some are always
    refused and ask again.
    """

    form: int = 20
    raw: int = 10
    raw_on_new_connections: int = 8
    json: int = 4
    sealed: int = 36
    batch: int = 6
    refused: int = 6

    @property
    def callers(self) -> int:
        return sum(vars(self).values())


_SEALED_CLIENTS = 6


async def saturate(
    crowd: Crowd, service: Service, photos: list[Photo], wrong: list[Refused], *, tally: Tally, until: asyncio.Event
) -> None:
    """Let the callers send requests until `until` is set, and wait for their last answers."""
    port, policy = service.port, Path(service.lanes["sealed"]["policy"])
    url = f"http://127.0.0.1:{port}"
    limits = httpx2.Limits(max_connections=None)
    http = httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False, limits=limits)
    clients = [AsyncClient(url, policy=policy) for _ in range(min(_SEALED_CLIENTS, crowd.sealed))]
    callers: list[tuple[str, Kind]] = []
    callers += [("form", Plain(port, photos, "form")) for _ in range(crowd.form)]
    callers += [("raw", Plain(port, photos, "raw")) for _ in range(crowd.raw)]
    callers += [
        ("raw, new connection", Plain(port, photos, "raw", close=True)) for _ in range(crowd.raw_on_new_connections)
    ]
    callers += [("JSON", Plain(port, photos, "json")) for _ in range(crowd.json)]
    callers += [("sealed", Sealed(clients[index % len(clients)], photos)) for index in range(crowd.sealed)]
    callers += [("batch", Batch(http, photos)) for _ in range(crowd.batch)]
    callers += [("refused body", Wrong(port, wrong)) for _ in range(crowd.refused)]
    try:
        async with asyncio.TaskGroup() as group:
            for index, (name, kind) in enumerate(callers):
                # Each begins with another photo.
                group.create_task(_repeat(name, kind, 7 * index, tally, until))
    finally:
        for _, kind in callers:
            if isinstance(kind, Plain | Wrong):
                kind.connection.close()
        for client in clients:
            await client.close()
        await http.aclose()


async def _repeat(name: str, kind: Kind, number: int, tally: Tally, until: asyncio.Event) -> None:
    while not until.is_set():
        begun, pause = time.monotonic(), 0.0
        try:
            right = await kind.ask(number)
        except Busy as busy:
            tally.refusals[str(busy)] += 1
            pause = _WAIT_SECONDS
        except (WrongAnswer, Undocumented) as fault:
            tally.fault(f"{name}: {fault}")
        except BlindsightError as error:
            tally.fault(f"{name}: {type(error).__name__} {error.code}")
        except (OSError, httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
            tally.fault(f"{name}: {type(error).__name__}")
        else:
            tally.images += right
            tally.answers[name] += 1
            tally.slowest = max(tally.slowest, time.monotonic() - begun)
        number += 1
        if pause:
            await asyncio.sleep(pause)


def watching(every: float, until: asyncio.Event, look: Callable[[], None]) -> Coroutine[Any, Any, None]:
    """Call `look` in a thread every `every` seconds until `until` is set."""

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not until.is_set():
            await asyncio.to_thread(look)
            due += every
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(until.wait(), max(due - loop.time(), 0.0))

    return watch()
