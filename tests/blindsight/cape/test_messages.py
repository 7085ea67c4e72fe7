"""Frames, against the published examples."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from blindsight.cape import messages
from blindsight.errors import CapeError
from tests.support.fake_cape_host import rsa_key

PREIMAGE = (
    b'{"input":"eQJpm+Qsio5G+7tFAXJlF+hrIsVqGJ92JabaSQgbJFE=","function":"SnD+mqZDbgLC3qNA+9HjUuTvLYzmylKtJdS5VHH8i/I=",'
    b'"output":"FOIs/rJW3eeGPFaSxZjwDx7MCba0aKkBc+5V1Ui5raU="}\n'
)
CHECKSUMS = messages.Checksums.of(b"7", hashlib.sha256(b"zip").digest(), b"7 is prime")


@pytest.mark.parametrize(
    ("frame", "nonce"),
    [
        ('{"message": {"nonce": "OTIwODM3MTc4ODQxMTY4NQ=="}}', b"9208371788411685"),
        ('{"message":{"nonce":"HD905tuTpGZe012V"}}', base64.b64decode("HD905tuTpGZe012V")),
        ('{"message":{"nonce":"12345678"}}', base64.b64decode("12345678")),
        ('{"message":{"nonce":"","metadata":{"function_authentication_type":""},"auth_token":"x"}}\n', b""),
        ('{"message":{}}', b""),
    ],
)
def test_start_frames_of_every_client(frame: str, nonce: bytes) -> None:
    assert messages.nonce_of(frame) == nonce


@pytest.mark.parametrize(
    "frame",
    [
        "", "[]", "null", "{}", '{"message":null}', '{"message":"x"}', '{"message":{"nonce":5}}', "[" * 100_000,
        '{"message":{"nonce":"*"}}', '{"message":{"nonce":"HD905tuTpGZe01"}}',
        json.dumps({"message": {"nonce": messages.b64(bytes(513))}}),
    ],
)  # fmt: skip
def test_other_start_frames_are_refused(frame: str) -> None:
    with pytest.raises(CapeError) as caught:
        messages.nonce_of(frame)
    assert caught.value.code == "malformed_frame"


def test_deployments_are_announced() -> None:
    assert messages.function_of('{"message":{"function_name":"echo","public":true}}') == ("echo", True)
    assert messages.function_of('{"message":{"function_name":"echo","function_token_pk":"PEM"}}') == ("echo", False)
    for frame in (
        '{"message":{}}',
        '{"message":{"function_name":1}}',
        '{"message":{"function_name":"e","public":"yes"}}',
    ):
        with pytest.raises(CapeError):
            messages.function_of(frame)


def test_no_success_has_an_error() -> None:
    frames = [
        messages.attestation(b"doc"),
        messages.deployed("id"),
        b"".join(messages.result(b"x", CHECKSUMS, rsa_key("results"))),
    ]
    assert [set(json.loads(frame)) for frame in frames] == [{"message"}] * 3
    assert json.loads(messages.error("why")) == {"error": "why"}


def test_evidence_and_ids_as_clients_read_them() -> None:
    assert json.loads(messages.attestation(b"doc"))["message"] == {"type": "attestation_doc", "message": "ZG9j"}
    assert json.loads(messages.deployed("E7LiYKk4eSkEKAddXneVrX"))["message"]["id"] == "E7LiYKk4eSkEKAddXneVrX"


def test_the_signed_bytes_are_the_published_ones() -> None:
    assert CHECKSUMS.preimage() == PREIMAGE
    digest = "84ad3f1815328c000e9c19e143f212abb7abec4f5ba591452465956328648a77"
    assert hashlib.sha256(CHECKSUMS.preimage()).hexdigest() == digest


def test_a_result_verifies_with_the_published_key() -> None:
    key = rsa_key("results")
    message = json.loads(b"".join(messages.result(b"7 is prime", CHECKSUMS, key)))["message"]
    assert message["type"] == "function_result"
    assert base64.b64decode(message["message"]) == b"7 is prime"
    assert message["checksums"] == json.loads(PREIMAGE)
    published = serialization.load_der_public_key(messages.pkcs1(key.public_key()))
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
    published.verify(base64.b64decode(message["signed_checksums"]), PREIMAGE, pss, hashes.SHA256())


@pytest.mark.parametrize("length", [0, 1, 3_000_000])
def test_a_result_comes_in_small_pieces(length: int) -> None:
    pieces = list(messages.result(bytes(length), CHECKSUMS, rsa_key("results")))
    assert max(map(len, pieces)) <= 512 * 1024
    assert base64.b64decode(json.loads(b"".join(pieces))["message"]["message"]) == bytes(length)


def test_frames_of_clients_are_small() -> None:
    """What takes long to read is not read."""
    filler = "x" * (64 * 1024)
    for frame in ('{"message":{"nonce":"","x":"%s"}}', '{"message":{"function_name":"echo","x":"%s"}}'):
        for read in (messages.nonce_of, messages.function_of):
            with pytest.raises(CapeError) as caught:
                read(frame % filler)
            assert caught.value.code == "malformed_frame"


def test_user_data_is_an_object_with_base64() -> None:
    assert messages.user_data({"key": b"\xff\xfe", "name": "x"}) == b'{"key":"//4=","name":"x"}'
    assert messages.user_data({}) == b"{}"
