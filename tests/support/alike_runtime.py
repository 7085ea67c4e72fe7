"""`python -m tests.support.alike_runtime serve …`: the runtime as it is, but the ids of its first keys are not random.

They are the lowest, so all such enclaves have the same. Random ids of one byte are sometimes the same, too.
"""

from __future__ import annotations

import secrets
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from enclave_runtime import commands, keys

if TYPE_CHECKING:
    from collections.abc import Sequence


class FirstLowest(secrets.SystemRandom):
    """Chance that takes the lowest, once."""

    used = False

    def sample(self, population: Sequence[Any], k: int, *, counts: object = None) -> list[Any]:
        assert counts is None
        if FirstLowest.used:
            return super().sample(population, k)
        FirstLowest.used = True
        return sorted(population)[:k]


if __name__ == "__main__":
    keys.secrets = SimpleNamespace(SystemRandom=FirstLowest)  # type: ignore[attr-defined]
    sys.exit(commands.main())
