"""What the runtime needs of whatever makes its evidence: the Nitro security module, or its simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from blindsight.errors import ProducerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blindsight.attestation.roots import EvidenceKind

MAX_NONCE_BYTES = 512
MAX_USER_DATA_BYTES = 1024
MAX_PUBLIC_KEY_BYTES = 1024
"""What AWS documents (attestation_process.md, section 3.2.2.2), but for user data: it says 512 there and 1024 in its
CDDL, and genuine documents with a Cape Key carry 746."""


class EvidenceProducer(Protocol):
    """Makes attestation documents. Implementations are thread-safe."""

    @property
    def kind(self) -> EvidenceKind: ...

    @property
    def pcrs(self) -> Mapping[int, bytes]:
        """The registers that a document made now would list: index to 48 bytes."""
        ...

    def extend_pcr(self, index: int, data: bytes) -> bytes:
        """Set an unlocked register to SHA-384(old value || `data`) and return that. Raises `ProducerError`."""
        ...

    def lock_pcr(self, index: int) -> None:
        """Make a register final; from then on documents list it. Raises `ProducerError`."""
        ...

    def attest(self, *, nonce: bytes | None, user_data: bytes | None, public_key: bytes | None) -> bytes:
        """Sign a document with these fields, verbatim. Raises `ProducerError` `attestation_input_too_large`."""
        ...


def check_inputs(*, nonce: bytes | None, user_data: bytes | None, public_key: bytes | None) -> None:
    """Refuse what no device is sure to take. Raises `ProducerError` `attestation_input_too_large`."""
    for name, value, limit in (
        ("nonce", nonce, MAX_NONCE_BYTES),
        ("user_data", user_data, MAX_USER_DATA_BYTES),
        ("public_key", public_key, MAX_PUBLIC_KEY_BYTES),
    ):
        if value is not None and len(value) > limit:
            raise ProducerError("attestation_input_too_large", f"{name} has {len(value)} bytes, at most {limit} fit.")
