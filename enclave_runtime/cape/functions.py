"""Functions in the enclave: decrypted from the host's ciphertext, checked and unpacked."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final

from blindsight.cape.constants import MAX_FUNCTION_BYTES, PREFIX
from blindsight.cape.envelope import Decryptor, cannot_decrypt
from blindsight.errors import CapeError
from enclave_runtime import archive as archives
from enclave_runtime.archive import BadBundle
from enclave_runtime.confinement.folder import COPIED_FILE_BYTES

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator
    from types import TracebackType

    from cryptography.hazmat.primitives.asymmetric import rsa

_PAGE_BYTES: Final = 4096
_ENTRY = "app.py"


@dataclass
class LoadedFunction:
    """An unpacked function. `code` is the folder with `app.py`, read-only for the function's processes."""

    code: Path
    checksum: bytes
    memory_bytes: int
    """Memory that it takes, with the copy of one spare process."""
    copied_bytes: int
    """Memory that each of its processes takes for its own copy of small files."""
    place: Path
    users: int = 0
    account: bytes = b""
    """Its owner, while it is cached (`Account.identity`)."""

    def unused_of(self, account: bytes | None) -> bool:
        """Whether no session uses it; with `account`, and it belongs to that account."""
        return not self.users and account in {None, self.account}

    def remove(self) -> None:
        """Delete the unpacked files."""
        shutil.rmtree(self.place, ignore_errors=True)


class BundleReader:
    """Decrypts a deployed function piece by piece into a private file in memory, and authenticates it.

    Use it as a context manager, which removes the file at the end.
    """

    def __init__(self, private_key: rsa.RSAPrivateKey) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=archives.memory())  # noqa: SIM115 -- closed by __exit__
        self._decryptor = Decryptor(private_key)
        self._digest = hashlib.sha256()
        self._head = bytearray()
        self.bytes = 0

    def __enter__(self) -> BundleReader:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._file.close()

    def update(self, piece: bytes) -> None:
        """Take the next piece: `cape:` and the raw envelope. Raises `CapeError` (`cannot_decrypt`, `too_large`)."""
        if len(self._head) < len(PREFIX):
            missing = len(PREFIX) - len(self._head)
            self._head += piece[:missing]
            piece = piece[missing:]
            if not PREFIX.startswith(bytes(self._head)):
                raise cannot_decrypt()
        plaintext = self._decryptor.update(piece)
        self.bytes += len(plaintext)
        if self.bytes > MAX_FUNCTION_BYTES:
            raise CapeError("too_large", f"deployment exceeds size limit of {MAX_FUNCTION_BYTES} bytes")
        self._digest.update(plaintext)
        self._file.write(plaintext)

    def update_plain(self, plaintext: bytes | memoryview) -> None:
        """Read the whole zip, which arrived in another encrypted message."""
        self.bytes = len(plaintext)
        self._digest.update(plaintext)
        self._file.write(plaintext)

    def finish(self) -> bytes:
        """Authenticate what was read; returns its SHA-256. Raises `CapeError` (`cannot_decrypt`)."""
        self._decryptor.finish()
        return self._digest.digest()

    @property
    def checksum(self) -> bytes:
        """SHA-256 of what has been read so far."""
        return self._digest.digest()

    def check(self) -> int:
        """Refuse a bundle that could not be unpacked and run; returns the `memory_bytes` according to its file table.

        Raises `CapeError` (`bad_bundle`).
        """
        with self._opened() as archive:
            entries = archives.check(archive)
            _entry_folder([entry.filename for entry in entries])
            return _memory(entries)[0]

    def unpack(self) -> LoadedFunction:
        """Unpack into a private folder of its own. Raises `CapeError` (`bad_bundle`)."""
        place = archives.private_folder()
        try:
            with self._opened() as archive:
                entries = archives.check(archive)
                folder = _entry_folder([entry.filename for entry in entries])
                # The folder's name is the function's own, as it was deployed; without one it needs some name.
                root = archives.unguessable(place) / "function"
                archives.unpack(archive, root)
                return LoadedFunction(root / folder, self.checksum, *_memory(entries), place)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise

    @contextlib.contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            with archives.opened(self._file) as archive:
                yield archive
        except BadBundle as error:
            raise CapeError("bad_bundle", str(error)) from error


def _entry_folder(names: list[str]) -> PurePosixPath:
    """The folder with `app.py`: the root, else the only folder in it. Raises `CapeError` (`bad_bundle`)."""
    if _ENTRY in names:
        return PurePosixPath()
    tops = {PurePosixPath(name).parts[0] for name in names if PurePosixPath(name).parts}
    if len(tops) == 1 and f"{(top := next(iter(tops)))}/{_ENTRY}" in names:
        return PurePosixPath(top)
    raise CapeError("bad_bundle", f"the bundle has no {_ENTRY} at its root or in its single folder")


def _memory(entries: list[zipfile.ZipInfo]) -> tuple[int, int]:
    """A function's `memory_bytes` and `copied_bytes`."""
    # A memory file system gives a file whole pages; one more is for its name and the like.
    files = [(entry.file_size, (-(-entry.file_size // _PAGE_BYTES) + 1) * _PAGE_BYTES) for entry in entries]
    copied = sum(memory for size, memory in files if size <= COPIED_FILE_BYTES)
    return sum(memory for _, memory in files) + copied, copied
