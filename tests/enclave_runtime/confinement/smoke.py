"""Confinement in short, for unusual surroundings: prints what there is, and what a function then reaches."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from typing import Any

from enclave_runtime import archive
from enclave_runtime.cape.process import HandlerLimits, HandlerProcess
from enclave_runtime.confinement.warden import Warden

FUNCTION = """
import json, os, socket, sys


def tried(attempt, *arguments):
    try:
        attempt(*arguments)
    except OSError:
        return "refused"
    return "reached"


def cape_handler(data):
    secret, runtime = json.loads(data)
    open("mine", "w").write("x")
    import numpy
    return json.dumps({
        "file": tried(open, secret),
        "network": tried(socket.socket),
        "runtime": tried(os.kill, runtime, 0),
        "first": tried(open, "/proc/1/root" + secret),
        "above": tried(open, "/../../../.." + secret),
        "own": open("mine").read(),
        "user": os.getuid(),
    })
"""


async def main() -> None:
    """Arguments: a file that all users could read."""
    secret = sys.argv[1]
    warden = Warden.appoint(total_bytes=1 << 32)
    no_keys: Any = None
    place = archive.private_folder()
    try:
        code = archive.unguessable(place) / "function"
        code.mkdir()
        (code / "app.py").write_text(FUNCTION)
        process = await HandlerProcess.start(code, warden=warden, limits=HandlerLimits(), rpc=no_keys)
        try:
            reached = json.loads(await process.call(json.dumps([secret, os.getpid()]).encode()))
        finally:
            await process.close()
    finally:
        shutil.rmtree(place)
        warden.close()
    left = [str(path) for path in place.parent.glob(f"{archive.PREFIX}*.{os.getpid()}.*")]
    print(json.dumps({"summary": warden.summary(), "reached": reached, "place": str(place.parent), "left": left}))


if __name__ == "__main__":
    asyncio.run(main())
