"""Callers of each lane. Each waits between its requests, and sends none before `Retry-After` has passed."""

from __future__ import annotations

import asyncio
import json
import random
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

import httpx2

from blindsight import AsyncClient
from blindsight.client import GatewayProblem
from blindsight.errors import BlindsightError, EvidenceError, TransportError
from blindsight.problems import MEDIA_TYPE, Problem
from campaigns.judge import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blindsight.attestation.policy import Policy
    from campaigns.judge import Judge
    from campaigns.photos import Photo

_BATCH: Final = 3
_BEYOND: Final = 5.0
"""Seconds after the longest permitted time at which a caller gives up, and reports a late answer."""
_FIRST_ADDRESS: Final = 10
"""Each caller has its own address, 127.0.0.10 and up: gateways slow down an address that repeats too early."""


class Caller(ABC):
    """One caller of `lane`. `ask` sends one photo, or several, and tells the judge."""

    lane = ""

    def __init__(self, number: int, url: str, photos: Sequence[Photo], judge: Judge, seed: int) -> None:
        self.number = number
        self._photos = photos
        self._judge = judge
        self._dice = random.Random(f"{seed} {number}")
        self._url = url
        self._timeout = judge.longest + _BEYOND
        self._wait = 0.0

    async def run(self, stop: asyncio.Event, pause: float) -> None:
        """Ask again and again until `stop` is set."""
        try:
            while not stop.is_set():
                self._wait = 0.0
                await self.ask()
                seconds = max(self._dice.uniform(0.5, 1.5) * pause, self._wait)
                try:
                    await asyncio.wait_for(stop.wait(), seconds)
                except TimeoutError:
                    continue
        finally:
            await self.close()

    @abstractmethod
    async def ask(self) -> None:
        """Make one request, and let the judge know how it went."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connections."""

    def told(self, reply: Reply) -> None:
        """Each HTTP exchange of this caller."""
        self._judge.replied(reply)
        if reply.status != 200:
            self._wait = max(self._wait, float(reply.retry_after or 1))

    def _photo(self) -> Photo:
        return self._dice.choice(self._photos)

    def _transport(self) -> Observed:
        return Observed(self.lane, f"127.0.0.{_FIRST_ADDRESS + self.number}", self.told, self._timeout)


class Observed(httpx2.AsyncBaseTransport):
    """A transport of HTTP that tells of each exchange how it went."""

    def __init__(self, lane: str, address: str, tell: Callable[[Reply], None], timeout: float) -> None:
        self._lane = lane
        self._inner = httpx2.AsyncHTTPTransport(local_address=address, trust_env=False)
        self._tell = tell
        self._timeout = timeout

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._inner.handle_async_request(request)
                content = await answer.aread()
        except (httpx2.TransportError, TimeoutError) as error:
            self._tell(Reply(self._lane, started, time.monotonic(), 0, error=type(error).__name__))
            if isinstance(error, TimeoutError):
                raise httpx2.ReadTimeout("no answer in time", request=request) from error
            raise
        await answer.aclose()
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        problem = _json(content) if media_type == MEDIA_TYPE else None
        self._tell(
            Reply(self._lane, started, time.monotonic(), answer.status_code, media_type,
                  answer.headers.get("retry-after"), problem)
        )  # fmt: skip
        return httpx2.Response(answer.status_code, headers=answer.headers, content=content, request=request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class Plain(Caller):
    """A form with one photo, which the gateway seals."""

    lane = "plain"

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401 -- those of `Caller`
        super().__init__(*arguments)
        self._http = httpx2.AsyncClient(base_url=self._url, transport=self._transport(), timeout=self._timeout)

    async def ask(self) -> None:
        photo, started = self._photo(), time.monotonic()
        content = await self._post("/classify", {"file": (photo.file_name, photo.content, "image/jpeg")})
        if content is not None:
            right = photo.is_answered_by(content.get("predictions", []))
            self._judge.answered(self.lane, time.monotonic() - started, right=right, said="another photo's class")
            self.version(content)

    def version(self, content: dict[str, Any]) -> None:
        """The release that answered."""

    async def _post(self, path: str, files: Any) -> dict[str, Any] | None:  # noqa: ANN401 -- the library's
        """The JSON of an answer; None if there is none."""
        try:
            answer = await self._http.post(path, files=files)
        except httpx2.TransportError:
            return None
        return _json(answer.content) if answer.status_code == 200 else None

    async def close(self) -> None:
        await self._http.aclose()


class Batch(Plain):
    """A form with several photos, each with an answer of its own."""

    lane = "batch"

    async def ask(self) -> None:
        photos, started = [self._photo() for _ in range(_BATCH)], time.monotonic()
        files = [("files", (photo.file_name, photo.content, "image/jpeg")) for photo in photos]
        content = await self._post("/classify/batch", files)
        if content is None:
            return
        results = content.get("results", [])
        if len(results) != len(photos):
            self._judge.answered(self.lane, 0, right=False, said=f"{len(results)} results")
        for photo, result in zip(photos, results, strict=False):
            if "problem" in result:
                self._judge.refused_inside(self.lane, result["problem"])
                continue
            right = photo.is_answered_by(result.get("predictions", []))
            self._judge.answered(self.lane, time.monotonic() - started, right=right, said="another photo's class")


class Sealed(Caller):
    """The Python client, which verifies the enclave under `policy` and seals the photo to it.

    `refusal_expected(start, end)` says whether `policy` may accept no enclave at some time between.
    """

    lane = "sealed"

    def __init__(
        self, *arguments: Any, policy: Policy, lane: str = "sealed",  # noqa: ANN401 -- those of `Caller`
        refusal_expected: Callable[[float, float], bool] = lambda _start, _end: False,
        version: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(*arguments)
        self.lane = lane
        self._refusal_expected = refusal_expected
        self._version = version
        self._client = AsyncClient(self._url, policy=policy, timeout=self._timeout, transport=self._transport())
        self._verify_first = False

    async def ask(self) -> None:
        photo, started = self._photo(), time.monotonic()
        verify_first, self._verify_first = self._verify_first, False
        try:
            if verify_first:
                await self._client.verify()
            answer = await self._client.classify(photo.content)
        except EvidenceError as error:
            if self._refusal_expected(started, time.monotonic()):
                self._judge.expected[self.lane] += 1
            else:
                self._judge.mistake("undocumented", f"{self.lane}: evidence refused, {error.code}")
            self._wait = 1.0
        except (GatewayProblem, TransportError):
            # The judge has seen the exchange. The enclave may be away for long: another one may be there.
            self._verify_first = True
        except Problem as error:
            self._judge.refused_inside(self.lane, error.body())
            self._wait = 1.0
        except BlindsightError as error:
            self._judge.mistake("undocumented", f"{self.lane}: {type(error).__name__} {error.code}")
        else:
            right = photo.is_answered_by(answer.predictions) and answer.model["version"] == (
                self._version or answer.model["version"]
            )
            self._judge.answered(self.lane, time.monotonic() - started, right=right, said="another photo's class")

    async def close(self) -> None:
        await self._client.close()


def _json(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
