"""attested-relay 0.2.0a4: what its `verify_document` asks of every document, and its nonce.

What that asks besides, a TLS key and a policy of its own in `user_data`, no other service's documents have. Its root
is replaced by the question's.
"""

import datetime
import hmac
import pathlib
import sys
import tempfile
import textwrap

from attested_relay import verify

from blindsight_conformance.protocol import document_of, serve


def judge(asked):
    """The answer to one question."""
    if len(asked["roots"]) != 1:
        return {"unsupported": "one root"}
    if len(asked["pcrs"].get("0", [])) != 1:
        return {"unsupported": "register 0, one value"}
    now = datetime.datetime.fromisoformat(asked["time"])
    lines = "\n".join(textwrap.wrap(asked["roots"][0]["der"], 64))
    historical = asked["mode"] == "archived"
    with tempfile.TemporaryDirectory() as folder:
        pem = f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"
        pathlib.Path(folder, "nitro-root.pem").write_text(pem)
        verify.files = lambda package: pathlib.Path(folder)
        verify.ROOT_SHA256 = asked["roots"][0]["sha256"]
        try:
            document = verify._authenticated_document(  # noqa: SLF001 -- the part that is about documents alone
                document_of(asked), asked["pcrs"]["0"][0], now=now, historical=historical
            )
            if asked["nonce"] is not None and not hmac.compare_digest(
                document.get("nonce", b""), bytes.fromhex(asked["nonce"])
            ):
                return {"accepted": False, "reason": "attestation nonce mismatch"}
        except Exception as error:
            return {"accepted": False, "reason": f"{type(error).__name__}: {error}"[:200]}
    return {"accepted": True}


if __name__ == "__main__":
    sys.exit(serve(judge))
