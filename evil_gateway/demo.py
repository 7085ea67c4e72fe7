"""The demonstration: every trick played on the real client, and what came of it."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn
from rich.console import Console
from rich.table import Table

from blindsight import Client
from blindsight.errors import BlindsightError, EvidenceError
from blindsight.problems import Problem
from evil_gateway import honest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blindsight.attestation import Policy
    from evil_gateway.app import EvilGateway
    from evil_gateway.stage import Trick

_START_SECONDS = 10.0
_QUESTIONS = 2
"""Photos per trick: some tricks need a first one to play with."""

# A grey square of 8 x 8 pixels, as PNG.
PHOTO = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR4nGNsYIAAJgaKGAAmCACQXTClHgAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True)
class Outcome:
    """How a trick ended: the code and step of the refusal, or None if the client believed what it got."""

    trick: Trick
    code: str | None
    step: int | None = None

    @property
    def as_expected(self) -> bool:
        return self.code == self.trick.code


@contextlib.contextmanager
def serving(evil: EvilGateway, port: int = 0) -> Iterator[str]:
    """The evil gateway on loopback, in a thread of its own; gives its URL."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        # With httptools, the body of a request that asks for HTTP/2 would be lost.
        config = uvicorn.Config(evil.app, log_level="critical", access_log=False, http="h11", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        end = time.monotonic() + _START_SECONDS
        while not server.started and thread.is_alive() and time.monotonic() < end:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(_START_SECONDS)


def meet(trick: Trick, url: str, policy: Policy, photo: bytes) -> Outcome:
    """Use the real client on the evil gateway at `url`, which plays `trick`; one answer believed is one too many."""
    with Client(url, policy=policy) as client:
        code, step = None, None
        for _ in range(_QUESTIONS):
            try:
                client.classify(photo, with_receipt=True)
                return Outcome(trick, None)
            except EvidenceError as error:
                code, step = error.code, error.step
            except BlindsightError as error:
                code, step = error.code, None
            except Problem as problem:
                code, step = problem.kind.code, None
        return Outcome(trick, code, step)


def run(evil: EvilGateway, tricks: Iterable[Trick], policy: Policy, photo: bytes) -> list[Outcome]:
    """Play the tricks that can be played on the Python client, one after the other.

    Raises `NothingToShowError` where the client does not even believe the honest gateway: then it would refuse every
    trick, and for none of their reasons.
    """
    outcomes = []
    with serving(evil) as url:
        evil.play(None)
        honest.require_believed(url, policy, photo)
        for trick in tricks:
            if trick.code is not None:
                evil.play(trick)
                outcomes.append(meet(trick, url, policy, photo))
    return outcomes


def show(outcomes: list[Outcome]) -> None:
    """A table on standard output."""
    table = Table(box=None, pad_edge=False)
    for column in ("trick", "the gateway", "the client"):
        table.add_column(column)
    for outcome in outcomes:
        step = f" at step {outcome.step}" if outcome.step else ""
        verdict = f"refuses{step}: {outcome.code}" if outcome.code else "BELIEVES IT"
        style = None if outcome.as_expected else "bold red"
        table.add_row(outcome.trick.name, outcome.trick.story, verdict, style=style)
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    console.print(table)
    refused = sum(outcome.as_expected for outcome in outcomes)
    console.print(f"{refused} of {len(outcomes)} tricks were refused, each for its reason.")
