"""The pretrained weights: fetched once, resumed after a cut, checked, kept in a cache.

Needs no torch, so that start-up can ask quickly whether the weights can be had. Resuming follows RFC 9110: a `Range`
request (section 14.2) with `If-Range` (section 13.1.5), so that bytes of two versions are never joined; a server that
ignores `Range` starts the file again. Proxies are taken from the environment (HTTPS_PROXY, NO_PROXY, ...), unlike
anywhere else: what is fetched is public, and its digest is known.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from model_build.errors import DownloadError, WeightsError
from model_build.manifest import file_sha256

Progress = Callable[[int], None]
"""Called with the number of bytes that have arrived so far."""

MAX_ATTEMPTS = 8
"""Connections used for one file. Each must bring at least one byte, or the fetch fails at once."""

TIMEOUT = httpx2.Timeout(30.0, connect=10.0)
"""Seconds without a byte before a connection counts as cut."""

REACHABLE_TIMEOUT = httpx2.Timeout(3.0)

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")
_COPY = "`python -m model_build build --weights FILE --out DIR`"
_NEXT_STEPS = f"run it again where the network reaches it, give a copy: {_COPY}, or `make run MODEL=FILE.onnx`"


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights on the network; `size` in bytes, `sha256` lower-case hexadecimal."""

    url: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


RESNET50 = WeightsFile(
    url="https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
    sha256="11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca",
    size=102_540_417,
)
"""`ResNet50_Weights.DEFAULT` (IMAGENET1K_V2). The tests compare the URL with torchvision's own metadata; the file name
carries the first 32 bits of the digest, the rest is as recorded by many independent users of the file."""


def cache_dir() -> Path:
    """The folder for downloads: $BLINDSIGHT_CACHE, else `blindsight` in $XDG_CACHE_HOME or ~/.cache."""
    if chosen := os.environ.get("BLINDSIGHT_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "blindsight"


def cached(cache: Path, file: WeightsFile) -> Path | None:
    """The path of `file` in `cache` if it is there and its digest is right."""
    path = cache / file.name
    return path if path.is_file() and file_sha256(path) == file.sha256 else None


def reachable(file: WeightsFile) -> bool:
    """Say whether the server of `file` answers for it within a few seconds."""
    try:
        with _client(REACHABLE_TIMEOUT) as client:
            return client.head(file.url).status_code == httpx2.codes.OK
    except (httpx2.HTTPError, httpx2.InvalidURL, DownloadError):
        return False


def fetch(cache: Path, file: WeightsFile, progress: Progress = lambda _arrived: None) -> Path:
    """Return the path of `file` in `cache`, after downloading what is missing of it and checking its SHA-256.

    Raises `DownloadError` when the network does not give it (the part that arrived is kept for the next call) and
    `WeightsError` when what came is not the file (nothing is kept).
    """
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{file.name}.lock"):
        if path := cached(cache, file):
            return path
        part = _Part(cache / f"{file.name}.part")
        if part.size() != file.size:
            _download(part, file, progress)
        if (found := file_sha256(part.path)) != file.sha256:
            part.discard()
            raise WeightsError(
                f"{file.url} gave a file of SHA-256 {found}, not {file.sha256}; it was removed",
                f"check the proxy in between, or give a good copy: {_COPY}",
            )
        path = cache / file.name
        part.path.replace(path)
        part.discard()
        return path


@dataclass(frozen=True)
class _Part:
    """A download in progress and, beside it, the strong validator of the version that its bytes belong to."""

    path: Path

    @property
    def _validator(self) -> Path:
        return self.path.with_suffix(".etag")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def resume_headers(self) -> dict[str, str]:
        if self.size() and self._validator.exists():
            return {"Range": f"bytes={self.size()}-", "If-Range": self._validator.read_text()}
        return {}

    def restart(self, validator: str | None) -> None:
        self.discard()
        self.path.touch()
        if validator:
            self._validator.write_text(validator)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._validator.unlink(missing_ok=True)


def _download(part: _Part, file: WeightsFile, progress: Progress) -> None:
    """Bring `part` to the end of the file, over several connections if need be."""
    with _client(TIMEOUT) as client:
        for _ in range(MAX_ATTEMPTS):
            before = part.size()
            try:
                if _receive(client, part, file, progress):
                    return
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                if part.size() <= before:
                    raise DownloadError(f"{file.url} cannot be fetched: {_reason(error)}", _NEXT_STEPS) from error
    raise DownloadError(f"{file.url} was cut {MAX_ATTEMPTS} times", _NEXT_STEPS)


def _receive(client: httpx2.Client, part: _Part, file: WeightsFile, progress: Progress) -> bool:
    """Use one connection; say whether it came to its end, or the part did not fit the file and was discarded.

    Raises what httpx2 raises when the connection is cut.
    """
    resume = part.resume_headers()
    with client.stream("GET", file.url, headers={"Accept-Encoding": "identity", **resume}) as response:
        partial = response.status_code == httpx2.codes.PARTIAL_CONTENT
        unsatisfiable = response.status_code == httpx2.codes.RANGE_NOT_SATISFIABLE
        if resume and (unsatisfiable or (partial and not _continues(response, part.size()))):
            part.discard()
            return False
        response.raise_for_status()
        if not partial:
            part.restart(_strong_validator(response))
        arrived = part.size()
        with part.path.open("ab") as output:
            for chunk in response.iter_raw():
                arrived += len(chunk)
                if arrived > file.size:
                    break  # Longer than the file: stop filling the disk, the digest check refuses it.
                output.write(chunk)
                progress(arrived)
    return True


def _continues(response: httpx2.Response, position: int) -> bool:
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return match is not None and int(match[1]) == position


def _strong_validator(response: httpx2.Response) -> str | None:
    """An entity tag fit for `If-Range`; weak ones (RFC 9110 section 8.8.1) do not promise the same bytes."""
    tag: str | None = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else None


def _reason(error: Exception) -> str:
    if isinstance(error, httpx2.HTTPStatusError):
        return f"the server answered {error.response.status_code}"
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__


def _client(timeout: httpx2.Timeout) -> httpx2.Client:
    try:
        return httpx2.Client(timeout=timeout, follow_redirects=True, trust_env=True)
    except (ValueError, ImportError, httpx2.InvalidURL) as error:
        raise DownloadError(
            f"the proxy settings in the environment cannot be used: {error}", "mend HTTPS_PROXY"
        ) from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock: two builds must not append to the same part."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
