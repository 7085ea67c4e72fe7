"""The exceptions of Blindsight.

    BlindsightError                 .code .next_step .retryable
    ├── EvidenceError               .step: the verification step that refused
    │   ├── EvidenceFormatError     steps 1-2: not a well-formed attestation document
    │   ├── EvidenceChainError      steps 3-4: not from a pinned root, or not valid at that time
    │   ├── EvidenceSignatureError  step 5
    │   ├── EvidenceDebugError      step 6: an enclave whose memory its host can read
    │   ├── EvidenceMeasurementError  step 7: other code than the policy accepts, or no longer accepted
    │   ├── EvidenceClaimsError     steps 8-9, 11: another function, model or key than accepted or attested
    │   └── EvidenceFreshnessError  step 10: not a fresh document for this caller
    ├── PolicyError                 an invalid or expired policy
    ├── ProducerError               the enclave cannot produce evidence
    ├── KmsError                    the key management service did not release a secret, or a key policy is invalid
    ├── CapeError                   .status: a request in Cape's protocol was refused
    ├── OwnerError                  a Cape Key belongs to an unexpected owner
    ├── LocalTrustError             local trust would extend beyond this machine
    ├── SealingError                a message cannot be decrypted
    ├── ReceiptError                a receipt does not match
    ├── ReleaseError                a release file is invalid, or an artifact differs from the released one
    ├── EifError                    an enclave image is malformed, or its signature is invalid
    ├── ConversionError             a photo was not converted to an accepted format; nothing was sent
    ├── ProxyError                  a proxy must not be used in this way; nothing was sent
    ├── AddressError                an invalid or unusable service address
    ├── Problem                     an RFC 9457 problem, the enclave's or a gateway's (`blindsight.problems`)
    └── TransportError              the other side was not reached; safe to retry

`code` is stable and for programs, the message is for people, `next_step` is the recommended action. Each class lists
its codes in `NEXT_STEPS`; a code outside that table is a programming error. No message quotes secrets, images or
answers.
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
