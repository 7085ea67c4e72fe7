"""Enclave images in a release: measured anew when it is made, and when it is verified."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from blindsight import release_file
from blindsight.attestation.claims import expected_pcr16
from blindsight.attestation.policy import Policy
from blindsight.attestation.roots import AWS_NITRO_ROOT_G1
from blindsight.errors import BlindsightError, ReleaseError
from blindsight.release_file import Function, Kernel, check
from blindsight_cli.main import app
from release_build import images, policy
from release_build.errors import ReleaseBuildError
from tests.support import eif_golden, releases
from tests.support.built_images import built, registers

if TYPE_CHECKING:
    from pathlib import Path

    from blindsight.release_file import Measurement, ReleaseFile

_AWS = frozenset({AWS_NITRO_ROOT_G1})
FUNCTION = Function("function.zip", "11" * 32, "22" * 32)
PCR16 = expected_pcr16(bytes.fromhex(FUNCTION.function_checksum), bytes.fromhex(FUNCTION.model_digest)).hex()


@pytest.fixture
def measurement(tmp_path: Path) -> Measurement:
    (tmp_path / "out").mkdir()
    return images.take(built(tmp_path / "in", FUNCTION.function_checksum), tmp_path / "out", [FUNCTION])


def test_an_image_is_measured_by_the_published_rule(measurement: Measurement) -> None:
    """The golden values are made by tests/support/eif_golden.py, which uses no code of ours."""
    assert {str(index): value for index, value in measurement.pcrs.items()} == registers("signed") | {"16": PCR16}
    kernel = measurement.kernel
    assert kernel is not None
    assert (kernel.name, kernel.version) == ("aws-6.6", "6.6.38")
    from tests.support.eif_golden import KERNEL

    assert kernel.sha256 == hashlib.sha256(KERNEL).hexdigest()


def test_the_policy_accepts_the_image_under_aws_s_root(measurement: Measurement) -> None:
    accepted = policy.accepting([FUNCTION], [measurement])
    assert accepted is not None
    (release,) = json.loads(accepted.to_json())["releases"]
    assert release["kind"] == "nitro"
    assert release["roots"] == ["641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"]
    assert release["pcrs"] == {index: [value] for index, value in (registers("signed") | {"16": PCR16}).items()}
    assert release["function_checksums"] == [FUNCTION.function_checksum]


def test_images_for_qemu_s_machine_are_accepted_only_if_asked_for(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    kernel = {"name": "debian-6.12", "version": "6.6.38", "evidence": "qemu-nitro-enclave"}
    image = built(tmp_path / "in", FUNCTION.function_checksum, kernel=kernel)
    measurement = images.take(image, tmp_path / "out", [FUNCTION])
    assert measurement.kind == "qemu-nitro-enclave"
    assert policy.accepting([FUNCTION], [measurement]) is None
    accepted = policy.accepting([FUNCTION], [measurement], emulated=True)
    assert accepted is not None
    (release,) = accepted.releases
    assert (release.kind, release.roots) == ("qemu-nitro-enclave", frozenset())
    whole = released(tmp_path, measurement)
    both = policy.accepting(whole.functions, whole.measurements[1:], emulated=True)
    assert release_file.parse(replace(whole, policy=both).encode()).policy == both
    assert both is not None
    genuine = Policy(releases=tuple(replace(each, kind="nitro", roots=_AWS) for each in both.releases))
    with pytest.raises(ReleaseError, match="does not measure"):
        release_file.parse(replace(whole, policy=genuine).encode())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pcrs": registers("one-ramdisk")}, "does not measure"),
        ({"function_checksum": "33" * 32}, "another function"),
        ({"format": "blindsight-image/2"}, "another version"),
        ({"kernel": {"name": "aws-6.6"}}, "not a description"),
        ({"kernel": {"name": "aws-6.6", "version": 6}}, "not a description"),
        ({"kernel": {"name": "aws-6.6", "version": "6.6.38"}}, "not known"),
        ({"kernel": {"name": "aws-6.6", "version": "6.6.38", "evidence": "simulated"}}, "not known"),
        ({"pcrs": None}, "not a description"),
        ({"kernel": {"name": "aws-6.6", "version": "6.12.1", "evidence": "nitro"}}, "has the version 6.6.38-golden"),
        ({"kernel": {"name": "aws-6.6", "version": "6.6.3", "evidence": "nitro"}}, "has the version 6.6.38-golden"),
    ],
)
def test_an_image_that_is_not_what_its_description_says_is_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ReleaseBuildError, match=said):
        images.take(built(tmp_path / "in", FUNCTION.function_checksum, **changes), tmp_path / "out", [FUNCTION])


def test_two_images_of_one_name_are_refused(tmp_path: Path, measurement: Measurement) -> None:
    with pytest.raises(ReleaseBuildError, match="Two artifacts"):
        images.take(built(tmp_path / "other", FUNCTION.function_checksum), tmp_path / "out", [FUNCTION])


def released(folder: Path, measurement: Measurement) -> ReleaseFile:
    """A release of the image alone, with what every release has."""
    release = releases.release(folder)
    bundle = release.functions[0]
    pcr16 = expected_pcr16(bytes.fromhex(bundle.function_checksum), bytes.fromhex(bundle.model_digest)).hex()
    stated = replace(measurement, function=bundle.function_checksum, pcrs=dict(measurement.pcrs) | {16: pcr16})
    return replace(
        release,
        subjects=(*release.subjects, releases.subject(folder / "out" / "signed.eif")),
        measurements=(*release.measurements, stated),
    )


def test_a_released_image_is_measured_anew(tmp_path: Path, measurement: Measurement) -> None:
    release = release_file.parse(released(tmp_path, measurement).encode())
    assert check.image(release, tmp_path / "out" / "signed.eif") == release.measurements[-1]


@pytest.mark.parametrize("index", [0, 1, 2, 8])
@pytest.mark.parametrize("missing", [False, True])
def test_each_register_counts(tmp_path: Path, measurement: Measurement, index: int, missing: bool) -> None:
    """A release file of a maker who signs what was not measured."""
    pcrs = dict(measurement.pcrs) | {index: "00" * 48}
    if missing:
        del pcrs[index]
    release = released(tmp_path, replace(measurement, pcrs=pcrs))
    with pytest.raises(ReleaseError) as refusal:
        check.image(release, tmp_path / "out" / "signed.eif")
    assert refusal.value.code == "measurement_mismatch"


def test_the_kernel_counts(tmp_path: Path, measurement: Measurement) -> None:
    release = released(tmp_path, replace(measurement, kernel=Kernel("aws-6.6", "6.6.38", "00" * 32)))
    with pytest.raises(ReleaseError, match="kernel"):
        check.image(release, tmp_path / "out" / "signed.eif")


def test_a_kernel_that_is_none_is_not_released(tmp_path: Path) -> None:
    """As an image has that a builder made of a photo: its description is right about everything else."""
    (tmp_path / "out").mkdir()
    path = built(tmp_path / "in", FUNCTION.function_checksum)
    content = eif_golden.image([(1, b"\xff\xd8\xff\xe0 a photo"), *eif_golden.BASE[1:]])
    path.write_bytes(content)
    described = json.loads(images.description_of(path).read_bytes())
    described["pcrs"] = {str(index): value for index, value in check.measured(path).pcrs.items()}
    images.description_of(path).write_text(json.dumps(described))
    with pytest.raises(ReleaseBuildError, match="not a bzImage"):
        images.take(path, tmp_path / "out", [FUNCTION])


@pytest.mark.parametrize("version", ["6.12.1", "6.6.3", "6.6.380"])
def test_the_kernels_version_counts(tmp_path: Path, measurement: Measurement, version: str) -> None:
    """Its header says 6.6.38-golden; the release file's maker states another."""
    assert measurement.kernel is not None
    release = released(tmp_path, replace(measurement, kernel=replace(measurement.kernel, version=version)))
    with pytest.raises(ReleaseError, match=r"6\.6\.38-golden") as refusal:
        check.image(release, tmp_path / "out" / "signed.eif")
    assert refusal.value.code == "measurement_mismatch"


def test_the_kernels_name_is_said_to_be_stated(tmp_path: Path, measurement: Measurement) -> None:
    """Nothing in the image says it."""
    (tmp_path / "release.json").write_bytes(released(tmp_path, measurement).encode())
    done = CliRunner().invoke(
        app, ["release", "verify", str(tmp_path / "release.json"), "--eif", str(tmp_path / "out" / "signed.eif")]
    )
    assert done.exit_code == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "kernel version 6.6.38, which its maker calls aws-6.6" in said


def test_what_is_no_image_is_refused(tmp_path: Path, measurement: Measurement) -> None:
    release = released(tmp_path, measurement)
    for path in (tmp_path / "blindsight.whl", tmp_path / "nothing.eif"):
        with pytest.raises(ReleaseError):
            check.image(release, path)
    with pytest.raises(BlindsightError):
        check.measured(tmp_path / "blindsight.whl")
