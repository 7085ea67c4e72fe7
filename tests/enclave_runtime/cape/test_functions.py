"""Bundles on their way in: proven before they are used, refused whole; and functions kept while they are used."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from typing import TYPE_CHECKING

import pytest

from blindsight.cape.envelope import Encryptor
from enclave_runtime import archive as archives
from enclave_runtime.cape import functions
from enclave_runtime.cape.functions import BundleReader
from tests.support.fake_cape_host import rsa_key
from tests.support.refusals import refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = rsa_key("bundles")
RSA_BYTES = 256
APP = "def cape_handler(x):\n    return x\n"


def zipped(names: dict[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def sealed(archive: bytes) -> bytes:
    writer = Encryptor(KEY.public_key())
    return b"cape:" + writer.start + writer.update(archive) + writer.finish()


@pytest.fixture
def reader() -> Iterator[BundleReader]:
    with BundleReader(KEY) as reader:
        yield reader


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where private folders are made."""
    monkeypatch.setattr(archives, "memory", lambda: tmp_path)
    return tmp_path


def read(reader: BundleReader, content: bytes) -> bytes:
    reader.update(content)
    return reader.finish()


def test_a_bundle_is_read_proven_and_unpacked(reader: BundleReader, memory: Path):
    archive = zipped({"echo/app.py": APP, "echo/lib/x.py": "X = 1\n", "echo/data.bin": os.urandom(3_000_000)})
    assert read(reader, sealed(archive)) == hashlib.sha256(archive).digest() == reader.checksum
    assert reader.bytes == len(archive)
    # Whole pages and one more for each file; the small ones twice, for the process in reserve has copies of them.
    assert reader.check() == 2 * (2 * 8192) + (733 + 1) * 4096
    loaded = reader.unpack()
    assert loaded.code.name == "echo"
    assert (loaded.code / "app.py").read_text() == APP
    assert (loaded.code / "lib" / "x.py").read_text() == "X = 1\n"
    assert loaded.checksum == reader.checksum
    assert (loaded.memory_bytes, loaded.copied_bytes) == (reader.check(), 2 * 8192)
    # Others may pass through it, but cannot find out to where.
    assert loaded.place.stat().st_mode & 0o777 == 0o711
    assert loaded.place.parent == memory
    assert len(loaded.code.relative_to(loaded.place).parts[0]) == 32
    loaded.remove()
    assert list(memory.iterdir()) == []


@pytest.mark.parametrize("size", [1, 3, 4, 5, 6, 17, 300, 1000])
def test_pieces_of_any_size_are_one_bundle(reader: BundleReader, size: int):
    archive = zipped({"app.py": APP})
    content = sealed(archive)
    for start in range(0, len(content), size):
        reader.update(content[start : start + size])
    assert reader.finish() == hashlib.sha256(archive).digest()


@pytest.mark.parametrize("part", ["prefix", "key", "nonce", "ciphertext", "tag"])
def test_no_part_can_be_changed(reader: BundleReader, part: str):
    content = bytearray(sealed(zipped({"app.py": APP})))
    place = {"prefix": 0, "key": 5, "nonce": 5 + RSA_BYTES, "ciphertext": 5 + RSA_BYTES + 12, "tag": -1}[part]
    content[place] ^= 1
    with refused("cannot_decrypt"):
        read(reader, bytes(content))


def test_no_part_can_be_missing(reader: BundleReader):
    content = sealed(zipped({"app.py": APP}))
    for cut in (0, 1, 4, 5, 6, 5 + RSA_BYTES, 5 + RSA_BYTES + 12, 5 + RSA_BYTES + 27, len(content) - 1):
        with BundleReader(KEY) as cut_short, refused("cannot_decrypt"):
            read(cut_short, content[:cut])
    for changed in (content.removeprefix(b"cape:"), b"Cape:" + content[5:], b" " + content, content + b"\0"):
        with BundleReader(KEY) as other, refused("cannot_decrypt"):
            read(other, changed)


def test_anothers_key_opens_nothing():
    with BundleReader(rsa_key("another owner's")) as reader, refused("cannot_decrypt"):
        read(reader, sealed(zipped({"app.py": APP})))


def test_too_much_is_refused_before_the_end(reader: BundleReader, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(functions, "MAX_FUNCTION_BYTES", 100_000)
    content = sealed(bytes(100_001))
    with refused("too_large"):
        reader.update(content)
    with BundleReader(KEY) as fitting:
        read(fitting, sealed(bytes(100_000)))


def check_and_unpack(archive: bytes, code: str) -> None:
    """Both refuse it; deploying and running must be of one mind."""
    with BundleReader(KEY) as reader:
        reader.update_plain(archive)
        with refused(code):
            reader.check()
        with refused(code):
            reader.unpack()


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"main.py": APP},
        {"a/b/app.py": APP},
        {"a/app.py": APP, "b/app.py": APP},
        {"a/app.py": APP, "b.txt": ""},
        {"App.py": APP},
        {"app.py/": ""},
        {"app.py.txt": APP},
    ],
    ids=str,
)
def test_a_bundle_has_its_app_at_the_root_or_in_its_one_folder(memory: Path, names: dict[str, bytes | str]):
    check_and_unpack(zipped(names), "bad_bundle")
    assert list(memory.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        ({"app.py": APP}, "function"),
        ({"app.py": APP, "a/app.py": APP, "b/x": ""}, "function"),
        ({"my-fn/app.py": APP}, "my-fn"),
        ({"f/": "", "f/app.py": APP, "f/deep/": "", "f/deep/app.py": ""}, "f"),
    ],
    ids=str,
)
def test_where_the_app_is_found(reader: BundleReader, memory: Path, names: dict[str, bytes | str], folder: str):
    reader.update_plain(zipped(names))
    reader.check()
    loaded = reader.unpack()
    assert (loaded.code.name, (loaded.code / "app.py").read_text()) == (folder, APP)


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\\..\\x", "..", "f/../x"])
def test_nothing_is_written_outside(memory: Path, name: str):
    check_and_unpack(zipped({"app.py": APP, name: "x"}), "bad_bundle")
    assert list(memory.iterdir()) == []


def test_a_link_is_refused(memory: Path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", APP)
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    check_and_unpack(buffer.getvalue(), "bad_bundle")


@pytest.mark.parametrize("archive", [b"", b"PK", b"no zip at all", zipped({"app.py": APP})[:-10]], ids=len)
def test_what_is_no_zip_is_refused(memory: Path, archive: bytes):
    check_and_unpack(archive, "bad_bundle")


def test_files_that_clash_are_refused_without_a_trace(reader: BundleReader, memory: Path):
    with pytest.warns(UserWarning, match="Duplicate"):
        check_and_unpack(_twice(), "bad_bundle")
    # Only unpacking can tell that one of these is in the other's way.
    reader.update_plain(zipped({"app.py": APP, "x": "", "x/y": ""}))
    with refused("bad_bundle"):
        reader.unpack()
    assert list(memory.iterdir()) == []


def _twice() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", APP)
        archive.writestr("app.py", "other")
    return buffer.getvalue()


def test_damaged_content_is_refused_without_a_trace(reader: BundleReader, memory: Path):
    archive = bytearray(zipped({"app.py": APP, "data": b"0123456789" * 10}, zipfile.ZIP_STORED))
    archive[archive.index(b"0123456789")] ^= 1
    reader.update_plain(bytes(archive))
    with refused("bad_bundle"):
        reader.unpack()
    assert list(memory.iterdir()) == []


def test_a_bomb_is_refused_unpacked_or_announced(memory: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 1_000_000)
    monkeypatch.setattr(archives, "MAX_ENTRIES", 50)
    bomb = zipped({"app.py": APP, "zeros": bytes(1_000_001)})
    assert len(bomb) < 5_000
    check_and_unpack(bomb, "bad_bundle")
    check_and_unpack(zipped({"app.py": APP} | {f"f{number}": "" for number in range(50)}), "bad_bundle")
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        check_and_unpack(zipped({"app.py": APP, "zeros": bytes(1000)}, method), "bad_bundle")
    assert list(memory.iterdir()) == []


def test_a_bomb_that_lies_about_its_size_gets_no_further_than_that(reader: BundleReader, memory: Path):
    archive = bytearray(zipped({"app.py": APP, "zeros": bytes(5_000_000)}))
    size = (5_000_000).to_bytes(4, "little")
    assert archive.count(size) == 2
    reader.update_plain(bytes(archive).replace(size, (10).to_bytes(4, "little")))
    with refused("bad_bundle"):
        reader.unpack()
    assert list(memory.iterdir()) == []


def test_an_encrypted_bundle_is_refused(memory: Path):
    archive = bytearray(zipped({"app.py": APP}))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        archive[archive.index(signature) + place] |= 1
    with BundleReader(KEY) as reader:
        reader.update_plain(bytes(archive))
        with refused("bad_bundle"):
            reader.unpack()


def test_the_plaintext_lies_in_no_named_file(reader: BundleReader, memory: Path):
    with BundleReader(KEY) as inside:
        read(inside, sealed(zipped({"app.py": APP})))
        assert list(memory.iterdir()) == []
