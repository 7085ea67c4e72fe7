"""Descriptions: what is said of an image and of what is wrong inside, and what differs between two."""

from __future__ import annotations

import hashlib
import io
import json
import stat
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256

from blindsight.eif import diff as differences
from blindsight.eif import kernel, ramdisk
from blindsight.eif.describe import describe
from blindsight.eif.diff import diff
from blindsight.errors import EifError
from tests.support.eif_golden import APPLICATION, BASE, BOOT, CERTIFICATE, CMDLINE, FOLDER, KERNEL, cpio, image

NOW = datetime(2026, 6, 1, tzinfo=UTC)
FILE = 0o100644


def described(content: bytes, at: datetime = NOW) -> dict[str, Any]:
    found = describe(io.BytesIO(content), at=at)
    return json.loads(json.dumps(found))


def with_application(*files: tuple[str, int, bytes], **changes: int) -> dict[str, Any]:
    return described(image([*BASE, (3, cpio(*files))], **changes))


def test_all_parts_of_an_image_are_described() -> None:
    content = (FOLDER / "signed.eif").read_bytes()
    found = described(content)
    expected = json.loads((FOLDER / "expected.json").read_text("utf-8"))["signed"]
    assert {"crc": found["crc32"], **found["measurements"]} == expected
    assert found["kernel"] == {
        "version": "6.6.38-golden (me)",
        "size": len(KERNEL),
        "sha256": hashlib.sha256(KERNEL).hexdigest(),
        "sha384": hashlib.sha384(KERNEL).hexdigest(),
    }
    assert (found["command_line"], found["size_bytes"]) == (CMDLINE.decode(), len(content))
    assert found["unmeasured"]["metadata"]["ImageName"] == "golden"
    assert [(each["type"], each["registers"]) for each in found["sections"]] == [
        ("kernel", [0, 1]), ("cmdline", [0, 1]), ("metadata", []), ("ramdisk", [0, 1]), ("ramdisk", [0, 2]),
        ("signature", [8]),
    ]  # fmt: skip
    assert [each["registers"] for each in found["ramdisks"]] == [[0, 1], [0, 2]]
    labels = found["ramdisks"][1]["entries"][0]
    assert labels == {
        "path": "app/labels.txt", "type": "file", "mode": "0644", "size": 8,
        "sha256": hashlib.sha256(b"cat\ndog\n").hexdigest(),
    }  # fmt: skip
    assert found["totals"] == {
        "entries": 3, "files": 2, "file_bytes": 14, "unpacked_bytes": len(BOOT) + len(APPLICATION),
    }  # fmt: skip
    assert found["signature"]["holds"]
    assert found["signature"]["certificate_sha256"] == CERTIFICATE.fingerprint(SHA256()).hex()
    assert len(found["warnings"]) == 1
    assert "metadata" in found["warnings"][0]


def test_a_signature_that_does_not_hold_is_a_problem_and_the_measurements_stay() -> None:
    content = (FOLDER / "signed.eif").read_bytes()
    late = described(content, datetime(2040, 1, 1, tzinfo=UTC))
    assert late["measurements"] == described(content)["measurements"]
    assert not late["signature"]["holds"]
    assert late["signature"]["problem"] in late["warnings"]


@pytest.mark.parametrize(
    "content", [b"hello, not an archive", cpio(("../x", FILE, b"")), b"\x28\xb5\x2f\xfd" + bytes(40)]
)
def test_a_ramdisk_that_is_not_listed_is_a_problem_and_the_measurements_stay(content: bytes) -> None:
    found = described(image([*BASE, (3, content), (3, APPLICATION)]))
    assert [each["entries"] is None for each in found["ramdisks"]] == [False, True, False]
    assert found["ramdisks"][1]["problem"]
    assert any(warning.startswith("Ramdisk 1: ") for warning in found["warnings"])
    assert found["sections"][4]["sha256"] == hashlib.sha256(content).hexdigest()
    assert len(found["measurements"]["PCR2"]) == 96


def test_entries_of_every_type_are_described() -> None:
    out = io.BytesIO()
    ramdisk.write(out, [ramdisk.symlink("l", "to"), ramdisk.character_device("tty", 5, 0), ramdisk.directory("d")])
    entries = described(image([*BASE, (3, out.getvalue())]))["ramdisks"][1]["entries"]
    assert entries == [
        {"path": "d", "type": "directory", "mode": "0755"},
        {"path": "l", "type": "link", "mode": "0777", "target": "to"},
        {"path": "tty", "type": "character device", "mode": "0600", "device": [5, 0]},
    ]
    odd = described(image([*BASE, (3, cpio(("x", 0o170000, b""), ("p", stat.S_IFIFO | 0o600, b"")))]))
    assert [entry["type"] for entry in odd["ramdisks"][1]["entries"]] == ["unknown", "pipe"]


def test_owner_and_time_are_described_where_there_are_any() -> None:
    plain = cpio(("x", FILE, b""))
    fields = {2: b"000003E8", 3: b"00000064", 5: b"65000000"}  # owner, group, time
    for number, value in fields.items():
        plain = plain[: 6 + 8 * number] + value + plain[14 + 8 * number :]
    (entry,) = described(image([*BASE, (3, plain)]))["ramdisks"][1]["entries"]
    assert (entry["owner"], entry["mtime"]) == ([1000, 100], 0x65000000)
    assert not {"owner", "mtime"} & with_application(HOSTS)["ramdisks"][1]["entries"][0].keys()


def test_a_file_that_becomes_shorter_is_refused_and_not_described_in_part() -> None:
    content = image([*BASE, (3, APPLICATION)])

    class Shrinking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return b"" if self.tell() == len(content) - len(APPLICATION) else super().read(size)

    with pytest.raises(EifError) as caught:
        describe(Shrinking(content))
    assert caught.value.code == "changed_while_read"


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        (KERNEL, "6.6.38-golden (me)"),
        (KERNEL.replace(b"HdrS", b"hdrs"), None),
        (KERNEL[:0x20E] + b"\0\0" + KERNEL[0x210:], None),
        (KERNEL[:0x20E] + b"\xff\xff" + KERNEL[0x210:], None),
        (KERNEL[:0x20E] + b"\x23\0" + KERNEL[0x210:], None),
        (KERNEL[:0x210] + b"v" * 300, None),
        (KERNEL[:0x210] + b"6.\x1b[2J\xff\0", "6.\x1b[2J\\xff"),
        (KERNEL[:0x20F], None),
        (b"", None),
    ],
)
def test_the_kernel_says_its_version_or_nothing(prefix: bytes, expected: str | None) -> None:
    assert kernel.version(prefix) == expected


def test_a_kernel_may_say_its_version_far_behind_its_header() -> None:
    far = (KERNEL[:0x20E] + b"\x00\xfe").ljust(0x200 + 0xFE00, b"\0") + b"6.12-far\0"
    assert described(image([(1, far), *BASE[1:]]))["kernel"]["version"] == "6.12-far"


HOSTS, MORE = ("etc/hosts", FILE, b"localhost"), ("etc/more", FILE, b"1")


def test_an_image_does_not_differ_from_itself() -> None:
    found = diff(with_application(HOSTS), with_application(HOSTS))
    assert found == {"same_measurements": True, "measurements": {}, "parts": [], "files": [], "unmeasured": {}}


def test_a_changed_file_of_the_second_ramdisk_changes_pcr_0_and_2() -> None:
    found = diff(with_application(HOSTS), with_application((HOSTS[0], FILE, b"otherhost")))
    assert list(found["measurements"]) == ["PCR0", "PCR2"]
    assert [(part["what"], "note" in part) for part in found["parts"]] == [("ramdisk 1", False)]
    (change,) = found["files"]
    assert (change["path"], change["change"], change["what"]) == ("etc/hosts", "changed", ["sha256"])
    assert (change["ramdisk"], change["registers"]) == (1, [0, 2])


def test_added_and_removed_files_and_modes_are_told() -> None:
    old, new = with_application(HOSTS, MORE), with_application((HOSTS[0], 0o100755, HOSTS[2]), ("new", FILE, b""))
    assert [(each["path"], each["change"], each["what"]) for each in diff(old, new)["files"]] == [
        ("etc/hosts", "changed", ["mode"]), ("etc/more", "removed", []), ("new", "added", []),
    ]  # fmt: skip


def test_a_second_entry_of_one_name_is_another_entry() -> None:
    old, new = with_application(HOSTS), with_application(HOSTS, (HOSTS[0], FILE, b"overwritten"))
    assert [(each["path"], each["change"]) for each in diff(old, new)["files"]] == [("etc/hosts", "added")]


def test_the_same_entries_packed_otherwise_are_called_so() -> None:
    import gzip

    packed = gzip.compress(cpio(HOSTS), mtime=0)
    new = described(image([*BASE, (3, packed)]))
    found = diff(with_application(HOSTS), new)
    assert found["files"] == []
    assert "packed otherwise" in found["parts"][0]["note"]
    unlisted = diff(with_application(HOSTS), described(image([*BASE, (3, b"junk")])))
    assert (unlisted["files"], unlisted["parts"][0]["note"]) == ([], "not listed")


def test_other_parts_name_their_registers() -> None:
    plain = [*BASE, (3, APPLICATION)]
    old = described(image(plain))
    for number, registers, changed in ((0, [0, 1], KERNEL + b"x"), (1, [0, 1], b"quiet"), (3, [0, 1], APPLICATION)):
        sections = [*plain]
        sections[number] = (plain[number][0], changed)
        found = diff(old, described(image(sections)))
        assert list(found["measurements"]) == ["PCR0", "PCR1"]
        assert [part["registers"] for part in found["parts"]] == [registers]


def test_a_ramdisk_more_and_a_signature_are_told() -> None:
    found = diff(described(image(BASE)), described((FOLDER / "signed.eif").read_bytes()))
    assert list(found["measurements"]) == ["PCR0", "PCR2", "PCR8"]
    assert found["measurements"]["PCR8"]["old"] is None
    assert [(part["what"], part["registers"]) for part in found["parts"]] == [
        ("signing certificate", [8]), ("ramdisk 1", [0, 2]),
    ]  # fmt: skip
    assert [each["change"] for each in found["files"]] == ["added"]


def test_what_is_not_measured_is_told_apart() -> None:
    other = [(kind, b'{"ImageName":"other"}' if kind == 5 else data) for kind, data in BASE]
    found = diff(described(image(BASE)), described(image(other, memory=5, flags=1)))
    assert found["same_measurements"]
    assert sorted(found["unmeasured"]) == ["architecture", "default_memory_bytes", "metadata"]
    assert found["parts"] == found["files"] == []


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b'{"schema":"blindsight-eif-description/2"}'])
def test_what_is_no_description_is_refused(text: bytes) -> None:
    with pytest.raises(EifError) as caught:
        differences.parse(text)
    assert caught.value.code == "not_an_image"


@pytest.mark.parametrize("missing", ["measurements", "kernel", "ramdisks", "sections", "unmeasured", "signature"])
def test_a_damaged_description_is_refused(missing: str) -> None:
    whole = with_application(HOSTS)
    kept = differences.parse(json.dumps(whole).encode())
    del kept[missing]
    with pytest.raises(EifError) as caught:
        diff(whole, kept)
    assert caught.value.code == "not_an_image"
    for value in (7, [{}], {"a": 1}, None):
        try:
            json.dumps(diff(whole, kept | {missing: value}))
        except EifError:
            continue
