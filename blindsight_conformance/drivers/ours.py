"""This project's verifier in Python: `python -m blindsight_conformance.drivers.ours`."""

from __future__ import annotations

import sys
from base64 import b64decode
from datetime import datetime
from typing import Any

import rfc8785

from blindsight.attestation import Policy, check_key_configs, check_model, verify, verify_archived
from blindsight.attestation.recipient import verify_recipient
from blindsight.errors import BlindsightError, EvidenceError
from blindsight.sealing import keyconfig
from blindsight_conformance.protocol import document_of, serve


def judge(asked: dict[str, Any]) -> dict[str, Any]:
    """Verify the document of a question (vectors/attestation/README.md), and return the answer."""
    try:
        return {"accepted": True, **_accepted(asked)}
    except BlindsightError as error:
        step = {"step": error.step} if isinstance(error, EvidenceError) else {}
        return {"accepted": False, "code": error.code, **step, "reason": str(error)}


def _accepted(asked: dict[str, Any]) -> dict[str, Any]:
    policy, document = Policy.from_json(asked["policy"]), document_of(asked)
    nonce = None if asked["nonce"] is None else bytes.fromhex(asked["nonce"])
    binding, now = asked.get("binding"), datetime.fromisoformat(asked["time"])
    kem: dict[str, Any] = {}
    if binding is None:
        live = asked["mode"] == "live"
        verified = (
            verify(document, policy=policy, nonce=nonce, now=now)
            if live
            else verify_archived(document, policy=policy, nonce=nonce)
        )
    else:
        configs, manifest = b64decode(binding["key_configs"], validate=True), rfc8785.dumps(binding["model"])
        if asked["mode"] == "live":
            if nonce is None:
                raise ValueError("evidence that is verified live answers a nonce")
            recipient = verify_recipient(document, configs, manifest, policy=policy, nonce=nonce, now=now)
            verified, kem = recipient.verified, {"kem_id": recipient.config.kem.identifier}
        else:
            verified = verify_archived(document, policy=policy, nonce=nonce)
            check_key_configs(verified, configs)
            check_model(verified, manifest)
            kem = {"kem_id": keyconfig.preferred(keyconfig.decode_list(configs)).kem.identifier}
    report = verified.report
    return {
        "kind": verified.kind,
        "release": report.release,
        "left_open": list(report.left_open),
        "unknown_fields": list(verified.document.unknown_fields),
        **kem,
    }


if __name__ == "__main__":
    sys.exit(serve(judge))
