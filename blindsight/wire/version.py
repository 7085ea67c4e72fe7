"""The version of the protocol between gateway and enclave, which both state in the evidence exchange.

Nothing is encrypted before evidence is verified, so no other frame needs the version. A peer that states none speaks
version 1, like 0.1.0. Later releases can add members within a version; a change in a frame's meaning requires a new
version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from blindsight.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION: Final = 1
MEMBER: Final = "version"


def check(fields: Mapping[str, Any]) -> None:
    """Raise `TransportError` (`unsupported_protocol`) if the peer's payload states another version."""
    stated = fields.get(MEMBER, VERSION)
    if type(stated) is not int or stated != VERSION:
        raise unsupported()


def unsupported() -> TransportError:
    """The error for peers with different protocol versions."""
    return TransportError("unsupported_protocol", "Gateway and enclave speak different versions of their protocol.")
