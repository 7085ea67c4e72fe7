"""Compiled code for the runtime's child processes, which the runtime compiles itself from the measured sources.

Otherwise each worker would need some tenths of a second to compile its imports.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

from enclave_runtime import archive, boot

if TYPE_CHECKING:
    from types import TracebackType

    from enclave_runtime.variants import Variant

MODULES: Final = (
    "enclave_runtime.workers.worker",
    "numpy",
    "numpy.typing",
    "onnxruntime",
    "PIL.BmpImagePlugin",
    "PIL.GifImagePlugin",
    "PIL.ImageCms",
    "PIL.ImageOps",
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "PIL.PpmImagePlugin",
    "PIL.WebPImagePlugin",
)
"""Modules that nearly every process imports; a process compiles others itself."""


class Bytecode:
    """A private folder of compiled code, filled by a separate process. Use `with`, which removes the folder at the end.

    Files appear in it complete, so no process has to wait for them.
    """

    def __init__(self, variant: Variant) -> None:
        """Raises `OSError`."""
        more = ("enclave_runtime.cape.handler",) if variant == "cape" else ()
        self.place = archive.private_folder()
        self.folder = self.place / "bytecode"
        self.folder.mkdir()
        # Readable for user ids of other processes, whatever the operator's umask.
        self.folder.chmod(0o755)
        self._process = subprocess.Popen(
            boot.command("--compile", str(self.folder), *more, *MODULES),
            # It imports ONNX Runtime, which must not speak of it, and has no user's folder to keep anything in.
            env={"ORT_DISABLE_TELEMETRY": "1", "HOME": "/", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            umask=0o022,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    async def wait(self) -> None:
        """Wait until the process that fills it has ended, so that it leaves no zombie."""
        await asyncio.to_thread(self._process.wait)

    def __enter__(self) -> Bytecode:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.place, ignore_errors=True)
