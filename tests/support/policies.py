"""Policies like others, but for something."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blindsight.attestation import Policy


def changed(policy: Policy, **changes: Any) -> Policy:
    """`policy`, whose only release is changed."""
    (release,) = policy.releases
    return dataclasses.replace(policy, releases=(dataclasses.replace(release, **changes),))
