"""An implementation that shares nothing with ours: pyhpke, and RFC 9458's framing written anew in this file."""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
import time
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from pyhpke import AEADId, CipherSuite, KDFId, KEMId

from tests.support import images

if TYPE_CHECKING:
    from tests.support.stack import Stack

CLASS = 427
KEY_BYTES = {1: 16, 2: 32, 3: 32}


def number(value: int) -> bytes:
    """A variable-length integer (RFC 9000, 16) below 2^30."""
    return struct.pack(">B", value) if value < 64 else struct.pack(">I", value | 2 << 30)


def taken(data: bytes) -> tuple[int, bytes]:
    """A variable-length integer and what follows it."""
    size = 1 << (data[0] >> 6)
    return int.from_bytes(data[:size], "big") & ((1 << (8 * size - 2)) - 1), data[size:]


def binary_request(path: bytes, content: bytes) -> bytes:
    """RFC 9292, 3.1: framing, method, scheme, authority, path, fields, content, trailers."""
    control = b"".join(number(len(part)) + part for part in (b"POST", b"https", b"", path))
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()).encode()
    fields = b"".join(number(len(part)) + part for part in (b"date", date))
    return number(0) + control + number(len(fields)) + fields + number(len(content)) + content + number(0)


def binary_response(message: bytes) -> tuple[int, bytes]:
    """Status and content of a known-length response without informational ones."""
    framing, rest = taken(message)
    assert framing == 1
    status, rest = taken(rest)
    length, rest = taken(rest)
    length, rest = taken(rest[length:])
    return status, rest[:length]


def hkdf_expand(key: bytes, info: bytes, length: int) -> bytes:
    block, output = b"", b""
    for counter in range(1, 255):
        if len(output) >= length:
            break
        block = hmac.digest(key, block + info + bytes([counter]), hashlib.sha256)
        output += block
    return output[:length]


@pytest.mark.parametrize("aead_id", [1, 2, 3])
@pytest.mark.parametrize("path", ["/classify", "/ohttp"])
def test_a_request_that_others_sealed_is_answered(tiny_stack: Stack, path: str, aead_id: int) -> None:
    configs = tiny_stack.client.get("/.well-known/ohttp-gateway").content
    # The hybrid comes first, which pyhpke does not know.
    configs = configs[2 + struct.unpack_from(">H", configs)[0] :]
    (length,) = struct.unpack_from(">H", configs)
    key_id, kem_id = struct.unpack_from(">BH", configs, 2)
    public_key, suites = configs[5:37], configs[39 : 2 + length]
    assert kem_id == 0x0020
    assert struct.pack(">HH", 1, aead_id) in [suites[at : at + 4] for at in range(0, len(suites), 4)]

    header = struct.pack(">BHHH", key_id, kem_id, 1, aead_id)
    suite = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId(aead_id))
    key = suite.kem.deserialize_public_key(public_key)
    enc, context = suite.create_sender_context(key, info=b"message/bhttp request\x00" + header)
    request = binary_request(b"/classify?top_k=2", images.plain(CLASS))
    body = header + enc + context.seal(request, aad=b"")
    response = tiny_stack.client.post(path, content=body, headers={"content-type": "message/ohttp-req"})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "message/ohttp-res"

    nonce_bytes = max(12, KEY_BYTES[aead_id])
    secret = context.export(b"message/bhttp response", nonce_bytes)
    nonce, ciphertext = response.content[:nonce_bytes], response.content[nonce_bytes:]
    prk = hmac.digest(enc + nonce, secret, hashlib.sha256)
    aead = (ChaCha20Poly1305 if aead_id == 3 else AESGCM)(hkdf_expand(prk, b"key", KEY_BYTES[aead_id]))
    status, content = binary_response(aead.decrypt(hkdf_expand(prk, b"nonce", 12), ciphertext, b""))
    assert status == 200
    predictions = json.loads(content)["predictions"]
    assert [entry["rank"] for entry in predictions] == [1, 2]
    assert predictions[0]["class_id"] == CLASS
