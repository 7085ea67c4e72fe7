"""Policies of the tests' own enclaves, and policies like others but for something."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from blindsight.attestation import Policy, Release

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enclave_runtime.evidence.simulated import SimulatedProducer


def simulated_policy(
    producer: SimulatedProducer, pcrs: Mapping[int, bytes], function: bytes, model: bytes | None = None
) -> Policy:
    """A policy for this enclave alone. `function` is the checksum, `model` the digest; None accepts any model."""
    release = Release(
        kind="simulated",
        roots=frozenset({producer.root_fingerprint}),
        pcrs={index: frozenset({value.hex()}) for index, value in pcrs.items()},
        function_checksums=frozenset({function.hex()}),
        **({} if model is None else {"model_digests": frozenset({model.hex()})}),
    )
    return Policy(releases=(release,))


def changed(policy: Policy, **changes: Any) -> Policy:
    """`policy`, whose only release is changed."""
    (release,) = policy.releases
    return dataclasses.replace(policy, releases=(dataclasses.replace(release, **changes),))
