"""The version of the protocol between gateway and enclave, which both state where evidence is asked for.

Nothing is sealed before evidence was verified, so no other frame needs it. A peer that states none speaks version 1:
what 0.1.0 spoke. Members may be added within a version; frames whose meaning changes need another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from blindsight.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION: Final = 1
MEMBER: Final = "version"


def check(fields: Mapping[str, Any]) -> None:
    """Raises `TransportError` (`unsupported_protocol`) if the peer's payload states another version."""
    stated = fields.get(MEMBER, VERSION)
    if type(stated) is not int or stated != VERSION:
        raise unsupported()


def unsupported() -> TransportError:
    """Gateway and enclave do not understand each other."""
    return TransportError("unsupported_protocol", "Gateway and enclave speak different versions of their protocol.")
