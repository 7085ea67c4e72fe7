"""Key configurations and their lists (RFC 9458, section 3)."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.errors import SealingError
from blindsight.sealing import hpke, keyconfig
from blindsight.sealing.kem import KEMS, MLKEM768_X25519, X25519_HKDF_SHA256
from blindsight.sealing.keyconfig import KeyConfig

brief = settings(deadline=None, max_examples=40)  # The processor is shared; time is not what is tested.

RFC_9458_CONFIG = bytes.fromhex(
    "01002031e1f05a740102115220e9af918f738674aec95f54db6e04eb705aae8e79815500080001000100010003"
)
KEY = bytes(range(32))
OFFERED = {identifier: keyconfig.offered(0, b"", identifier).suites for identifier in KEMS}

configs = st.sampled_from(list(KEMS.values())).flatmap(
    lambda kem: st.builds(
        KeyConfig,
        st.integers(0, 255),
        st.binary(min_size=kem.public_bytes, max_size=kem.public_bytes),
        st.lists(st.sampled_from(OFFERED[kem.identifier]), min_size=1, max_size=5).map(tuple),
    )
)


def prefixed(encoded: bytes) -> bytes:
    return len(encoded).to_bytes(2, "big") + encoded


def refused(data: bytes) -> str:
    with pytest.raises(SealingError) as refusal:
        keyconfig.decode_list(data)
    return refusal.value.code


def test_the_rfc_example_is_decoded_and_encoded():
    config = KeyConfig.decode(RFC_9458_CONFIG)
    assert config is not None
    assert config.key_id == 1
    assert config.public_key.hex() == "31e1f05a740102115220e9af918f738674aec95f54db6e04eb705aae8e798155"
    assert [(suite.kdf_id, suite.aead_id) for suite in config.suites] == [(1, 1), (1, 3)]
    assert config.encode() == RFC_9458_CONFIG


def test_a_list_prefixes_each_configuration_with_its_length():
    config = KeyConfig.decode(RFC_9458_CONFIG)
    assert keyconfig.encode_list([config, config]) == (b"\x00\x2d" + RFC_9458_CONFIG) * 2


def test_a_bare_configuration_is_no_list():
    """Appendix A prints one without its prefix; taking it for a list is a known trap."""
    assert refused(RFC_9458_CONFIG) == "malformed_message"


@brief
@given(st.lists(configs, max_size=4))
def test_lists_come_back_in_order(some):
    assert keyconfig.decode_list(keyconfig.encode_list(some)) == some


def test_an_unknown_kem_is_skipped_whatever_follows_it():
    unknown = b"\x07\x00\x10" + b"P-256, with a key of a length that is not known here"
    known = keyconfig.offered(3, KEY, X25519_HKDF_SHA256)
    assert keyconfig.decode_list(prefixed(unknown) + prefixed(known.encode())) == [known]


def test_unknown_ciphers_are_dropped_and_a_configuration_of_only_such_is_skipped():
    header = b"\x03\x00\x20" + KEY
    mixed = header + b"\x00\x0c" + b"\x00\x02\x00\x01" + b"\x00\x01\x00\x03" + b"\x00\x01\xff\xff"
    only_unknown = header + b"\x00\x04" + b"\x00\x03\x00\x01"
    decoded = keyconfig.decode_list(prefixed(only_unknown) + prefixed(mixed))
    assert [config.suites for config in decoded] == [(hpke.Suite(1, 3),)]


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\x03",
        b"\x03\x00",
        b"\x03\x00\x20",
        b"\x03\x00\x20" + KEY,
        b"\x03\x00\x20" + KEY + b"\x00",
        b"\x03\x00\x20" + KEY + b"\x00\x00",
        b"\x03\x00\x20" + KEY + b"\x00\x02\x00\x01",
        b"\x03\x00\x20" + KEY + b"\x00\x05\x00\x01\x00\x01\x00",
        b"\x03\x00\x20" + KEY + b"\x00\x04\x00\x01\x00",
        b"\x03\x00\x20" + KEY + b"\x00\x04\x00\x01\x00\x01\x00",
        b"\x03\x00\x20" + KEY + b"\x00\x08\x00\x01\x00\x01",
    ],
)
def test_one_malformed_configuration_refuses_the_whole_list(bad):
    good = prefixed(keyconfig.offered(1, KEY, X25519_HKDF_SHA256).encode())
    for data in (prefixed(bad), good + prefixed(bad), prefixed(bad) + good):
        assert refused(data) == "malformed_message"


@brief
@given(configs, st.data())
def test_a_list_cut_anywhere_is_refused(config, data):
    encoded = keyconfig.encode_list([config])
    assert refused(encoded[: data.draw(st.integers(1, len(encoded) - 1))]) == "malformed_message"


@brief
@given(st.binary(max_size=120))
def test_garbage_is_decoded_or_refused(data):
    try:
        decoded = keyconfig.decode_list(data)
    except SealingError as error:
        decoded, refused = [], error.code
    else:
        refused = None
    assert refused in {None, "malformed_message"}
    assert all(len(config.public_key) == config.kem.public_bytes and config.suites for config in decoded)


def test_a_long_list_is_read_in_linear_time():
    """Its length is the sender's to choose; reading it by slicing off the front would take minutes here."""
    unknown = prefixed(b"\x07\x00\x10")
    known = keyconfig.offered(9, KEY, X25519_HKDF_SHA256)
    assert keyconfig.decode_list(unknown * 200_000 + prefixed(known.encode())) == [known]


def test_the_hybrid_is_preferred_wherever_it_stands():
    classic = keyconfig.offered(1, KEY, X25519_HKDF_SHA256)
    hybrid = keyconfig.offered(2, bytes(1216), MLKEM768_X25519)
    assert keyconfig.preferred([classic, hybrid]) == keyconfig.preferred([hybrid, classic]) == hybrid
    assert keyconfig.preferred([classic]) == classic
    assert hybrid.suites[0].aead_id == hpke.AEAD_AES_256_GCM


def test_the_digest_is_of_the_bytes():
    assert keyconfig.digest(b"abc") == hashlib.sha256(b"abc").digest()
