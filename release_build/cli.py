"""The command line of `python -m release_build make`; `blindsight release make` runs it, too."""

from __future__ import annotations

import argparse
import sys

from blindsight.arguments import a_path, program
from blindsight.errors import BlindsightError
from release_build.errors import ReleaseBuildError
from release_build.make import RELEASE_FILE, Inputs, make


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; `arguments` defaults to the process's.

    Prints a line `SHA256  NAME` for each artifact. Returns 0, or 1 with error and next step on standard error if the
    release cannot be built. Raises `SystemExit` (2) for invalid arguments.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.emulated and not options.eif:
        parser.error("--emulated has no effect without --eif: add an image, or leave it out")
    inputs = Inputs(
        options.model, tuple(options.bundle or ()), tuple(options.eif or ()), options.simulated_root, options.emulated
    )
    try:
        release = make(options.out, inputs)
    except (ReleaseBuildError, BlindsightError) as error:
        print(f"error: {error}\nnext:  {error.next_step}", file=sys.stderr)
        return 1
    lines = [f"{subject.sha256}  {subject.name}" for subject in release.subjects]
    print("\n".join([*lines, f"release {release.version}: {options.out / RELEASE_FILE}"]))
    if release.policy is None:
        print("The release file holds no policy: no enclave image was given.", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program("release_build"), description="Releases and their release files.")
    command = parser.add_subparsers(required=True, metavar="make").add_parser(
        "make", help="build every artifact of a release, and the release file"
    )
    command.add_argument("--out", type=a_path, required=True, metavar="DIR", help="new folder for the artifacts")
    function = command.add_mutually_exclusive_group(required=True)
    function.add_argument(
        "--model", type=a_path, metavar="DIR", help="build the function bundle of this model directory"
    )
    function.add_argument("--bundle", type=a_path, metavar="FILE", action="append", help="bundle; may be repeated")
    command.add_argument(
        "--eif",
        type=a_path,
        metavar="FILE",
        action="append",
        help="enclave image, with the description that its builder wrote beside it; may be repeated",
    )
    command.add_argument(
        "--simulated-root",
        metavar="SHA256",
        help="accept simulated enclaves under this root, too: for trying things out, never for a release to rely on",
    )
    command.add_argument(
        "--emulated",
        action="store_true",
        help="accept images for QEMU's machine, too, whose evidence proves nothing",
    )
    return parser
