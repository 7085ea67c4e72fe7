"""Identifiers: base 57, 22 characters, version 4 UUIDs."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindsight.cape import ids

VECTORS = {
    "E7LiYKk4eSkEKAddXneVrX": "43f89414-1adb-4bc6-b454-ed084cbd9834",
    "bnEGDHiidQtxf9uUqTF29n": "bdd5d29d-b997-4bd1-962e-7e36b526fa93",
    "222222226WxN9XkumNJJJ9": "00000000-0000-4000-8000-000000000001",
}


@pytest.mark.parametrize(("text", "value"), VECTORS.items())
def test_published_identifiers(text: str, value: str) -> None:
    assert ids.encode(uuid.UUID(value)) == text
    assert ids.decode(text) == uuid.UUID(value)
    assert ids.is_id(text)


@given(st.uuids())
def test_every_uuid_comes_back(value: uuid.UUID) -> None:
    text = ids.encode(value)
    assert len(text) == ids.LENGTH
    assert set(text) <= set(ids.ALPHABET)
    assert ids.decode(text) == value


def test_new_ones_are_version_4_and_differ() -> None:
    made = {ids.new() for _ in range(100)}
    assert len(made) == 100
    assert all(ids.decode(text).version == 4 and ids.is_id(text) for text in made)


@pytest.mark.parametrize(
    "text",
    ["", "2" * 21, "2" * 23, "0" + "2" * 21, "l" * 22, "z" * 22, "E7LiYKk4eSkEKAddXneVr/", "E7LiYKk4eSkEKAddXneVré"],
)
def test_anything_else_is_none(text: str) -> None:
    assert not ids.is_id(text)
    with pytest.raises(ValueError):  # noqa: PT011 -- whatever it says
        ids.decode(text)


def test_another_version_is_no_identifier() -> None:
    assert not ids.is_id(ids.encode(uuid.UUID("00000000-0000-1000-8000-000000000001")))
