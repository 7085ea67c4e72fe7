"""Does what its input, a JSON object, asks for in `do`."""

import base64
import json
import os
import socket
import time
from pathlib import Path

calls = 0


def cape_handler(input_bytes):
    global calls  # noqa: PLW0603 -- what the process remembers is what is tested
    calls += 1
    order = json.loads(input_bytes)
    return globals()[f"do_{order.pop('do')}"](**order)


def do_echo(text):
    return text


def do_count():
    return str(calls)


def do_fail(text):
    raise ValueError(text)


def do_end():
    os._exit(3)


def do_sleep(seconds):
    time.sleep(seconds)
    return "slept"


def do_value(kind):
    return {
        "bytes": bytes(range(256)),
        "str": "grüß Gott",
        "dict": {"accuracy": 0.98, "ok": True},
        "tuple": ("Image Label is :", "Egyptian cat"),
        "none": None,
        "empty": b"",
    }[kind]


def do_rpc(method, value):
    """The published helper's way: one request a connection, one `recv` for the answer."""
    request = {"id": 1, "method": f"CapeEncryptRPC.{method}", "params": [value]}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("../rpc.sock")
        connection.sendall(json.dumps(request).encode())
        return connection.recv(10 * 1024 * 1024)


def do_roundtrip(text):
    encrypted = json.loads(do_rpc("Encrypt", base64.b64encode(text.encode()).decode()))
    decrypted = json.loads(do_rpc("Decrypt", encrypted["result"]))
    return json.dumps({"encrypted": encrypted, "decrypted": decrypted})


def do_connect(port):
    return _tried(lambda: socket.create_connection(("127.0.0.1", port), timeout=5).close())


def do_read(path):
    return _tried(lambda: Path(path).read_bytes())


def do_write(text):
    Path("data.csv").write_text(text)
    return Path("data.csv").read_text()


def do_noise():
    print("a leader was elected")
    os.write(1, b"\xff{not json}\n" * 1000)
    os.write(2, b"and this\n")
    return "quiet"


def _tried(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "it could"
