"""The policy of a release: it accepts every enclave that the release measures, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import blindsight
from blindsight.attestation.policy import Policy
from blindsight.attestation.release import Release
from blindsight.attestation.roots import AWS_NITRO_ROOT_G1

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blindsight.release_file import Function, Measurement

_AWS: Final = frozenset({AWS_NITRO_ROOT_G1})


def accepting(
    functions: Iterable[Function], measurements: Iterable[Measurement], simulated_root: str | None
) -> Policy | None:
    """Accept what was measured; simulated enclaves only under the root that is given. None if nothing is left.

    Raises `PolicyError` for a root that is no SHA-256.
    """
    models = {function.function_checksum: function.model_digest for function in functions}
    releases = []
    for measured in measurements:
        if measured.kind == "simulated" and simulated_root is None:
            continue
        roots = frozenset({simulated_root}) if measured.kind == "simulated" and simulated_root else _AWS
        releases.append(
            Release(
                kind=measured.kind,
                name=f"blindsight {blindsight.__version__} {measured.variant}",
                version=blindsight.__version__,
                pcrs={index: frozenset({value}) for index, value in measured.pcrs.items()},
                function_checksums=frozenset({measured.function}),
                model_digests=frozenset({models[measured.function]}),
                roots=roots,
            )
        )
    return Policy(releases=tuple(releases)) if releases else None
