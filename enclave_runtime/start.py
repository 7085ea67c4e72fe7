"""The commands that run something: `serve`, and `confinement`, which states what a process would be confined by."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclave_runtime import access
from enclave_runtime.confinement.warden import Warden
from enclave_runtime.kms.settings import KmsSettings
from enclave_runtime.serve import Options
from enclave_runtime.serve import serve as run_server
from enclave_runtime.workers.process import FunctionBroken

if TYPE_CHECKING:
    import argparse


class CannotStart(Exception):
    """The enclave cannot start; the message says why, and what to do."""


def confinement(arguments: argparse.Namespace) -> dict[str, Any]:
    """The layers of the confinement here, for JSON. Raises `BlindsightError`, `OSError`."""
    warden = Warden.appoint(total_bytes=1 << 30, without=arguments.without_layer, landlock_abi=arguments.landlock_abi)
    warden.close()
    return warden.summary()


def serve(arguments: argparse.Namespace) -> int:
    """Run the enclave until SIGTERM. Returns the exit status.

    Raises `CannotStart`, `BadBundle`, `BlindsightError`, `OSError`.
    """
    expected = arguments.function_checksum
    _check(arguments)
    options = Options(
        bundle=arguments.bundle,
        function_checksum=bytes.fromhex(expected) if expected else None,
        listen=arguments.listen,
        state=arguments.state,
        gateway_secret=_gateway_secret(arguments),
        workers=arguments.workers,
        queue=arguments.queue,
        call_seconds=arguments.call_seconds,
        key_seconds=arguments.key_seconds,
        variant=arguments.variant,
        evidence=arguments.evidence,
        handler_seconds=arguments.handler_seconds,
        handler_memory=arguments.handler_memory,
        bundle_memory=arguments.bundle_memory,
        confined_bytes=arguments.confined_memory,
        without_layers=tuple(arguments.without_layer),
        landlock_abi=arguments.landlock_abi,
        require_confinement=arguments.require_confinement,
        kms=KmsSettings.load(arguments.kms) if arguments.kms else None,
        boot_config=arguments.boot_config,
    )
    pinned = options.kms.bundle_sha256 if options.kms else None
    if options.bundle is None and pinned is None:
        raise CannotStart("there is no bundle; give --bundle, or --kms with a file that pins bundle_sha256")
    return _run(options)


def _run(options: Options) -> int:
    try:
        return asyncio.run(run_server(options))
    except FunctionBroken as error:
        reason = " ".join(str(error).split())  # Whatever its code raised: several lines, perhaps.
        raise CannotStart(
            f"the function cannot be loaded: {reason}; check it with `blindsight bundle inspect`"
        ) from error


def _check(arguments: argparse.Namespace) -> None:
    """Check the options of `serve`, considered together. Raises `CannotStart`."""
    if (arguments.kms is None) != (arguments.boot_config is None):
        raise CannotStart("--kms and --boot-config go together; give both, or none")
    if arguments.insecure_open_port and arguments.gateway_secret is not None:
        raise CannotStart("--gateway-secret has no effect with --insecure-open-port; leave one of them out")


def _gateway_secret(arguments: argparse.Namespace) -> Path | None:
    if arguments.insecure_open_port:
        return None
    return arguments.gateway_secret or Path(arguments.state / access.FILE)
