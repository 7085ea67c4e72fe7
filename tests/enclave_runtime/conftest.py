"""Confinement of these tests' functions with all layers of this machine, and a running enclave server."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import rfc8785

from blindsight.attestation import pcr16_extension
from blindsight.receipts import ReceiptKey
from enclave_runtime.cape.rootsecret import RootSecret
from enclave_runtime.cape.service import CapeService
from enclave_runtime.confinement.layers import SOCKETS_ABI
from enclave_runtime.confinement.warden import Warden
from enclave_runtime.evidence.simulated import SimulatedProducer
from enclave_runtime.inner import InnerApi
from enclave_runtime.keys import LaneKeys
from enclave_runtime.server import EnclaveServer
from enclave_runtime.workers.pool import PoolLimits, WorkerPool
from tests.enclave_runtime.running import MANIFEST, PCRS, Enclave
from tests.enclave_runtime.workers import fake_function
from tests.enclave_runtime.workers.fake_function import Gate, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def warden() -> Iterator[Warden]:
    """One for all tests: finding the layers out takes a while."""
    # Tests hold functions up by a socket beside their code, which a newer Landlock would refuse.
    found = Warden.appoint(total_bytes=8 << 30, landlock_abi=SOCKETS_ABI - 1)
    yield found
    found.close()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    async with Gate(fake_function.write(tmp_path).folder) as opened:
        yield opened


@pytest.fixture
async def enclave(tmp_path: Path, state: Path, warden: Warden) -> AsyncIterator[Enclave]:
    written = fake_function.write(tmp_path)
    (written.folder / "labels.txt").write_text("cat\ndog\n")
    function = replace(written, checksum=b"\x07" * 32, manifest=MANIFEST, canonical_manifest=rfc8785.dumps(MANIFEST))
    producer = SimulatedProducer(state, PCRS)
    producer.extend_pcr(16, pcr16_extension(function.checksum, function.model_digest))
    producer.lock_pcr(16)
    keys = LaneKeys()
    async with WorkerPool(function, warden, PoolLimits(workers=1, processors=1)) as pool:
        await within(pool.wait_started())
        cape = CapeService(
            RootSecret.load_or_create(state),
            producer,
            warden,
            call_seconds=60,
            memory_bytes=1 << 30,
            bundle_bytes=1 << 30,
            classifier_checksum=function.checksum,
        )
        receipt_key = ReceiptKey()
        api = InnerApi(function, pool, cape, receipt_key)
        server = EnclaveServer(
            function,
            keys,
            producer,
            pool=pool,
            confinement=warden.summary(),
            api=api,
            cape=cape,
            receipt_key=receipt_key.thumbprint,
        )
        listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
        try:
            yield Enclave(server, function, producer, pool, keys, listener.sockets[0].getsockname()[1])
        finally:
            listener.close()
            await server.drain(5)
            await listener.wait_closed()
            await cape.aclose()
