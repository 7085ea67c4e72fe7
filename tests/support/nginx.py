"""Debian's nginx on a free port of the loopback, before a gateway, for as long as a block lasts."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.settings_table import PAGE
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SECONDS = 30.0

_AROUND = """
{user}worker_processes 1;
error_log {folder}/error.log;
pid {folder}/pid;
events {{ worker_connections 64; }}
http {{
access_log off;
client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
{documented}
}}
"""


def documented() -> str:
    """What docs/settings.md advises."""
    return PAGE.read_text(encoding="utf-8").partition("```nginx\n")[2].partition("```")[0]


def _for_the_test(text: str, port: int, upstream: int, location: str, target: str) -> str:
    for advised, here in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port};"),
        ("location /ml/ {", f"location {location} {{"),
        ("proxy_pass http://127.0.0.1:8000;", f"proxy_pass http://127.0.0.1:{upstream}{target};"),
    ):
        assert text.count(advised) == 1, advised
        text = text.replace(advised, here)
    return text


@contextlib.contextmanager
def running_nginx(folder: Path, upstream: int, *, location: str = "/", target: str = "") -> Iterator[int]:
    """Its port. `target` is what takes the place of `location` in the gateway's eyes; empty leaves the path alone."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("nginx (Debian: nginx-light) is not installed")
    folder.mkdir()
    port = free_port()
    user = "user root;\n" if os.geteuid() == 0 else ""
    server = _for_the_test(documented(), port, upstream, location, target)
    (folder / "nginx.conf").write_text(_AROUND.format(user=user, folder=folder, documented=server))
    command = [nginx, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen([*command, "-g", "daemon off;"], stdin=subprocess.DEVNULL)

    def listens() -> bool:
        assert process.poll() is None, (folder / "error.log").read_text()
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
        return False

    try:
        wait_until("nginx listening", listens, seconds=_SECONDS)
        yield port
    finally:
        process.terminate()
        process.wait(_SECONDS)
