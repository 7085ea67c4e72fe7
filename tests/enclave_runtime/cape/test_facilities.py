"""What the compatibility page says that functions find, each tried inside a function's own process."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclave_runtime.cape.process import HandlerLimits, HandlerProcess
from enclave_runtime.confinement.layers import CGROUP, NAMESPACES
from tests.enclave_runtime.cape import handler_sources as sources
from tests.enclave_runtime.cape.facilities import ANYWHERE, MORE_PROCESSES, Facility
from tests.enclave_runtime.cape.handler_sources import ReversingRpc, within

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from enclave_runtime.confinement.warden import Warden

    Start = Callable[..., Awaitable[HandlerProcess]]

HANDLER = """
def cape_handler(data):
    import traceback
    try:
        main()
    except BaseException:
        return traceback.format_exc()
    return "as stated"
"""


def written(folder: Path, facility: Facility) -> Path:
    """The facility's function, with the packages that it brings."""
    code = sources.write(folder, textwrap.dedent(facility.source) + HANDLER)
    for package in facility.packages:
        shutil.copytree(Path(str(pytest.importorskip(package).__file__)).parent, code / package)
    return code


def named(facilities: tuple[Facility, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("facility", facilities, ids=[each.name for each in facilities])


@named((*ANYWHERE, *MORE_PROCESSES))
async def test_with_all_layers(start_handler: Start, warden: Warden, tmp_path: Path, facility: Facility):
    if facility in MORE_PROCESSES and not {NAMESPACES, CGROUP} <= set(warden.layers.present):
        pytest.skip("this machine has no namespaces or no control groups")
    process = await start_handler(written(tmp_path, facility))
    assert (await within(process.call(b""), 60)).decode() == "as stated"


@named(ANYWHERE)
async def test_without_namespaces_and_control_groups(bare_warden: Warden, tmp_path: Path, facility: Facility):
    code = written(tmp_path, facility)
    start = HandlerProcess.start(code, warden=bare_warden, limits=HandlerLimits(), rpc=ReversingRpc())
    process = await within(start)
    try:
        assert (await within(process.call(b""), 60)).decode() == "as stated"
    finally:
        await process.close()
