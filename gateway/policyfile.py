"""The gateway's policy file, which a running gateway follows: an operator rolls out a release without a restart.

A new policy is in force for all enclaves at once. A file that is unreadable, invalid or expired changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from blindsight.attestation import matching
from blindsight.attestation.policy import Policy
from blindsight.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.5


class PolicyFile:
    """The policy in the file `path`. `in_force` is the last one that was valid."""

    def __init__(self, path: Path) -> None:
        """Reads the file. Raises `PolicyError`; an expired policy is read, and refuses everything."""
        self._path = path
        self.in_force = Policy.load(path)

    async def watch(self, use: Callable[[Policy], None]) -> None:
        """Read the file again and again, and call `use` with each new policy, until cancelled."""
        refused = None
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                policy = await asyncio.to_thread(Policy.load, self._path)
                if policy != self.in_force:
                    matching.check_policy(policy, at=datetime.now(UTC))
            except PolicyError as error:
                if str(error) != refused:
                    _log.error("policy file not read again", extra={"reason": f"{error} {error.next_step}"})
                refused = str(error)
                continue
            refused = None
            if policy != self.in_force:
                self._take(policy, use)

    def _take(self, policy: Policy, use: Callable[[Policy], None]) -> None:
        added = [each for each in policy.releases if each not in self.in_force.releases]
        removed = [each for each in self.in_force.releases if each not in policy.releases]
        self.in_force = policy
        _log.info("policy changed", extra={"added": len(added), "removed": len(removed)})
        use(policy)
