"""The envelope of encrypted values and functions."""

from __future__ import annotations

import base64
import itertools

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.cape import envelope
from blindsight.errors import CapeError
from tests.support.fake_cape_host import rsa_key

PLAINTEXT = b"a value of some length, longer than one block of the cipher"
KEY, OTHER_KEY = rsa_key("envelope"), rsa_key("another")
RSA_BYTES = 256


def raw(value: bytes) -> bytes:
    return base64.b64decode(value.removeprefix(b"cape:"))


def text(content: bytes) -> bytes:
    return b"cape:" + base64.b64encode(content)


@pytest.mark.parametrize("plaintext", [b"", b"x", PLAINTEXT, bytes(range(256)) * 300])
def test_what_is_encrypted_comes_back(plaintext: bytes) -> None:
    value = envelope.encrypt(KEY.public_key(), plaintext)
    assert value.startswith(b"cape:")
    assert len(raw(value)) == RSA_BYTES + 12 + len(plaintext) + 16
    assert envelope.decrypt(KEY, value) == plaintext


def test_the_layout_is_the_published_one() -> None:
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    content = raw(envelope.encrypt(KEY.public_key(), PLAINTEXT))
    aes = AESGCM(KEY.decrypt(content[:RSA_BYTES], oaep))
    assert aes.decrypt(content[RSA_BYTES : RSA_BYTES + 12], content[RSA_BYTES + 12 :], None) == PLAINTEXT
    key, nonce = bytes(range(32)), bytes(12)
    other_client = KEY.public_key().encrypt(key, oaep) + nonce + AESGCM(key).encrypt(nonce, PLAINTEXT, None)
    assert envelope.decrypt(KEY, text(other_client)) == PLAINTEXT


def test_each_envelope_is_fresh() -> None:
    first, second = (raw(envelope.encrypt(KEY.public_key(), PLAINTEXT)) for _ in range(2))
    assert first[:RSA_BYTES] != second[:RSA_BYTES]
    assert first[RSA_BYTES : RSA_BYTES + 12] != second[RSA_BYTES : RSA_BYTES + 12]


@settings(max_examples=25, deadline=None)
@given(plaintext=st.binary(max_size=500), cuts=st.lists(st.integers(0, 900), max_size=8), data=st.data())
def test_in_pieces_it_is_the_same(plaintext: bytes, cuts: list[int], data: st.DataObject) -> None:
    writer = envelope.Encryptor(KEY.public_key())
    middle = data.draw(st.integers(0, len(plaintext)))
    content = b"".join(
        [writer.start, writer.update(plaintext[:middle]), writer.update(plaintext[middle:]), writer.finish()]
    )
    assert envelope.decrypt(KEY, text(content)) == plaintext
    reader, opened = envelope.Decryptor(KEY), b""
    edges = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    for start, end in itertools.pairwise(edges):
        opened += reader.update(content[start:end])
    reader.finish()
    assert opened == plaintext


@pytest.mark.parametrize(
    "position", [0, RSA_BYTES - 1, RSA_BYTES, RSA_BYTES + 11, RSA_BYTES + 12, RSA_BYTES + 12 + len(PLAINTEXT), -1]
)
def test_a_change_anywhere_is_noticed(position: int) -> None:
    content = bytearray(raw(envelope.encrypt(KEY.public_key(), PLAINTEXT)))
    content[position] ^= 1
    with pytest.raises(CapeError, match="cannot be decrypted") as caught:
        envelope.decrypt(KEY, text(bytes(content)))
    assert caught.value.code == "cannot_decrypt"


@pytest.mark.parametrize("left", [0, 1, RSA_BYTES, RSA_BYTES + 12, RSA_BYTES + 12 + 15, -1])
def test_a_cut_envelope_is_refused(left: int) -> None:
    content = raw(envelope.encrypt(KEY.public_key(), PLAINTEXT))[:left]
    with pytest.raises(CapeError):
        envelope.decrypt(KEY, text(content))


def test_another_key_opens_nothing() -> None:
    with pytest.raises(CapeError) as caught:
        envelope.decrypt(OTHER_KEY, envelope.encrypt(KEY.public_key(), PLAINTEXT))
    assert caught.value.code == "cannot_decrypt"


def test_a_wrapped_key_of_another_size_is_refused() -> None:
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    key = bytes(16)
    content = KEY.public_key().encrypt(key, oaep) + bytes(12) + AESGCM(key).encrypt(bytes(12), PLAINTEXT, None)
    with pytest.raises(CapeError):
        envelope.decrypt(KEY, text(content))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" ", b"\t \n"])
def test_white_space_of_a_shell_does_no_harm(end: bytes) -> None:
    assert envelope.decrypt(KEY, envelope.encrypt(KEY.public_key(), PLAINTEXT) + end) == PLAINTEXT


@pytest.mark.parametrize(
    "value", [b"", b"cape", b"CAPE:AAAA", b" cape:AAAA", b"cape:", b"cape:A", b"cape:A-_=", b"cape:\xff"]
)
def test_what_is_no_value_is_refused(value: bytes) -> None:
    with pytest.raises(CapeError) as caught:
        envelope.decrypt(KEY, value)
    assert caught.value.code == "cannot_decrypt"


def test_keys_are_rsa_in_der() -> None:
    der = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    loaded = envelope.load_public_key(KEY.public_key().public_bytes(*der))
    assert loaded.public_numbers() == KEY.public_key().public_numbers()
    for content in (b"", b"no key", ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*der)):
        with pytest.raises(CapeError, match="key in unexpected format") as caught:
            envelope.load_public_key(content)
        assert caught.value.code == "bad_cape_key"


P256 = bytes.fromhex("06082a8648ce3d030107")
EC_KEY = bytes.fromhex("06072a8648ce3d0201")


@pytest.mark.parametrize("name", ["curve", "kind of key", "short"])
def test_keys_that_the_library_does_not_know_or_that_are_too_short_are_refused_alike(name: str) -> None:
    der = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    other = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*der)
    content = {
        "curve": other.replace(P256, P256[:-1] + b"\x77"),
        "kind of key": other.replace(EC_KEY, EC_KEY[:-1] + b"\x77"),
        "short": rsa.generate_private_key(65537, 1024).public_key().public_bytes(*der),
    }[name]
    assert content != other
    with pytest.raises(CapeError, match="key in unexpected format") as caught:
        envelope.load_public_key(content)
    assert caught.value.code == "bad_cape_key"
