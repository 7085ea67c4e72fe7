"""The bundle: measured as it is unpacked, and refused when it is not what it should be."""

from __future__ import annotations

import hashlib
import io
import json
import random
import stat
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import rfc8785

from enclave_runtime import archive as archives
from enclave_runtime import function as functions
from enclave_runtime.archive import BadBundle
from tests.support.misspelt import misspelt

if TYPE_CHECKING:
    from enclave_runtime.function import Function

MODEL = {"tiny.onnx": b"a graph", "labels.txt": b"a\nb\nc\n"}
DIGESTS = {name: hashlib.sha256(content).hexdigest() for name, content in MODEL.items()}
MANIFEST = {
    "version": "1", "name": "tiny", "trained": False, "onnx": {"file": "tiny.onnx", "sha256": DIGESTS["tiny.onnx"]},
    "labels": {"count": 3, "file": "labels.txt", "sha256": DIGESTS["labels.txt"]},
}  # fmt: skip


def bundled(files: dict[str, bytes | str], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def good(**more: bytes | str) -> bytes:
    return bundled({"app.py": "print()", "model.json": json.dumps(MANIFEST), **MODEL, **more})


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every folder that is made to unpack into."""
    made: list[Path] = []
    genuine = tempfile.mkdtemp

    def recording(**options: Any) -> str:
        place = genuine(**options)
        made.append(Path(place))
        return place

    monkeypatch.setattr(archives.tempfile, "mkdtemp", recording)
    return made


@pytest.fixture
def load(tmp_path: Path, places: list[Path]):
    loaded: list[Function] = []

    def load_bytes(content: bytes, **options: Any) -> Function:
        bundle = tmp_path / "function.zip"
        bundle.write_bytes(content)
        loaded.append(functions.load(bundle, **options))
        return loaded[-1]

    yield load_bytes
    for function in loaded:
        function.remove()
    assert not any(place.exists() for place in places)


def refused(load, content: bytes, places: list[Path], **options: Any) -> str:
    """The refusal of `content`, after which nothing is left behind."""
    with pytest.raises(BadBundle) as refusal:
        load(content, **options)
    assert not any(place.exists() for place in places)
    return str(refusal.value)


def test_a_bundle_is_unpacked_and_named_by_its_checksum(load):
    content = good(**{"photo_classifier/model.py": "x = 1", "weights.onnx": b"\0" * 3_000_000})
    function = load(content)
    assert function.checksum == hashlib.sha256(content).digest()
    assert function.manifest == MANIFEST
    assert function.canonical_manifest == rfc8785.dumps(MANIFEST)
    assert function.model_digest == hashlib.sha256(rfc8785.dumps(MANIFEST)).digest()
    files = {str(path.relative_to(function.folder)) for path in function.folder.rglob("*") if path.is_file()}
    assert files == {"app.py", "model.json", "photo_classifier/model.py", "weights.onnx", *MODEL}
    assert (function.folder / "photo_classifier/model.py").read_text() == "x = 1"
    assert (function.folder / "weights.onnx").read_bytes() == b"\0" * 3_000_000
    assert list(function.weights.iterdir()) == []


def test_the_folders_cannot_be_found_by_others_and_are_removed(load):
    function = load(good())
    place, hidden = function.place, function.folder.parent
    assert hidden.parent == place
    assert len(hidden.name) == 32
    assert hidden == function.weights.parent == function.draft.parent
    for folder in (place, hidden):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o711
    function.remove()
    assert not place.exists()
    function.remove()


def test_the_expected_bundle_only(load, places):
    content = good()
    checksum = hashlib.sha256(content).digest()
    assert load(content, expected=checksum).checksum == checksum
    places.clear()
    message = refused(load, good(more="x"), places, expected=checksum)
    assert checksum.hex() in message
    assert places == []


def test_what_is_unpacked_is_what_was_measured(load, tmp_path, monkeypatch):
    """The file is on the host's disk, and the host may change it between measuring and unpacking."""
    genuine = zipfile.ZipFile
    measured, other = good(**{"app.py": "honest = True"}), good(**{"app.py": "honest = False"})

    def after_the_host_has_changed_it(file: Any) -> zipfile.ZipFile:
        (tmp_path / "function.zip").write_bytes(other)
        return genuine(file)

    monkeypatch.setattr(archives.zipfile, "ZipFile", after_the_host_has_changed_it)
    function = load(measured)
    assert function.checksum == hashlib.sha256(measured).digest()
    assert (function.folder / "app.py").read_text() == "honest = True"


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/evil", "..", "a/..", "..\\evil", "a\\b", "../function/app.py", "//evil"]
)
def test_names_that_leave_the_folder_are_refused(load, places, tmp_path, name):
    assert "leaves its folder" in refused(load, good(**{name: "x"}), places)
    assert not list(tmp_path.rglob("evil"))


def test_links_are_refused(load, places):
    buffer = io.BytesIO(good())
    with zipfile.ZipFile(buffer, "a") as archive:
        link = zipfile.ZipInfo("more-labels.txt")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert "link" in refused(load, buffer.getvalue(), places)


@pytest.mark.parametrize("names", [("a", "a"), ("a", "./a"), ("d/a", "d//a"), ("a", "a/b")])
def test_two_files_of_one_name_are_refused(load, places, names):
    buffer = io.BytesIO(good())
    with zipfile.ZipFile(buffer, "a") as archive, pytest.MonkeyPatch.context() as quiet:
        quiet.setattr("warnings.warn", lambda *_, **__: None)  # `zipfile` warns who writes such a thing.
        for name in names:
            archive.writestr(name, "x")
    refused(load, buffer.getvalue(), places)


def test_a_name_that_is_not_what_it_says_is_refused(load, places):
    """A name that is marked as UTF-8 and is not makes `zipfile` raise an error of its own kind."""
    content = bundled({"model.json": json.dumps(MANIFEST), "é": "x"})
    refused(load, content.replace("é".encode(), b"\xff\xff"), places)


def unnamed(name: str) -> zipfile.ZipInfo:
    """An entry with that name in the archive, empty to `zipfile`, which cuts names at a null byte."""
    entry = zipfile.ZipInfo("x")
    entry.filename = entry.orig_filename = name
    return entry


@pytest.mark.parametrize("name", ["", "\0app.py"])
def test_a_file_without_a_name_is_refused(load, places, name):
    """`zipfile` gives such a file, and fails with an IndexError when asked whether it is a folder."""
    buffer = io.BytesIO(good())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(unnamed(name), "x")
    assert "no name" in refused(load, buffer.getvalue(), places)


def test_an_entry_beyond_all_files_is_refused(load, places):
    """Where it begins has 64 bits (ZIP64), of which a file's offset has one less."""
    content = bytearray(good())
    start = content.rindex(b"PK\x01\x02")
    name_bytes = struct.unpack_from("<H", content, start + 28)[0]
    struct.pack_into("<H", content, start + 30, 12)
    struct.pack_into("<I", content, start + 42, 0xFFFFFFFF)
    at = start + 46 + name_bytes
    content[at:at] = struct.pack("<HHQ", 1, 8, 1 << 63)
    end = content.rindex(b"PK\x05\x06")
    struct.pack_into("<I", content, end + 12, struct.unpack_from("<I", content, end + 12)[0] + 12)
    refused(load, bytes(content), places)
    with pytest.raises(BadBundle), archives.opened(io.BytesIO(content)) as archive:  # Another error of Python's.
        archive.read(archive.infolist()[-1])


def test_too_many_entries_are_refused(load, places, monkeypatch):
    monkeypatch.setattr(archives, "MAX_ENTRIES", 7)
    assert load(good(a="", b="", c="")) is not None
    places.clear()
    assert "too many" in refused(load, good(a="", b="", c="", d=""), places)
    assert places == []


def test_a_directory_of_a_million_files_is_refused_before_it_is_read(load, places):
    """50 MB of table would become a gigabyte of objects before their number could be looked at."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 0, 20, *[0] * 8, 1, *[0] * 6) + b"x"
    directory = entry * (1 << 20)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(directory), 0, 0)
    tracemalloc.start()
    try:
        assert "too many files" in refused(load, directory + end, places)
        assert tracemalloc.get_traced_memory()[1] < 3 * (len(directory) + len(end))
    finally:
        tracemalloc.stop()


def test_a_bomb_is_refused_by_what_it_announces(load, places, monkeypatch):
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 100_000)
    assert "too many bytes" in refused(load, good(bomb=bytes(100_001)), places)
    assert places == []


def test_a_bundle_too_large_to_be_unpacked_is_not_even_copied(load, places, monkeypatch):
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 100_000)
    assert "too many bytes" in refused(load, good(noise=random.Random(0).randbytes(200_000)), places)


@pytest.mark.parametrize("announced", [0, 1, 999_999])
def test_a_bomb_that_announces_less_than_it_holds_is_refused(load, places, announced):
    content = bytearray(bundled({"model.json": json.dumps(MANIFEST), "bomb": bytes(1_000_000)}))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        offset = archive.getinfo("bomb").header_offset
    central = content.rindex(b"PK\x01\x02")
    struct.pack_into("<I", content, offset + 22, announced)
    struct.pack_into("<I", content, central + 24, announced)
    refused(load, bytes(content), places)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_that_unpack_without_a_bound_are_refused(load, places, compression):
    content = bundled({"model.json": json.dumps(MANIFEST)}, compression=compression)
    assert "neither stored nor deflated" in refused(load, content, places)


def test_a_stored_bundle_is_unpacked(load):
    stored = bundled({"model.json": json.dumps(MANIFEST), **MODEL}, compression=zipfile.ZIP_STORED)
    assert load(stored).manifest == MANIFEST


@pytest.mark.parametrize(("said", "told"), [({}, "float32"), ({"precision": {"name": "int8", "of": "…"}}, "int8")])
def test_answers_name_the_precision_of_the_manifest(load, said, told):
    assert load(bundled({"model.json": json.dumps(MANIFEST | said), **MODEL})).precision == told


def test_an_encrypted_entry_is_refused(load, places):
    content = bytearray(bundled({"model.json": json.dumps(MANIFEST)}))
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in refused(load, bytes(content), places)


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (b"", "not plain JSON"),
        (b"{", "not plain JSON"),
        (b"\xff\xfe\xff", "not plain JSON"),
        (b"[" * 100_000, "not plain JSON"),
        (b'{"name": NaN, "version": "1", "trained": true}', "not plain JSON"),
        (b'{"name": 123456789012345678901234567890, "version": "1", "trained": true}', "not plain JSON"),
        *[(content, "not plain JSON") for content in misspelt(json.dumps(MANIFEST)).values()],
        (b"[]", "not a model's manifest"),
        (b"null", "not a model's manifest"),
        (b'{"name": "x", "version": "1"}', "not a model's manifest"),
        *[
            (json.dumps(MANIFEST | {"precision": said}).encode(), "names no precision")
            for said in ("int8", None, {}, {"name": 8}, [{"name": "int8"}])
        ],
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_manifest_that_is_none_is_refused(load, places, manifest, reason):
    assert reason in refused(load, bundled({"model.json": manifest}), places)


def test_a_bundle_without_a_manifest_is_refused(load, places):
    assert "no model.json" in refused(load, bundled({"app.py": "x"}), places)
    assert "no model.json" in refused(load, bundled({"folder/model.json": "{}"}), places)


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip at all", good()[:-30], good()[30:]])
def test_what_is_no_zip_is_refused(load, places, content):
    refused(load, content, places)


def test_a_missing_bundle_is_refused(tmp_path):
    with pytest.raises(BadBundle, match="No such file"):
        functions.load(tmp_path / "none.zip")


def test_damage_anywhere_is_refused_or_harmless(load, places):
    """Whatever the bytes: a function that is named by their checksum, or `BadBundle`, and nothing left over."""
    chance = random.Random(3)
    whole = good(**{"weights.bin": bytes(500)})
    outcomes = set()
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(chance.choice([1, 1, 2, 5])):
            content[chance.randrange(len(content))] = chance.randrange(256)
        try:
            function = load(bytes(content))
        except BadBundle as refusal:
            outcomes.add(str(refusal)[:20])
        else:
            assert function.checksum == hashlib.sha256(content).digest()
            function.remove()
        assert not any(place.exists() for place in places)
    assert len(outcomes) > 3


def test_what_a_killed_runtime_left_behind_is_removed(load, places: list[Path]) -> None:
    mine = load(good())
    memory = places[0].parent
    telling = "from enclave_runtime import leftover; print(leftover.tag())"
    ended = subprocess.run([sys.executable, "-c", telling], capture_output=True, text=True, check=True)
    left = memory / f"blindsight-function-{ended.stdout.strip()}-abc"
    left.mkdir()
    (left / "weights").write_bytes(b"\0" * 10)
    load(good(**{"more.txt": "more"}))
    assert not left.exists()
    assert mine.folder.exists()  # That of a runtime that lives stays.
