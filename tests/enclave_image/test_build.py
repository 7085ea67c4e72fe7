"""What is in an image: only what has a reason, and what the description says of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from blindsight import eif
from blindsight.eif.measure import certificate_register
from enclave_image import system
from enclave_image.build import build
from enclave_image.errors import ImageError
from tests.support import tiny_image

SOURCES = {"enclave_runtime/boot.py": b"boot", "blindsight/__init__.py": b"core"}


def _signing() -> tuple[bytes, bytes, bytes]:
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "builder")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA384())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    return (
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        certificate.public_bytes(pem),
        certificate.public_bytes(serialization.Encoding.DER),
    )


def test_only_wanted_files_are_kept(tmp_path: Path) -> None:
    given = tiny_image.inputs(tmp_path, b"zip", SOURCES)
    tree = system.build(
        packages=given.packages,
        distributions=given.wheels,
        modules=given.kernel.modules,
        compile_library=given.compile_library,
    )
    paths = [path for path, _ in tree]
    assert "usr/lib/x86_64-linux-gnu/libz.so.1" in paths
    assert tree["usr/bin/python3.11"].mode & 0o777 == 0o755
    assert "usr/local/lib/python3.11/dist-packages/cbor2/__init__.py" in paths
    assert not [path for path in paths if "copyright" in path or path.endswith(".pyc") or "protobuf" in path]
    assert not [path for path in paths if "cbor2/tests" in path]
    assert tree["lib"].content == b"usr/lib"
    assert tree["init"].content.startswith(b"#!/usr/bin/python3.11 -ISB\n")
    assert tree["usr/lib/enclave/modules/load"].content == b"nsm.ko\n"


def test_the_description_says_what_is_inside_and_why(tmp_path: Path) -> None:
    description = build(tiny_image.inputs(tmp_path / "in", b"zip", SOURCES), tmp_path / "enclave.eif")
    parts = {part["part"]: part for part in description["trusted_set"]}
    assert all(part["reason"] for part in parts.values())
    assert parts["function"]["bytes"] == 3
    assert parts["enclave_runtime"]["ramdisk"] == 1
    assert parts["python3.11-minimal"]["ramdisk"] == 0
    with (tmp_path / "enclave.eif").open("rb") as file:
        measured = eif.measure(eif.Image.read(file))
    assert {str(index): value.hex() for index, value in measured.registers.items()} == description["pcrs"]


def test_the_settings_name_the_function_and_the_variant(tmp_path: Path) -> None:
    given = tiny_image.inputs(
        tmp_path / "in", b"zip", SOURCES, configured={"kms.json": b"{}"}, arguments=["--workers", "2"]
    )
    build(given, tmp_path / "enclave.eif")
    content = (tmp_path / "enclave.eif").read_bytes()
    start = content.index(b'{"arguments"')
    settings = json.loads(content[start : content.index(b"\0", start)])
    arguments = settings["arguments"]
    assert settings["format"] == "blindsight-enclave/1"
    assert arguments[arguments.index("--variant") + 1] == "classifier"
    assert arguments[arguments.index("--function-checksum") + 1].startswith("4a")  # SHA-256 of b"zip"
    assert arguments[-2:] == ["--workers", "2"]
    assert "etc/blindsight/kms.json" in content.decode("latin-1")


def test_a_signed_image_has_the_certificate_in_register_8(tmp_path: Path) -> None:
    key, certificate, der = _signing()
    plain = tiny_image.inputs(tmp_path / "in", b"zip", SOURCES)
    signed = dataclasses.replace(plain, key=key, certificate=certificate)
    before, after = build(plain, tmp_path / "plain.eif"), build(signed, tmp_path / "signed.eif")
    assert after["pcrs"].pop("8") == certificate_register(der).hex()
    assert before["pcrs"] == after["pcrs"]


@pytest.mark.parametrize("kind", ["package", "wheel"])
def test_what_has_no_reason_is_refused(tmp_path: Path, kind: str) -> None:
    stranger = tiny_image.deb(tmp_path / "busybox.deb", {"bin/busybox": b"shell"})
    changes = (
        {"packages": [tiny_image.package("busybox", stranger)]}
        if kind == "package"
        else {"wheels": [tiny_image.wheel(tmp_path, "requests", {"requests/__init__.py": b""})]}
    )
    with pytest.raises(ImageError, match="is not in the trusted set"):
        build(tiny_image.inputs(tmp_path / "in", b"zip", SOURCES, **changes), tmp_path / "enclave.eif")
    assert not (tmp_path / "enclave.eif").exists()


@pytest.mark.parametrize("name", ["../../etc/shadow", "usr/../../x"])
def test_a_file_that_leaves_the_image_is_refused(tmp_path: Path, name: str) -> None:
    package = tiny_image.package("zlib1g", tiny_image.deb(tmp_path / "z.deb", {name: b"x"}))
    with pytest.raises(ImageError, match="has the name"):
        build(tiny_image.inputs(tmp_path / "in", b"zip", SOURCES, packages=[package]), tmp_path / "enclave.eif")


def test_a_missing_library_is_found_before_the_boot(tmp_path: Path) -> None:
    executable = Path(sys.executable).read_bytes()  # Any program that is linked with libraries.
    package = tiny_image.package(
        "python3.11-minimal", tiny_image.deb(tmp_path / "p.deb", {"usr/bin/python3.11": executable})
    )
    with pytest.raises(ImageError, match=r"usr/bin/python3\.11 needs lib"):
        build(tiny_image.inputs(tmp_path / "in", b"zip", SOURCES, packages=[package]), tmp_path / "enclave.eif")


def test_an_encrypted_bundle_is_no_part_of_the_image_and_pinned_by_it(tmp_path: Path) -> None:
    pinned = json.dumps({"bundle_sha256": "ab" * 32}).encode()
    given = tiny_image.inputs(tmp_path / "in", None, SOURCES, configured={"kms.json": pinned})
    description = build(given, tmp_path / "enclave.eif")
    assert description["function_checksum"] == "ab" * 32
    assert b"function.zip" not in (tmp_path / "enclave.eif").read_bytes()


def test_an_encrypted_bundle_in_the_image_is_named_by_what_is_in_it(tmp_path: Path) -> None:
    """Evidence names the clear bundle; the runtime is told to refuse another encrypted file."""
    pinned = json.dumps({"bundle_sha256": "ab" * 32}).encode()
    given = tiny_image.inputs(tmp_path / "in", b"sealed", SOURCES, configured={"kms.json": pinned})
    assert build(given, tmp_path / "enclave.eif")["function_checksum"] == "ab" * 32
    assert hashlib.sha256(b"sealed").hexdigest().encode() in (tmp_path / "enclave.eif").read_bytes()


@pytest.mark.parametrize("configured", [{}, {"kms.json": b"{}"}, {"kms.json": b"[]"}, {"kms.json": b"{"}])
def test_an_image_without_a_function_is_refused(tmp_path: Path, configured: dict[str, bytes]) -> None:
    given = tiny_image.inputs(tmp_path / "in", None, SOURCES, configured=configured)
    with pytest.raises(ImageError):
        build(given, tmp_path / "enclave.eif")
    assert not (tmp_path / "enclave.eif").exists()
