"""The pinned roots of trust, by SHA-256 of the certificate's DER bytes.

Only the fingerprint is stored: every document contains the certificate itself, which must match.
"""

from __future__ import annotations

from typing import Final, Literal

EvidenceKind = Literal["nitro", "simulated", "qemu-nitro-enclave"]
"""Evidence signed by Nitro hardware, by a simulation, or the unsigned evidence of QEMU's machine."""

EMULATED: Final = "qemu-nitro-enclave"
"""Evidence of QEMU's `nitro-enclave` machine (`blindsight.attestation.emulated`), which is unsigned."""

AWS_NITRO_ROOT_G1 = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
"""CN=aws.nitro-enclaves, P-384, 2019-10-28 to 2049-10-28. China and GovCloud have roots of their own."""

NOT_FINGERPRINTS = {
    "8cf60e2b2efca96c6a9e71e851d00c1b6991cc09eadbe64a6a1d1b1eb9faff7c": "the ZIP file that AWS publishes the root in",
    "6eb9688305e4bbca67f44b59c29a0661ae930f09b5945b5d1d9ae01125c8d6c0": "the root's PEM file",
}
"""SHA-256 values that get pinned by mistake. The first is the one that AWS's documentation prints."""

SIMULATED_ROOT_NAME = "blindsight.simulated"
"""Common name of every simulated root, so that a policy that lists one as genuine is refused."""
