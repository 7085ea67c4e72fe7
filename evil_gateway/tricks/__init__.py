"""The registry of tricks, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from evil_gateway.tricks import answers, evidence, host

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evil_gateway.stage import Trick

TRICKS: Final[Mapping[str, Trick]] = {trick.name: trick for trick in (*evidence.TRICKS, *host.TRICKS, *answers.TRICKS)}
