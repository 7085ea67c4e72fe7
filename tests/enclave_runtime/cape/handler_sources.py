"""Functions like the published examples, and one whose calls say what it is to try."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

from blindsight.errors import CapeError

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

ECHO = """
def cape_handler(text):
    return text.decode()
"""

ISPRIME = """
import math


def cape_handler(text):
    number = int(text)
    # As published: 4 and 9 are primes to it.
    for divisor in range(2, int(math.sqrt(number))):
        if number % divisor == 0:
            return f"{number} is composite"
    return f"{number} is prime"
"""

HIDE_AND_SEEK = """
import json
from pathlib import Path

SECRET = "./secret.json"


def cape_handler(message):
    place = json.loads(message)
    if not Path(SECRET).exists():
        with open(SECRET, "w") as file:
            json.dump(place, file)
        return None
    with open(SECRET) as file:
        secret = json.load(file)
    away = abs(secret["x"] - place["x"])
    return "Congrats, you found me!" if not away else f"Not even close! {away} meters away"
"""

CLASSIFIER = """
import json

import numpy as np
import onnxruntime

with open("model/labels.txt") as file:
    LABELS = file.read().split()
SESSION = onnxruntime.InferenceSession("./model/tiny.onnx", providers=["CPUExecutionProvider"])


def cape_handler(image_bytes):
    image = np.frombuffer(image_bytes, np.float32).reshape(1, 3, 224, 224)
    (scores,) = SESSION.run(None, {"input": image})
    return json.dumps({LABELS[index]: float(scores[0][index]) for index in np.argsort(-scores[0])[:5]})
"""

NOISY = """
import os, sys
print("loading")


def cape_handler(data):
    print("votes:", data)
    print("on error", file=sys.stderr)
    os.write(1, data * 1000)
    os.write(2, data * 1000)
    sys.stdout.flush()
    return "leader"
"""

PROBE = """
import os, subprocess, sys
calls = 0


class Odd(ValueError):
    pass


def cape_handler(data):
    global calls
    calls += 1
    scope = {"calls": calls, "Odd": Odd, "os": os, "subprocess": subprocess, "sys": sys}
    exec(data, scope)
    return scope.get("result")
"""
"""Runs its input; answers what that left in `result`."""


class ReversingRpc:
    """Reverses values instead of encrypting them."""

    def encrypt(self, plaintext: memoryview) -> list[bytes]:
        if plaintext == b"fail":
            raise RuntimeError("the plaintext was fail")
        return [b"cape:", base64.b64encode(bytes(plaintext)[::-1])]

    def decrypt(self, value: memoryview) -> list[bytes]:
        if value[:5] != b"cape:":
            raise CapeError("cannot_decrypt", "not a cape: value")
        return [base64.b64decode(bytes(value[5:]))[::-1]]


def write(folder: Path, source: str, name: str = "function", **files: bytes) -> Path:
    """Write a function's folder."""
    code = folder / "loaded" / name
    code.mkdir(parents=True, exist_ok=True)
    (code / "app.py").write_text(source)
    for file, content in files.items():
        (code / file).write_bytes(content)
    return code


def request(method: str, *params: Any, number: Any = 1) -> bytes:
    return json.dumps({"id": number, "method": f"CapeEncryptRPC.{method}", "params": list(params)}).encode()


async def within(awaitable: Awaitable[Any], seconds: float = 30) -> Any:
    async with asyncio.timeout(seconds):
        return await awaitable
