"""Release files are read strictly: each known member in its form, and parts that fit each other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.errors import ReleaseError
from blindsight.release_file import load, parse
from tests.support import releases

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def refused(encoded: bytes) -> ReleaseError:
    with pytest.raises(ReleaseError) as refusal:
        parse(encoded)
    return refusal.value


def test_what_was_written_is_read(tmp_path: Path) -> None:
    release = releases.release(tmp_path)
    assert parse(release.encode()) == release
    (tmp_path / "release.json").write_bytes(release.encode())
    assert load(tmp_path / "release.json") == release


def test_it_is_an_in_toto_statement(tmp_path: Path) -> None:
    statement = json.loads(releases.release(tmp_path).encode())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement.keys() == {"_type", "subject", "predicateType", "predicate"}
    for subject in statement["subject"]:
        assert subject.keys() == {"name", "digest"}
        assert {name: len(digest) for name, digest in subject["digest"].items()} == {"sha256": 64, "sha384": 96}


PREDICATE: dict[str, Callable[[dict[str, Any]], object]] = {
    "another project": lambda predicate: predicate["release"].update(name="other"),
    "no version": lambda predicate: predicate["release"].pop("version"),
    "a version of words": lambda predicate: predicate["release"].update(version="1.0-rc1"),
    "no measurements": lambda predicate: predicate.pop("measurements"),
    "measurements that are no list": lambda predicate: predicate.update(measurements={}),
    "a kind that is not known": lambda predicate: predicate["measurements"][0].update(kind="sgx"),
    "a variant that is not known": lambda predicate: predicate["measurements"][0].update(variant="other"),
    "no PCR": lambda predicate: predicate["measurements"][0].update(pcrs={}),
    "PCR 00": lambda predicate: predicate["measurements"][0]["pcrs"].update({"00": "01" * 48}),
    "PCR 32": lambda predicate: predicate["measurements"][0]["pcrs"].update({"32": "01" * 48}),
    "a short PCR": lambda predicate: predicate["measurements"][0]["pcrs"].update({"0": "01" * 32}),
    "capitals": lambda predicate: predicate["measurements"][0]["pcrs"].update({"0": "AB" * 48}),
    "another PCR 16": lambda predicate: predicate["measurements"][0]["pcrs"].update({"16": "01" * 48}),
    "a function that is not listed": lambda predicate: predicate["measurements"][0].update(function="01" * 32),
    "simulated, of a file": lambda predicate: predicate["measurements"][0].update(file="function.zip"),
    "of an image, without a file": lambda predicate: predicate["measurements"][0].update(kind="nitro"),
    "a kernel without a version": lambda predicate: predicate["measurements"][0].update(kernel={"name": "a"}),
    "another model digest": lambda predicate: predicate["functions"][0].update(model_digest="01" * 32),
    "another function checksum": lambda predicate: predicate["functions"][0].update(function_checksum="01" * 32),
    "a wheel that is not a subject": lambda predicate: predicate.update(wheel="other.whl"),
    "a wheel elsewhere": lambda predicate: predicate.update(wheel="../blindsight.whl"),
    "an SBOM that is not a subject": lambda predicate: predicate.update(sbom="other.json"),
    "an image that is not a subject": lambda predicate: predicate.update(images={"image.json": "01" * 32}),
    "an image with another digest": lambda predicate: predicate.update(images={"blindsight.whl": "01" * 32}),
    "a page's file without a digest": lambda predicate: predicate.update(page={"index.html": None}),
    "a path upwards": lambda predicate: predicate.update(requirements={"../client.txt": "01" * 32}),
    "a format that is not text": lambda predicate: predicate.update(formats={"policy": 2}),
    "a policy that is none": lambda predicate: predicate["policy"].pop("releases"),
    "a policy with another PCR": lambda predicate: predicate["policy"]["releases"][0]["pcrs"].update(
        {"2": ["07" * 48]}
    ),
    "a policy with one PCR more": lambda predicate: predicate["policy"]["releases"][0]["pcrs"].update(
        {"0": ["01" * 48, "07" * 48]}
    ),
    "a policy of another kind": lambda predicate: predicate["policy"]["releases"][0].update(
        kind="nitro", roots=["01" * 32]
    ),
    "a policy with another function": lambda predicate: predicate["policy"]["releases"][0].update(
        function_checksums=["01" * 32]
    ),
    "a policy without a release": lambda predicate: predicate["policy"].update(releases=[]),
    "a policy that leaves the code open": lambda predicate: (
        predicate["policy"]["releases"][0].update(any_code=True),
        predicate["policy"]["releases"][0].update(pcrs={}),
    ),
}


@pytest.mark.parametrize("change", PREDICATE.values(), ids=PREDICATE)
def test_a_predicate_of_another_form_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    statement = releases.members(tmp_path)
    change(statement["predicate"])
    error = refused(releases.encoded(statement))
    assert error.code == "invalid_release"
    assert str(error).endswith(".")
    assert not str(error).endswith("..")


STATEMENT: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another statement": (lambda statement: statement.update(_type="https://in-toto.io/Statement/v2"), "not_a_release"),
    "another predicate": (
        lambda statement: statement.update(predicateType="https://slsa.dev/provenance/v1"), "not_a_release",
    ),
    "a later version": (
        lambda statement: statement.update(predicateType="urn:blindsight:release:2"), "unsupported_release",
    ),
    "a member more": (lambda statement: statement.update(more=1), "invalid_release"),
    "no subject": (lambda statement: statement.update(subject=[]), "invalid_release"),
    "a subject twice": (lambda statement: statement["subject"].append(statement["subject"][0]), "invalid_release"),
    "a subject with a path": (lambda statement: statement["subject"][0].update(name="a/b"), "invalid_release"),
    "a hidden subject": (lambda statement: statement["subject"][0].update(name=".profile"), "invalid_release"),
    "a subject without SHA-384": (
        lambda statement: statement["subject"][0]["digest"].pop("sha384"), "invalid_release",
    ),
    "a subject without SHA-256": (
        lambda statement: statement["subject"][0]["digest"].pop("sha256"), "invalid_release",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "code"), STATEMENT.values(), ids=STATEMENT)
def test_a_statement_of_another_form_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], code: str
) -> None:
    statement = releases.members(tmp_path)
    change(statement)
    error = refused(releases.encoded(statement))
    assert error.code == code
    assert error.next_step


def test_only_one_spelling_is_read(tmp_path: Path) -> None:
    encoded = releases.release(tmp_path).encode()
    for other in (b" " + encoded, encoded + b"\n", encoded.replace(b":", b": ", 1)):
        assert refused(other).code == "invalid_release"
    for garbage in (b"", b"[]", b"\xff", b"null", encoded[:-1], b'{"_type":1,"_type":1}', b"[" * 100_000):
        assert refused(garbage).code == "not_a_release"


def test_members_of_later_releases_are_skipped_and_named(tmp_path: Path) -> None:
    statement = releases.members(tmp_path)
    statement["predicate"] |= {"later": {"anything": []}, "subject": 1, "subject[0]": 1}
    assert parse(releases.encoded(statement)).unknown == ("later", "subject", "subject[0]")


def test_members_that_are_misspelt_within_a_part_are_named_too(tmp_path: Path) -> None:
    """A `kernel` that is called otherwise would not be compared, and nothing would say so."""
    statement = releases.members(tmp_path)
    measurement = statement["predicate"]["measurements"][0]
    measurement["pyuhon"] = measurement.pop("python")
    measurement["kernel"] = {"name": "k", "version": "1", "sha256": "ab" * 32, "sha265": ""}
    statement["predicate"]["functions"][0]["later"] = 1
    statement["predicate"]["release"]["later"] = 1
    statement["subject"][1]["uri"] = "https://example.org"
    statement["subject"][1]["digest"]["sha512"] = "cd" * 64
    assert parse(releases.encoded(statement)).unknown == (
        "functions[0].later", "measurements[0].kernel.sha265", "measurements[0].pyuhon", "release.later",
        "subject[1].digest.sha512", "subject[1].uri",
    )  # fmt: skip


def test_a_file_that_is_not_there_or_too_large(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="cannot be read"):
        load(tmp_path / "nothing.json")
    (tmp_path / "large.json").write_bytes(b" " * 4_000_001)
    with pytest.raises(ReleaseError, match="more than"):
        load(tmp_path / "large.json")
