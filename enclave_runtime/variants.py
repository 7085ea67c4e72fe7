"""Variants of the enclave. `cape` hosts Cape functions beside the classifier; `classifier` has none of Cape's code.

A caller who only classifies need not trust what Cape's protocol takes. In that variant its code is not measured, so
that an image does without it, and cannot be loaded where it lies beside the rest. No image has what makes simulated
evidence, whatever its variant.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

Variant = Literal["cape", "classifier"]

NAMES: Final[tuple[Variant, ...]] = ("cape", "classifier")

_CAPES_FILES: Final = ("blindsight/cape/", "blindsight/wire/cape.py", "enclave_runtime/cape/")
_CAPES_MODULES: Final = ("blindsight.cape", "blindsight.wire.cape", "enclave_runtime.cape")

SIMULATOR: Final = ("enclave_runtime/evidence/simulated",)
"""How the names of files begin that make simulated evidence: in the source tree, and in no image."""


def left_out(variant: Variant) -> tuple[str, ...]:
    """How the names of first-party files begin that are no part of it."""
    return () if variant == "cape" else _CAPES_FILES


def keep_out(variant: Variant) -> None:
    """From now on, what is no part of it cannot be imported. Raises `RuntimeError` if it has been already."""
    if variant == "cape":
        return
    loaded = [name for name in sys.modules if _is_capes(name)]
    if loaded:
        raise RuntimeError(f"modules of another variant are loaded: {', '.join(sorted(loaded))}")
    sys.meta_path.insert(0, _NoCape())


class _NoCape(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if _is_capes(fullname):
            raise ModuleNotFoundError(f"{fullname} is no part of this enclave", name=fullname)
        return None


def _is_capes(name: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in _CAPES_MODULES)
