"""pycape 3.1.1, as its client calls it: `parse_attestation`, then `verify_pcrs` if the caller gave some."""

import datetime
import sys
import textwrap

from pycape import _attestation

from blindsight_conformance.protocol import document_of, serve


def judge(asked):
    """The answer to one question."""
    if asked["mode"] == "archived":
        return {"unsupported": "no mode for archived documents"}
    if len(asked["roots"]) != 1:
        return {"unsupported": "one root"}
    lines = "\n".join(textwrap.wrap(asked["roots"][0]["der"], 64))
    pem = f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n".encode()
    nonce = None if asked["nonce"] is None else bytes.fromhex(asked["nonce"])
    at = datetime.datetime.fromisoformat(asked["time"]).replace(tzinfo=None)
    try:
        document = _attestation.parse_attestation(document_of(asked), pem, nonce, at)
        _attestation.verify_pcrs(asked["pcrs"], document)
    except Exception as error:
        return {"accepted": False, "reason": f"{type(error).__name__}: {error}"[:200]}
    return {"accepted": True}


if __name__ == "__main__":
    sys.exit(serve(judge))
