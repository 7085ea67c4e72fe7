"""Tricks that need the key of a *simulated* root. With real hardware, no operator has such a key."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from blindsight.receipts import Receipt, ReceiptKey, output_digest
from blindsight.sealing import bhttp, keyconfig, ohttp, padding
from enclave_runtime.keys import LaneKeys
from evil_gateway.forger import Payload, claims_of, payload_of, resigned
from evil_gateway.stage import Ask, Reply, Trick

if TYPE_CHECKING:
    from collections.abc import Callable

    from evil_gateway.stage import Act, Stage

_UNKNOWN_KEM = b"\x00\x09\x07\x00\x10 P-256"


def _resigned(change: Callable[[Payload], dict[str, Any]], *, late: timedelta = timedelta()) -> Act:
    """A trick that signs a changed document under the simulated root; the chain is valid from now plus `late`."""

    async def act(stage: Stage, ask: Ask) -> Reply:
        reply = await stage.forward(ask)
        payload = payload_of(reply.document)
        changes = {"timestamp": _milliseconds(datetime.now(UTC) + late)} | change(payload)
        return reply.with_fields(document=resigned(payload, stage.forger.hosts_chain(late=late), **changes))

    return act


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def _debug(payload: Payload) -> dict[str, Any]:
    return {"pcrs": payload["pcrs"] | {index: bytes(48) for index in (0, 1, 2)}}


def _other_code(payload: Payload) -> dict[str, Any]:
    return {"pcrs": payload["pcrs"] | {2: b"\x66" * 48}}


def _unlocked(payload: Payload) -> dict[str, Any]:
    return {"pcrs": {index: value for index, value in payload["pcrs"].items() if index < 16}}


def _zero_claim(payload: Payload) -> dict[str, Any]:
    return {"user_data": replace(claims_of(payload), receipt_key_sha256=bytes(32)).to_json()}


async def _strange_keys(stage: Stage, ask: Ask) -> Reply:
    reply = await stage.forward(ask)
    payload = payload_of(reply.document)
    claims = replace(claims_of(payload), key_configs_sha256=keyconfig.digest(_UNKNOWN_KEM))
    document = resigned(payload, stage.forger.hosts_chain(), user_data=claims.to_json())
    return reply.with_fields(document=document, key_configs=_UNKNOWN_KEM)


async def _own_keys(stage: Stage, ask: Ask) -> Reply:
    """Attest the gateway's own encryption keys, with all other statements of the honest enclave."""
    reply = await stage.forward(ask)
    keys = stage.memory.setdefault("keys", LaneKeys())
    payload = payload_of(reply.document)
    claims = replace(claims_of(payload), key_configs_sha256=keyconfig.digest(keys.encoded_configs))
    document = resigned(payload, stage.forger.hosts_chain(), user_data=claims.to_json())
    return reply.with_fields(document=document, key_configs=keys.encoded_configs)


def _answered(sign: Callable[[dict[str, Any], bytes, str], str | None]) -> Act:
    """A trick that decrypts requests to the gateway's own keys, and answers them from the plain lane.

    `sign(answer, image, evidence digest)` makes the receipt; None keeps the one that the honest enclave made.
    """

    async def act(stage: Stage, ask: Ask) -> Reply:
        opened = stage.memory["keys"].open(ask.body)
        request = bhttp.decode_request(opened.request)
        image = bytes(request.content)
        plain = Ask("POST", "/classify", {"receipt": "true"}, {"content-type": "application/octet-stream"}, image)
        content = (await stage.forward(plain)).fields
        answer = {name: content[name] for name in ("predictions", "image", "model", "timings_ms", "receipt")}
        forged = sign(answer, image, request.header("receipt-evidence") or "")
        body = json.dumps(answer if forged is None else answer | {"receipt": forged}).encode()
        response = bhttp.Response(200, [("content-type", "application/json")], body).encode()
        sealed = opened.sealer.seal(padding.padded(response, padding.SMALLEST_ANSWER))
        return Reply(200, ohttp.RESPONSE_MEDIA_TYPE, sealed, {"access-control-allow-origin": "*"})

    return act


def _forged(answer: dict[str, Any], image: bytes, evidence: str) -> str:
    receipt = Receipt(
        iat=int(datetime.now(UTC).timestamp()),
        input_sha256=hashlib.sha256(image).hexdigest(),
        output_sha256=output_digest(answer),
        func_checksum="ab" * 32,
        model_sha256="ab" * 32,
        weights_sha256="ab" * 32,
        evidence_sha256=evidence,
    )
    return ReceiptKey().sign(receipt)


_PLAYED = (
    Trick("debug-enclave", "runs the enclave in debug mode, to read its memory", "debug_document", _resigned(_debug)),
    Trick("other-code", "runs other code in the enclave", "pcr_mismatch", _resigned(_other_code)),
    Trick("unlocked-claims", "leaves the register of function and model unlocked", "pcr_missing", _resigned(_unlocked)),
    Trick("empty-claim", "attests a key before it has one", "malformed_claims", _resigned(_zero_claim)),
    Trick("no-claims", "attests neither function nor model nor keys", "claims_missing",
          _resigned(lambda _: {"user_data": None})),
    Trick("stale-evidence", "shows evidence of minutes ago, with the right nonce", "evidence_too_old",
          _resigned(lambda _: {}, late=timedelta(minutes=-8))),
    Trick("early-evidence", "shows evidence of the future, to use it later", "evidence_from_future",
          _resigned(lambda _: {"timestamp": _milliseconds(datetime.now(UTC) + timedelta(minutes=8))})),
    Trick("expired-certificate", "signs with a certificate of yesterday", "certificate_expired",
          _resigned(lambda _: {"timestamp": _milliseconds(datetime.now(UTC))}, late=timedelta(hours=-30))),
    Trick("strange-keys", "attests keys of an unknown kind", "unsupported_suite", _strange_keys),
    Trick("forged-receipt", "answers with its own keys, and a receipt of its own", "receipt_key_mismatch",
          _own_keys, _answered(_forged)),
    Trick("stolen-receipt", "answers with its own keys, and the receipt of another question",
          "receipt_evidence_mismatch", _own_keys, _answered(lambda *_: None)),
)  # fmt: skip
TRICKS = tuple(replace(trick, needs_root=True) for trick in _PLAYED)
