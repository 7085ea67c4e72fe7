"""The function bundle: checked, unpacked for the workers, and named in the evidence.

The evidence names the model by its manifest, so the bundle's model files must be those that the manifest names. The
function's own code is no judge of that: it comes from the same host.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import rfc8785

from blindsight import answers, strict_json
from enclave_runtime import archive as archives
from enclave_runtime.archive import BadBundle

if TYPE_CHECKING:
    import zipfile
    from pathlib import Path

_NEEDED = {"name", "version", "trained"}
"""Members of the manifest that the runtime itself tells callers."""

_MODEL_FILES = ("onnx", "labels")
"""Members of the manifest that name a file of the bundle and its SHA-256."""


@dataclass(frozen=True)
class Function:
    """A function ready to run: its unpacked `folder`, its checksum (SHA-256 of the zip) and its model's manifest.

    All its folders are in `place`. `draft` is where the first worker makes what all share, `weights` where that is then
    kept from it.
    """

    place: Path
    folder: Path
    draft: Path
    weights: Path
    checksum: bytes
    manifest: dict[str, Any]
    canonical_manifest: bytes

    @property
    def model_digest(self) -> bytes:
        """SHA-256 of the canonical manifest."""
        return hashlib.sha256(self.canonical_manifest).digest()

    @property
    def precision(self) -> str:
        """The arithmetic that the manifest names, such as `int8`. The function checks the graph's operators."""
        return answers.precision(self.manifest)

    @property
    def longest_label(self) -> int:
        """Bytes, in JSON, of the model's longest label: answers are padded so that none shows."""
        labels = (self.folder / str(self.manifest["labels"]["file"])).read_text("utf-8").split("\n")
        return max(len(json.dumps(label)) for label in labels)

    def remove(self) -> None:
        """Delete the unpacked files."""
        shutil.rmtree(self.place, ignore_errors=True)


def load(bundle: Path, *, expected: bytes | None = None) -> Function:
    """Check and unpack `bundle` into a private folder, in memory where the system has a memory file system.

    Raises `BadBundle` if it is not the bundle with checksum `expected`, is not safe to unpack, or has other model files
    than its manifest names.
    """
    try:
        with bundle.open("rb") as file, tempfile.TemporaryFile(dir=archives.memory()) as copy:
            # The host may change the file at any time: what is unpacked is the private copy that was measured.
            found = _copy_and_digest(file, copy)
            if expected is not None and found != expected:
                raise BadBundle(f"the bundle's checksum is {found.hex()}, not {expected.hex()}")
            return load_private(copy, found)
    except OSError as error:
        raise BadBundle(f"the bundle cannot be read: {str(error) or type(error).__name__}") from error


def load_private(copy: IO[bytes], checksum: bytes) -> Function:
    """As `load`, for an open file that only this runtime can change, and whose SHA-256 it has computed."""
    with archives.opened(copy) as archive:
        return _unpack(archive, checksum)


def _copy_and_digest(source: IO[bytes], sink: IO[bytes]) -> bytes:
    digest, left = hashlib.sha256(), archives.MAX_UNPACKED_BYTES
    while chunk := source.read(archives.CHUNK):
        left -= len(chunk)
        if left < 0:
            raise BadBundle("the bundle has too many bytes")
        digest.update(chunk)
        sink.write(chunk)
    return digest.digest()


def _unpack(archive: zipfile.ZipFile, found: bytes) -> Function:
    archives.check(archive)
    place = archives.private_folder()
    try:
        inner = archives.unguessable(place)
        folder, draft, weights = inner / "function", inner / "draft", inner / "weights"
        for each in (folder, draft, weights):
            each.mkdir()
        archives.unpack(archive, folder)
        function = Function(place, folder, draft, weights, found, *_manifest(folder / "model.json"))
        _check_model(function)
        return function
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _manifest(path: Path) -> tuple[dict[str, Any], bytes]:
    try:
        manifest = strict_json.loads(path.read_bytes())
        canonical = rfc8785.dumps(manifest)
    except FileNotFoundError as error:
        raise BadBundle("the bundle has no model.json") from error
    except ValueError as error:
        raise BadBundle("the bundle's model.json is not plain JSON") from error
    if not isinstance(manifest, dict) or not manifest.keys() >= _NEEDED:
        raise BadBundle("the bundle's model.json is not a model's manifest")
    if not isinstance(manifest["trained"], bool):
        raise BadBundle("the bundle's model.json does not say with true or false whether the model is trained")
    if answers.precision(manifest) == answers.UNKNOWN:
        raise BadBundle("the bundle's model.json names no precision where it says that there is one")
    return manifest, canonical


def _check_model(function: Function) -> None:
    """Compare the model files with the manifest; they are hashed in pieces, whatever their size. Raises `BadBundle`."""
    # Only what was unpacked into the folder itself has such a name, so no name leads anywhere else.
    beside = {path.name: path for path in function.folder.iterdir() if path.is_file()}
    digests: dict[str, str] = {}
    for part in _MODEL_FILES:
        entry = function.manifest.get(part)
        name, sha256 = (entry.get("file"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
        if not isinstance(name, str) or name not in beside or name in digests:
            raise BadBundle(f"the bundle's model.json names no {part} file of its own beside it")
        with beside[name].open("rb") as file:
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
        if digests[name] != sha256:
            raise BadBundle(f"the bundle's {part} file does not have the SHA-256 that its model.json names")
    count = function.manifest["labels"].get("count")
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise BadBundle("the bundle's model.json names no number of labels")
    try:
        _ = function.longest_label
    except UnicodeDecodeError as error:
        raise BadBundle("the bundle's labels are not text in UTF-8") from error
