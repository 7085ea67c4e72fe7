"""The enclave of the vectors: fixed keys, and evidence that claims them."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import rfc8785
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from blindsight.attestation import Claims, expected_pcr16
from blindsight.receipts import ReceiptKey
from blindsight.sealing import keyconfig, ohttp
from blindsight.sealing.kem import MLKEM768_X25519, X25519_HKDF_SHA256, HybridPrivateKey
from blindsight_conformance.cases.ours import MANIFEST, SEED, X25519_KEY
from tests.blindsight.attestation.attestation_forge import PCRS, Forge


class VectorEnclave:
    """Keys, claims and evidence that belong together."""

    def __init__(self) -> None:
        hybrid, x25519 = HybridPrivateKey(SEED), X25519PrivateKey.from_private_bytes(X25519_KEY)
        self.keys = {
            17: ohttp.RecipientKey(keyconfig.offered(17, hybrid.public_bytes(), MLKEM768_X25519), hybrid),
            18: ohttp.RecipientKey(
                keyconfig.offered(18, x25519.public_key().public_bytes_raw(), X25519_HKDF_SHA256), x25519
            ),
        }
        self.configs = keyconfig.encode_list([key.config for key in self.keys.values()])
        self.receipt_key = ReceiptKey()
        self.forge = Forge()
        self.claims = Claims(
            func_checksum=hashlib.sha256(b"the bundle").digest(),
            key_configs_sha256=keyconfig.digest(self.configs),
            model_sha256=hashlib.sha256(rfc8785.dumps(MANIFEST)).digest(),
            receipt_key_sha256=self.receipt_key.thumbprint,
        )

    def signed(self, text: str) -> str:
        """A JWS of header and payload as they stand, under the receipt key."""
        signature = self.receipt_key._key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        r, s = decode_dss_signature(signature)
        raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return f"{text}.{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}"

    def pcrs(self) -> dict[int, bytes]:
        return PCRS | {16: expected_pcr16(self.claims.func_checksum, self.claims.model_sha256)}

    def document(self, forge: Forge | None = None, **changes: Any) -> bytes:
        fields = {"user_data": self.claims.to_json(), "pcrs": self.pcrs()} | changes
        return (forge or self.forge).document(**fields)

    def policy(self, **changes: Any) -> dict[str, Any]:
        """In the first format, which every implementation goes on reading."""
        policy = {
            "schema": "blindsight-policy/1",
            "roots": [{"kind": "simulated", "sha256": self.forge.fingerprint}],
            "pcrs": {str(index): [PCRS[index].hex()] for index in (0, 1, 2)},
            "function_checksums": [self.claims.func_checksum.hex()],
            "model_digests": [self.claims.model_sha256.hex()],
            "max_age_seconds": 300,
            "max_future_skew_seconds": 60,
        }
        return policy | changes
