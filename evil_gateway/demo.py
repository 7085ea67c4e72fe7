"""The demonstration: plays every trick on the real Python client, and shows how the client refuses it."""

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
"""Photos per trick: some tricks replay or change something that an earlier request returned."""

# A grey square of 8 x 8 pixels, as PNG.
PHOTO = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR4nGNsYIAAJgaKGAAmCACQXTClHgAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True)
class Outcome:
    """Result of a trick: the code of the refusal and the verification step, if any; None if the client accepted it."""

    trick: Trick
    code: str | None
    step: int | None = None

    @property
    def as_expected(self) -> bool:
        """Whether the client refused the trick with its code."""
        return self.code == self.trick.code


@contextlib.contextmanager
def serving(evil: EvilGateway, port: int = 0) -> Iterator[str]:
    """Serve the hostile gateway on loopback in a thread, and yield its URL. Port 0 takes a free one.

    Raises `OSError` if the port is in use.
    """
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
    """Classify `photo` several times through the hostile gateway at `url`, which plays `trick`.

    Ends at the first answer that the client accepts. Otherwise the outcome has the last refusal.
    """
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
    """Play the tricks that apply to the Python client, one after the other.

    Raises `NothingToShowError` if the client refuses the honest gateway, because it would then refuse every trick for
    that reason.
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
    """Print a table of tricks and refusals to standard output."""
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
