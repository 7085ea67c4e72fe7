"""What a kind of evidence means, in a line."""

from __future__ import annotations

from typing import Final

_MEANING: Final = {
    "nitro": "Nitro: signed under the root that the policy names for Nitro enclaves",
    "simulated": "SIMULATED: it proves nothing about the host",
    "qemu-nitro-enclave": "EMULATED ENCLAVE (QEMU): the evidence is unsigned and proves nothing",
}


def meaning(kind: str) -> str:
    """A line on `kind`, which may be a newer gateway's."""
    return _MEANING.get(kind, f"{kind}, a kind that is not known here")
