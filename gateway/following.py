"""Files that a running gateway follows, so that an operator replaces them without a restart."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)


async def follow(
    look: Callable[[], Awaitable[None]],
    *,
    seconds: float,
    event: str,
    refusals: tuple[type[Exception], ...],
    reason: Callable[[Exception], str] = str,
) -> None:
    """Call `look` every `seconds` until cancelled. What it raises ends nothing, and is logged as `event`.

    `refusals` are errors of the file: each is logged once with its `reason` for as long as it lasts.
    """
    refused = None
    while True:
        await asyncio.sleep(seconds)
        try:
            await look()
        except refusals as error:
            if str(error) != refused:
                _log.error(event, extra={"reason": reason(error)})
            refused = str(error)
        except Exception:  # noqa: BLE001 -- whatever it is
            # A mistake of ours must not end the watching: no recall or revocation would be in force.
            _log.exception(event)
        else:
            refused = None
