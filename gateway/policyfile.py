"""The gateway's policy file, which a running gateway follows: an operator rolls out a release without a restart.

A new policy is in force for all enclaves at once. A file that is unreadable, invalid or expired changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from blindsight.attestation import matching
from blindsight.errors import PolicyError
from gateway.audit import facts
from gateway.following import follow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from blindsight.attestation.policy import Policy
    from gateway.audit.log import Audit

_log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.5


class PolicyFile:
    """The policy in the file `path`. `in_force` is the last one that was valid."""

    def __init__(self, path: Path, audit: Audit) -> None:
        """Reads the file. Raises `PolicyError`; an expired policy is read, and refuses everything.

        `audit` is told of each new policy.
        """
        self._path = path
        self._audit = audit
        self.in_force, self._digest = facts.load_policy(path)

    def note(self) -> None:
        """Tell the audit log which policy is in force."""
        self._audit.note("policy.loaded", subject=self._digest, details=facts.policy(self.in_force))

    async def watch(self, use: Callable[[Policy], None]) -> None:
        """Read the file again and again, and call `use` with each new policy, until cancelled."""

        async def look() -> None:
            policy, digest = await asyncio.to_thread(facts.load_policy, self._path)
            if policy != self.in_force:
                matching.check_policy(policy, at=datetime.now(UTC))
                self._take(policy, digest, use)

        await follow(
            look, seconds=_LOOK_SECONDS, event="policy file not read again", refusals=(PolicyError, OSError),
            reason=_reason,
        )  # fmt: skip

    def _take(self, policy: Policy, digest: str, use: Callable[[Policy], None]) -> None:
        added = [each for each in policy.releases if each not in self.in_force.releases]
        removed = [each for each in self.in_force.releases if each not in policy.releases]
        # First of all: what fails after it must not keep the new policy from being in force.
        use(policy)
        self.in_force, self._digest = policy, digest
        _log.info("policy changed", extra={"added": len(added), "removed": len(removed)})
        self.note()


def _reason(error: Exception) -> str:
    return f"{error} {error.next_step}" if isinstance(error, PolicyError) else type(error).__name__
