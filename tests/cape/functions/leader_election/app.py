"""Elects the highest of `node_list`, and signs it with the private key in `private.pem`; it prints, too."""

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key


def cape_handler(input_bytes):
    order = json.loads(input_bytes)
    if "node_list" not in order:
        raise ValueError("the list of nodes is missing")
    leader = str(max(order["node_list"]))
    key = load_pem_private_key(Path("private.pem").read_bytes(), None)
    signature = key.sign(leader.encode(), PKCS1v15(), SHA256()).hex()
    print("signature in hex", signature)
    return json.dumps({"message": leader, "signature": signature})
