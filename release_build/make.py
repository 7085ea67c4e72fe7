"""Builds every artifact of a release, and the release file, into a new folder."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import blindsight
from blindsight import exchange, receipts
from blindsight.attestation import envelope, policy_file
from blindsight.release_file import ReleaseFile, Subject, check, parse
from blindsight.release_file.statement import PREDICATE_TYPE
from blindsight.sealing import stream
from blindsight.wire import bootconfig, version
from release_build import images, measure, policy, sbom, wheel
from release_build.errors import ReleaseBuildError
from release_build.source import SOURCE, copy, run

if TYPE_CHECKING:
    from collections.abc import Iterator

RELEASE_FILE: Final = "release.json"
SBOM_FILE: Final = "sbom.cdx.json"
BUNDLE_FILE: Final = "function.zip"
PAGE_FILE: Final = "blindsight.html"
"""The page as a single HTML file, which users can store and open without a gateway."""

FORMATS: Final = {
    "boot-config": bootconfig.FORMAT,
    "evidence": envelope.FORMAT,
    "frames": str(version.VERSION),
    "policy": policy_file.SCHEMA,
    "receipt": receipts.SCHEMA,
    "release": PREDICATE_TYPE,
    "request": exchange.VERSION,
    "sealed-file": stream.MAGIC.decode().strip(),
}
"""Format to its version in this release (docs/protocol.md, section 8)."""

_PAGE: Final = "gateway/static/app"


@dataclass(frozen=True)
class Inputs:
    """The inputs of a release besides the source tree.

    Either `model`, a model directory whose bundle is built, or `bundles`. `images` are enclave image files, each with
    its description beside it. `simulated_root` is the SHA-256 of a root certificate in hexadecimal; the release's
    policy then accepts simulated enclaves under it. `emulated`: the policy accepts images for QEMU's machine.
    """

    model: Path | None = None
    bundles: tuple[Path, ...] = ()
    images: tuple[Path, ...] = ()
    simulated_root: str | None = None
    emulated: bool = False


def make(out: Path, inputs: Inputs) -> ReleaseFile:
    """Write all artifacts and the release file into the new or empty folder `out`, and return the release file.

    `out` appears with all files, or not at all. Raises `ReleaseBuildError` for inputs that cannot be used, and
    `BlindsightError` for an invalid image, policy or release file.
    """
    if inputs.model is not None and not inputs.model.is_dir():
        raise ReleaseBuildError(
            f"{inputs.model} cannot be read: it is not a folder.", "Give --model a model directory."
        )
    with _draft(out) as folder:
        return _make(folder, inputs)


def _make(out: Path, inputs: Inputs) -> ReleaseFile:
    built = wheel.build(out)
    bundles = _bundles(out, inputs)
    (out / SBOM_FILE).write_bytes(sbom.render(blindsight.__version__))
    functions = tuple(measure.function(bundle) for bundle in bundles)
    measurements = (
        *(images.take(image, out, functions) for image in inputs.images),
        *measure.simulated_all(bundles),
    )
    copies = [out / image.name for image in inputs.images]
    descriptions = [images.description_of(copy) for copy in copies]
    page = out / PAGE_FILE
    shutil.copyfile(SOURCE / _PAGE / PAGE_FILE, page)
    artifacts = [built, page, out / SBOM_FILE, *bundles, *copies, *descriptions]
    release = ReleaseFile(
        version=blindsight.__version__,
        subjects=tuple(_subject(path) for path in sorted(artifacts)),
        formats=FORMATS,
        functions=functions,
        measurements=measurements,
        wheel=built.name,
        sbom=SBOM_FILE,
        page={path.name: check.digests(path)[0] for path in sorted((SOURCE / _PAGE).iterdir())},
        requirements={name: check.digests(path)[0] for name, path in sbom.lists().items()},
        images={path.name: check.digests(path)[0] for path in descriptions},
        policy=policy.accepting(
            functions, measurements, simulated_root=inputs.simulated_root, emulated=inputs.emulated
        ),
    )
    encoded = release.encode()
    parse(encoded)  # A release file that verifiers would refuse must not be published.
    (out / RELEASE_FILE).write_bytes(encoded)
    return release


@contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """Yield a new folder, which is renamed to `out` when the block ends, or removed if the block raises."""
    place = out.resolve()
    try:
        if place.exists() and any(place.iterdir()):
            raise ReleaseBuildError(f"{out} is not empty.", "Give --out a new folder: it is published as it is.")
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.") as beside:
            draft = Path(beside) / "release"
            draft.mkdir()
            try:
                yield draft
            except ReleaseBuildError as error:
                # The user cannot look at the draft, so messages name files as in the release.
                raise ReleaseBuildError(str(error).replace(f"{draft}/", ""), error.next_step) from error
            draft.rename(place)
    except OSError as error:
        raise ReleaseBuildError(
            f"{out} cannot be used: {error.strerror}.", "Give --out a folder to write to."
        ) from error


def _bundles(out: Path, inputs: Inputs) -> list[Path]:
    if inputs.model is not None:
        if not inputs.model.is_dir():
            raise ReleaseBuildError(
                f"{inputs.model} cannot be read: it is not a folder.", "Give --model a model directory."
            )
        bundle = out / BUNDLE_FILE
        run("-m", "enclave_function", "bundle", "build", "--model", str(inputs.model.resolve()), "--out",
            str(bundle.resolve()))  # fmt: skip
        return [bundle]
    bundles = []
    for path in inputs.bundles:
        if not path.is_file():
            raise ReleaseBuildError(f"{path} cannot be copied: it is not a file.", "Give --bundle a function bundle.")
        bundle = out / path.name
        if bundle.exists():
            raise ReleaseBuildError(f"Two bundles are called {path.name}.", "Rename one of them.")
        try:
            copy(path, bundle)
        except OSError as error:
            raise ReleaseBuildError(f"{path} cannot be copied: {error.strerror}.", "Check the path.") from error
        bundles.append(bundle)
    return bundles


def _subject(path: Path) -> Subject:
    sha256, sha384 = check.digests(path)
    return Subject(path.name, sha256, sha384)
