"""The release file: artifacts, measurements and policy of a release, as an in-toto Statement v1 that any tool can sign.

    release = load(Path("release.json"))
    checked = check.bundle(release, Path("function.zip"))

`statement.py` defines its contents, `reader.py` parses it strictly, `check.py` compares artifacts with it, `dsse.py`
signs and opens the envelope (DSSE, Ed25519). docs/release-file.md describes the format.
"""

from __future__ import annotations

from blindsight.release_file.dsse import Envelope, open_envelope, sign
from blindsight.release_file.reader import load, parse
from blindsight.release_file.statement import Function, Kernel, Measurement, ReleaseFile, Subject

__all__ = [
    "Envelope",
    "Function",
    "Kernel",
    "Measurement",
    "ReleaseFile",
    "Subject",
    "load",
    "open_envelope",
    "parse",
    "sign",
]
