"""The verified enclave, verified again in the background."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from blindsight.attestation import verifier
from blindsight.attestation.recipient import Recipient, verify_recipient
from blindsight.errors import BlindsightError, EvidenceError, PolicyError, SealingError, TransportError
from blindsight.problems import Problem
from blindsight.sealing import keyconfig
from blindsight.wire import frames, version
from blindsight.wire.protocol import MAX_KEY_IDS, FrameKind
from gateway.audit import facts
from gateway.audit.log import DONE
from gateway.tracing import allowed, current

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from blindsight.attestation.policy import Policy
    from gateway.audit.log import Audit
    from gateway.enclave.connection import EnclaveConnections
    from gateway.metrics import EnclaveMetrics
    from gateway.tracing.current import Tracer

_log = logging.getLogger(__name__)

_NONCE_BYTES = 32
_OF_A_RELEASE = ("0", "1", "2", "16")
"""The PCRs that measure image, kernel, application and function; others differ between instances (PCR 4) or roles."""
_ROOT = re.compile(r"[0-9a-f]{32}")
_RETRY_SECONDS = 0.25
"""Between attempts to connect to an unreachable enclave, so that a restart costs callers little time."""
_ANSWER_SECONDS = 5.0
"""Timeout for evidence or a status, which the enclave can produce quickly."""


@dataclass(frozen=True)
class Attested(Recipient):
    """The verified enclave, and the time of its verification."""

    at: float
    """`time.monotonic()` of the verification."""

    def is_like(self, other: Attested) -> bool:
        """Whether both are of one release: the same code and the same model, on whichever instance."""
        return self._release == other._release

    @property
    def instance(self) -> tuple[str, str]:
        """Which enclave it is, whatever its address: the kind of its evidence, and the module id in it."""
        return self.verified.kind, self.verified.document.module_id

    @property
    def _release(self) -> tuple[str, str, list[str | None]]:
        measured = [self.measurements.get(index) for index in _OF_A_RELEASE]
        return self.function_checksum, self.model_digest, measured

    @property
    def has_ended(self) -> bool:
        """Whether the policy, or the release, has expired since."""
        return self.verified.until is not None and datetime.now(UTC) >= self.verified.until


class AttestedEnclave:
    """Verifies before the first request, at every key change and periodically; without accepted evidence the gateway
    sends nothing.
    """

    def __init__(
        self,
        connections: EnclaveConnections,
        policy: Policy,
        metrics: EnclaveMetrics,
        *,
        attest_interval: float,
        status_interval: float,
        member_id: str = "",
        tracer: Tracer | None = None,
        audit: Audit | None = None,
    ) -> None:
        """`tracer` begins a trace for each verification in the background; `audit` is told of enclaves that are
        accepted and refused. `member_id` names the enclave in both, and in the log.
        """
        self._audit = audit
        self._connections = connections
        self._member_id = member_id
        self._named = {"enclave": member_id}
        """For the log."""
        self._tracer = tracer
        self.policy = policy
        self._metrics = metrics
        metrics.accepts_until(policy.expires)  # Until it is known of which release the enclave is.
        self._attest_interval = attest_interval
        self._status_interval = status_interval
        self._attested: Attested | None = None
        self._warm = False
        self.workers = 0
        """Its live workers, as it says."""
        self.confinement: dict[str, Any] | None = None
        """What keeps untrusted code in the enclave to itself, as it says; None if it has not said."""
        self.retired_key_ids: frozenset[int] = frozenset()
        """The ids of replaced keys that it still has, as it says."""
        self.account_root: str | None = None
        """Whose account records it opens, as it says; None if it has not said, or hosts no accounts."""
        self._refusal: Problem = Problem("enclave_unavailable", "The enclave has not been reached yet.")
        self._unreachable_since: float | None = None
        self._attesting = asyncio.Lock()

    @property
    def current(self) -> Attested:
        """The accepted enclave. Raises `Problem` (`enclave_unavailable`, `evidence_refused`)."""
        if self._attested is None:
            raise self._refusal
        return self._attested

    @property
    def known(self) -> Attested | None:
        return self._attested

    @property
    def ready(self) -> bool:
        return self._attested is not None and self._warm

    @property
    def unreachable_seconds(self) -> float:
        """For how long it has not answered; 0 if it answered last, be it with a refusal."""
        return 0.0 if self._unreachable_since is None else time.monotonic() - self._unreachable_since

    @property
    def refusal(self) -> Problem:
        """The reason why the enclave is not ready; None if it is."""
        if self._attested is None:
            return self._refusal
        return Problem("enclave_unavailable", "The enclave is warming up.")

    def use(self, policy: Policy) -> None:
        """Put `policy` in force, and judge the evidence that is known by it, without waiting for the enclave.

        An enclave that it refuses is not used from here on. One that was refused before is asked within a second.
        """
        self.policy = policy
        known = self._attested
        if known is None:
            self._metrics.accepts_until(policy.expires)
            return
        try:
            # Its nonce was compared when it came, and is not a second time.
            verified = verifier.verify(known.document, policy=policy, nonce=None, now=datetime.now(UTC))
        except (EvidenceError, PolicyError) as error:
            self._refuse(error, known.document)
        else:
            self._attested = replace(known, verified=verified)
            self._metrics.accepts_until(verified.until)

    async def watch(self, taken: Callable[[], Collection[int]] = tuple) -> None:
        """Verify evidence periodically and request the status, until cancelled.

        `taken` returns the key ids of other enclaves.
        """
        while True:
            try:
                known = self._attested
                if known is None or known.has_ended or time.monotonic() - known.at > self._attest_interval:
                    await self.attest()
                await self.look(taken())
                await asyncio.sleep(self._status_interval if self._warm else _RETRY_SECONDS)
            except BlindsightError:
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception:  # noqa: BLE001 -- whatever it is
                # A mistake of ours must show as "not ready", not freeze the last answer.
                _log.exception("watching the enclave failed", extra=self._named)
                self._lose()
                await asyncio.sleep(self._status_interval)

    async def attest(self, *, instead_of: Attested | None = None) -> Attested:
        """Fetch evidence with a new nonce and verify it. With `instead_of`, only if that is still the current enclave.

        Raises `EvidenceError`, `PolicyError`, `SealingError` or `TransportError`; the enclave is not used then.
        """
        async with self._attesting:
            known = self._attested
            if instead_of is not None and known is not None and known.document != instead_of.document:
                return known
            nonce = secrets.token_bytes(_NONCE_BYTES)
            try:
                with current.span("verify evidence", {allowed.ENCLAVE: self._member_id}, tracer=self._tracer):
                    fields = await self.evidence(nonce)
                    attested = self._verify(fields, nonce)
            except (EvidenceError, PolicyError, SealingError) as error:
                self._refuse(error, fields["document"])
                raise
            except TransportError as error:
                self._lose(error)
                raise
            before = self._attested
            if before is None:
                _log.info("evidence accepted", extra=self._named)
            if before is None or (before.measurements, before.key_configs) != (
                attested.measurements,
                attested.key_configs,
            ):
                self._note("enclave.accepted", **facts.evidence(attested.document, attested.measurements))
            if before is None or before.instance != attested.instance:
                self.retired_key_ids = frozenset()
            self._attested = attested
            self._metrics.verified.set_to_current_time()
            self._metrics.accepts_until(attested.verified.until)
            return attested

    async def evidence(self, nonce: bytes | None) -> dict[str, Any]:
        """The enclave's evidence, unverified. Raises `TransportError`."""
        question = {"nonce": nonce, version.MEMBER: version.VERSION}
        kind, payload = await self._ask(FrameKind.EVIDENCE_REQUEST, frames.pack(question))
        if kind is FrameKind.REFUSAL and frames.unpack(payload).get("code") == "unsupported_protocol":
            raise version.unsupported()
        if kind is not FrameKind.EVIDENCE:
            raise TransportError("unexpected_answer", "The enclave did not answer with evidence.")
        fields = frames.unpack(payload)
        version.check(fields)
        if not all(isinstance(fields.get(name), bytes) for name in ("document", "key_configs", "model")):
            raise TransportError("unexpected_answer", "The enclave's evidence is incomplete.")
        return fields

    def _verify(self, fields: dict[str, Any], nonce: bytes) -> Attested:
        recipient = verify_recipient(
            fields["document"],
            fields["key_configs"],
            fields["model"],
            policy=self.policy,
            nonce=nonce,
            now=datetime.now(UTC),
        )
        return Attested(**vars(recipient), at=time.monotonic())

    async def look(self, taken: Collection[int] = ()) -> None:
        """Request the status, and new evidence if the keys have changed. Raises as `attest`.

        The enclave is not to use the key ids `taken`: it replaces keys that have one.
        """
        question = b""
        if self._attested is not None:
            # Only of these keys it is known that others have their ids.
            of = keyconfig.digest(self._attested.key_configs)
            question = frames.pack({"key_configs_sha256": of, "taken_key_ids": bytes(sorted(taken))})
        try:
            kind, payload = await self._ask(FrameKind.STATUS_REQUEST, question)
            status = frames.unpack(payload) if kind is FrameKind.STATUS else {}
            counts = {name: _count(status, name) for name in ("workers", "queued", "restarts")}
        except TransportError as error:
            self._lose(error)
            raise
        known = self._attested
        if known and status.get("key_configs_sha256") != keyconfig.digest(known.key_configs):
            await self.attest(instead_of=known)
        if bool(status.get("ready")) != self._warm:
            _log.info("enclave warm" if not self._warm else "enclave not ready", extra=self._named)
        self._warm = bool(status.get("ready"))
        self.confinement = _confinement(status)
        self.account_root = _account_root(status)
        self.retired_key_ids = _retired_key_ids(status)
        self.workers = counts["workers"]
        self._metrics.up.set(self.ready)
        self._metrics.workers.set(counts["workers"])
        self._metrics.queued.set(counts["queued"])
        self._metrics.restarts.set(counts["restarts"])

    async def _ask(self, kind: FrameKind, payload: bytes = b"") -> tuple[FrameKind, bytes]:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                answer = await self._connections.exchange(kind, payload)
        except TimeoutError as error:
            raise TransportError("unreachable", "The enclave does not answer.") from error
        self._unreachable_since = None
        return answer

    def _note(self, act: str, *, outcome: str = DONE, **details: Any) -> None:  # noqa: ANN401 -- of JSON
        if self._audit is not None:
            self._audit.note(act, subject=self._member_id, outcome=outcome, details=details)

    def _refuse(self, error: EvidenceError | PolicyError | SealingError, document: bytes) -> None:
        step = getattr(error, "step", None)
        if self._refusal.extra.get("evidence_code") != error.code or self._attested is not None:
            _log.error("evidence refused", extra={**self._named, "code": error.code, "step": step})
            self._note("enclave.refused", outcome=error.code, step=step, **facts.refused_evidence(document))
        self._metrics.refused(error.code)
        self._refusal = Problem(
            "evidence_refused", f"{error} {error.next_step}", evidence_code=error.code, verification_step=step
        )
        self._drop()

    def _lose(self, error: TransportError | None = None) -> None:
        if self._attested is not None:
            _log.warning("enclave lost", extra=self._named)
        refusal = Problem("enclave_unavailable", "The enclave cannot be reached; it may be restarting.")
        if error is not None and error.code == "access_refused":
            refusal = Problem(
                "enclave_unavailable", "The enclave does not admit this gateway; its operator is told why."
            )
            if self._refusal.detail != refusal.detail:
                _log.error(
                    "enclave does not admit this gateway",
                    extra={**self._named, "reason": f"{error} {error.next_step}"},
                )
                self._note("enclave.access_refused", outcome=error.code)
        elif error is not None and error.code == "unsupported_protocol":
            refusal = Problem("enclave_unavailable", f"{error} {error.next_step}")
            if self._refusal.detail != refusal.detail:
                reason = f"{error} {error.next_step}"
                _log.error("enclave speaks another protocol", extra={**self._named, "reason": reason})
        elif error is not None and error.code == "unreachable" and self._refusal.detail != refusal.detail:
            # Callers are not told where the enclave is; its operator has to know where it was looked for.
            _log.warning("enclave cannot be reached", extra={**self._named, "reason": str(error)})
        if error is None or error.code != "unreachable":
            self._unreachable_since = None
        elif self._unreachable_since is None:
            self._unreachable_since = time.monotonic()
        self._refusal = refusal
        self._drop()

    def _drop(self) -> None:
        self._attested = None
        self._warm = False
        self.confinement = None
        self.account_root = None
        self.retired_key_ids = frozenset()
        self._metrics.up.set(0)

    def forget(self) -> None:
        """It belongs to the fleet no longer: its metrics end."""
        self._metrics.forget()


def _count(status: dict[str, Any], name: str) -> int:
    value = status.get(name, 0)
    if type(value) is not int or value < 0:
        raise TransportError("unexpected_answer", "The enclave's status has another form than the protocol says.")
    return value


def _retired_key_ids(status: dict[str, Any]) -> frozenset[int]:
    value = status.get("retired_key_ids")
    return frozenset(value[:MAX_KEY_IDS]) if isinstance(value, bytes) else frozenset()


def _account_root(status: dict[str, Any]) -> str | None:
    value = status.get("account_root")
    return value if isinstance(value, str) and _ROOT.fullmatch(value) else None


def _confinement(status: dict[str, Any]) -> dict[str, Any] | None:
    """The confinement in a status, which is not authenticated; only members with the right form."""
    match status.get("confinement"):
        case {
            "layers": list() as layers,
            "landlock_abi": int() as abi,
            "absent": dict() as absent,
            "gaps": list() as gaps,
        } if all(isinstance(text, str) for text in (*layers, *gaps, *absent, *absent.values())):
            return {"layers": layers, "landlock_abi": abi, "absent": absent, "gaps": gaps}
    return None
