"""`blindsight eif`: measures, describes, compares and signs enclave image files, and writes policies for them."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from blindsight import files
from blindsight.eif import Image, kernel, measure
from blindsight.eif import diff as differences
from blindsight.eif import signature as signatures
from blindsight.eif.describe import UNMEASURED, describe, registers
from blindsight.eif.expectation import Function, Machine, policy_for
from blindsight.eif.signing import sign_image
from blindsight.errors import BlindsightError, PolicyError
from blindsight_cli import statelock, units
from blindsight_cli.console import err, fail, out
from blindsight_cli.paths import a_path
from blindsight_cli.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEANING = {
    "PCR0": "the whole image",
    "PCR1": "kernel, command line, first ramdisk",
    "PCR2": "the other ramdisks",
    "PCR8": "who signed the image",
}
_MAX_PEM_BYTES = 64 * 1024
_MAX_DESCRIPTION_BYTES = 256 << 20
_NITRO_CLI_ALGORITHM = "Sha384 { ... }"
"""As nitro-cli prints it, so that the outputs can be compared."""

_EMULATED = "EMULATED ENCLAVE (QEMU): its evidence is unsigned and proves nothing. Use this policy for tests only."

_KERNELS = f"Those known to this program are {' and '.join(kernel.AWS)}. For QEMU's machine give --machine qemu."

app = typer.Typer(help="Enclave images (.eif): build, measure, describe, compare, sign.", no_args_is_help=True)

_Image = Annotated[Path, typer.Argument(metavar="IMAGE", help="The enclave image file (.eif).", parser=a_path)]
_Json = Annotated[bool, typer.Option("--json", help="The result as JSON.")]


@app.command(
    "build",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    help="Build an image (the unit enclave_image); see --help.",
)
def build(context: typer.Context) -> None:
    """Build an enclave image; needs the source tree."""
    units.eif_build(context)


@app.command("measure")
def measure_command(image: _Image, as_json: _Json = False) -> None:
    """Print PCR 0, 1 and 2 of an image, and PCR 8 if it is signed. An invalid signature is refused."""
    with _opened(image) as file, _told(image):
        opened = Image.read(file)
        found = measure(opened).registers
        if opened.signature is not None:
            signatures.verify(opened.signature, pcr0=found[0])
    if as_json:
        typer.echo(json.dumps({"Measurements": {"HashAlgorithm": _NITRO_CLI_ALGORITHM, **registers(found)}}, indent=2))
    else:
        for name, value in registers(found).items():
            typer.echo(f"{name}: {value}")
    err.print(UNMEASURED, style="yellow")


@app.command("describe")
def describe_command(
    image: _Image,
    as_json: _Json = False,
    files: Annotated[bool, typer.Option("--files", help="List the files of the ramdisks.")] = False,
) -> None:
    """Show an image's measurements and contents. Nothing of it is executed or unpacked."""
    with _opened(image) as file, _told(image):
        found = describe(file)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        _show(found)
        if files:
            _show_files(found)
    for warning in found["warnings"]:
        err.print(printable(warning), style="yellow")


@app.command("diff")
def diff_command(
    old: Annotated[Path, typer.Argument(help="An image, or what `describe --json` printed of it.", parser=a_path)],
    new: Annotated[Path, typer.Argument(help="Another.", parser=a_path)],
    as_json: _Json = False,
) -> None:
    """Show the differences between two images, and the registers that they change.

    Exit status: 0 if the measurements are equal, 1 if not.
    """
    before, after = _description(old), _description(new)
    with _told(new):
        found = differences.diff(before, after)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        _show_differences(found)
    if not found["same_measurements"]:
        raise typer.Exit(1)


@app.command("policy")
def policy_command(  # noqa: PLR0917 -- typer gives them by name
    image: _Image,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Write it to this file instead.", parser=a_path)
    ] = None,
    machine: Annotated[
        str, typer.Option(help="`nitro`, or `qemu` for QEMU's emulation, whose evidence proves nothing.")
    ] = "nitro",
    function_checksum: Annotated[
        str | None, typer.Option(metavar="HEX", help="SHA-256 of the bundle, if the image holds none.")
    ] = None,
    model_sha256: Annotated[
        str | None, typer.Option(metavar="HEX", help="SHA-256 of the bundle's model.json, with --function-checksum.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="A name for the release.")] = None,
    version: Annotated[str | None, typer.Option(help="A version for the release, as 1.2.3.")] = None,
) -> None:
    """Print a policy that accepts exactly this image with its function."""
    chosen: Machine = "qemu" if machine == "qemu" else "nitro"
    if machine != chosen:
        fail(f"no machine is called {machine}", "give --machine nitro or --machine qemu")
    function = _function(function_checksum, model_sha256)
    with _opened(image) as file, _told(image):
        try:
            policy = policy_for(file, machine=chosen, function=function, name=name, version=version).to_json()
        except PolicyError as error:  # Of an option, such as --version: not the image's fault.
            fail(f"{error} [{error.code}]", error.next_step)
        release = kernel.release_in(Image.read(file))
    if out_file is None:
        typer.echo(policy, nl=False)
    else:
        statelock.require_not_in_use(out_file)
        try:
            files.write(out_file, policy.encode(), sources=(image,))
        except OSError as error:
            fail(f"{out_file} cannot be written: {error.strerror}", "give a file that you may write to")
    if chosen == "qemu":
        err.print(_EMULATED, style="bold yellow")
    elif not any(kernel.is_of(known, release) for known in kernel.AWS):
        stated = "states no version" if release is None else f"has the version {release}"
        err.print(printable(f"The kernel in this image {stated}: it is not known to start on AWS. {_KERNELS}"),
                  style="bold yellow")  # fmt: skip


@app.command("sign")
def sign_command(
    image: _Image,
    key: Annotated[Path, typer.Option(help="The signing key: P-384, PEM, not encrypted.", parser=a_path)],
    certificate: Annotated[Path, typer.Option(help="The certificate of that key, PEM.", parser=a_path)],
    out_file: Annotated[Path, typer.Option("--out", help="The signed image.", parser=a_path)],
) -> None:
    """Sign an image in nitro-cli's format. PCR 8 is then that of the certificate; PCR 0, 1 and 2 do not change."""
    pems = {"key_pem": _read(key, "the key"), "certificate_pem": _read(certificate, "the certificate")}
    with _opened(image) as file, _replacing(out_file, key, certificate) as target, _refused(image):
        found = sign_image(file, target, **pems)
    for name, value in registers(found).items():
        typer.echo(f"{name}: {value}")


@contextlib.contextmanager
def _opened(image: Path) -> Iterator[BinaryIO]:
    try:
        file = files.opened(image)
    except OSError as error:
        fail(f"{image} cannot be read: {error.strerror}", "give an enclave image file (.eif)")
    with file:
        yield file


@contextlib.contextmanager
def _told(image: Path) -> Iterator[None]:
    """An error in one line with the file's name."""
    try:
        with _refused(image):
            yield
    except OSError as error:
        fail(f"{image} cannot be read: {error.strerror or error}", "give an enclave image file (.eif)")


@contextlib.contextmanager
def _refused(image: Path) -> Iterator[None]:
    try:
        yield
    except BlindsightError as error:
        fail(f"{image}: {error} [{error.code}]", error.next_step)


@contextlib.contextmanager
def _replacing(target: Path, *sources: Path) -> Iterator[BinaryIO]:
    """A file that replaces `target` if the block succeeds, and is removed if it fails."""
    statelock.require_not_in_use(target)
    try:
        with files.replacing(target, sources=sources) as file:
            yield file
    except OSError as error:
        fail(f"{target} cannot be written: {error.strerror}", "give a file in a folder that you may write to")


def _read(path: Path, what: str) -> bytes:
    try:
        return files.read(path, _MAX_PEM_BYTES)
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}", f"give the file of {what}")


def _function(checksum: str | None, model: str | None) -> Function | None:
    if checksum is None and model is None:
        return None
    given = {"--function-checksum": checksum, "--model-sha256": model}
    for option, value in given.items():
        if value is None or not re.fullmatch("[0-9a-fA-F]{64}", value):
            fail(f"{option} is not 64 hexadecimal digits", "give both, as `blindsight bundle inspect` shows them")
        if not int(value, 16):
            fail(f"{option} is all zeros, which no file has", "give it as `blindsight bundle inspect` shows it")
    return Function(bytes.fromhex(checksum or ""), bytes.fromhex(model or ""))


def _description(path: Path) -> dict[str, Any]:
    with _opened(path) as file, _told(path):
        if file.read(1) == b"{":
            return differences.parse(files.read(path, _MAX_DESCRIPTION_BYTES))
        return describe(file)


def _show(found: dict[str, Any]) -> None:
    for name, value in found["measurements"].items():
        out.print(f"{name:<13} {value}  {_MEANING[name]}")
    kernel, signed = found["kernel"], found["signature"]
    lines = {
        "kernel": kernel["version"] or "(states no version)",
        "its SHA-256": kernel["sha256"],
        "command line": found["command_line"],
        "architecture": found["architecture"],
        "signed by": "(not signed)" if signed is None else _signer(signed),
    }
    for number, ramdisk in enumerate(found["ramdisks"]):
        entries, unpacked = ramdisk["entries"], ramdisk["unpacked_bytes"]
        what = "not listed" if entries is None else f"{len(entries)} entries, {unpacked} bytes unpacked"
        lines[f"ramdisk {number}"] = f"{what}; it changes {_names(ramdisk['registers'])}"
    lines["metadata"] = f"{json.dumps(found['unmeasured']['metadata'])}  (not measured)"
    for name, value in lines.items():
        out.print(printable(f"{name:<13} {value}"))


def _signer(signed: dict[str, Any]) -> str:
    holds = "holds" if signed["holds"] else f"DOES NOT HOLD: {signed['problem']}"
    return f"{signed['subject']}, certificate SHA-256 {signed['certificate_sha256']}; {holds}"


def _show_files(found: dict[str, Any]) -> None:
    for number, ramdisk in enumerate(found["ramdisks"]):
        for entry in ramdisk["entries"] or ():
            target = f" -> {entry['target']}" if "target" in entry else ""
            what = f"{entry.get('size', '-'):>10}  {entry.get('sha256', entry['type']):<64}  {entry['path']}{target}"
            out.print(printable(f"{number}  {entry['mode']} {what}"))


def _show_differences(found: dict[str, Any]) -> None:
    for name, values in found["measurements"].items():
        out.print(f"{name} differs: {_MEANING[name]}")
        for side in ("old", "new"):
            out.print(f"  {side} {values[side] or '(not signed)'}")
    for part in found["parts"]:
        note = f" ({part['note']})" if "note" in part else ""
        out.print(printable(f"{part['what']} differs{note}; it changes {_names(part['registers'])}"))
    for change in found["files"]:
        where = f"in ramdisk {change['ramdisk']}: {_names(change['registers'])}"
        what = f" ({', '.join(change['what'])})" if change["what"] else ""
        out.print(printable(f"  {change['change']:<8} {change['path']}{what}  {where}"))
    for name in found["unmeasured"]:
        out.print(f"{name} differs; it changes no register")
    same = "The images measure the same." if found["same_measurements"] else "The images measure differently."
    out.print(same)


def _names(indexes: list[int]) -> str:
    return " and ".join(f"PCR {index}" for index in indexes)
