"""A simulated Nitro security module: documents of the genuine format under a root made on this machine.

It proves nothing about hardware, and says so: its kind is `simulated`, its root is named `blindsight.simulated`, and a
policy accepts it only by listing that root as simulated.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from blindsight.attestation import cose
from blindsight.attestation.document import MAX_PCRS, PCR_BYTES, encode
from blindsight.errors import ProducerError
from enclave_runtime.evidence.producer import check_inputs
from enclave_runtime.evidence.simulated_pki import load_or_create_root, mint_chain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

LOCKED_AT_BOOT = 16
"""PCRs below this are locked, and listed, from the start, as in every Nitro enclave."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SimulatedProducer:
    """An `EvidenceProducer` with `pcrs` as measured at boot (index 0-15 to 48 bytes, the others zero).

    `state_dir` keeps the root's key between runs; `clock` returns the time, aware. Raises `ProducerError`.
    """

    kind: Final[Literal["simulated"]] = "simulated"

    def __init__(self, state_dir: Path, pcrs: Mapping[int, bytes], clock: Callable[[], datetime] = _utc_now) -> None:
        for index, value in pcrs.items():
            if not 0 <= index < LOCKED_AT_BOOT or len(value) != PCR_BYTES:
                raise ProducerError("invalid_pcr", f"PCR {index} cannot be {len(value)} bytes measured at boot.")
        self._registers = {index: pcrs.get(index, bytes(PCR_BYTES)) for index in range(MAX_PCRS)}
        self._locked = set(range(LOCKED_AT_BOOT))
        self._clock = clock
        self._lock = threading.Lock()
        self.module_id = f"i-{secrets.token_hex(8)}0-enc{secrets.token_hex(8)}"
        self._root = load_or_create_root(state_dir, clock())
        self._chain = mint_chain(self._root, self.module_id, clock())

    @property
    def root_fingerprint(self) -> str:
        """SHA-256 of the root certificate's DER bytes, in hexadecimal: what a policy lists."""
        return hashlib.sha256(self._root.der).hexdigest()

    @property
    def pcrs(self) -> Mapping[int, bytes]:
        with self._lock:
            return MappingProxyType(self._listed())

    def extend_pcr(self, index: int, data: bytes) -> bytes:
        with self._lock:
            self._check_open(index)
            self._registers[index] = hashlib.sha384(self._registers[index] + data).digest()
            return self._registers[index]

    def lock_pcr(self, index: int) -> None:
        with self._lock:
            self._check_open(index)
            self._locked.add(index)

    def attest(self, *, nonce: bytes | None, user_data: bytes | None, public_key: bytes | None) -> bytes:
        check_inputs(nonce=nonce, user_data=user_data, public_key=public_key)
        with self._lock:
            now = self._clock()
            if not self._chain.covers(now):
                self._chain = mint_chain(self._root, self.module_id, now)
            chain, pcrs = self._chain, self._listed()
        # The order of genuine documents, null for what is absent.
        payload = {
            "module_id": self.module_id,
            "digest": "SHA384",
            "timestamp": int(now.timestamp() * 1000),
            "pcrs": pcrs,
            "certificate": chain.certificate,
            "cabundle": list(chain.cabundle),
            "public_key": public_key,
            "user_data": user_data,
            "nonce": nonce,
        }
        return cose.sign(encode(payload), chain.key)

    def _listed(self) -> dict[int, bytes]:
        return {index: self._registers[index] for index in sorted(self._locked)}

    def _check_open(self, index: int) -> None:
        if index not in self._registers:
            raise ProducerError("invalid_pcr", f"There is no PCR {index}.")
        if index in self._locked:
            raise ProducerError("pcr_locked", f"PCR {index} is locked.")
