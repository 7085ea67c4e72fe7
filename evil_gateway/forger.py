"""Attestation documents that no enclave made."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from blindsight.attestation import cose
from blindsight.attestation.claims import Claims
from blindsight.attestation.document import encode
from blindsight.cbor import decode
from enclave_runtime.evidence.simulated_pki import SigningChain, load_or_create_root, mint_chain

Payload = dict[str, Any]

_MODULE = "i-0123456789abcdef0-enc0123456789abcdef"


@dataclass(frozen=True)
class Forger:
    """Signs under a root of its own, and under the simulated root if `state` is its folder."""

    state: Path | None

    def own_chain(self) -> SigningChain:
        """A chain of genuine form under a root that no client pins."""
        with tempfile.TemporaryDirectory(prefix="evil-root-") as folder:
            now = datetime.now(UTC)
            return mint_chain(load_or_create_root(Path(folder), now), _MODULE, now)

    def hosts_chain(self, *, late: timedelta = timedelta()) -> SigningChain:
        """A chain under the simulated root, made `late`: what the operator of a simulated enclave can do."""
        if self.state is None:
            raise LookupError("this trick needs the folder of the simulated root")
        now = datetime.now(UTC) + late
        return mint_chain(load_or_create_root(self.state, now), _MODULE, now)


def payload_of(document: bytes) -> Payload:
    """The fields of a document, to be changed."""
    payload = decode(cose.parse(document).payload, indefinite_map=True)
    return cast("Payload", payload)


def resigned(payload: Payload, chain: SigningChain, **changes: Any) -> bytes:  # noqa: ANN401 -- whatever CBOR holds
    """A document with these fields under `chain`; a change to `...` removes one."""
    fields = payload | {"certificate": chain.certificate, "cabundle": list(chain.cabundle)} | changes
    return cose.sign(encode({name: value for name, value in fields.items() if value is not ...}), chain.key)


def unsigned(document: bytes, payload: bytes) -> bytes:
    """The document with another payload and its old signature."""
    return cose.assemble(payload, cose.parse(document).signature)


def claims_of(payload: Payload) -> Claims:
    """The claims in a document's fields."""
    claims = Claims.parse(payload["user_data"])
    if claims is None:
        raise LookupError("the honest enclave makes no claims")
    return claims
