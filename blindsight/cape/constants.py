"""Constants of Cape's protocol, and of what Blindsight fixes where its clients leave it open."""

from __future__ import annotations

import re
from typing import Final

RUNTIME_SUBPROTOCOL: Final = "cape.runtime"
SUBPROTOCOLS: Final = (RUNTIME_SUBPROTOCOL, "cape.function")
"""First WebSocket subprotocol that a client offers; the second is its token. The first is echoed, alone."""

PREFIX: Final = b"cape:"
"""Marks an encrypted value, at offset 0 and case-sensitive; and a deployed function, where raw bytes follow."""

MAX_FUNCTION_BYTES: Final = 1_000_000_000
"""Of a function's files, unpacked and packed: the limit that Cape's command line enforces."""

MAX_INPUT_BYTES: Final = 64 * 1024 * 1024
"""Of one input as a client sends it, sealed. Cape's clients know no limit; memory does."""

IDLE_SECONDS: Final = 60.0
"""Without a data frame, and with nothing running, a connection is closed after this long, with code 1000."""

HPKE_ENC_BYTES: Final = 32
"""An input is the encapsulated key (X25519), then the ciphertext; info and AAD are empty (RFC 9180, base mode)."""

OWNER_KEY_BYTES: Final = 32
"""Ed25519, the public key, raw."""
CAPE_KEY_BITS: Final = 4096
RESULT_KEY_BITS: Final = 2048

USERNAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?")
"""GitHub's rule for logins. Two names that differ only in case are one."""

FUNCTION_NAME: Final = re.compile(r"(?!\.+$)[A-Za-z0-9_.-]{1,100}")
"""Not of dots alone, which URLs take for folders."""

TOKEN_EXPIRED: Final = "token is expired"  # noqa: S105 -- a message
"""Cape's command line looks for this text and tells its user to log in again."""
