"""The bundle: one zip with the function, its model and, on demand, the packages it needs.

info = build(Path("model"), Path("bundle.zip"), vendor=None)
assert inspect(Path("bundle.zip")) == info
info.checksum  # the function checksum, in the enclave's evidence
"""

from __future__ import annotations

from enclave_function.bundle.builder import build
from enclave_function.bundle.errors import BundleError
from enclave_function.bundle.reader import BundleInfo, Entry, ModelInfo, inspect
from enclave_function.bundle.vendor import VendorTarget

__all__ = ["BundleError", "BundleInfo", "Entry", "ModelInfo", "VendorTarget", "build", "inspect"]
