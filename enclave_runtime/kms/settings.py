"""The settings file of `serve --kms`: key, endpoint and bundle (docs/kms.md). It is part of the measured image."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from blindsight import strict_json
from blindsight.errors import AddressError, KmsError
from enclave_runtime.kms import amazon_roots
from enclave_runtime.kms.connect import connector

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT: Final = "blindsight-kms/1"
MAX_BYTES: Final = 64 * 1024

Purpose = Literal["root-secret", "bundle-key"]
PURPOSE: Final = "blindsight:purpose"
"""Member of the encryption context with the purpose of a ciphertext, so that one cannot replace another."""

_KEY: Final = re.compile(r"arn:(aws|aws-cn|aws-us-gov):kms:([a-z0-9-]{1,32}):[0-9]{12}:key/[A-Za-z0-9-]{1,64}")
_HOST: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+|localhost")
_SHA256: Final = re.compile("[0-9a-f]{64}")
_NEEDED: Final = {"format", "key", "region", "endpoint", "encryption_context"}
_OPTIONAL: Final = {"connect", "credentials", "bundle_sha256", "trusted_roots"}


@dataclass(frozen=True)
class KmsSettings:
    """The pinned values: `key` is an ARN, `endpoint` a host name, `context` the encryption context without purpose."""

    key: str
    region: str
    endpoint: str
    context: Mapping[str, str]
    connect: str = "vsock://3:8000"
    """Address of the forwarder to the endpoint. It cannot read the traffic: TLS ends in the enclave."""
    credentials: str = "vsock://3:8002"
    """Address of the forwarder to the instance metadata service. Its credentials decrypt nothing without this enclave's
    measurements."""
    bundle_sha256: bytes | None = None
    """Function checksum (SHA-256) of an encrypted bundle; None if the bundle is not encrypted."""
    trusted_roots: str = amazon_roots.PEM
    """PEM of the authorities that may issue the endpoint's certificate."""

    @classmethod
    def load(cls, path: Path) -> KmsSettings:
        """Read and check a settings file. Raises `KmsError` (`invalid_kms_settings`)."""
        try:
            with path.open("rb") as file:
                encoded = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise KmsError("invalid_kms_settings", f"{path} cannot be read: {error.strerror}.") from error
        try:
            return cls._parse(encoded)
        except ValueError as error:
            raise KmsError("invalid_kms_settings", f"{path}: {error}.") from error

    @classmethod
    def _parse(cls, encoded: bytes) -> KmsSettings:
        if len(encoded) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        members = strict_json.loads(encoded)
        if not isinstance(members, dict) or members.get("format") != FORMAT:
            raise ValueError(f"does not state the format {FORMAT}")
        for name in members.keys() - _NEEDED - _OPTIONAL:
            raise ValueError(f"unknown member {name!a}")
        for name in sorted(_NEEDED - members.keys()):
            raise ValueError(f"{name} is missing")
        texts = {name: _text(name, members[name]) for name in members.keys() - {"format", "encryption_context"}}
        key = _KEY.fullmatch(texts["key"])
        if not key or key[2] != texts["region"]:
            raise ValueError("key is not the ARN of a key (no alias) in the stated region")
        if not _HOST.fullmatch(texts["endpoint"]):
            raise ValueError("endpoint is not a host's name")
        if "bundle_sha256" in texts and not _SHA256.fullmatch(texts["bundle_sha256"]):
            raise ValueError("bundle_sha256 is not 64 hexadecimal digits")
        given: dict[str, Any] = {**texts, "context": _context(members["encryption_context"])}
        if "bundle_sha256" in texts:
            given["bundle_sha256"] = bytes.fromhex(texts["bundle_sha256"])
        settings = cls(**given)
        settings.tls()
        try:
            for address in (settings.connect, settings.credentials):
                connector(address)
        except AddressError as error:
            raise ValueError(str(error)) from error
        return settings

    def context_for(self, purpose: Purpose) -> dict[str, str]:
        """The complete encryption context of a ciphertext for `purpose`."""
        return {**self.context, PURPOSE: purpose}

    def tls(self) -> ssl.SSLContext:
        """A TLS context that trusts only `trusted_roots` and checks the endpoint's name.

        Raises `ValueError` if `trusted_roots` has no certificates.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_verify_locations(cadata=self.trusted_roots)
        except ssl.SSLError as error:
            raise ValueError("trusted_roots holds no certificates in PEM") from error
        return context


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value or not value.isascii():
        raise ValueError(f"{name} is not a text in ASCII")
    return value


def _context(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict) or PURPOSE in value:
        raise ValueError(f"encryption_context is not an object without {PURPOSE}")
    return MappingProxyType({_text("a name", name): _text(f"{name!a}", text) for name, text in value.items()})
