"""Cape's text frames, each `{"message": …}` or `{"error": "…"}`, never both: clients treat any `error` as a failure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from blindsight import strict_base64, strict_json
from blindsight.cape import base64pieces
from blindsight.errors import CapeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def error(text: str, **members: str) -> str:
    """An error frame; `members` are additional members, which Cape's own clients ignore."""
    return json.dumps({"error": text, **members})


def attestation(document: bytes) -> str:
    """The frame that answers a start frame."""
    return json.dumps({"message": {"type": "attestation_doc", "message": b64(document)}})


def deployed(function_id: str) -> str:
    """The frame that ends a deployment."""
    return json.dumps({"message": {"id": function_id}})


def nonce_of(frame: str) -> bytes:
    """The nonce of a start frame, `{"message": {"nonce": "<base64>"}}`; other members are ignored.

    Old clients send eight digits, which happen to be valid base64; a missing nonce is empty. Raises `CapeError`.
    """
    message = _message(frame)
    nonce = message.get("nonce", "")
    if not isinstance(nonce, str):
        raise _malformed("the nonce is not text")
    try:
        decoded = strict_base64.decode(nonce)
    except binascii.Error as problem:
        raise _malformed("the nonce is not base64") from problem
    if len(decoded) > MAX_NONCE_BYTES:
        raise _malformed(f"the nonce has more than {MAX_NONCE_BYTES} bytes")
    return decoded


MAX_NONCE_BYTES: Final = 512

MAX_FRAME_CHARACTERS: Final = 64 * 1024
"""Of a client's text frame: the longest, of old clients, contain a key and a token beside the nonce."""


def function_of(frame: str) -> tuple[str, bool]:
    """Name and public flag from the frame that starts a deployment. Raises `CapeError`."""
    match _message(frame):
        case {"function_name": str() as name, **others}:
            public = others.get("public", False)
            if isinstance(public, bool):
                return name, public
    raise _malformed("a deployment begins with function_name and public")


@dataclass(frozen=True)
class Checksums:
    """SHA-256, 32 bytes each: of the decrypted input as the handler gets it, of the bundle, of the result's bytes."""

    input: bytes
    function: bytes
    output: bytes

    @classmethod
    def of(cls, plaintext: bytes | memoryview, function: bytes, output: bytes | memoryview) -> Checksums:
        return cls(hashlib.sha256(plaintext).digest(), function, hashlib.sha256(output).digest())

    def members(self) -> dict[str, str]:
        return {"input": b64(self.input), "function": b64(self.function), "output": b64(self.output)}

    def preimage(self) -> bytes:
        """The signed bytes: compact JSON in this order, and a line feed."""
        return json.dumps(self.members(), separators=(",", ":")).encode() + b"\n"


RESULT_BINDING: Final = "blindsight-result/1"
"""Value of `result_binding` in the user data of an enclave that signs the binding of results to inputs."""


@dataclass(frozen=True)
class Answered:
    """The input that a result answers: the session, by its attested X25519 key (32 bytes), which is unique to the
    session, and SHA-256 of the sealed message.
    """

    session: bytes
    sealed_input: bytes

    def members(self) -> dict[str, str]:
        return {"session": b64(self.session), "sealed_input": b64(self.sealed_input)}

    def preimage(self, checksums: Checksums) -> bytes:
        """The bytes that are signed in addition to `Checksums.preimage`: compact JSON in this order, and a line
        feed.
        """
        members = {"binding": RESULT_BINDING, **self.members(), **checksums.members()}
        return json.dumps(members, separators=(",", ":")).encode() + b"\n"


_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)


def result(
    output: bytes | memoryview,
    checksums: Checksums,
    signing_key: rsa.RSAPrivateKey,
    answered: Answered | None = None,
) -> Iterator[bytes]:
    """The frame that answers an input, with its signed checksums, in pieces, because it can have a hundred megabytes.

    `answered` is signed in addition, under names that Cape's own clients ignore; None omits it, as Cape did.
    """
    message: dict[str, Any] = {
        "type": "function_result",
        "checksums": checksums.members(),
        "signed_checksums": b64(signing_key.sign(checksums.preimage(), _PSS, hashes.SHA256())),
    }
    if answered is not None:
        signature = signing_key.sign(answered.preimage(checksums), _PSS, hashes.SHA256())
        message |= {"bound": answered.members(), "signed_bound": b64(signature)}
    message["message"] = ""
    head, tail = json.dumps({"message": message}).encode(), b'"}}'
    yield head.removesuffix(tail)
    yield from base64pieces.encoded(output)
    yield tail


def pkcs1(key: rsa.RSAPublicKey) -> bytes:
    """The encoding of `signature_verification_public_key`."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)


def user_data(members: Mapping[str, bytes | str]) -> bytes:
    """An attestation document's `user_data`: a JSON object, bytes as base64."""
    encoded = {name: b64(value) if isinstance(value, bytes) else value for name, value in members.items()}
    return json.dumps(encoded, separators=(",", ":")).encode()


def b64(value: bytes) -> str:
    """Standard base64 with padding, as in the whole protocol."""
    return base64.b64encode(value).decode()


def _message(frame: str) -> dict[str, Any]:
    if len(frame) > MAX_FRAME_CHARACTERS:
        raise _malformed(f"the frame has more than {MAX_FRAME_CHARACTERS} characters")
    try:
        content = strict_json.loads(frame)
    except ValueError as problem:
        raise _malformed("the frame is not JSON") from problem
    message = content.get("message") if isinstance(content, dict) else None
    if not isinstance(message, dict):
        raise _malformed('the frame is not an object {"message": {…}}')
    return message


def _malformed(text: str) -> CapeError:
    return CapeError("malformed_frame", text)
