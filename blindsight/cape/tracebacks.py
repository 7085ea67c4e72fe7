"""Tracebacks of tested code, encrypted to the sender of the test's input, so that the host cannot read them.

An error frame has, besides `error`, the member `traceback`: base64 of ChaCha20-Poly1305 over its UTF-8 text, with no
associated data and a nonce of zeros. The key is exported from the HPKE context of the input (RFC 9180, section 5.3), so
it is used once.
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from blindsight import strict_base64
from blindsight.cape.messages import b64
from blindsight.errors import CapeError
from blindsight.sealing import hpke

if TYPE_CHECKING:
    from blindsight.sealing.hpke import RecipientContext, SenderContext

MAX_BYTES: Final = 16_000
"""Maximum length of a traceback; of a longer one only the end is sent."""

_CONTEXT: Final = b"blindsight cape traceback"
_KEY_BYTES: Final = 32


def key_of(context: RecipientContext | SenderContext) -> bytes:
    """The key for the traceback of an input, 32 bytes, exported from the input's HPKE `context`."""
    return context.export(_CONTEXT, _KEY_BYTES)


def sealed(key: bytes, text: bytes) -> str:
    """The member `traceback` of an error frame."""
    return b64(ChaCha20Poly1305(key).encrypt(bytes(hpke.N_NONCE), text[-MAX_BYTES:], None))


def opened(key: bytes, member: object) -> str:
    """Decrypt the member `traceback`; empty if there is none. Raises `CapeError` (`refused`) if it belongs to another
    input.
    """
    if member is None:
        return ""
    try:
        sealed = strict_base64.decode(member if isinstance(member, str) else "")
        return ChaCha20Poly1305(key).decrypt(bytes(hpke.N_NONCE), sealed, None).decode(errors="replace")
    except (binascii.Error, InvalidTag, ValueError) as error:
        raise CapeError("refused", "the traceback is not the enclave's") from error
