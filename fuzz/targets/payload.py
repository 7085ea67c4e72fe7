"""Harness for the payload of attestation documents: the input has fields, and the mock enclave signs them.

Each piece of the input (`fuzz.pieces`) replaces a field: its number is the field's, its content the value in CBOR,
well-formed or not. Pieces with larger numbers are added unchanged. One bit of the first number selects the map's form.
"""

from __future__ import annotations

import cbor2

from blindsight.attestation import UnsafeAcceptAnything, document, verify
from blindsight.errors import EvidenceError
from fuzz import mock_pki, pieces
from fuzz.target import Target

_FIELDS = mock_pki.fields()
_POLICY = mock_pki.policy()
_NAMES = list(_FIELDS)
_ANYTHING = UnsafeAcceptAnything()


def run(data: bytes) -> None:
    """Check that accepted documents match nonce, time and policy, and that their fields encode and parse again."""
    payload = _payload(data)
    # Before the expensive signature: the verifier refuses the same payloads in the same way.
    parsed = document.AttestationDocument.parse(payload)
    evidence = mock_pki.signed(payload)
    try:
        verified = verify(evidence, policy=_ANYTHING, nonce=None, now=mock_pki.NOW)
    except EvidenceError as error:
        assert error.next_step
    else:
        assert verified.document == parsed
        again = {name: getattr(parsed, name) for name in _NAMES if name != "timestamp"}
        again |= {"timestamp": parsed.timestamp_ms, "pcrs": dict(parsed.pcrs), "cabundle": list(parsed.cabundle)}
        known = document.AttestationDocument.parse(document.encode(again))
        assert (known.pcrs, known.user_data, known.timestamp_ms) == (parsed.pcrs, parsed.user_data, parsed.timestamp_ms)
    verified = verify(evidence, policy=_POLICY, nonce=mock_pki.NONCE, now=mock_pki.NOW)
    found = verified.document
    assert found.nonce == mock_pki.NONCE
    assert all(found.pcrs[index] == mock_pki.PCRS[index] for index in (0, 1, 2, 16))
    assert abs((found.timestamp - mock_pki.NOW).total_seconds()) <= 300
    assert verified.claims is not None
    assert verified.claims.func_checksum == mock_pki.CLAIMS.func_checksum


def _payload(data: bytes) -> bytes:
    values = {name: cbor2.dumps(value) for name, value in _FIELDS.items()}
    added, definite = [], False
    for number, content in pieces.unpack(data):
        definite = definite or number >= 128
        if number % 128 < len(_NAMES):
            values[_NAMES[number % 128]] = content
        else:
            added.append(content)
    entries = b"".join(cbor2.dumps(name) + value for name, value in values.items() if value) + b"".join(added)
    count = sum(1 for value in values.values() if value) + len(added)
    return (bytes([0xA0 + min(count, 23)]) + entries) if definite else b"\xbf" + entries + b"\xff"


def seeds() -> dict[str, bytes]:
    """Each field alone, in both forms of the map, and unknown fields."""
    found = {}
    for number, (name, value) in enumerate(_FIELDS.items()):
        if name not in {"certificate", "cabundle"}:
            found[name] = pieces.pack([(number, cbor2.dumps(value))])
            found[f"{name}-definite"] = pieces.pack([(number + 128, cbor2.dumps(value))])
    unknown = cbor2.dumps("nitrotpm_pcrs") + cbor2.dumps({4: bytes(48)})
    return found | {
        "unknown": pieces.pack([(100, unknown)]),
        "nulls": pieces.pack([(number, b"\xf6") for number in (6, 7, 8)]),
        "one-pcr": pieces.pack([(3, cbor2.dumps({0: mock_pki.PCRS[0]}))]),
        "empty": b"",
    }


TARGET = Target(
    run, (EvidenceError,), seeds, max_bytes=3000,
    words=(b"func_checksum", b"key_configs_sha256", b"model_sha256", b"receipt_key_sha256", b"nonce", b"user_data"),
)  # fmt: skip
