"""Builds an image from two ramdisks, the kernel, its command line and the metadata, and writes its description.

The same sources, packages, wheels, kernel and bundle give the same bytes. Folder, user, clock and zlib do not change
them: ramdisks are not compressed, and the metadata contains only the time that the caller gives. The format is EIF 4
(docs/eif.md).
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import blindsight
from blindsight import eif, files
from blindsight.eif import BytesPart, layout, ramdisk
from blindsight.eif import signature as signatures
from blindsight.eif.measure import IMAGE_PCR
from enclave_image import application, standard_library, system, trusted_set
from enclave_image.errors import ImageError
from enclave_image.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from enclave_image.kernel import Kernel
    from enclave_image.packages import Package
    from enclave_image.wheels import Wheel

FORMAT: Final = "blindsight-image/1"


@dataclass(frozen=True)
class Inputs:
    """The inputs of an image.

    `sources` are first-party files and `configured` files for `/etc/blindsight`, both name to content. `bundle` is None
    if the host delivers an encrypted bundle, whose key KMS releases and whose checksum `configured` pins. `epoch` is
    the time for the metadata, in seconds since 1970; it is not measured. `key` and `certificate` (PEM) sign the image.
    """

    variant: str
    kernel: Kernel
    packages: Sequence[tuple[Package, Path]]
    wheels: Sequence[Wheel]
    sources: Mapping[str, bytes]
    bundle: bytes | None
    configured: Mapping[str, bytes] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    epoch: int = 0
    key: bytes | None = None
    certificate: bytes | None = None
    compile_library: Callable[[Tree], Mapping[str, bytes]] = standard_library.compiled


def build(inputs: Inputs, out: Path) -> dict[str, Any]:
    """Write the image to `out`, atomically, and return its description (docs/enclave-image.md).

    Raises `ImageError` for inputs that cannot be used, `EifError` for a key or certificate that cannot.
    """
    checksum = application.function_checksum(inputs.bundle, inputs.configured)  # Refuses before the long work.
    first = system.build(
        packages=inputs.packages,
        distributions=inputs.wheels,
        modules=inputs.kernel.modules,
        compile_library=inputs.compile_library,
    )
    second = _application(inputs)
    ramdisks = [BytesPart(archive(tree)) for tree in (first, second)]
    kernel, cmdline = BytesPart(inputs.kernel.image), inputs.kernel.command_line.encode()
    signature = None
    if inputs.key is not None and inputs.certificate is not None:
        registers = eif.measure_parts(kernel=kernel, cmdline=cmdline, ramdisks=ramdisks)
        signature = signatures.sign(registers[IMAGE_PCR], key_pem=inputs.key, certificate_pem=inputs.certificate)
    try:
        with files.replacing(out) as file:
            layout.write(
                file, kernel=kernel, cmdline=cmdline, metadata=_metadata(inputs), ramdisks=ramdisks, signature=signature
            )
            measured = eif.measure(eif.Image.read(file))
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(
            f"{out} cannot be written: {error.strerror}.", "Check the folder and its free space."
        ) from error
    return _description(inputs, out, (first, second), checksum=checksum, digest=digest, measured=measured)


def _application(inputs: Inputs) -> Tree:
    tree = Tree()
    application.add(
        tree,
        sources=inputs.sources,
        variant=inputs.variant,
        bundle=inputs.bundle,
        configured=inputs.configured,
        more=inputs.arguments,
    )
    return tree


def archive(tree: Tree) -> bytes:
    """The ramdisk of a tree: an uncompressed cpio archive ("newc", Linux, Documentation/driver-api/early-userspace)."""
    out = io.BytesIO()
    # Not compressed, because the same files would have other measurements with another version of zlib.
    ramdisk.write(
        out,
        [ramdisk.Entry(path, entry.mode, BytesPart(entry.content)) for path, entry in tree],
        compression="none",
    )
    return out.getvalue()


def _metadata(inputs: Inputs) -> bytes:
    """The metadata section, with the members that nitro-cli requires. It is not measured, so verifiers ignore it."""
    built = datetime.fromtimestamp(inputs.epoch, UTC).isoformat()
    members = {
        "ImageName": f"blindsight-{inputs.variant}",
        "ImageVersion": blindsight.__version__,
        "BuildMetadata": {
            "BuildTime": built,
            "BuildTool": "blindsight eif build",
            "BuildToolVersion": blindsight.__version__,
            "OperatingSystem": "Linux",
            "KernelVersion": inputs.kernel.description["version"],
        },
        "DockerInfo": {},
        "CustomMetadata": {},
    }
    return json.dumps(members, separators=(",", ":"), sort_keys=True).encode()


def _description(
    inputs: Inputs, out: Path, trees: tuple[Tree, ...], *, checksum: str, digest: str, measured: eif.Measurements
) -> dict[str, Any]:
    reasons = {
        name: part.reason for name, part in (trusted_set.PACKAGES | trusted_set.WHEELS).items()
    } | trusted_set.OWN
    sizes: list[dict[str, list[int]]] = []
    for tree in trees:
        counted: dict[str, list[int]] = {}
        for _, entry in tree:
            if entry.content:
                count = counted.setdefault(entry.part, [0, 0])
                count[0], count[1] = count[0] + 1, count[1] + len(entry.content)
        sizes.append(counted)
    return {
        "format": FORMAT,
        "image": {"file": out.name, "sha256": digest, "bytes": out.stat().st_size},
        "version": blindsight.__version__,
        "variant": inputs.variant,
        "pcrs": {str(index): value.hex() for index, value in sorted(measured.registers.items())},
        "function_checksum": checksum,
        "kernel": inputs.kernel.described(),
        "packages": [package.described() for package, _ in inputs.packages],
        "wheels": [wheel.described() for wheel in inputs.wheels if wheel.distribution not in trusted_set.NOT_IMPORTED],
        "left_out": trusted_set.NOT_IMPORTED,
        "trusted_set": [
            {"part": part, "ramdisk": index, "files": count, "bytes": size, "reason": reasons[part]}
            for index, counted in enumerate(sizes)
            for part, (count, size) in sorted(counted.items())
        ],
    }
