"""The contents of an image, with a reason for each part: which of its files are in the image, and which are not.

Packages and wheels that are not listed here are refused, so that no code enters an image without a reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from enclave_image.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Part:
    """A part of the trusted set. `keeps` and `drops` are patterns of paths in the image; `*` also matches slashes."""

    reason: str
    keeps: tuple[str, ...] = ("*",)
    drops: tuple[str, ...] = ()

    def takes(self, path: str) -> bool:
        """Whether the image contains the part's file at `path`."""
        return _any(path, self.keeps) and not _any(path, self.drops)


def _any(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def _library(*names: str) -> tuple[str, ...]:
    return tuple(f"usr/lib/x86_64-linux-gnu/{name}" for name in names)


_PYTHON: Final = "usr/lib/python3.11"

UNUSED_BINARIES: Final = tuple(
    f"{_PYTHON}/lib-dynload/{name}.cpython-*" for name in (
        "_bz2", "_crypt", "_ctypes_test", "_curses", "_curses_panel", "_dbm", "_lzma", "_sqlite3", "_test*", "_uuid",
        "_xx*", "audioop", "nis", "ossaudiodev", "readline", "xxlimited*",
    )
)  # fmt: skip
"""Extension modules that are left out; most are linked with libraries that the image does not contain."""

# Neither runtime nor worker imports these, and functions cannot use them: developer tools, windows, terminals, servers
# and clients for networks that an enclave does not have, and modules whose libraries are not in the image.
_UNUSED_LIBRARY: Final = (
    *(f"{_PYTHON}/{name}" for name in (
        "test/*", "idlelib/*", "lib2to3/*", "ensurepip/*", "distutils/*", "venv/*", "pydoc_data/*", "unittest/*",
        "turtle*", "pydoc.py", "doctest.py", "pdb.py", "antigravity.py", "this.py", "__hello__.py", "__phello__/*",
        "curses/*", "dbm/*", "sqlite3/*", "wsgiref/*", "xmlrpc/*", "nntplib.py", "imaplib.py", "poplib.py",
        "smtpd.py", "smtplib.py", "telnetlib.py", "ftplib.py", "webbrowser.py", "cgi*.py", "mailbox.py", "mailcap.py",
        "aifc.py", "sunau.py", "sndhdr.py", "wave.py", "crypt.py", "bz2.py", "lzma.py", "EXTERNALLY-MANAGED",
        "_sysconfigdata__x86_64-linux-gnu.py", "_aix_support.py", "_osx_support.py", "_bootsubprocess.py",
        "_distutils_system_mod.py", "asynchat.py", "asyncore.py", "rlcompleter.py", "profile.py", "cProfile.py",
        "*/architecture.rst",
    )),
    *UNUSED_BINARIES,
)  # fmt: skip

PACKAGES: Final[dict[str, Part]] = {
    "libc6": Part(
        "the C library, its loader and its mathematics, which everything else is linked with",
        ("usr/lib64/ld-linux-x86-64.so.2", *_library(
            "ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1",
        )),
    ),
    "libexpat1": Part("XML, built into Debian's interpreter", _library("libexpat.so.1*")),
    "libffi8": Part("calls into the kernel: ctypes, in /init and in confinement", _library("libffi.so.8*")),
    "libgcc-s1": Part("unwinding, for ONNX Runtime and numpy", _library("libgcc_s.so.1")),
    "libpython3.11-minimal": Part("the standard library, essential part", (f"{_PYTHON}/*",), _UNUSED_LIBRARY),
    "libpython3.11-stdlib": Part("the standard library, the rest", (f"{_PYTHON}/*",), _UNUSED_LIBRARY),
    "libssl3": Part("hashes of the standard library; TLS to AWS KMS inside", _library("libcrypto.so.3", "libssl.so.3")),
    "libstdc++6": Part("the C++ library, for ONNX Runtime and Pillow", _library("libstdc++.so.6*")),
    "python3.11-minimal": Part("the interpreter", ("usr/bin/python3.11",)),
    "zlib1g": Part("the bundle is a zip", _library("libz.so.1*")),
}  # fmt: skip

_TESTS: Final = ("*/tests/*", "*/testing/*", "*.pyi", "*/py.typed", "*.pxd", "*.h", "*.a", "*.c", "*/include/*")

WHEELS: Final[dict[str, Part]] = {
    "cbor2": Part("evidence, COSE and the enclave's own records", drops=_TESTS),
    "cffi": Part("under cryptography", drops=(*_TESTS, "cffi/recompiler.py", "cffi/vengine_*.py")),
    "cryptography": Part("HPKE, AES-GCM, ECDSA, X.509", drops=_TESTS),
    "numpy": Part(
        "tensors, under ONNX Runtime and in the function",
        drops=("numpy/*/tests/*", "numpy/tests/*", "*.pyi", "*.pxd", "*.h", "*.a", "*.c", "numpy/f2py/*",
               "numpy/distutils/*", "numpy/_pyinstaller/*"),
    ),
    "onnxruntime": Part(
        "runs the model",
        drops=(*_TESTS, "onnxruntime/transformers/*", "onnxruntime/quantization/*", "onnxruntime/tools/*",
               "onnxruntime/datasets/*", "onnxruntime/backend/*"),
    ),
    "pillow": Part("decodes images, in workers only", drops=_TESTS),
    "pyjwt": Part("Cape's tokens", drops=_TESTS),
    "rfc8785": Part("canonical JSON", drops=_TESTS),
}  # fmt: skip

NOT_IMPORTED: Final = {
    "flatbuffers": "ONNX Runtime's tools need it, its engine does not",
    "packaging": "ONNX Runtime's tools need it, its engine does not",
    "protobuf": "ONNX Runtime's tools need it, its engine does not",
    "pycparser": "cffi needs it to read declarations, which nothing here does",
}
"""Distributions that are locked, because others require them at installation, but left out; with the reasons."""

OWN: Final = {
    "kernel modules": "drivers of sockets to the host and of the security module, which the kernel has not built in",
    "init": "the first process: mounts, modules, heartbeat, start and end of the runtime",
    "accounts": "names for user ids, and how names are looked up",
    "compiled library": "the standard library, compiled by the image's own interpreter: else each process would",
    "enclave_runtime": "the runtime: evidence, keys, confinement, server",
    "blindsight": "the protocol core",
    "settings": "what the image was built for: measured, read by /init",
    "function": "the bundle: the function's code and its model",
}
"""Parts from the source tree, and parts that the builder makes."""


def part_of(kind: str, name: str, known: dict[str, Part]) -> Part:
    """The part `name` in `known`. Raises `ImageError` if it is not listed; `kind` is the word for it in the message."""
    if name not in known:
        raise ImageError(
            f"The {kind} {name} is not in the trusted set.",
            "Say in enclave_image/trusted_set.py what the image needs it for.",
        )
    return known[name]
