"""Many clients at once, each with a process of its own; and a bundle that is large for one machine.

`BLINDSIGHT_CAPE_SESSIONS=200` makes the large run. The bundle's benchmark is `python -m benchmarks.cape_bundle`.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from base64 import b64decode
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from websockets import Subprotocol
from websockets.asyncio.client import connect

from benchmarks import cape_bundle
from blindsight.cape import evidence
from blindsight.cape.messages import b64
from tests.support.cape_guest import Guest, sealed, trust_of, zipped
from tests.support.stack import running_stack
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.models import TinyModel

SESSIONS = int(os.environ.get("BLINDSIGHT_CAPE_SESSIONS", "40"))
INPUTS = 3
SECONDS = 60 + 2.0 * SESSIONS

COUNTER = """
count = 0


def cape_handler(data):
    global count
    count += 1
    return b"%d of " % count + data
"""


async def session(guest: Guest, function_id: str, all_open: asyncio.Barrier) -> float:
    """One client, with evidence checked; its inputs are sent ahead once all are connected.

    Seconds until its last answer.
    """
    url = f"{guest.url.replace('http', 'ws', 1)}/v1/run/{function_id}"
    protocols = [Subprotocol("cape.runtime"), Subprotocol(guest.token("run"))]
    async with connect(
        url, subprotocols=protocols, compression=None, proxy=None, open_timeout=SECONDS, ping_interval=None
    ) as socket:
        nonce = secrets.token_bytes(12)
        await socket.send(json.dumps({"message": {"nonce": b64(nonce)}}))
        raw = b64decode(json.loads(await socket.recv())["message"]["message"])
        document = evidence.verify_document(raw, root=guest.trust.root, nonce=nonce, at=datetime.now(UTC), pcrs={})
        assert document.public_key is not None
        await all_open.wait()
        began = time.monotonic()
        values = [secrets.token_bytes(20_000) for _ in range(INPUTS)]
        for value in values:
            await socket.send(sealed(document.public_key, value))
        for number, value in enumerate(values, start=1):
            output = b64decode(json.loads(await socket.recv())["message"]["message"])
            assert output == b"%d of " % number + value
    return time.monotonic() - began


@pytest.mark.timeout(SECONDS + 120)
def test_many_sessions_at_once(colour_model: TinyModel, tmp_path: Path) -> None:
    """Each is answered in order, from a count and with data that no other session shares."""
    with running_stack(colour_model.folder, tmp_path, workers=1, cape=True) as stack:
        ada = Guest.sign_up("ada", stack.gateway.url, trust_of(stack))
        function_id = ada.deploy("counter", zipped(COUNTER))

        async def all_of_them() -> list[float]:
            all_open = asyncio.Barrier(SESSIONS)
            async with asyncio.timeout(SECONDS):
                return await asyncio.gather(*(session(ada, function_id, all_open) for _ in range(SESSIONS)))

        began = time.monotonic()
        seconds = sorted(asyncio.run(all_of_them()))
        print(
            f"\n{SESSIONS} sessions of {INPUTS} inputs in {time.monotonic() - began:.1f} s;"
            f" last answers after {seconds[0]:.1f} s (first), {seconds[SESSIONS // 2]:.1f} s (median),"
            f" {seconds[-1]:.1f} s (last)"
        )
        wait_until("all places are free again", lambda: stack.gateway.metric("cape_sessions") == 0)
        assert ada.run(function_id, b"x") == b"1 of x"


def test_a_bundle_is_deployed_within_bounds(tmp_path: Path) -> None:
    """The gateway and the command hold pieces of it, not all: at 20 MB that shows already."""
    measured = cape_bundle.measure(20, tmp_path, over_limit=False)
    assert measured.seconds > 0
    assert measured.output == cape_bundle.MARK
    assert measured.growth["gateway"] < 30 << 20
    assert measured.peak["cape"] < 120 << 20
    # Looked at now and then, so less than its peak: but the code was in memory files.
    assert measured.memory_files >= 10_000_000
