"""The enclave's statement about its confinement of untrusted code, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def describe(told: Mapping[str, Any]) -> str:
    """The gaps, if there are any. Otherwise the layers in force, and those that this machine lacks, with the reasons.

    `told` has the members of `/info`'s `confinement`: `layers`, `absent` and `gaps`. Only all layers are "complete".
    """
    if gaps := "; ".join(map(str, told.get("gaps", ()))):
        return gaps
    layers = ", ".join(map(str, told.get("layers", ())))
    absent = told.get("absent")
    if not isinstance(absent, dict) or not absent:
        return f"complete: {layers}"
    return f"{layers}; without {', '.join(f'{layer} ({reason})' for layer, reason in absent.items())}"
