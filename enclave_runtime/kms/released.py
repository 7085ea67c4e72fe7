"""What an enclave of the right measurements gets at its start: its bundle in the clear, then its root secret.

Neither touches a disk: the secret stays in memory, the bundle in a file of memory alone. The key of a bundle has to be
asked for before there is a function to bind. The root secret is asked for after that, by a document that names PCR 16.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

from blindsight.errors import KmsError
from blindsight.sealing import stream
from enclave_runtime import archive
from enclave_runtime.kms import bootchannel
from enclave_runtime.kms.client import KmsClient
from enclave_runtime.kms.connect import connector
from enclave_runtime.kms.credentials import InstanceCredentials

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from blindsight.wire.bootconfig import BootConfig
    from enclave_runtime.evidence.producer import EvidenceProducer
    from enclave_runtime.kms.settings import KmsSettings

_NAME: Final = "blindsight-bundle"


@dataclass(frozen=True)
class ClearBundle:
    """A bundle in memory, with its SHA-256, which is the pinned one."""

    file: IO[bytes]
    checksum: bytes


class Released:
    """`bundle`: in memory, None if it does not come encrypted."""

    def __init__(self, client: KmsClient, config: BootConfig, bundle: ClearBundle | None) -> None:
        self._client, self._config = client, config
        self.bundle = bundle

    def root_secret(self) -> bytes:
        """Ask for the root secret, 32 bytes. Bind the function first (`evidence.choice.bind`).

        Blocks for seconds. Raises `KmsError`, `ProducerError`.
        """
        return self._client.decrypt(_present(self._config.root_secret, "root_secret"), "root-secret")


def obtain(
    settings: KmsSettings,
    boot_config: str,
    producer: EvidenceProducer,
    *,
    sealed_bundle: Path | None,
    sealed_sha256: bytes | None,
    clock: Callable[[], datetime],
) -> Released:
    """Take the ciphertexts of the host at `boot_config` (an address), and ask KMS for the bundle's key if it has one.

    Blocks for seconds, and for as long as a bundle takes to arrive. `sealed_bundle` is an encrypted bundle that is here
    already, whose own SHA-256 is `sealed_sha256`, if that is given; otherwise one comes from the host. Raises
    `KmsError`, `ProducerError`, `AddressError`.
    """
    credentials = InstanceCredentials(connector(settings.credentials), clock)
    client = KmsClient(settings, producer, credentials, connector(settings.connect), clock=clock)
    with bootchannel.opened(connector(boot_config)) as channel:
        config = channel.config
        if settings.bundle_sha256 is None:
            return Released(client, config, None)
        key = client.decrypt(_present(config.bundle_key, "bundle_key"), "bundle-key")
        if archive.memory() is None:
            # It is unpacked there, and a disk would keep what was deleted from it.
            raise KmsError("no_memory_for_bundle", "There is no file system in memory for the bundle (/dev/shm).")
        if sealed_bundle is not None:
            bundle = _from_file(sealed_bundle, sealed_sha256, key, settings.bundle_sha256)
        elif channel.has_bundle:
            bundle = _clear(channel.read, key, settings.bundle_sha256)
        else:
            raise KmsError("sealed_bundle_missing", "The host sent no encrypted bundle.")
        return Released(client, config, bundle)


def _present(blob: bytes | None, name: str) -> bytes:
    if blob is None:
        raise KmsError("boot_config_incomplete", f"The host's boot configuration has no {name}.")
    return blob


def _from_file(sealed: Path, sha256: bytes | None, key: bytes, expected: bytes) -> ClearBundle:
    digest = hashlib.sha256()

    def read(size: int) -> bytes:
        part = file.read(size)
        digest.update(part)
        return part

    try:
        with sealed.open("rb") as file:
            bundle = _clear(read, key, expected)
    except OSError as error:
        raise KmsError("sealed_bundle_unreadable", f"{sealed} cannot be read: {error.strerror}.") from error
    if sha256 is not None and digest.digest() != sha256:
        bundle.file.close()
        raise KmsError("sealed_bundle_refused", "The encrypted bundle is not the one of --function-checksum.")
    return bundle


def _clear(read: Callable[[int], bytes], key: bytes, expected: bytes) -> ClearBundle:
    clear: IO[bytes] = os.fdopen(os.memfd_create(_NAME), "w+b")
    try:
        found = stream.unseal(read, clear, key, limit=archive.MAX_UNPACKED_BYTES)
        if not hmac.compare_digest(found, expected):
            raise KmsError("sealed_bundle_refused", "The bundle is not the one that is pinned.")
    except BaseException:
        clear.close()
        raise
    return ClearBundle(clear, found)
