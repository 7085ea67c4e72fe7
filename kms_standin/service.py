"""The operations Decrypt, GenerateDataKey, GenerateDataKeyWithoutPlaintext and Encrypt (AWS KMS API reference)."""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blindsight import strict_json
from kms_standin import envelope, signatures
from kms_standin.keypolicy import Asked, KeyPolicy
from kms_standin.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from kms_standin.attested import Recipient, Verifier
    from kms_standin.keys import Keys
    from kms_standin.signatures import AccessKey

_TARGET = "TrentService."
_MAX_BLOB_BYTES = 6144
_MAX_DOCUMENT_BYTES = 262144
_KNOWN = {
    "Decrypt": {"CiphertextBlob", "EncryptionContext", "KeyId", "Recipient", "EncryptionAlgorithm"},
    "Encrypt": {"KeyId", "Plaintext", "EncryptionContext", "EncryptionAlgorithm"},
    "GenerateDataKey": {"KeyId", "KeySpec", "NumberOfBytes", "EncryptionContext", "Recipient"},
    "GenerateDataKeyWithoutPlaintext": {"KeyId", "KeySpec", "NumberOfBytes", "EncryptionContext"},
}


@dataclass
class Service:
    """The service of one region. `policies` maps a key's ARN to its policy, `access_keys` an id to its key."""

    region: str
    keys: Keys
    policies: dict[str, KeyPolicy]
    access_keys: Mapping[str, AccessKey]
    verifier: Verifier
    clock: Callable[[], datetime]

    def answer(self, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """The members of the JSON answer to a POST to `/`. Names of `headers` are in lower case.

        Checks in this order: operation, signature, members, attestation document, key policy, ciphertext. Raises
        `Refused`.
        """
        operation = headers.get("x-amz-target", "").removeprefix(_TARGET)
        if operation not in _KNOWN or headers.get("content-type") != "application/x-amz-json-1.1":
            raise Refused("UnknownOperationException", "This stand-in has no such operation.")
        caller = signatures.principal(headers, body, keys=self.access_keys, region=self.region, now=self.clock())
        try:
            members = strict_json.loads(body)
        except ValueError as error:
            raise Refused("SerializationException", "The body is not JSON.") from error
        if not isinstance(members, dict) or members.keys() - _KNOWN[operation]:
            raise Refused("ValidationException", "The request has members that this stand-in does not know.")
        return self._perform(operation, caller, members)

    def _perform(self, operation: str, caller: str, members: dict[str, Any]) -> dict[str, Any]:
        context = _context(members.get("EncryptionContext", {}))
        recipient = self._recipient(members["Recipient"]) if "Recipient" in members else None
        arn = members.get("KeyId")
        if not isinstance(arn, str):
            raise Refused("ValidationException", "There is no KeyId.")
        self._check(operation, caller, arn, context, recipient)
        if operation == "Decrypt":
            plaintext = self.keys.decrypt(arn, _bytes(members, "CiphertextBlob", _MAX_BLOB_BYTES), context)
            return {"KeyId": arn, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT", **_returned(plaintext, recipient)}
        if operation == "Encrypt":
            blob = self.keys.encrypt(arn, _bytes(members, "Plaintext", 4096), context)
            return {"KeyId": arn, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "CiphertextBlob": _base64(blob)}
        if members.get("KeySpec") != "AES_256" or "NumberOfBytes" in members:
            raise Refused("ValidationException", "This stand-in makes data keys of AES_256 only.")
        plaintext = secrets.token_bytes(32)
        made = {"KeyId": arn, "CiphertextBlob": _base64(self.keys.encrypt(arn, plaintext, context))}
        return made if operation.endswith("WithoutPlaintext") else {**made, **_returned(plaintext, recipient)}

    def _check(
        self, operation: str, caller: str, arn: str, context: Mapping[str, str], recipient: Recipient | None
    ) -> None:
        if arn not in self.policies:
            raise Refused("NotFoundException", "There is no such key.")
        values: dict[str, tuple[str, ...]] = {"aws:PrincipalArn": (caller,)}
        values |= {f"kms:EncryptionContext:{name}": (value,) for name, value in context.items()}
        if context:
            values["kms:EncryptionContextKeys"] = tuple(context)
        if recipient is not None:
            values |= recipient.values
        if not self.policies[arn].allows(Asked(caller, f"kms:{operation}", arn, values)):
            raise Refused(
                "AccessDeniedException",
                f"User: {caller} is not authorized to perform: kms:{operation} on resource: {arn} because no"
                " resource-based policy allows the action",
            )

    def _recipient(self, members: object) -> Recipient:
        if not isinstance(members, dict) or members.get("KeyEncryptionAlgorithm") != "RSAES_OAEP_SHA_256":
            raise Refused("ValidationException", "The recipient's key encryption algorithm is not RSAES_OAEP_SHA_256.")
        return self.verifier.recipient(_bytes(members, "AttestationDocument", _MAX_DOCUMENT_BYTES))


def _returned(plaintext: bytes, recipient: Recipient | None) -> dict[str, str]:
    if recipient is None:
        return {"Plaintext": _base64(plaintext)}
    return {"CiphertextForRecipient": _base64(envelope.seal(plaintext, recipient.key))}


def _context(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise Refused("ValidationException", "The encryption context is not an object of texts.")
    return value


def _bytes(members: Mapping[str, Any], name: str, limit: int) -> bytes:
    try:
        value = members.get(name)
        data = base64.b64decode(value.encode("ascii") if isinstance(value, str) else b"=", validate=True)
    except (ValueError, binascii.Error) as error:
        raise Refused("SerializationException", f"{name} is not base64.") from error
    if not 0 < len(data) <= limit:
        raise Refused("ValidationException", f"{name} has not 1 to {limit} bytes.")
    return data


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
