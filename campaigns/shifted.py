"""The gateway with another clock for the verification of evidence: `python -m campaigns.shifted FILE serve`.

The verifier takes the time from its caller. Here that caller's clock is ahead by as many seconds as FILE says, or
behind by as many as a negative number there says. Neither the machine's clock nor another module's is changed.
"""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from datetime import tzinfo

_FILE = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()


class Shifted(datetime.datetime):
    """`datetime` whose `now` is shifted."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        shift = datetime.timedelta(seconds=float(_FILE.read_text()))
        return super().now(tz) + shift


def main() -> int:
    """Run the gateway. Returns its exit status."""
    from gateway import __main__ as gateway  # noqa: PLC0415 -- its arguments are read first
    from gateway.enclave import attested  # noqa: PLC0415 -- likewise

    attested.datetime = Shifted  # type: ignore[attr-defined]  # where it verifies
    sys.argv = ["gateway", *sys.argv[2:]]
    return int(gateway.main() or 0)


if __name__ == "__main__":
    sys.exit(main())
