from __future__ import annotations

import pytest

from blindsight.attestation import cbor
from blindsight.errors import EvidenceFormatError


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        ("1bffffffffffffffff", 2**64 - 1),
        ("3bffffffffffffffff", -(2**64)),
        ("4101", b"\x01"),
        ("62c3bc", "ü"),
        ("83f4f5f6", [False, True, None]),
        ("a301a00240617880", {1: {}, 2: b"", "x": []}),
    ],
)
def test_accepted(encoded: str, value: object) -> None:
    assert cbor.decode(bytes.fromhex(encoded), step=1) == value


@pytest.mark.parametrize(
    ("encoded", "code"),
    [
        ("1817", "malformed_cbor"),  # 23 in two bytes
        ("1900ff", "malformed_cbor"),  # 255 in three
        ("1a0000ffff", "malformed_cbor"),
        ("1b00000000ffffffff", "malformed_cbor"),
        ("580161", "malformed_cbor"),  # a length in two bytes that fits one
        ("1c", "malformed_cbor"),  # reserved
        ("f93c00", "malformed_cbor"),  # 1.0
        ("fb3ff0000000000000", "malformed_cbor"),
        ("f7", "malformed_cbor"),  # undefined
        ("f0", "malformed_cbor"),  # unassigned
        ("f818", "malformed_cbor"),
        ("61ff", "malformed_cbor"),  # not UTF-8
        ("a1f501", "malformed_cbor"),  # True as a key
        ("a1410001", "malformed_cbor"),  # bytes as a key
        ("a18001", "malformed_cbor"),  # an array as a key
        ("a1", "malformed_cbor"),
        ("82", "malformed_cbor"),
        ("a201010102", "duplicate_key"),
        ("5fff", "indefinite_length"),
        ("7fff", "indefinite_length"),
        ("ff", "indefinite_length"),
        ("818181818100", "nesting_too_deep"),
        ("c000", "unexpected_tag"),
        ("0000", "trailing_bytes"),
    ],
)
def test_refused(encoded: str, code: str) -> None:
    with pytest.raises(EvidenceFormatError) as caught:
        cbor.decode(bytes.fromhex(encoded), step=2)
    assert (caught.value.code, caught.value.step) == (code, 2)
