"""Makes tests/vectors/eif: small images, and what they measure. It follows AWS's README and uses no code of ours.

python -m tests.support.eif_golden
"""

from __future__ import annotations

import json
import struct
import zlib
from datetime import UTC, datetime
from hashlib import sha384
from pathlib import Path

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

FOLDER = Path(__file__).parents[1] / "vectors" / "eif"
KEY = ec.derive_private_key(0x10E1F, ec.SECP384R1())
KEY_PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "golden signer")])
VALID = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC))
CERTIFICATE = x509.CertificateBuilder(NAME, NAME, KEY.public_key(), 7, *VALID).sign(
    KEY, SHA384(), ecdsa_deterministic=True
)
KERNEL = (
    b"\x4d\x5a"
    + bytes(0x1FC)
    + b"\x55\xaa"
    + b"\xeb\x66HdrS"
    + bytes(8)
    + b"\x10\x00"
    + b"6.6.38-golden (me)\0"
    + bytes(99)
)
CMDLINE = b"reboot=k panic=30 pci=off console=ttyS0"
METADATA = json.dumps(
    {
        "ImageName": "golden",
        "ImageVersion": "1",
        "BuildMetadata": {
            "BuildTime": "2026-01-01T00:00:00+00:00",
            "BuildTool": "by hand",
            "BuildToolVersion": "1",
            "OperatingSystem": "Linux",
            "KernelVersion": "6.6.38",
        },
        "DockerInfo": {},
        "CustomMetadata": None,
    }
).encode()


def cpio(*files: tuple[str, int, bytes]) -> bytes:
    """A newc archive of (name, mode, data)."""
    out = b""
    for number, (name, mode, data) in enumerate((*files, ("TRAILER!!!", 0, b"")), start=1):
        fields = (number * (mode > 0), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        entry = b"070701" + "".join(f"{field:08X}" for field in fields).encode() + name.encode() + b"\0"
        out += entry + bytes(-len(entry) % 4) + data + bytes(-len(data) % 4)
    return out


def register(content: bytes) -> bytes:
    return sha384(bytes(48) + sha384(content).digest()).digest()


def signature(pcr0: bytes) -> bytes:
    payload = cbor2.dumps({"register_index": 0, "register_value": list(pcr0)})
    signed = cbor2.dumps(["Signature1", b"\xa1\x01\x38\x22", b"", payload])
    r, s = decode_dss_signature(KEY.sign(signed, ec.ECDSA(SHA384(), deterministic_signing=True)))
    message = cbor2.dumps([b"\xa1\x01\x38\x22", {}, payload, r.to_bytes(48, "big") + s.to_bytes(48, "big")])
    pem = CERTIFICATE.public_bytes(Encoding.PEM)
    return cbor2.dumps([{"signing_certificate": list(pem), "signature": list(message)}])


def image(sections: list[tuple[int, bytes]], *, flags: int = 0, **changes: int) -> bytes:
    """An image of (type, data), with the fields of its header changed that `changes` names."""
    body, offsets = b"", []
    for kind, data in sections:
        offsets.append(548 + len(body))
        body += struct.pack(">HHQ", kind, 0, len(data)) + data
    rest = [0] * (32 - len(sections))
    fields = {
        "version": 4,
        "flags": flags,
        "memory": 1 << 30,
        "cpus": 2,
        "reserved": 0,
        "count": len(sections),
    } | changes
    unused = fields.pop("unused", 0)
    sizes = [len(data) for _, data in sections]
    header = struct.pack(">4sHHQQHH64QI", b".eif", *fields.values(), *offsets, *rest, *sizes, *rest, unused)
    return header + struct.pack(">I", zlib.crc32(header + body)) + body


def fixed(content: bytes) -> bytes:
    """`content`, changed after it was made, with the CRC that it should have."""
    return content[:544] + struct.pack(">I", zlib.crc32(content[548:], zlib.crc32(content[:544]))) + content[548:]


BOOT = cpio(("init", 0o100755, b"#!boot"), ("dev", 0o40755, b""))
APPLICATION = cpio(("app/labels.txt", 0o100644, b"cat\ndog\n"))
BASE = [(1, KERNEL), (2, CMDLINE), (5, METADATA), (3, BOOT)]


def images() -> dict[str, tuple[bytes, dict[str, str]]]:
    """By name: the image, and what it measures, in hexadecimal."""
    start = KERNEL + CMDLINE
    one = {0: register(start + BOOT), 1: register(start + BOOT), 2: register(b"")}
    two = one | {0: register(start + BOOT + APPLICATION), 2: register(APPLICATION)}
    signed = two | {8: register(CERTIFICATE.public_bytes(Encoding.DER))}
    made = {
        "one-ramdisk": (image(BASE), one),
        "two-ramdisks": (image([*BASE, (3, APPLICATION)]), two),
        "aarch64": (image(BASE, flags=1), one),
        "signed": (image([*BASE, (3, APPLICATION), (4, signature(two[0]))]), signed),
    }
    return {
        name: (content, {"crc": content[544:548].hex()} | {f"PCR{pcr}": value.hex() for pcr, value in pcrs.items()})
        for name, (content, pcrs) in made.items()
    }


if __name__ == "__main__":
    for name, (content, _) in images().items():
        (FOLDER / f"{name}.eif").write_bytes(content)
    expected = {name: values for name, (_, values) in images().items()}
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", "utf-8")
