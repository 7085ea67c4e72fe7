"""Functions' processes end with all that they started and made."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from tests.enclave_runtime.cape import handler_sources as sources
from tests.enclave_runtime.cape.handler_calls import leftovers, refused, run, watching
from tests.enclave_runtime.cape.handler_sources import within

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from enclave_runtime.cape.process import HandlerProcess

    Start = Callable[..., Awaitable[HandlerProcess]]


async def test_close_ends_all_that_the_function_started(start_handler: Start, tmp_path: Path):
    process = await start_handler(sources.write(tmp_path, sources.PROBE))
    source = """
        import os, subprocess, sys
        os.setsid()
        quiet = "import os, time; os.setsid(); os.setpgid(0, 0); print(flush=True); time.sleep(1000)"
        child = subprocess.Popen([sys.executable, "-c", quiet], start_new_session=True, stdout=subprocess.PIPE)
        child.stdout.readline()
    """.replace("\n        ", "\n")
    await run(process, source)
    with watching(process) as watches:
        assert len(watches) >= 2
        assert not select.select(watches, [], [], 0)[0]
        await within(process.close())
        for watch in watches:
            assert select.select([watch], [], [], 20)[0]
    assert process.ended
    await process.close()


async def test_what_a_lost_function_started_ends_too(start_handler: Start, tmp_path: Path):
    process = await start_handler(sources.write(tmp_path, sources.PROBE))
    await run(process, "import subprocess; subprocess.Popen(['/bin/sleep', '1000'])")
    with watching(process) as watches:
        await refused(process.call(b"import os; os._exit(0)"), "function_lost")
        for watch in watches:
            assert select.select([watch], [], [], 20)[0]


async def test_close_removes_whatever_the_function_made(start_handler: Start, tmp_path: Path):
    code = sources.write(tmp_path, sources.PROBE, large=bytes(300_000))
    process = await start_handler(code)
    deep = "import os\nfor _ in range(1200):\n  os.mkdir('d'); os.chdir('d')\nopen('file', 'w').close()\n"
    assert await run(process, deep) == b"None"
    assert await run(process, "os.mkdir('shut', 0); os.umask(0o777); os.mkdir('dark')") == b"None"
    await within(process.close())
    assert leftovers(code) == []
    assert (code / "large").stat().st_size == 300_000


async def test_a_process_dies_with_its_runtime(tmp_path: Path):
    code = sources.write(tmp_path, sources.PROBE)
    runtime_source = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from enclave_runtime.cape.process import HandlerLimits, HandlerProcess\n"
        "from enclave_runtime.confinement.warden import Warden\n"
        "async def main():\n"
        "    start = HandlerProcess.start\n"
        "    warden = Warden.appoint(total_bytes=1 << 32)\n"
        "    process = await start(Path(sys.argv[1]), warden=warden, limits=HandlerLimits(), rpc=None)\n"
        "    print(process.pid, flush=True)\n"
        "    await process.call(b'while True: pass')\n"
        "asyncio.run(main())\n"
    )
    runtime = await asyncio.create_subprocess_exec(
        sys.executable, "-c", runtime_source, str(code), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert runtime.stdout is not None
    process = SimpleNamespace(pid=int(await within(runtime.stdout.readline())))
    with watching(process) as watches:
        assert not select.select(watches, [], [], 0)[0]
        runtime.kill()
        await within(runtime.wait())
        for watch in watches:
            assert select.select([watch], [], [], 20)[0]


async def test_an_interrupt_from_the_terminal_is_the_runtimes_to_handle(start_handler: Start, tmp_path: Path):
    process = await start_handler(sources.write(tmp_path, sources.PROBE))
    os.killpg(process.pid, signal.SIGINT)
    assert await run(process, "result = 1") == b"1"
