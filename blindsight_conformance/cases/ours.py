"""Checks that only this project has: claims, releases, bindings, and kinds of evidence. Steps 3 and 7 to 11."""

from __future__ import annotations

import codecs
import hashlib
import json
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import cbor2
import rfc8785
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from blindsight.attestation import Claims, expected_pcr16
from blindsight.sealing import keyconfig
from blindsight.sealing.kem import MLKEM768_X25519, X25519_HKDF_SHA256, HybridPrivateKey
from blindsight_conformance import mock
from blindsight_conformance.forge import CLAIMS, NONCE, unsigned
from blindsight_conformance.pki import NOW, common_name

if TYPE_CHECKING:
    from blindsight_conformance.book import Book

OURS: dict[str, Any] = {"scope": "blindsight"}
SEED = bytes(range(32))
X25519_KEY = bytes(range(32, 64))
UNKNOWN_KEM = b"\x00\x09\x07\x00\x10 P-256"
MANIFEST: dict[str, Any] = {
    "format": "blindsight-model/1",
    "name": "vectors",
    "version": "1",
    "trained": True,
    "onnx": {"file": "model.onnx", "sha256": "ab" * 32, "bytes": 3},
    "labels": {"file": "labels.txt", "count": 2, "sha256": "cd" * 32},
    "preprocessing": {"mean": [0.485, 0.456, 1e-07], "note": "caf\u00e9 \u20ac \U0001f600"},
}
QEMU = "docs/policy.md, QEMU's machine"
CLAIMED = "docs/architecture.md, evidence"
RELEASES = "docs/policy.md, which release a document is"


def add(book: Book) -> None:
    """Add the cases of this module."""
    _claims(book)
    _identity(book)
    _releases(book)
    _kinds(book)
    _emulated(book)
    _bindings(book)


def _claims(book: Book) -> None:
    book.group = "claims"
    asked = book.policy(book.release(any_function=..., function_checksums=[CLAIMS.func_checksum.hex()]))
    claims = CLAIMS.to_json()
    rest: dict[str, Any] = {"section": CLAIMED, "policy": asked, **OURS}
    book.accepted("claims that register 16 measures", left_open=(), **rest)
    book.refused(
        "claims_pcr_mismatch",
        8,
        "claims that register 16 does not measure",
        book.document(pcrs=mock.pcrs(pcr16=b"\x77" * 48)),
        **rest,
    )
    book.refused(
        "claims_pcr_missing", 8, "claims without register 16", book.document(pcrs=mock.pcrs(pcr16=None)), **rest
    )
    book.refused(
        "claims_pcr_mismatch", 8, "claims, and register 16 zero", book.document(pcrs=mock.pcrs(pcr16=bytes(48))), **rest
    )
    for name in ("func_checksum", "key_configs_sha256", "model_sha256", "receipt_key_sha256"):
        zero = claims.replace(b64encode(getattr(CLAIMS, name)), b64encode(bytes(32)))
        book.refused("malformed_claims", 8, f"{name} of zeros", book.document(user_data=zero), rows=[25], **rest)
        members = json.loads(claims)
        del members[name]
        book.refused("malformed_claims", 8, f"no {name}", book.document(user_data=rfc8785.dumps(members)), **rest)
    text = claims.decode()
    first = b64encode(CLAIMS.model_sha256).decode()
    for name, value in (
        ("31 bytes", b64encode(bytes(31)).decode()),
        ("33 bytes", b64encode(b"x" * 33).decode()),
        ("a line feed", first + "\n"),
        ("no padding", first.rstrip("=")),
        ("URL-safe letters", "-" + first[1:]),
        ("a number", 7),
        ("null", None),
    ):
        members = json.loads(claims) | {"model_sha256": value}
        book.refused(
            "malformed_claims", 8, f"a claim of {name}", book.document(user_data=rfc8785.dumps(members)), **rest
        )
    for name, user_data in {
        "a claim twice": claims[:-1] + b',"model_sha256":""}',
        "a claim twice, once escaped": claims[:-1] + b',"model\\u005fsha256":""}',
        "a member twice, within": claims[:-1] + b',"x":[{"a":1,"a":1}]}',
    }.items():
        book.refused("malformed_claims", 8, name, book.document(user_data=user_data), rows=[11], **rest)
    others = {
        "UTF-16": text.encode("utf-16-le"),
        "UTF-16, big end first": text.encode("utf-16-be"),
        "UTF-16 with a mark": codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
        "UTF-32": codecs.BOM_UTF32_LE + '{"model_sha256":""}'.encode("utf-32-le"),
        "UTF-32, big end first": '{"model_sha256":""}'.encode("utf-32-be"),
        "UTF-8 after a byte order mark": codecs.BOM_UTF8 + claims,
        "half a surrogate pair": claims[:-1] + b',"x":"\xed\xa0\x80"}',
        "a number that is none": claims[:-1] + b',"x":NaN}',
        "an infinite number": claims[:-1] + b',"x":[-Infinity]}',
        "101 levels": claims[:-1] + b',"x":' + b"[" * 100 + b"0" + b"]" * 100 + b"}",
        "bytes after it": claims + b"\x00",
        "a list": b"[" + claims + b"]",
        "another's object": b'{"func_checksum":"x"}',
        "a text": b'"model_sha256"',
        "nothing": b"",
    }
    for name, user_data in others.items():
        book.refused("claims_missing", 9, f"user data: {name}", book.document(user_data=user_data), **rest)
    book.refused("claims_missing", 9, "user data: null", book.document(user_data=None), **rest)
    more = claims[:-1] + b',"more":{"a":[1,2]}}'
    book.accepted("another member beside the claims", book.document(user_data=more), left_open=(), **rest)


def _identity(book: Book) -> None:
    book.group = "identity"
    model = CLAIMS.model_sha256.hex()
    for name, members, code in (
        ("another function", {"any_function": ..., "function_checksums": ["12" * 32]}, "function_not_accepted"),
        ("another model", {"model_digests": ["12" * 32]}, "model_not_accepted"),
    ):
        book.refused(code, 9, name, policy=book.policy(book.release(**members)), section=RELEASES, **OURS)
    book.accepted("the model", policy=book.policy(book.release(model_digests=[model])), section=RELEASES, **OURS)
    book.refused(
        "claims_missing",
        9,
        "the model asked for, and no claims",
        book.document(user_data=None),
        policy=book.policy(book.release(model_digests=[model])),
        section=RELEASES,
        **OURS,
    )


def _releases(book: Book) -> None:
    book.group = "releases"
    rest: dict[str, Any] = {"section": RELEASES, **OURS}
    stamp = "%Y-%m-%dT%H:%M:%SZ"
    now, later = NOW.strftime(stamp), (NOW + timedelta(seconds=1)).strftime(stamp)
    book.refused("policy_expired", None, "a policy at its end", policy=book.policy(expires=now), **rest)
    book.accepted("a policy a second before its end", policy=book.policy(expires=later), **rest)
    book.refused(
        "policy_expired",
        None,
        "a policy at its end, archived",
        policy=book.policy(expires=now),
        mode="archived",
        **rest,
    )
    book.accepted(
        "archived, made before the policy ended",
        policy=book.policy(expires=later),
        mode="archived",
        time=NOW + timedelta(days=99),
        **rest,
    )
    book.refused("release_expired", 7, "a release at its end", policy=book.policy(book.release(expires=now)), **rest)
    book.refused(
        "release_too_old",
        7,
        "a release below the minimum",
        policy=book.policy(book.release(version="1.9"), minimum_version="1.10"),
        **rest,
    )
    for what, value, step in (
        ("register 0", mock.pcrs()[0].hex(), 7),
        ("register 3", mock.pcrs()[3].hex(), 7),
        ("function", CLAIMS.func_checksum.hex(), 9),
        ("model", CLAIMS.model_sha256.hex(), 9),
    ):
        for mode in ("live", "archived"):
            book.refused(
                "release_recalled",
                step,
                f"a recalled {what}, {mode}",
                policy=book.policy(refuse=[value]),
                mode=mode,
                **rest,
            )
    other = book.release(name="other", pcrs={"0": ["ab" * 48]})
    book.accepted("the second of two releases", policy=book.policy(other, book.release()), **rest)
    book.refused(
        "pcr_mismatch", 7, "neither of two releases", policy=book.policy(other, other | {"name": "third"}), **rest
    )


def _kinds(book: Book) -> None:
    book.group = "kinds"
    rest: dict[str, Any] = {"section": RELEASES, **OURS}
    simulated = mock.forge({"root": {"name": common_name("blindsight.simulated"), "label": "simulated"}})
    as_simulated = book.policy(book.under(simulated)["releases"][0] | {"kind": "simulated"})
    book.accepted(
        "simulated evidence, listed as such", book.document(simulated), policy=as_simulated, kind="simulated", **rest
    )
    book.refused(
        "simulated_root",
        3,
        "a simulated root listed as a genuine one",
        book.document(simulated),
        policy=book.under(simulated),
        rows=[24, 28],
        **rest,
    )
    book.refused(
        "root_not_pinned", 3, "simulated evidence under another policy", book.document(simulated), rows=[24, 28], **rest
    )
    aws = book.policy(book.release(roots=...))
    for name, forge in (("mock", book.forge), ("simulated", simulated)):
        book.refused(
            "root_not_pinned",
            3,
            f"{name} evidence under AWS's root",
            book.document(forge),
            policy=aws,
            section=RELEASES,
            scope="blindsight",
            rows=[8, 24, 28],
        )


def _emulated(book: Book) -> None:
    book.group = "emulated"
    fields = {"pcrs": mock.pcrs(), "module_id": mock.MODULE_ID}
    document = book.forge.emulated(**fields)
    kind = "qemu-nitro-enclave"
    policy = book.policy(book.release(kind=kind, roots=...))
    ours: dict[str, Any] = {"policy": policy, "section": QEMU, **OURS}
    book.refused("wrong_algorithm", 1, "an unsigned document of QEMU", document, section="nitro-local, 4", rows=[28])
    book.refused(
        "wrong_algorithm",
        1,
        "an unsigned document of QEMU, archived",
        document,
        mode="archived",
        section="nitro-local, 4",
        rows=[28],
    )
    full = book.forge.emulated(**fields, certificate=book.forge.leaf.der, cabundle=book.forge.bundle)
    book.refused(
        "wrong_algorithm", 1, "an unsigned document with a right chain", full, section="nitro-local, 4", rows=[15, 28]
    )
    zeros = cbor2.dumps([b"\xa1\x01\x38\x22", {}, cbor2.loads(full)[2], bytes(96)])
    book.refused(
        "invalid_signature",
        5,
        "zeros for a signature under a right chain",
        zeros,
        section="nitro-local, 4",
        rows=[5, 28],
    )
    book.accepted("listed by its kind", document, kind=kind, **ours)
    book.accepted("listed by its kind, archived", document, kind=kind, mode="archived", **ours)
    book.accepted("listed by its kind, tagged", b"\xd2" + document, kind=kind, **ours)
    payload = book.forge.payload(**fields, certificate=bytes(64), cabundle=[bytes(64)])
    book.accepted("listed by its kind, indefinite", unsigned(payload), kind=kind, **ours)
    beside = book.policy(book.release(), book.release(kind=kind, roots=..., name="qemu"))
    book.accepted("listed beside a genuine release", document, kind=kind, release="qemu", **ours | {"policy": beside})
    book.accepted("genuine, listed beside QEMU's machine", policy=beside, section=QEMU, **OURS)
    book.refused("root_not_pinned", 3, "a signed document, and QEMU's machine listed", **ours)
    one = bytes(63) + b"\x01"
    for code, step, name, hostile in (
        ("invalid_signature", 5, "another signature", unsigned(payload, signature=one)),
        ("not_cose_sign1", 1, "a signature of 96 zeros", unsigned(payload, signature=bytes(96))),
        ("not_cose_sign1", 1, "no signature", unsigned(payload, signature=b"")),
        ("wrong_algorithm", 1, "another algorithm", unsigned(payload, protected=b"\xa1\x01\x21")),
        ("wrong_algorithm", 1, "no algorithm", unsigned(payload, protected=b"\xa0")),
        ("unprotected_header", 1, "an unprotected header", cbor2.dumps([b"\xa1\x01\x20", {1: -1}, payload, bytes(64)])),
        ("malformed_certificate", 4, "another certificate", book.forge.emulated(**fields, certificate=one)),
        ("malformed_certificate", 4, "a shorter certificate", book.forge.emulated(**fields, certificate=bytes(63))),
        (
            "malformed_certificate",
            4,
            "a signer's certificate",
            book.forge.emulated(**fields, certificate=book.forge.leaf.der),
        ),
        ("malformed_certificate", 3, "another bundle", book.forge.emulated(**fields, cabundle=[one])),
        ("malformed_certificate", 3, "a shorter bundle", book.forge.emulated(**fields, cabundle=[bytes(63)])),
        ("malformed_certificate", 3, "a bundle of two", book.forge.emulated(**fields, cabundle=[bytes(64)] * 2)),
        ("malformed_certificate", 3, "a right bundle", full),
        (
            "debug_document",
            6,
            "registers of zeros",
            book.forge.emulated(pcrs=mock.pcrs(pcr0=bytes(48), pcr1=bytes(48), pcr2=bytes(48))),
        ),
        ("pcr_mismatch", 7, "other code", book.forge.emulated(pcrs=mock.pcrs(pcr1=b"\x77" * 48))),
        ("claims_pcr_mismatch", 8, "other claims", book.forge.emulated(pcrs=mock.pcrs(pcr16=b"\x77" * 48))),
        ("nonce_mismatch", 10, "another nonce", book.forge.emulated(**fields, nonce=NONCE[::-1])),
    ):
        book.refused(code, step, f"listed: {name}", hostile, **ours)
    book.refused("evidence_too_old", 10, "listed: old", document, time=NOW + timedelta(seconds=301), **ours)
    for name, roots in (("a root", [book.forge.fingerprint]), ("no root", [])):
        book.refused(
            "invalid_policy",
            None,
            f"listed with {name}",
            document,
            section=QEMU,
            policy=book.policy(book.release(kind=kind, roots=roots)),
            **OURS,
        )


def _bindings(book: Book) -> None:
    book.group = "binding"
    hybrid, x25519 = HybridPrivateKey(SEED), X25519PrivateKey.from_private_bytes(X25519_KEY)
    offered = [
        keyconfig.offered(17, hybrid.public_bytes(), MLKEM768_X25519),
        keyconfig.offered(18, x25519.public_key().public_bytes_raw(), X25519_HKDF_SHA256),
    ]
    configs = keyconfig.encode_list(offered)
    section = "docs/protocol.md; RFC 9458, 3.2"

    def attesting(configs: bytes, manifest: bytes = rfc8785.dumps(MANIFEST), **changes: object) -> bytes:
        claims = Claims(
            CLAIMS.func_checksum,
            keyconfig.digest(configs),
            hashlib.sha256(manifest).digest(),
            CLAIMS.receipt_key_sha256,
        )
        measured = mock.pcrs(pcr16=expected_pcr16(claims.func_checksum, claims.model_sha256))
        return book.document(**{"user_data": claims.to_json(), "pcrs": measured} | changes)

    def binding(configs: bytes, model: object = MANIFEST) -> dict[str, Any]:
        return {"key_configs": b64encode(configs).decode(), "model": model}

    rest: dict[str, Any] = {"section": section, **OURS}
    document = attesting(configs)
    for mode in ("live", "archived"):
        book.accepted(
            f"the attested keys and manifest, {mode}",
            document,
            binding=binding(configs),
            mode=mode,
            kem_id=MLKEM768_X25519,
            rows=[27],
            **rest,
        )
    for name, listed in (
        ("an unknown KEM first", UNKNOWN_KEM + configs),
        ("X25519 first", keyconfig.encode_list(offered[::-1])),
    ):
        book.accepted(name, attesting(listed), binding=binding(listed), kem_id=MLKEM768_X25519, **rest)
    alone = keyconfig.encode_list(offered[1:])
    book.accepted("X25519 alone", attesting(alone), binding=binding(alone), kem_id=X25519_HKDF_SHA256, **rest)
    relayed = {"rows": [2, 27], **rest}
    book.refused(
        "key_configs_mismatch", 11, "another key", document, binding=binding(configs[:-1] + b"\x01"), **relayed
    )
    book.refused("key_configs_mismatch", 11, "one key of the two", document, binding=binding(alone), **relayed)
    book.refused("key_configs_mismatch", 11, "a key more", document, binding=binding(configs + UNKNOWN_KEM), **relayed)
    book.refused("key_configs_mismatch", 11, "no keys", document, binding=binding(b""), **relayed)
    book.refused(
        "model_mismatch",
        11,
        "another manifest",
        document,
        binding=binding(configs, MANIFEST | {"trained": False}),
        **relayed,
    )
    book.refused(
        "model_mismatch",
        11,
        "a manifest that is no object",
        attesting(configs, b"[]"),
        binding=binding(configs, []),
        **rest,
    )
    book.refused(
        "claims_missing",
        11,
        "a document that claims no keys",
        book.document(user_data=None),
        binding=binding(configs),
        **relayed,
    )
    wrong = replace(CLAIMS, key_configs_sha256=keyconfig.digest(configs))
    book.refused(
        "claims_pcr_mismatch",
        8,
        "claims of another enclave's register 16",
        document=book.document(user_data=replace(wrong, model_sha256=hashlib.sha256(b"x").digest()).to_json()),
        binding=binding(configs),
        **relayed,
    )
