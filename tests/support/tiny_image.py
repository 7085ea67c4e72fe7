"""Enclave images of made-up packages: the builder's own code, without the network and within a second.

`python -m tests.support.tiny_image OUT BUNDLE SOURCE` writes one, as another user or at another time may.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from enclave_image import application
from enclave_image.build import Inputs, build
from enclave_image.kernel import Kernel
from enclave_image.packages import Package, digest
from enclave_image.wheels import Wheel

KERNEL = {"name": "tiny", "version": "1.0", "command_line": "console=ttyS0", "image": {}, "options": {"MULTIUSER": "y"}}


def ar(members: dict[str, bytes]) -> bytes:
    archive = b"!<arch>\n"
    for name, content in members.items():
        archive += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content
        archive += b"\n" * (len(content) % 2)
    return archive


def tar(files: dict[str, bytes | str], *, mode: int = 0o644) -> bytes:
    """A text is a link's target."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.mode = mode
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


def deb(path: Path, files: dict[str, bytes | str], *, mode: int = 0o644) -> Path:
    content = gzip.compress(tar(files, mode=mode))
    path.write_bytes(ar({"debian-binary": b"2.0\n", "control.tar.gz": b"", "data.tar.gz": content}))
    return path


def wheel(folder: Path, name: str, files: dict[str, bytes]) -> Wheel:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
    return Wheel.of(path)


def package(name: str, file: Path) -> tuple[Package, Path]:
    return Package(name, "1.0", digest(file), "debian", "20261126T000000Z", f"pool/{file.name}"), file


def inputs(folder: Path, bundle: bytes | None, sources: dict[str, bytes], **changes: Any) -> Inputs:
    folder.mkdir(parents=True, exist_ok=True)
    given: dict[str, Any] = {
        "variant": "classifier",
        "kernel": Kernel(KERNEL, b"kernel", (("nsm.ko", b"module"),)),
        "packages": [
            package("python3.11-minimal", deb(folder / "python.deb", {"usr/bin/python3.11": b"python"}, mode=0o755)),
            package("zlib1g", deb(folder / "z.deb", {
                "lib/x86_64-linux-gnu/libz.so.1.2": b"library", "lib/x86_64-linux-gnu/libz.so.1": "libz.so.1.2",
                "usr/share/doc/zlib1g/copyright": b"text",
            })),
        ],
        "wheels": [
            wheel(folder, "cbor2", {"cbor2/__init__.py": b"", "cbor2/old.pyc": b"", "cbor2/tests/test_it.py": b""}),
            wheel(folder, "protobuf", {"google/protobuf/__init__.py": b""}),
        ],
        "sources": sources,
        "bundle": bundle,
        "compile_library": lambda tree: {},
    }  # fmt: skip
    return Inputs(**(given | changes))


if __name__ == "__main__":
    out, bundle_file, source = map(Path, sys.argv[1:])
    found = dict(application.files(source, "classifier"))
    description = build(inputs(out.parent / "packages", bundle_file.read_bytes(), found), out)
    print(json.dumps(description))
