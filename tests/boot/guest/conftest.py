"""The confinement's own fixtures."""

from __future__ import annotations

from tests.enclave_runtime.confinement.conftest import machine

__all__ = ["machine"]
