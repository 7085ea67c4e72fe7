"""The tracer of a gateway with `BLINDSIGHT_TRACES`."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from prometheus_client import Counter

    from gateway.tracing.current import Tracer

_log = logging.getLogger(__name__)


def tracer(endpoint: str, ratio: float, *, routes: Collection[str], lost: Counter) -> Tracer:
    """A tracer that delivers to `endpoint`; `routes` are the templates that spans can name, `lost` counts spans that
    were not delivered.
    """
    with _without_variables():
        from gateway.tracing.collector import CollectorTracer  # noqa: PLC0415 -- with OpenTelemetry's SDK and requests

        return CollectorTracer(endpoint, ratio, routes, lost)


@contextlib.contextmanager
def _without_variables() -> Iterator[None]:
    """Hide the variables of OpenTelemetry's SDK (`OTEL_…`), which it reads while it is imported and made; log their
    names. They could add attributes and headers, load plugins, or send spans elsewhere.
    """
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("OTEL_")}
    if hidden:
        _log.warning("OpenTelemetry's variables are ignored", extra={"reason": ", ".join(sorted(hidden))})
    try:
        yield
    finally:
        os.environ.update(hidden)
