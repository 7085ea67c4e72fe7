"""One test for each known weakness of attestation verifiers that a verifier can have.

The number in a test's name is the row of the project's table of published verifier vulnerabilities; the comment above
each group names the advisory or issue it comes from.
"""

from __future__ import annotations

import gzip
from base64 import b64encode
from datetime import timedelta

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from blindsight.attestation import Policy, UnsafeAcceptAnything, check_key_configs, check_model, verify
from blindsight.errors import EvidenceError, PolicyError
from tests.blindsight.attestation.attestation_forge import (
    ANY_FUNCTION,
    CLAIMS,
    KEY_CONFIGS,
    MANIFEST,
    NONCE,
    NOW,
    P384_ORDER,
    PCRS,
    Forge,
    party,
    refusal,
)


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge()


def test_the_unchanged_document_verifies(forge: Forge) -> None:
    verified = forge.verify(forge.document())
    assert verified.kind == "simulated"
    assert verified.claims == CLAIMS
    check_key_configs(verified, KEY_CONFIGS)
    check_model(verified, MANIFEST)


# CVE-2025-64186: a PCR that the policy requires is missing from the document.
@pytest.mark.parametrize("index", [0, 1, 2])
def test_row_01_required_pcr_missing(forge: Forge, index: int) -> None:
    pcrs = {other: value for other, value in PCRS.items() if other != index}
    assert refusal(forge, forge.document(pcrs=pcrs)) == ("pcr_missing", 7)


# CVE-2026-33697 and the relay attacks on attested TLS: a genuine document, but other keys in use.
def test_row_02_and_27_relayed_document_with_other_keys(forge: Forge) -> None:
    verified = forge.verify(forge.document())
    with pytest.raises(EvidenceError) as caught:
        check_key_configs(verified, KEY_CONFIGS + b"\x00")
    assert (caught.value.code, caught.value.step) == ("key_configs_mismatch", 11)
    with pytest.raises(EvidenceError) as caught:
        check_model(verified, MANIFEST + b" ")
    assert caught.value.code == "model_mismatch"


def test_row_02_document_without_claims_vouches_for_no_keys(forge: Forge) -> None:
    verified = forge.verify(forge.document(user_data=None), **ANY_FUNCTION)
    with pytest.raises(EvidenceError) as caught:
        check_key_configs(verified, KEY_CONFIGS)
    assert caught.value.code == "claims_missing"


# pontifex 30, keep 577: a policy whose measurements are empty or zero.
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"pcrs": {}}, "no_measurements"),
        ({"pcrs": None}, "no_measurements"),
        ({"pcrs": {0: frozenset()}}, "empty_allow_list"),
        ({"pcrs": {0: frozenset(["00" * 48])}}, "zero_measurement"),
        ({"pcrs": {0: frozenset(["aa" * 47])}}, "invalid_policy"),
        ({"roots": frozenset()}, "no_roots"),
        ({"function_checksums": frozenset()}, "empty_allow_list"),
        ({"model_digests": frozenset(["00" * 32])}, "zero_measurement"),
    ],
)
def test_row_03_policy_that_accepts_too_much(forge: Forge, changes: dict[str, object], code: str) -> None:
    with pytest.raises(PolicyError) as caught:
        forge.policy(**changes)
    assert caught.value.code == code


# sui 24214, world-chain 698: a debug enclave has a genuine signature and zero PCR 0-2, while PCR 3 and 4 are not zero.
@pytest.mark.parametrize("pcrs", [{0: bytes(48), 1: bytes(48), 2: bytes(48), 4: b"\x28" * 48}, {4: b"\x28" * 48}])
def test_row_04_debug_document(forge: Forge, pcrs: dict[int, bytes]) -> None:
    document = forge.document(pcrs=pcrs)
    assert refusal(forge, document) == ("debug_document", 6)
    with pytest.raises(EvidenceError) as caught:
        verify(document, policy=UnsafeAcceptAnything(), nonce=NONCE, now=NOW)
    assert caught.value.code == "debug_document"


def test_row_04_zero_registers_are_kept(forge: Forge) -> None:
    assert forge.verify(forge.document()).document.pcrs[15] == bytes(48)


# world-chain 698, attestor-core 52: signature or measurements not compared at all.
def test_row_05_signature_is_verified(forge: Forge) -> None:
    message = cbor2.loads(forge.document())
    for signature in (message[3][:-1] + bytes([message[3][-1] ^ 1]), bytes(96), b"\xff" * 96):
        assert refusal(forge, cbor2.dumps([*message[:3], signature])) == ("invalid_signature", 5)
    other = cbor2.loads(forge.document(module_id="i-other"))
    assert refusal(forge, cbor2.dumps([*message[:2], other[2], message[3]])) == ("invalid_signature", 5)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_row_05_measurements_are_compared(forge: Forge, index: int) -> None:
    document = forge.document(pcrs=PCRS | {index: b"\x77" * 48})
    assert refusal(forge, document) == ("pcr_mismatch", 7)


# world-chain 1049: without a certificate the cryptography was skipped.
@pytest.mark.parametrize("name", ["certificate", "cabundle", "module_id", "digest", "timestamp", "pcrs"])
def test_row_06_mandatory_field_missing_or_null(forge: Forge, name: str) -> None:
    assert refusal(forge, forge.document(**{name: ...})) == ("missing_field", 2)
    assert refusal(forge, forge.document(**{name: None})) == ("missing_field", 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("certificate", b""), ("certificate", "text"), ("certificate", bytes(1025)),
        ("cabundle", []), ("cabundle", {}), ("cabundle", [b""]), ("cabundle", [None]),
        ("module_id", ""), ("module_id", b"i-1"), ("pcrs", {}), ("pcrs", []),
        ("public_key", b""), ("public_key", bytes(1025)), ("user_data", bytes(1025)), ("nonce", "text"),
    ],
)  # fmt: skip
def test_row_06_field_out_of_range(forge: Forge, name: str, value: object) -> None:
    assert refusal(forge, forge.document(**{name: value})) == ("invalid_field", 2)


def test_row_06_certificate_that_is_none(forge: Forge) -> None:
    assert refusal(forge, forge.document(certificate=b"\x30\x00")) == ("malformed_certificate", 3)
    version = forge.leaf.der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020128"), 1)
    assert version != forge.leaf.der
    assert refusal(forge, forge.document(certificate=version)) == ("malformed_certificate", 3)


# world-chain 956: the root taken from the document, or looked for at the wrong end of the bundle.
def test_row_07_root_at_the_wrong_end(forge: Forge) -> None:
    assert refusal(forge, forge.document(cabundle=forge.bundle[::-1])) == ("root_not_pinned", 3)
    assert refusal(forge, forge.document(cabundle=forge.bundle[1:])) == ("root_not_pinned", 3)


def test_row_07_bundle_in_another_order_or_with_spares(forge: Forge) -> None:
    root, regional, zonal, instance = forge.bundle
    assert refusal(forge, forge.document(cabundle=[root, zonal, regional, instance])) == ("chain_order", 4)
    assert refusal(forge, forge.document(cabundle=[root, regional, zonal, instance, zonal])) == ("chain_order", 4)
    assert refusal(forge, forge.document(cabundle=[root, regional, instance])) == ("invalid_chain", 4)


# A self-made root with a perfectly valid chain, also under the pinned root's own name.
def test_row_08_self_made_root(forge: Forge) -> None:
    stranger = Forge(root=party(None, "test.root"))
    assert refusal(forge, stranger.document()) == ("root_not_pinned", 3)
    chain_under_pinned_name = stranger.document(cabundle=[forge.root.der, *stranger.bundle[1:]])
    assert refusal(forge, chain_under_pinned_name) == ("invalid_chain", 4)


# AWS documents the hash of a ZIP file, which gets pinned as if it were the certificate's.
@pytest.mark.parametrize(
    "fingerprint",
    [
        "8cf60e2b2efca96c6a9e71e851d00c1b6991cc09eadbe64a6a1d1b1eb9faff7c",
        "6eb9688305e4bbca67f44b59c29a0661ae930f09b5945b5d1d9ae01125c8d6c0",
    ],
)
def test_row_09_hash_of_a_file_pinned(forge: Forge, fingerprint: str) -> None:
    with pytest.raises(PolicyError) as caught:
        forge.policy(roots=frozenset({fingerprint}))
    assert caught.value.code == "not_a_certificate_fingerprint"


# nitro-validator 34 and 38: bytes after the message, the payload or a certificate.
def test_row_10_trailing_bytes(forge: Forge) -> None:
    assert refusal(forge, forge.document() + b"\x00") == ("trailing_bytes", 1)
    payload = cbor2.dumps(forge.fields())
    assert refusal(forge, forge.envelope(payload + b"\x00")) == ("trailing_bytes", 2)
    assert refusal(forge, forge.document(certificate=forge.leaf.der + b"\x00")) == ("malformed_certificate", 3)
    bundle = forge.bundle
    assert refusal(forge, forge.document(cabundle=[bundle[0] + b"\x00", *bundle[1:]])) == ("root_not_pinned", 3)
    bundle[2] += b"\x00"
    assert refusal(forge, forge.document(cabundle=bundle)) == ("malformed_certificate", 3)


# nitro-validator 36: with duplicate keys, the last one won.
def test_row_11_duplicate_keys(forge: Forge) -> None:
    payload = cbor2.dumps(forge.fields())
    assert payload[0] == 0xA9
    again = bytes([0xAA]) + payload[1:] + cbor2.dumps("nonce") + cbor2.dumps(NONCE)
    assert refusal(forge, forge.envelope(again)) == ("duplicate_key", 2)
    pcrs = cbor2.dumps(PCRS)
    assert pcrs[0] == 0xB1
    twice = payload.replace(pcrs, bytes([0xB2]) + pcrs[1:] + b"\x00" + cbor2.dumps(PCRS[0]))
    assert refusal(forge, forge.envelope(twice)) == ("duplicate_key", 2)


# nitro-validator 32: indefinite lengths and the break. Of the payload's outer map: test_shapes.py.
def test_row_12_indefinite_lengths(forge: Forge) -> None:
    document, payload = forge.document(), forge.payload()
    assert refusal(forge, b"\x9f" + document[1:] + b"\xff") == ("indefinite_length", 1)
    chunked = payload.replace(cbor2.dumps(NONCE), b"\x5f" + cbor2.dumps(NONCE) + b"\xff")
    assert refusal(forge, forge.envelope(chunked)) == ("indefinite_length", 2)
    assert refusal(forge, b"\xff") == ("indefinite_length", 1)


# nitro-validator 35: (r, n - s) verifies as well, so a signature identifies nothing.
def test_row_13_malleable_signature_gives_an_equal_result(forge: Forge) -> None:
    message = cbor2.loads(forge.document())
    s = int.from_bytes(message[3][48:], "big")
    twin = cbor2.dumps([*message[:3], message[3][:48] + (P384_ORDER - s).to_bytes(48, "big")])
    assert twin != cbor2.dumps(message)
    assert forge.verify(twin) == forge.verify(cbor2.dumps(message))


# base 1972: intermediates that were cached beyond their own expiry.
@pytest.mark.parametrize("expiring", ["root", "regional", "zonal", "instance", "leaf"])
def test_row_14_every_certificate_may_expire(expiring: str) -> None:
    def end(name: str) -> object:
        return NOW + (timedelta(minutes=1) if name == expiring else timedelta(hours=3))

    root = issuer = party(None, "root", end=end("root"))
    parties = []
    for path_length, name in ((2, "regional"), (1, "zonal"), (0, "instance")):
        issuer = party(issuer, name, path_length=path_length, end=end(name))
        parties.append(issuer)
    forge = Forge(root, parties, party(issuer, "leaf", ca=False, end=end("leaf")))
    document = forge.document()
    forge.verify(document, now=NOW + timedelta(minutes=1))
    assert refusal(forge, document, now=NOW + timedelta(minutes=1, seconds=1)) == ("certificate_expired", 4)


# chainlink-common 2166: algorithm or curve chosen by the message.
@pytest.mark.parametrize("algorithm", [-7, -36, -1, -8, 5])
def test_row_15_other_algorithm(forge: Forge, algorithm: int) -> None:
    payload = cbor2.dumps(forge.fields())
    document = forge.envelope(payload, protected=cbor2.dumps({1: algorithm}))
    assert refusal(forge, document) == ("wrong_algorithm", 1)


def test_row_15_algorithm_elsewhere(forge: Forge) -> None:
    payload = cbor2.dumps(forge.fields())
    for protected in (b"", b"\xa0", cbor2.dumps({1: -35, 4: b"kid"}), b"\xbf\x01\x38\x22\xff"):
        assert refusal(forge, forge.envelope(payload, protected=protected)) == ("wrong_algorithm", 1)
    assert refusal(forge, forge.envelope(payload, unprotected={1: -7})) == ("unprotected_header", 1)
    assert refusal(forge, forge.envelope(payload, protected=b"", unprotected={1: -35})) == ("wrong_algorithm", 1)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP521R1()])
def test_row_15_leaf_on_another_curve(forge: Forge, curve: ec.EllipticCurve) -> None:
    other = Forge(forge.root, forge.parties, party(forge.parties[-1], "leaf", ca=False, curve=curve))
    message = cbor2.loads(other.document())
    # Padded to the length of P-384's, so that the curve itself is what is refused.
    document = cbor2.dumps([*message[:3], message[3][:96].ljust(96, b"\x00")])
    assert refusal(forge, document) == ("certificate_algorithm", 4)


def test_row_15_certificate_signed_with_another_hash(forge: Forge) -> None:
    other = Forge(forge.root, forge.parties, party(forge.parties[-1], "leaf", ca=False, digest=hashes.SHA256()))
    assert refusal(forge, other.document()) == ("certificate_algorithm", 4)


# pycape: P-384 coordinates and signature halves with leading zero bytes (about 1 document in 128) failed.
def test_row_17_leading_zero_bytes(forge: Forge) -> None:
    def short_coordinate() -> ec.EllipticCurvePrivateKey:
        while True:
            key = ec.generate_private_key(ec.SECP384R1())
            numbers = key.public_key().public_numbers()
            if min(numbers.x, numbers.y) < 1 << 376:
                return key

    other = Forge(forge.root, forge.parties, party(forge.parties[-1], "leaf", ca=False, key=short_coordinate()))
    wanted = {0, 48}
    while wanted:
        document = other.document()
        signature = cbor2.loads(document)[3]
        wanted -= {offset for offset in (0, 48) if signature[offset] == 0}
        if 0 in (signature[0], signature[48]):
            forge.verify(document)


def test_row_17_many_keys(forge: Forge) -> None:
    for _ in range(40):
        leaf = party(forge.parties[-1], "leaf", ca=False)
        forge.verify(Forge(forge.root, forge.parties, leaf).document())


# pycape's key path: validity judged at the certificate's own notBefore, so nothing ever expired.
def test_row_18_stale_document_expires(forge: Forge) -> None:
    document = forge.document()
    assert refusal(forge, document, now=NOW + timedelta(days=1)) == ("certificate_expired", 4)
    assert refusal(forge, document, now=NOW - timedelta(days=1)) == ("certificate_not_yet_valid", 4)


# world-chain 698, OpenGradient 121: nonces absent, shortened or of another session.
@pytest.mark.parametrize(
    ("carried", "code"),
    [
        (None, "nonce_missing"),
        (..., "nonce_missing"),
        (b"", "nonce_missing"),
        (NONCE[:-1], "nonce_mismatch"),
        (NONCE + b"\x00", "nonce_mismatch"),
        (NONCE[::-1], "nonce_mismatch"),
    ],
)
def test_row_19_nonce(forge: Forge, carried: object, code: str) -> None:
    assert refusal(forge, forge.document(nonce=carried)) == (code, 10)


def test_row_19_replayed_document(forge: Forge) -> None:
    document = forge.document()
    forge.verify(document)
    assert refusal(forge, document, nonce=b"the nonce of the next request...") == ("nonce_mismatch", 10)


@pytest.mark.parametrize("nonce", [b"", b"short"])
def test_row_19_caller_may_not_send_a_guessable_nonce(forge: Forge, nonce: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        forge.verify(forge.document(), nonce=nonce)


# dstack's limits and issue 613: documents from the future, too old, or in the wrong unit.
def test_row_20_age(forge: Forge) -> None:
    document = forge.document()
    forge.verify(document, now=NOW + timedelta(seconds=300))
    assert refusal(forge, document, now=NOW + timedelta(seconds=301)) == ("evidence_too_old", 10)
    forge.verify(document, now=NOW - timedelta(seconds=60))
    assert refusal(forge, document, now=NOW - timedelta(seconds=61)) == ("evidence_from_future", 10)


def test_row_20_wrong_unit(forge: Forge) -> None:
    seconds = int(NOW.timestamp())
    assert refusal(forge, forge.document(timestamp=seconds)) == ("evidence_too_old", 10)
    assert refusal(forge, forge.document(timestamp=seconds * 1_000_000)) == ("invalid_field", 2)
    assert refusal(forge, forge.document(timestamp=seconds * 100_000)) == ("evidence_from_future", 10)


@pytest.mark.parametrize("timestamp", [0, -1, 1.5, "2026", True, 2**64 - 1])
def test_row_20_timestamp_of_another_type(forge: Forge, timestamp: object) -> None:
    code, step = refusal(forge, forge.document(timestamp=timestamp))
    assert step == 2
    assert code == ("malformed_cbor" if timestamp == 1.5 else "invalid_field")


def test_row_20_naive_time_is_refused(forge: Forge) -> None:
    with pytest.raises(ValueError, match="aware"):
        forge.verify(forge.document(), now=NOW.replace(tzinfo=None))


def test_row_20_skew_covers_a_leaf_that_is_seconds_old() -> None:
    forge = Forge()
    forge.leaf = party(forge.parties[-1], "leaf", ca=False, start=NOW)
    forge.verify(forge.document(), now=NOW - timedelta(seconds=30))
    assert refusal(forge, forge.document(), now=NOW - timedelta(seconds=90))[0] == "certificate_not_yet_valid"


# QOS: an index of 32 was let through; AWS's text allows lengths that do not go with SHA-384.
@pytest.mark.parametrize("index", [32, -1, "0", 2**32])
def test_row_21_pcr_index(forge: Forge, index: object) -> None:
    assert refusal(forge, forge.document(pcrs=PCRS | {index: bytes(48)})) == ("invalid_pcr_index", 2)


@pytest.mark.parametrize("value", [bytes(32), bytes(64), bytes(47), b"", None, "0" * 48])
def test_row_21_pcr_length(forge: Forge, value: object) -> None:
    assert refusal(forge, forge.document(pcrs=PCRS | {5: value})) == ("invalid_pcr_length", 2)


@pytest.mark.parametrize("digest", ["SHA256", "SHA512", "sha384"])
def test_row_21_digest(forge: Forge, digest: str) -> None:
    assert refusal(forge, forge.document(digest=digest)) == ("unsupported_digest", 2)


# dstack 566 and 567: work and memory spent on bytes without a signature.
def test_row_23_size_and_depth(forge: Forge) -> None:
    assert refusal(forge, bytes(16 * 1024 + 1)) == ("document_too_large", 1)
    assert refusal(forge, b"\x81" * 1000 + b"\x00") == ("nesting_too_deep", 1)
    assert refusal(forge, forge.document(nonce=[[[[[]]]]])) == ("nesting_too_deep", 2)
    assert refusal(forge, forge.document(user_data=bytes(11_000)))[0] == "invalid_field"
    assert refusal(forge, b"\x5b" + b"\xff" * 8) == ("malformed_cbor", 1)
    assert refusal(forge, b"\x9b" + b"\xff" * 8) == ("malformed_cbor", 1)
    assert refusal(forge, b"") == ("malformed_cbor", 1)


def test_row_23_compressed_document_is_not_expanded(forge: Forge) -> None:
    assert refusal(forge, gzip.compress(bytes(1_000_000)))[1] == 1


@pytest.mark.parametrize("tag", [1, 4, 18, 28, 29, 30, 35, 258, 55799])
def test_row_23_tags_are_not_interpreted(forge: Forge, tag: int) -> None:
    tagged = cbor2.CBORTag(tag, "((((a+)+)+)+)")
    assert refusal(forge, forge.document(nonce=tagged)) == ("unexpected_tag", 2)
    if tag != 18:
        assert refusal(forge, cbor2.dumps(cbor2.CBORTag(tag, cbor2.loads(forge.document())))) == ("unexpected_tag", 1)


# nitriding-daemon 16: a fingerprint attested before the key existed.
@pytest.mark.parametrize("name", ["func_checksum", "key_configs_sha256", "model_sha256"])
def test_row_25_zero_claim(forge: Forge, name: str) -> None:
    user_data = CLAIMS.to_json().replace(b64encode(getattr(CLAIMS, name)), b64encode(bytes(32)))
    assert refusal(forge, forge.document(user_data=user_data)) == ("malformed_claims", 8)


# QEMU's emulated enclave signs nothing; a mock root must never pass as hardware.
def test_row_28_unsigned_qemu_document(forge: Forge) -> None:
    fields = forge.fields(certificate=bytes(64), cabundle=[bytes(64)])
    document = cbor2.dumps([cbor2.dumps({1: -1}), {}, cbor2.dumps(fields), bytes(64)])
    assert refusal(forge, document) == ("wrong_algorithm", 1)


def test_row_28_simulated_root_under_a_production_policy() -> None:
    forge = Forge(root=party(None, "blindsight.simulated"))
    forge.verify(forge.document())
    aws = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
    assert refusal(forge, forge.document(), kind="nitro", roots=frozenset({aws})) == ("root_not_pinned", 3)
    assert refusal(forge, forge.document(), kind="nitro") == ("simulated_root", 3)


# What genuine documents do must be accepted.
def test_row_29_genuine_shapes(forge: Forge) -> None:
    forge.verify(b"\xd2" + forge.document())
    nonce = bytes(range(256))
    forge.verify(forge.document(nonce=nonce), nonce=nonce)
    empty = forge.verify(forge.document(public_key=None, user_data=None, nonce=None), nonce=None, **ANY_FUNCTION)
    assert (empty.document.public_key, empty.document.user_data, empty.document.nonce) == (None, None, None)
    forge.verify(forge.document(public_key=..., user_data=..., nonce=...), nonce=None, **ANY_FUNCTION)
    forge.verify(forge.document(user_data=b"x" * 746), **ANY_FUNCTION)
    forge.verify(forge.document(added_by_a_later_release="1"))


def test_policy_accepts_any_of_its_values(forge: Forge) -> None:
    policy = forge.policy(pcrs={0: frozenset(["ab" * 48, PCRS[0].hex().upper()])})
    assert isinstance(policy, Policy)
    verify(forge.document(), policy=policy, nonce=NONCE, now=NOW)
