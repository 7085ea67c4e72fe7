"""Says which addresses of interest occur in a log; the answer is encrypted to the public key in `public_keyset.bin`."""

import json
from pathlib import Path

import hybrid_pke

OF_INTEREST = ("172.19.0.4", "1.2.3.4")


def cape_handler(input_bytes):
    found = [{address: address in entry["hosts"] for address in OF_INTEREST} for entry in json.loads(input_bytes)]
    encapsulated, sealed = hybrid_pke.default().seal(
        Path("public_keyset.bin").read_bytes(), b"", b"", json.dumps(found).encode()
    )
    return encapsulated + sealed
