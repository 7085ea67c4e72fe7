"""What `soak`, `mutated` and `scale` have in common as commands: options, the result file, and the exit status."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

from benchmarks.processes import ROOT, StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Result = dict[str, Any]

ASSETS: Final = os.environ.get("BLINDSIGHT_ASSETS")


@dataclass(frozen=True)
class Recorded:
    """A measurement whose result is committed at `results`, and shown on `pages`.

    `breaches` lists the bounds that a result breaks, in words; `write` stores it in a source tree, with its pages.
    """

    name: str
    results: str
    pages: str
    dumped: Callable[[Result], str]
    text: Callable[[Result], str]
    breaches: Callable[[Result], Sequence[str]]
    write: Callable[[Result, Path], None]

    def parser(self, about: str | None) -> argparse.ArgumentParser:
        """A parser with the options that all of them have."""
        assets = Path(ASSETS) if ASSETS else None
        parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{self.name}", description=about)
        parser.add_argument("--model", type=Path, help="a model directory instead of --onnx")
        parser.add_argument(
            "--onnx",
            type=Path,
            default=assets and assets / "models" / "mobilenet_v2_imagenet.onnx",
            help="an ONNX classifier with imagenet_classes.txt beside it (default MobileNetV2 of $BLINDSIGHT_ASSETS)",
        )
        out = ROOT / "benchmarks" / "out" / self.name
        parser.add_argument("--out", type=Path, default=out, help="folder for results")
        parser.add_argument("--committed", action="store_true", help=f"run nothing: the results in {self.results}")
        parser.add_argument("--write-docs", action="store_true", help=f"write {self.results} and {self.pages}")
        return parser

    def run(self, options: argparse.Namespace, measure: Callable[[Path], Result | None]) -> int:
        """Measure into the folder that `measure` gets, or read what is committed; print and store it.

        Returns the exit status: 1 if it could not be measured, or a bound is broken. A measurement without a result has
        printed its own.
        """
        if not (options.committed or ((options.model or options.onnx) and getattr(options, "photos", True))):
            print(f"{self.name}: set BLINDSIGHT_ASSETS, or give the options in its place", file=sys.stderr)
            return 1
        try:
            result = self._committed() if options.committed else self._measured(options.out.resolve(), measure)
        except (StackError, OSError, psutil.Error) as error:
            print(f"{self.name}: {error}", file=sys.stderr)
            return 1
        if result is None:
            return 0
        print(self.text(result))
        broken = self.breaches(result)
        for breach in broken:
            print(f"BROKEN  {breach}", file=sys.stderr)
        if options.write_docs:
            self.write(result, ROOT)
        return 1 if broken else 0

    def _committed(self) -> Result:
        result: Result = json.loads((ROOT / self.results).read_text())
        return result

    def _measured(self, out: Path, measure: Callable[[Path], Result | None]) -> Result | None:
        out.mkdir(parents=True, exist_ok=True)
        result = measure(out)
        if result is not None:
            result["command"] = shlex.join(["python", "-m", f"benchmarks.{self.name}", *sys.argv[1:]])
            (out / f"{self.name}.json").write_text(self.dumped(result))
        return result


def add_photos(parser: argparse.ArgumentParser) -> None:
    """The option for a folder of photos."""
    default = Path(ASSETS, "images") if ASSETS else None
    parser.add_argument("--photos", type=Path, default=default, help="folder (default that of $BLINDSIGHT_ASSETS)")


def say(line: str) -> None:
    """Print progress."""
    print(line, file=sys.stderr, flush=True)
