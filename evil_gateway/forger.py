"""Forges attestation documents: under other keys, with other fields, or with a signature of another document."""

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
    """Creates certificate chains: under a new root, and under the simulated root in the folder `state`, if given."""

    state: Path | None

    def own_chain(self) -> SigningChain:
        """A chain of correct form under a new root, which no policy lists. Raises `OSError`."""
        with tempfile.TemporaryDirectory(prefix="evil-root-") as folder:
            now = datetime.now(UTC)
            return mint_chain(load_or_create_root(Path(folder), now), _MODULE, now)

    def hosts_chain(self, *, late: timedelta = timedelta()) -> SigningChain:
        """A chain under the simulated root, valid from now plus `late`.

        The operator of a simulated enclave can create one; on real hardware only AWS can. Raises `LookupError` without
        `state`, and `OSError`.
        """
        if self.state is None:
            raise LookupError("this trick needs the folder of the simulated root")
        now = datetime.now(UTC) + late
        return mint_chain(load_or_create_root(self.state, now), _MODULE, now)


def payload_of(document: bytes) -> Payload:
    """The payload's fields of a COSE_Sign1 document, without any verification. Raises `EvidenceError`, `ValueError`."""
    payload = decode(cose.parse(document).payload, indefinite_map=True)
    return cast("Payload", payload)


def resigned(payload: Payload, chain: SigningChain, **changes: Any) -> bytes:  # noqa: ANN401 -- whatever CBOR holds
    """A document with the fields of `payload` and `changes`, signed by the leaf of `chain`.

    The value `...` removes a field. Certificate and CA bundle are those of `chain`.
    """
    fields = payload | {"certificate": chain.certificate, "cabundle": list(chain.cabundle)} | changes
    return cose.sign(encode({name: value for name, value in fields.items() if value is not ...}), chain.key)


def unsigned(document: bytes, payload: bytes) -> bytes:
    """`document` with its payload replaced and its signature unchanged, so that the signature is invalid."""
    return cose.assemble(payload, cose.parse(document).signature)


def claims_of(payload: Payload) -> Claims:
    """The claims in the field `user_data`. Raises `LookupError` if it has none."""
    claims = Claims.parse(payload["user_data"])
    if claims is None:
        raise LookupError("the honest enclave makes no claims")
    return claims
