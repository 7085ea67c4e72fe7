"""What bundles are, and what evidence of this source tree's runtime will say with them."""

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


def function(bundle: Path) -> Function:
    """What a bundle is. Raises `ReleaseBuildError`."""
    info = json.loads(run("-m", "enclave_function", "bundle", "inspect", "--json", str(bundle.resolve())))
    return Function(bundle.name, info["checksum"], info["model"]["digest"])


def simulated_all(bundles: list[Path]) -> tuple[Measurement, ...]:
    """What simulated evidence says of each bundle in each variant, in this order. Raises `ReleaseBuildError`."""
    wanted = [(bundle, variant) for bundle in bundles for variant in VARIANTS]
    with ThreadPoolExecutor() as threads:
        return tuple(threads.map(simulated, *zip(*wanted, strict=True)))


def simulated(bundle: Path, variant: str) -> Measurement:
    """What simulated evidence of this runtime, with this Python and its packages, says. Raises `ReleaseBuildError`."""
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
