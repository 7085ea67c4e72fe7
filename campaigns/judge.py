"""What each caller saw, and whether it was right: an answer, a documented refusal, a cut connection, or a mistake."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from blindsight.problems import CATALOGUE, MEDIA_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from campaigns.plan import Plan

RETRYABLE: Final = frozenset(
    {"overloaded", "draining", "worker_lost", "enclave_unavailable", "evidence_refused", "deadline_exceeded"}
)
"""Problems that a caller may see during a fault; docs/from-an-app.md says that each may be sent again."""
_VERIFY_AGAIN: Final = "ohttp_key"
"""To a caller who seals: its client verifies, and seals anew."""
_CUT_STATUS: Final = frozenset({502, 504})
"""Of a load balancer whose gateway is gone."""
_KEPT_MISTAKES: Final = 50


@dataclass(frozen=True)
class Reply:
    """What came back for one HTTP request. `status` is 0 if the connection ended; times are `time.monotonic()`."""

    lane: str
    started: float
    ended: float
    status: int
    media_type: str = ""
    retry_after: str | None = None
    problem: Mapping[str, Any] | None = None
    error: str = ""


@dataclass
class Judge:
    """Counts outcomes of all callers, and keeps what must not have been.

    `gateway_fault(start, end)` says whether a gateway was killed or restarted in that time, `any_fault` whether any
    part had a fault.
    """

    plan: Plan
    gateway_fault: Callable[[float, float], bool]
    any_fault: Callable[[float, float], bool] = lambda _start, _end: False
    right: Counter[str] = field(default_factory=Counter)
    """By lane."""
    refused: Counter[str] = field(default_factory=Counter)
    """Documented refusals, by code."""
    refused_in: Counter[str] = field(default_factory=Counter)
    """The same by lane and code."""
    cut: Counter[str] = field(default_factory=Counter)
    """By lane: requests that were lost with a gateway."""
    expected: Counter[str] = field(default_factory=Counter)
    """Refusals by a caller's own policy that had to be, by lane."""
    mistakes: dict[str, list[str]] = field(default_factory=lambda: {"wrong answer": [], "undocumented": [], "late": []})
    latencies: list[float] = field(default_factory=list)
    """Seconds of right answers."""
    times: dict[str, list[float]] = field(default_factory=dict)
    """By lane, when right answers came (`time.monotonic()`)."""

    @property
    def longest(self) -> float:
        """Seconds that any request may take."""
        return self.plan.deadline + self.plan.margin

    def answered(self, lane: str, seconds: float, *, right: bool, said: str) -> None:
        """An answer came. `said` describes a wrong one."""
        if right:
            self.right[lane] += 1
            self.latencies.append(seconds)
            self.times.setdefault(lane, []).append(time.monotonic())
        else:
            self.mistake("wrong answer", f"{lane}: {said}")

    def replied(self, reply: Reply) -> None:
        """Judge one HTTP exchange in any lane; the content of a 200 is judged by `answered`."""
        self.in_time(reply.lane, reply.ended - reply.started, f"status {reply.status} {reply.error}")
        if reply.status == 200:
            return
        if reply.media_type == MEDIA_TYPE and reply.problem is not None:
            self._problem(reply, reply.problem)
        elif reply.status in {0, *_CUT_STATUS} and self.gateway_fault(reply.started, reply.ended):
            self.cut[reply.lane] += 1
        else:
            self.mistake("undocumented", f"{reply.lane}: status {reply.status} {reply.media_type} {reply.error}")

    def in_time(self, lane: str, seconds: float, what: str = "") -> None:
        """Whether a request took no longer than it may."""
        if seconds > self.longest:
            self.mistake("late", f"{lane}: {seconds:.1f} s, {what}")

    def lost(self, lane: str, started: float, ended: float, what: str) -> None:
        """An error of a protocol without problems, which must have a fault as its reason."""
        if self.any_fault(started, ended):
            self.cut[lane] += 1
        else:
            self.mistake("undocumented", f"{lane}: {what}")

    def refused_inside(self, lane: str, problem: Mapping[str, Any]) -> None:
        """A problem that came inside an answer with status 200: sealed, or as an element of a batch."""
        code = str(problem.get("code"))
        if code in RETRYABLE and problem.get("retryable") is True:
            self._refused(lane, code)
        else:
            self.mistake("undocumented", f"{lane}: {code} inside the answer")

    def _refused(self, lane: str, code: str) -> None:
        self.refused[code] += 1
        self.refused_in[f"{lane}: {code}"] += 1

    def mistake(self, kind: str, what: str) -> None:
        """Something that must not be."""
        kept = self.mistakes[kind]
        kept.append(what if len(kept) < _KEPT_MISTAKES else "")

    def longest_gap(self, lane: str, start: float, end: float) -> float:
        """Seconds in which no caller of `lane` got a right answer, at most, between `start` and `end`."""
        within = [start, *(at for at in self.times.get(lane, []) if start < at < end), end]
        return max((later - earlier for earlier, later in pairwise(within)), default=0.0)

    @property
    def passed(self) -> bool:
        return not any(self.mistakes.values())

    def _problem(self, reply: Reply, problem: Mapping[str, Any]) -> None:
        code = str(problem.get("code"))
        known = code in CATALOGUE and CATALOGUE[code].status == reply.status
        verify = code == _VERIFY_AGAIN and reply.lane.startswith("sealed")
        retry = code in RETRYABLE and problem.get("retryable") is True and reply.retry_after is not None
        if known and (verify or retry):
            self._refused(reply.lane, code)
        else:
            detail = f"status {reply.status} {code}, Retry-After {reply.retry_after}"
            self.mistake("undocumented", f"{reply.lane}: {detail}")


class Windows:
    """The times in which parts are under a fault, for questions about the past."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._over: list[tuple[str, float, float]] = []

    def begin(self, part: str) -> None:
        self._began[part] = time.monotonic()

    def end(self, part: str) -> None:
        self._over.append((part, self._began.pop(part), time.monotonic()))

    @property
    def now(self) -> frozenset[str]:
        """The parts under a fault."""
        return frozenset(self._began)

    def any_of(self, prefix: str, start: float, end: float) -> bool:
        """Whether a part whose name begins with `prefix` was under a fault at some time between `start` and `end`."""
        open_ones = any(part.startswith(prefix) and began <= end for part, began in self._began.items())
        return open_ones or any(
            part.startswith(prefix) and began <= end and over >= start for part, began, over in self._over
        )
