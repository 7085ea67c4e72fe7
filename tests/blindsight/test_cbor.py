from __future__ import annotations

import pytest

from blindsight import cbor


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
    assert cbor.decode(bytes.fromhex(encoded)) == value
    assert cbor.decode(bytes.fromhex(encoded), indefinite_map=True) == value


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
    for indefinite_map in (False, True):
        with pytest.raises(cbor.CBORDecodeError) as caught:
            cbor.decode(bytes.fromhex(encoded), indefinite_map=indefinite_map)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        ("bfff", {}),
        ("bf0102ff", {1: 2}),
        ("bf61610020a10304ff", {"a": 0, -1: {3: 4}}),
        ("bf01818100ff", {1: [[0]]}),
        ("bf0081818180ff", {0: [[[[]]]]}),
    ],
)
def test_an_indefinite_map_is_taken_where_it_is_asked_for(encoded: str, value: object) -> None:
    assert cbor.decode(bytes.fromhex(encoded), indefinite_map=True) == value
    with pytest.raises(cbor.CBORDecodeError) as caught:
        cbor.decode(bytes.fromhex(encoded))
    assert caught.value.code == "indefinite_length"


@pytest.mark.parametrize(
    ("encoded", "code"),
    [
        ("bf", "malformed_cbor"),  # no break
        ("bf0102", "malformed_cbor"),
        ("bf01", "malformed_cbor"),
        ("bf01ff", "indefinite_length"),  # an odd number of items
        ("bf010203ff", "indefinite_length"),
        ("bf01ffff", "indefinite_length"),
        ("bfffff", "trailing_bytes"),
        ("bf0102ff00", "trailing_bytes"),
        ("bf0102ff0304ff", "trailing_bytes"),
        ("bf01020103ff", "duplicate_key"),
        ("bf616101616101ff", "duplicate_key"),
        ("bf01bfffff", "indefinite_length"),  # everything within is definite
        ("bf019fffff", "indefinite_length"),
        ("bf015fffff", "indefinite_length"),
        ("bf7fff01ff", "indefinite_length"),
        ("bf0182ff00ff", "indefinite_length"),
        ("bf01a101ffff", "indefinite_length"),
        ("81bfff", "indefinite_length"),
        ("a101bfff", "indefinite_length"),
        ("9fff", "indefinite_length"),
        ("5fff", "indefinite_length"),
        ("7fff", "indefinite_length"),
        ("dfff", "indefinite_length"),
        ("1fff", "indefinite_length"),
        ("bff500ff", "malformed_cbor"),  # True as a key
        ("bf008181818100ff", "nesting_too_deep"),
    ],
)
def test_hostile_forms_of_the_indefinite_map(encoded: str, code: str) -> None:
    with pytest.raises(cbor.CBORDecodeError) as caught:
        cbor.decode(bytes.fromhex(encoded), indefinite_map=True)
    assert caught.value.code == code


@pytest.mark.parametrize(("encoded", "items"), [("83010203", 4), ("a10102", 3), ("8183010203", 5), ("00", 1)])
def test_values_are_counted(encoded: str, items: int) -> None:
    cbor.decode(bytes.fromhex(encoded), max_items=items)
    with pytest.raises(cbor.CBORDecodeError):
        cbor.decode(bytes.fromhex(encoded), max_items=items - 1)
