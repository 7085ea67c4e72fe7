"""A direct question to one enclave, past gateways and links: whether it is whole, by its own status and an answer."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from blindsight import exchange
from blindsight.attestation.recipient import verify_recipient
from blindsight.errors import BlindsightError, TransportError
from blindsight.exchange import Ask, Question
from blindsight.wire import frames, version
from blindsight.wire.protocol import FrameKind
from gateway.enclave.connection import EnclaveConnections

if TYPE_CHECKING:
    from pathlib import Path

    from blindsight.attestation.policy import Policy
    from blindsight.wire.address import Address
    from campaigns.photos import Photo

_SECONDS: Final = 5.0


class Probe:
    """Asks the enclave at `address`, as a gateway does."""

    def __init__(self, address: Address, secret_file: Path, policy: Policy) -> None:
        self._connections = EnclaveConnections(address, secret_file)
        self._policy = policy

    async def is_whole(self, workers: int, photo: Photo, *, restarts: int = -1) -> bool:
        """Whether all workers are there, after more than `restarts` of them were replaced, and `photo` is answered."""
        try:
            async with asyncio.timeout(_SECONDS):
                status = await self.status()
                if status.get("workers") != workers or int(status.get("restarts", 0)) <= restarts:
                    return False
                return photo.is_answered_by(await self._predictions(photo))
        except (BlindsightError, TimeoutError, OSError, KeyError):
            return False

    async def status(self) -> dict[str, Any]:
        """Raises `TransportError`."""
        kind, payload = await self._connections.exchange(FrameKind.STATUS_REQUEST)
        if kind is not FrameKind.STATUS:
            raise TransportError("unexpected_answer", "no status")
        return frames.unpack(payload)

    async def close(self) -> None:
        """Close its connection, which would be counted."""
        await self._connections.close()

    async def _predictions(self, photo: Photo) -> list[Any]:
        nonce = secrets.token_bytes(32)
        question = {"nonce": nonce, version.MEMBER: version.VERSION}
        kind, payload = await self._connections.exchange(FrameKind.EVIDENCE_REQUEST, frames.pack(question))
        if kind is not FrameKind.EVIDENCE:
            raise TransportError("unexpected_answer", "no evidence")
        fields = frames.unpack(payload)
        recipient = verify_recipient(
            fields["document"], fields["key_configs"], fields["model"],
            policy=self._policy, nonce=nonce, now=datetime.now(UTC),
        )  # fmt: skip
        steps = exchange.converse(Question(photo.content, 1), recipient, padded=False)
        step = next(steps)
        if not isinstance(step, Ask):
            raise TransportError("unexpected_answer", "no question")
        kind, payload = await self._connections.exchange(FrameKind.SEALED_REQUEST, step.sealed)
        if kind is not FrameKind.SEALED_RESPONSE:
            raise TransportError("unexpected_answer", "no answer")
        try:
            steps.send(payload)
        except StopIteration as end:
            content: dict[str, Any] = end.value.content
            found: list[Any] = content["predictions"]
            return found
        raise TransportError("unexpected_answer", "no answer")
