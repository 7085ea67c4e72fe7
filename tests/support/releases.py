"""A release for tests: two small artifacts, a bundle of nothing but a manifest, and what they measure."""

from __future__ import annotations

import hashlib
import json
import zipfile
from typing import TYPE_CHECKING, Any

import rfc8785

from blindsight.attestation.claims import expected_pcr16
from blindsight.attestation.policy import Policy
from blindsight.attestation.release import Release
from blindsight.release_file import Function, Measurement, ReleaseFile, Subject

if TYPE_CHECKING:
    from pathlib import Path

ROOT = "ab" * 32
PCRS = {0: "01" * 48, 1: "02" * 48, 2: "03" * 48}
MANIFEST = {"name": "tiny", "version": "1"}


def subject(path: Path) -> Subject:
    content = path.read_bytes()
    return Subject(path.name, hashlib.sha256(content).hexdigest(), hashlib.sha384(content).hexdigest())


def release(folder: Path) -> ReleaseFile:
    """Write the artifacts into `folder`; the release that they are."""
    (folder / "blindsight.whl").write_bytes(b"a wheel")
    (folder / "sbom.cdx.json").write_bytes(b"{}")
    (folder / "index.html").write_bytes(b"<html>")
    bundle = folder / "function.zip"
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr(zipfile.ZipInfo("model.json"), json.dumps(MANIFEST))
    model = hashlib.sha256(rfc8785.dumps(MANIFEST)).digest()
    checksum = subject(bundle).sha256
    pcrs = PCRS | {16: expected_pcr16(bytes.fromhex(checksum), model).hex()}
    accepted = Release(
        kind="simulated",
        roots=frozenset({ROOT}),
        pcrs={index: frozenset({value}) for index, value in pcrs.items()},
        function_checksums=frozenset({checksum}),
    )
    return ReleaseFile(
        version="1.2.3",
        subjects=tuple(subject(folder / name) for name in ("blindsight.whl", "sbom.cdx.json", "function.zip")),
        formats={"policy": "blindsight-policy/2"},
        functions=(Function("function.zip", checksum, model.hex()),),
        measurements=(Measurement("simulated", "cape", checksum, pcrs, python="CPython 3.11"),),
        wheel="blindsight.whl",
        sbom="sbom.cdx.json",
        page={"index.html": subject(folder / "index.html").sha256},
        requirements={"requirements/client.txt": "cd" * 32},
        policy=Policy(releases=(accepted,)),
    )


def members(folder: Path) -> dict[str, Any]:
    """The statement of `release`, to be changed and encoded anew with `encoded`."""
    statement: dict[str, Any] = json.loads(release(folder).encode())
    return statement


def encoded(statement: dict[str, Any]) -> bytes:
    return rfc8785.dumps(statement)
