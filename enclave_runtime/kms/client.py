"""Attested calls to AWS KMS: the enclave sends a ciphertext with an attestation document, and gets the plaintext.

AWS KMS API reference, Decrypt; Developer Guide, "How to make attested calls to AWS KMS". The document contains the
public key of a pair that is made here; KMS encrypts its answer to that key. The private key never leaves the process.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import logging
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from blindsight import strict_base64, strict_json
from blindsight.errors import KmsError
from enclave_runtime.kms import envelope, sigv4
from enclave_runtime.kms.transport import ExchangeFailed, Request, exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from enclave_runtime.evidence.producer import EvidenceProducer
    from enclave_runtime.kms.credentials import InstanceCredentials
    from enclave_runtime.kms.settings import KmsSettings, Purpose
    from enclave_runtime.kms.transport import Answer, Connector

_log = logging.getLogger(__name__)

SECRET_BYTES: Final = 32
"""Length of every secret: GenerateDataKey with the key specification AES_256."""

_RSA_BITS: Final = 3072
"""Its SubjectPublicKeyInfo has 422 bytes; an attestation document has room for 1024."""
_RSA_EXPONENT: Final = 65537

_RETRIES: Final = (0.5, 1.0, 2.0)
"""Seconds before each further attempt, after an answer that reports too many requests."""
_THROTTLED: Final = "ThrottlingException"
_REFUSALS: Final = {
    "AccessDeniedException": "kms_refused",
    **dict.fromkeys(("InvalidCiphertextException", "IncorrectKeyException"), "kms_ciphertext_refused"),
    "ValidationException": "kms_document_refused",
    **dict.fromkeys(
        (
            "ExpiredTokenException",
            "IncompleteSignature",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "MissingAuthenticationTokenException",
            "RequestExpired",
            "UnrecognizedClientException",
        ),
        "kms_request_refused",
    ),
    **dict.fromkeys(
        ("DisabledException", "InvalidKeyUsageException", "KMSInvalidStateException", "NotFoundException"),
        "kms_key_unusable",
    ),
}
"""Exception of the service to our error code (API reference, Decrypt, "Errors", and "Common error types")."""
_ERROR_NAME: Final = re.compile("[A-Za-z]{1,64}")


class KmsClient:
    """Decrypts ciphertexts of the key that the settings pin.

    Calls block; each exchange has a deadline and a size limit. `clock` returns the time for signatures (aware), `sleep`
    waits between attempts.
    """

    def __init__(
        self,
        settings: KmsSettings,
        producer: EvidenceProducer,
        credentials: InstanceCredentials,
        connect: Connector,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings, self._producer, self._credentials, self._connect = settings, producer, credentials, connect
        self._clock, self._sleep = clock, sleep
        self._tls = settings.tls()
        self._key = _make_key()

    def decrypt(self, blob: bytes, purpose: Purpose) -> bytes:
        """Decrypt `blob`, a `CiphertextBlob` with the encryption context of `purpose`, to 32 bytes.

        Raises `KmsError`, and `ProducerError` if there is no attestation document.
        """
        public_key = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        document = self._producer.attest(nonce=None, user_data=None, public_key=public_key)
        answer = self._ask(
            "Decrypt",
            {
                "CiphertextBlob": _base64(blob),
                "EncryptionContext": self._settings.context_for(purpose),
                "KeyId": self._settings.key,
                "Recipient": {
                    "AttestationDocument": _base64(document),
                    "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
                },
            },
        )
        secret = envelope.unseal(self._recipients_part(answer), self._key)
        if len(secret) != SECRET_BYTES:
            raise KmsError("kms_answer_invalid", f"The secret has {len(secret)} bytes, not {SECRET_BYTES}.")
        return secret

    def _recipients_part(self, answer: dict[str, Any]) -> bytes:
        found = answer.get("KeyId")
        if not isinstance(found, str) or not hmac.compare_digest(found.encode(), self._settings.key.encode()):
            raise KmsError("kms_other_key", "The service used another key than the pinned one.")
        # With a recipient, `Plaintext` must be null or empty; otherwise the secret was sent without encryption to it.
        if answer.get("Plaintext") or answer.get("EncryptionAlgorithm") != "SYMMETRIC_DEFAULT":
            raise KmsError("kms_answer_invalid", "The service did not answer for a recipient under a symmetric key.")
        sealed = answer.get("CiphertextForRecipient")
        try:
            return strict_base64.decode(sealed if isinstance(sealed, str) else "=")
        except binascii.Error as error:
            raise KmsError("kms_answer_invalid", "The service's answer has no part for this enclave.") from error

    def _ask(self, operation: str, members: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps(members).encode()
        for pause in (*_RETRIES, None):
            answer = self._send(operation, body)
            if answer.status == 200:
                return _members(answer)
            name = _error_name(answer)
            if name != _THROTTLED and answer.status != 429:
                code = _REFUSALS.get(name, "kms_failed")
                raise KmsError(code, f"The service refused to release the secret: {name}.")
            if pause is not None:
                _log.warning("the key service is throttling")
                self._sleep(pause)
        raise KmsError("kms_throttled", "The service answers too many requests at present.")

    def _send(self, operation: str, body: bytes) -> Answer:
        headers = sigv4.signed(
            {
                "Host": self._settings.endpoint,
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": f"TrentService.{operation}",
            },
            body,
            self._credentials.current(),
            region=self._settings.region,
            service="kms",
            at=self._clock(),
        )
        request = Request("POST", self._settings.endpoint, "/", headers, body)
        try:
            return exchange(self._connect, request, tls=self._tls)
        except ExchangeFailed as error:
            raise KmsError("kms_unreachable", f"The key service was not reached ({error}).") from error


def _make_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(_RSA_EXPONENT, _RSA_BITS)


def _members(answer: Answer) -> dict[str, Any]:
    try:
        members = strict_json.loads(answer.body)
    except ValueError as error:
        raise KmsError("kms_answer_invalid", "The service's answer is not JSON.") from error
    if not isinstance(members, dict):
        raise KmsError("kms_answer_invalid", "The service's answer is not an object.")
    return members


def _error_name(answer: Answer) -> str:
    """The name of the exception, without its message, which may be long and quote the request."""
    try:
        members = strict_json.loads(answer.body)
        name = str(members["__type"]).rpartition("#")[2] if isinstance(members, dict) else ""
    except (ValueError, KeyError):
        name = ""
    return name if _ERROR_NAME.fullmatch(name) else f"status {answer.status}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
