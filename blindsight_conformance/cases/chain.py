"""Roots, chains and signatures that must be refused: steps 3 to 5."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from blindsight_conformance import mock
from blindsight_conformance.pki import NOW, P384_ORDER, common_name, usage

if TYPE_CHECKING:
    from blindsight_conformance.book import Book
    from blindsight_conformance.forge import Forge

ROOT = "AWS 3.2.3; field facts, section 2, step 3"
CHAIN = "AWS 3.2.3"
VALIDITY = "AWS 3.2.3.1"
CONSTRAINTS = "AWS 3.2.3.2"
USAGE = "AWS 3.2.3.3"
PROFILE = "RFC 5280, 4.1 and 4.2"
ALGORITHM = "field facts, section 2, step 3: ecdsa-with-SHA384 on P-384 only"
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")


def add(book: Book) -> None:
    """Add the cases of this module."""
    book.group = "chain"
    _roots(book)
    _order(book)
    _validity(book)
    _authorities(book)
    _signers(book)
    _algorithms(book)
    _encodings(book)
    _signatures(book)


def _roots(book: Book) -> None:
    mine, stranger = book.forge, mock.forge({role: {"label": "stranger"} for role in mock.ROLES})
    refused = book.refused
    refused("root_not_pinned", 3, "a self-made root of the same name", book.document(stranger), section=ROOT, rows=[8])
    other = mock.forge({"root": {"label": "other", "name": common_name("aws.nitro-enclaves")}})
    refused(
        "root_not_pinned", 3, "a self-made root that calls itself AWS's", book.document(other), section=ROOT, rows=[8]
    )
    below = book.document(stranger, cabundle=[mine.root.der, *stranger.bundle[1:]])
    refused("invalid_chain", 4, "the pinned root before another's chain", below, section=ROOT, rows=[7, 8])
    above = book.document(stranger, cabundle=[*stranger.bundle, mine.root.der])
    refused("root_not_pinned", 3, "the pinned root at the other end", above, section=ROOT, rows=[7, 8])
    both = book.document(stranger, cabundle=[mine.root.der, *stranger.bundle])
    refused("invalid_chain", 4, "the pinned root before another root", both, section=ROOT, rows=[7, 8])
    alone = book.document(cabundle=[mine.root.der], certificate=stranger.leaf.der)
    refused("invalid_chain", 4, "the pinned root and a stranger's signer", alone, section=ROOT, rows=[7, 8])
    related = mock.forge({"root": {"label": "related"}})
    document = book.document(related, cabundle=[mine.root.der, *related.bundle[1:]])
    refused("invalid_chain", 4, "authorities that another root signed, too", document, section=ROOT, rows=[8])
    refused(
        "root_not_pinned",
        3,
        "the root at the wrong end",
        book.document(cabundle=mine.bundle[::-1]),
        section=ROOT,
        rows=[7],
    )
    refused("root_not_pinned", 3, "no root", book.document(cabundle=mine.bundle[1:]), section=ROOT, rows=[7])
    for role, index in (("regional", 1), ("instance", 3)):
        document = book.document(cabundle=mine.bundle[index:])
        refused("root_not_pinned", 3, f"beginning with the {role}", document, section=ROOT, rows=[7])
    again = mock.forge({"root": {"end": NOW + timedelta(days=1), "label": ""}})
    refused(
        "root_not_pinned",
        3,
        "the pinned root's key in another certificate",
        book.document(again),
        section=ROOT,
        rows=[8],
    )
    signed_by_itself = mock.forge()
    signed_by_itself.parties, signed_by_itself.leaf = [], signed_by_itself.root
    refused("invalid_chain", 4, "signed by the root itself", book.document(signed_by_itself), section=ROOT, rows=[22])
    selfish = mock.forge()
    selfish.leaf = mock.issue(None, "leaf", label="selfish")
    refused(
        "invalid_chain", 4, "a signer that signed its own certificate", book.document(selfish), section=ROOT, rows=[8]
    )
    trailing = book.document(cabundle=[mine.root.der + b"\x00", *mine.bundle[1:]])
    refused("root_not_pinned", 3, "a byte after the root", trailing, section=ROOT, rows=[10])
    document = book.document(stranger, cabundle=[*mine.bundle, *stranger.bundle])
    refused("invalid_chain", 4, "two bundles one after the other", document, section=ROOT, rows=[7, 8])


def _order(book: Book) -> None:
    root, regional, zonal, instance = book.forge.bundle
    for code, name, bundle in (
        ("chain_order", "two authorities exchanged", [root, zonal, regional, instance]),
        ("chain_order", "authorities in reverse", [root, instance, zonal, regional]),
        ("chain_order", "an authority twice", [root, regional, zonal, instance, instance]),
        ("chain_order", "a spare authority", [root, regional, zonal, instance, zonal]),
        ("chain_order", "the root twice", [root, root, regional, zonal, instance]),
        ("invalid_chain", "the regional authority missing", [root, zonal, instance]),
        ("invalid_chain", "the zonal authority missing", [root, regional, instance]),
        ("invalid_chain", "the instance missing", [root, regional, zonal]),
        ("invalid_chain", "no authorities", [root]),
    ):
        book.refused(code, 4, name, book.document(cabundle=bundle), section=CHAIN, rows=[7])
    spare = mock.forge({"instance": {"label": "spare"}}).bundle[3]
    document = book.document(cabundle=[root, regional, zonal, spare, instance])
    book.refused("chain_order", 4, "an authority of another chain", document, section=CHAIN, rows=[7])
    document = book.document(cabundle=[*book.forge.bundle, book.forge.leaf.der])
    book.refused("chain_order", 4, "the signer in the bundle, too", document, section=CHAIN, rows=[7])
    long = mock.forge()
    for number in range(2):
        long.parties.append(
            mock.issue(
                long.parties[-1], "instance", label=str(number), path_length=None, name=common_name(f"deeper {number}")
            )
        )
    long.leaf = mock.issue(long.parties[-1], "leaf", label="deep")
    book.refused("invalid_chain", 4, "five authorities", book.document(long), section=CHAIN, rows=[22, 23])
    deep = mock.forge({role: {"path_length": None} for role in ("regional", "zonal", "instance")})
    deep.parties.append(
        mock.issue(deep.parties[-1], "instance", label="deep", path_length=None, name=common_name("deeper"))
    )
    deep.leaf = mock.issue(deep.parties[-1], "leaf", label="deeper")
    book.refused(
        "invalid_chain",
        4,
        "four authorities without path lengths",
        book.document(deep),
        section=CHAIN,
        rows=[22],
        note="deeper than any genuine chain",
    )
    wrong = mock.forge({"leaf": {"issuer_name": common_name("another authority")}})
    book.refused("invalid_chain", 4, "a signer that names another issuer", book.document(wrong), section=PROFILE)
    forged = mock.forge()
    impostor = mock.issue(forged.parties[2], "instance", label="impostor")
    forged.leaf = mock.issue(impostor, "leaf")
    book.refused(
        "invalid_chain",
        4,
        "a signer under another key of the instance's name",
        book.document(forged),
        section=CHAIN,
        rows=[8],
    )


def _validity(book: Book) -> None:
    for role in mock.ROLES:
        ended = mock.forge({role: {"end": NOW - timedelta(seconds=1)}})
        book.refused(
            "certificate_expired",
            4,
            f"the {role} expired a second ago",
            book.document(ended),
            policy=book.under(ended),
            section=VALIDITY,
            rows=[14],
        )
        early = mock.forge({role: {"start": NOW + timedelta(seconds=1)}})
        book.refused(
            "certificate_not_yet_valid",
            4,
            f"the {role} becomes valid in a second",
            book.document(early),
            policy=book.under(early),
            section=VALIDITY,
            rows=[14],
        )
    book.refused("certificate_expired", 4, "a day later", time=NOW + timedelta(days=1), section=VALIDITY, rows=[18])
    book.refused("certificate_expired", 4, "years later", time=NOW + timedelta(days=1000), section=VALIDITY, rows=[18])
    book.refused(
        "certificate_not_yet_valid", 4, "a day earlier", time=NOW - timedelta(days=1), section=VALIDITY, rows=[18]
    )
    late = book.document(timestamp=1000 * int((NOW + timedelta(hours=4)).timestamp()))
    book.refused(
        "certificate_expired",
        4,
        "archived, made after the signer expired",
        late,
        mode="archived",
        section=VALIDITY,
        rows=[18],
    )
    early_document = book.document(timestamp=1000 * int((NOW - timedelta(hours=1)).timestamp()))
    book.refused(
        "certificate_not_yet_valid",
        4,
        "archived, made before the signer was valid",
        early_document,
        mode="archived",
        section=VALIDITY,
        rows=[18],
    )
    soon = mock.forge({"leaf": {"start": NOW, "end": NOW + timedelta(hours=3, seconds=3)}})
    book.refused(
        "certificate_not_yet_valid",
        4,
        "a signer beyond the permitted skew",
        book.document(soon),
        time=NOW - timedelta(seconds=90),
        section=VALIDITY,
        rows=[20],
    )
    short = mock.forge({"leaf": {"end": NOW + timedelta(seconds=60)}})
    ahead = book.document(short, timestamp=1000 * int((NOW + timedelta(seconds=60)).timestamp()))
    book.refused(
        "certificate_expired",
        4,
        "the signer expired while the document waited",
        ahead,
        time=NOW + timedelta(seconds=61),
        section=VALIDITY,
        rows=[14, 18],
    )


def _authorities(book: Book) -> None:
    def hostile(name: str, role: str, section: str, **changes: Any) -> None:  # noqa: ANN401 -- party()'s arguments
        forge = mock.forge({role: changes})
        book.refused(
            "invalid_chain",
            4,
            f"{role}: {name}",
            book.document(forge),
            policy=book.under(forge),
            section=section,
            rows=[22],
        )

    for role in ("regional", "zonal", "instance"):
        hostile("not an authority", role, CONSTRAINTS, ca=False, path_length=None)
        hostile("may not sign certificates", role, USAGE, key_usage=(usage("digital_signature", "crl_sign"), True))
    hostile("not an authority", "root", CONSTRAINTS, ca=False, path_length=None)
    hostile("may not sign certificates", "root", USAGE, key_usage=(usage("digital_signature", "crl_sign"), True))
    for role in ("root", "instance"):
        hostile("without basic constraints", role, CONSTRAINTS, constraints=None)
        hostile("without key usage", role, USAGE, key_usage=None)
        hostile("key usage not critical", role, USAGE, key_usage=(usage("key_cert_sign"), False))
        length = None if role == "root" else 0
        hostile(
            "basic constraints not critical",
            role,
            CONSTRAINTS,
            constraints=(x509.BasicConstraints(ca=True, path_length=length), False),
        )
        hostile("an unknown critical extension", role, PROFILE, extra=[(UNKNOWN, True)])
    hostile("path length 1", "regional", CONSTRAINTS, path_length=1)
    hostile("path length 0", "regional", CONSTRAINTS, path_length=0)
    hostile("path length 0", "zonal", CONSTRAINTS, path_length=0)
    hostile("path length 2", "root", CONSTRAINTS, path_length=2)
    ended = mock.forge()
    signer = mock.issue(ended.parties[1], "leaf", label="issuer")
    ended.parties[2], ended.leaf = signer, mock.issue(signer, "leaf", label="issued")
    book.refused(
        "invalid_chain", 4, "a signer used as an authority", book.document(ended), section=CONSTRAINTS, rows=[22]
    )


def _signers(book: Book) -> None:
    def hostile(name: str, section: str, **changes: Any) -> None:  # noqa: ANN401 -- party()'s arguments
        forge = mock.forge({"leaf": changes})
        book.refused("invalid_chain", 4, f"signer: {name}", book.document(forge), section=section, rows=[22])

    hostile("an authority", CONSTRAINTS, ca=True)
    hostile("an authority that may not sign certificates", CONSTRAINTS, ca=True, cert_sign=False)
    hostile("without basic constraints", CONSTRAINTS, constraints=None)
    hostile(
        "basic constraints not critical",
        CONSTRAINTS,
        constraints=(x509.BasicConstraints(ca=False, path_length=None), False),
    )
    hostile("without key usage", USAGE, key_usage=None)
    hostile("for signing certificates alone", USAGE, key_usage=(usage("key_cert_sign"), False))
    hostile("for non-repudiation alone", USAGE, key_usage=(usage("content_commitment"), False))
    hostile("an unknown critical extension", PROFILE, extra=[(UNKNOWN, True)])
    names = x509.SubjectAlternativeName([x509.DNSName("example.com")])
    hostile("names of a TLS server", PROFILE, extra=[(names, False)])
    instance = mock.forge()
    instance.leaf = instance.parties.pop()
    book.refused(
        "invalid_chain", 4, "signed by the instance itself", book.document(instance), section=CONSTRAINTS, rows=[22]
    )


def _algorithms(book: Book) -> None:
    for role in mock.ROLES:
        for curve, name in ((ec.SECP256R1(), "P-256"), (ec.SECP521R1(), "P-521")):
            if role != "leaf" and name == "P-521":
                continue
            forge = mock.forge({role: {"curve": curve}})
            message = cbor2.loads(book.document(forge))
            # Padded to the length of P-384's, so that the curve itself is what is refused.
            document = cbor2.dumps([*message[:3], message[3][:96].ljust(96, b"\x00")])
            book.refused(
                "certificate_algorithm",
                4,
                f"the {role}'s key on {name}",
                document,
                policy=book.under(forge),
                section=ALGORITHM,
                rows=[15],
            )
        for digest, name in ((hashes.SHA256(), "SHA-256"), (hashes.SHA512(), "SHA-512")):
            if role not in {"leaf", "zonal"} and name == "SHA-512":
                continue
            forge = mock.forge({role: {"digest": digest}})
            book.refused(
                "certificate_algorithm",
                4,
                f"the {role} signed with {name}",
                book.document(forge),
                policy=book.under(forge),
                section=ALGORITHM,
                rows=[15],
            )


def _encodings(book: Book) -> None:
    leaf = book.forge.leaf.der
    point = book.forge.leaf.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    for name, other in (("not on the curve", point[:-1] + bytes([point[-1] ^ 1])), ("of zeros", b"\x04" + bytes(96))):
        document = book.document(certificate=leaf.replace(point, other))
        book.refused("certificate_algorithm", 4, f"a key that is {name}", document, section="RFC 5480, 2.2", rows=[15])
    encoded = bytes.fromhex("06072a8648ce3d0201")
    unknown = book.document(certificate=leaf.replace(encoded, bytes.fromhex("06072a8648ce3d0209")))
    book.refused(
        "certificate_algorithm", 4, "a key of an unknown algorithm", unknown, section="RFC 5480, 2.1", rows=[15]
    )
    version = leaf.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020128"), 1)
    long_length = leaf[:1] + b"\x83\x00" + leaf[2:]
    indefinite = leaf[:1] + b"\x80" + leaf[4:] + b"\x00\x00"
    for name, certificate in (
        ("an empty sequence", b"\x30\x00"),
        ("no DER", b"certificate"),
        ("a byte after it", leaf + b"\x00"),
        ("cut short", leaf[:-1]),
        ("of a version that none has", version),
        ("a length in a longer form", long_length),
        ("of indefinite length", indefinite),
        ("in PEM", book.forge.leaf.pem.encode()),
    ):
        document = book.document(certificate=certificate)
        book.refused("malformed_certificate", 3, f"certificate: {name}", document, section=PROFILE, rows=[6, 10])
    bundle = book.forge.bundle
    bundle[2] += b"\x00"
    book.refused(
        "malformed_certificate",
        3,
        "a byte after an authority",
        book.document(cabundle=bundle),
        section=PROFILE,
        rows=[10],
    )
    forge = _even_signature()
    odd_one = forge.leaf.certificate
    odd = bytearray(forge.leaf.der)
    odd[-len(odd_one.signature) - 1] = 1
    book.refused(
        "malformed_certificate",
        3,
        "a certificate's signature without its last bit",
        book.document(forge, certificate=bytes(odd)),
        section=PROFILE,
    )
    broken = bytearray(leaf)
    broken[-1] ^= 1
    book.refused(
        "invalid_chain",
        4,
        "a bit of the signer's certificate turned",
        book.document(certificate=bytes(broken)),
        section=CHAIN,
        rows=[5],
    )
    for index, role in ((1, "regional"), (2, "zonal"), (3, "instance")):
        bundle = book.forge.bundle
        turned = bytearray(bundle[index])
        turned[-1] ^= 1
        bundle[index] = bytes(turned)
        book.refused(
            "invalid_chain",
            4,
            f"a bit of the {role}'s certificate turned",
            book.document(cabundle=bundle),
            section=CHAIN,
            rows=[5],
        )


def _even_signature() -> Forge:
    """A chain in which the signature of the signer's certificate ends in a zero bit."""
    for number in range(100):
        forge = mock.forge({"leaf": {"label": f"even {number}"}})
        if forge.leaf.certificate.signature[-1] % 2 == 0:
            return forge
    raise LookupError("no such signature")


def _signatures(book: Book) -> None:
    section = "AWS 3.2.1; RFC 9052, 4.4"
    message = cbor2.loads(book.document())
    protected, unprotected, payload, signature = message
    r, s = signature[:48], signature[48:]
    other = cbor2.loads(book.document(module_id="i-other"))
    order = P384_ORDER.to_bytes(48, "big")
    for name, changed in (
        ("the last bit turned", signature[:-1] + bytes([signature[-1] ^ 1])),
        ("the first bit turned", bytes([signature[0] ^ 0x80]) + signature[1:]),
        ("zeros", bytes(96)),
        ("ones", b"\xff" * 96),
        ("r of zero", bytes(48) + s),
        ("s of zero", r + bytes(48)),
        ("r of the order", order + s),
        ("s of the order", r + order),
        ("r and s exchanged", s + r),
        ("little-endian", r[::-1] + s[::-1]),
        ("another document's", other[3]),
    ):
        document = cbor2.dumps([protected, unprotected, payload, changed])
        book.refused("invalid_signature", 5, f"signature: {name}", document, section=section, rows=[5])
    document = cbor2.dumps([protected, unprotected, other[2], signature])
    book.refused("invalid_signature", 5, "another payload", document, section=section, rows=[5])
    forge = book.forge
    imposter = mock.forge({"leaf": {"label": "imposter"}})
    stolen = imposter.envelope(book.payload(forge))
    book.refused(
        "invalid_signature", 5, "signed by another signer of the same instance", stolen, section=section, rows=[5]
    )
    raw = forge.leaf.key.sign(payload, ec.ECDSA(hashes.SHA384(), deterministic_signing=True))
    size = raw[3]
    halves = raw[4 : 4 + size], raw[6 + size :]
    bare = b"".join(half[-48:].rjust(48, b"\x00") for half in halves)
    book.refused(
        "invalid_signature",
        5,
        "a signature of the payload without its structure",
        cbor2.dumps([protected, unprotected, payload, bare]),
        section=section,
        rows=[5],
    )
    context = cbor2.dumps(["Signature", protected, b"", payload])
    wrong = _signed(book, context)
    book.refused(
        "invalid_signature",
        5,
        "signed as another kind of message",
        cbor2.dumps([protected, unprotected, payload, wrong]),
        section=section,
        rows=[5],
    )
    aad = _signed(book, cbor2.dumps(["Signature1", protected, b"aad", payload]))
    book.refused(
        "invalid_signature",
        5,
        "signed with external data",
        cbor2.dumps([protected, unprotected, payload, aad]),
        section=section,
        rows=[5],
    )


def _signed(book: Book, structure: bytes) -> bytes:
    algorithm = ec.ECDSA(hashes.SHA384(), deterministic_signing=True)
    raw = book.forge.leaf.key.sign(structure, algorithm)
    size = raw[3]
    halves = raw[4 : 4 + size], raw[6 + size :]
    return b"".join(half[-48:].rjust(48, b"\x00") for half in halves)
