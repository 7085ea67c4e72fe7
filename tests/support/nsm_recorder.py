"""`python -m tests.support.nsm_recorder`, as root inside an enclave: a transcript of its security module, as JSON.

It locks registers 0 to 17 of that boot, so give it a boot of its own. `nsm_transcript_qemu.json` was made of the same
requests.
"""

from __future__ import annotations

import hashlib
import json
import platform
from typing import TYPE_CHECKING, Any

import cbor2

from enclave_runtime.evidence import nsm_protocol as protocol
from enclave_runtime.evidence.nsm import Device

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = hashlib.sha384(b"claims").digest()
EXCHANGES: tuple[tuple[str, bytes, str | None], ...] = (
    ("the module", protocol.describe_nsm(), None),
    ("entropy", protocol.get_random(), None),
    *((f"register {index}", protocol.describe_pcr(index), None) for index in (0, 1, 2, 16)),
    ("an extension", protocol.extend_pcr(16, DATA), None),
    ("a lock", protocol.lock_pcr(16), None),
    ("register 16 afterwards", protocol.describe_pcr(16), None),
    ("an extension of what is locked", protocol.extend_pcr(16, DATA), "pcr_locked"),
    ("a register that is not there", protocol.describe_pcr(32), "invalid_pcr"),
    ("an unknown command", cbor2.dumps("Nothing"), "nsm_refused"),
    ("a range of locks", protocol.lock_pcrs(18), None),
    ("a document", protocol.attestation(user_data=b"data", nonce=bytes(range(32)), public_key=None), None),
)
"""What it is, the request, and how our protocol module refuses the answer, if it does."""


def record(ask: Callable[[bytes], bytes], provenance: str) -> dict[str, Any]:
    """Ask everything, in order."""
    exchanges = []
    for name, request, code in EXCHANGES:
        entry = {"is": name, "request": request.hex(), "response": ask(request).hex()}
        exchanges.append(entry | ({"code": code} if code else {}))
    return {"provenance": provenance, "exchanges": exchanges}


if __name__ == "__main__":
    kernel = f"{platform.system()} {platform.release()}"
    print(json.dumps(record(Device(), f"Recorded under {kernel}; say here of which machine."), indent=1))
