"""Ramdisks: the same bytes everywhere, and what the kernel makes of them."""

from __future__ import annotations

import gzip
import io
import os
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindsight.eif import BytesPart, listing, ramdisk
from blindsight.eif.ramdisk import Entry, character_device, directory, file, symlink
from blindsight.errors import EifError
from tests.support.eif_golden import cpio

if TYPE_CHECKING:
    from pathlib import Path

ENTRIES = [
    symlink("bin", "usr/bin"),
    file("init", b"#!boot", mode=0o755),
    character_device("dev/console", 5, 1),
    file("app/labels.txt", b"cat\ndog\n"),
    directory("tmp", mode=0o1777),
]


def made(entries: list[Entry] = ENTRIES, **options) -> bytes:
    out = io.BytesIO()
    assert ramdisk.write(out, entries, **options) == len(out.getvalue())
    return out.getvalue()


def test_an_archive_is_what_the_format_says() -> None:
    """Compared with the generator of the golden images, which knows no directories above and no links."""
    simple = [file("a", b"12345"), file("bb", b""), file("ccc", b"x" * 9, mode=0o755)]
    expected = cpio(("a", 0o100644, b"12345"), ("bb", 0o100644, b""), ("ccc", 0o100755, b"x" * 9))
    assert made(simple, compression="none") == expected
    assert gzip.decompress(made(simple).rstrip(b"\0") + bytes(3)).startswith(expected)


def test_entries_are_listed_as_they_were_given_with_the_directories_above() -> None:
    for compression in ("gzip", "none"):
        found = listing.read([made(compression=compression)]).entries
        assert [(entry.path, entry.mode, entry.size, entry.target, entry.device) for entry in found] == [
            ("app", stat.S_IFDIR | 0o755, 0, None, (0, 0)),
            ("app/labels.txt", stat.S_IFREG | 0o644, 8, None, (0, 0)),
            ("bin", stat.S_IFLNK | 0o777, 7, "usr/bin", (0, 0)),
            ("dev", stat.S_IFDIR | 0o755, 0, None, (0, 0)),
            ("dev/console", stat.S_IFCHR | 0o600, 0, None, (5, 1)),
            ("init", stat.S_IFREG | 0o755, 6, None, (0, 0)),
            ("tmp", stat.S_IFDIR | 0o1777, 0, None, (0, 0)),
        ]
        assert all((entry.owner, entry.mtime, entry.hard_link) == ((0, 0), 0, None) for entry in found)


def test_order_owner_time_and_folder_of_the_files_do_not_count(tmp_path: Path) -> None:
    archives = set()
    for number, folder in enumerate(("one", "another")):
        (tmp_path / folder).mkdir()
        content = tmp_path / folder / f"content{number}"
        content.write_bytes(b"same")
        content.chmod(0o600 if number else 0o777)
        os.utime(content, (number, number * 10**9))
        entries = [file("x/y", content), file("x-z", b"1"), directory("empty")]
        archives.add(made(entries[:: 1 if number else -1]))
    assert len(archives) == 1


@pytest.mark.parametrize("extra", range(8))
def test_every_ramdisk_fills_a_multiple_of_four(extra: int) -> None:
    """Else the kernel drops a plain archive behind it ("Initramfs unpacking failed") and boots on without it."""
    first = made([file("f" * (extra + 1), os.urandom(extra))])
    assert not len(first) % 4
    found = listing.read([first, made([file("app/x", b"there")], compression="none")]).entries
    assert found[-1].path == "app/x"


def test_an_archive_that_the_kernel_would_drop_is_refused() -> None:
    packed = gzip.compress(cpio(("a", 0o100644, b"1")), mtime=0)
    packed += bytes(-len(packed) % 4 + 1)
    with pytest.raises(EifError) as caught:
        listing.read([packed + cpio(("b", 0o100644, b"2"))])
    assert caught.value.code == "malformed_ramdisk"


NAMES = st.lists(st.sampled_from(["a", "b", "a-b", "é", "x" * 100, ".hidden"]), min_size=1, max_size=4).map("/".join)


@given(st.dictionaries(NAMES, st.binary(max_size=200), max_size=8), st.sampled_from(["gzip", "none"]))
def test_what_is_written_is_listed(files: dict[str, bytes], compression) -> None:
    import hashlib

    # No file is a directory of another.
    files = {name: data for name, data in files.items() if not any(other.startswith(f"{name}/") for other in files)}
    found = listing.read([made([file(name, data) for name, data in files.items()], compression=compression)])
    regular = {entry.path: entry for entry in found.entries if stat.S_ISREG(entry.mode)}
    assert {name: entry.sha256 for name, entry in regular.items()} == {
        name: hashlib.sha256(data).digest() for name, data in files.items()
    }
    paths = [entry.path.encode() for entry in found.entries]
    assert paths == sorted(set(paths))


@pytest.mark.parametrize(
    "entries",
    [
        [file("/etc/passwd", b"")],
        [file("../x", b"")],
        [file("a/../../x", b"")],
        [file("./a", b"")],
        [file("a//b", b"")],
        [file("a/", b"")],
        [file("", b"")],
        [file(".", b"")],
        [file("TRAILER!!!", b"")],
        [file("a\0b", b"")],
        [file("n" * 4096, b"")],
        [file("a", b"1"), file("a", b"2")],
        [directory("a"), directory("a")],
        [file("a", b""), file("a/b", b"")],
        [symlink("a", "b"), file("a/c/d", b"")],
        [symlink("a", "")],
        [symlink("a", "t" * 4096)],
        [Entry("a", stat.S_IFREG | 0o644, type("Huge", (BytesPart,), {"size": 1 << 32})(b""))],
    ],
)
def test_entries_that_cannot_be_written_so_are_refused(entries: list[Entry]) -> None:
    with pytest.raises(EifError) as caught:
        made(entries)
    assert caught.value.code == "invalid_entry"


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(b"four")
    entry = file("a", content)
    content.write_bytes(b"fou")
    with pytest.raises(EifError) as caught:
        made([entry])
    assert caught.value.code == "changed_while_read"
