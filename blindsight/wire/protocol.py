"""Constants of the gateway-enclave protocol. Both ends import them; other languages must copy them unchanged.

A frame is a length (u32, big-endian, of all that follows), a kind (u8) and a payload. A connection carries one question
at a time: the gateway sends a frame and reads one back; closing the connection gives the question up.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Kind(IntEnum):
    """Frame kinds; each names its payload."""

    EVIDENCE_REQUEST = 1
    """CBOR `{"nonce": bytes | null}`, answered with EVIDENCE."""
    EVIDENCE = 2
    """CBOR `{"document": bytes, "key_configs": bytes, "model": bytes}`: the attestation document, the
    `application/ohttp-keys` list and the canonical model manifest whose digests the document claims."""
    SEALED_REQUEST = 3
    """A `message/ohttp-req`, answered with SEALED_RESPONSE."""
    SEALED_RESPONSE = 4
    """A `message/ohttp-res`."""
    STATUS_REQUEST = 5
    """Empty, answered with STATUS."""
    STATUS = 6
    """CBOR `{"ready": bool, "workers": int, "busy": int, "queued": int, "restarts": int,
    "key_configs_sha256": bytes}`. The last is a hint, not evidence: another value than the attested one means that the
    enclave was replaced, and has to be verified anew."""
    REFUSAL = 255
    """CBOR `{"code": str}`: why the question has no answer of its kind. Nothing in it is authenticated."""


MAX_FRAME_BYTES: Final = 32 * 1024 * 1024
"""Largest frame after its length: the largest image (20 MiB), its envelope, and room."""

MAX_NONCE_BYTES: Final = 512
"""Largest nonce of an attestation document (AWS attestation_process.md, 3.2.2.2)."""
