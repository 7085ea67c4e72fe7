"""The protocol between suite and verifier: JSON, one object on each line (vectors/attestation/README.md).

A verifier reads questions from standard input until end of file, and writes an answer for each to standard output, in
the same order.
"""

from __future__ import annotations

import json
import sys
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from blindsight_conformance.book import Case

PROTOCOL = "blindsight-attestation-conformance/1"

ACCEPTED, REFUSED, UNSUPPORTED = 0, 10, 20
"""Exit statuses of a verifier that is called for a single question (`--one`)."""


def question(case: Case, roots: Mapping[str, str]) -> dict[str, Any]:
    """The question for a case. `roots` maps SHA-256 to DER in base64; the question contains those of its policy."""
    release: dict[str, Any] = case.policy["releases"][0]
    listed = release.get("roots", [])
    return {
        "protocol": PROTOCOL,
        "id": case.id,
        "document": b64encode(case.document).decode(),
        "roots": [{"sha256": root, "der": roots.get(root)} for root in listed],
        "pcrs": release.get("pcrs", {}),
        "nonce": None if case.nonce is None else case.nonce.hex(),
        "time": case.time.isoformat().replace("+00:00", "Z"),
        "mode": case.mode,
        "max_age_seconds": case.policy.get("max_age_seconds", 300),
        "max_future_skew_seconds": case.policy.get("max_future_skew_seconds", 60),
        "scope": case.scope,
        "policy": json.dumps(case.policy),
        **({"binding": case.binding} if case.binding else {}),
    }


def serve(judge: Callable[[dict[str, Any]], dict[str, Any]]) -> int:
    """Answer the questions on standard input with `judge`, and return the exit status.

    With the argument `--one`, read one question; the exit status is then that of its verdict.
    """
    one = "--one" in sys.argv[1:]
    status = ACCEPTED
    for line in sys.stdin:
        asked = json.loads(line)
        answer = {"id": asked["id"], **judge(asked)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
        if one:
            status = UNSUPPORTED if "unsupported" in answer else ACCEPTED if answer["accepted"] else REFUSED
            break
    return status


def document_of(asked: Mapping[str, Any]) -> bytes:
    """The document of a question. Raises `KeyError`, `ValueError`."""
    return b64decode(asked["document"], validate=True)
