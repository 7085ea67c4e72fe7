"""A bundle in encrypted pieces: whatever is done to the pieces is noticed."""

from __future__ import annotations

import hashlib
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.errors import KmsError
from blindsight.sealing import stream
from blindsight.sealing.stream import HEADER_BYTES, PIECE_BYTES

KEY = bytes(range(32))
SEALED_PIECE = PIECE_BYTES + 16


def sealed(content: bytes, key: bytes = KEY) -> bytes:
    out = io.BytesIO()
    assert stream.seal(io.BytesIO(content).read, out, key) == hashlib.sha256(content).digest()
    return out.getvalue()


def opened(data: bytes, key: bytes = KEY, limit: int = 10 * PIECE_BYTES) -> bytes:
    out = io.BytesIO()
    digest = stream.unseal(io.BytesIO(data).read, out, key, limit=limit)
    assert digest == hashlib.sha256(out.getvalue()).digest()
    return out.getvalue()


@pytest.mark.parametrize(
    "size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES, 3 * PIECE_BYTES - 5]
)
def test_what_was_sealed_is_opened(size: int):
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    made = sealed(content)
    assert opened(made) == content
    pieces = max(1, -(-size // PIECE_BYTES))
    assert len(made) == HEADER_BYTES + size + 16 * pieces


def test_it_is_the_construction_that_the_module_names():
    """Written again from the description, with other calls."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    content = b"x" * (PIECE_BYTES + 3)
    made = sealed(content)
    assert made.startswith(b"blindsight-sealed-file/1\n")
    salt = made[25:57]
    key = HKDF(hashes.SHA256(), 32, salt, b"blindsight-sealed-file/1\n").derive(KEY)
    first = AESGCM(key).decrypt(bytes(12), made[57 : 57 + SEALED_PIECE], b"")
    last = AESGCM(key).decrypt(bytes(10) + b"\x01\x01", made[57 + SEALED_PIECE :], b"")
    assert first + last == content


def test_two_files_under_one_key_have_nothing_in_common():
    first, second = sealed(b"a" * 100), sealed(b"a" * 100)
    assert first[HEADER_BYTES:] != second[HEADER_BYTES:]


THREE = sealed(b"a" * PIECE_BYTES + b"b" * PIECE_BYTES + b"c" * 10)
PIECES = [THREE[HEADER_BYTES + i * SEALED_PIECE : HEADER_BYTES + (i + 1) * SEALED_PIECE] for i in range(3)]
HEADER = THREE[:HEADER_BYTES]
ANOTHER = sealed(b"a" * PIECE_BYTES + b"b" * PIECE_BYTES + b"c" * 10)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEADER,
        HEADER[:-1],
        b"B" + THREE[1:],
        HEADER + PIECES[0],
        HEADER + PIECES[0] + PIECES[1],
        HEADER + PIECES[0] + PIECES[2],
        HEADER + PIECES[1] + PIECES[0] + PIECES[2],
        HEADER + PIECES[0] + PIECES[0] + PIECES[2],
        HEADER + PIECES[2],
        THREE + b"\x00",
        THREE + PIECES[2],
        THREE[:-1],
        ANOTHER[:HEADER_BYTES] + b"".join(PIECES),
        HEADER + PIECES[0] + ANOTHER[HEADER_BYTES + SEALED_PIECE :],
    ],
    ids=[
        "nothing", "no piece", "half a header", "another magic", "one piece", "no last piece", "the middle left out",
        "exchanged", "repeated", "the last alone", "a byte more", "a piece more", "a byte less", "another salt",
        "mixed",
    ],
)  # fmt: skip
def test_other_pieces_are_refused(data: bytes):
    with pytest.raises(KmsError) as error:
        opened(data)
    assert error.value.code == "sealed_bundle_refused"


def test_another_key_is_refused():
    for key in (bytes(32), KEY[:-1], KEY + b"\x00"):
        with pytest.raises(KmsError):
            opened(THREE, key)
    with pytest.raises(KmsError):
        sealed(b"x", KEY[:16])


def test_an_empty_last_piece_is_refused():
    """A second way to write the same file: there is one only."""
    cipher = stream._cipher(KEY, HEADER[25:])
    pieces = cipher.encrypt(bytes(12), b"a" * PIECE_BYTES, None) + cipher.encrypt(bytes(10) + b"\x01\x01", b"", None)
    with pytest.raises(KmsError, match="empty piece"):
        opened(HEADER + pieces)


def test_no_more_than_the_limit_is_written():
    out = io.BytesIO()
    with pytest.raises(KmsError, match="too long"):
        stream.unseal(io.BytesIO(THREE).read, out, KEY, limit=PIECE_BYTES + 5)
    assert len(out.getvalue()) == PIECE_BYTES


def test_a_source_that_gives_little_at_a_time():
    source = io.BytesIO(THREE)
    out = io.BytesIO()
    stream.unseal(lambda size: source.read(min(size, 70_001)), out, KEY, limit=10 * PIECE_BYTES)
    assert out.getvalue() == b"a" * PIECE_BYTES + b"b" * PIECE_BYTES + b"c" * 10


SMALL = sealed(b"secret model")


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(SMALL) - 1), bit=st.integers(0, 7))
def test_every_changed_bit_is_noticed(at: int, bit: int):
    changed = bytearray(SMALL)
    changed[at] ^= 1 << bit
    with pytest.raises(KmsError):
        opened(bytes(changed))
