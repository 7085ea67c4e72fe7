"""Secrets that KMS releases at the enclave's start: first the key of an encrypted bundle, then the root secret.

Neither secret nor bundle is written to a disk. The bundle's key is requested before the function is known, and thus
without PCR 16. The root secret is requested after the function is bound, by a document that contains PCR 16.
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
    """A decrypted bundle in memory, and its SHA-256, which equals the pinned one."""

    file: IO[bytes]
    checksum: bytes


class Released:
    """The released bundle (None if it is not encrypted), and access to the root secret."""

    def __init__(self, client: KmsClient, config: BootConfig, bundle: ClearBundle | None) -> None:
        self._client, self._config = client, config
        self.bundle = bundle

    def root_secret(self) -> bytes:
        """Request the root secret, 32 bytes. The function must be bound before (`evidence.choice.bind`).

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
    """Fetch the boot configuration from the address `boot_config`, and decrypt the bundle if it is encrypted.

    `sealed_bundle` is the path of an encrypted bundle, whose SHA-256 must be `sealed_sha256` unless that is None. The
    host sends the bundle if the path is None. `clock` returns the time (aware). Blocks for seconds, and while a bundle
    arrives. Raises `KmsError`, `ProducerError`, `AddressError`.
    """
    credentials = InstanceCredentials(connector(settings.credentials), clock)
    client = KmsClient(settings, producer, credentials, connector(settings.connect), clock=clock)
    with bootchannel.opened(connector(boot_config)) as channel:
        config = channel.config
        if settings.bundle_sha256 is None:
            return Released(client, config, None)
        key = client.decrypt(_present(config.bundle_key, "bundle_key"), "bundle-key")
        if archive.memory() is None:
            # The bundle is unpacked there, and deleted files could be recovered from a disk.
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
