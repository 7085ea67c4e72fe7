"""Selection of the evidence producer by the command line and the files of this tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from blindsight.attestation.claims import CLAIMS_PCR, expected_pcr16, pcr16_extension
from blindsight.errors import ProducerError
from enclave_runtime.evidence.measure import measurements

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enclave_runtime.evidence.producer import EvidenceProducer
    from enclave_runtime.evidence.simulated import SimulatedProducer
    from enclave_runtime.variants import Variant

Evidence = Literal["simulated", "nsm"]

NAMES: Final[tuple[Evidence, ...]] = ("simulated", "nsm")


def producer(evidence: Evidence, state: Path, variant: Variant) -> EvidenceProducer:
    """The producer for `nsm` uses the device, which measures itself, and does not use `state`. Raises
    `ProducerError`.
    """
    if evidence == "nsm":
        from enclave_runtime.evidence.nsm import NsmProducer  # noqa: PLC0415 -- ctypes, which no simulation needs

        return NsmProducer()
    return simulated(state, variant)


def simulated(state: Path, variant: Variant, measured: Mapping[int, bytes] | None = None) -> SimulatedProducer:
    """A producer for this tree's files. `measured`: the result of `measurements(variant)`, which otherwise is called.

    Raises `ProducerError`, `simulator_absent` if the tree has no simulator.
    """
    try:
        from enclave_runtime.evidence.simulated import SimulatedProducer  # noqa: PLC0415 -- in no enclave image
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("enclave_runtime.evidence.simulated"):
            raise
        raise ProducerError(
            "simulator_absent", "This is an enclave image: it cannot make simulated evidence."
        ) from error
    return SimulatedProducer(state, measurements(variant) if measured is None else measured)


def bind(producer: EvidenceProducer, *, function: bytes, model: bytes) -> None:
    """Extend PCR 16 with function checksum and model digest, and lock it. Raises `ProducerError`.

    `pcr_used` if the register was already extended: evidence would then contain claims that are not measured.
    """
    producer.extend_pcr(CLAIMS_PCR, pcr16_extension(function, model))
    producer.lock_pcr(CLAIMS_PCR)
    # What documents list from now on.
    if producer.pcrs[CLAIMS_PCR] != expected_pcr16(function, model):
        raise ProducerError("pcr_used", f"PCR {CLAIMS_PCR} was extended by another program.")
