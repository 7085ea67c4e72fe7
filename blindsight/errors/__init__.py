"""Everything Blindsight raises on purpose.

    BlindsightError                 .code .next_step .retryable
    ├── EvidenceError               .step: the verification step that refused
    │   ├── EvidenceFormatError     steps 1-2: not a well-formed attestation document
    │   ├── EvidenceChainError      steps 3-4: not from a pinned root, or not valid at that time
    │   ├── EvidenceSignatureError  step 5
    │   ├── EvidenceDebugError      step 6: an enclave whose memory its host can read
    │   ├── EvidenceMeasurementError  step 7: other code than the policy accepts, or no longer accepted
    │   ├── EvidenceClaimsError     steps 8-9, 11: another function, model or key than accepted or attested
    │   └── EvidenceFreshnessError  step 10: not made for this caller, now
    ├── PolicyError                 a policy that must not be used
    ├── ProducerError               an enclave that cannot make evidence
    ├── KmsError                    a secret that the key management service did not release, or a policy for it
    ├── CapeError                   .status: a request in Cape's protocol that is refused
    ├── OwnerError                  a Cape Key of another owner than it should be
    ├── LocalTrustError             trust in this machine's stack that would go beyond this machine
    ├── SealingError                a message that cannot be opened
    ├── ReceiptError                a receipt that proves nothing
    ├── ReleaseError                a release file that says nothing, or an artifact that is not the released one
    ├── EifError                    an enclave image that is not well-formed, or not signed as it says
    ├── ConversionError             a photo that was not turned into a format that an enclave takes; nothing was sent
    ├── ProxyError                  a proxy that must not be used so; nothing was sent
    ├── AddressError                an address of a service that cannot be used
    ├── Problem                     an RFC 9457 problem, the enclave's or a gateway's (`blindsight.problems`)
    └── TransportError              the other side was not reached; safe to retry

`code` is stable and for programs, the message is for people, `next_step` says what to do now. Each class lists its
codes in `NEXT_STEPS`; a code outside that table is a programming error. No message quotes secrets, images or answers.
"""

from __future__ import annotations

from blindsight.errors.accounts import CapeError, LocalTrustError, OwnerError
from blindsight.errors.artifacts import EifError, ReleaseError
from blindsight.errors.base import BlindsightError
from blindsight.errors.enclave import KmsError, ProducerError
from blindsight.errors.evidence import (
    EvidenceChainError,
    EvidenceClaimsError,
    EvidenceDebugError,
    EvidenceError,
    EvidenceFormatError,
    EvidenceFreshnessError,
    EvidenceMeasurementError,
    EvidenceSignatureError,
    PolicyError,
)
from blindsight.errors.messages import ReceiptError, SealingError
from blindsight.errors.photos import ConversionError
from blindsight.errors.transport import AddressError, ProxyError, TransportError

__all__ = [
    "AddressError",
    "BlindsightError",
    "CapeError",
    "ConversionError",
    "EifError",
    "EvidenceChainError",
    "EvidenceClaimsError",
    "EvidenceDebugError",
    "EvidenceError",
    "EvidenceFormatError",
    "EvidenceFreshnessError",
    "EvidenceMeasurementError",
    "EvidenceSignatureError",
    "KmsError",
    "LocalTrustError",
    "OwnerError",
    "PolicyError",
    "ProducerError",
    "ProxyError",
    "ReceiptError",
    "ReleaseError",
    "SealingError",
    "TransportError",
]
