"""`GET /attestation`: evidence for any caller, so that callers can verify the enclave themselves."""

from __future__ import annotations

import asyncio
import base64
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request

from blindsight import strict_json
from blindsight.attestation import envelope, verifier
from blindsight.errors import EvidenceError, PolicyError, TransportError
from blindsight.problems import Problem
from gateway.allowance import count
from gateway.api import openapi, parameters
from gateway.api.addressed import EnclaveId, addressed, caller_of, key_ids_are_taken
from gateway.api.shapes import Attestation
from gateway.services import services_of

if TYPE_CHECKING:
    from gateway.enclave.fleet import Fleet
    from gateway.enclave.member import Member

router = APIRouter(tags=["evidence"])

_HEX = "(?:[0-9a-fA-F]{2}){16,512}"
_BASE64URL = "(?:[A-Za-z0-9_-]{4}){6,170}|(?:[A-Za-z0-9_-]{4}){5,170}(?:[A-Za-z0-9_-]{2}(?:==)?|[A-Za-z0-9_-]{3}=?)"
"""16 to 512 bytes each. A text that matches both is read as hex."""


@router.get(
    "/attestation",
    response_model=Attestation,
    responses=openapi.problems(
        "invalid_parameter",
        "not_found",
        "rate_limited",
        "overloaded",
        "enclave_unavailable",
        "evidence_refused",
        "deadline_exceeded",
        "internal",
    ),
    operation_id="getAttestation",
    summary="The enclave's evidence",
)
async def attestation(
    request: Request,
    nonce: Annotated[
        str | None,
        Query(
            description="16 to 512 random bytes of yours, base64url or hex; the document repeats them and so is fresh.",
            pattern=f"^(?:{_HEX}|{_BASE64URL})$",
            examples=["bWFrZSB5b3VyIG93biByYW5kb20gYnl0ZXM"],
        ),
    ] = None,
    enclave: EnclaveId = None,
) -> dict[str, Any]:
    """A new attestation document with your nonce, and the key configurations and model manifest whose digests it
    contains.

    `reading` is the gateway's own summary and is not authenticated: `blindsight attest URL` verifies the document.
    """
    services = services_of(request)
    # A misspelt nonce would get evidence that repeats none.
    if len(parameters.in_query(request, ("nonce", "enclave")).values.get("nonce", ())) > 1:
        raise Problem("invalid_parameter", "nonce must be there once.")
    wanted = _nonce(nonce)
    await count(request, services.limiter, images=False)
    member = addressed(request, services.fleet, enclave)
    seconds = services.settings.deadline
    try:
        with services.evidence_places.place():
            async with asyncio.timeout(seconds):
                try:
                    fields = await _evidence(services.fleet, member, wanted)
                except TransportError:
                    if enclave is not None or services.fleet.is_single:
                        raise
                    # It may have ended a moment ago.
                    member = services.fleet.offered(caller_of(request), without=member)
                    fields = await _evidence(services.fleet, member, wanted)
            verified = verifier.verify(
                fields["document"], policy=services.fleet.policy, nonce=wanted, now=datetime.now(UTC)
            )
    except TimeoutError as error:
        raise Problem("deadline_exceeded", f"The enclave did not answer within {seconds:g} s.") from error
    except TransportError as error:
        # The error's text says where it is.
        raise Problem("enclave_unavailable", "The enclave cannot be reached; it may be restarting.") from error
    except (EvidenceError, PolicyError) as error:
        step = getattr(error, "step", None)
        raise Problem(
            "evidence_refused", f"{error} {error.next_step}", evidence_code=error.code, verification_step=step
        ) from error
    if not services.fleet.reaches(member, fields["key_configs"]):
        raise key_ids_are_taken()
    return {
        "format": envelope.FORMAT,
        "document": base64.b64encode(fields["document"]).decode(),
        "key_configs": base64.b64encode(fields["key_configs"]).decode(),
        "model": strict_json.loads(fields["model"]),
        "kind": verified.kind,
        "enclave_id": member.id,
        "enclaves": [each.id for each in services.fleet.members],
        "reading": verified.report.to_dict(),
    }


async def _evidence(fleet: Fleet, member: Member, nonce: bytes | None) -> dict[str, Any]:
    """The enclave's evidence, for keys to which messages will reach it if that can be. Raises `TransportError`."""
    fields = await member.enclave.evidence(nonce)
    if not fleet.reaches(member, fields["key_configs"]):
        await fleet.look_at(member)
        fields = await member.enclave.evidence(nonce)
    return fields


def _nonce(text: str | None) -> bytes | None:
    """Decode `text`, which matches one of the patterns."""
    if text is None:
        return None
    if re.fullmatch(_HEX, text):
        return bytes.fromhex(text)
    # The patterns matter: this decoder skips what it does not know, and another nonce than was meant would be repeated.
    return base64.urlsafe_b64decode(text.rstrip("=") + "==")
