"""What the cases of tests/vectors/policy.json are made of: one document, one release, and changes to both."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from blindsight.attestation import expected_pcr16

Case = dict[str, Any]
Members = dict[str, Any]

AT = "2026-11-01T12:00:00Z"
BEFORE, AFTER = "2026-11-01T11:59:59Z", "2026-11-01T12:00:01Z"

NITRO, SIMULATED, OTHER_ROOT = (hashlib.sha256(name).hexdigest() for name in (b"nitro", b"simulated", b"another"))
"""Roots of documents. A test with whole documents puts a root of its own in their place."""

EMULATED = "qemu-nitro-enclave"
"""The kind of a document without a root: QEMU signs nothing."""

UNSIGNED_ROOT = hashlib.sha256(bytes(64)).hexdigest()
"""Of what stands in the place of its root."""

FUNCTION, MODEL, OTHER = (hashlib.sha256(name).hexdigest() for name in (b"function", b"model", b"neither"))
PCR16 = expected_pcr16(bytes.fromhex(FUNCTION), bytes.fromhex(MODEL)).hex()
PCR0, PCR1, PCR2, PCR8, OTHER_PCR = ("a0" * 48, "a1" * 48, "a2" * 48, "a8" * 48, "5a" * 48)
ZIP_OF_AWS = "8cf60e2b2efca96c6a9e71e851d00c1b6991cc09eadbe64a6a1d1b1eb9faff7c"
PEM_OF_AWS = "6eb9688305e4bbca67f44b59c29a0661ae930f09b5945b5d1d9ae01125c8d6c0"

DOCUMENT: Members = {
    "root": NITRO,
    "kind": "nitro",
    "pcrs": {"0": PCR0, "1": PCR1, "2": PCR2, "3": "00" * 48, "8": PCR8, "16": PCR16},
    "function_checksum": FUNCTION,
    "model_digest": MODEL,
}
RELEASE: Members = {
    "kind": "nitro",
    "name": "1.4.0",
    "version": "1.4.0",
    "roots": [NITRO],
    "pcrs": {"0": [PCR0]},
    "function_checksums": [FUNCTION],
}
FIRST: Members = {
    "schema": "blindsight-policy/1",
    "roots": [{"kind": "nitro", "sha256": NITRO}],
    "pcrs": {"0": [PCR0]},
    "function_checksums": [FUNCTION],
    "model_digests": None,
    "max_age_seconds": 300,
    "max_future_skew_seconds": 60,
}
OPEN = {"function_checksums": ...}
"""A change that leaves nothing to pin the function."""


def changed(members: Members, changes: Members) -> Members:
    """`members` with other values; a change to `...` removes one."""
    return {name: value for name, value in (members | changes).items() if value is not ...}


def release(**changes: Any) -> Members:
    return changed(RELEASE, changes)


def policy(*releases: Members, **members: Any) -> Members:
    return changed({"schema": "blindsight-policy/2", "releases": list(releases) or [RELEASE]}, members)


def document(*without: str, **changes: Any) -> Members:
    """The document without some PCRs."""
    made = changed(DOCUMENT, changes)
    return made | {"pcrs": {index: value for index, value in made["pcrs"].items() if index not in without}}


def measured(**pcrs: str) -> Members:
    """The document with other PCRs, as in `measured(pcr0="...")`."""
    return document(pcrs=DOCUMENT["pcrs"] | {name.removeprefix("pcr"): value for name, value in pcrs.items()})


NO_CLAIMS = document("16", function_checksum=None, model_digest=None)


class Cases:
    """Collects cases."""

    def __init__(self) -> None:
        self.made: list[Case] = []

    def _add(self, name: str, text: Members | str, shown: Members, expect: Members) -> None:
        written = text if isinstance(text, str) else json.dumps(text)
        self.made.append({"name": name, "policy": written, "at": AT, "document": shown, "expect": expect})

    def accepted(
        self,
        name: str,
        text: Members | str,
        shown: Members = DOCUMENT,
        *,
        release: str | None = "1.4.0",
        kind: str = "nitro",
        left_open: tuple[str, ...] = (),
    ) -> None:
        expect = {"accepted": True, "release": release, "kind": kind, "left_open": list(left_open)}
        self._add(name, text, shown, expect)

    def unusable(self, code: str, name: str, text: Members | str) -> None:
        """The policy is refused, before any document is looked at."""
        self._add(name, text, DOCUMENT, {"refused": code})

    def refused(self, code: str, step: int, name: str, text: Members | str, shown: Members = DOCUMENT) -> None:
        """The document is refused, at this step of the verification."""
        self._add(name, text, shown, {"refused": code, "step": step})
