"""The structure of an image: golden files, what each rule refuses, and every way of changing one byte."""

from __future__ import annotations

import io
import json
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindsight.eif import BytesPart, Image, SectionType, measure, measure_parts, write
from blindsight.eif.layout import MAX_CMDLINE_BYTES, FilePart
from blindsight.errors import EifError
from tests.support import eif_golden
from tests.support.eif_golden import APPLICATION, BASE, BOOT, CMDLINE, FOLDER, KERNEL, METADATA, fixed, image

if TYPE_CHECKING:
    from pathlib import Path

EXPECTED = json.loads((FOLDER / "expected.json").read_text("utf-8"))


def registers(content: bytes) -> dict[int, bytes]:
    return dict(measure(Image.read(io.BytesIO(content))).registers)


def refused(content: bytes) -> str:
    with pytest.raises(EifError) as caught:
        registers(content)
    return caught.value.code


@pytest.mark.parametrize("name", EXPECTED)
def test_golden_images_measure_as_computed_by_hand(name: str) -> None:
    content = (FOLDER / f"{name}.eif").read_bytes()
    opened = Image.read(io.BytesIO(content))
    found = {f"PCR{index}": value.hex() for index, value in measure(opened).registers.items()}
    assert {"crc": f"{opened.stated_crc:08x}", **found} == EXPECTED[name]
    assert opened.architecture == ("aarch64" if name == "aarch64" else "x86_64")
    assert (opened.default_memory, opened.default_cpus, opened.size) == (1 << 30, 2, len(content))
    assert (opened.cmdline, opened.metadata_bytes) == (CMDLINE, METADATA)


def test_golden_images_are_those_of_their_generator() -> None:
    made = eif_golden.images()
    assert {name: values for name, (_, values) in made.items()} == EXPECTED
    for name, (content, _) in made.items():
        assert (FOLDER / f"{name}.eif").read_bytes() == content, name


@pytest.mark.parametrize("name", EXPECTED)
def test_golden_images_are_written_byte_for_byte(name: str, tmp_path: Path) -> None:
    golden = (FOLDER / f"{name}.eif").read_bytes()
    kernel = tmp_path / "kernel"
    kernel.write_bytes(KERNEL)
    ramdisks = [BytesPart(BOOT), BytesPart(APPLICATION)][: 2 if name in {"two-ramdisks", "signed"} else 1]
    out = io.BytesIO()
    size = write(
        out,
        kernel=FilePart.of(kernel),
        cmdline=CMDLINE,
        metadata=METADATA,
        ramdisks=ramdisks,
        signature=Image.read(io.BytesIO(golden)).signature,
        architecture="aarch64" if name == "aarch64" else "x86_64",
    )
    assert out.getvalue() == golden
    assert size == len(golden) == out.tell()


def test_parts_measure_as_their_image_does() -> None:
    parts = measure_parts(
        kernel=BytesPart(KERNEL), cmdline=CMDLINE, ramdisks=[BytesPart(BOOT), BytesPart(APPLICATION), BytesPart(BOOT)]
    )
    assert parts == registers(image([*BASE, (3, APPLICATION), (3, BOOT)]))


def test_the_register_of_no_application_is_the_one_that_aws_users_see() -> None:
    """PCR 2 of every image with one ramdisk, as many projects publish it."""
    assert registers(image(BASE))[2].hex().startswith("21b9efbc184807662e966d34f390821309eeac6802309798")


def test_sections_say_which_registers_they_change() -> None:
    found = measure(Image.read(io.BytesIO((FOLDER / "signed.eif").read_bytes()))).sections
    assert [(section.type.name, section.registers) for section in found] == [
        ("KERNEL", (0, 1)), ("CMDLINE", (0, 1)), ("METADATA", ()), ("RAMDISK", (0, 1)), ("RAMDISK", (0, 2)),
        ("SIGNATURE", (8,)),
    ]  # fmt: skip


def changed(offset: int, value: bytes, content: bytes = image(BASE)) -> bytes:
    return fixed(content[:offset] + value + content[offset + len(value) :])


FIRST, SECOND = 548, 548 + 12 + len(KERNEL)
OFFSETS, SIZES = 0x1C, 0x11C
WITHOUT = [(kind, data) for kind, data in BASE if kind != 5]

REFUSED = {
    "empty file": (b"", "not_an_image"),
    "other magic": (changed(0, b".elf"), "not_an_image"),
    "half a header": (image(BASE)[:547], "image_truncated"),
    "version 3": (image(BASE, version=3), "unsupported_version"),
    "version 5": (image(BASE, version=5), "unsupported_version"),
    "flag beside the architecture": (image(BASE, flags=2), "reserved_bits"),
    "reserved field": (image(BASE, reserved=1), "reserved_bits"),
    "unused field": (image(BASE, unused=1), "reserved_bits"),
    "flags of a section": (changed(FIRST + 2, b"\0\1"), "reserved_bits"),
    "no section counted": (image(BASE, count=0), "section_count"),
    "one section counted": (image(BASE, count=1), "section_count"),
    "33 sections counted": (image(BASE, count=33), "section_count"),
    "fewer counted than listed": (image(BASE, count=3), "section_table"),
    "a size in an unused place": (changed(SIZES + 31 * 8, struct.pack(">Q", 1)), "section_table"),
    "an offset in an unused place": (changed(OFFSETS + 4 * 8, struct.pack(">Q", 1)), "section_table"),
    "a section inside the header": (changed(OFFSETS, struct.pack(">Q", 540)), "section_table"),
    "a gap": (changed(OFFSETS + 8, struct.pack(">Q", SECOND + 1)), "section_table"),
    "an overlap": (changed(OFFSETS + 8, struct.pack(">Q", FIRST)), "section_table"),
    "an offset of 2^64 - 1": (changed(OFFSETS + 8, b"\xff" * 8), "section_table"),
    "a size of 2^64 - 1": (changed(SIZES, b"\xff" * 8), "image_truncated"),
    "two sizes of one section": (changed(FIRST + 4, struct.pack(">Q", 1)), "section_table"),
    "the last byte missing": (image(BASE)[:-1], "image_truncated"),
    "cut in a section header": (image(BASE)[: SECOND + 5], "image_truncated"),
    "a byte behind the end": (fixed(image(BASE) + b"\0"), "bytes_after_image"),
    "type 0": (changed(FIRST, b"\0\0"), "unknown_section"),
    "type 6": (image([*BASE, (6, b"x")]), "unknown_section"),
    "two sections": (image(BASE[:2]), "missing_section"),
    "no kernel": (image(BASE[1:]), "missing_section"),
    "no command line": (image([BASE[0], *BASE[2:]]), "missing_section"),
    "no metadata": (image(WITHOUT), "missing_section"),
    "no ramdisk": (image(BASE[:3]), "missing_section"),
    "two kernels": (image([BASE[0], *BASE]), "duplicate_section"),
    "two command lines": (image([*BASE[:2], *BASE[1:]]), "duplicate_section"),
    "two metadata": (image([*BASE, BASE[2]]), "duplicate_section"),
    "two signatures": (image([*BASE, (4, b"x"), (4, b"x")]), "duplicate_section"),
    "ramdisk before the kernel": (image([BASE[3], *BASE[:3]]), "section_order"),
    "ramdisk before the command line": (image([BASE[0], BASE[3], BASE[1], BASE[2]]), "section_order"),
    "command line before the kernel": (image([BASE[1], BASE[0], *BASE[2:]]), "section_order"),
    "empty kernel": (image([(1, b""), *BASE[1:]]), "empty_section"),
    "empty ramdisk": (image([*BASE, (3, b"")]), "empty_section"),
    "empty signature": (image([*BASE, (4, b"")]), "empty_section"),
    "command line over its limit": (image([BASE[0], (2, b"a" * 2048), *BASE[2:]]), "section_too_large"),
    "NUL in the command line": (image([BASE[0], (2, b"a\0b"), *BASE[2:]]), "malformed_cmdline"),
    "signature over 32 KiB": (image([*BASE, (4, bytes(32_769))]), "section_too_large"),
    "signature of 32 KiB": (image([*BASE, (4, bytes(32_768))]), "malformed_signature"),
    "metadata that is not JSON": (image([*WITHOUT, (5, b"{")]), "malformed_metadata"),
    "metadata that is a list": (image([*WITHOUT, (5, b"[]")]), "malformed_metadata"),
    "metadata with a member twice": (image([*WITHOUT, (5, b'{"a":1,"a":2}')]), "malformed_metadata"),
    "metadata over its limit": (image([*WITHOUT, (5, b" " * 1_048_575 + b"{}")]), "section_too_large"),
    "another CRC": (image(BASE)[:544] + bytes(4) + image(BASE)[548:], "crc_mismatch"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    content, code = REFUSED[name]
    assert refused(content) == code


ALLOWED = {
    "other default memory": image(BASE, memory=7),
    "no default CPUs": image(BASE, cpus=0),
    "empty command line": image([BASE[0], (2, b""), *BASE[2:]]),
    "command line of the limit": image([BASE[0], (2, b"a" * MAX_CMDLINE_BYTES), *BASE[2:]]),
    "metadata last": image([*WITHOUT, BASE[2]]),
    "metadata first": image([BASE[2], *WITHOUT]),
    "metadata without AWS's members": image([*WITHOUT, (5, b"{}")]),
    "32 sections": image([*BASE, *[(3, BOOT)] * 28]),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_allowed(name: str) -> None:
    assert set(registers(ALLOWED[name])) == {0, 1, 2}


def test_every_changed_byte_is_refused() -> None:
    golden = (FOLDER / "signed.eif").read_bytes()
    for position in range(len(golden)):
        for bit in (0x01, 0x80):
            flipped = bytearray(golden)
            flipped[position] ^= bit
            assert refused(bytes(flipped)), position


def test_every_changed_byte_with_a_corrected_crc_is_refused_or_measured_or_unmeasured_by_name() -> None:
    golden = image([*BASE, (3, APPLICATION)])
    opened = Image.read(io.BytesIO(golden))
    metadata = opened.of_type(SectionType.METADATA)[0]
    unmeasured = {*range(8, 24), *range(544, 548)}  # default memory, default CPUs; the CRC itself
    unmeasured |= {*range(metadata.offset + 12, metadata.offset + 12 + metadata.size)}
    # The two bytes of the flags: only the architecture's bit may change, and no register says so.
    unmeasured |= {7}
    before = registers(golden)
    for position in range(len(golden)):
        flipped = bytearray(golden)
        flipped[position] ^= 0x01
        try:
            after = registers(fixed(bytes(flipped)))
        except EifError:
            continue
        assert (after == before) == (position in unmeasured), position


@given(
    kernel=st.binary(min_size=1, max_size=300),
    cmdline=st.binary(max_size=60).filter(lambda line: b"\0" not in line),
    ramdisks=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=29),
    memory=st.integers(0, 2**64 - 1),
    cpus=st.integers(0, 2**64 - 1),
)
def test_what_is_written_is_read(kernel: bytes, cmdline: bytes, ramdisks: list[bytes], memory: int, cpus: int) -> None:
    out = io.BytesIO()
    write(
        out, kernel=BytesPart(kernel), cmdline=cmdline, metadata=METADATA,
        ramdisks=[BytesPart(each) for each in ramdisks], default_memory=memory, default_cpus=cpus,
    )  # fmt: skip
    opened = Image.read(io.BytesIO(out.getvalue()))
    assert (opened.cmdline, opened.default_memory, opened.default_cpus) == (cmdline, memory, cpus)
    assert [b"".join(each.blocks()) for each in opened.of_type(SectionType.RAMDISK)] == ramdisks
    found = measure(opened).registers
    start = kernel + cmdline
    assert found[0] == eif_golden.register(start + b"".join(ramdisks))
    assert found[1] == eif_golden.register(start + ramdisks[0])
    assert found[2] == eif_golden.register(b"".join(ramdisks[1:]))


def test_the_writer_refuses_what_the_reader_would() -> None:
    given = {"kernel": BytesPart(KERNEL), "cmdline": CMDLINE, "metadata": METADATA, "ramdisks": [BytesPart(BOOT)]}
    for change, code in (
        ({"ramdisks": []}, "missing_section"),
        ({"ramdisks": [BytesPart(BOOT)] * 30}, "section_count"),
        ({"ramdisks": [BytesPart(b"")]}, "empty_section"),
        ({"kernel": BytesPart(b"")}, "empty_section"),
        ({"cmdline": b"a\0"}, "malformed_cmdline"),
        ({"cmdline": b"a" * 2048}, "section_too_large"),
        ({"metadata": b"[]"}, "malformed_metadata"),
        ({"metadata": b"{}"}, "malformed_metadata"),
        ({"signature": bytes(32_769)}, "section_too_large"),
    ):
        with pytest.raises(EifError) as caught:
            write(io.BytesIO(), **given | change)
        assert caught.value.code == code, change


@pytest.mark.parametrize(
    "path",
    [
        (),
        *[(name,) for name in json.loads(METADATA)],
        *[("BuildMetadata", name) for name in json.loads(METADATA)["BuildMetadata"]],
    ],
)
def test_metadata_that_nitro_cli_could_not_read_is_not_written(path: tuple[str, ...]) -> None:
    """Its reader needs each of these members; all but DockerInfo and CustomMetadata as texts."""
    given = {"kernel": BytesPart(KERNEL), "cmdline": b"", "ramdisks": [BytesPart(BOOT)]}
    wrong = [7, []] if path and path[0] not in {"DockerInfo", "CustomMetadata"} else []
    for value in (None, *wrong):
        members = json.loads(METADATA)
        holder = members if len(path) < 2 else members["BuildMetadata"]
        if path and value is None:
            del holder[path[-1]]
        elif path:
            holder[path[-1]] = value
        else:
            members = []
        with pytest.raises(EifError) as caught:
            write(io.BytesIO(), **given, metadata=json.dumps(members).encode())
        assert caught.value.code == "malformed_metadata"


def test_the_writer_makes_as_many_sections_as_the_reader_takes() -> None:
    out = io.BytesIO()
    write(out, kernel=BytesPart(KERNEL), cmdline=b"", metadata=METADATA, ramdisks=[BytesPart(BOOT)] * 29)
    assert len(Image.read(out).sections) == 32


def test_a_part_that_is_not_as_long_as_it_says_is_refused() -> None:
    class Lying(BytesPart):
        size = 7

    with pytest.raises(EifError) as caught:
        write(io.BytesIO(), kernel=Lying(b"123456"), cmdline=b"", metadata=METADATA, ramdisks=[BytesPart(BOOT)])
    assert caught.value.code == "changed_while_read"


def test_sections_of_no_bound_are_not_read_whole() -> None:
    opened = Image.read(io.BytesIO(image(BASE)))
    for kind in (SectionType.KERNEL, SectionType.RAMDISK):
        with pytest.raises(ValueError, match="read in blocks"):
            opened.of_type(kind)[0].content()


def test_files_that_change_while_they_are_read_are_refused(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    for later in (KERNEL + b"more", KERNEL[:-1]):
        kernel.write_bytes(KERNEL)
        part = FilePart.of(kernel)
        kernel.write_bytes(later)
        with pytest.raises(EifError) as caught:
            write(io.BytesIO(), kernel=part, cmdline=b"", metadata=METADATA, ramdisks=[BytesPart(BOOT)])
        assert caught.value.code == "changed_while_read"


def test_a_look_at_a_section_does_not_disturb_the_measuring() -> None:
    opened = Image.read(io.BytesIO(image([*BASE, (3, APPLICATION)])))
    seen = []

    def look(section, blocks):
        assert opened.cmdline == CMDLINE  # reads elsewhere in the same file
        seen.append((section.type, next(blocks, b"")[:4]))

    assert measure(opened, look).registers == measure(opened).registers
    assert seen[0] == (SectionType.KERNEL, KERNEL[:4])
    assert len(seen) == 5


def test_a_large_image_is_measured_in_little_memory(tmp_path: Path) -> None:
    import tracemalloc

    large = tmp_path / "ramdisk"
    with large.open("wb") as file:
        file.truncate(48 << 20)
    target = tmp_path / "large.eif"
    tracemalloc.start()
    try:
        with target.open("w+b") as out:
            write(out, kernel=BytesPart(KERNEL), cmdline=b"", metadata=METADATA, ramdisks=[FilePart.of(large)])
            measure(Image.read(out))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
