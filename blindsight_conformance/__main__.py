"""`python -m blindsight_conformance`: generates or runs the cases. Exit statuses: vectors/attestation/README.md."""

from __future__ import annotations

import argparse
import shlex
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from blindsight.arguments import a_path
from blindsight_conformance import genuine, manifest, runner, table, verifiers
from blindsight_conformance.verifiers import FOREIGNS, UnavailableError, Verifier

if TYPE_CHECKING:
    from pathlib import Path

    from blindsight_conformance.book import Case

AGREES, DISAGREES, UNUSABLE, UNAVAILABLE = 0, 1, 2, 3


def main() -> int:
    """Run the command line, and return the exit status. argparse exits 2 for misuse."""
    parser = argparse.ArgumentParser(prog="python -m blindsight_conformance", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("generate", help="write vectors/attestation anew")
    run = commands.add_parser("run", help="all cases on both of this project's verifiers, or on those that are named")
    names = ["python", "typescript", *(foreign.name for foreign in FOREIGNS)]
    run.add_argument("--verifier", action="append", choices=names, help="may be given several times")
    run.add_argument("--exec", metavar="COMMAND", help="a verifier of your own, which speaks the protocol")
    run.add_argument("--all", action="store_true", help="cases of this project's own policies, too, for --exec")
    foreign = commands.add_parser("foreign", help="what published verifiers of others let through")
    foreign.add_argument("--write", metavar="FILE", type=a_path, help="put the tables into this page")
    arguments = parser.parse_args()
    if arguments.command == "generate":
        manifest.write()
        return AGREES
    try:
        cases, roots = manifest.load(), manifest.roots()
    except (OSError, ValueError, KeyError) as error:
        print(f"vectors/attestation cannot be used: {error}", file=sys.stderr)
        return UNUSABLE
    if arguments.command == "foreign":
        return _foreign([case for case in cases if case.scope == "document"], roots, arguments.write)
    folder = genuine.folder()
    everything = [*cases, *(genuine.cases(folder, datetime.now(UTC)) if folder else [])]
    if arguments.exec:
        asked = everything if arguments.all else [case for case in cases if case.scope == "document"]
        return _compared(asked, roots, [Verifier("yours", tuple(shlex.split(arguments.exec)))])
    try:
        chosen = [_verifier(name) for name in arguments.verifier or ("python", "typescript")]
    except UnavailableError as error:
        print(f"Not run: {error}.", file=sys.stderr)
        return UNAVAILABLE
    if not folder:
        print("Without genuine documents: BLINDSIGHT_ASSETS names no folder with them.")
    return _compared(everything, roots, chosen)


def _compared(cases: list[Case], roots: dict[str, str], chosen: list[Verifier]) -> int:
    results = [runner.run(verifier, cases, roots) for verifier in chosen]
    count = sum(len(result.disagreements) for result in results)
    print(table.by_group(cases, results))
    print(table.disagreements(cases, results), end="")
    print(f"{len(cases)} cases, {count} disagreements.")
    return DISAGREES if count else AGREES


def _foreign(cases: list[Case], roots: dict[str, str], page: Path | None) -> int:
    results = []
    for foreign in FOREIGNS:
        try:
            results.append(runner.run(foreign.prepared(), cases, roots))
        except UnavailableError as error:
            print(f"{foreign.name}: skipped: {error}", file=sys.stderr)
    if not results:
        return UNAVAILABLE
    text = table.markdown(cases, results, FOREIGNS)
    if page is None:
        print(text)
        return AGREES
    before, _, rest = page.read_text("utf-8").partition(table.BEGIN)
    _, _, after = rest.partition(table.END)
    page.write_text(f"{before}{table.BEGIN}\n\n{text}\n{table.END}{after}", encoding="utf-8")
    return AGREES


def _verifier(name: str) -> Verifier:
    if name == "python":
        return verifiers.python()
    if name == "typescript":
        return verifiers.typescript()
    return next(foreign for foreign in FOREIGNS if foreign.name == name).prepared()


if __name__ == "__main__":
    sys.exit(main())
