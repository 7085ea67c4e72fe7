"""Enclave images of a release: measured here, and compared with the description that their builder wrote.

The measurements are those of AWS Nitro Enclaves (AWS Nitro Enclaves User Guide, "Cryptographic attestation"); see
docs/eif.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

from blindsight import strict_json
from blindsight.attestation.claims import CLAIMS_PCR, expected_pcr16
from blindsight.attestation.roots import EvidenceKind
from blindsight.eif import kernel as kernels
from blindsight.release_file import Kernel, Measurement, check
from release_build.errors import ReleaseBuildError
from release_build.source import copy as copy_file
from release_build.source import read

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from blindsight.release_file import Function

FORMAT: Final = "blindsight-image/1"
_ANEW: Final = "Build the image anew with `blindsight eif build`, which writes both files."


def description_of(image: Path) -> Path:
    """The path of an image's description: the image's path with `.json` appended."""
    return image.with_name(f"{image.name}.json")


def take(image: Path, out: Path, functions: Iterable[Function]) -> Measurement:
    """Copy `image` and its description into the folder `out`, and measure the copy.

    Returns the registers that evidence of the image will contain: PCR index to SHA-384 in hexadecimal. PCR 16 is
    computed from the one of `functions` that the image contains (`claims.expected_pcr16`).

    Raises `ReleaseBuildError` if a file is missing, or if image, description and functions contradict each other;
    `EifError` for a file that is not an image.
    """
    described = _described(description_of(image))
    copy = out / image.name
    try:
        if copy.exists():
            raise ReleaseBuildError(f"Two artifacts are called {image.name}.", "Rename one of them.")
        copy_file(image, copy)
        copy_file(description_of(image), description_of(copy))
    except OSError as error:
        raise ReleaseBuildError(f"{image} cannot be copied: {error.strerror}.", "Check the path.") from error
    measured = check.measured(copy)
    if {str(index): value for index, value in measured.pcrs.items()} != described["pcrs"]:
        raise ReleaseBuildError(f"{image.name} does not measure what its description says.", _ANEW)
    stated, release = described["kernel"]["version"], measured.kernel_release
    if release is None:
        raise ReleaseBuildError(f"The kernel in {image.name} is not a bzImage that states a version.", _ANEW)
    if not kernels.is_of(stated, release):
        raise ReleaseBuildError(f"The kernel in {image.name} has the version {release}, not {stated}.", _ANEW)
    function = next((each for each in functions if each.function_checksum == described["function_checksum"]), None)
    if function is None:
        raise ReleaseBuildError(
            f"{image.name} holds another function than the release.", "Give the bundle that is in the image."
        )
    pcr16 = expected_pcr16(bytes.fromhex(function.function_checksum), bytes.fromhex(function.model_digest))
    kernel = described["kernel"]
    return Measurement(
        kind=_kind(kernel),
        variant=described["variant"],
        function=function.function_checksum,
        pcrs=dict(measured.pcrs) | {CLAIMS_PCR: pcr16.hex()},
        file=image.name,
        kernel=Kernel(str(kernel["name"]), str(kernel["version"]), measured.kernel),
    )


def _kind(kernel: dict[str, Any]) -> EvidenceKind:
    """The kind of evidence of the machines that the kernel boots on, as its description states it."""
    kinds: tuple[EvidenceKind, ...] = get_args(EvidenceKind)
    for kind in kinds:
        if kind == kernel.get("evidence") and kind != "simulated":
            return kind
    raise ReleaseBuildError("The image's kernel boots on machines whose evidence is not known.", _ANEW)


def _described(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ReleaseBuildError(f"The image's description is missing: there is no {path}.", _ANEW)
    try:
        members = strict_json.loads(read(path))
        if members["format"] != FORMAT:
            raise ReleaseBuildError(f"{path} is a description of another version.", _ANEW)
        wanted = (
            members["variant"],
            members["function_checksum"],
            members["kernel"]["name"],
            members["kernel"]["version"],
        )
        if not all(isinstance(each, str) for each in wanted) or not isinstance(members["pcrs"], dict):
            raise ReleaseBuildError(f"{path} is not a description of an image.", _ANEW)
    except (ValueError, KeyError, TypeError) as error:
        raise ReleaseBuildError(f"{path} is not a description of an image.", _ANEW) from error
    return dict(members)
