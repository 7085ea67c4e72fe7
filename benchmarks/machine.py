"""Facts about the machine, versions, models and photos of a run."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

_DISTRIBUTIONS = ("onnxruntime", "numpy", "pillow", "fastapi", "uvicorn", "uvloop", "httptools", "cryptography")
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "asimddp", "i8mm", "bf16")
"""Processor features that determine the speed of a network."""


def machine_facts() -> dict[str, Any]:
    """Processor and its features, number of processors, memory in bytes, and system."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    name = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    has = set(flags[1].split()) if flags else set()
    return {
        "processor": name[1] if name else platform.processor(),
        "processors": os.cpu_count(),
        "features": [flag for flag in _FLAGS if flag in has],
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the distributions that matter for the speed."""
    found = {name: importlib.metadata.version(name) for name in _DISTRIBUTIONS}
    return {"python": platform.python_version()} | found


def model_facts(folder: Path) -> dict[str, Any]:
    """The members of a model's manifest that identify it; with `precision`, its agreement with float32."""
    manifest = json.loads((folder / "model.json").read_text())
    names = ("name", "version", "trained", "onnx", "precision")
    return {name: manifest[name] for name in names if name in manifest}


def photo_facts(path: Path) -> dict[str, Any]:
    """Name, bytes, width and height in pixels, and SHA-256 in hexadecimal."""
    content = path.read_bytes()
    with Image.open(path) as image:
        size = {"width": image.width, "height": image.height}
    return {"name": path.name, "bytes": len(content), **size, "sha256": hashlib.sha256(content).hexdigest()}
