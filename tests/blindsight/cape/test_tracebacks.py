"""Tracebacks are sealed to the input of the test that they are about."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from blindsight.cape import tracebacks
from blindsight.sealing import hpke
from tests.support.refusals import refused

SUITE = hpke.Suite(aead_id=hpke.AEAD_CHACHA20_POLY1305)


def keys(recipient: X25519PrivateKey) -> tuple[bytes, bytes]:
    """The client's and the enclave's key for one input."""
    enc, context = hpke.setup_sender(recipient.public_key().public_bytes_raw(), b"", SUITE)
    return tracebacks.key_of(context), tracebacks.key_of(hpke.setup_recipient(enc, recipient, b"", SUITE))


def test_the_client_opens_what_the_enclave_seals() -> None:
    clients, enclaves = keys(X25519PrivateKey.generate())
    assert tracebacks.opened(clients, tracebacks.sealed(enclaves, "naïve\n".encode())) == "naïve\n"
    assert tracebacks.opened(clients, None) == ""
    long = b"head" + b"x" * tracebacks.MAX_BYTES
    assert tracebacks.opened(clients, tracebacks.sealed(enclaves, long)) == "x" * tracebacks.MAX_BYTES


@pytest.mark.parametrize("change", ["another input", "a bit", "no base64", "no text", "short"])
def test_no_other_is_accepted(change: str) -> None:
    recipient = X25519PrivateKey.generate()
    (clients, enclaves), (other, _) = keys(recipient), keys(recipient)
    member: object = tracebacks.sealed(enclaves, b"text")
    assert isinstance(member, str)
    raw = base64.b64decode(member)
    clients = other if change == "another input" else clients
    flipped = base64.b64encode(bytes([raw[0] ^ 1]) + raw[1:]).decode()
    member = {"a bit": flipped, "no base64": "!", "no text": ["x"], "short": ""}.get(change, member)
    with refused("refused"):
        tracebacks.opened(clients, member)
