"""Constants of the gateway-enclave protocol. Both ends import them; other languages must copy them unchanged.

A frame is a length (u32, big-endian, of everything after it), a kind (u8) and a payload. On a connection the gateway
first authenticates (`blindsight.wire.access`). Then the connection carries one request at a time: the gateway sends a
frame and reads one; closing the connection cancels the request. A Cape session uses its connection exclusively.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class FrameKind(IntEnum):
    """Frame kinds, each with the contents of its payload."""

    EVIDENCE_REQUEST = 1
    """CBOR `{"nonce": bytes | null, "version": int}`, answered with EVIDENCE; `blindsight.wire.version`."""
    EVIDENCE = 2
    """CBOR `{"document": bytes, "key_configs": bytes, "model": bytes, "version": int}`: the attestation document, the
    `application/ohttp-keys` list and the canonical model manifest whose digests the document claims."""
    SEALED_REQUEST = 3
    """A `message/ohttp-req`, answered with SEALED_RESPONSE."""
    SEALED_RESPONSE = 4
    """A `message/ohttp-res`."""
    STATUS_REQUEST = 5
    """CBOR `{"key_configs_sha256": bytes, "taken_key_ids": bytes}`, or empty; answered with STATUS. The key ids of
    others, a byte each, are not to be used. If the keys with this digest are the current ones and have such ids, they
    are replaced."""
    STATUS = 6
    """CBOR `{"ready": bool, "workers": int, "busy": int, "queued": int, "restarts": int,
    "key_configs_sha256": bytes, "retired_key_ids": bytes, "account_root": str or null}`. The digest is a hint, not
    evidence: another value than the attested one means that the enclave was replaced, and has to be verified anew.
    `retired_key_ids` are those of replaced keys that still decrypt. `account_root` tells apart root secrets, 32
    hexadecimal digits; null without a Cape host."""
    GATEWAY_HELLO = 7
    """A gateway's nonce, 32 bytes: the first frame of a connection (`blindsight.wire.access`), answered with
    GATEWAY_CHALLENGE, or with GATEWAY_ADMITTED by an enclave whose port is open."""
    GATEWAY_CHALLENGE = 8
    """The enclave's nonce, 32 bytes, answered with GATEWAY_PROOF."""
    GATEWAY_PROOF = 9
    """32 bytes: the gateway knows the enclave's secret. Answered with GATEWAY_ADMITTED or REFUSAL."""
    GATEWAY_ADMITTED = 10
    """Empty: the connection is open for questions."""
    CAPE_CALL = 16
    """CBOR `{"op": str, …}`: one question about an account (`blindsight.wire.cape`), answered with CAPE_ANSWER."""
    CAPE_ANSWER = 17
    """CBOR, by `op`."""
    CAPE_OPEN = 18
    """CBOR: begins a session of a Cape client on this connection, which is then the session's until it closes."""
    CAPE_OPENED = 19
    """CBOR `{"need_function": bool}`: go on, with the function's ciphertext first if it is needed."""
    CAPE_NONCE = 20
    """The nonce of the client's start frame, answered with CAPE_TEXT, the attestation."""
    CAPE_FUNCTION = 21
    """A piece (a flag byte, 1 on the last, and bytes) of the function's ciphertext; CAPE_OPENED follows the last."""
    CAPE_INPUT = 22
    """A piece, likewise, of a binary message of the client's; CAPE_TEXT, or CAPE_DEPLOYED, follows the last."""
    CAPE_DEPLOYMENT = 23
    """The client's text frame that opens a deployment. No answer: the bundle follows as CAPE_INPUT."""
    CAPE_TEXT = 24
    """A text frame for the client, relayed as it is."""
    CAPE_DEPLOYED = 25
    """CBOR: what to store of an accepted deployment (`blindsight.wire.cape`)."""
    CAPE_ERROR = 26
    """CBOR `{"code": str, "error": str}`: a `CapeError`. In a session only the running step has failed."""
    REFUSAL = 255
    """CBOR `{"code": str}`: why the question has no answer of its kind. Nothing in it is authenticated."""


MAX_FRAME_BYTES: Final = 32 * 1024 * 1024
"""Largest frame after its length: the largest image (20 MiB), its envelope, and room."""

ACCESS_NONCE_BYTES: Final = 32

MAX_NONCE_BYTES: Final = 512
"""Largest nonce of an attestation document (AWS attestation_process.md, 3.2.2.2)."""

MAX_KEY_IDS: Final = 256
"""An Oblivious HTTP key has an id of one byte (RFC 9458, section 3.1)."""
