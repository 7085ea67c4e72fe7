"""Cape's clients by hand: what cape-js and Cape's own command line put on the wire, and what they insist on.

Nothing here is the project's own client.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from blindsight.sealing import hpke
from tests.support.raw_websocket import WebSocket

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GO_FRAGMENT_BYTES = 4096
PROTECTED = bytes.fromhex("a1013822")


class ClientError(Exception):
    """What the client's user is told."""


@dataclass(frozen=True)
class Document:
    """An attestation document, taken apart: `items` of the COSE array, `fields` of the payload."""

    raw: bytes
    items: list[Any]
    fields: dict[str, Any]

    @property
    def user_data(self) -> dict[str, Any]:
        content = json.loads(self.fields["user_data"])
        assert isinstance(content, dict)
        return content

    @property
    def leaf(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.fields["certificate"])


def parse_document(raw: bytes) -> Document:
    """Raises `ClientError` for what is not an untagged array of four."""
    items = cbor2.loads(raw)
    if not isinstance(items, list) or len(items) != 4:
        raise ClientError("Invalid attestation document")
    return Document(raw, items, cbor2.loads(items[2]))


def check_signature(document: Document) -> None:
    """Raises `InvalidSignature`."""
    protected, _, payload, signature = document.items
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    key = document.leaf.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    halves = (int.from_bytes(signature[:48]), int.from_bytes(signature[48:]))
    key.verify(encode_dss_signature(*halves), signed, ec.ECDSA(hashes.SHA384()))


def check_chain(document: Document, root: x509.Certificate, *, at: datetime) -> None:
    """From the leaf through the bundle to `root`, all valid `at`. Raises `ClientError`."""
    bundle = [x509.load_der_x509_certificate(der) for der in document.fields["cabundle"]]
    chain = [root, *(certificate for certificate in bundle if certificate != root), document.leaf]
    for issuer, subject in itertools.pairwise(chain):
        try:
            subject.verify_directly_issued_by(issuer)
        except Exception as error:
            raise ClientError("certificate chain is not valid") from error
    if not all(each.not_valid_before_utc <= at <= each.not_valid_after_utc for each in chain):
        raise ClientError("certificate chain is not valid now")


class Conversation:
    """An opened socket: start frame sent, the document received. `frames` are all messages of the server's."""

    def __init__(self, socket: WebSocket, start: str) -> None:
        self.socket = socket
        self.frames: list[str | bytes] = []
        self.socket.send(start)
        self.document_message = self.message()
        self.document = parse_document(base64.b64decode(self.document_message["message"], validate=True))

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.__exit__()

    def frame(self) -> dict[str, Any]:
        """The next frame's object, whatever it says."""
        text = self.socket.receive()
        self.frames.append(text)
        content = json.loads(text)
        assert isinstance(content, dict)
        return content

    def message(self) -> dict[str, Any]:
        """The next frame's message. Raises `ClientError` for an error frame."""
        content = self.frame()
        if content.get("error"):
            raise ClientError(content["error"])
        message = content["message"]
        assert isinstance(message, dict)
        return message

    def send_input(self, plaintext: bytes, *, fragment: int | None = None) -> None:
        self.socket.send(seal(self.document.fields["public_key"], plaintext), fragment=fragment)

    def output(self) -> bytes:
        return base64.b64decode(self.message()["message"], validate=True)


def start_frame(nonce: bytes) -> str:
    return json.dumps({"message": {"nonce": base64.b64encode(nonce).decode()}})


def seal(public_key: bytes, plaintext: bytes) -> bytes:
    """A function's input: `enc || ciphertext`."""
    suite = hpke.Suite(aead_id=hpke.AEAD_CHACHA20_POLY1305)
    enc, context = hpke.setup_sender(public_key, b"", suite)
    return enc + context.seal(plaintext)


class JsCape(Conversation):
    """cape-js: one header line without a space, 12 bytes of nonce, text frames with `type`, pipelining.

    Stricter than the others where it is (subprotocol, frames' kind and type, `func_checksum`), and as lenient.
    """

    def __init__(
        self, url: str, path: str, token: str, root: x509.Certificate, *, scheme: str = "cape.runtime",
        checksum: str | None = None,
    ) -> None:  # fmt: skip
        socket = WebSocket(url, path, [f"{scheme},{token}"], deflate=True)
        try:
            if socket.header("sec-websocket-protocol") not in ([scheme], [token]):
                raise ClientError("Websocket error. Closing connection")
            nonce = secrets.token_bytes(12)
            super().__init__(socket, json.dumps({"message": {"nonce": _b64(nonce)}}, separators=(",", ":")))
            if self.document_message["type"] != "attestation_doc":
                raise ClientError("Expected an attestation document")
            check_signature(self.document)
            check_chain(self.document, root, at=datetime.now(UTC))
            if self.document.fields["nonce"] != nonce:
                raise ClientError("error validating nonce")
            if "/v1/run/" in path:
                found = base64.b64decode(self.document.user_data["func_checksum"], validate=True).hex()
                if checksum is not None and found != checksum:
                    raise ClientError(f"Returned checksum did not match provided, got: {found}, want: {checksum}.")
        except BaseException:
            socket.__exit__()
            raise

    def frame(self) -> dict[str, Any]:
        content = super().frame()
        if isinstance(self.frames[-1], bytes):
            raise ClientError("Expected a text frame")
        return content

    def send_input(self, plaintext: bytes, *, fragment: int | None = None) -> None:
        if not self.socket.is_open:
            raise ClientError("WebSocket connection not open")
        super().send_input(plaintext, fragment=fragment)

    def invoke(self, plaintext: bytes) -> bytes:
        self.send_input(plaintext)
        return self.output()

    def invoke_all(self, plaintexts: Sequence[bytes]) -> list[bytes]:
        """`Promise.all` of several invocations: all are sent before the first answer is read."""
        for plaintext in plaintexts:
            self.send_input(plaintext)
        return [self.output() for _ in plaintexts]

    def disconnect(self) -> None:
        self.socket.close(None)


class GoCape(Conversation):
    """Cape's own command line: the subprotocol in two header lines, a doubly encoded nonce, 4 KiB fragments."""

    def __init__(self, url: str, path: str, token: str, *, ca: Path | None = None) -> None:
        socket = WebSocket(url, path, ["cape.runtime", token], ca=ca)
        try:
            nonce = base64.b64encode(secrets.token_bytes(16))
            metadata = {"function_authentication_type": ""}
            start = {"message": {"nonce": _b64(nonce), "metadata": metadata}}
            super().__init__(socket, json.dumps(start, separators=(",", ":")) + "\n")
            check_signature(self.document)
            if self.document.fields["nonce"] != nonce:
                raise ClientError("error validating nonce")
        except BaseException:
            socket.__exit__()
            raise

    def invoke(self, plaintext: bytes) -> bytes:
        self.send_input(plaintext, fragment=GO_FRAGMENT_BYTES)
        return self.output()

    def deploy(self, name: str, archive: bytes, key_der: bytes, *, public: bool = False) -> str:
        self.socket.send(json.dumps({"message": {"function_name": name, "public": public}}))
        self.socket.send(b"cape:" + Envelope(key_der).seal(archive), fragment=GO_FRAGMENT_BYTES)
        function_id = self.message()["id"]
        assert isinstance(function_id, str)
        return function_id


class Envelope:
    """Cape's envelope as cape-js makes it: one AES key, and so one RSA part, for all values; a nonce for each."""

    def __init__(self, key_der: bytes) -> None:
        key = serialization.load_der_public_key(key_der)
        assert isinstance(key, rsa.RSAPublicKey)
        secret = secrets.token_bytes(32)
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        self._start, self._cipher = key.encrypt(secret, oaep), AESGCM(secret)

    def seal(self, plaintext: bytes) -> bytes:
        nonce = secrets.token_bytes(12)
        return self._start + nonce + self._cipher.encrypt(nonce, plaintext, None)

    def text(self, plaintext: bytes) -> bytes:
        """`cape:` and base64."""
        return b"cape:" + base64.b64encode(self.seal(plaintext))


def js_pem(key_der: bytes) -> str:
    """A key as cape-js shows it: lines of 64 characters, none at the end."""
    text = base64.b64encode(key_der).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----"])


def verify_result(message: dict[str, Any], user_data: dict[str, Any]) -> dict[str, bytes]:
    """The signed checksums of a result, as Cape's command line checks them. Raises `InvalidSignature`."""
    key = serialization.load_der_public_key(base64.b64decode(user_data["signature_verification_public_key"]))
    assert isinstance(key, rsa.RSAPublicKey)
    stated = message["checksums"]
    ordered = {name: stated[name] for name in ("input", "function", "output")}
    preimage = json.dumps(ordered, separators=(",", ":")).encode() + b"\n"
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
    key.verify(base64.b64decode(message["signed_checksums"]), preimage, pss, hashes.SHA256())
    return {name: base64.b64decode(value) for name, value in ordered.items()}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode()
