"""`python -m gateway boot-config`: serves the ciphertexts and the encrypted bundle to the enclave (docs/kms.md).

The data are useless without the key management service, so every connection is answered.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from blindsight import files
from blindsight.errors import KmsError
from blindsight.wire.address import Address, listen
from blindsight.wire.bootconfig import BUNDLE_LENGTH, JSON_LENGTH, MAX_BUNDLE_BYTES, MAX_JSON_BYTES, BootConfig

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)

_PIECE: Final = 1 << 18
_SECONDS: Final = 600.0
"""Time limit for one enclave, including its bundle."""


class BootConfigServer:
    """Answers every connection with the current files, so that a new ciphertext needs no restart."""

    def __init__(self, file: Path, bundle: Path | None) -> None:
        """Raises `KmsError` (`invalid_boot_config`), `OSError`."""
        self._file, self._bundle = file, bundle
        self._configuration()
        if bundle is not None:
            _length(bundle)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, without reading from it."""
        del reader
        try:
            async with asyncio.timeout(_SECONDS):
                await self._serve(writer)
            _log.info("boot configuration served")
        except (KmsError, OSError, TimeoutError) as error:
            _log.warning("boot configuration not served", extra={"exception": type(error).__name__})
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, writer: asyncio.StreamWriter) -> None:
        encoded = self._configuration()
        writer.write(JSON_LENGTH.pack(len(encoded)) + encoded)
        if self._bundle is None:
            writer.write(BUNDLE_LENGTH.pack(0))
            await writer.drain()
            return
        left = _length(self._bundle)
        writer.write(BUNDLE_LENGTH.pack(left))
        with files.opened(self._bundle) as file:
            while left and (piece := await asyncio.to_thread(file.read, min(_PIECE, left))):
                writer.write(piece)
                await writer.drain()
                left -= len(piece)

    def _configuration(self) -> bytes:
        with files.opened(self._file) as file:
            config = BootConfig.parse(file.read(MAX_JSON_BYTES + 1))
        return json.dumps(config.members()).encode()


def _length(bundle: Path) -> int:
    with files.opened(bundle) as file:
        length = os.fstat(file.fileno()).st_size
    if not 0 < length <= MAX_BUNDLE_BYTES:
        raise KmsError("invalid_boot_config", f"{bundle} has not 1 to {MAX_BUNDLE_BYTES} bytes.")
    return length


async def serve(address: Address, server: BootConfigServer) -> int:
    """Serve at `address` until SIGTERM or SIGINT. Raises `AddressError`."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listener = await listen(address, server.handle)
    _log.info("listening", extra={"url": str(address)})
    await stop.wait()
    listener.close()
    return 0
