"""The command line of the function: its bundles, what it answers, and what it gives the model."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys

from blindsight.arguments import a_path, program
from blindsight.files import opened
from enclave_function import answers, inputs
from enclave_function.bundle import BundleError, BundleInfo, VendorTarget, build, inspect
from enclave_function.bundle.encrypt import SealedBundle, encrypt, read_key


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Returns 0, or 1 for a bundle that cannot be built or used; argparse exits 2 for misuse."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        if options.command == "answers":
            for each in answers.of_images(options.model, options.files):
                print(json.dumps(each))
            return 0
        if options.command == "inputs":
            for found in inputs.of_images(options.model, options.files):
                tensor, problem = (found, None) if isinstance(found, bytes) else (b"", found)
                head = json.dumps({"bytes": len(tensor), "problem": problem})
                sys.stdout.buffer.write(head.encode() + b"\n" + tensor)
            return 0
        if options.command == "times":
            from enclave_function import times  # noqa: PLC0415 -- with numpy, which bundles do not need

            for seconds in times.of_models(options.model, options.rounds):
                print(json.dumps(seconds))
            return 0
        if options.command == "build":
            vendor = VendorTarget.parse(options.vendor) if options.vendor else None
            info = build(options.model, options.out, vendor=vendor)
        elif options.command == "encrypt":
            sealed = _encrypt(options)
            print(json.dumps(dataclasses.asdict(sealed), indent=None if options.json else 2))
            return 0
        else:
            info = inspect(options.file)
    except BundleError as error:
        print(f"error: {error} {error.next_step}", file=sys.stderr)
        return 1
    print(json.dumps(dataclasses.asdict(info)) if options.json else _text(info))
    return 0


def _encrypt(options: argparse.Namespace) -> SealedBundle:
    if str(options.key) == "-":
        return encrypt(options.file, options.out, read_key(sys.stdin.buffer))
    try:
        with opened(options.key) as file:
            key = read_key(file)
    except OSError as error:
        raise BundleError(f"{options.key} cannot be read: {error.strerror}.", "Check the path.") from error
    return encrypt(options.file, options.out, key, key_file=options.key)


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
    parser = argparse.ArgumentParser(prog=program("enclave_function"), description="The deployed function's bundle.")
    groups = parser.add_subparsers(required=True, metavar="COMMAND")
    asking = groups.add_parser("answers", help="what the function answers to images, all classes, one JSON a line")
    asking.set_defaults(command="answers")
    giving = groups.add_parser(
        "inputs",
        help="what the function gives the model for images: for each a line of JSON, and the bytes of its tensor",
    )
    giving.set_defaults(command="inputs")
    for action in (asking, giving):
        action.add_argument("--model", type=a_path, required=True, metavar="DIR", help="model directory")
        action.add_argument("files", type=a_path, nargs="+", metavar="IMAGE")
    timing = groups.add_parser("times", help="processor seconds of models in turn, a JSON array for each round")
    timing.set_defaults(command="times")
    timing.add_argument("--model", type=a_path, required=True, action="append", metavar="DIR", help="may be repeated")
    timing.add_argument("--rounds", type=int, default=12, metavar="N", help="number of rounds (default 12)")
    commands = groups.add_parser("bundle", help="build, inspect or encrypt a bundle")
    actions = commands.add_subparsers(required=True, dest="command", metavar="build|inspect|encrypt")

    making = actions.add_parser("build", help="make the deterministic zip of function and model")
    making.add_argument("--model", type=a_path, required=True, metavar="DIR", help="model directory, or a file in it")
    making.add_argument("--out", type=a_path, required=True, metavar="FILE", help="bundle to write, such as bundle.zip")
    making.add_argument(
        "--vendor",
        metavar="TARGET",
        help="add numpy, onnxruntime and Pillow: python=3.11,platform=manylinux_2_28_x86_64",
    )
    reading = actions.add_parser("inspect", help="print a bundle's checksum, model and contents")
    reading.add_argument("file", type=a_path, metavar="FILE")
    sealing = actions.add_parser("encrypt", help="encrypt a bundle whose model is secret, for attested enclaves")
    sealing.add_argument("file", type=a_path, metavar="FILE", help="the bundle")
    sealing.add_argument("--out", type=a_path, required=True, metavar="FILE", help="encrypted bundle to write")
    sealing.add_argument(
        "--key",
        type=a_path,
        required=True,
        metavar="FILE",
        help="answer of `aws kms generate-data-key`, as JSON; - is standard input, so that no disk holds it",
    )
    for action in (making, reading, sealing):
        action.add_argument("--json", action="store_true", help="print JSON")
    return parser
