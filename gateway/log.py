"""JSON logs: event, request and duration. Never content of requests or answers."""

from __future__ import annotations

import json
import logging
from typing import Final

from blindsight.loglines import LineHandler
from gateway.tracing import current

_EXTRAS: Final = (
    "request_id", "method", "route", "status", "seconds", "code", "step", "reason", "exception", "client", "url",
    "count", "revoked", "removed", "added", "sha256", "enclave", "not_after",
)  # fmt: skip
"""The only attributes of a log line besides its event."""
_SPEAKERS: Final = ("gateway", "blindsight", "uvicorn", "alembic")
"""Loggers whose messages never quote a request. Messages of other loggers are omitted: form parsers quote invalid
bytes."""


class JsonFormatter(logging.Formatter):
    """Formats one JSON object per line. Exceptions are logged by type only, because their messages can quote input."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "unit": "gateway",
            "event": record.getMessage() if _is_known(record.name) else f"a message of {record.name}",
        }
        if (trace_id := current.trace_id()) is not None:
            entry["trace_id"] = trace_id
        entry |= {name: getattr(record, name) for name in _EXTRAS if hasattr(record, name)}
        if (audit_entry := getattr(record, "audit_entry", None)) is not None:
            # Made by `gateway.audit.log` alone. The line has a time of its own.
            entry |= {"audit": True, **{name: value for name, value in audit_entry.items() if name != "time"}}
        if record.exc_info and record.exc_info[0]:
            entry["exception"] = record.exc_info[0].__name__
            traceback = record.exc_info[2]
            while traceback and traceback.tb_next:
                traceback = traceback.tb_next
            if traceback:
                entry["where"] = f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"
        return json.dumps(entry)


def _is_known(logger: str) -> bool:
    return logger.partition(".")[0] in _SPEAKERS


def configure() -> None:
    """Send every logger's records to standard error as JSON."""
    root = logging.getLogger()
    root.handlers = [LineHandler(JsonFormatter())]
    root.setLevel(logging.INFO)
    # No line contains source file, thread or process, and determining them is most of a line's cost (Python's Logging
    # HOWTO, "Optimization").
    logging._srcfile = None  # noqa: SLF001 -- as the HOWTO says
    logging.logThreads = logging.logMultiprocessing = logging.logProcesses = False
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    # It tells of each WebSocket with the caller's address and path.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    # Its lines hold the caller's address and query; the request middleware logs its own.
    logging.getLogger("uvicorn.access").disabled = True
    # A line for each malformed form, which its sender is told of.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
