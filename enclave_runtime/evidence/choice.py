"""Which producer a runtime has: what its command line says, if this tree has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from blindsight.attestation.claims import CLAIMS_PCR, expected_pcr16, pcr16_extension
from blindsight.errors import ProducerError
from enclave_runtime.evidence.measure import measurements

if TYPE_CHECKING:
    from pathlib import Path

    from enclave_runtime.evidence.producer import EvidenceProducer
    from enclave_runtime.evidence.simulated import SimulatedProducer
    from enclave_runtime.variants import Variant

Evidence = Literal["simulated", "nsm"]

NAMES: Final[tuple[Evidence, ...]] = ("simulated", "nsm")


def producer(evidence: Evidence, state: Path, variant: Variant) -> EvidenceProducer:
    """`nsm`: the device's, which measures by itself and keeps nothing in `state`. Raises `ProducerError`."""
    if evidence == "nsm":
        from enclave_runtime.evidence.nsm import NsmProducer  # noqa: PLC0415 -- ctypes, which no simulation needs

        return NsmProducer()
    return simulated(state, variant)


def simulated(state: Path, variant: Variant) -> SimulatedProducer:
    """One that measures this tree's files. Raises `ProducerError`, `simulator_absent` where no tree has it."""
    try:
        from enclave_runtime.evidence.simulated import SimulatedProducer  # noqa: PLC0415 -- in no enclave image
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("enclave_runtime.evidence.simulated"):
            raise
        raise ProducerError(
            "simulator_absent", "This is an enclave image: it cannot make simulated evidence."
        ) from error
    return SimulatedProducer(state, measurements(variant))


def bind(producer: EvidenceProducer, *, function: bytes, model: bytes) -> None:
    """Measure function checksum and model digest into PCR 16, for good. Raises `ProducerError`.

    `pcr_used` if the register was not as after a boot: evidence would then name claims that nothing measures.
    """
    producer.extend_pcr(CLAIMS_PCR, pcr16_extension(function, model))
    producer.lock_pcr(CLAIMS_PCR)
    # What documents list from now on.
    if producer.pcrs[CLAIMS_PCR] != expected_pcr16(function, model):
        raise ProducerError("pcr_used", f"PCR {CLAIMS_PCR} was extended by another program.")
