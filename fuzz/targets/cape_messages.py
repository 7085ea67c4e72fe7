"""Harness for Cape's messages: from clients to the host, from the host to clients, from functions, and public keys.

The first byte modulo 6 selects the parser.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from blindsight import strict_json
from blindsight.cape import envelope, ids, messages
from blindsight.client import cape
from blindsight.errors import CapeError, OwnerError, TransportError
from enclave_runtime.cape import rpcrequest
from fuzz import mock_pki, registry
from fuzz.target import Target

if TYPE_CHECKING:
    from blindsight.attestation.document import AttestationDocument

_KEY = cast(
    "rsa.RSAPrivateKey",
    serialization.load_pem_private_key((registry.HERE / "rsa2048.pem").read_bytes(), password=None),
)
_FUNCTION = bytes(32)
_SEALED_INPUT = hashlib.sha256(b"sealed").digest()


def run(data: bytes) -> None:
    """Check that refusals are `CapeError`, and on the client's side also `TransportError` or `OwnerError`."""
    mode, rest = (data[0] % 6, data[1:]) if data else (0, b"")
    text = rest.decode("utf-8", errors="surrogatepass") if _is_text(rest) else rest.decode("latin-1")
    (_host, _host_deployment, _client_answer, _account, _function_request, _public_key)[mode](rest, text)


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8", errors="surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def _host(_: bytes, text: str) -> None:
    nonce = messages.nonce_of(text)
    assert len(nonce) <= messages.MAX_NONCE_BYTES


def _host_deployment(_: bytes, text: str) -> None:
    name, public = messages.function_of(text)
    again = json.dumps({"message": {"function_name": name, "public": public}})
    assert messages.function_of(again) == (name, public)


def _client_answer(data: bytes, _: str) -> None:
    """The client's parser. Bytes after a zero byte are the signing key in the evidence; without one it is ours."""
    text, separator, key = data.partition(b"\x00")
    connection = cape.Connection.__new__(cape.Connection)
    connection._socket = cast("Any", _Socket(text.decode("utf-8", errors="replace")))
    document = _document(key if separator else messages.pkcs1(_KEY.public_key()))
    cape._check_signed(connection.result(), document, b"input", _SEALED_INPUT, _FUNCTION)


class _Socket:
    def __init__(self, answer: str) -> None:
        self._answer = answer

    def send(self, content: object) -> None:
        """Ignore what the client sends."""

    def recv(self) -> str:
        return self._answer


def _document(key: bytes) -> AttestationDocument:
    """Evidence of an enclave whose signing key is `key`."""
    user_data = messages.user_data(
        {
            "func_checksum": _FUNCTION,
            "signature_verification_public_key": key,
            "result_binding": messages.RESULT_BINDING,
        }
    )
    return cast("AttestationDocument", SimpleNamespace(public_key=bytes(range(1, 33)), user_data=user_data))


def _account(data: bytes, _: str) -> None:
    key = cape.AccountKey.parse(data, "someone")
    assert key


def _function_request(data: bytes, _: str) -> None:
    with mock.patch.multiple(rpcrequest, _SMALL_BYTES=64):
        request = rpcrequest.parse(bytearray(data))
    if request is None:
        raise envelope.cannot_decrypt()
    try:
        whole = strict_json.loads(data)
    except ValueError:  # The text is not parsed here; its user refuses it.
        (text,) = request["params"]
        try:
            base64.b64decode(text, validate=True)
        except ValueError:
            return
        raise
    match request:
        case {"params": [memoryview() as text]}:
            assert whole["params"] == [bytes(text).decode()]
        case _:
            assert request == whole


def _public_key(data: bytes, text: str) -> None:
    if ids.is_id(text):
        assert ids.encode(ids.decode(text)) == text
    key = envelope.load_public_key(data)
    assert key.key_size


def seeds() -> dict[str, bytes]:
    """A message of each kind."""
    answered = messages.Answered(bytes(range(1, 33)), _SEALED_INPUT)
    checksums = messages.Checksums.of(b"input", _FUNCTION, b"output")
    # Without a salt the signature is reproducible.
    unsalted = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=0)
    with mock.patch.object(messages, "_PSS", unsalted):
        result = b"".join(messages.result(b"output", checksums, _KEY, answered))
    spki = _KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    other = mock_pki.key("leaf").public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    account = {"key": messages.b64(spki), "owner": messages.b64(bytes(32)), "username": "Someone"}
    return {
        "nonce": b'\x00{"message": {"nonce": "AAECAwQFBgc=", "other": 1}}',
        "old-nonce": b'\x00{"message": {"nonce": "12345678"}}',
        "deployment": b'\x01{"message": {"function_name": "name", "public": true}}',
        "result": b"\x02" + result,
        "result-other-key": b"\x02" + result + b"\x00" + other,
        "result-short": b'\x02{"message": {"message": "b3V0", "checksums": {"input": ""}, "signed_checksums": ""}}',
        "error": b'\x02{"error": "no such function"}',
        "account": b"\x03" + json.dumps(account).encode(),
        "encrypt": b'\x04{"id": 1, "method": "CapeEncryptRPC.Encrypt", "params": ["aW5wdXQ="]}',
        "encrypt-long": b'\x04{"id": 1, "method": "x", "params": ["' + b"aW5w" * 40 + b'"]}',
        "rsa-key": b"\x05" + spki,
        "other-key": b"\x05" + other,
        "id": b"\x05" + ids.encode(uuid.UUID(int=1 << 100, version=4)).encode(),
    }  # fmt: skip


TARGET = Target(
    run, (CapeError, TransportError, OwnerError), seeds, max_bytes=3000,
    words=(
        b'"message"', b'"nonce"', b'"error"', b'"checksums"', b'"signed_checksums"', b'"signed_bound"', b'"input"',
        b'"function"', b'"output"', b'"key"', b'"params"', b"\\ud800", b"\\u00e9", b"\xc3\xa9", b"NaN", b"1e400",
    ),
)  # fmt: skip
