"""The Cape host's interface for the enclave's server: frames in, frames out. The variant without Cape has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindsight.cape.constants import PREFIX
from blindsight.errors import CapeError
from blindsight.wire import cape, frames
from blindsight.wire.protocol import FrameKind
from enclave_runtime.cape import session
from enclave_runtime.cape.host import CapeHost, SharedLimits
from enclave_runtime.cape.process import HandlerLimits

if TYPE_CHECKING:
    import asyncio

    from enclave_runtime.cape.rootsecret import RootSecret
    from enclave_runtime.confinement.warden import Warden
    from enclave_runtime.evidence.producer import EvidenceProducer


class CapeService:
    """Sessions, requests about accounts, and ciphertexts for the classifier."""

    def __init__(
        self,
        root: RootSecret,
        producer: EvidenceProducer,
        warden: Warden,
        *,
        call_seconds: float,
        memory_bytes: int,
        bundle_bytes: int,
        classifier_checksum: bytes,
    ) -> None:
        limits = HandlerLimits(call_seconds=call_seconds, memory_bytes=memory_bytes)
        shared = SharedLimits(bundle_bytes=bundle_bytes)
        self.root_identity = root.identity
        """Whose records it opens: those of all enclaves with the same root secret (`RootSecret.identity`)."""
        self._host = CapeHost(root, producer, warden, limits, classifier_checksum=classifier_checksum, shared=shared)

    async def aclose(self) -> None:
        await self._host.aclose()

    async def serve(
        self,
        opening: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        draining: asyncio.Event,
    ) -> None:
        """Serve the session that the payload of a CAPE_OPEN starts. Raises `TransportError`, `OSError`."""
        await session.serve(self._host, frames.unpack(opening), reader, writer, draining)

    async def answer(self, payload: bytes) -> bytes:
        """The frame that answers a CAPE_CALL. Raises `TransportError`."""
        try:
            return frames.encode(FrameKind.CAPE_ANSWER, frames.pack(await self._host.call(frames.unpack(payload))))
        except CapeError as error:
            return cape.error_frame(error)

    def is_ciphertext(self, image: bytes | memoryview) -> bool:
        """Whether the classifier's input is marked as encrypted for an account."""
        return bytes(image[: len(PREFIX)]) == PREFIX

    def open(self, value: bytes | memoryview) -> bytes:
        """Decrypt such an input; takes milliseconds. Raises `CapeError` if this fails or is not granted."""
        return self._host.open_classifier_input(value)
