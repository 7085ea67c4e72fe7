"""The policy of a release, which accepts exactly the enclaves that the release file measures (docs/policy.md)."""

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
    """A policy with one release for each accepted measurement; None if no measurement is accepted.

    Measurements of kind `nitro` are accepted. Simulated ones are accepted only with `simulated_root`, the SHA-256 of a
    root certificate in hexadecimal; those of QEMU's machine only if `emulated`. Raises `PolicyError` for a root of
    another form, `KeyError` for a measurement of a function that is not among `functions`.
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
