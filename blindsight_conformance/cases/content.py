"""Debug mode, measurements and freshness, which a valid signature does not ensure: steps 6, 7 and 10."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from blindsight_conformance import mock
from blindsight_conformance.forge import NONCE
from blindsight_conformance.pki import NOW

if TYPE_CHECKING:
    from blindsight_conformance.book import Book

DEBUG = "field facts, section 2: debug mode"
MEASURED = "AWS 2.2; field facts, section 2, step 5"
FRESH = "AWS 2.2.2, nonce; field facts, section 2, step 6"
PINS = "field facts, section 2, step 5: a non-empty list, no zeros"
ZERO = bytes(48)


def add(book: Book) -> None:
    """Add the cases of this module."""
    _debug(book)
    _measurements(book)
    _pins(book)
    _freshness(book)


def _debug(book: Book) -> None:
    book.group = "debug"
    zeros = mock.pcrs(pcr0=ZERO, pcr1=ZERO, pcr2=ZERO)
    document = book.document(pcrs=zeros)
    book.refused("debug_document", 6, "registers 0 to 2 zero", document, section=DEBUG, rows=[4])
    book.refused(
        "debug_document", 6, "registers 0 to 2 zero, archived", document, mode="archived", section=DEBUG, rows=[4]
    )
    missing = mock.pcrs(pcr0=None, pcr1=None, pcr2=None)
    book.refused(
        "debug_document", 6, "registers 0 to 2 missing", book.document(pcrs=missing), section=DEBUG, rows=[1, 4]
    )
    mixed = mock.pcrs(pcr0=None, pcr1=ZERO, pcr2=None)
    book.refused(
        "debug_document", 6, "registers 0 and 2 missing, 1 zero", book.document(pcrs=mixed), section=DEBUG, rows=[4]
    )
    others = {str(index): [mock.pcrs()[index].hex()] for index in (3, 4)}
    policy = book.policy(book.release(pcrs=others, any_code=True))
    book.refused(
        "debug_document",
        6,
        "a policy of other registers, which are not zero",
        document,
        policy=policy,
        section=DEBUG,
        rows=[4],
    )
    book.refused(
        "debug_document", 6, "register 16 alone", book.document(pcrs={16: mock.pcrs()[16]}), section=DEBUG, rows=[4]
    )


def _measurements(book: Book) -> None:
    book.group = "measurements"
    for index in (0, 1, 2):
        name = f"pcr{index}"
        without = book.document(pcrs=mock.pcrs(**{name: None}))
        book.refused("pcr_missing", 7, f"register {index} missing", without, section=MEASURED, rows=[1])
        other = book.document(pcrs=mock.pcrs(**{name: b"\x77" * 48}))
        book.refused("pcr_mismatch", 7, f"register {index} of other code", other, section=MEASURED, rows=[5])
        zero = book.document(pcrs=mock.pcrs(**{name: ZERO}))
        book.refused("pcr_mismatch", 7, f"register {index} zero, the others not", zero, section=MEASURED, rows=[4, 5])
    value = mock.pcrs()[0]
    last = book.document(pcrs=mock.pcrs(pcr0=value[:-1] + bytes([value[-1] ^ 1])))
    book.refused("pcr_mismatch", 7, "register 0 of another last bit", last, section=MEASURED, rows=[5])
    first = book.document(pcrs=mock.pcrs(pcr0=bytes([value[0] ^ 0x80]) + value[1:]))
    book.refused("pcr_mismatch", 7, "register 0 of another first bit", first, section=MEASURED, rows=[5])
    swapped = mock.pcrs(pcr1=mock.pcrs()[2], pcr2=mock.pcrs()[1])
    book.refused(
        "pcr_mismatch", 7, "registers 1 and 2 exchanged", book.document(pcrs=swapped), section=MEASURED, rows=[5]
    )
    listed = {str(index): [mock.pcrs()[index].hex()] for index in (0, 1, 2)}
    for index, code in ((8, "pcr_mismatch"), (16, "pcr_mismatch"), (17, "pcr_missing"), (31, "pcr_missing")):
        policy = book.policy(
            book.release(pcrs=listed | {str(index): ["ab" * 48]}, any_function=... if index == 16 else True)
        )
        name = "missing" if code == "pcr_missing" else "of another value"
        book.refused(code, 7, f"register {index} asked for and {name}", policy=policy, section=MEASURED, rows=[1])
    book.refused(
        "pcr_mismatch",
        7,
        "archived, of other code",
        book.document(pcrs=mock.pcrs(pcr0=b"\x77" * 48)),
        mode="archived",
        section=MEASURED,
        rows=[5],
    )


def _pins(book: Book) -> None:
    """Policies that would accept any enclave, or only debug ones. They are refused before the document is parsed."""
    book.group = "pins"
    for code, name, registers in (
        ("no_measurements", "no registers", {}),
        ("empty_allow_list", "register 0 without values", {"0": []}),
        ("zero_measurement", "register 0 of zeros", {"0": ["00" * 48]}),
        ("zero_measurement", "a right value, and zeros", {"0": [mock.pcrs()[0].hex(), "00" * 48]}),
        ("zero_measurement", "registers 0 to 2 of zeros", {index: ["00" * 48] for index in "012"}),
        ("invalid_policy", "register 0 of 47 bytes", {"0": ["ab" * 47]}),
        ("invalid_policy", "register 0 of an empty text", {"0": [""]}),
        ("invalid_policy", "register 32", {"32": ["ab" * 48]}),
    ):
        policy = book.policy(book.release(pcrs=registers))
        zeros = book.document(pcrs=mock.pcrs(pcr0=ZERO, pcr1=ZERO, pcr2=ZERO))
        document = zeros if "zero" in code else None
        book.refused(code, None, name, document, policy=policy, section=PINS, rows=[3])
    for name, fingerprint in (
        ("the ZIP file", "8cf60e2b2efca96c6a9e71e851d00c1b6991cc09eadbe64a6a1d1b1eb9faff7c"),
        ("the PEM file", "6eb9688305e4bbca67f44b59c29a0661ae930f09b5945b5d1d9ae01125c8d6c0"),
    ):
        policy = book.policy(book.release(roots=[fingerprint]))
        book.refused(
            "not_a_certificate_fingerprint",
            None,
            f"the root pinned by the hash of {name}",
            policy=policy,
            scope="blindsight",
            section="field facts, section 2, root",
            rows=[9],
        )
    book.refused(
        "no_roots",
        None,
        "no root",
        policy=book.policy(book.release(roots=[])),
        scope="blindsight",
        section="field facts, section 2, root",
        rows=[3],
    )


def _freshness(book: Book) -> None:
    book.group = "freshness"
    for code, name, carried in (
        ("nonce_missing", "null", None),
        ("nonce_missing", "absent", ...),
        ("nonce_missing", "empty", b""),
        ("nonce_mismatch", "shortened", NONCE[:-1]),
        ("nonce_mismatch", "of one byte", NONCE[:1]),
        ("nonce_mismatch", "with a byte more", NONCE + b"\x00"),
        ("nonce_mismatch", "in reverse", NONCE[::-1]),
        ("nonce_mismatch", "of zeros", bytes(32)),
        ("nonce_mismatch", "twice", NONCE * 2),
        ("nonce_mismatch", "in hexadecimal digits", NONCE.hex().encode()),
    ):
        book.refused(code, 10, f"nonce {name}", book.document(nonce=carried), section=FRESH, rows=[19])
    another = b"the nonce of the next request..."
    book.refused("nonce_mismatch", 10, "a document of another request", nonce=another, section=FRESH, rows=[19])
    only = {"user_data": NONCE, "nonce": None}
    book.refused("nonce_missing", 10, "the nonce in user_data", book.document(**only), section=FRESH, rows=[19])
    book.refused(
        "nonce_mismatch", 10, "archived, and another nonce", nonce=another, mode="archived", section=FRESH, rows=[19]
    )
    book.refused(
        "evidence_too_old", 10, "a second too old", time=NOW + timedelta(seconds=301), section=FRESH, rows=[20]
    )
    book.refused("evidence_too_old", 10, "an hour old", time=NOW + timedelta(hours=1), section=FRESH, rows=[20])
    book.refused(
        "evidence_from_future",
        10,
        "a second too far in the future",
        time=NOW - timedelta(seconds=61),
        section=FRESH,
        rows=[20],
    )
    book.refused(
        "evidence_too_old",
        10,
        "old, and without a nonce to compare",
        nonce=None,
        time=NOW + timedelta(seconds=301),
        section=FRESH,
        rows=[20],
    )
    seconds = int(NOW.timestamp())
    book.refused(
        "evidence_too_old", 10, "a time in seconds", book.document(timestamp=seconds), section=FRESH, rows=[20]
    )
    book.refused(
        "evidence_from_future",
        10,
        "a time in units of ten microseconds",
        book.document(timestamp=100_000 * seconds),
        section=FRESH,
        rows=[20],
    )
    book.refused("evidence_too_old", 10, "a time of 1 ms", book.document(timestamp=1), section=FRESH, rows=[20])
    strict = book.policy(max_age_seconds=0)
    book.refused(
        "evidence_too_old",
        10,
        "a second old where none is accepted",
        policy=strict,
        time=NOW + timedelta(seconds=1),
        section=FRESH,
        rows=[20],
    )
    made = 1000 * seconds + 1
    book.refused(
        "evidence_from_future",
        10,
        "a millisecond ahead where none is accepted",
        book.document(timestamp=made),
        policy=book.policy(max_future_skew_seconds=0),
        section=FRESH,
        rows=[20],
    )
