"""What a function can import: the standard library, what it brings, and what the compatibility page promises."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest

from enclave_runtime.cape.process import HandlerLimits, HandlerProcess
from enclave_runtime.confinement.layers import CGROUP, NAMESPACES
from tests.enclave_runtime.cape import handler_sources as sources
from tests.enclave_runtime.cape.handler_sources import ReversingRpc, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from enclave_runtime.confinement.warden import Warden

PROMISED = {"numpy", "onnxruntime", "pillow"}
MODULES = {"PIL", "numpy", "onnxruntime"}

LOOKING = """
import importlib.metadata, importlib.util, json, os, pkgutil, sys

def seen(names):
    library = os.path.dirname(os.__file__)
    return {
        "found": [name for name in names if importlib.util.find_spec(name)],
        "listed": sorted(
            each.name for each in pkgutil.iter_modules()
            if os.path.dirname(each.module_finder.path) != library and each.module_finder.path != library
        ),
        "distributions": sorted({each.name for each in importlib.metadata.distributions()}),
    }
"""

FUNCTION = """
import sys
LOADED = sorted(sys.modules)
MAIN = sys.modules["__main__"]

import json, looking, subprocess

def cape_handler(names):
    import PIL.Image, numpy, onnxruntime
    assert numpy.ones(2).sum() == 2 and PIL.Image.new("L", (1, 1)).size == (1, 1) and onnxruntime.get_device()
    return json.dumps({
        **looking.seen(json.loads(names)),
        "loaded": LOADED,
        "main": sorted(name for name in vars(MAIN) if name[:2] != "__"),
        "modules": sorted({name.partition(".")[0] for name in sys.modules}),
    })
"""

IN_ANOTHER = """
import subprocess, sys
code = f"import json, looking; print(json.dumps(looking.seen({NAMES!r})))"
result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
result = result.stdout or result.stderr
"""


def others() -> list[str]:
    """Modules that this machine's interpreter finds beside those: the runtime's dependencies, tools, its own code."""
    installed = {name for name in metadata.packages_distributions() if name.isidentifier()}
    ours = {"enclave_runtime", "blindsight", "gateway", "tests", "boot"}
    found = sorted((installed | ours) - MODULES - set(sys.stdlib_module_names))
    assert {"cbor2", "cryptography", "jwt", "pip"} <= set(found)
    return found


@pytest.fixture(params=["all layers", "bare"])
async def start(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Start the function in a folder, in each confinement."""
    warden: Warden = request.getfixturevalue("warden" if request.param == "all layers" else "bare_warden")
    started = []

    async def start(source: str) -> HandlerProcess:
        code = sources.write(tmp_path, source, **{"looking.py": LOOKING.encode()})
        (code / "brought").mkdir()
        (code / "brought" / "__init__.py").touch()
        (code / "brought-1.2.dist-info").mkdir()
        (code / "brought-1.2.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.2\n")
        process = await within(HandlerProcess.start(code, warden=warden, limits=HandlerLimits(), rpc=ReversingRpc()))
        started.append(process)
        return process

    yield start
    for process in started:
        await process.close()


async def test_a_function_finds_what_is_promised_and_nothing_else(start: Callable[..., Awaitable[HandlerProcess]]):
    process = await start(FUNCTION)
    seen = json.loads(await within(process.call(json.dumps(others()).encode())))
    assert seen["found"] == []
    assert set(seen["listed"]) == MODULES | {"app", "brought", "looking"}
    assert set(seen["distributions"]) == PROMISED | {"brought"}
    known = set(sys.stdlib_module_names) | {"__main__", "app"}
    assert [name for name in seen["loaded"] if name.partition(".")[0] not in known] == []
    # Compiled modules of the three bring `cython_runtime` and the like.
    unknown = set(seen["modules"]) - known - MODULES - {"looking"}
    assert [name for name in unknown if "cython" not in name] == []
    assert seen["main"] == []


async def test_what_a_function_brings_comes_first(start: Callable[..., Awaitable[HandlerProcess]], tmp_path: Path):
    own = tmp_path / "loaded" / "function" / "numpy.py"
    own.parent.mkdir(parents=True)
    own.write_text("version = 'its own'\n")
    process = await start("import numpy\ndef cape_handler(_):\n    return numpy.version\n")
    assert await within(process.call(b"")) == b"its own"


async def test_an_interpreter_that_it_starts_finds_the_same(
    start: Callable[..., Awaitable[HandlerProcess]], request: pytest.FixtureRequest, warden: Warden
):
    if "bare" in request.node.callspec.id or not {NAMESPACES, CGROUP} <= set(warden.layers.present):
        pytest.skip("it can start none there")
    process = await start(sources.PROBE)
    seen = json.loads(await within(process.call(IN_ANOTHER.replace("NAMES", repr(others())).encode())))
    assert seen["found"] == []
    assert set(seen["listed"]) == MODULES | {"app", "brought", "looking"}
    assert set(seen["distributions"]) == PROMISED | {"brought"}


async def test_a_folder_of_packages_that_it_names_itself_has_no_others(
    start: Callable[..., Awaitable[HandlerProcess]], request: pytest.FixtureRequest, warden: Warden
):
    """Without namespaces the kernel shows their names, and lets none be read."""
    folders = [path for path in sys.path if path.endswith("-packages")]
    process = await start(sources.PROBE)
    source = f"""
import json, os, sys
listed, imported = set(), []
for folder in {folders!r}:
    try:
        listed.update(name.partition("-")[0].partition(".")[0] for name in os.listdir(folder))
    except (FileNotFoundError, PermissionError):
        pass
    sys.path.append(folder)
    for name in ("cbor2", "jwt", "rfc8785"):
        try:
            __import__(name)
        except (ImportError, PermissionError):
            continue
        imported.append(name)
result = json.dumps([sorted(listed), imported])
"""
    listed, imported = json.loads(await within(process.call(source.encode())))
    assert imported == []
    if "bare" not in request.node.callspec.id and NAMESPACES in warden.layers.present:
        assert set(listed) <= MODULES | PROMISED
