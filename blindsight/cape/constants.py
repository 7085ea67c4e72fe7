"""Constants of Cape's protocol, and of behaviour that its clients do not determine."""

from __future__ import annotations

import re
from typing import Final

RUNTIME_SUBPROTOCOL: Final = "cape.runtime"
SUBPROTOCOLS: Final = (RUNTIME_SUBPROTOCOL, "cape.function")
"""First WebSocket subprotocol that a client offers; the second is its token. The server echoes only the first."""

PREFIX: Final = b"cape:"
"""Marks an encrypted value, at offset 0 and case-sensitive; and a deployed function, followed by raw bytes."""

MAX_FUNCTION_BYTES: Final = 1_000_000_000
"""Of a function's files, unpacked and packed: the limit that Cape's command line enforces."""

MAX_INPUT_BYTES: Final = 64 * 1024 * 1024
"""Of one encrypted input. Cape's clients have no limit; memory has."""

IDLE_SECONDS: Final = 60.0
"""A connection without data frames and running calls is closed after this time, with code 1000."""

HPKE_ENC_BYTES: Final = 32
"""An input consists of the encapsulated key (X25519) and the ciphertext; info and AAD are empty (RFC 9180, base
mode)."""

OWNER_KEY_BYTES: Final = 32
"""An Ed25519 public key, raw."""
CAPE_KEY_BITS: Final = 4096
RESULT_KEY_BITS: Final = 2048

USERNAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?")
"""GitHub's rule for logins. Names that differ only in case are equal."""

FUNCTION_NAME: Final = re.compile(r"(?!\.+$)[A-Za-z0-9_.-]{1,100}")
"""Not only dots, because URLs treat those as folders."""

TOKEN_EXPIRED: Final = "token is expired"  # noqa: S105 -- a message
"""Cape's command line recognises this text and tells its user to log in again."""
