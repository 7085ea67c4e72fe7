"""epsilon-attestation-verifier 1.1.0: `verify_attestation`, with its clock set to the question's time."""

import datetime
import logging
import sys
import tempfile
import textwrap

from epsilon_verifier import verifier

from blindsight_conformance.protocol import serve

_now = None


class _Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return _now


def judge(asked):
    """The answer to one question."""
    global _now  # noqa: PLW0603 -- the clock that the verifier reads
    if asked["mode"] == "archived":
        return {"unsupported": "no mode for archived documents"}
    if len(asked["roots"]) != 1:
        return {"unsupported": "one root"}
    if any(len(values) > 1 for values in asked["pcrs"].values()) or not asked["pcrs"].keys() <= {"0", "1", "2"}:
        return {"unsupported": "registers 0 to 2, one value each"}
    expected = {f"expected_pcr{index}": (values or [None])[0] for index, values in asked["pcrs"].items()}
    _now = datetime.datetime.fromisoformat(asked["time"])
    lines = "\n".join(textwrap.wrap(asked["roots"][0]["der"], 64))
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as pem:
        pem.write(f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
        pem.flush()
        result = verifier.verify_attestation(asked["document"], aws_root_cert_path=pem.name, **expected)
    return {"accepted": bool(result.valid), "reason": str(result.error)[:200]}


if __name__ == "__main__":
    logging.disable()
    verifier.datetime = _Clock
    sys.exit(serve(judge))
