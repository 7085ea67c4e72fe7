"""pyhpke on the other side of our Oblivious HTTP: it opens our requests, and we open what it exports keys for."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from pyhpke import AEADId, CipherSuite, KDFId, KEMId

from blindsight.sealing import hpke, keyconfig, ohttp
from blindsight.sealing.kem import X25519_HKDF_SHA256


@pytest.mark.parametrize("aead_id", [1, 2, 3])
def test_others_open_our_request_and_we_their_answer(aead_id: int) -> None:
    private_key = X25519PrivateKey.generate()
    config = keyconfig.offered(7, private_key.public_key().public_bytes_raw(), X25519_HKDF_SHA256)
    sealed, opener = ohttp.encapsulate(config, b"a question", suite=hpke.Suite(aead_id=aead_id))

    suite = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId(aead_id))
    header, enc, ciphertext = sealed[:7], sealed[7:39], sealed[39:]
    assert header == bytes([7, 0, 0x20, 0, 1, 0, aead_id])
    key = suite.kem.deserialize_private_key(private_key.private_bytes_raw())
    context = suite.create_recipient_context(enc, key, info=b"message/bhttp request\x00" + header)
    assert context.open(ciphertext, aad=b"") == b"a question"

    key_bytes = 16 if aead_id == 1 else 32
    nonce = bytes(range(key_bytes))
    prk = hmac.digest(enc + nonce, context.export(b"message/bhttp response", key_bytes), hashlib.sha256)
    # One block of HKDF-Expand is enough for either.
    aead_key = hmac.digest(prk, b"key\x01", hashlib.sha256)[:key_bytes]
    aead_nonce = hmac.digest(prk, b"nonce\x01", hashlib.sha256)[:12]
    aead = (ChaCha20Poly1305 if aead_id == 3 else AESGCM)(aead_key)
    assert opener.open(nonce + aead.encrypt(aead_nonce, b"an answer", b"")) == b"an answer"
