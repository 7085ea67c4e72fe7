"""The client without I/O, shared by the blocking and the asynchronous class.

The protocol is written as generators, around the one of `blindsight.exchange`. They yield a `Call` and receive its
`Reply`, or yield a `Renew` and receive the `Recipient` to use. The two client classes only execute these.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import rfc8785

from blindsight import exchange, receipts, strict_base64, strict_json
from blindsight.attestation import envelope
from blindsight.attestation.policy import Policy
from blindsight.attestation.recipient import verify_recipient
from blindsight.attestation.steps import numbered
from blindsight.attestation.verifier import CALLERS_STEP
from blindsight.client.answers import GATEWAYS_OWN, Classification, GatewayProblem
from blindsight.errors import EvidenceClaimsError, EvidenceError, SealingError, TransportError
from blindsight.problems import CATALOGUE, Problem
from blindsight.sealing import ohttp

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from blindsight.attestation.recipient import Recipient
    from blindsight.exchange import Question, Renew

DEFAULT_TIMEOUT: Final = 60.0
DEFAULT_EVIDENCE_AGE: Final = 120.0
"""Seconds for which the client relies on verified evidence; the gateway uses the same interval."""

_NONCE_BYTES = 32
_ENCLAVE_ID: Final = re.compile("[0-9a-f]{16}")
_MOST_ENCLAVES: Final = 64
"""Of one gateway that are asked for evidence."""
_JSON = "application/json"


@dataclass(frozen=True)
class Call:
    """A request to the gateway."""

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Reply:
    """The gateway's response, not authenticated."""

    status: int
    media_type: str
    content: bytes = field(repr=False)


class Core:
    """The verified state and all decisions. Threads can share it."""

    def __init__(
        self,
        *,
        policy: Policy | Path,
        api_token: str | None,
        max_evidence_age: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises `PolicyError`, and `TypeError` if `policy` is not a policy: no value accepts every enclave."""
        self._policy = Policy.load(policy) if isinstance(policy, Path) else policy
        if not isinstance(self._policy, Policy):
            raise TypeError("policy must be a Policy or the path of a policy file")
        self._authorization = {"Authorization": f"Bearer {api_token}"} if api_token else {}
        self._max_age = max_evidence_age
        self._clock = clock
        self._accepted: tuple[Recipient, float] | None = None

    @property
    def recipient(self) -> Recipient | None:
        """The last verified enclave, if its evidence is recent enough and the policy has not expired; otherwise
        None.
        """
        accepted = self._accepted
        if accepted is None or self._clock() - accepted[1] > self._max_age:
            return None
        until = accepted[0].verified.until
        return accepted[0] if until is None or datetime.now(UTC) < until else None

    def renewed(self, renew: Renew) -> Recipient | None:
        """The enclave that another call has verified since this call requested `renew`."""
        recipient = self.recipient
        return None if recipient is renew.outdated else recipient

    def verify(self, nonce: bytes | None = None) -> Generator[Call | Renew, Any, Recipient]:
        """Fetch evidence and verify it. Discards the previous result. `nonce` is random unless given.

        A gateway may have several enclaves, while a release is rolled out also of two measurements. If the policy does
        not accept the one that the gateway offers, the others that it lists are asked for.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES) if nonce is None else nonce
        self._accepted = None
        path, started = f"/attestation?nonce={nonce.hex()}", self._clock()
        fields = _evidence((yield Call("GET", path, {"Accept": _JSON})))
        try:
            return self._accept(fields, nonce, started)
        except EvidenceError as refusal:
            for enclave_id in _other_enclaves(fields):
                started = self._clock()
                reply: Reply = yield Call("GET", f"{path}&enclave={enclave_id}", {"Accept": _JSON})
                with contextlib.suppress(EvidenceError, GatewayProblem):
                    return self._accept(_evidence(reply), nonce, started)
            raise refusal from None

    def _accept(self, fields: dict[str, Any], nonce: bytes, started: float) -> Recipient:
        """Verify the evidence, and use its enclave from now on. Raises `EvidenceError`, `PolicyError`,
        `TransportError`.
        """
        with numbered(1):
            envelope.check_format(fields)
        document, key_configs = _decoded(fields, "document"), _decoded(fields, "key_configs")
        manifest = _canonical(fields.get("model"))
        recipient = verify_recipient(
            document, key_configs, manifest, policy=self._policy, nonce=nonce, now=datetime.now(UTC)
        )
        self._accepted = recipient, started
        return recipient

    def classify(self, question: Question) -> Generator[Call | Renew, Any, Classification]:
        """Encrypt one image and decrypt its answer. Raises the exceptions that `blindsight.client` lists."""
        steps = exchange.converse(question, self.recipient, padded=True)
        step = next(steps)
        while True:
            try:
                if isinstance(step, exchange.Ask):
                    sealed = _sealed_answer((yield self._call(step)))
                    step = steps.send(sealed)
                else:
                    step = steps.send((yield step))
            except exchange.KeysChangedError as error:
                step = steps.throw(error)
            except StopIteration as end:
                return _classification(end.value, question)

    def _call(self, ask: exchange.Ask) -> Call:
        headers = {"Content-Type": ohttp.REQUEST_MEDIA_TYPE, "Accept": ohttp.RESPONSE_MEDIA_TYPE}
        return Call("POST", "/classify", headers | self._authorization, ask.sealed)


def _sealed_answer(reply: Reply) -> bytes:
    if reply.status != 200:
        raise _refusal(reply)
    if reply.media_type != ohttp.RESPONSE_MEDIA_TYPE:
        raise SealingError("not_sealed", "The gateway answered in the enclave's place, unsealed.")
    return reply.content


def _classification(opened: exchange.Opened, question: Question) -> Classification:
    try:
        if opened.status != 200:
            raise Problem.parse(opened.content)
        archive = _checked_archive(opened.content, question, opened.recipient) if question.with_receipt else None
        return Classification.parse(opened.content, opened.recipient, archive)
    except (KeyError, ValueError) as error:
        raise unexpected("The enclave's answer is of a form that is not known here.") from error


def _checked_archive(content: dict[str, Any], question: Question, recipient: Recipient) -> dict[str, Any]:
    """The answer with its evidence, after verifying the receipt. Raises `ReceiptError`."""
    receipt = receipts.check(
        content.get("receipt"),
        content,
        document=recipient.document,
        claims=recipient.claims,
        manifest=recipient.manifest,
    )
    receipts.check_image(receipt, question.image)
    receipts.check_time(receipt, recipient.verified.document.timestamp)
    return receipts.archive(content, document=recipient.document, manifest=recipient.manifest)


def _refusal(reply: Reply) -> Exception:
    """The exception for an unsealed answer that is not a success. Nothing in the answer is authenticated."""
    if reply.media_type == "application/problem+json":
        content = _json_object(reply.content)
        if reply.status == 422 and content.get("type") == CATALOGUE["ohttp_key"].type:
            return exchange.KeysChangedError()
        code = str(content.get("code"))  # JSON of any type; a list has no hash.
        if code in GATEWAYS_OWN:
            return GatewayProblem.parse(content)
        if code in CATALOGUE:
            return SealingError("not_sealed", "The gateway refused in the enclave's place, unsealed.")
    if reply.status in {502, 503, 504}:
        return TransportError("unavailable", f"The gateway answered with status {reply.status}.")
    return unexpected(f"The gateway answered with status {reply.status}.")


def _evidence(reply: Reply) -> dict[str, Any]:
    """The members of an answer with evidence. Raises the exception for any other answer."""
    if reply.status != 200:
        raise _refusal(reply)
    return _json_object(reply.content)


def _other_enclaves(fields: dict[str, Any]) -> list[str]:
    """The ids of the gateway's other enclaves, which are not authenticated; none from a gateway that lists none."""
    listed = fields.get("enclaves")
    ids = [each for each in listed if isinstance(each, str)] if isinstance(listed, list) else []
    return [each for each in ids if _ENCLAVE_ID.fullmatch(each) and each != fields.get("enclave_id")][:_MOST_ENCLAVES]


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        value = strict_json.loads(content)
    except ValueError as error:
        raise unexpected("The answer is not JSON.") from error
    if not isinstance(value, dict):
        raise unexpected("The answer is not a JSON object.")
    return value


def _decoded(fields: dict[str, Any], name: str) -> bytes:
    try:
        return strict_base64.decode(fields[name])
    except (KeyError, TypeError, ValueError) as error:
        raise unexpected(f"The gateway's evidence has no usable {name!r}.") from error


def _canonical(manifest: object) -> bytes:
    with numbered(CALLERS_STEP):
        try:
            return rfc8785.dumps(manifest)  # type: ignore[arg-type]  # whatever JSON holds
        except (ValueError, RecursionError) as error:
            # No canonical form, so no digest: it cannot be what an enclave attests.
            raise EvidenceClaimsError("model_mismatch", "The model manifest is not the attested one.") from error


def unexpected(message: str) -> TransportError:
    return TransportError("unexpected_answer", message)
