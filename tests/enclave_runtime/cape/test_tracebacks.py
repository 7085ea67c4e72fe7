"""What a function's process says of a failure when its code is tested, and that it says nothing otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enclave_runtime.cape.handler import MAX_TRACEBACK_BYTES
from enclave_runtime.cape.process import ExplainedError, HandlerLimits, HandlerProcess
from enclave_runtime.confinement import messages
from tests.enclave_runtime.cape import handler_sources as sources
from tests.enclave_runtime.cape.handler_calls import refused, run
from tests.enclave_runtime.cape.handler_sources import ReversingRpc, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from enclave_runtime.confinement.warden import Warden

    Start = Callable[..., Awaitable[HandlerProcess]]

HEAD = "Traceback (most recent call last):\n"


@pytest.fixture
async def tested(warden: Warden, tmp_path: Path) -> AsyncIterator[HandlerProcess]:
    """A process that runs its input, in a test."""
    code = sources.write(tmp_path, sources.PROBE)
    process = await within(
        HandlerProcess.start(code, warden=warden, limits=HandlerLimits(), rpc=ReversingRpc(), explain=True)
    )
    yield process
    await process.close()


async def traceback_of(process: HandlerProcess, source: str) -> str:
    with pytest.raises(ExplainedError) as error:
        await run(process, source)
    assert error.value.code == "function_failed"
    return error.value.traceback.decode()


@pytest.mark.parametrize(
    ("source", "last"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise Odd('words')", "app.Odd: words"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("raise type('E', (Odd,), {'__str__': lambda _: 1, '__module__': 'app'})", "app.E: <exception str() failed>"),
        ("result = int('x')", "ValueError: invalid literal for int() with base 10: 'x'"),
        ("result = type('Odd', (), {'__str__': lambda _: 1})()", "TypeError: __str__ returned non-string (type int)"),
        ("raise ValueError('\\udc00')", "ValueError: ?"),
        ("raise ExceptionGroup('several', [ValueError('one')])", "    +------------------------------------"),
    ],
)  # fmt: skip
async def test_a_traceback_begins_with_the_functions_code(tested: HandlerProcess, source: str, last: str):
    lines = (await traceback_of(tested, source)).splitlines()
    assert lines[-1] == last
    frames = [line for line in lines if line.lstrip(" |+-").startswith('File "')]
    if "'Odd'" in source:  # It fails after the function has answered.
        assert frames == []
    else:
        assert frames[0].lstrip(" |+-") == 'File "app.py", line 14, in cape_handler'
    assert not [line for line in lines if "enclave_runtime" in line]


async def test_causes_are_told_and_a_long_one_is_cut_at_its_beginning(tested: HandlerProcess):
    source = """
try:
    1 / 0
except ZeroDivisionError as error:
    raise ValueError("words") from error
"""
    text = await traceback_of(tested, source)
    assert text.count(HEAD) == 2
    assert "ZeroDivisionError: division by zero\n\nThe above exception was the direct cause" in text
    assert text.endswith("ValueError: words\n")
    text = await traceback_of(tested, "raise ValueError('x' * 1_000_000)")
    assert len(text) == MAX_TRACEBACK_BYTES
    assert text.endswith("xxx\n")
    assert await run(tested, "result = 'goes on'") == b"goes on"


async def test_a_result_that_is_too_large_has_none(tested: HandlerProcess):
    assert await refused(tested.call(b"result = bytes((64 << 20) + 1)"), "function_failed") == "result too large"


async def test_what_a_function_forges_reaches_the_party_that_tests_it_alone(
    tested: HandlerProcess, start_handler: Start, tmp_path: Path
):
    forged = messages.encode({"failure": "ValueError"}, b"the input")
    forging = f"import os\nfor fd in range(3, 4096):\n  try: os.write(fd, {forged!r})\n  except OSError: pass\n"
    assert await traceback_of(tested, forging) == "the input"
    called = await start_handler(sources.write(tmp_path / "called", sources.PROBE))
    with pytest.raises(Exception, match="function raised ValueError") as error:
        await run(called, forging)
    assert not hasattr(error.value, "traceback")


async def test_a_function_without_a_handler_has_none(warden: Warden, tmp_path: Path):
    code = sources.write(tmp_path, "x = 1")
    start = HandlerProcess.start(code, warden=warden, limits=HandlerLimits(), rpc=ReversingRpc(), explain=True)
    with pytest.raises(ExplainedError, match=r"app\.py defines no function cape_handler") as error:
        await within(start)
    assert error.value.traceback == b""
