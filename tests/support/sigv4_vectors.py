"""Makes `tests/vectors/sigv4.json` with botocore, AWS's own signer: requests of every odd shape, and what it signs.

pip install botocore==1.44.5    # in an environment of its own: its dependencies are older than ours
python -m tests.support.sigv4_vectors
"""

from __future__ import annotations

import datetime
import json
import random
from pathlib import Path
from typing import Any
from unittest import mock

FILE = Path(__file__).parents[1] / "vectors" / "sigv4.json"
_CASES = 40


def main() -> None:
    """Write the file. The same bytes at each run."""
    chosen = random.Random(4)
    cases = [_case(chosen, number) for number in range(_CASES)]
    made = {"made_by": f"botocore {_botocore().__version__}, botocore.auth.SigV4Auth", "cases": cases}
    FILE.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


def _botocore() -> Any:
    import botocore

    return botocore


def _case(chosen: random.Random, number: int) -> dict[str, Any]:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
    secret = "".join(chosen.choices(letters, k=40))
    token = "".join(chosen.choices(letters, k=chosen.randrange(1, 90))) if number % 3 else None
    region = chosen.choice(["eu-central-1", "us-east-1", "us-gov-west-1", "ap-southeast-2"])
    body = chosen.randbytes(chosen.choice([0, 1, 17, 300]))
    at = datetime.datetime(2015, 8, 30, tzinfo=datetime.UTC) + datetime.timedelta(seconds=chosen.randrange(10**9))
    headers = {"Host": f"kms.{region}.amazonaws.com", "Content-Type": "application/x-amz-json-1.1"}
    headers["X-Amz-Target"] = f"TrentService.{chosen.choice(['Decrypt', 'GenerateDataKey'])}"
    request = AWSRequest("POST", f"https://{headers['Host']}/", headers=headers, data=body)
    with mock.patch("botocore.auth.get_current_datetime", return_value=at):
        SigV4Auth(Credentials(f"AKID{number}", secret, token), "kms", region).add_auth(request)
    return {
        "access_key_id": f"AKID{number}",
        "secret": secret,
        "token": token,
        "region": region,
        "at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "headers": headers,
        "body": body.hex(),
        "authorization": request.headers["Authorization"],
    }


if __name__ == "__main__":
    main()
