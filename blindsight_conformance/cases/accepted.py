"""Forms of genuine documents, all of which must be accepted."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import cbor2
from cryptography import x509
from cryptography.x509.oid import NameOID

from blindsight_conformance import mock
from blindsight_conformance.forge import NONCE, definite, entries_of, indefinite
from blindsight_conformance.pki import NOW, P384_ORDER, derived_key, usage

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    from blindsight_conformance.book import Book

FORMAT = "AWS 2.2"
ENVELOPE = "AWS 3.1"
CONTENT = "AWS 3.2.2.2"
CHAIN = "AWS 3.2.3"


def add(book: Book) -> None:
    """Add the cases of this module."""
    book.group = "accepted"
    _of_years(book)
    _sizes(book)
    _registers(book)
    _unknown_fields(book)
    _certificates(book)
    _signatures(book)
    _times(book)


def _of_years(book: Book) -> None:
    old = mock.forge(indefinite=False)
    now_usual = {"public_key": None, "user_data": bytes(range(64)), "nonce": None}
    book.accepted("the form of 2025 and 2026", book.document(**now_usual), nonce=None, section=FORMAT, rows=[29])
    usual = {"user_data": b"x" * 746, "nonce": bytes(range(16))}
    book.accepted(
        "the form of 2023",
        book.document(old, **usual),
        nonce=bytes(range(16)),
        section=FORMAT,
        rows=[29],
        note="definite outer map, 746 bytes of user_data: more than the 512 of AWS's text",
    )
    short = {"user_data": None, "nonce": bytes(range(6))}
    book.accepted(
        "the form of 2022, archived",
        book.document(old, **short),
        nonce=None,
        mode="archived",
        section=FORMAT,
        rows=[29],
    )
    for name, forge in (("indefinite", book.forge), ("definite", old)):
        document = book.document(forge)
        book.accepted(f"{name} outer map", document, section=FORMAT, rows=[12, 29])
        book.accepted(f"{name} outer map tagged 18", b"\xd2" + document, section=ENVELOPE, rows=[29])
    absent = dict.fromkeys(("public_key", "user_data", "nonce"), ...)
    book.accepted("optional fields absent", book.document(**absent), nonce=None, section="AWS 3.2.2.1", rows=[29])
    null = dict.fromkeys(absent)
    book.accepted(
        "optional fields null",
        book.document(**null),
        nonce=None,
        section="field facts, section 2",
        rows=[29],
        note="AWS's text says that no field is null; its device writes null",
    )
    fields = {"pcrs": mock.pcrs(), "module_id": mock.MODULE_ID}
    reverse = dict(reversed(book.forge.fields(**fields).items()))
    book.accepted("fields in another order", book.forge.envelope(indefinite(entries_of(reverse))), section=FORMAT)


def _sizes(book: Book) -> None:
    for size in (0, 1, 512, 513, 1024):
        book.accepted(f"user_data of {size} bytes", book.document(user_data=b"u" * size), section=CONTENT, rows=[29])
    for size in (16, 255, 256, 512, 513, 1024):
        nonce = bytes(index % 251 for index in range(size))
        book.accepted(f"nonce of {size} bytes", book.document(nonce=nonce), nonce=nonce, section=CONTENT, rows=[29])
    book.accepted(
        "nonce of 0 bytes that nothing is compared with", book.document(nonce=b""), nonce=None, section=CONTENT
    )
    for size in (1, 32, 294, 1024):
        book.accepted(f"public_key of {size} bytes", book.document(public_key=b"k" * size), section=CONTENT)
    largest = {"public_key": bytes(1024), "user_data": bytes(1024), "nonce": NONCE * 32}
    registers = mock.pcrs() | {index: bytes([index]) * 48 for index in range(17, 32)}
    book.accepted(
        "everything as large as the device makes it",
        book.document(**largest, pcrs=registers),
        nonce=NONCE * 32,
        section=CONTENT,
        rows=[23],
    )
    book.accepted("module_id beyond ASCII", book.document(module_id="i-\u00e9\U0001f600"), section=CONTENT)


def _registers(book: Book) -> None:
    locked = mock.pcrs() | {index: bytes([index]) * 48 for index in range(17, 32)}
    book.accepted(
        "registers 16 to 31 locked by the application", book.document(pcrs=locked), section=CONTENT, rows=[21]
    )
    only = {index: value for index, value in mock.pcrs().items() if index < 3}
    book.accepted("registers 0 to 2 and no others", book.document(pcrs=only, user_data=None), section=CONTENT)
    values = mock.pcrs()
    one = {index: [value.hex()] for index, value in values.items() if index == 0}
    policy = book.policy(book.release(pcrs={"0": one[0]}))
    book.accepted(
        "register 0 and no other", book.document(pcrs={0: values[0]}, user_data=None), policy=policy, section=CONTENT
    )
    same = mock.pcrs(pcr1=values[0])
    policy = book.policy(book.release(pcrs={"0": [values[0].hex()], "1": [values[0].hex()]}))
    book.accepted(
        "register 1 equal to register 0",
        book.document(pcrs=same),
        policy=policy,
        section=CONTENT,
        note="legal where the application lies in the boot ramdisk",
    )
    zeros = mock.pcrs(pcr1=bytes(48), pcr2=bytes(48))
    policy = book.policy(book.release(pcrs={"0": [values[0].hex()]}))
    book.accepted(
        "registers 1 and 2 zero, but not 0", book.document(pcrs=zeros), policy=policy, section=CONTENT, rows=[4]
    )
    listed = {"0": ["ab" * 48, values[0].hex().upper()], "8": ["cd" * 48]}
    policy = book.policy(book.release(pcrs=listed))
    book.accepted(
        "one of several accepted values",
        book.document(pcrs=mock.pcrs(pcr8=b"\xcd" * 48)),
        policy=policy,
        section=CONTENT,
    )


def _unknown_fields(book: Book) -> None:
    section = "field facts, section 2: unknown keys are skipped and reported"
    old = mock.forge(indefinite=False)
    book.accepted(
        "unknown fields",
        book.document(added_later={"x": [1]}, nothing=None),
        unknown=["added_later", "nothing"],
        section=section,
        rows=[29],
    )
    entries = book.payload(old)[1:] + entries_of({7: b"", "bool": True, "negative": -1})
    book.accepted(
        "unknown fields of other types, in a definite map",
        old.envelope(definite(entries, 12)),
        unknown=[7, "bool", "negative"],
        section=section,
    )
    spelt = {"Nonce": bytes(32), "nonce ": bytes(32), "PCRS": {}}
    book.accepted(
        "unknown fields with nearly known names",
        book.document(**spelt),
        unknown=list(spelt),
        section=section,
        rows=[11],
    )
    book.accepted("an unknown field of four levels", book.document(x=[[[0]]]), unknown=["x"], section=section)
    book.accepted(
        "an unknown field with a long name", book.document(**{"x" * 5000: 1}), unknown=["x" * 5000], section=section
    )
    huge = 2**64 - 1
    entries = book.payload(old)[1:] + entries_of({"large": huge, "small": -(2**64)})
    book.accepted(
        "unknown fields with the largest numbers",
        old.envelope(definite(entries, 11)),
        unknown=["large", "small"],
        section=section,
    )


def _certificates(book: Book) -> None:
    signing = usage("digital_signature", "content_commitment")
    critical = mock.forge({"leaf": {"key_usage": (signing, True)}})
    book.accepted(
        "signer's key usage not critical", section="AWS 3.2.3.3", rows=[29], note="as all genuine signers have it"
    )
    book.accepted("signer's key usage critical", book.document(critical), section="AWS 3.2.3.3")
    alone = mock.forge({"leaf": {"key_usage": (usage("digital_signature"), False)}})
    book.accepted("signer for digital signatures alone", book.document(alone), section="AWS 3.2.3.3")
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    for role in ("leaf", "instance"):
        forge = mock.forge({role: {"extra": [(extension, False)]}})
        book.accepted(
            f"an unknown extension that is not critical: {role}", book.document(forge), section="RFC 5280, 4.2"
        )
    open_ended = mock.forge({role: {"path_length": None} for role in ("regional", "zonal", "instance")})
    book.accepted("authorities without path lengths", book.document(open_ended), section="AWS 3.2.3.2")
    root = book.forge.root
    direct = mock.issue(root, "leaf", label="direct")
    short = mock.forge()
    short.parties, short.leaf = [], direct
    book.accepted("a signer right under the root", book.document(short), section=CHAIN)
    zonal = mock.forge()
    zonal.parties = zonal.parties[:2]
    zonal.leaf = mock.issue(zonal.parties[-1], "leaf", label="zonal")
    book.accepted("a chain without instance", book.document(zonal), section=CHAIN)
    names = [(NameOID.LOCALITY_NAME, "Seattle"), (NameOID.STATE_OR_PROVINCE_NAME, "WA"), (NameOID.COMMON_NAME, "z")]
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in names])
    book.accepted("names of other attributes", book.document(mock.forge({"zonal": {"name": name}})), section=CHAIN)
    points = x509.CRLDistributionPoints(
        [x509.DistributionPoint([x509.UniformResourceIdentifier("http://crl.example/r.crl")], None, None, None)]
    )
    forge = mock.forge({"regional": {"extra": [(points, False)]}})
    book.accepted(
        "an authority with a revocation list",
        book.document(forge),
        section="AWS 3.2.3",
        note="AWS's process asks for no revocation lists",
    )


def _signatures(book: Book) -> None:
    section = "RFC 9053, 2.1"
    message = cbor2.loads(book.document())
    s = int.from_bytes(message[3][48:], "big")
    twin = cbor2.dumps([*message[:3], message[3][:48] + (P384_ORDER - s).to_bytes(48, "big")])
    book.accepted(
        "the other signature of the same document",
        twin,
        section=section,
        rows=[13],
        note="(r, n - s) verifies, too: no signature identifies a document",
    )
    for half, at in (("r", 0), ("s", 48)):
        book.accepted(
            f"a signature whose {half} begins with a zero byte",
            _signed_with_zero_at(book, at),
            section=section,
            rows=[17],
        )
    for coordinate in ("x", "y"):
        forge = mock.forge({"leaf": {"key": _key_with_short(coordinate)}})
        book.accepted(
            f"a signer's key whose {coordinate} begins with a zero byte",
            book.document(forge),
            section="RFC 5480, 2.2",
            rows=[17],
        )


def _times(book: Book) -> None:
    age = "AWS 2.2.2, nonce; field facts, section 2, step 6"
    book.accepted("as old as is accepted", time=NOW + timedelta(seconds=300), section=age, rows=[20])
    book.accepted("as far in the future as is accepted", time=NOW - timedelta(seconds=60), section=age, rows=[20])
    fresh = mock.forge({"leaf": {"start": NOW, "end": NOW + timedelta(hours=3, seconds=3)}})
    book.accepted(
        "a signer that the verifier's clock has not reached",
        book.document(fresh),
        time=NOW - timedelta(seconds=30),
        section=age,
        rows=[20],
        scope="blindsight",
        note="a leniency of this project's policies: max_future_skew_seconds",
    )
    validity = "AWS 3.2.3.1"
    for role in mock.ROLES:
        edge = mock.forge({role: {"end": NOW}})
        book.accepted(
            f"the last second of the {role}", book.document(edge), policy=book.under(edge), section=validity, rows=[14]
        )
        edge = mock.forge({role: {"start": NOW}})
        book.accepted(f"the first second of the {role}", book.document(edge), policy=book.under(edge), section=validity)
    book.accepted(
        "archived, years later",
        mode="archived",
        time=NOW + timedelta(days=3650),
        section=validity,
        rows=[18],
        note="judged at its own time, and for nothing but the past",
    )
    made = 1000 * int(NOW.timestamp()) + 999
    book.accepted("made within a second", book.document(timestamp=made), section=CONTENT)


def _signed_with_zero_at(book: Book, at: int) -> bytes:
    for number in range(10_000):
        document = book.document(module_id=f"{mock.MODULE_ID}-{number}")
        if cbor2.loads(document)[3][at] == 0:
            return document
    raise LookupError("no such signature")


def _key_with_short(coordinate: str) -> ec.EllipticCurvePrivateKey:
    for number in range(10_000):
        key = derived_key(f"short {coordinate} {number}")
        if getattr(key.public_key().public_numbers(), coordinate) < 1 << 376:
            return key
    raise LookupError("no such key")
