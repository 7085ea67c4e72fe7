"""Overload: increasing numbers of callers that, after a refusal, wait as long as `Retry-After` says, or do not.

Also a few callers that wait beside many that do not, and many that connect anew for each request.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks import figures, processes
from benchmarks.environments import PEERS
from benchmarks.load import IGNORE, WAIT
from benchmarks.parts import attempt
from benchmarks.parts.throughput import described
from benchmarks.processes import StackError
from gateway.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.plan import Plan
    from benchmarks.stack import Service
    from benchmarks.turn import Contender

_FEW = 4
_CALM_SECONDS = 60.0

Kind = tuple[str, int, list[dict[str, Any]]]
"""Behaviour and number of a turn's callers, and the crowds (`load.turn`) that they form."""


def kinds(counts: tuple[int, ...]) -> list[Kind]:
    """The turns of one round; `counts` are numbers of callers in ascending order."""
    most = counts[-1]
    wait = [("wait", count, [{"callers": count, "refusals": WAIT}]) for count in counts]
    ignore = [("ask again at once", count, [{"callers": count, "refusals": IGNORE}]) for count in counts[-1:]]
    anew = [("ask again at once, on a new connection", most, [{"callers": most, "refusals": IGNORE, "close": True}])]
    beside = [{"callers": _FEW, "refusals": WAIT}, {"callers": most, "refusals": IGNORE}]
    return [*wait, *ignore, *anew, (f"{_FEW} wait, the others ask again at once", most + _FEW, beside)]


def measure(
    plan: Plan, contenders: list[Contender], missing: dict[str, str], say: Callable[[str], None]
) -> dict[str, Any]:
    """`places` of the gateway, and `rows` (see there). Raises `StackError`."""
    lengths = plan.lengths
    ours = next(each for each in contenders if each.kind == figures.OURS)
    plain = [each for each in contenders if each.name == PEERS["fastapi"].name][:1]
    order: list[tuple[Contender, Kind]] = [(ours, kind) for kind in kinds(lengths.storm_callers)]
    most = lengths.storm_callers[-1]
    order += [(each, ("wait", most, [{"callers": most, "refusals": WAIT}])) for each in plain]
    turns: list[dict[str, Any]] = []
    for number in range(lengths.storm_rounds):
        for contender, (behaviour, callers, crowds) in order if number % 2 == 0 else reversed(order):
            record = attempt.take(
                contender, missing, say, plan.photo, part="overload",
                warm_up=lengths.storm_warm_up, seconds=lengths.storm_seconds, crowds=crowds,
            )  # fmt: skip
            if record is None:
                continue
            turns.append(described(contender, number, 0, callers) | {"behaviour": behaviour} | record)
            say(
                f"round {number + 1}/{lengths.storm_rounds}  {contender.name:14} {callers:3} callers"
                f" {figures.throughput(record):7.2f} images/s, {record['refused']} refused: {behaviour}"
            )
            if contender.service is not None:
                _let_end(contender.service)
    return {"places": Settings.model_fields["max_in_flight"].default, "rows": rows(turns, ours.name)}


def rows(turns: list[dict[str, Any]], ours: str) -> list[dict[str, Any]]:
    """One row for each contender, behaviour and number of callers.

    `of_most` is the throughput relative to the greatest of `ours` in the same round, with any crowd.
    """
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    most: dict[int, float] = {}
    for turn in turns:
        groups.setdefault((turn["contender"], turn["behaviour"], turn["callers"]), []).append(turn)
        if turn["contender"] == ours:
            most[turn["round"]] = max(most.get(turn["round"], 0.0), figures.throughput(turn))
    found = []
    for (contender, behaviour, callers), group in sorted(
        groups.items(), key=lambda item: (item[0][0] != ours, item[0][2])
    ):
        polite = [turn["crowds"][0]["images"] / turn["seconds"] for turn in group if "crowds" in turn]
        found.append(
            {
                "contender": contender,
                "behaviour": behaviour,
                "callers": callers,
                "of_most": figures.spread([figures.throughput(turn) / most[turn["round"]] for turn in group]),
                "refused_per_second": figures.spread([turn["refused"] / turn["seconds"] for turn in group]),
                "other_per_second": figures.spread([turn["other"] / turn["seconds"] for turn in group]),
                "to_those_who_wait": figures.spread(polite) if polite else None,
                **figures.timings(group),
            }
        )
    return found


def _let_end(service: Service) -> None:
    """Wait until no request of an earlier turn is in progress, if the service has metrics. Raises `StackError`."""
    if service.metrics_port is None:
        return
    with service.awake():
        end = time.monotonic() + _CALM_SECONDS
        while time.monotonic() < end:
            with processes.DIRECT.open(f"http://127.0.0.1:{service.metrics_port}/metrics") as response:
                if b"\nrequests_in_progress 0.0" in response.read():
                    return
            time.sleep(0.1)
    raise StackError("requests of an earlier turn do not end")
