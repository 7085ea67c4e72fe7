"""What `inspect` refuses to call a bundle."""

from __future__ import annotations

import json
import stat
import struct
import warnings
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclave_function import bundle
from enclave_function.bundle import BundleError, archive
from tests.support.misspelt import misspelt

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def good(tiny, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("good") / "bundle.zip"
    bundle.build(tiny.folder, path)
    return path


@pytest.fixture
def bad(good, tmp_path):
    """Copy the good bundle, replacing or adding entries, with whatever attributes."""

    def make(*added: tuple[str | zipfile.ZipInfo, bytes], without: tuple[str, ...] = (), compression: int = 0) -> Path:
        path = tmp_path / "bad.zip"
        with (
            zipfile.ZipFile(good) as source,
            zipfile.ZipFile(path, "w", compression) as target,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # zipfile warns of the duplicate names that are wanted here.
            for info in source.infolist():
                if info.filename not in without:
                    target.writestr(info.filename, source.read(info))
            for name, content in added:
                target.writestr(name, content)
        return path

    return make


def refusal(path: Path) -> str:
    with pytest.raises(BundleError) as caught:
        bundle.inspect(path)
    assert caught.value.next_step
    return str(caught.value)


def test_deflated_zips_and_folder_entries_are_read_too(bad, good):
    info = bundle.inspect(
        bad(("photo_classifier/", b""), ("extra/data.txt", b"x" * 1000), compression=zipfile.ZIP_DEFLATED)
    )
    assert info.model == bundle.inspect(good).model
    assert ("extra/data.txt", 1000) in [(entry.name, entry.bytes) for entry in info.entries]
    assert "photo_classifier/" not in [entry.name for entry in info.entries]


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../up.py",
        "a/../../up.py",
        "a//b",
        "./a",
        "a/.",
        "..",
        "c:\\x",
        "a\\b",
        "c:x",
        "line\nbreak",
        "n" * 513,
    ],
)
def test_unsafe_names(bad, name):
    assert "unsafe name" in refusal(bad((name, b"")))


@pytest.mark.parametrize("name", ["", "\0app.py"])
def test_a_file_without_a_name(bad, name):
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name
    assert "unsafe name" in refusal(bad((info, b"x")))


def test_damaged_deflation(bad, tmp_path):
    """What zlib refuses is an error of zlib's own."""
    content = bad(("extra/data.txt", b"x" * 1000), compression=zipfile.ZIP_DEFLATED).read_bytes()
    start = content.index(b"extra/data.txt") + len("extra/data.txt")
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(content[:start] + b"\xff" * 4 + content[start + 4 :])
    assert "damaged" in refusal(damaged)


def test_a_name_with_a_null_byte(bad):
    path = bad(("nullXbyte", b""))
    path.write_bytes(path.read_bytes().replace(b"nullXbyte", b"null\0byte"))
    refusal(path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR])
def test_links_and_devices(bad, kind):
    entry = zipfile.ZipInfo("entry")
    entry.create_system = 3
    entry.external_attr = (kind | 0o777) << 16
    assert "neither a file nor a folder" in refusal(bad((entry, b"/etc/passwd")))


def test_duplicates(bad):
    assert "two entries of one name" in refusal(bad(("app.py", b"other")))


def test_a_file_that_is_also_a_folder(bad):
    assert "both a file and a folder" in refusal(bad(("x", b""), ("x/y", b"")))


@pytest.mark.parametrize("name", ["app.py", "model.json"])
def test_missing_parts(bad, name):
    assert f"no {name}" in refusal(bad(without=(name,)))


@pytest.mark.parametrize("name", ["tiny.onnx", "labels.txt"])
def test_model_files_that_are_not_the_manifests(bad, name):
    assert f"{name} does not have the SHA-256" in refusal(bad((name, b"other"), without=(name,)))
    assert f"{name} does not have the SHA-256" in refusal(bad(without=(name,)))


def test_a_manifest_without_a_name(bad, good):
    with zipfile.ZipFile(good) as opened:
        manifest = json.loads(opened.read("model.json"))
    del manifest["name"]
    assert "not a model manifest" in refusal(
        bad(("model.json", json.dumps(manifest).encode()), without=("model.json",))
    )


@pytest.mark.parametrize("spelling", misspelt("{}"))
def test_a_manifest_in_another_spelling_of_json(bad, good, spelling):
    with zipfile.ZipFile(good) as opened:
        manifest = misspelt(opened.read("model.json").decode())[spelling]
    assert "not a model manifest" in refusal(bad(("model.json", manifest), without=("model.json",)))


def test_too_many_entries(bad, monkeypatch):
    monkeypatch.setattr(archive, "MAX_ENTRIES", 20)
    assert "more than 20 entries" in refusal(bad(*((f"f{index}", b"") for index in range(20))))


def test_a_bomb_is_refused_by_what_it_announces(bad):
    path = bad(("zeros", b"\0" * 100_000), compression=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    directory = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, directory + 24, archive.MAX_UNPACKED_BYTES)
    path.write_bytes(data)
    assert "unpacks to more" in refusal(path)


def test_a_bomb_that_announces_little_is_not_unpacked_further(bad):
    path = bad(("zeros", b"\0" * 5_000_000), compression=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.rindex(b"PK\x01\x02") + 24, 10)
    path.write_bytes(data)
    assert "damaged" in refusal(path)


def test_encrypted_entries(bad):
    path = bad()
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, data.rindex(b"PK\x01\x02") + 8, 0x1)
    path.write_bytes(data)
    assert "encrypted" in refusal(path)


def test_a_missing_file(tmp_path):
    assert "cannot be read" in refusal(tmp_path / "none.zip")
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all" * 100])
def test_no_zip(tmp_path, content):
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    assert "not a zip" in refusal(path)


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_bundle_is_refused_or_has_another_checksum(good, tmp_path, data):
    content = bytearray(good.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "damaged.zip"
    path.write_bytes(content)
    try:
        checksum = bundle.inspect(path).checksum
    except BundleError:
        return
    assert checksum != bundle.inspect(good).checksum


def test_the_writer_refuses_what_the_reader_would(tmp_path):
    with (tmp_path / "x.zip").open("wb") as file, pytest.raises(BundleError):
        archive.write(file, {"../x": b""})
