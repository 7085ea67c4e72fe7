"""`python -m benchmarks.cape_bundle --megabytes 900`: the cost of deploying a large function and of its first run.

Starts a stack, deploys a folder of random bytes with `cape`, runs it twice, and prints wall times and the peak memory
of each process. Where the bundle is held:

- `cape`: one piece at a time; its zip archive is a temporary file on disk.
- gateway: pieces on their way to the disk, and pieces that wait for the enclave.
- enclave runtime: pieces. The decrypted zip archive is a private file in memory (/dev/shm), and so are the files that
  the first run unpacks from it: twice the size of the bundle during that run, and once afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from benchmarks import stack
from benchmarks.processes import ROOT, StackError
from blindsight.cape import tokens
from blindsight.cape.constants import MAX_FUNCTION_BYTES, PREFIX
from blindsight.cape.envelope import Encryptor, load_public_key
from blindsight.client.cape import Host, Trust
from blindsight.errors import CapeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from benchmarks.stack import Service

MODEL = ROOT / "model_build" / "offline_model"
MARK = b"here"
TOO_LARGE = 1_100_000_000

_SHARED_MEMORY = Path("/dev/shm")
_SAMPLE_SECONDS = 0.05
_BLOCK = 1_000_000
_USER = "bench"
_APP = """
import os


def cape_handler(data):
    return data if os.path.getsize("data.bin") == SIZE else b"the data are not all there"
"""


@dataclass
class Measured:
    """Results: bytes of memory by process, before the deployment (`base`) and at the peak; wall times in seconds."""

    megabytes: int
    base: dict[str, int] = field(default_factory=dict)
    peak: dict[str, int] = field(default_factory=dict)
    memory_files: int = 0
    """The largest increase of the bytes used in /dev/shm."""
    seconds: float = 0.0
    cold_seconds: float = 0.0
    warm_seconds: float = 0.0
    output: bytes = b""
    refusals: list[str] = field(default_factory=list)

    @property
    def growth(self) -> dict[str, int]:
        """Peak minus `base`, in bytes, by process."""
        return {name: self.peak[name] - base for name, base in self.base.items()}


class Sampler:
    """Samples memory every 50 ms while the block runs. `watch` adds a process."""

    def __init__(self, measured: Measured, processes: Mapping[str, psutil.Process]) -> None:
        self._measured = measured
        self._processes = dict(processes)
        self._base = _shared_memory()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample_on)
        measured.base = {name: process.memory_info().rss for name, process in processes.items()}
        measured.peak = dict(measured.base)

    def watch(self, name: str, process: psutil.Process) -> None:
        self._processes = {**self._processes, name: process}

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample_on(self) -> None:
        peak = self._measured.peak
        while not self._stop.wait(_SAMPLE_SECONDS):
            for name, process in self._processes.items():
                with contextlib.suppress(psutil.NoSuchProcess):
                    peak[name] = max(peak.get(name, 0), process.memory_info().rss)
            self._measured.memory_files = max(self._measured.memory_files, _shared_memory() - self._base)


class Command:
    """Runs `cape` as a user with a separate configuration folder. `sampler`, if set, also samples its memory."""

    def __init__(self, work: Path, url: str, root: Path) -> None:
        self.config = work / "cape"
        (work / "tmp").mkdir()
        self.sampler: Sampler | None = None
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CAPE_", "BLINDSIGHT_"))}
        self._environment = kept | {
            "CAPE_ENCLAVE_HOST": url,
            "CAPE_ATTESTATION_ROOT": str(root),
            "CAPE_LOCAL_CONFIG_DIR": str(self.config),
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(work / "tmp"),
        }

    def __call__(self, *arguments: str) -> bytes:
        """Return the standard output. Raises `StackError` with its error message if it fails."""
        process = psutil.Popen(
            [sys.executable, "-m", "blindsight_cli.cape.main", *arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if self.sampler is not None:
            self.sampler.watch("cape", process)
        output, error = process.communicate()
        if process.returncode:
            raise StackError(error.decode().strip())
        return bytes(output)


def measure(megabytes: int, work: Path, *, over_limit: bool) -> Measured:
    """Deploy and run a function of `megabytes` million random bytes.

    With `over_limit`, also try to deploy one that is too large. Raises `StackError`.
    """
    measured = Measured(megabytes)
    with stack.blindsight(stack.bundled(MODEL, work), work, **stack.store(work)) as service:
        root = stack.root_certificate(work)
        cape = Command(work, f"http://127.0.0.1:{service.port}", root)
        cape("signup", _USER)
        folder = _function(work / "big", megabytes * 1_000_000)
        with Sampler(measured, _watched(service)) as sampler:
            cape.sampler = sampler
            measured.seconds, deployed = _timed(cape, "deploy", str(folder), "--output", "json")
            function_id = json.loads(deployed)["function_id"]
            measured.cold_seconds, output = _timed(cape, "run", function_id, MARK.decode())
            measured.warm_seconds, _ = _timed(cape, "run", function_id, MARK.decode())
            measured.output = output.rstrip(b"\n")
        shutil.rmtree(folder)
        if over_limit:
            cape.sampler = None
            measured.refusals = [_refused_by_command(cape, work), _refused_by_host(cape, service, root)]
    return measured


def _watched(service: Service) -> dict[str, psutil.Process]:
    return {name: service.roles()[name] for name in ("gateway", "enclave runtime")}


def _timed(cape: Command, *arguments: str) -> tuple[float, bytes]:
    began = time.monotonic()
    output = cape(*arguments)
    return time.monotonic() - began, output


def _function(folder: Path, size: int) -> Path:
    folder.mkdir()
    (folder / "app.py").write_text(_APP.replace("SIZE", str(size)))
    with (folder / "data.bin").open("wb") as file:
        for start in range(0, size, _BLOCK):
            file.write(os.urandom(min(_BLOCK, size - start)))
    return folder


def _refused_by_command(cape: Command, work: Path) -> str:
    """The command adds up file sizes before it reads, so a sparse file suffices."""
    folder = work / "too-large"
    folder.mkdir()
    (folder / "app.py").write_text(_APP)
    with (folder / "data.bin").open("wb") as file:
        file.truncate(TOO_LARGE)
    try:
        cape("deploy", str(folder))
    except StackError as error:
        return str(error)
    finally:
        shutil.rmtree(folder)
    raise StackError("`cape` deployed more than the limit")


def _refused_by_host(cape: Command, service: Service, root: Path) -> str:
    """A client without that check is stopped by the host."""
    key = serialization.load_pem_private_key((cape.config / "owner.key").read_bytes(), None)
    token = tokens.mint(
        _ed25519(key), _USER, "deploy", lifetime=tokens.DEPLOY_LIFETIME, func_checksum="0" * 64,
        function_name="too-large", public=False,
    )  # fmt: skip
    host = Host(f"http://127.0.0.1:{service.port}")
    trust = Trust(x509.load_pem_x509_certificate(root.read_bytes()))
    try:
        with host.connect("/v1/deploy", token, trust) as connection:
            own_key = host.user_key(_USER, trust).der
            connection.deploy("too-large", public=False, pieces=_zeros(own_key))
    except CapeError as error:
        return str(error)
    raise StackError("the host took more than the limit")


def _ed25519(key: object) -> Ed25519PrivateKey:
    return key  # type: ignore[return-value]  # what `cape signup` makes


def _zeros(key: bytes) -> Iterator[bytes]:
    writer = Encryptor(load_public_key(key))
    yield PREFIX + writer.start
    for _ in range(TOO_LARGE // _BLOCK):
        yield writer.update(bytes(_BLOCK))
    yield writer.finish()


def _shared_memory() -> int:
    return shutil.disk_usage(_SHARED_MEMORY).used if _SHARED_MEMORY.is_dir() else 0


def report(measured: Measured) -> str:
    """The results as lines of text."""
    size = measured.megabytes
    lines = [
        f"bundle of {size} MB of random bytes",
        f"deploy        {measured.seconds:7.1f} s  ({size / measured.seconds:.0f} MB/s, zipping and hashing included)",
        f"first run     {measured.cold_seconds:7.1f} s  (the host's copy to the enclave, decrypted and unpacked)",
        f"second run    {measured.warm_seconds:7.1f} s",
        "peak resident memory, and how much of that came with the bundle:",
    ]
    for name, peak in measured.peak.items():
        grown = f"{measured.growth[name] / 1e6:+7.0f} MB" if name in measured.growth else ""
        lines.append(f"  {name:16} {peak / 1e6:7.0f} MB  {grown}")
    lines.append(f"  {'/dev/shm':16} {measured.memory_files / 1e6:7.0f} MB more at the most")
    lines += [f"{TOO_LARGE / 1e6:.0f} MB refused: {refusal}" for refusal in measured.refusals]
    return "\n".join(lines)


def main() -> int:
    """Measure and print. Returns 1 after an error, which is one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cape_bundle", description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=900, help="of random bytes (default %(default)s)")
    options = parser.parse_args()
    if not 0 < options.megabytes * 1_000_000 < MAX_FUNCTION_BYTES:
        parser.error("a function has less than 1000 megabytes")
    try:
        with tempfile.TemporaryDirectory(prefix="cape-bundle-") as work:
            print(report(measure(options.megabytes, Path(work), over_limit=True)))
    except (StackError, OSError, psutil.Error) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
