"""Encrypt a bundle for enclaves: its data key comes from a key management service, which releases it to them alone."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from blindsight import strict_json
from blindsight.errors import KmsError
from blindsight.files import opened, replacing
from blindsight.sealing import stream
from enclave_function.bundle.errors import BundleError
from enclave_function.bundle.reader import inspect

if TYPE_CHECKING:
    from pathlib import Path

_MAX_KEY_FILE_BYTES = 64 * 1024
_MAKE_A_KEY = "Give what `aws kms generate-data-key --key-spec AES_256 --output json` prints; see docs/kms.md."


@dataclass(frozen=True)
class DataKey:
    """A data key in the clear, 32 bytes, and the ciphertext that the service opens for enclaves."""

    plaintext: bytes = field(repr=False)
    blob: bytes

    @classmethod
    def parse(cls, encoded: bytes) -> DataKey:
        """Read the service's answer to GenerateDataKey, as AWS's command line prints it. Raises `BundleError`."""
        try:
            members: dict[str, Any] = strict_json.loads(encoded)
            key = cls(*(base64.b64decode(members[name], validate=True) for name in ("Plaintext", "CiphertextBlob")))
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise BundleError("The data key is not what the service answers.", _MAKE_A_KEY) from error
        if len(key.plaintext) != stream.KEY_BYTES or not key.blob:
            raise BundleError(f"The data key has not {stream.KEY_BYTES} bytes.", _MAKE_A_KEY)
        return key


@dataclass(frozen=True)
class SealedBundle:
    """What was made. `function_checksum` is the bundle's, to be pinned; `sha256` the encrypted file's; in hexadecimal.

    `bundle_key` is the data key's ciphertext in base64, for the host's boot configuration.
    """

    function_checksum: str
    sha256: str
    bytes: int
    bundle_key: str


def read_key(source: IO[bytes]) -> DataKey:
    """The data key in a file or on standard input. Raises `BundleError`."""
    return DataKey.parse(source.read(_MAX_KEY_FILE_BYTES))


def encrypt(bundle: Path, out: Path, key: DataKey, *, key_file: Path | None = None) -> SealedBundle:
    """Write `bundle`, which must be one, encrypted to `out`, replacing it in one step. Raises `BundleError`.

    `out` must not be `bundle` or `key_file`, in which `key` is.
    """
    checksum = inspect(bundle).checksum
    try:
        sha256, size = _write(bundle, out, key, checksum, key_file)
    except OSError as error:
        raise BundleError(
            f"{out} cannot be written: {error.strerror}.", "Check the folder and its free space."
        ) from error
    return SealedBundle(checksum, sha256, size, base64.b64encode(key.blob).decode())


class _Hashing:
    """A file that is hashed as it is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest, self.size = hashlib.sha256(), 0

    def write(self, data: bytes, /) -> None:
        self._file.write(data)
        self.digest.update(data)
        self.size += len(data)


def _write(bundle: Path, out: Path, key: DataKey, checksum: str, key_file: Path | None) -> tuple[str, int]:
    with replacing(out, sources=(bundle, key_file)) as file, opened(bundle) as source:
        sink = _Hashing(file)
        try:
            sealed = stream.seal(source.read, sink, key.plaintext)
        except KmsError as error:
            raise BundleError(str(error), error.next_step) from error
        if sealed.hex() != checksum:
            raise BundleError(f"{bundle} was changed meanwhile.", "Try again.")
    return sink.digest.hexdigest(), sink.size
