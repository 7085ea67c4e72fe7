"""Oblivious HTTP against RFC 9458, appendix A, and against damage."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.errors import SealingError
from blindsight.sealing import bhttp, hpke, keyconfig, labeled, ohttp
from blindsight.sealing.kem import KEMS, MLKEM768_X25519, X25519_HKDF_SHA256, HybridPrivateKey
from blindsight.sealing.keyconfig import KeyConfig

brief = settings(deadline=None, max_examples=40)  # The processor is shared; time is not what is tested.

# RFC 9458, appendix A.
SK_R = "3c168975674b2fa8e465970b79c8dcf09f1c741626480bd4c6162fc5b6a98e1a"
CONFIG = "01002031e1f05a740102115220e9af918f738674aec95f54db6e04eb705aae8e79815500080001000100010003"
REQUEST = "00034745540568747470730b6578616d706c652e636f6d012f"
SK_E = "bc51d5e930bda26589890ac7032f70ad12e4ecb37abb1b65b1256c9c48999c73"
ENC = "4b28f881333e7c164ffc499ad9796f877f4e1051ee6d31bad19dec96c208b472"
INFO = "6d6573736167652f626874747020726571756573740001002000010001"
ENCAPSULATED_REQUEST = (
    "01002000010001" + ENC + "6374e469135906992e1268c594d2a10c695d858c40a026e7965e7d86b83dd440b2c0185204b4d63525"
)
RESPONSE = "0140c8"
SECRET = "62d87a6ba569ee81014c2641f52bea36"
RESPONSE_NONCE = "c789e7151fcba46158ca84b04464910d"
PRK = "979aaeae066cf211ab407b31ae49767f344e1501e475c84e8aff547cc5a683db"
AEAD_KEY = "5d0172a080e428b16d298c4ea0db620d"
AEAD_NONCE = "f6bf1aeb88d6df87007fa263"
ENCAPSULATED_RESPONSE = RESPONSE_NONCE + "86f9013e404feea014e7be4a441f234f857fbd"

OFFERED = {identifier: keyconfig.offered(0, b"", identifier).suites for identifier in KEMS}
suites = st.sampled_from([suite for offered in OFFERED.values() for suite in offered])


def rfc_key() -> ohttp.RecipientKey:
    config = KeyConfig.decode(bytes.fromhex(CONFIG))
    assert config is not None
    return ohttp.RecipientKey(config, X25519PrivateKey.from_private_bytes(bytes.fromhex(SK_R)))


def new_key(kem_id: int = X25519_HKDF_SHA256) -> ohttp.RecipientKey:
    if kem_id == MLKEM768_X25519:
        hybrid = HybridPrivateKey.generate()
        return ohttp.RecipientKey(keyconfig.offered(7, hybrid.public_bytes(), kem_id), hybrid)
    private_key = X25519PrivateKey.generate()
    public_key = private_key.public_key().public_bytes_raw()
    return ohttp.RecipientKey(keyconfig.offered(7, public_key, kem_id), private_key)


def refusal(key: ohttp.RecipientKey, request: bytes) -> str:
    with pytest.raises(SealingError) as refused:
        ohttp.decapsulate(key, request)
    return refused.value.code


def test_appendix_a_request():
    ephemeral = X25519PrivateKey.from_private_bytes(bytes.fromhex(SK_E))
    sealed, _ = ohttp.encapsulate(rfc_key().config, bytes.fromhex(REQUEST), ephemeral=ephemeral)
    assert sealed.hex() == ENCAPSULATED_REQUEST
    enc, opened, _ = ohttp.decapsulate(rfc_key(), sealed)
    assert enc.hex() == ENC
    assert opened.hex() == REQUEST
    assert bhttp.decode_request(opened) == bhttp.Request("GET", "/", authority="example.com")


def test_appendix_a_response():
    ephemeral = X25519PrivateKey.from_private_bytes(bytes.fromhex(SK_E))
    _, opener = ohttp.encapsulate(rfc_key().config, bytes.fromhex(REQUEST), ephemeral=ephemeral)
    _, _, sealer = ohttp.decapsulate(rfc_key(), bytes.fromhex(ENCAPSULATED_REQUEST))
    sealed = sealer.seal(bytes.fromhex(RESPONSE), response_nonce=bytes.fromhex(RESPONSE_NONCE))
    assert sealed.hex() == ENCAPSULATED_RESPONSE
    assert opener.open(sealed).hex() == RESPONSE
    assert bhttp.decode_response(opener.open(sealed)) == bhttp.Response(200)


def test_appendix_a_intermediate_values():
    key = rfc_key()
    context = hpke.setup_recipient(bytes.fromhex(ENC), key.private_key, bytes.fromhex(INFO), key.config.suites[0])
    secret = context.export(b"message/bhttp response", 16)
    assert secret.hex() == SECRET
    prk = labeled.hkdf_extract(bytes.fromhex(ENC + RESPONSE_NONCE), secret)
    assert prk.hex() == PRK
    assert labeled.hkdf_expand(prk, b"key", 16).hex() == AEAD_KEY
    assert labeled.hkdf_expand(prk, b"nonce", 12).hex() == AEAD_NONCE


@brief
@given(suites, st.binary(max_size=400), st.binary(max_size=400))
def test_round_trip(suite, request, response):
    key = new_key(suite.kem_id)
    sealed, opener = ohttp.encapsulate(key.config, request, suite=suite)
    assert len(sealed) == len(request) + 7 + suite.kem.enc_bytes + 16 <= len(request) + ohttp.MAX_REQUEST_OVERHEAD
    assert ohttp.key_id_of(sealed) == 7
    enc, opened, sealer = ohttp.decapsulate(key, sealed)
    assert opened == request
    for form in (sealed, memoryview(sealed)):
        into_enc, into, _ = ohttp.decapsulate_into(key, form, lambda length: memoryview(bytearray(length)))
        assert (into_enc, bytes(into), into.readonly) == (enc, request, True)
    answer = sealer.seal(response)
    assert len(answer) == max(12, suite.key_bytes) + len(response) + 16
    assert opener.open(answer) == response


def test_two_answers_to_one_request_share_no_nonce():
    key = new_key()
    sealed, opener = ohttp.encapsulate(key.config, b"q")
    _, _, sealer = ohttp.decapsulate(key, sealed)
    first, second = sealer.seal(b"a"), sealer.seal(b"a")
    assert first[:16] != second[:16]
    assert opener.open(first) == opener.open(second) == b"a"


@brief
@given(suites, st.data())
def test_every_changed_request_is_refused(suite, data):
    key = new_key(suite.kem_id)
    sealed, _ = ohttp.encapsulate(key.config, b"a request", suite=suite)
    changed = _changed(sealed, data)
    assert refusal(key, changed) in {"unknown_key", "cannot_open", "malformed_message"}
    with pytest.raises(SealingError) as refused:
        ohttp.decapsulate_into(key, changed, lambda length: memoryview(bytearray(length)))
    assert refused.value.code == refusal(key, changed)


@brief
@given(suites, st.data())
def test_every_changed_response_is_refused(suite, data):
    key = new_key(suite.kem_id)
    sealed, opener = ohttp.encapsulate(key.config, b"a request", suite=suite)
    _, _, sealer = ohttp.decapsulate(key, sealed)
    with pytest.raises(SealingError) as refused:
        opener.open(_changed(sealer.seal(b"a response"), data))
    assert refused.value.code == "cannot_open"


def _changed(message: bytes, data: st.DataObject) -> bytes:
    match data.draw(st.sampled_from(["flip", "cut", "extend", "replace"])):
        case "flip":
            bit = data.draw(st.integers(0, 8 * len(message) - 1))
            return (int.from_bytes(message, "big") ^ 1 << bit).to_bytes(len(message), "big")
        case "cut":
            return message[: data.draw(st.integers(0, len(message) - 1))]
        case "extend":
            return message + data.draw(st.binary(min_size=1, max_size=40))
        case _:
            return data.draw(st.binary(max_size=120).filter(lambda other: other != message))


def test_an_answer_opens_with_its_own_request_only():
    key = new_key()
    exchanges = [ohttp.encapsulate(key.config, b"same request") for _ in range(2)]
    answers = [ohttp.decapsulate(key, sealed)[2].seal(b"same answer") for sealed, _ in exchanges]
    for index, (_, opener) in enumerate(exchanges):
        assert opener.open(answers[index]) == b"same answer"
        with pytest.raises(SealingError) as refused:
            opener.open(answers[1 - index])
        assert refused.value.code == "cannot_open"


def test_a_request_for_a_key_or_cipher_not_offered_says_so():
    key = new_key()
    sealed, _ = ohttp.encapsulate(key.config, b"q")
    assert refusal(key, b"\x08" + sealed[1:]) == "unknown_key"
    assert refusal(key, sealed[:1] + b"\x00\x10" + sealed[3:]) == "unknown_key"  # another KEM
    assert refusal(key, sealed[:3] + b"\x00\x02" + sealed[5:]) == "unknown_key"  # another KDF
    assert refusal(key, sealed[:5] + b"\xff\xff" + sealed[7:]) == "unknown_key"  # export only
    narrow = replace(key, config=replace(key.config, suites=(hpke.Suite(aead_id=hpke.AEAD_CHACHA20_POLY1305),)))
    assert refusal(narrow, sealed) == "unknown_key"


def test_the_cipher_named_in_the_header_is_bound():
    """Another offered cipher in the header must not open: the header is part of the key schedule's info."""
    key = new_key()
    sealed, _ = ohttp.encapsulate(key.config, b"q")
    assert refusal(key, sealed[:5] + b"\x00\x02" + sealed[7:]) == "cannot_open"


def test_the_same_id_with_another_key_cannot_open():
    sealed, _ = ohttp.encapsulate(new_key().config, b"q")
    assert refusal(new_key(), sealed) == "cannot_open"


@pytest.mark.parametrize("length", [0, 1, 6, 7, 38, 39, 54])
def test_a_request_too_short_to_be_one_is_malformed(length):
    sealed, _ = ohttp.encapsulate(new_key().config, b"q")
    assert refusal(new_key(), sealed[:length]) == "malformed_message"


@pytest.mark.parametrize("kem_id", KEMS)
def test_sealing_to_a_low_order_key_is_refused(kem_id):
    config = new_key(kem_id).config
    with pytest.raises(SealingError) as refused:
        ohttp.encapsulate(replace(config, public_key=config.public_key[:-32] + bytes(32)), b"q")
    assert refused.value.code == "cannot_open"


def test_a_hybrid_public_key_that_is_none_is_refused():
    """FIPS 203, 7.2: coefficients at or above the modulus."""
    config = new_key(MLKEM768_X25519).config
    with pytest.raises(SealingError):
        ohttp.encapsulate(replace(config, public_key=b"\xff" * 1184 + config.public_key[1184:]), b"q")


def test_private_keys_are_not_printed():
    key = new_key()
    raw = key.private_key.private_bytes_raw()
    for text in (repr(key), str(key), f"{key!r}"):
        assert text == "RecipientKey(key_id=7)"
        assert raw.hex() not in text
    _, opener = ohttp.encapsulate(key.config, b"q")
    assert "object at" in repr(opener)
