"""Tricks with the evidence that need no key: every gateway can try them."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import cbor2

from blindsight.attestation import cose
from blindsight.attestation.document import encode
from blindsight.sealing import keyconfig
from blindsight.sealing.kem import MLKEM768_X25519
from enclave_runtime.keys import LaneKeys
from evil_gateway.forger import claims_of, payload_of, resigned, unsigned
from evil_gateway.stage import JSON, Reply, Trick

if TYPE_CHECKING:
    from collections.abc import Callable

    from evil_gateway.stage import Act, Ask, Stage

BREAK = b"\xff"
"""The CBOR "break" (RFC 8949, section 3.2.1), which ends a map of indefinite length such as the payload."""


async def _swapped_keys(stage: Stage, ask: Ask) -> Reply:
    return (await stage.forward(ask)).with_fields(key_configs=LaneKeys().encoded_configs)


async def _replayed(stage: Stage, ask: Ask) -> Reply:
    if "kept" not in stage.memory:
        stage.memory["kept"] = await stage.evidence(os.urandom(32))
    kept: Reply = stage.memory["kept"]
    return kept


async def _without_nonce(stage: Stage, ask: Ask) -> Reply:
    return await stage.evidence(None)


async def _other_model(stage: Stage, ask: Ask) -> Reply:
    reply = await stage.forward(ask)
    return reply.with_fields(model=reply.fields["model"] | {"trained": True, "name": "a better model", "notice": ""})


async def _nothing(stage: Stage, ask: Ask) -> Reply:
    return Reply(200, JSON, b"{}")


def _document(change: Callable[[bytes], bytes]) -> Act:
    """A trick that changes the document without being able to sign it."""

    async def act(stage: Stage, ask: Ask) -> Reply:
        reply = await stage.forward(ask)
        return reply.with_fields(document=change(reply.document))

    return act


def _flipped(document: bytes) -> bytes:
    message = cose.parse(document)
    return cose.assemble(message.payload, message.signature[:-1] + bytes([message.signature[-1] ^ 1]))


def _header(protected: bytes, unprotected: dict[int, int]) -> Callable[[bytes], bytes]:
    def change(document: bytes) -> bytes:
        message = cose.parse(document)
        return cbor2.dumps([protected, unprotected, message.payload, message.signature])

    return change


def _without_certificate(document: bytes) -> bytes:
    payload = payload_of(document)
    del payload["certificate"]
    return unsigned(document, encode(payload))


def _nonce_twice(document: bytes) -> bytes:
    payload = cose.parse(document).payload
    return unsigned(document, payload.removesuffix(BREAK) + cbor2.dumps("nonce") + cbor2.dumps(bytes(32)) + BREAK)


def _shuffled(document: bytes) -> bytes:
    payload = payload_of(document)
    root, *others = payload["cabundle"]
    return unsigned(document, encode(payload | {"cabundle": [root, *reversed(others)]}))


async def _added_key(stage: Stage, ask: Ask) -> Reply:
    reply = await stage.forward(ask)
    return reply.with_fields(key_configs=LaneKeys().encoded_configs + reply.key_configs)


async def _without_hybrid(stage: Stage, ask: Ask) -> Reply:
    reply = await stage.forward(ask)
    classic = [
        config for config in keyconfig.decode_list(reply.key_configs) if config.kem.identifier != MLKEM768_X25519
    ]
    return reply.with_fields(key_configs=keyconfig.encode_list(classic))


def _cut_certificate(document: bytes) -> bytes:
    payload = payload_of(document)
    return unsigned(document, encode(payload | {"certificate": payload["certificate"][:200]}))


async def _own_root(stage: Stage, ask: Ask) -> Reply:
    """Repeat all of the honest enclave's statements with the gateway's own keys, under the gateway's own root."""
    reply = await stage.forward(ask)
    payload, keys = payload_of(reply.document), LaneKeys()
    claims = replace(claims_of(payload), key_configs_sha256=keyconfig.digest(keys.encoded_configs))
    document = resigned(payload, stage.forger.own_chain(), user_data=claims.to_json())
    return reply.with_fields(document=document, key_configs=keys.encoded_configs)


async def _pinned_root_in_front(stage: Stage, ask: Ask) -> Reply:
    reply = await stage.forward(ask)
    payload, chain, keys = payload_of(reply.document), stage.forger.own_chain(), LaneKeys()
    claims = replace(claims_of(payload), key_configs_sha256=keyconfig.digest(keys.encoded_configs))
    bundle = [payload["cabundle"][0], *chain.cabundle[1:]]
    document = resigned(payload, chain, cabundle=bundle, user_data=claims.to_json())
    return reply.with_fields(document=document, key_configs=keys.encoded_configs)


async def _other_policy(stage: Stage, ask: Ask) -> Reply:
    reply = await stage.forward(ask)
    policy = json.loads(reply.body)
    stage.memory["asked"] = stage.memory.get("asked", 0) + 1
    if stage.memory["asked"] > 1:
        policy["releases"][0]["pcrs"] = {"0": [base64.b16encode(os.urandom(48)).decode().lower()]}
    return replace(reply, body=json.dumps(policy).encode())


TRICKS = (
    Trick("swapped-keys", "offers its own keys beside the enclave's true evidence", "key_configs_mismatch",
          _swapped_keys),
    Trick("added-key", "adds a key of its own to those of the enclave", "key_configs_mismatch", _added_key),
    Trick("withheld-hybrid", "withholds the post-quantum key, to store today and decrypt later", "key_configs_mismatch",
          _without_hybrid),
    Trick("replayed-evidence", "shows evidence that was made for another caller", "nonce_mismatch", _replayed),
    Trick("evidence-without-nonce", "shows true evidence that answers no nonce", "nonce_missing", _without_nonce),
    Trick("better-model", "says that the enclave runs a better model than it does", "model_mismatch", _other_model),
    Trick("no-evidence", "answers the question for evidence with nothing", "unexpected_answer", _nothing),
    Trick("cut-document", "cuts the document short", "malformed_cbor", _document(lambda document: document[:-40])),
    Trick("trailing-bytes", "appends to the document", "trailing_bytes", _document(lambda document: document + b"\0")),
    Trick("endless-document", "sends a document without an end", "document_too_large",
          _document(lambda document: document + bytes(1 << 16))),
    Trick("cut-certificate", "cuts the signer's certificate short", "malformed_certificate",
          _document(_cut_certificate)),
    Trick("weaker-algorithm", "names another signature algorithm", "wrong_algorithm",
          _document(_header(b"\xa1\x01\x26", {}))),
    Trick("second-header", "states the algorithm where it is not signed", "unprotected_header",
          _document(_header(cose.PROTECTED_ES384, {1: -7}))),
    Trick("no-certificate", "strips the signer's certificate", "missing_field", _document(_without_certificate)),
    Trick("field-twice", "states the nonce twice, hoping that the last one counts", "duplicate_key",
          _document(_nonce_twice)),
    Trick("shuffled-bundle", "puts the certificates into another order", "chain_order", _document(_shuffled)),
    Trick("flipped-signature", "changes a bit of the signature", "invalid_signature", _document(_flipped)),
    Trick("own-enclave", "shows an enclave of its own, under a root of its own", "root_not_pinned", _own_root),
    Trick("borrowed-root", "puts the pinned root before a chain of its own", "invalid_chain", _pinned_root_in_front),
    Trick("changed-policy", "states another policy to the page the second time it is asked", None,
          policy=_other_policy, page_code="policy_changed"),
)  # fmt: skip
