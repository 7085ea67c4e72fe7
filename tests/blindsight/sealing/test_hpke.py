"""HPKE against the published vectors, against `cryptography`'s own HPKE, and against damage."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke as theirs
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.errors import SealingError
from blindsight.sealing import hpke, kem
from blindsight.sealing.kem import X25519_BYTES, HybridPrivateKey, cannot_open
from tests.blindsight.sealing.hpke_vectors import EXPORT_CONTEXTS, INFO, PLAINTEXT, VECTORS, Vector

brief = settings(deadline=None, max_examples=40)  # The processor is shared; time is not what is tested.

SUITES = [hpke.Suite(aead_id=aead_id) for aead_id in hpke.AEAD_KEY_BYTES]
THEIR_AEADS = {1: theirs.AEAD.AES_128_GCM, 2: theirs.AEAD.AES_256_GCM, 3: theirs.AEAD.CHACHA20_POLY1305}

LOW_ORDER = [
    # The points of small order that RFC 7748, section 6.1, leads to all-zero secrets with, as listed on cr.yp.to/ecdh.
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


def private(raw: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(bytes.fromhex(raw))


def sender(vector: Vector) -> tuple[bytes, hpke.SenderContext]:
    suite = hpke.Suite(aead_id=vector.aead_id)
    return hpke.setup_sender(bytes.fromhex(vector.public_key), INFO, suite, ephemeral=private(vector.ephemeral))


def recipient(vector: Vector) -> hpke.RecipientContext:
    suite = hpke.Suite(aead_id=vector.aead_id)
    return hpke.setup_recipient(bytes.fromhex(vector.enc), private(vector.recipient), INFO, suite)


@pytest.fixture(params=VECTORS.values(), ids=VECTORS.keys())
def vector(request: pytest.FixtureRequest) -> Vector:
    return request.param


def test_vector_encapsulates(vector):
    enc, _ = sender(vector)
    assert enc.hex() == vector.enc


def test_vector_seals_and_opens_every_sequence_number(vector):
    (_, sealing), opening = sender(vector), recipient(vector)
    for number in range(max(vector.ciphertexts) + 1):
        aad = f"Count-{number}".encode()
        ciphertext = sealing.seal(PLAINTEXT, aad)
        if number in vector.ciphertexts:
            assert ciphertext.hex() == vector.ciphertexts[number]
        assert opening.open(ciphertext, aad) == PLAINTEXT


def test_vector_exports_on_both_sides(vector):
    _, sealing = sender(vector)
    for context in (sealing, recipient(vector)):
        assert tuple(context.export(label, 32).hex() for label in EXPORT_CONTEXTS) == vector.exports


@pytest.mark.parametrize("suite", SUITES, ids=str)
@brief
@given(plaintext=st.binary(max_size=300), info=st.binary(max_size=64))
def test_cryptography_opens_what_we_seal(suite, plaintext, info):
    key = X25519PrivateKey.generate()
    enc, context = hpke.setup_sender(key.public_key().public_bytes_raw(), info, suite)
    other = theirs.Suite(theirs.KEM.X25519, theirs.KDF.HKDF_SHA256, THEIR_AEADS[suite.aead_id])
    assert other.decrypt(enc + context.seal(plaintext), key, info) == plaintext


@pytest.mark.parametrize("suite", SUITES, ids=str)
@brief
@given(plaintext=st.binary(max_size=300), info=st.binary(max_size=64))
def test_we_open_what_cryptography_seals(suite, plaintext, info):
    key = X25519PrivateKey.generate()
    other = theirs.Suite(theirs.KEM.X25519, theirs.KDF.HKDF_SHA256, THEIR_AEADS[suite.aead_id])
    sealed = other.encrypt(plaintext, key.public_key(), info)
    context = hpke.setup_recipient(sealed[:X25519_BYTES], key, info, suite)
    assert context.open(sealed[X25519_BYTES:]) == plaintext


@pytest.mark.parametrize("suite", SUITES, ids=str)
@brief
@given(st.data())
def test_any_change_is_one_indistinct_refusal(suite, data):
    key = X25519PrivateKey.generate()
    enc, context = hpke.setup_sender(key.public_key().public_bytes_raw(), b"info", suite)
    message = enc + context.seal(b"plaintext", b"aad")
    kind = data.draw(st.sampled_from(["flip", "cut", "extend", "other key", "other info", "other aad"]))
    info, aad = b"info", b"aad"
    match kind:
        case "flip":
            changed = bytearray(message)
            bit = data.draw(st.integers(0, 8 * len(message) - 1))
            # RFC 7748, section 5: the top bit of the u-coordinate is masked, but HPKE binds the encoded bytes.
            changed[bit // 8] ^= 1 << bit % 8
            message = bytes(changed)
        case "cut":
            message = message[: data.draw(st.integers(0, len(message) - 1))]
        case "extend":
            message += data.draw(st.binary(min_size=1, max_size=40))
        case "other key":
            key = X25519PrivateKey.generate()
        case "other info":
            info = b"inf0"
        case "other aad":
            aad = b""
    with pytest.raises(SealingError) as refusal:
        hpke.setup_recipient(message[:X25519_BYTES], key, info, suite).open(message[X25519_BYTES:], aad)
    assert refusal.value.code == "cannot_open"
    assert str(refusal.value) == str(cannot_open())


def test_a_failed_opening_does_not_count():
    """RFC 9180, 5.2: the sequence number is incremented only after success."""
    key = X25519PrivateKey.generate()
    enc, sealing = hpke.setup_sender(key.public_key().public_bytes_raw(), b"", SUITES[0])
    opening = hpke.setup_recipient(enc, key, b"", SUITES[0])
    first, second = sealing.seal(b"first"), sealing.seal(b"second")
    for unopenable in (second, b"", first[:-1]):
        with pytest.raises(SealingError):
            opening.open(unopenable)
    assert [opening.open(first), opening.open(second)] == [b"first", b"second"]


@pytest.mark.parametrize("point", LOW_ORDER)
def test_low_order_points_are_refused_on_both_sides(point):
    """RFC 9180, 7.1.4: an all-zero shared secret would be known to everyone."""
    for high_bit in (0, 0x80):
        raw = bytearray.fromhex(point)
        raw[31] |= high_bit
        with pytest.raises(SealingError) as refusal:
            hpke.setup_recipient(bytes(raw), X25519PrivateKey.generate(), b"", SUITES[0])
        assert refusal.value.code == "cannot_open"
        with pytest.raises(SealingError) as refusal:
            hpke.setup_sender(bytes(raw), b"", SUITES[0])
        assert refusal.value.code == "cannot_open"


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_refused(length):
    with pytest.raises(SealingError):
        hpke.setup_recipient(bytes([9]) * length, X25519PrivateKey.generate(), b"", SUITES[0])


@pytest.mark.parametrize(("kdf_id", "aead_id"), [(2, 1), (1, 0), (1, 4), (1, 0xFFFF)])
def test_other_suites_are_refused(kdf_id, aead_id):
    with pytest.raises(SealingError) as refusal:
        hpke.Suite(kdf_id, aead_id)
    assert refusal.value.code == "unsupported_suite"


def test_encapsulations_are_fresh():
    public = X25519PrivateKey.generate().public_key().public_bytes_raw()
    assert len({hpke.setup_sender(public, b"", SUITES[0])[0] for _ in range(8)}) == 8


def test_the_comparison_partner_refuses_damage_too():
    """The interoperability tests mean nothing if `cryptography` accepted everything."""
    key = X25519PrivateKey.generate()
    enc, context = hpke.setup_sender(key.public_key().public_bytes_raw(), b"", SUITES[0])
    other = theirs.Suite(theirs.KEM.X25519, theirs.KDF.HKDF_SHA256, theirs.AEAD.AES_128_GCM)
    with pytest.raises(InvalidTag):
        other.decrypt(enc + context.seal(b"x")[:-1], key, b"")
    assert isinstance(key.public_key(), X25519PublicKey)


HYBRIDS = [hpke.Suite(aead_id=aead_id, kem_id=kem.MLKEM768_X25519) for aead_id in hpke.AEAD_KEY_BYTES]
HYBRID_ENC = 1120


def their_hybrid(suite: hpke.Suite) -> theirs.Suite:
    return theirs.Suite(theirs.KEM.MLKEM768_X25519, theirs.KDF.HKDF_SHA256, THEIR_AEADS[suite.aead_id])


def their_key(key: HybridPrivateKey) -> theirs.MLKEM768X25519PrivateKey:
    return theirs.MLKEM768X25519PrivateKey(key.mlkem, key.x25519)


@pytest.mark.parametrize("suite", HYBRIDS, ids=str)
def test_cryptography_and_we_open_each_others_hybrid(suite):
    key = HybridPrivateKey.generate()
    enc, context = hpke.setup_sender(key.public_bytes(), b"info", suite)
    assert len(enc) == HYBRID_ENC
    assert their_hybrid(suite).decrypt(enc + context.seal(b"ours"), their_key(key), b"info") == b"ours"
    sealed = their_hybrid(suite).encrypt(b"theirs", their_key(key).public_key(), b"info")
    opening = hpke.setup_recipient(sealed[:HYBRID_ENC], key, b"info", suite)
    assert opening.open(sealed[HYBRID_ENC:]) == b"theirs"


def test_each_half_of_the_hybrid_counts():
    """Another ML-KEM ciphertext, another X25519 share: neither alone opens anything."""
    suite, key = HYBRIDS[0], HybridPrivateKey.generate()
    (enc, context), (other, _) = (hpke.setup_sender(key.public_bytes(), b"", suite) for _ in range(2))
    sealed = context.seal(b"secret")
    for mixed in (enc[:1088] + other[1088:], other[:1088] + enc[1088:], other):
        with pytest.raises(SealingError) as refusal:
            hpke.setup_recipient(mixed, key, b"", suite).open(sealed)
        assert refusal.value.code == "cannot_open"
    assert hpke.setup_recipient(enc, key, b"", suite).open(sealed) == b"secret"


def test_a_hybrid_key_comes_from_its_seed_and_is_not_printed():
    first, second = HybridPrivateKey(bytes(32)), HybridPrivateKey(bytes(32))
    assert first.public_bytes() == second.public_bytes() != HybridPrivateKey(bytes(31) + b"\x01").public_bytes()
    assert "secret" in repr(first)
    assert first.x25519.private_bytes_raw().hex() not in repr(first) + str(vars(first))
