"""`python -m benchmarks.mutated`, or `make mutated`: mutated photos in all formats through gateway and enclave.

It ends with 1 if a worker ended, an image got an answer that is not documented for images, or a bound was broken.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

import psutil

from benchmarks.mutated import campaign, pages
from benchmarks.mutated.mutations import mutated
from benchmarks.mutated.originals import of_photos
from benchmarks.processes import ROOT, StackError
from benchmarks.soak.run import files

ASSETS = os.environ.get("BLINDSIGHT_ASSETS")


def main() -> int:
    """Run the campaign, print the tables, store the result. Returns the exit status."""
    options = _parser().parse_args()
    if not (options.committed or (options.photos and (options.model or options.onnx))):
        print("mutated: set BLINDSIGHT_ASSETS, or give --photos and --model", file=sys.stderr)
        return 1
    out: Path = options.out.resolve()
    try:
        if options.committed:
            result = json.loads((ROOT / pages.RESULTS).read_text())
        else:
            out.mkdir(parents=True, exist_ok=True)
            photos = files(options.photos)[: options.most_photos]
            if options.only is not None:
                _, mutation, data = mutated(options.seed, options.only, of_photos(photos))
                (out / f"{options.seed}-{options.only}").write_bytes(data)
                print(f"{mutation}: {out / f'{options.seed}-{options.only}'}")
                return 0
            plan = campaign.Plan(options.images, options.seed, options.callers)
            model = options.model or campaign.imported(options.onnx, out / "model")
            result = campaign.run(plan, model, photos, out, _say)
            result["command"] = shlex.join(["python", "-m", "benchmarks.mutated", *sys.argv[1:]])
            (out / "mutated.json").write_text(pages.dumped(result))
    except (StackError, OSError, psutil.Error) as error:
        print(f"mutated: {error}", file=sys.stderr)
        return 1
    print(pages.text(result))
    for breach in result["breaches"]:
        print(f"BROKEN  {breach}", file=sys.stderr)
    if options.write_docs:
        pages.write(result, ROOT)
    return 1 if result["breaches"] else 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    assets = Path(ASSETS) if ASSETS else None
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutated", description=__doc__)
    parser.add_argument("--images", type=int, default=20_000, help="how many (default 20000)")
    parser.add_argument("--seed", default="1", help="the same seed gives the same images (default 1)")
    parser.add_argument("--only", type=int, metavar="N", help="send nothing: write image N of the seed to --out")
    parser.add_argument("--callers", type=int, default=6, help="images at a time (default 6)")
    parser.add_argument("--most-photos", type=int, default=8, help="photos that are used (default 8)")
    parser.add_argument("--model", type=Path, help="a model directory instead of --onnx")
    parser.add_argument(
        "--onnx",
        type=Path,
        default=assets and assets / "models" / "mobilenet_v2_imagenet.onnx",
        help="an ONNX classifier with imagenet_classes.txt beside it (default MobileNetV2 of $BLINDSIGHT_ASSETS)",
    )
    parser.add_argument(
        "--photos", type=Path, default=assets and assets / "images", help="folder (default that of $BLINDSIGHT_ASSETS)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out" / "mutated", help="folder for results")
    parser.add_argument("--committed", action="store_true", help=f"run nothing: the results in {pages.RESULTS}")
    parser.add_argument("--write-docs", action="store_true", help=f"write {pages.RESULTS} and {pages.PAGE}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
