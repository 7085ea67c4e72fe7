"""Kernels for images. `kernels/NAME.json` describes origin, hashes, configuration, modules and command line of each."""

from __future__ import annotations

import hashlib
import json
import lzma
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from blindsight import files
from enclave_image import deb, kernel_files, packages, requirements
from enclave_image.errors import ImageError
from enclave_image.packages import Package

FOLDER: Final = Path(__file__).with_name("kernels")

FORMAT: Final = "blindsight-kernel/1"
"""Format of the descriptions."""


@dataclass(frozen=True)
class Kernel:
    """A loaded kernel. `image` is a bzImage; `modules` are pairs of file name and content, in the order of loading."""

    description: dict[str, Any]
    image: bytes
    modules: tuple[tuple[str, bytes], ...]

    @property
    def command_line(self) -> str:
        """The kernel's command line, which the image contains and PCR 1 measures."""
        return str(self.description["command_line"])

    def described(self) -> dict[str, Any]:
        """The entry for the image's description: this description with SHA-256 digests and layers of confinement."""
        return self.description | {
            "image": self.description["image"] | {"sha256": _sha256(self.image)},
            "modules": [{"file": name, "sha256": _sha256(content)} for name, content in self.modules],
            "layers": requirements.layers_of(self.description["options"]),
        }


def names() -> list[str]:
    """The names of all described kernels, sorted."""
    return sorted(file.stem for file in FOLDER.glob("*.json"))


def describe(name: str) -> dict[str, Any]:
    """The content of `kernels/NAME.json`. Raises `ImageError` for an unknown name or another format."""
    if name not in names():
        raise ImageError(f"There is no kernel {name}.", f"Choose one of {', '.join(names())}.")
    description: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    if description.get("format") != FORMAT:
        raise ImageError(
            f"The description of the kernel {name} has the format {description.get('format')!r}, not {FORMAT}.",
            "Restore the kernel's description.",
        )
    return description


def load(name: str, *, cache: Path, image: Path | None = None, module: Path | None = None) -> Kernel:
    """Load the kernel `name` from its Debian package, or from the files `image` (bzImage) and `module` (nsm.ko).

    AWS's kernels are in no package, so they need the files. Checks digests, layers of confinement, and whether the
    kernel can boot the image. Raises `ImageError`.
    """
    description = describe(name)
    brought = [Path(entry["file"]).stem.removesuffix(".ko") for entry in description["modules"]]
    requirements.check(name, description["options"], brought)
    if "package" in description:
        if image or module:
            raise ImageError(f"The kernel {name} comes from a package.", "Leave --kernel-image and --nsm-module out.")
        return _from_package(description, cache)
    return _from_files(description, image, module)


def _from_package(description: dict[str, Any], cache: Path) -> Kernel:
    package = packages.fetch(Package.from_fields(description["package"]), cache)
    wanted = {description["image"]["path"], description["config"]["path"]}
    wanted |= {entry["path"] for entry in description["modules"]}
    found = {member.path: member.content for member in deb.members(package) if member.path in wanted}
    for path in wanted - found.keys():
        raise ImageError(f"The kernel's package has no {path}.", "Restore the kernel's description.")
    config = found[description["config"]["path"]]
    _check(config, description["config"], "configuration")
    if _reported(config) != description["options"]:
        raise ImageError("The kernel's description differs from its configuration.", "Restore the description.")
    image = found[description["image"]["path"]]
    _check(image, description["image"], "image")
    modules = []
    for entry in description["modules"]:
        content = lzma.decompress(found[entry["path"]]) if entry["path"].endswith(".xz") else found[entry["path"]]
        _check(content, entry, entry["file"])
        modules.append((str(entry["file"]), content))
    return Kernel(description, image, tuple(modules))


_MAX_FILE_BYTES = 256 << 20


def _from_files(description: dict[str, Any], image: Path | None, module: Path | None) -> Kernel:
    if image is None or module is None:
        raise ImageError(
            f"The kernel {description['name']} is in no package.",
            f"Give its files with --kernel-image and --nsm-module: {description['files']}",
        )
    try:
        content, driver = (files.read(path, _MAX_FILE_BYTES) for path in (image, module))
    except OSError as error:
        raise ImageError(f"{error.filename} cannot be read: {error.strerror}.", "Give the kernel's files.") from error
    kernel_files.check(description["name"], description["version"], (image, content), (module, driver))
    _check(content, description["image"], "image")
    (entry,) = description["modules"]
    _check(driver, entry, entry["file"])
    return Kernel(description, content, ((str(entry["file"]), driver),))


def _check(content: bytes, entry: dict[str, Any], what: str) -> None:
    """Compare with the digest that the origin published: SHA-256, or git's blob id. Without one, do nothing."""
    known, found = entry.get("sha256"), _sha256(content)
    if known is None and (known := entry.get("git_blob")) is not None:
        found = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    if known is not None and found != known:
        raise ImageError(
            f"The kernel's {what} is not the one described: {found}, not {known}.", "Get it from its origin."
        )


def _reported(config: bytes) -> dict[str, str]:
    options = requirements.parse(config.decode())
    return {name: options.get(name, "n") for name in requirements.REPORTED}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
