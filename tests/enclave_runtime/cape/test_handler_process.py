"""Functions' processes, seen from the runtime: results, failures, state, isolation, and what is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from enclave_runtime.cape.handler import MAX_BODY_BYTES
from enclave_runtime.cape.process import HandlerLimits, HandlerProcess
from enclave_runtime.confinement import messages
from tests.enclave_runtime.cape import handler_sources as sources
from tests.enclave_runtime.cape.handler_calls import leftovers, refused, run
from tests.enclave_runtime.cape.handler_sources import ReversingRpc, within
from tests.enclave_runtime.workers.fake_function import Gate, eventually
from tests.support.models import write_colour_model

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from enclave_runtime.confinement.warden import Warden

    Start = Callable[..., Awaitable[HandlerProcess]]

LIMITS = HandlerLimits()
REFUSALS = {f"function raised {name}" for name in ("FileNotFoundError", "OSError", "PermissionError")}
"""What is not lent is not there, or may not be opened, as the kernel's layers have it."""


def waiting(folder: Path, name: str = "function") -> str:
    """What waits at the gate in the folder of the function `name`; its path may be too long for a socket."""
    code = str(folder / "loaded" / name)
    return (
        f"import os, socket\nhere = os.open({code!r}, os.O_PATH)\n"
        "gate = socket.socket(socket.AF_UNIX)\ngate.connect(f'/proc/self/fd/{here}/gate')\n"
    ) + ("gate.recv(1)\n" if name != "function" else "")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- a count


async def test_echo(start_handler: Start, tmp_path: Path):
    process = await start_handler(sources.write(tmp_path, sources.ECHO))
    assert await within(process.call(b"Hello, World!\n")) == b"Hello, World!\n"
    assert await within(process.call("naïve".encode())) == "naïve".encode()
    assert await within(process.call(b"")) == b""
    assert await refused(process.call(b"\xff"), "function_failed") == "function raised UnicodeDecodeError"
    assert await within(process.call(b"again")) == b"again"


async def test_isprime(start_handler: Start, tmp_path: Path):
    process = await start_handler(sources.write(tmp_path, sources.ISPRIME))
    answers = [await within(process.call(f"{number}\n".encode())) for number in (7, 4, 12)]
    assert answers == [b"7 is prime", b"4 is prime", b"12 is composite"]


async def test_hide_and_seek_remembers_on_its_own_connection_only(start_handler: Start, tmp_path: Path):
    code = sources.write(tmp_path, sources.HIDE_AND_SEEK)
    one, other = [await start_handler(code) for _ in range(2)]
    places = [json.dumps({"x": x}).encode() for x in (10, 3, 10)]
    assert [await within(one.call(place)) for place in places] == [
        b"None",
        b"Not even close! 7 meters away",
        b"Congrats, you found me!",
    ]
    assert await within(other.call(places[1])) == b"None"
    assert not (code / "secret.json").exists()


async def test_a_model_loaded_at_import(start_handler: Start, tmp_path: Path):
    """As the published image classifier does it: floats in, JSON of the five best out."""
    code = sources.write(tmp_path, sources.CLASSIFIER)
    (code / "model").mkdir()
    model = write_colour_model(code / "model")
    process = await start_handler(code, threads=2)
    tensor = np.full((1, 3, 224, 224), 0.25, np.float32)
    best = json.loads(await within(process.call(tensor.tobytes())))
    scores = model.scores(tensor)[0]
    assert [model.labels.index(label) for label in best] == list(np.argsort(-scores)[:5])
    assert await refused(process.call(b"too short"), "function_failed") == "function raised ValueError"


async def test_what_a_function_prints_alters_nothing(
    start_handler: Start, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    process = await start_handler(sources.write(tmp_path, sources.NOISY))
    assert await within(process.call(b"a vote")) == b"leader"
    assert await within(process.call(b"a vote")) == b"leader"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("bytes(range(256))", bytes(range(256))),
        ("bytearray(b'\\xff')", b"\xff"),
        ("memoryview(b'abcd')[::2]", b"ac"),
        ("'é\\n'", "é\n".encode()),
        ("{'accuracy': 0.98, 'n': [1]}", b"{'accuracy': 0.98, 'n': [1]}"),
        ("('Image Label is :', 'Egyptian cat', 0.5)", b"('Image Label is :', 'Egyptian cat', 0.5)"),
        ("None", b"None"),
        ("True", b"True"),
        ("b''", b""),
        ("''", b""),
    ],
)
async def test_results(start_handler: Start, tmp_path: Path, expression: str, result: bytes):
    process = await start_handler(sources.write(tmp_path, sources.PROBE))
    assert await run(process, f"result = {expression}") == result


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("raise ValueError('the input')", "ValueError"),
        ("raise Odd('the input')", "Exception"),
        ("raise type('TheInput', (Exception,), {})", "Exception"),
        ("raise type('ValueError', (Exception,), {})", "Exception"),
        ("1 / 0", "ZeroDivisionError"),
        ("sys.exit('the input')", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("result = '\\udc00'", "UnicodeEncodeError"),
        ("result = type('Strange', (), {'__str__': lambda self: 1})()", "TypeError"),
        ("def deeper(): deeper()\ndeeper()", "RecursionError"),
    ],
)
async def test_an_exception_is_told_by_its_type_and_the_process_goes_on(
    start_handler: Start, tmp_path: Path, statement: str, name: str
):
    process = await start_handler(sources.write(tmp_path, sources.PROBE))
    failing = process.call(f"import sys\n{statement}".encode())
    assert await refused(failing, "function_failed") == f"function raised {name}"
    assert not process.ended
    assert await run(process, "result = calls") == b"2"


async def test_big_inputs_and_results(start_handler: Start, tmp_path: Path):
    code = sources.write(tmp_path, "def cape_handler(data):\n    return data if len(data) > 9 else bytes(int(data))\n")
    process = await start_handler(code)
    data = secrets.token_bytes(1 << 20) * 3
    assert await within(process.call(data)) == data
    assert len(await within(process.call(str(MAX_BODY_BYTES).encode()))) == MAX_BODY_BYTES
    assert await refused(process.call(str(MAX_BODY_BYTES + 1).encode()), "function_failed") == "result too large"
    await refused(process.call(bytes(MAX_BODY_BYTES + 1)), "too_large")
    assert await within(process.call(b"1")) == b"\0"


async def test_a_function_that_ends_its_process_is_lost(start_handler: Start, tmp_path: Path):
    process = await start_handler(sources.write(tmp_path, sources.PROBE))
    await refused(process.call(b"import os; os._exit(0)"), "function_lost")
    assert process.ended
    await refused(process.call(b"result = 1"), "function_lost")


async def test_a_late_call_costs_the_process_its_life(start_handler: Start, tmp_path: Path):
    process = await start_handler(sources.write(tmp_path, sources.PROBE), call_seconds=0.3)
    text = await refused(process.call(b"while True: pass"), "deadline_exceeded")
    assert text == "the function took longer than 0.3 s"
    assert process.ended
    await refused(process.call(b"result = 1"), "function_lost")


async def test_a_cancelled_call_ends_the_process(start_handler: Start, tmp_path: Path):
    process = await start_handler(sources.write(tmp_path, sources.PROBE))
    async with Gate(tmp_path / "loaded" / "function") as gate:
        calling = asyncio.create_task(process.call(waiting(tmp_path).encode() + b"\nwhile True: pass"))
        await gate.arrived()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await within(calling)
    assert process.ended


@pytest.mark.parametrize(
    "forged",
    [
        b"\xff" * 8,
        messages.PREFIX.pack(2, 0) + b"[]",
        messages.PREFIX.pack(4, 0) + b"{{{{",
        messages.PREFIX.pack(2, MAX_BODY_BYTES + 1) + b"{}",
        messages.encode({"failure": 1}),
        messages.encode({}),
        messages.PREFIX.pack(200_000, 0) + b"[" * 200_000,
        messages.encode({"ok": True, "x": "y" * 5000}, b"result"),
    ],
)
async def test_a_function_that_forges_an_answer_is_lost(start_handler: Start, tmp_path: Path, forged: bytes):
    process = await start_handler(sources.write(tmp_path, sources.PROBE))
    forging = f"import os, socket\nfor fd in range(3, 4096):\n  try: os.write(fd, {forged!r})\n  except OSError: pass\n"
    await refused(process.call(forging.encode()), "function_lost")
    assert process.ended


async def test_a_forged_name_of_an_exception_is_not_passed_on(start_handler: Start, tmp_path: Path):
    process = await start_handler(sources.write(tmp_path, sources.PROBE))
    forged = messages.encode({"failure": "the input"})
    forging = f"import os\nfor fd in range(3, 4096):\n  try: os.write(fd, {forged!r})\n  except OSError: pass\n"
    assert await refused(process.call(forging.encode()), "function_failed") == "function raised Exception"


async def test_state_lasts_from_call_to_call_and_ends_with_the_process(start_handler: Start, tmp_path: Path):
    code = sources.write(tmp_path, sources.PROBE, **{"data.csv": b"a,b"})
    one, other = [await start_handler(code) for _ in range(2)]
    assert await run(one, "open('data.csv', 'a').write(',c'); import app; app.kept = 5; result = calls") == b"1"
    assert await run(one, "import app; result = (open('data.csv').read(), app.kept, calls)") == b"('a,b,c', 5, 2)"
    assert await run(other, "import app; result = (open('data.csv').read(), hasattr(app, 'kept'), calls)") == (
        b"('a,b', False, 1)"
    )
    await one.close()
    again = await start_handler(code)
    assert await run(again, "result = open('data.csv').read()") == b"a,b"


async def test_the_working_folder(start_handler: Start, tmp_path: Path):
    code = sources.write(tmp_path, "from lib.below import VALUE\n" + sources.PROBE, name="image.classifier")
    (code / "lib" / "empty").mkdir(parents=True)
    (code / "lib" / "below.py").write_text("VALUE = 5")
    (code / "program").write_text("#!/bin/sh\necho run")
    process = await start_handler(code)
    assert await run(process, "import app, os; result = (app.VALUE, os.path.basename(os.getcwd()))") == (
        b"(5, 'image.classifier')"
    )
    assert await run(process, "import sys; result = os.path.realpath(sys.path[0]) == os.getcwd()") == b"True"
    assert await run(process, "import os; result = sorted(os.listdir('lib'))") == b"['below.py', 'empty']"
    assert await run(process, "import subprocess; result = subprocess.check_output('./program')") == b"run\n"
    modified = "import os; result = os.stat('lib/below.py').st_mtime_ns"
    assert int(await run(process, modified)) == (code / "lib" / "below.py").stat().st_mtime_ns


async def test_large_files_are_shared_and_cannot_be_written(start_handler: Start, warden: Warden, tmp_path: Path):
    content = secrets.token_bytes(300_000)
    code = sources.write(tmp_path, sources.PROBE, model=content)
    process = await start_handler(code)
    assert await run(process, "result = open('model', 'rb').read()") == content
    for attempt in ("open('model', 'wb')", "open('model', 'r+b')", "os.truncate('model', 0)", "os.chmod('model', 0)"):
        failing = process.call(
            f"import os; {attempt}; os.stat('model').st_mode & 0o777 or 1 / 0; result = 'no'".encode()
        )
        if "chmod" in attempt and not warden.layers.namespaces:
            assert await within(failing) == b"no"  # Told that it worked, lest copying a file fails.
        else:
            # Of a folder that is lent for reading, the kernel says so in another way than of one that is not lent.
            assert await refused(failing, "function_failed") in REFUSALS
    assert await run(process, "os.remove('model'); open('model', 'w').write('mine'); result = 1") == b"1"
    assert (code / "model").read_bytes() == content


async def test_what_a_function_cannot_reach(start_handler: Start, warden: Warden, tmp_path: Path):
    code = sources.write(tmp_path, sources.PROBE)
    one, other = [await start_handler(code) for _ in range(2)]
    folder = (await run(other, "import os; open('mine', 'w').write('x'); result = os.getcwd()")).decode()
    for attempt in (
        "open('/etc/shadow')",
        "open('/etc/hostname')",
        f"open({folder!r} + '/mine')",
        f"os.listdir({folder!r})",
        f"os.remove({folder!r} + '/mine')",
        "open('../new', 'w')",
        f"open({str(code)!r} + '/app.py', 'a')",
        f"os.listdir('/proc/{other.pid}')",
        f"open('/proc/{os.getpid()}/environ')",
        f"os.readlink('/proc/{other.pid}/cwd')",
        "open('/proc/1/environ')",
        "os.readlink('/proc/1/cwd')",
        "socket.socket()",
        "socket.create_connection(('127.0.0.1', 9))",
    ):
        text = await refused(one.call(f"import os, socket; {attempt}".encode()), "function_failed")
        assert text in REFUSALS, attempt
    if warden.layers.namespaces:  # What is beside its folder is its own.
        assert await run(one, "import os; result = sorted(os.listdir('..'))") == b"['function', 'rpc.sock']"
    for pid in (os.getpid(), other.pid):
        text = await refused(one.call(f"import os; os.kill({pid}, 9)".encode()), "function_failed")
        assert text in {"function raised ProcessLookupError", "function raised PermissionError"}
    assert await run(other, "result = open('mine').read()") == b"x"


async def test_a_function_sees_nothing_of_the_runtime(
    start_handler: Start, warden: Warden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BLINDSIGHT_TOKEN", "a secret of the runtime")
    process = await start_handler(sources.write(tmp_path, sources.PROBE), threads=3)
    seen = json.loads(await run(process, "import json, os; result = json.dumps([dict(os.environ), os.getcwd()])"))
    temporary = "/tmp" if warden.layers.namespaces else seen[1]
    # Where the promised packages lie in no folder of the interpreter's own.
    assert seen[0].pop("PYTHONPATH", "/site-packages").endswith("/site-packages")
    assert seen[0] == {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "HOME": seen[1],
        "LOGNAME": "function",
        "PYTHONPYCACHEPREFIX": f"{temporary}/.bytecode",
        "TMPDIR": temporary,
        "USER": "function",
        "OMP_NUM_THREADS": "3",
        "OPENBLAS_NUM_THREADS": "3",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    # Standard input, output and error, its end of the channel, and the listing itself.
    assert await run(process, "result = len(os.listdir('/proc/self/fd'))") == b"5"
    # What it starts does not even get the channel.
    listing = "import os; print(*[fd for fd in range(64) if os.path.exists(f'/dev/fd/{fd}')])"
    arguments = f"[sys.executable, '-c', {listing!r}], close_fds=False"
    child = f"import subprocess, sys; result = subprocess.check_output({arguments})"
    assert await run(process, child) == b"0 1 2\n"
    assert await run(process, "import sys; result = (sys.argv, sys.flags.isolated)") == b"(['app.py'], 1)"


async def test_limits(start_handler: Start, tmp_path: Path):
    process = await start_handler(sources.write(tmp_path, sources.PROBE), memory_bytes=256 << 20)
    assert await refused(process.call(b"bytearray(300 << 20)"), "function_failed") == "function raised MemoryError"
    limits = (
        "import resource as r; result = [r.getrlimit(getattr(r, 'RLIMIT_' + n)) for n in ('CORE', 'FSIZE', 'NOFILE')]"
    )
    assert await run(process, limits) == str([(0, 0), (1 << 30,) * 2, (1024,) * 2]).encode()
    too_long = "import os; file = open('big', 'wb'); os.posix_fallocate(file.fileno(), 0, (1 << 30) + 1)"
    assert await refused(process.call(too_long.encode()), "function_failed") == "function raised OSError"
    raising = b"import resource as r; r.setrlimit(r.RLIMIT_DATA, (1 << 40, 1 << 40))"
    assert await refused(process.call(raising), "function_failed") == "function raised ValueError"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("raise RuntimeError('no model.onnx')", "app.py cannot be loaded: RuntimeError"),
        ("import missing", "app.py cannot be loaded: ModuleNotFoundError: No module named 'missing'"),
        ("import missing.below", "app.py cannot be loaded: ModuleNotFoundError: No module named 'missing'"),
        ("raise ModuleNotFoundError('other words')", "app.py cannot be loaded: ModuleNotFoundError"),
        ("def broken(:", "app.py cannot be loaded: SyntaxError"),
        ("import sys; sys.exit(3)", "app.py cannot be loaded: SystemExit"),
        ("raise type('E', (Exception,), {'__str__': lambda _: 1})", "app.py cannot be loaded: Exception"),
        ("raise ValueError('x' * 10000)", "app.py cannot be loaded: ValueError"),
        ("def handler(x): return x", "app.py defines no function cape_handler"),
        ("cape_handler = 5", "app.py defines no function cape_handler"),
    ],
)
async def test_a_function_that_cannot_be_loaded(start_handler: Start, tmp_path: Path, source: str, text: str):
    code = sources.write(tmp_path, source)
    assert await refused(start_handler(code), "bad_bundle") == text
    assert leftovers(code) == []


async def test_a_function_that_ends_or_dawdles_while_loading(start_handler: Start, tmp_path: Path):
    code = sources.write(tmp_path, "import os; os._exit(0)", name="ends")
    await refused(start_handler(code), "function_lost")
    dawdling = sources.write(tmp_path, "while True: pass", name="dawdles")
    await refused(start_handler(dawdling, start_seconds=1), "deadline_exceeded")
    assert {path.name for path in code.parent.iterdir()} == {"ends", "dawdles"}


async def test_a_function_that_is_gone_is_no_bad_bundle(start_handler: Start, tmp_path: Path):
    await refused(start_handler(tmp_path / "gone" / "function"), "overloaded")


async def test_no_process_to_be_had(start_handler: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    code, before = sources.write(tmp_path, sources.ECHO), descriptors()
    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    await refused(start_handler(code), "overloaded")
    assert leftovers(code) == []
    await eventually(lambda: descriptors() == before)


async def test_starts_that_fail_or_are_cancelled_leave_nothing(start_handler: Start, tmp_path: Path):
    failing = sources.write(tmp_path, "raise ValueError", name="fails")
    loading = sources.write(tmp_path, waiting(tmp_path, "loads"), name="loads")
    await refused(start_handler(failing), "bad_bundle")  # The first makes the event loop's own descriptors.
    before = descriptors()
    async with Gate(loading) as gate:
        for _ in range(3):
            await refused(start_handler(failing), "bad_bundle")
            starting = asyncio.create_task(start_handler(loading))
            await gate.arrived()
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await within(starting)
            await gate.open()
    (loading / Gate.name).unlink()
    assert {path.name for path in loading.parent.iterdir()} == {"fails", "loads"}
    await eventually(lambda: descriptors() == before)


@pytest.mark.parametrize("turns", range(0, 12, 3))
async def test_a_start_cancelled_early_leaves_nothing(start_handler: Start, tmp_path: Path, turns: int):
    code = sources.write(tmp_path, sources.ECHO)
    starting = asyncio.create_task(start_handler(code))
    for _ in range(turns):
        await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(starting)
    assert leftovers(code) == []


async def test_a_place_elsewhere(warden: Warden, tmp_path: Path):
    code, places = sources.write(tmp_path, sources.ECHO, name="rpc.sock"), tmp_path / "places"
    places.mkdir()
    process = await within(HandlerProcess.start(code, warden=warden, limits=LIMITS, rpc=ReversingRpc(), places=places))
    (place,) = places.iterdir()
    assert "rpc.sock" in [path.name for path in place.iterdir()]
    # Its name cannot be guessed, and others cannot list what is in it.
    assert place.stat().st_mode & 0o777 == 0o711
    assert await within(process.call(b"x")) == b"x"
    await within(process.close())
    assert list(places.iterdir()) == []


async def test_a_machine_that_no_longer_confines_runs_nothing(warden: Warden, tmp_path: Path):
    """The warden has found a layer that the kernel does not give now."""
    code = sources.write(tmp_path, "open('/nowhere/ran', 'w')")
    layers = replace(warden.layers, landlock=1_000)
    start = HandlerProcess.start(code, warden=replace(warden, layers=layers), limits=LIMITS, rpc=ReversingRpc())
    assert await refused(start, "enclave_unavailable") == "functions cannot be confined here"
    assert leftovers(code) == []
