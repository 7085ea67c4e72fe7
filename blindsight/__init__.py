"""Confidential image classification: the protocol core and the caller's side.

    from blindsight import Client

`blindsight.client` describes the client; `blindsight.errors` and `blindsight.problems` what it raises.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blindsight.attestation import Policy, VerificationReport
    from blindsight.client import AsyncClient, Classification, Client, GatewayProblem, Prediction
    from blindsight.problems import Problem

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "Classification",
    "Client",
    "GatewayProblem",
    "Policy",
    "Prediction",
    "Problem",
    "VerificationReport",
    "__version__",
]

_HOMES = {
    "blindsight.attestation": ("Policy", "VerificationReport"),
    "blindsight.client": ("AsyncClient", "Classification", "Client", "GatewayProblem", "Prediction"),
    "blindsight.problems": ("Problem",),
}


def __getattr__(name: str) -> object:
    # On first use: enclave and workers import this package, too, and need no HTTP client.
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
