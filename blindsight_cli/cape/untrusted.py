"""Advice if `cape` does not trust a stack on this machine, which has its own root and TLS authority."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from blindsight.errors import BlindsightError
from blindsight_cli.local_trust import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blindsight_cli.cape.context import Context


def advice(error: BaseException, context: Context) -> str:
    """The text to append to `error`; empty if another host, another reason, or a given root is the cause.

    It is appended to the same line, because pycape's `experimental.cli` shows no other.
    """
    if not any(map(_is_distrust, _causes(error))):
        return ""
    settings = context.settings
    if settings.attestation_root or not environment.is_local(settings.enclave_host):
        return ""
    return "; if the stack is this machine's own, run `blindsight with-local-trust cape …`"


def _is_distrust(error: BaseException) -> bool:
    """Whether the TLS authority or the root of the evidence is unknown."""
    if isinstance(error, BlindsightError):
        return error.code == "root_not_pinned"
    return isinstance(error, ssl.SSLCertVerificationError)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
