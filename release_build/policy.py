"""The policy of a release: it accepts every enclave that the release measures, and nothing else."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import blindsight
from blindsight.attestation.policy import Policy
from blindsight.attestation.release import Release
from blindsight.attestation.roots import EMULATED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blindsight.release_file import Function, Measurement


def accepting(
    functions: Iterable[Function],
    measurements: Iterable[Measurement],
    *,
    simulated_root: str | None = None,
    emulated: bool = False,
) -> Policy | None:
    """Accept what was measured. None if nothing is left. Raises `PolicyError` for a root that is not an SHA-256.

    Simulated enclaves are accepted only under the root that is given, images for QEMU's machine only if `emulated`.
    """
    models = {function.function_checksum: function.model_digest for function in functions}
    releases = []
    for measured in measurements:
        accepted = partial(
            Release,
            name=f"blindsight {blindsight.__version__} {measured.variant}",
            version=blindsight.__version__,
            pcrs={index: frozenset({value}) for index, value in measured.pcrs.items()},
            function_checksums=frozenset({measured.function}),
            model_digests=frozenset({models[measured.function]}),
        )
        if measured.kind == "nitro" or (measured.kind == EMULATED and emulated):
            releases.append(accepted(kind=measured.kind))
        elif measured.kind == "simulated" and simulated_root is not None:
            releases.append(accepted(kind="simulated", roots=frozenset({simulated_root})))
    return Policy(releases=tuple(releases)) if releases else None
