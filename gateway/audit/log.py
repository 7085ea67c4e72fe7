"""Recording of administrative acts, in a file of their own or in the ordinary log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from blindsight.errors import BlindsightError
from gateway.audit.trail import Trail

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from prometheus_client import Counter
    from starlette.requests import HTTPConnection

_log = logging.getLogger(__name__)

DONE: Final = "done"

ACTS: Final = frozenset(
    {
        "gateway.started", "gateway.stopped", "policy.loaded", "certificate.loaded",
        "enclave.accepted", "enclave.refused", "enclave.access_refused",
        "token.added", "token.revoked",
        "account.created", "account.deleted",
        "function.deployed", "function.deleted",
        "account_token.registered", "account_token.revoked",
        "classifier_grant.presented",
        "device_login.approved", "device_login.denied",
    }
)  # fmt: skip
"""The acts that are recorded, besides `audit.interrupted` of the file itself."""


class AuditUnusable(Exception):
    """The audit log cannot be used; the message is one line for the operator."""


class Audit:
    """Records acts. Names of accounts, API tokens and settings are recorded, contents and secrets never."""

    def __init__(self, path: Path | None = None, lost: Counter | None = None) -> None:
        """`path`: the file; None: the ordinary log. `lost` counts entries that could not be written to the file.

        Raises `AuditUnusable`.
        """
        self._path = path
        self._lost = lost
        try:
            self._trail = Trail(path) if path is not None else None
        except OSError as error:
            raise AuditUnusable(f"BLINDSIGHT_AUDIT_LOG: {path} cannot be used: {error.strerror}.") from error
        # One thread, so that entries are written in their order, and no request waits for another one's disk.
        self._writer = ThreadPoolExecutor(1, "audit") if path is not None else None

    def note(
        self,
        act: str,
        *,
        actor: str | None = None,
        subject: str | None = None,
        outcome: str = DONE,
        request_id: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> Future[None]:
        """Record an act; the result is there when it is on the disk. `outcome` is `done` or the code of an error.

        Never raises for the disk: what cannot be written is logged and counted, and the act goes on.
        """
        assert act in ACTS, act  # noqa: S101 -- names of ours
        entry: dict[str, Any] = {"time": _now(), "act": act, "actor": actor, "subject": subject, "outcome": outcome}
        entry |= {"request_id": request_id} if request_id is not None else {}
        entry |= details or {}
        if self._writer is None:
            _log.info("audit", extra={"audit_entry": entry})
            done: Future[None] = Future()
            done.set_result(None)
            return done
        try:
            return self._writer.submit(self._write, entry)
        except RuntimeError:  # After the end.
            self._lose(entry, "the gateway has ended")
            done = Future()
            done.set_result(None)
            return done

    @contextlib.asynccontextmanager
    async def act(
        self,
        act: str,
        *,
        actor: str | None,
        subject: str | None = None,
        connection: HTTPConnection | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Record what the block does, with its outcome, before the caller gets an answer.

        The block can change `subject` and add details in the dictionary that it gets.
        """
        told: dict[str, Any] = {"subject": subject, **(details or {})}
        outcome = "interrupted"
        try:
            yield told
            outcome = DONE
        except BlindsightError as error:
            outcome = error.code
            raise
        except Exception:
            outcome = "internal"
            raise
        finally:
            subject = told.pop("subject")
            request_id = getattr(connection.state, "request_id", None) if connection is not None else None
            noted = self.note(act, actor=actor, subject=subject, outcome=outcome, request_id=request_id, details=told)
            if outcome != "interrupted":
                await asyncio.wrap_future(noted)

    def reopen(self) -> None:
        """Open the file anew, as after its rotation."""
        if self._writer is not None and self._trail is not None:
            self._writer.submit(self._trail.reopen)

    async def close(self) -> None:
        """Write what waits."""
        if self._writer is not None and self._trail is not None:
            await asyncio.wrap_future(self._writer.submit(self._trail.close))
            self._writer.shutdown(wait=False)

    def _write(self, entry: Mapping[str, Any]) -> None:
        assert self._trail is not None  # noqa: S101 -- there is a writer
        try:
            written = self._trail.append(entry, time=_now())
        except OSError as error:
            self._lose(entry, error.strerror or type(error).__name__)
        else:
            # The ordinary log, which is often kept elsewhere, has the digest: with it the file cannot be written anew.
            _log.info("audit entry written", extra={"sha256": written})

    def _lose(self, entry: Mapping[str, Any], reason: str) -> None:
        if self._lost is not None:
            self._lost.inc()
        _log.error("audit entry not written to its file", extra={"audit_entry": dict(entry), "reason": reason})


def _now() -> str:
    """RFC 3339, in UTC, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
