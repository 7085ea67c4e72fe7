"""`python -m benchmarks.mutated`, or `make mutated`: mutated photos in all formats through gateway and enclave.

It ends with 1 if a worker ended, an image got an answer that is not documented for images, or a bound was broken.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from benchmarks import recorded
from benchmarks.mutated import campaign, pages
from benchmarks.mutated.mutations import mutated
from benchmarks.mutated.originals import of_photos
from benchmarks.soak.run import files

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

_MUTATED: Final = recorded.Recorded(
    "mutated", pages.RESULTS, pages.PAGE, pages.dumped, pages.text, lambda result: result["breaches"], pages.write
)


def main() -> int:
    """Run the campaign, print the tables, store the result. Returns the exit status."""
    options = _parser().parse_args()

    def measure(out: Path) -> dict[str, Any] | None:
        photos = files(options.photos)[: options.most_photos]
        if options.only is not None:
            _, mutation, data = mutated(options.seed, options.only, of_photos(photos))
            (out / f"{options.seed}-{options.only}").write_bytes(data)
            print(f"{mutation}: {out / f'{options.seed}-{options.only}'}")
            return None
        plan = campaign.Plan(options.images, options.seed, options.callers)
        model = options.model or campaign.imported(options.onnx, out / "model")
        return campaign.run(plan, model, photos, out, recorded.say)

    return _MUTATED.run(options, measure)


def _parser() -> argparse.ArgumentParser:
    parser = _MUTATED.parser(__doc__)
    parser.add_argument("--images", type=int, default=20_000, help="how many (default 20000)")
    parser.add_argument("--seed", default="1", help="the same seed gives the same images (default 1)")
    parser.add_argument("--only", type=int, metavar="N", help="send nothing: write image N of the seed to --out")
    parser.add_argument("--callers", type=int, default=6, help="images at a time (default 6)")
    parser.add_argument("--most-photos", type=int, default=8, help="photos that are used (default 8)")
    recorded.add_photos(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
