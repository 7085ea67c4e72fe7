"""Confidential image classification: the protocol core and the client.

    from blindsight import Client

`blindsight.client` documents the client, `blindsight.errors` and `blindsight.problems` the exceptions.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blindsight.attestation import Policy, VerificationReport
    from blindsight.attestation.recipient import Recipient
    from blindsight.client import AsyncClient, Classification, Client, GatewayProblem, Prediction
    from blindsight.errors import (
        BlindsightError,
        EvidenceError,
        PolicyError,
        ReceiptError,
        SealingError,
        TransportError,
    )
    from blindsight.problems import Problem

__version__ = "0.2.0"

__all__ = [
    "AsyncClient",
    "BlindsightError",
    "Classification",
    "Client",
    "EvidenceError",
    "GatewayProblem",
    "Policy",
    "PolicyError",
    "Prediction",
    "Problem",
    "ReceiptError",
    "Recipient",
    "SealingError",
    "TransportError",
    "VerificationReport",
    "__version__",
]

_HOMES = {
    "blindsight.attestation": ("Policy", "VerificationReport"),
    "blindsight.attestation.recipient": ("Recipient",),
    "blindsight.client": ("AsyncClient", "Classification", "Client", "GatewayProblem", "Prediction"),
    "blindsight.errors": (
        "BlindsightError",
        "EvidenceError",
        "PolicyError",
        "ReceiptError",
        "SealingError",
        "TransportError",
    ),
    "blindsight.problems": ("Problem",),
}


def __getattr__(name: str) -> object:
    # On first use: enclave and workers import this package, too, and need no HTTP client.
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
