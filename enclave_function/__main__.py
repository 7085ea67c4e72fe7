"""`python -m enclave_function bundle build|inspect`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import signal
import sys
from pathlib import Path

from enclave_function.bundle import BundleError, BundleInfo, VendorTarget, build, inspect


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Returns 0, or 1 for a bundle that cannot be built or used; argparse exits 2 for misuse."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        if options.command == "build":
            vendor = VendorTarget.parse(options.vendor) if options.vendor else None
            info = build(options.model, options.out, vendor=vendor)
        else:
            info = inspect(options.file)
    except BundleError as error:
        print(f"error: {error} {error.next_step}", file=sys.stderr)  # noqa: T201 -- a command line prints
        return 1
    print(json.dumps(dataclasses.asdict(info)) if options.json else _text(info))  # noqa: T201 -- likewise
    return 0


def _text(info: BundleInfo) -> str:
    trained = "trained" if info.model.trained else "UNTRAINED: its answers mean nothing"
    shown = [entry for entry in info.entries if "/" not in entry.name or entry.name.startswith("photo_classifier/")]
    hidden = len(info.entries) - len(shown)
    return "\n".join(
        [
            f"function checksum  {info.checksum}",
            f"bytes              {info.bytes}",
            f"model              {info.model.name} {info.model.version}, {trained}",
            f"model digest       {info.model.digest}",
            f"vendored           {', '.join(info.vendored) or 'nothing'}",
            "",
            *(f"{entry.bytes:>12}  {entry.sha256}  {entry.name}" for entry in shown),
            *([f"{'':>12}  and {hidden} files of vendored packages (all with --json)"] if hidden else []),
        ]
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m enclave_function", description="The deployed function's bundle.")
    commands = parser.add_subparsers(required=True, metavar="bundle").add_parser(
        "bundle", help="build or inspect a bundle"
    )
    actions = commands.add_subparsers(required=True, dest="command", metavar="build|inspect")

    making = actions.add_parser("build", help="make the deterministic zip of function and model")
    making.add_argument("--model", type=Path, required=True, metavar="DIR", help="model directory, or a file in it")
    making.add_argument("--out", type=Path, required=True, metavar="FILE", help="bundle to write, such as bundle.zip")
    making.add_argument(
        "--vendor",
        metavar="TARGET",
        help="add numpy, onnxruntime and Pillow: python=3.11,platform=manylinux_2_28_x86_64",
    )
    reading = actions.add_parser("inspect", help="print a bundle's checksum, model and contents")
    reading.add_argument("file", type=Path, metavar="FILE")
    for action in (making, reading):
        action.add_argument("--json", action="store_true", help="print JSON")
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `… | head` has had enough; that is no error.
    sys.exit(main())
