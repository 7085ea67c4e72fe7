"""Harness for what an enclave receives at its start from its host and from KMS.

The first byte modulo 6 selects: 0, an envelope (CMS); 1, JSON of KMS; 2, JSON of the boot configuration; 3, its stream;
4, credentials; 5, an HTTP answer. 256 bytes `W` stand for a content key that is encrypted to the enclave's key.
"""

from __future__ import annotations

import http.client
import io
import json
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from blindsight.errors import KmsError
from blindsight.wire.bootconfig import BootConfig
from enclave_runtime.kms import client, credentials, envelope, transport
from enclave_runtime.kms.ber import to_der_lengths
from enclave_runtime.kms.bootchannel import BootChannel
from fuzz import registry
from fuzz.target import Target

if TYPE_CHECKING:
    import socket

_OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
_WRAPPED = b"W" * 256
_CONTENT_KEY, _VECTOR = bytes(range(32)), bytes(16)
_KEY_ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@cache
def _key() -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key((registry.HERE / "rsa2048.pem").read_bytes(), password=None)
    return cast("rsa.RSAPrivateKey", key)


@cache
def _wrapped() -> bytes:
    return _key().public_key().encrypt(_CONTENT_KEY, _OAEP)


class _Socket:
    """A socket that delivers given bytes in pieces, and ignores what is sent."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def recv(self, size: int) -> bytes:
        return self._data.read(min(size, 7))

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(cast("io.RawIOBase", self._data))

    def sendall(self, data: bytes) -> None:
        """Ignore what is sent."""

    def close(self) -> None:
        """Do nothing: there is no descriptor."""


def run(data: bytes) -> None:
    """Check that refusals are `KmsError`, or errors that the callers convert to one."""
    mode, rest = (data[0] % 6, data[1:]) if data else (0, b"")
    if mode < 4:
        (_envelope, _answer, _config, _stream)[mode](rest)
        return
    try:
        (_credentials, _exchange)[mode - 4](rest)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise KmsError("kms_unreachable", "no answer") from error


def _envelope(sealed: bytes) -> None:
    sealed = sealed.replace(_WRAPPED, _wrapped())
    content = envelope.unseal(sealed, _key())
    assert len(content) < len(sealed)
    der = to_der_lengths(sealed)
    assert to_der_lengths(der) == der
    assert envelope.unseal(der, _key()) == content


def _answer(body: bytes) -> None:
    members = client._members(transport.Answer(200, body))
    name = client._error_name(transport.Answer(400, body))
    assert name.isascii()
    asking = client.KmsClient.__new__(client.KmsClient)
    asking._settings = cast("Any", SimpleNamespace(key=_KEY_ARN))
    asking._recipients_part(members)
    assert members["KeyId"] == _KEY_ARN
    assert not members.get("Plaintext")


def _config(encoded: bytes) -> None:
    config = BootConfig.parse(encoded)
    assert BootConfig.parse(json.dumps(config.members()).encode()) == config


def _stream(data: bytes) -> None:
    channel = BootChannel(cast("socket.socket", _Socket(data)))
    read = 0
    while part := channel.read(100):
        read += len(part)
    assert read <= len(data)
    assert not channel.has_bundle


def _credentials(encoded: bytes) -> None:
    found = credentials._parse(encoded)
    assert "\n" not in f"{found.access_key_id}{found.secret_access_key}{found.token}"
    assert found.secret_access_key not in repr(found)
    assert found.expires is not None


def _exchange(data: bytes) -> None:
    request = transport.Request("POST", "kms.eu-central-1.amazonaws.com", "/", {}, b"{}")
    answer = transport._exchange(cast("socket.socket", _Socket(data)), request)
    assert len(answer.body) <= min(len(data), transport.MAX_ANSWER_BYTES)


def seeds() -> dict[str, bytes]:
    """Envelopes with both forms of lengths, and an answer of each kind."""
    encryptor = Cipher(algorithms.AES256(_CONTENT_KEY), modes.CBC(_VECTOR)).encryptor()
    encrypted = encryptor.update(bytes(32) + b"\x10" * 16) + encryptor.finalize()
    answer = {"KeyId": _KEY_ARN, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "CiphertextForRecipient": "QUJD"}
    config = json.dumps({"format": "blindsight-boot-config/1", "root_secret": "QUJD", "bundle_key": "QUJD"}).encode()
    role = {
        "Code": "Success", "AccessKeyId": "A", "SecretAccessKey": "not-A", "Token": "T",
        "Expiration": "2027-01-01T00:00:00Z",
    }  # fmt: skip
    return {
        "envelope": b"\x00" + _sealed(encrypted, parts=False),
        "envelope-in-parts": b"\x00" + _sealed(encrypted, parts=True),
        "answer": b"\x01" + json.dumps(answer).encode(),
        "error": b'\x01{"__type": "com.amazon#ThrottlingException"}',
        "config": b"\x02" + config,
        "stream": b"\x03" + len(config).to_bytes(4, "big") + config + (5).to_bytes(8, "big") + b"12345",
        "credentials": b"\x04" + json.dumps(role).encode(),
        "http": b"\x05HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        "http-chunked": b"\x05HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    }


def _sealed(encrypted: bytes, *, parts: bool) -> bytes:
    """An envelope in KMS's form, with indefinite lengths outside and definite ones inside."""
    oaep = bytes.fromhex(
        "303c06092a864886f70d010107302fa00f300d06096086480165030402010500"
        "a11c301a06092a864886f70d010108300d06096086480165030402010500"
    )
    recipient = _der(0x30, b"\x02\x01\x02" + _der(0x80, bytes(32)) + oaep + _der(0x04, _WRAPPED))
    cipher = _der(0x30, bytes.fromhex("060960864801650304012a") + _der(0x04, _VECTOR))
    content = _ber(0xA0, _der(0x04, encrypted)) if parts else _der(0x80, encrypted)
    inner = _ber(0x30, bytes.fromhex("06092a864886f70d010701") + cipher + content)
    data = _ber(0x30, b"\x02\x01\x02" + _der(0x31, recipient) + inner)
    return _ber(0x30, bytes.fromhex("06092a864886f70d010703") + _ber(0xA0, data))


def _der(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _ber(tag: int, content: bytes) -> bytes:
    return bytes([tag, 0x80]) + content + b"\x00\x00"


TARGET = Target(
    run, (KmsError,), seeds, max_bytes=3000, base_bytes=1 << 20,
    words=(
        b'"KeyId"', b'"Plaintext"', b'"CiphertextForRecipient"', b'"__type"', b'"format"',
        b"transfer-encoding: chunked\r\n", b"content-length: ", b'"Expiration"',
    ),
)  # fmt: skip
