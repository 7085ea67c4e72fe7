"""`python -m benchmarks.soak`, or `make soak`: a stack at saturation for half an hour.

It ends with 1 if a bound is broken, an answer was wrong, or an error came that is not documented.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from benchmarks import recorded
from benchmarks.soak import pages, run

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

WARM_UP_SHARE: Final = 0.25
_SOAK: Final = recorded.Recorded(
    "soak", pages.RESULTS, pages.PAGE, pages.dumped, pages.text, lambda result: result["breaches"], pages.write
)


def main() -> int:
    """Run the soak, print the table, store the result. Returns the exit status."""
    options = _parser().parse_args()

    def measure(out: Path) -> dict[str, Any]:
        plan = run.Plan(
            seconds=options.seconds,
            warm_up=options.seconds * WARM_UP_SHARE if options.warm_up is None else options.warm_up,
            window=min(run.WINDOW_SECONDS, options.seconds / 8),
            every=options.every,
        )
        model = options.model or run.imported(options.onnx, out / "model")
        return run.soak(plan, model, run.files(options.photos), out, recorded.say)

    return _SOAK.run(options, measure)


def _parser() -> argparse.ArgumentParser:
    parser = _SOAK.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0, help="with the warm-up (default 1800)")
    parser.add_argument("--warm-up", type=float, help="seconds before the first window (default a quarter)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between samples (default 5)")
    recorded.add_photos(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
