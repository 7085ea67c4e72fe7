"""Harness for policy files of both formats (docs/policy.md)."""

from __future__ import annotations

import json
from typing import Any

from blindsight.attestation import Policy, UnsafeAcceptAnything, verify
from blindsight.attestation.document import encode
from blindsight.errors import EvidenceError, PolicyError
from fuzz import mock_pki
from fuzz.target import Target

_DOCUMENT = mock_pki.signed(encode(mock_pki.fields()))
_ROOT = "c" * 64


def run(data: bytes) -> None:
    """Check that accepted policies stay the same when written and read, and pin the code or state that it is open."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:  # As in `Policy.load`.
        raise PolicyError("unreadable_policy", "not UTF-8") from error
    policy = Policy.from_json(text)
    written = policy.to_json()
    assert Policy.from_json(written) == policy
    assert Policy.from_json(written).to_json() == written
    assert written.encode()
    for release in policy.releases:
        assert "code" in release.left_open or 0 in release.pcrs or {1, 2} <= release.pcrs.keys()
    try:
        found = verify(_DOCUMENT, policy=policy, nonce=mock_pki.NONCE, now=mock_pki.NOW)
    except EvidenceError as error:
        assert error.next_step
    else:
        assert found.root_sha256 is not None
        assert found.root_sha256 in json.dumps(json.loads(text)).lower()
        everything = verify(_DOCUMENT, policy=UnsafeAcceptAnything(), nonce=mock_pki.NONCE, now=mock_pki.NOW)
        assert found.document == everything.document


def seeds() -> dict[str, bytes]:
    """Policies of both formats with many members, and one that accepts the mock enclave."""
    release: dict[str, Any] = {
        "kind": "nitro", "name": "first", "version": "1.2.3", "pcrs": {"0": ["a" * 96], "16": ["b" * 96]},
        "function_checksums": ["d" * 64], "model_digests": ["e" * 64], "expires": "2027-01-31T00:00:00Z",
    }  # fmt: skip
    in_image = {"kind": "nitro", "pcrs": {"0": ["a" * 96]}, "function_in_image": True}
    left_open = {"kind": "simulated", "roots": [_ROOT], "any_code": True, "any_function": True}
    second = {
        "schema": "blindsight-policy/2", "releases": [release, in_image, left_open], "refuse": ["f" * 96, "1" * 64],
        "minimum_version": "1.0", "expires": "2028-01-01T00:00:00Z", "max_age_seconds": 60,
        "max_future_skew_seconds": 5,
    }  # fmt: skip
    first = {
        "schema": "blindsight-policy/1", "roots": [{"kind": "simulated", "sha256": _ROOT}], "pcrs": {"0": ["a" * 96]},
        "function_checksums": ["d" * 64], "model_digests": None, "max_age_seconds": 300,
    }  # fmt: skip
    return {
        "second": json.dumps(second).encode(),
        "small": json.dumps({"schema": "blindsight-policy/2", "releases": [in_image]}).encode(),
        "open": json.dumps({"schema": "blindsight-policy/2", "releases": [left_open]}).encode(),
        "first": json.dumps(first).encode(),
        "accepting": mock_pki.policy().to_json().encode(),
    }


TARGET = Target(
    run, (PolicyError,), seeds, max_bytes=3000,
    words=(
        b'"schema"', b'"releases"', b'"kind"', b'"nitro"', b'"simulated"', b'"roots"', b'"pcrs"', b'"refuse"',
        b'"expires"', b'"minimum_version"', b'"max_age_seconds"', b'"any_code"', b'"any_function"', b"true",
        b'"function_in_image"', b'"0001-01-01T00:00:00Z"', b'"9999-12-31T23:59:59Z"', b'"function_checksums"',
        b'"model_digests"', b"\\ud800",
    ),
)  # fmt: skip
