"""A Nitro security module in memory: all seven commands, real ES384 signatures, under a root of the tests.

It is called as a `Device` is: request in, response out. What it answers is written here and not with the runtime's own
protocol module, so that an error common to both would show. Errors are those seen of QEMU's device and listed by AWS.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PCRS = 32
LOCKED_AT_RESET = range(16)
BUFFER_BYTES = 0x3000
_ES384 = b"\xa1\x01\x38\x22"


class TestRoot:
    """A root of trust; `pem` holds it with its key, so that another process can use it."""

    __test__ = False

    def __init__(self, pem: bytes | None = None) -> None:
        if pem is None:
            self.key = ec.generate_private_key(ec.SECP384R1())
            self.certificate = certificate("tests.nsm-root", self.key, None, days=3650, path_length=None)
        else:
            key = serialization.load_pem_private_key(pem, None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            self.key, self.certificate = key, x509.load_pem_x509_certificate(pem)

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def pem(self) -> bytes:
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key + self.certificate.public_bytes(serialization.Encoding.PEM)


@dataclass
class FakeNsm:
    """`pcrs` are what the boot measured, index to 48 bytes; `answers` replaces what a command answers."""

    root: TestRoot = field(default_factory=TestRoot)
    pcrs: dict[int, bytes] = field(default_factory=lambda: {index: bytes([index + 1]) * 48 for index in range(3)})
    answers: dict[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    indefinite: bool = False
    """Whether responses are maps of indefinite length."""
    emulated: bool = False
    """Whether documents are unsigned, as those of QEMU's machine."""
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._turn = threading.Lock()
        self.registers = [self.pcrs.get(index, bytes(48)) for index in range(MAX_PCRS)]
        self.locked = set(LOCKED_AT_RESET)
        self.module_id = f"i-{secrets.token_hex(8)}0-enc{secrets.token_hex(8)}"
        issuer, issuing = self.root.certificate, self.root.key
        bundle = [issuer]
        for path_length, name in ((2, "regional"), (1, "zonal"), (0, "instance")):
            key = ec.generate_private_key(ec.SECP384R1())
            issuer = certificate(f"tests.{name}", key, (issuer, issuing), days=1, path_length=path_length)
            issuing = key
            bundle.append(issuer)
        self._key = ec.generate_private_key(ec.SECP384R1())
        self._leaf = _der(certificate("tests.leaf", self._key, (issuer, issuing), days=1, path_length=-1))
        self._bundle = [_der(each) for each in bundle]

    def __call__(self, request: bytes) -> bytes:
        assert len(request) <= 0x1000
        decoded = cbor2.loads(request)
        command, arguments = (decoded, {}) if isinstance(decoded, str) else next(iter(decoded.items()))
        with self._turn:
            self.calls.append(command)
            response = self._encoded(command, self._answer(command, arguments))
        return self.answers.get(command, bytes)(response)[:BUFFER_BYTES]

    def _encoded(self, command: str, answer: Any) -> bytes:
        if answer is None:
            return cbor2.dumps(command)
        name, content = ("Error", answer) if isinstance(answer, str) else (command, answer)
        if not self.indefinite:
            return cbor2.dumps({name: content})
        entries = b"".join(cbor2.dumps(key) + cbor2.dumps(value) for key, value in content.items())
        return b"\xbf" + cbor2.dumps(name) + b"\xbf" + entries + b"\xff\xff"

    def _answer(self, command: str, arguments: dict[str, Any]) -> Any:
        """Fields; None where there are none; a text for an error."""
        index = arguments.get("index", 0)
        if index >= MAX_PCRS:
            return "InvalidIndex"
        if command in {"ExtendPCR", "LockPCR"} and index in self.locked:
            return "ReadOnlyIndex"
        match command:
            case "DescribeNSM":
                return {
                    "digest": "SHA384", "max_pcrs": MAX_PCRS, "module_id": self.module_id,
                    "locked_pcrs": sorted(self.locked), "version_major": 1, "version_minor": 0, "version_patch": 0,
                }  # fmt: skip
            case "GetRandom":
                return {"random": secrets.token_bytes(256)}
            case "DescribePCR":
                return {"data": self.registers[index], "lock": index in self.locked}
            case "ExtendPCR":
                self.registers[index] = hashlib.sha384(self.registers[index] + arguments["data"]).digest()
                return {"data": self.registers[index]}
            case "LockPCR":
                self.locked.add(index)
                return None
            case "LockPCRs":
                self.locked.update(range(arguments["range"]))
                return None
            case "Attestation":
                limits = {"user_data": 1024, "nonce": 512, "public_key": 1024}
                if any(len(arguments[name] or b"") > limit for name, limit in limits.items()):
                    return "InputTooLarge"
                return {"document": self._document(**arguments)}
            case _:
                return "InvalidOperation"

    def _document(self, *, user_data: bytes | None, nonce: bytes | None, public_key: bytes | None) -> bytes:
        leaf, bundle = (bytes(64), [bytes(64)]) if self.emulated else (self._leaf, self._bundle)
        payload = {
            "module_id": self.module_id, "digest": "SHA384", "timestamp": int(datetime.now(UTC).timestamp() * 1000),
            "pcrs": {index: self.registers[index] for index in sorted(self.locked)}, "certificate": leaf,
            "cabundle": bundle, "public_key": public_key, "user_data": user_data, "nonce": nonce,
        }  # fmt: skip
        if self.emulated:
            return cbor2.dumps([b"\xa1\x01\x20", {}, cbor2.dumps(payload), bytes(64)])
        encoded = b"\xbf" + b"".join(cbor2.dumps(k) + cbor2.dumps(v) for k, v in payload.items()) + b"\xff"
        signed = cbor2.dumps(["Signature1", _ES384, b"", encoded])
        r, s = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA384())))
        return cbor2.dumps([_ES384, {}, encoded, r.to_bytes(48, "big") + s.to_bytes(48, "big")])


def certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
    *,
    days: int,
    path_length: int | None,
) -> x509.Certificate:
    """A certificate of Nitro's shape; `path_length` -1 is a leaf."""
    ca = path_length != -1
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
    unused = ("key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only", "crl_sign")
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=not ca, key_cert_sign=ca, **dict.fromkeys(unused, False)
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length if ca else None), critical=True)
        .add_extension(usage, critical=ca)
    )
    return builder.sign(issuer[1] if issuer else key, hashes.SHA384())


def _der(each: x509.Certificate) -> bytes:
    return each.public_bytes(serialization.Encoding.DER)
