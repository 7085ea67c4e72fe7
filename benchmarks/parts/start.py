"""Time from a start with a prepared state to the first answer: `blindsight up` and each peer in turns, each alone."""

from __future__ import annotations

import contextlib
import http.client
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks import environments, figures, http1, processes
from benchmarks.processes import START_SECONDS, StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from benchmarks.environments import Environment
    from benchmarks.plan import Plan

_POLL_SECONDS = 0.01


def measure(
    plan: Plan, ready: list[Environment], missing: dict[str, str], work: Path, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """One row for each contender and precision with `seconds` (`figures.Spread`).

    The first start, which builds and caches, is not counted. Raises `StackError` if our stack does not answer.
    """
    work.mkdir()
    photo = plan.photo.read_bytes()
    found: dict[tuple[str, str], list[float]] = {}
    for number in range(-1, plan.lengths.starts):
        for precision, model in plan.models.items():
            up = partial(_up, model=model, state=work / f"state-{precision}")
            _note(found, ("blindsight up", precision), first_answer(up, photo, work / "up.log"), number, say)
        for environment in ready if number < plan.lengths.peer_starts else ():
            serving = partial(_peer, environment=environment, model=plan.models[plan.baseline])
            log = work / f"{environment.peer.key}.log"
            name = f"{environment.peer.name}, start"
            if name in missing:
                continue
            try:
                seconds = first_answer(serving, photo, log, environments.settings(work))
            except StackError as error:
                missing[name] = str(error)
                say(f"missing: {name} {error}")
                continue
            _note(found, (environment.peer.name, plan.baseline), seconds, number, say)
    return [
        {"contender": contender, "precision": precision, "seconds": figures.spread(values)}
        for (contender, precision), values in found.items()
    ]


def _note(
    found: dict[tuple[str, str], list[float]],
    who: tuple[str, str],
    seconds: float,
    number: int,
    say: Callable[[str], None],
) -> None:
    """Record `seconds`, except those of the first start, which prepares the state."""
    if number >= 0:
        found.setdefault(who, []).append(seconds)
        say(f"start  {who[1]:6} {who[0]:20} {seconds:.2f} s to the first answer")


def _up(port: int, model: Path, state: Path) -> list[str]:
    ports = ["--port", str(port), "--tls-port", str(processes.free_port()), "--metrics-port", "0"]
    return [sys.executable, "-m", "blindsight_cli", "up", *ports, "--state", str(state), "--model", str(model)]


def _peer(port: int, environment: Environment, model: Path) -> list[str]:
    return environment.command(model, port)


def first_answer(
    command: Callable[[int], list[str]], photo: bytes, log: Path, settings: Mapping[str, str] | None = None
) -> float:
    """Seconds from the start of `command(port)` until it answers the photo with 200. Raises `StackError`."""
    port = processes.free_port()
    body, content_type = http1.form(photo)
    began = time.monotonic()
    with processes.started(command(port), log, settings) as process:
        while time.monotonic() < began + START_SECONDS and _runs(process):
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
                try:
                    connection.request("POST", "/classify", body, {"Content-Type": content_type})
                    if connection.getresponse().status == 200:
                        return time.monotonic() - began
                finally:
                    connection.close()
            time.sleep(_POLL_SECONDS)
    raise StackError(f"there was no first answer: {processes.last_line(log.read_text(errors='replace'))}")


def _runs(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
