"""Cases from genuine documents, which AWS's hardware signed. They are read from `BLINDSIGHT_ASSETS`/attestation.

The documents are not part of this repository. Those of production enclaves must be accepted at their own time and
refused now; those of debug enclaves must always be refused.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2

from blindsight_conformance.book import Book, Case

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def folder() -> Path | None:
    """The folder of genuine documents; None if there is none on this machine."""
    assets = os.environ.get("BLINDSIGHT_ASSETS")
    found = Path(assets) / "attestation" if assets else None
    return found if found and found.is_dir() else None


def cases(folder: Path, now: datetime) -> list[Case]:
    """The cases of the documents `nitro_*.bin` in `folder`, whose names contain `debug` or `production`.

    `now` is the current time (aware). Raises `OSError`.
    """
    book = Book()
    book.group = "genuine"
    section = "a genuine document"
    for path in sorted(folder.glob("nitro_*.bin")):
        document = path.read_bytes()
        # Not with the verifier's own decoder, which is tested here.
        payload = cbor2.loads(cbor2.loads(document)[2])
        made = _EPOCH + timedelta(milliseconds=payload["timestamp"])
        rest: dict[str, Any] = {"section": section, "rows": [29], "nonce": None}
        if "debug" in path.name:
            registers = {"4": [payload["pcrs"][4].hex()]}
            policy = book.policy(book.release(roots=..., pcrs=registers, any_code=True))
            for mode in ("live", "archived"):
                title = f"{path.stem}, {mode}"
                book.refused("debug_document", 6, title, document, policy=policy, mode=mode, time=made, **rest)
            continue
        registers = {str(index): [payload["pcrs"][index].hex()] for index in (0, 1, 2)}
        policy = book.policy(book.release(roots=..., pcrs=registers))
        rest["policy"] = policy
        book.accepted(f"{path.stem}, at its own time", document, time=made + timedelta(seconds=299), **rest)
        book.accepted(f"{path.stem}, archived", document, mode="archived", time=now, **rest)
        book.refused("certificate_expired", 4, f"{path.stem}, now", document, time=now, **rest)
        other = book.policy(book.release(roots=..., pcrs={"0": ["ab" * 48]}))
        book.refused("pcr_mismatch", 7, f"{path.stem}, other code", document, time=made, **rest | {"policy": other})
    return book.cases
