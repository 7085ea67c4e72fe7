"""Callers of a Cape function, which is the classifier's bundle, deployed through the load balancer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509

from benchmarks.cape_bundle import Command
from benchmarks.stack import root_certificate
from blindsight.client.cape import Host, Trust
from blindsight.errors import BlindsightError
from campaigns.callers import Caller

if TYPE_CHECKING:
    from pathlib import Path

    from blindsight.client.cape import Connection
    from campaigns.photos import Photo
    from campaigns.site import Site

_TOLERANCE: Final = 1e-2
"""Of the scores that the function prints."""


@dataclass(frozen=True)
class Function:
    """A deployed function, and what its callers need."""

    path: str
    token: str
    trust: Trust


def deployed(site: Site, work: Path) -> Function:
    """Make an account and deploy the bundle. Raises `StackError`. Blocks."""
    root = root_certificate(site.enclaves[0].state)
    folder = work / "cape"
    folder.mkdir()
    cape = Command(folder, site.url, root)
    cape("signup", "campaign")
    function = json.loads(cape("deploy", str(site.bundle), "--name", "classifier", "--output", "json"))["function_id"]
    token = json.loads(cape("token", "create", "--name", "campaign", "--output", "json"))["token"]
    made = Function(f"/v1/run/{function}", token, Trust(x509.load_pem_x509_certificate(root.read_bytes())))
    _use_everywhere(made, site)
    return made


def _use_everywhere(function: Function, site: Site) -> None:
    """Run the function once at each enclave, which keeps a warm process of it from then on: part of the baseline.

    Sessions that are open at once at one gateway are each at another enclave.
    """
    host = Host(f"http://127.0.0.1:{site.gateways[0].port}")
    photo = site.plan.photos[0].read_bytes()
    with contextlib.ExitStack() as opened:
        for _ in site.enclaves:
            connection = opened.enter_context(host.connect(function.path, function.token, function.trust))
            connection.run(photo)


class Cape(Caller):
    """Runs the function on one photo after another, on one connection until that is lost.

    Cape's protocol has no problems with codes: an error is a mistake unless some part was under a fault since the
    connection was used last, for it may have been lost while nothing was asked.
    """

    lane = "cape"

    def __init__(self, *arguments: Any, function: Function) -> None:  # noqa: ANN401 -- those of `Caller`
        super().__init__(*arguments)
        self._function = function
        self._opened: contextlib.ExitStack | None = None
        self._connection: Connection | None = None
        self._used = 0.0
        """When the connection gave its last answer (`time.monotonic()`)."""

    async def ask(self) -> None:
        photo, started = self._photo(), time.monotonic()
        whole_at = self._used if self._connection is not None else started
        try:
            async with asyncio.timeout(self._timeout):
                output = await asyncio.to_thread(self._run, photo)
        except TimeoutError:
            self._judge.mistake("late", f"{self.lane}: {time.monotonic() - started:.1f} s")
            await self.close()
        except (BlindsightError, OSError) as error:
            self._judge.lost(self.lane, whole_at, time.monotonic(), f"{type(error).__name__}: {error}")
            self._wait = 1.0
            await self.close()
        else:
            self._used = time.monotonic()
            seconds = self._used - started
            self._judge.in_time(self.lane, seconds)
            self._judge.answered(self.lane, seconds, right=_is_right(photo, output), said="another photo's class")

    def _run(self, photo: Photo) -> bytes:
        if self._connection is None:
            self._opened = contextlib.ExitStack()
            host = Host(self._url)
            opening = host.connect(self._function.path, self._function.token, self._function.trust)
            self._connection = self._opened.enter_context(opening)
        return self._connection.run(photo.content).output

    async def close(self) -> None:
        opened, self._opened, self._connection = self._opened, None, None
        if opened is not None:
            with contextlib.suppress(BlindsightError, OSError):
                await asyncio.to_thread(opened.close)


def _is_right(photo: Photo, output: bytes) -> bool:
    scores: dict[str, float] = json.loads(output)
    best = max(scores, key=lambda label: scores[label])
    return best == photo.label and abs(scores[best] - photo.score) < _TOLERANCE
