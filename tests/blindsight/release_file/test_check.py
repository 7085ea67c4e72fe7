"""Artifacts against a release file: the released ones pass under any name, others are refused."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from blindsight.errors import ReleaseError
from blindsight.release_file import check
from tests.support import releases

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def code_of(call: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(ReleaseError) as refusal:
        call(*arguments)
    return refusal.value.code


def test_the_released_artifacts_pass(tmp_path: Path) -> None:
    release = releases.release(tmp_path)
    assert check.artifact(release, tmp_path / "blindsight.whl").name == "blindsight.whl"
    assert check.bundle(release, tmp_path / "function.zip") == release.functions[0]
    assert check.page(release, tmp_path / "index.html") == "index.html"
    copy = tmp_path / "renamed"
    shutil.copy(tmp_path / "blindsight.whl", copy)
    assert check.artifact(release, copy).name == "blindsight.whl"


def test_a_changed_artifact_is_refused(tmp_path: Path) -> None:
    release = releases.release(tmp_path)
    for name, look in (("blindsight.whl", check.artifact), ("function.zip", check.bundle), ("index.html", check.page)):
        path = tmp_path / name
        path.write_bytes(path.read_bytes() + b"\0")
        assert code_of(look, release, path) == "digest_mismatch"
        other = path.rename(tmp_path / f"other-{name}")
        assert code_of(look, release, other) == "unreleased_artifact"
        assert code_of(look, release, path) == "unreadable_artifact"


def test_each_digest_counts(tmp_path: Path) -> None:
    release = releases.release(tmp_path)
    wheel = release.subjects[0]
    forged = replace(release, subjects=(replace(wheel, sha384="00" * 48), *release.subjects[1:]))
    assert code_of(check.artifact, forged, tmp_path / "blindsight.whl") == "digest_mismatch"


def test_one_artifact_in_anothers_place_is_refused(tmp_path: Path) -> None:
    release = releases.release(tmp_path)
    assert code_of(check.artifact, release, tmp_path / "sbom.cdx.json", "blindsight.whl") == "digest_mismatch"
    assert code_of(check.bundle, release, tmp_path / "blindsight.whl") == "unreleased_artifact"


def test_what_a_bundle_measures_is_computed_anew(tmp_path: Path) -> None:
    release = releases.release(tmp_path)
    function = replace(release.functions[0], model_digest="01" * 32)
    assert code_of(check.bundle, replace(release, functions=(function,)), tmp_path / "function.zip") == (
        "measurement_mismatch"
    )
    measured = replace(release.measurements[0], pcrs=releases.PCRS | {16: "01" * 48})
    assert code_of(check.bundle, replace(release, measurements=(measured,)), tmp_path / "function.zip") == (
        "measurement_mismatch"
    )


def test_a_bundle_without_a_model_is_refused(tmp_path: Path) -> None:
    release = releases.release(tmp_path)
    bundle = tmp_path / "function.zip"
    for content in (b"no zip", None):
        if content is not None:
            bundle.write_bytes(content)
        else:
            with zipfile.ZipFile(bundle, "w") as archive:
                archive.writestr("app.py", "")
        subjects = (*release.subjects[:2], releases.subject(bundle))
        assert code_of(check.bundle, replace(release, subjects=subjects), bundle) == "measurement_mismatch"


@pytest.mark.parametrize("damage", ["encrypted", "deflation"])
def test_a_bundle_that_zipfile_cannot_read_is_refused(tmp_path: Path, damage: str) -> None:
    """`zipfile` has errors of several kinds; the release's own digest of such a bundle may well be right."""
    bundle = tmp_path / "bundle.zip"
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.json", json.dumps({"name": "n" * 500}))
    content = bytearray(bundle.read_bytes())
    if damage == "encrypted":
        content[content.rindex(b"PK\x01\x02") + 8] |= 1
    else:
        content[40:44] = b"\xff" * 4
    bundle.write_bytes(content)
    with pytest.raises(ReleaseError) as refusal:
        check._model_digest(bundle)
    assert refusal.value.code == "measurement_mismatch"
