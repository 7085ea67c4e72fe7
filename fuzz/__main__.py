"""`python -m fuzz run|seeds|table`."""

from __future__ import annotations

import argparse
import sys

from fuzz import registry, running


def main() -> int:
    """Run the command line. Returns 0, or 1 if a harness found something; argparse exits 2 for misuse."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run harnesses under atheris, one after the other")
    run.add_argument("target", nargs="*", help=f"which; all by default: {', '.join(registry.NAMES)}")
    run.add_argument("--seconds", type=float, default=60.0, help="of processor time, for each; 60 by default")
    commands.add_parser("seeds", help="write fuzz/seeds anew")
    commands.add_parser("table", help="print what was run so far, as a table")
    arguments = parser.parse_args()
    match arguments.command:
        case "run":
            if unknown := set(arguments.target) - set(registry.NAMES):
                parser.error(f"there is no harness {', '.join(sorted(unknown))}; there are {', '.join(registry.NAMES)}")
            return 0 if running.run(arguments.target or registry.NAMES, arguments.seconds) else 1
        case "seeds":
            _write_seeds()
        case _:
            print(running.table())
    return 0


def _write_seeds() -> None:
    for name in registry.NAMES:
        folder = registry.SEEDS / name
        folder.mkdir(parents=True, exist_ok=True)
        for path in registry.files(registry.SEEDS, name):
            path.unlink()
        for seed, content in registry.load(name).seeds().items():
            (folder / seed).write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
