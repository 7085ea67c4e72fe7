"""`python -m enclave_runtime serve|measure|policy|files|confinement`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import blindsight
from blindsight.arguments import a_path, seconds, whole
from blindsight.attestation.claims import CLAIMS_PCR, expected_pcr16
from blindsight.attestation.policy import Policy
from blindsight.attestation.release import Release
from blindsight.errors import AddressError, BlindsightError
from blindsight.wire.address import Address
from enclave_runtime import function as functions
from enclave_runtime import variants
from enclave_runtime.archive import BadBundle
from enclave_runtime.confinement import layers
from enclave_runtime.evidence import choice
from enclave_runtime.evidence.measure import image_files, measurements, packages
from enclave_runtime.keys import KEY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enclave_runtime.variants import Variant


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m enclave_runtime", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("serve", help="run the enclave until SIGTERM")
    command.add_argument(
        "--bundle",
        type=a_path,
        help="the function bundle: encrypted, or none, where --kms pins one",
    )
    command.add_argument("--function-checksum", metavar="HEX", help="refuse any other bundle")
    command.add_argument(
        "--listen",
        metavar="URL",
        type=_address,
        default=Address("tcp", host="127.0.0.1", port=7500),
        help="tcp://HOST:PORT, unix:///PATH or vsock://CID:PORT, where CID -1 is any (default %(default)s)",
    )
    for retired in ("--host", "--port"):
        command.add_argument(retired, action=_Retired, help=argparse.SUPPRESS)
    command.add_argument(
        "--evidence",
        choices=choice.NAMES,
        default="simulated",
        help="`nsm`: the enclave's security module signs, or the start is refused (default %(default)s)",
    )
    command.add_argument(
        "--state", type=a_path, required=True, help="folder of the port's secret, and in simulation of the root's key"
    )
    command.add_argument("--workers", type=whole, default=os.cpu_count(), help="worker processes (default: processors)")
    command.add_argument(
        "--queue", type=whole, default=256, help="calls that may wait for a worker (default %(default)s)"
    )
    command.add_argument(
        "--call-seconds", type=seconds, default=15.0, help="replace a worker that takes longer (default %(default)s)"
    )
    command.add_argument(
        "--key-seconds", type=seconds, default=KEY_SECONDS, help="replace the sealing keys after (default %(default)s)"
    )
    command.add_argument(
        "--handler-seconds",
        type=seconds,
        default=300.0,
        help="end a Cape function that takes longer (default %(default)s)",
    )
    command.add_argument(
        "--handler-memory",
        type=whole,
        default=4 << 30,
        metavar="BYTES",
        help="of one Cape function (default %(default)s)",
    )
    command.add_argument(
        "--bundle-memory",
        type=whole,
        default=4_000_000_000,
        metavar="BYTES",
        help="for Cape functions, received, unpacked and copied for their processes (default %(default)s)",
    )
    command.add_argument(
        "--gateway-secret",
        type=a_path,
        metavar="FILE",
        help="secret that gateways prove to know, made if there is none (default: gateway_secret in the state folder)",
    )
    command.add_argument(
        "--insecure-open-port", action="store_true", help="let any program that reaches the port ask the enclave"
    )
    command.add_argument(
        "--confined-memory",
        type=whole,
        default=_three_quarters_of_memory(),
        metavar="BYTES",
        help="of all workers and Cape functions together, where the kernel has control groups (default: three quarters"
        " of the machine's, here %(default)s)",
    )
    command.add_argument(
        "--kms",
        type=a_path,
        metavar="FILE",
        help="measured settings of AWS KMS, which releases the root secret, and the key of an encrypted bundle",
    )
    command.add_argument(
        "--boot-config",
        metavar="URL",
        help="where the host gives the ciphertexts for it, and the encrypted bundle: vsock://3:9001",
    )
    command.add_argument(
        "--require-confinement", action="store_true", help="refuse to start where untrusted code is not fully confined"
    )
    _add_layer_options(command)
    _add_variant_option(command)
    command = commands.add_parser("confinement", help="print what confines untrusted code on this machine, as JSON")
    _add_layer_options(command)
    command = commands.add_parser("files", help="print which files of this tree an enclave image contains, as JSON")
    _add_variant_option(command)
    command = commands.add_parser("measure", help="print what evidence of this runtime and a bundle will say, as JSON")
    command.add_argument("--bundle", type=a_path, required=True, help="the function bundle")
    _add_variant_option(command)
    command = commands.add_parser("policy", help="print a policy that accepts this runtime, bundle and root only")
    command.add_argument("--bundle", type=a_path, required=True, help="the function bundle")
    command.add_argument(
        "--state", type=a_path, required=True, help="folder of the simulated root, made if there is none"
    )
    command.add_argument("--out", type=a_path, help="write it to this file instead")
    _add_variant_option(command)
    return parser


class _Retired(argparse.Action):
    """Options of earlier releases; their error names the replacement."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002 -- argparse's
        values: object,  # noqa: ARG002 -- likewise
        option_string: str | None = None,
    ) -> None:
        parser.error(f"{option_string} is no longer known: say --listen tcp://HOST:PORT instead")


def _address(url: str) -> Address:
    try:
        return Address.parse(url)
    except AddressError as error:
        raise argparse.ArgumentTypeError(f"{error} {error.next_step}") from error


def _add_variant_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--variant",
        choices=variants.NAMES,
        default="cape",
        help="`classifier` has none of Cape's code, and other measurements (default %(default)s)",
    )


def _add_layer_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--without-layer",
        action="append",
        default=[],
        choices=layers.ALL,
        help="leave a layer of confinement out, to see what the others hold; may be repeated",
    )
    command.add_argument("--landlock-abi", type=int, metavar="N", help="use no more of Landlock than this version has")


def _three_quarters_of_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4


def main() -> int:
    """Run one command. Errors are one line on standard error."""
    arguments = _parser().parse_args()
    try:
        if "variant" in arguments:
            variants.keep_out(arguments.variant)
        if arguments.command == "measure":
            print(json.dumps(_measure(arguments.bundle, measurements(arguments.variant)), indent=2))
            return 0
        if arguments.command == "files":
            found = image_files(packages(), arguments.variant)
            print(json.dumps({name: str(path) for name, path in found.items()}, indent=2))
            return 0
        if arguments.command == "policy":
            policy = _policy(arguments.bundle, arguments.state, arguments.variant).to_json()
            if arguments.out:
                if arguments.out.exists() and arguments.out.samefile(arguments.bundle):
                    return _fail(f"{arguments.out} cannot be written: it is read, too; give --out another file")
                arguments.out.write_text(policy, encoding="utf-8")
            else:
                print(policy)
            return 0
        from enclave_runtime import start  # noqa: PLC0415 -- compiled at each start, and the others do not need it

        if arguments.command == "confinement":
            print(json.dumps(start.confinement(arguments), indent=2))
            return 0
        try:
            return start.serve(arguments)
        except start.CannotStart as error:
            return _fail(str(error))
    except BadBundle as error:
        return _fail(f"{error}; build it again with `blindsight bundle build`")
    except BlindsightError as error:
        return _fail(f"{error} {error.next_step}")
    except OSError as error:
        return _fail(str(error))


def _measure(bundle: Path, code: Mapping[int, bytes]) -> dict[str, Any]:
    function = functions.load(bundle)
    try:
        pcrs = {**code, CLAIMS_PCR: expected_pcr16(function.checksum, function.model_digest)}
        return {
            "pcrs": {str(index): value.hex() for index, value in sorted(pcrs.items())},
            "function_checksum": function.checksum.hex(),
            "model_digest": function.model_digest.hex(),
        }
    finally:
        function.remove()


def _policy(bundle: Path, state: Path, variant: Variant) -> Policy:
    code = measurements(variant)
    root = choice.simulated(state, variant, code).root_fingerprint
    measured = _measure(bundle, code)
    release = Release(
        kind="simulated",
        name=f"blindsight {blindsight.__version__}",
        version=blindsight.__version__,
        roots=frozenset({root}),
        pcrs={int(index): frozenset({value}) for index, value in measured["pcrs"].items()},
        function_checksums=frozenset({measured["function_checksum"]}),
        model_digests=frozenset({measured["model_digest"]}),
    )
    return Policy(releases=(release,))


def _fail(message: str) -> int:
    print(f"enclave_runtime: {message}", file=sys.stderr)
    return 1
