"""Harness for release files: statements and their envelopes (docs/release-file.md).

The first byte selects: even, the rest is the file; odd, it is the statement as JSON, which is made canonical first.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight import strict_json
from blindsight.attestation import Policy, Release, expected_pcr16
from blindsight.errors import ReleaseError
from blindsight.release_file import Function, Measurement, ReleaseFile, Subject, open_envelope, parse, sign
from fuzz.target import Target

_SIGNER = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"signer").digest())


def run(data: bytes) -> None:
    """Check that accepted files are canonical, and that their policies accept only what they measure."""
    content = data[1:]
    if data[:1] and data[0] % 2:
        content = _canonical(content)
    envelope = open_envelope(content)
    if envelope.signatures:
        _check(envelope)
    release = parse(envelope.payload)
    assert release.unknown or _without_policy(release.encode()) == _without_policy(envelope.payload)
    measured = {value for measurement in release.measurements for value in measurement.pcrs.values()}
    for accepted in release.policy.releases if release.policy else ():
        assert not accepted.left_open
        assert all(values <= measured for values in accepted.pcrs.values())


def _without_policy(statement: bytes) -> Any:  # noqa: ANN401 -- JSON
    """The statement without its policy, which has several encodings, such as digits in upper case."""
    members = json.loads(statement)
    members["predicate"].pop("policy", None)
    return members


def _check(envelope: Any) -> None:  # noqa: ANN401 -- an `Envelope`
    try:
        envelope.check(_SIGNER.public_key())
    except ReleaseError as error:
        assert error.code == "signature_invalid"
    else:
        assert envelope.payload == _release().encode(), "a signature was made without the key"


def _canonical(text: bytes) -> bytes:
    try:
        return rfc8785.dumps(strict_json.loads(text))
    except ValueError as error:
        raise ReleaseError("not_a_release", "no JSON") from error


def _release() -> ReleaseFile:
    checksum, model = hashlib.sha256(b"bundle").hexdigest(), hashlib.sha256(b"model").hexdigest()
    pcr16 = expected_pcr16(bytes.fromhex(checksum), bytes.fromhex(model)).hex()
    pcrs = {0: "01" * 48, 1: "02" * 48, 2: "03" * 48, 16: pcr16}
    accepted = Release(
        kind="simulated",
        roots=frozenset({"ab" * 32}),
        pcrs={index: frozenset({value}) for index, value in pcrs.items()},
        function_checksums=frozenset({checksum}),
    )
    return ReleaseFile(
        version="1.2.3",
        subjects=(
            Subject("a.whl", "aa" * 32, "bb" * 48),
            Subject("sbom.json", "cc" * 32, "dd" * 48),
            Subject("function.zip", checksum, "ee" * 48),
        ),
        formats={"policy": "blindsight-policy/2"},
        functions=(Function("function.zip", checksum, model),),
        measurements=(Measurement("simulated", "cape", checksum, pcrs, python="CPython 3.11"),),
        wheel="a.whl",
        sbom="sbom.json",
        page={"index.html": "ab" * 32},
        requirements={"requirements/client.txt": "cd" * 32},
        policy=Policy(releases=(accepted,)),
    )


def seeds() -> dict[str, bytes]:
    """A statement, and one in its envelope."""
    statement = _release().encode()
    other = json.loads(sign(statement, _SIGNER))
    other["signatures"].append({"sig": base64.b64encode(bytes(64)).decode()})
    return {
        "statement": b"\x00" + statement,
        "as-json": b"\x01" + json.dumps(json.loads(statement)).encode(),
        "envelope": b"\x00" + sign(statement, _SIGNER),
        "two-signatures": b"\x00" + json.dumps(other).encode(),
        "other-predicate": b"\x01" + b'{"_type":"https://in-toto.io/Statement/v1","predicateType":"x"}',
    }


TARGET = Target(
    run, (ReleaseError,), seeds, max_bytes=8000,
    words=(
        b'"policy"', b'"measurements"', b'"subject"', b'"digest"', b'"pcrs"', b'"kind"', b'"nitro"', b'"unknown"',
        b'"payload"',
        b'"signatures"', b'"sig"', b'"images"', b'"kernel"',
    ),
)  # fmt: skip
