"""Functions in the enclave: decrypted from the host's ciphertext, checked, unpacked and shared by their sessions."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final

from blindsight.cape.envelope import Decryptor, cannot_decrypt
from blindsight.cape.protocol import MAX_FUNCTION_BYTES, PREFIX
from blindsight.errors import CapeError
from enclave_runtime import archive as archives
from enclave_runtime.archive import BadBundle

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator
    from types import TracebackType

    from cryptography.hazmat.primitives.asymmetric import rsa

MAX_LOADED_BYTES: Final = 4_000_000_000
"""Of unpacked functions that nobody runs but that stay at hand."""

_ENTRY = "app.py"


@dataclass
class LoadedFunction:
    """An unpacked function. `code` is the folder that holds `app.py`, read-only for those who run it."""

    code: Path
    checksum: bytes
    unpacked_bytes: int
    place: Path
    users: int = 0

    def remove(self) -> None:
        """Delete the unpacked files."""
        shutil.rmtree(self.place, ignore_errors=True)


class BundleReader:
    """Decrypts a deployed function piece by piece into a private file in memory, and proves it.

    Use as a context manager; the file is gone afterwards.
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
        """Take the whole zip, which came by another sealed way."""
        self.bytes = len(plaintext)
        self._digest.update(plaintext)
        self._file.write(plaintext)

    def finish(self) -> bytes:
        """Prove what was read; returns its SHA-256. Raises `CapeError` (`cannot_decrypt`)."""
        self._decryptor.finish()
        return self._digest.digest()

    @property
    def checksum(self) -> bytes:
        """SHA-256 of what has been read so far."""
        return self._digest.digest()

    def check(self) -> None:
        """Refuse what could not be unpacked and run. Raises `CapeError` (`bad_bundle`)."""
        with self._opened() as archive:
            _entry_folder([entry.filename for entry in archives.check(archive)])

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
                unpacked = sum(entry.file_size for entry in entries)
                return LoadedFunction(root / folder, self.checksum, unpacked, place)
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


class LoadedFunctions:
    """The functions at hand. One in use stays; of the others the longest unused go when there is too much of them."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[str, LoadedFunction] = OrderedDict()

    def acquire(self, function_id: str) -> LoadedFunction | None:
        """The function, to be given back with `release`; None if it is not at hand."""
        function = self._loaded.get(function_id)
        if function is not None:
            self._loaded.move_to_end(function_id)
            function.users += 1
        return function

    def add(self, function_id: str, function: LoadedFunction) -> LoadedFunction:
        """Keep `function`, or the one that was faster; acquired."""
        present = self.acquire(function_id)
        if present is not None:
            function.remove()
            return present
        self._loaded[function_id] = function
        function.users = 1
        return function

    def release(self, function: LoadedFunction) -> list[LoadedFunction]:
        """Give `function` back; returns those that there is no room for any more, for the caller to `remove`."""
        function.users -= 1
        removed = []
        total = sum(loaded.unpacked_bytes for loaded in self._loaded.values())
        for function_id, loaded in list(self._loaded.items()):
            if total <= MAX_LOADED_BYTES:
                break
            if not loaded.users:
                del self._loaded[function_id]
                total -= loaded.unpacked_bytes
                removed.append(loaded)
        return removed

    def close(self) -> None:
        for function in self._loaded.values():
            function.remove()
        self._loaded.clear()


def _entry_folder(names: list[str]) -> PurePosixPath:
    """Where `app.py` lies: at the root, else in the single folder there. Raises `CapeError` (`bad_bundle`)."""
    if _ENTRY in names:
        return PurePosixPath()
    tops = {PurePosixPath(name).parts[0] for name in names if PurePosixPath(name).parts}
    if len(tops) == 1 and f"{(top := next(iter(tops)))}/{_ENTRY}" in names:
        return PurePosixPath(top)
    raise CapeError("bad_bundle", f"the bundle has no {_ENTRY} at its root or in its single folder")
