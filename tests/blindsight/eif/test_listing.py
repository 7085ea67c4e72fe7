"""Ramdisks of strangers: what is listed, what is refused, and within which bounds."""

from __future__ import annotations

import functools
import gzip
import hashlib
import itertools
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindsight.eif import listing
from blindsight.errors import EifError
from tests.support.eif_golden import cpio

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = 0o100644
PLAIN = cpio(("./etc", 0o40755, b""), ("./etc/hosts", FILE, b"localhost"), ("l", 0o120777, b"etc/hosts"))


def refused(content: bytes | Iterator[bytes]) -> str:
    with pytest.raises(EifError) as caught:
        listing.read([content] if isinstance(content, bytes) else content)
    return caught.value.code


def field(archive: bytes, number: int, value: bytes) -> bytes:
    """`archive` with a field of its first header changed: 0 is the inode, 6 the size, 11 the name's size."""
    start = 6 + 8 * number
    return archive[:start] + value + archive[start + 8 :]


def test_plain_and_compressed_archives_are_listed_one_after_another() -> None:
    packed = gzip.compress(cpio(("a", FILE, b"1")) + bytes(512), mtime=0)
    packed += bytes(-len(packed) % 4)
    both = gzip.compress(cpio(("c", FILE, b"3")) + cpio(("d", FILE, b"4")))
    found = listing.read([PLAIN + bytes(8) + packed + cpio(("b", FILE, b"2")) + both])
    assert [entry.path for entry in found.entries] == ["etc", "etc/hosts", "l", "a", "b", "c", "d"]
    hosts, link = found.entries[1:3]
    assert (hosts.size, hosts.sha256) == (9, hashlib.sha256(b"localhost").digest())
    assert (link.target, link.sha256) == ("etc/hosts", None)


@given(st.integers(1, 7))
def test_the_blocks_may_be_of_any_size(step: int) -> None:
    content = PLAIN + gzip.compress(PLAIN, mtime=0)
    blocks = (content[start : start + step] for start in range(0, len(content), step))
    assert listing.read(blocks) == listing.read([content])


def test_only_the_files_that_are_wanted_are_kept_and_no_larger_ones() -> None:
    content = PLAIN + cpio(("other", FILE, b"x"))
    assert listing.read([content]).kept == {}
    assert listing.read([content], keep={"etc/hosts": 9, "absent": 9}).kept == {"etc/hosts": b"localhost"}
    with pytest.raises(EifError) as caught:
        listing.read([content], keep={"etc/hosts": 8})
    assert caught.value.code == "ramdisk_too_large"


def test_hard_links_name_the_first_of_their_archive() -> None:
    def linked(archive: bytes) -> bytes:
        return field(field(archive, 0, b"00000007"), 4, b"00000002")

    trailer = cpio()
    one, two = (linked(cpio((name, FILE, data))[: -len(trailer)]) for name, data in (("a", b""), ("b", b"data")))
    first, second = listing.read([one + two + trailer]).entries
    assert (first.hard_link, second.hard_link) == (None, "a")
    first, second = listing.read([one + trailer + two + trailer]).entries
    assert (first.hard_link, second.hard_link) == (None, None)


def test_files_with_one_link_are_no_hard_links_whatever_their_inode_numbers() -> None:
    trailer = cpio()
    same = b"".join(field(cpio((name, FILE, b"x"))[: -len(trailer)], 0, b"00000007") for name in ("a", "b"))
    assert [entry.hard_link for entry in listing.read([same + trailer]).entries] == [None, None]


def test_data_of_what_is_no_file_is_passed_over() -> None:
    found = listing.read([cpio(("d", 0o40755, b"12345"), ("x", FILE, b"y"))]).entries
    assert [(entry.path, entry.sha256 is None) for entry in found] == [("d", True), ("x", False)]


def test_a_name_may_have_4095_bytes() -> None:
    assert len(listing.read([cpio(("n" * 4095, FILE, b""))]).entries[0].path) == 4095


REFUSED = {
    "absolute name": (cpio(("/etc/passwd", FILE, b"x")), "unsafe_name"),
    "name that leads out": (cpio(("a/../../b", FILE, b"x")), "unsafe_name"),
    "name that leads out, compressed": (gzip.compress(cpio(("../b", FILE, b"x"))), "unsafe_name"),
    "no archive": (b"hello world", "malformed_ramdisk"),
    "old format of cpio": (b"070707" + bytes(70), "malformed_ramdisk"),
    "bytes behind an archive": (PLAIN + b"junk", "malformed_ramdisk"),
    "bytes behind a compressed archive": (gzip.compress(PLAIN) + b"junk", "malformed_ramdisk"),
    "bytes behind an archive that is inside": (gzip.compress(PLAIN + b"junk"), "malformed_ramdisk"),
    "compressed twice": (gzip.compress(gzip.compress(PLAIN)), "malformed_ramdisk"),
    "archive at no multiple of 4 inside": (gzip.compress(b"\0" + PLAIN), "malformed_ramdisk"),
    "archive without its end": (PLAIN[: -len(cpio())], "malformed_ramdisk"),
    "cut in a header": (PLAIN[:50], "malformed_ramdisk"),
    "cut in a file": (cpio(("a", FILE, b"x" * 400))[:300], "malformed_ramdisk"),
    "compressed and cut": (gzip.compress(PLAIN)[:-1], "malformed_ramdisk"),
    "compressed and damaged": (gzip.compress(PLAIN)[:-8] + bytes(8), "malformed_ramdisk"),
    "an entry of another format": (
        PLAIN[:116] + PLAIN[116:].replace(b"070701", b"070702", 1),
        "malformed_ramdisk",
    ),
    "a digit that is none": (field(PLAIN, 6, b"0000000g"), "malformed_ramdisk"),
    "a sign among the digits": (field(PLAIN, 6, b"-0000001"), "malformed_ramdisk"),
    "an underscore among the digits": (field(PLAIN, 6, b"0000_000"), "malformed_ramdisk"),
    "a size that goes beyond the end": (field(PLAIN, 6, b"FFFFFFFF"), "malformed_ramdisk"),
    "an empty name": (field(PLAIN, 11, b"00000001"), "malformed_ramdisk"),
    "a name that does not end": (field(PLAIN, 11, b"00000005"), "malformed_ramdisk"),
    "a name with two ends": (field(PLAIN, 11, b"00000009"), "malformed_ramdisk"),
    "a name over the limit": (cpio(("n" * 4096, FILE, b"")), "malformed_ramdisk"),
    "an empty link": (cpio(("l", 0o120777, b"")), "malformed_ramdisk"),
    "a link over the limit": (cpio(("l", 0o120777, b"t" * 4096)), "malformed_ramdisk"),
    "a bomb of streams": (gzip.compress(b"") * 1001, "ramdisk_too_large"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    content, code = REFUSED[name]
    assert refused(content) == code


@pytest.mark.parametrize("name", ["xz", "zstd", "lz4", "bzip2"])
def test_other_compressions_are_named(name: str) -> None:
    magic = {"xz": b"\xfd7zXZ\0", "zstd": b"\x28\xb5\x2f\xfd", "lz4": b"\x02\x21\x4c\x18", "bzip2": b"BZh9"}[name]
    with pytest.raises(EifError, match=f"compressed with {name}") as caught:
        listing.read([magic + bytes(100)])
    assert caught.value.code == "malformed_ramdisk"


@pytest.mark.parametrize(
    ("limits", "content"),
    [
        ({"names": 10_000}, cpio(*[(f"{number:04000d}", FILE, b"") for number in range(3)])),
        ({"names": 10_000}, cpio(*[(f"l{number}", 0o120777, b"t" * 4000) for number in range(3)])),
        ({"entries": 10}, gzip.compress(PLAIN * 3)),
        ({"entries": 10}, gzip.compress(cpio() * 11)),
        ({"entries": 10}, cpio() * 11),
        ({"unpacked": 1000}, gzip.compress(cpio(("bomb", FILE, bytes(1000))))),
    ],
    ids=["names", "targets", "entries, compressed", "archives, compressed", "archives", "bytes"],
)
def test_all_of_a_ramdisk_together_is_bounded(limits, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_Budget", functools.partial(listing._Budget, **limits))
    assert refused(content) == "ramdisk_too_large"
    monkeypatch.undo()
    listing.read([content])


def test_unpacked_bytes_are_bounded_before_they_are_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """256 MiB of zeros in 256 KiB: with a limit of 4 MiB no more than that and a block is ever made."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = field(cpio(("bomb", FILE, b""))[:120], 6, b"10000000")
    block = bytes(1 << 20)
    packed = compressor.compress(start) + b"".join(compressor.compress(block) for _ in range(256)) + compressor.flush()
    monkeypatch.setattr(listing, "_Budget", functools.partial(listing._Budget, unpacked=4 << 20))
    tracemalloc.start()
    try:
        assert refused(packed) == "ramdisk_too_large"
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_zero_between_archives_costs_no_more_than_it_should() -> None:
    """Many short stretches of zeros: looking at each must not read all that is at hand again."""
    content = (cpio() + bytes(4)) * 40_000
    assert listing.read([content]).entries == ()


@given(st.binary(max_size=300))
def test_any_bytes_are_listed_or_refused(content: bytes) -> None:
    for candidate in (content, PLAIN + content, gzip.compress(content), b"\x1f\x8b" + content):
        try:
            listing.read([candidate])
        except EifError:
            continue


@given(st.integers(0, len(PLAIN) - 1), st.integers(0, 255))
def test_any_changed_byte_is_listed_or_refused(position: int, value: int) -> None:
    changed = PLAIN[:position] + bytes([value]) + PLAIN[position + 1 :]
    try:
        found = listing.read(itertools.repeat(changed, 1))
    except EifError:
        return
    assert len(found.entries) <= 3
