"""This project's files in an image: runtime, core, settings and the function's bundle (the second ramdisk)."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blindsight.sealing import stream
from enclave_image.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from enclave_image.tree import Tree

SOURCE: Final = Path(__file__).resolve().parents[1]
VARIANTS: Final = ("cape", "classifier")
BUNDLE: Final = "app/function.zip"
SETTINGS_FOLDER: Final = "etc/blindsight"
_LISTEN: Final = "vsock://-1:7500"
KMS: Final = "kms.json"
BOOT_CONFIG: Final = "vsock://3:9001"


def files(source: Path, variant: str) -> Mapping[str, bytes]:
    """The Python sources of the runtime and the core in the folder `source`: `package/module.py` to content.

    The runtime itself lists them, so that the image has what simulated enclaves measure. Raises `ImageError` if it
    fails.
    """
    boot = source / "enclave_runtime" / "boot.py"
    command = [sys.executable, "-I", "-S", "-B", str(boot), "enclave_runtime.commands", "files", "--variant", variant]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise ImageError(f"The runtime does not say what it consists of: {last}", "Build from a complete source tree.")
    found: dict[str, str] = json.loads(done.stdout)
    return {name: Path(path).read_bytes() for name, path in sorted(found.items())}


def settings_for(bundle: bytes | None, variant: str, more: Sequence[str]) -> bytes:
    """The content of `/etc/blindsight/enclave.json`: the arguments of `serve`, as canonical JSON (RFC 8785).

    `bundle` is None if the image does not contain one; `more` are further arguments.
    """
    given = (
        [] if bundle is None else ["--bundle", f"/{BUNDLE}", "--function-checksum", hashlib.sha256(bundle).hexdigest()]
    )
    arguments = [
        "serve", "--evidence", "nsm", "--listen", _LISTEN, *given, "--state", "/state", "--variant", variant,
        "--require-confinement", "--insecure-open-port", *more,
    ]  # fmt: skip
    return settings_of("enclave_runtime.commands", arguments)


def function_checksum(bundle: bytes | None, configured: Mapping[str, bytes]) -> str:
    """The function checksum, in hexadecimal: what `kms.json` pins for an encrypted bundle, else the bundle's SHA-256.

    Raises `ImageError` if there is neither.
    """
    pinned = _pinned(configured)
    if pinned is None and bundle is not None:
        return hashlib.sha256(bundle).hexdigest()
    if not isinstance(pinned, str):
        raise ImageError(
            "The image has no function.",
            f"Give --bundle, or a --config {KMS} that pins bundle_sha256 of an encrypted one.",
        )
    return pinned


def check_bundle(bundle: Path, configured: Mapping[str, bytes]) -> None:
    """Check that the file is a function bundle, or an encrypted one if `kms.json` in `configured` pins one.

    The unit that builds bundles performs the check. Raises `ImageError`.
    """
    if _pinned(configured) is not None:
        try:
            with bundle.open("rb") as file:
                sealed = file.read(len(stream.MAGIC)) == stream.MAGIC
        except OSError as error:
            raise ImageError(f"{bundle} cannot be read: {error.strerror}.", "Give a file that is there.") from error
        if not sealed:
            raise ImageError(
                f"{bundle} is not encrypted, and {KMS} pins an encrypted bundle.",
                f"Give what `blindsight bundle encrypt` wrote, or leave bundle_sha256 out of {KMS}.",
            )
        return
    command = [sys.executable, "-m", "enclave_function", "bundle", "inspect", str(bundle.absolute())]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise ImageError(f"{bundle} is not a function bundle: {last.removeprefix('error: ')}", "Give --bundle one.")


def _pinned(configured: Mapping[str, bytes]) -> object:
    """The checksum that `kms.json` states for an encrypted bundle; None if it states none. Raises `ImageError`."""
    try:
        return json.loads(configured.get(KMS, b"{}")).get("bundle_sha256")
    except (ValueError, AttributeError) as error:
        raise ImageError(f"{KMS} is not a JSON object.", "See docs/kms.md.") from error


def settings_of(module: str, arguments: Sequence[str]) -> bytes:
    """The settings with which `/init` runs `module` with `arguments`, as canonical JSON (RFC 8785)."""
    settings = {"arguments": list(arguments), "format": "blindsight-enclave/1", "module": module}
    return json.dumps(settings, separators=(",", ":")).encode()


def add(
    tree: Tree, *, sources: Mapping[str, bytes], variant: str, bundle: bytes | None, configured: Mapping[str, bytes],
    more: Sequence[str] = (),
) -> None:  # fmt: skip
    """Add sources, settings and bundle to the tree of the second ramdisk.

    `configured` are files for `/etc/blindsight`, name to content, which are measured with the image. `more` are further
    arguments of `serve`. Raises `ImageError` for a name that must not be used there.
    """
    for name, content in sources.items():
        tree.file(f"app/{name}", content, name.partition("/")[0])
    for name, content in configured.items():
        if os.sep in name or name == "enclave.json":
            raise ImageError(f"A configuration file cannot be called {name}.", "Give it another name.")
        tree.file(f"{SETTINGS_FOLDER}/{name}", content, "settings")
    tree.file(f"{SETTINGS_FOLDER}/enclave.json", settings_for(bundle, variant, more), "settings")
    if bundle is not None:
        tree.file(BUNDLE, bundle, "function")
