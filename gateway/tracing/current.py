"""The span of the current request. Without traces there is none, and all of this does nothing.

Nothing here imports OpenTelemetry: `collector.py` does, and only a gateway with the setting imports that.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Literal, Protocol

from blindsight.errors import BlindsightError
from gateway.tracing import allowed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.tracing.traceparent import RemoteParent

Kind = Literal["server", "client", "internal"]


class Span(Protocol):
    """A span that has begun. Times are nanoseconds since 1970."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        ...

    def set(self, key: str, value: allowed.Value) -> None:
        """Give it an attribute. One that `allowed` does not list is dropped at its end."""
        ...

    def rename(self, name: str) -> None: ...

    def fail(self, code: str, *, ours: bool = True) -> None:
        """Record the code of an error; `ours`: whether the span itself counts as failed."""
        ...

    def child(self, name: str, *, kind: Kind = "internal", begun: int | None = None) -> Span: ...

    def end(self, at: int | None = None) -> None: ...


class Tracer(Protocol):
    """Begins traces."""

    def begin(self, name: str, *, kind: Kind = "internal", parent: RemoteParent | None = None) -> Span:
        """The first span of this gateway in a trace, which is the caller's if there is a `parent`."""
        ...

    async def close(self) -> None:
        """Deliver what has ended, for a second at most."""
        ...


_current: Final[ContextVar[Span | None]] = ContextVar("span", default=None)


def trace_id() -> str | None:
    """The id of the current trace; None without one."""
    span = _current.get()
    return None if span is None else span.trace_id


@contextlib.contextmanager
def entered(span: Span) -> Iterator[Span]:
    """Make `span` the current one while the block runs. It ends with the block, with the code of what the block
    raises.
    """
    token = _current.set(span)
    try:
        yield span
    except BaseException as error:
        span.fail(code_of(error))
        raise
    finally:
        span.end()
        _current.reset(token)


@contextlib.contextmanager
def span(
    name: str,
    attributes: Mapping[str, allowed.Value] | None = None,
    *,
    kind: Kind = "internal",
    tracer: Tracer | None = None,
) -> Iterator[Span | None]:
    """A child of the current span while the block runs; without a current span a trace of its own by `tracer`."""
    current = _current.get()
    if current is not None:
        begun = current.child(name, kind=kind)
    elif tracer is not None:
        begun = tracer.begin(name, kind=kind)
    else:
        yield None
        return
    for key, value in (attributes or {}).items():
        begun.set(key, value)
    with entered(begun):
        yield begun


def past(name: str, seconds: float, *, ago: float = 0.0) -> None:
    """A child of the current span that took `seconds`, and ended `ago` seconds before now."""
    current = _current.get()
    if current is not None:
        end = time.time_ns() - _nanoseconds(ago)
        current.child(name, begun=end - _nanoseconds(seconds)).end(end)


def reported(parent: Span | None, stages: Mapping[str, float], *, within: float, ago: float) -> None:
    """Children of `parent`, which took `within` seconds and ended `ago` seconds before now, one after the other up to
    its end.

    `stages` are their durations in seconds as the enclave reports them. Where they lie in the exchange it does not
    say. What does not fit into the exchange is cut.
    """
    if parent is None:
        return
    end = time.time_ns() - _nanoseconds(ago)
    left = within
    for name, seconds in reversed(list(stages.items())):
        taken = min(max(seconds, 0.0), left)
        left -= taken
        begun = end - _nanoseconds(taken)
        parent.child(name, begun=begun).end(end)
        end = begun


def code_of(error: BaseException) -> str:
    """The code of an error: never its text, which can quote a request."""
    if isinstance(error, BlindsightError):
        return error.code
    if isinstance(error, asyncio.CancelledError):
        return allowed.CANCELLED
    return allowed.TIMEOUT if isinstance(error, TimeoutError) else allowed.INTERNAL


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
