"""The command line of the image builder."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from blindsight import files
from blindsight.arguments import a_path, program, seconds, whole
from blindsight.eif.expectation import MAX_BUNDLE_BYTES
from blindsight.errors import BlindsightError
from enclave_image import application, kernel, locking, packages, requirements, trusted_set, wheels
from enclave_image.build import Inputs, build
from enclave_image.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_MAX_SMALL_BYTES = 1 << 20
"""Maximum size of a key, a certificate or a settings file."""

DEFAULT_KERNEL = "debian-6.12"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; `arguments` defaults to the process's.

    Returns 0, or 1 with error and next step on standard error if the image cannot be built. Raises `SystemExit` (2)
    for invalid arguments.
    """
    options = _parser().parse_args(arguments)
    commands = {"build": _build, "packages": _packages, "kernels": _kernels}
    try:
        commands[options.command](options)
    except (ImageError, BlindsightError) as error:
        print(f"error: {error} {error.next_step}", file=sys.stderr)
        return 1
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
        step = "Check the folder of --cache, the one for temporary files, and their free space."
        print(f"error: {what}. {step}", file=sys.stderr)
        return 1
    return 0


def _build(options: argparse.Namespace) -> None:
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "0")
    if not epoch.isdecimal():
        raise ImageError("SOURCE_DATE_EPOCH is not a number of seconds.", "Give one, or unset it.")
    if (options.sign is None) != (options.certificate is None):
        raise ImageError("--sign and --certificate belong together.", "Give both, or neither.")
    bundle = _read(options.bundle, MAX_BUNDLE_BYTES) if options.bundle else None
    configured = {file.name: _read(file) for file in options.config}
    if options.bundle is not None:
        application.check_bundle(options.bundle, configured)
    key = _read(options.sign) if options.sign else None
    certificate = _read(options.certificate) if options.certificate else None
    if not options.out.name:
        raise ImageError(f"{options.out} cannot be written: it is a folder.", "Give --out a file, such as enclave.eif.")
    beside = options.out.with_name(f"{options.out.name}.json")
    read = (
        options.bundle,
        options.sign,
        options.certificate,
        options.kernel_image,
        options.nsm_module,
        *options.config,
    )
    _require_writable(options.out, beside, sources=read)  # Before the long work.
    cache = options.cache
    loaded = kernel.load(options.kernel, cache=cache, image=options.kernel_image, module=options.nsm_module)
    description = build(
        Inputs(
            variant=options.variant,
            kernel=loaded,
            packages=[(package, packages.fetch(package, cache)) for package in packages.read_lock()],
            wheels=wheels.fetch(cache),
            sources=application.files(application.SOURCE, options.variant),
            bundle=bundle,
            configured=configured,
            arguments=_more(options),
            epoch=int(epoch),
            key=key,
            certificate=certificate,
        ),
        options.out,
    )
    text = json.dumps(description, indent=2) + "\n"
    _write(beside, text.encode())
    print(text if options.json else _summary(description))


def _more(options: argparse.Namespace) -> list[str]:
    """The arguments of `serve` that depend on the options."""
    more = []
    for file in options.config:
        if file.name == application.KMS:
            more += ["--kms", f"/{application.SETTINGS_FOLDER}/{file.name}", "--boot-config", application.BOOT_CONFIG]
    for name in ("workers", "call_seconds"):
        if (value := getattr(options, name)) is not None:
            more += [f"--{name.replace('_', '-')}", str(value)]
    return more


def _summary(description: dict[str, Any]) -> str:
    parts = sorted(description["trusted_set"], key=lambda part: -part["bytes"])
    return "\n".join(
        [
            *(f"PCR{index}  {value}" for index, value in description["pcrs"].items()),
            f"SHA-256  {description['image']['sha256']}",
            f"bytes    {description['image']['bytes']}",
            f"kernel   {description['kernel']['name']} {description['kernel']['version']}",
            "",
            *(f"{part['bytes']:>12}  ramdisk {part['ramdisk']}  {part['part']}: {part['reason']}" for part in parts),
        ]
    )


def _packages(options: argparse.Namespace) -> None:
    if not options.fetch and options.cache != packages.default_cache():
        raise ImageError("--cache has no effect without --fetch.", "Add --fetch, or leave --cache out.")
    if options.lock:
        locking.lock(packages.LOCK)
    for package in packages.read_lock():
        file = packages.fetch(package, options.cache) if options.fetch else None
        reason = trusted_set.part_of("package", package.name, trusted_set.PACKAGES).reason
        print(f"{package.name} {package.version}  {file or package.sha256}  {reason}")
    if options.fetch:
        for wheel in wheels.fetch(options.cache):
            print(f"{wheel.distribution} {wheel.version}  {wheel.file}")


def _kernels(options: argparse.Namespace) -> None:
    described = [kernel.describe(name) for name in kernel.names()]
    if options.json:
        shown = [entry | {"layers": requirements.layers_of(entry["options"])} for entry in described]
        print(json.dumps(shown, indent=2))
        return
    for entry in described:
        layers = requirements.layers_of(entry["options"])
        held = ", ".join(layer for layer, has in layers.items() if has)
        lacks = ", ".join(layer for layer, has in layers.items() if not has) or "none"
        print(f"{entry['name']} {entry['version']}\n  from: {entry['origin']}\n  for: {entry['machines']}")
        print(f"  layers of confinement: {held}; without: {lacks}\n  command line: {entry['command_line']}")


def _read(file: Path, most: int = _MAX_SMALL_BYTES) -> bytes:
    try:
        return files.read(file, most)
    except OSError as error:
        raise ImageError(f"{file} cannot be read: {error.strerror}.", "Give a file that is there.") from error


def _write(file: Path, content: bytes) -> None:
    try:
        files.write(file, content)
    except OSError as error:
        raise _unwritable(file, error) from error


def _require_writable(*targets: Path, sources: Iterable[Path | None]) -> None:
    """Raise `ImageError` unless each target can be written, is new or a regular file, and is not one of `sources`."""
    for target in targets:
        try:
            files.require_replaceable(target, sources=sources)
        except OSError as error:
            raise _unwritable(target, error) from error


def _unwritable(file: Path, error: OSError) -> ImageError:
    return ImageError(f"{file} cannot be written: {error.strerror}.", "Check the folder and its free space.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program("enclave_image"), description="Enclave images (EIF).")
    commands = parser.add_subparsers(required=True, dest="command")

    making = commands.add_parser("build", help="build an image, and its description beside it")
    making.add_argument(
        "--bundle", type=a_path, metavar="FILE", help="the function bundle; none where kms.json pins an encrypted one"
    )
    making.add_argument("--out", type=a_path, required=True, metavar="FILE", help="image to write, such as enclave.eif")
    making.add_argument(
        "--variant",
        choices=application.VARIANTS,
        default="cape",
        help="with Cape's host, or without (default %(default)s)",
    )
    making.add_argument(
        "--kernel", choices=kernel.names(), default=DEFAULT_KERNEL, help="see `kernels` (default %(default)s)"
    )
    making.add_argument("--kernel-image", type=a_path, metavar="FILE", help="AWS's bzImage, for AWS's kernels")
    making.add_argument("--nsm-module", type=a_path, metavar="FILE", help="AWS's nsm.ko, for AWS's kernels")
    making.add_argument(
        "--config", type=a_path, action="append", default=[], metavar="FILE",
        help="measured file for /etc/blindsight; kms.json is also given to the runtime; may be repeated",
    )  # fmt: skip
    making.add_argument("--workers", type=whole, metavar="N", help="workers (default: the enclave's processors)")
    making.add_argument(
        "--call-seconds", type=seconds, metavar="N", help="replace a worker that takes longer (default: the runtime's)"
    )
    making.add_argument("--sign", type=a_path, metavar="KEY", help="sign with this key (PEM, P-384)")
    making.add_argument(
        "--certificate", type=a_path, metavar="FILE", help="certificate of that key (PEM); becomes PCR 8"
    )
    making.add_argument("--json", action="store_true", help="print the description instead of a summary")

    listing = commands.add_parser("packages", help="list the system packages of images")
    listing.add_argument(
        "--fetch", action="store_true", help="fetch them, and the wheels, so that builds need no network"
    )
    listing.add_argument("--lock", action="store_true", help="lock the versions that apt offers now, on Debian 12")
    for command in (making, listing):
        command.add_argument(
            "--cache", type=a_path, default=packages.default_cache(), metavar="DIR",
            help="where packages and wheels are kept (default %(default)s)",
        )  # fmt: skip
    kernels = commands.add_parser("kernels", help="list the kernels, and which layers of confinement each has")
    kernels.add_argument("--json", action="store_true", help="print JSON")
    return parser
