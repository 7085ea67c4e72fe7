"""A policy for an image: the registers that an enclave started from it shows, PCR 16 of its function included."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.attestation import expected_pcr16
from blindsight.eif.expectation import Function, policy_for
from blindsight.errors import EifError
from enclave_function.bundle import build
from enclave_runtime import function as functions
from tests.support.eif_golden import APPLICATION, BASE, FOLDER, cpio, image

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.models import TinyModel

FILE = 0o100644
GIVEN = Function(bytes(range(32)), bytes(range(1, 33)))
EXPECTED = json.loads((FOLDER / "expected.json").read_text("utf-8"))


def zipped(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("_json", ".json"), data)
    return out.getvalue()


def with_bundle(bundle: bytes, *others: tuple[str, int, bytes]) -> bytes:
    return image([*BASE, (3, cpio(("app/function.zip", FILE, bundle), *others))])


def release(content: bytes, **options: Any) -> dict[str, Any]:
    options = {"at": datetime(2026, 6, 1, tzinfo=UTC)} | options
    policy = json.loads(policy_for(io.BytesIO(content), **options).to_json())
    assert policy["schema"] == "blindsight-policy/2"
    (only,) = policy["releases"]
    return only


def refused(content: bytes, **options: Any) -> str:
    with pytest.raises(EifError) as caught:
        policy_for(io.BytesIO(content), **options)
    return caught.value.code


def test_a_policy_pins_every_register_of_the_image_and_its_function() -> None:
    found = release((FOLDER / "signed.eif").read_bytes(), function=GIVEN, name="try", version="1.2")
    assert (found["kind"], found["name"], found["version"]) == ("nitro", "try", "1.2")
    golden = {name[3:]: [value] for name, value in EXPECTED["signed"].items() if name != "crc"}
    assert found["pcrs"] == golden | {"16": [expected_pcr16(GIVEN.checksum, GIVEN.model_sha256).hex()]}
    assert found["function_checksums"] == [GIVEN.checksum.hex()]
    assert found["model_digests"] == [GIVEN.model_sha256.hex()]
    assert not found.keys() & {"function_in_image", "any_code", "any_function"}


def test_the_function_inside_is_found_as_the_runtime_finds_it(colour_model: TinyModel, tmp_path: Path) -> None:
    bundle = tmp_path / "function.zip"
    build(colour_model.folder, bundle)
    function = functions.load(bundle)
    try:
        found = release(with_bundle(bundle.read_bytes()))
        assert found["function_in_image"] is True
        assert found["function_checksums"] == [function.checksum.hex()]
        assert found["model_digests"] == [function.model_digest.hex()]
        assert found["pcrs"]["16"] == [expected_pcr16(function.checksum, function.model_digest).hex()]
    finally:
        function.remove()


def test_the_model_is_named_by_its_canonical_manifest() -> None:
    bundle = zipped(model_json=b'{ "b": 1,\n "a": 2 }')
    assert release(with_bundle(bundle))["model_digests"] == [hashlib.sha256(b'{"a":2,"b":1}').hexdigest()]


def test_of_two_bundles_the_later_counts_as_for_the_kernel() -> None:
    first, second = zipped(model_json=b'{"a":1}'), zipped(model_json=b'{"a":2}')
    sections = [(3, cpio(("app/function.zip", FILE, each))) for each in (first, second)]
    found = release(image([*BASE, *sections]))
    assert found["function_checksums"] == [hashlib.sha256(second).hexdigest()]
    found = release(image([*BASE, (3, cpio(("app/function.zip", FILE, first), ("app/function.zip", FILE, second)))]))
    assert found["function_checksums"] == [hashlib.sha256(second).hexdigest()]


@pytest.mark.parametrize(
    "content",
    [
        image([*BASE, (3, APPLICATION)]),
        with_bundle(b"no zip"),
        with_bundle(zipped(other_json=b"{}")),
        with_bundle(zipped(model_json=b"no json")),
        with_bundle(zipped(model_json=b"{}")[:-30]),
        with_bundle(zipped(model_json=b" " * (1 << 20) + b"{}")),
        with_bundle(zipped(model_json=b'{"a":1,"a":2}')),
    ],
)
def test_an_image_without_a_readable_function_needs_one_named(content: bytes) -> None:
    assert refused(content) == "function_missing"
    assert release(content, function=GIVEN)["function_checksums"] == [GIVEN.checksum.hex()]


def test_a_damaged_zip_is_refused_wherever_it_is_damaged() -> None:
    bundle = zipped(model_json=b'{"a":1}', other_json=b"x")
    for position, bits in itertools.product(range(len(bundle)), (0x01, 0x08, 0xFF)):
        damaged = bytearray(bundle)
        damaged[position] ^= bits
        try:
            release(with_bundle(bytes(damaged)))
        except EifError as error:
            assert error.code == "function_missing", position  # noqa: PT017 -- most changes are refused, not all


def test_a_ramdisk_that_cannot_be_looked_through_is_refused() -> None:
    assert refused(image([*BASE, (3, b"junk")])) == "malformed_ramdisk"


def test_no_policy_is_made_for_a_signature_that_does_not_hold() -> None:
    content = (FOLDER / "signed.eif").read_bytes()
    assert refused(content, function=GIVEN, at=datetime(2040, 1, 1, tzinfo=UTC)) == "signing_certificate_expired"
