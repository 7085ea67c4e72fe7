"""Digests of bundles, and the registers of simulated enclaves that run this source tree with them."""

from __future__ import annotations

import json
import platform
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from blindsight.release_file import Function, Measurement
from release_build.source import SOURCE, run

if TYPE_CHECKING:
    from pathlib import Path

VARIANTS: Final = ("cape", "classifier")
"""The variants of the runtime: with Cape's host, and without any of its code."""


def function(bundle: Path) -> Function:
    """Name, function checksum and model digest (SHA-256, hexadecimal) of a bundle.

    Raises `ReleaseBuildError` for a file that is not a bundle.
    """
    info = json.loads(run("-m", "enclave_function", "bundle", "inspect", "--json", str(bundle.resolve())))
    return Function(bundle.name, info["checksum"], info["model"]["digest"])


def simulated_all(bundles: list[Path]) -> tuple[Measurement, ...]:
    """`simulated` for each bundle, and within that for each of `VARIANTS`. Raises `ReleaseBuildError`."""
    wanted = [(bundle, variant) for bundle in bundles for variant in VARIANTS]
    with ThreadPoolExecutor() as threads:
        return tuple(threads.map(simulated, *zip(*wanted, strict=True)))


def simulated(bundle: Path, variant: str) -> Measurement:
    """The registers of a simulated enclave with `bundle`: PCR index to SHA-384 in hexadecimal.

    They measure this source tree, Python and its installed packages, so they differ between Python versions and
    architectures; the result states these. Takes seconds. Raises `ReleaseBuildError`.
    """
    boot = str(SOURCE / "enclave_runtime" / "boot.py")
    printed = run("-I", "-S", "-B", boot, "enclave_runtime.commands", "measure", "--bundle", str(bundle.resolve()),
                  "--variant", variant)  # fmt: skip
    measured = json.loads(printed)
    return Measurement(
        kind="simulated",
        variant=variant,
        function=measured["function_checksum"],
        pcrs={int(index): value for index, value in measured["pcrs"].items()},
        python=f"{platform.python_implementation()} {platform.python_version()} {platform.machine()}",
    )
