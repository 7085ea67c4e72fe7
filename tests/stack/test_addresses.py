"""Gateway and enclave over a Unix socket, and over one behind which a monitor multiplexes a machine's vsock."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from blindsight.wire.address import Address
from blindsight.wire.protocol import FrameKind
from gateway.enclave.connection import EnclaveConnections
from tests.support import images
from tests.support.processes import Enclave, environment
from tests.support.vsock import Monitor
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.processes import Gateway
    from tests.support.stack import Stack

PORT = 7500


def start(stack: Stack, folder: Path) -> Enclave:
    """The stack's enclave once more, on a Unix socket."""
    secret = stack.state / "gateway_secret"
    return Enclave(stack.bundle, stack.state, folder, path=folder / "enclave.sock", workers=1, gateway_secret=secret)


@pytest.fixture
def enclave(tiny_stack: Stack, tmp_path: Path) -> Iterator[Enclave]:
    started = start(tiny_stack, tmp_path)
    try:
        started.wait_warm()
        yield started
    finally:
        if started.running:
            started.stop()


def classified(gateway: Gateway, class_id: int) -> bool:
    answer = gateway.client.post("/classify", files={"file": images.plain(class_id)})
    return answer.status_code == 200 and bool(answer.json()["predictions"][0]["class_id"] == class_id)


def test_photos_over_both_and_a_restart(tiny_stack: Stack, enclave: Enclave, tmp_path: Path) -> None:
    """Ended the hard way, the enclave leaves its socket behind; the next one takes the place, and is found."""
    path = tmp_path / "enclave.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with (
        Monitor(tmp_path / "vm.vsock", {PORT: path}) as monitor,
        tiny_stack.another_gateway(enclave=f"unix://{path}") as near,
        tiny_stack.another_gateway(enclave=f"unix://{tmp_path}/vm.vsock?port={PORT}") as behind,
    ):
        assert classified(near, 7)
        assert classified(behind, 8)
        assert set(monitor.connected) == {PORT}
        enclave.kill()
        for gateway in (near, behind):
            wait_until("lost", lambda gateway=gateway: gateway.client.get("/readyz").status_code == 503)
        assert path.exists()
        again = start(tiny_stack, tmp_path)
        try:
            again.wait_warm()
            for gateway in (near, behind):
                gateway.wait_ready()
                assert classified(gateway, 9)
        finally:
            again.stop()
        assert not path.exists(), "an enclave that ends well leaves no socket"


def test_the_operator_is_told_where_the_enclave_was_looked_for(tiny_stack: Stack, tmp_path: Path) -> None:
    """And callers are not."""
    with (
        Monitor(tmp_path / "vm.vsock", {}),
        tiny_stack.another_gateway(ready=False, enclave=f"unix://{tmp_path}/vm.vsock?port=7501") as gateway,
    ):
        wait_until("looked for", lambda: "cannot be reached" in gateway.log())
        reasons = [event["reason"] for event in gateway.events() if "reason" in event]
        assert reasons == [
            f"unix://{tmp_path}/vm.vsock?port=7501 cannot be reached: nothing listens on port 7501 behind it."
        ]
        answer = gateway.client.get("/readyz")
        assert answer.status_code == 503
        assert "vm.vsock" not in answer.text


def test_of_two_enclaves_on_one_socket_the_second_ends(tiny_stack: Stack, enclave: Enclave, tmp_path: Path) -> None:
    command = [
        "serve",
        "--bundle",
        tiny_stack.bundle,
        "--state",
        tiny_stack.state,
        "--listen",
        f"unix://{tmp_path}/enclave.sock",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "enclave_runtime", *map(str, command)],
        capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path, env=environment(tmp_path),
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("enclave_runtime: ")
    assert "another process listens there" in done.stderr.splitlines()[-1]
    assert enclave.status()["workers"] == 1, "the first one is still found"


@pytest.mark.parametrize("behind", [False, True], ids=["socket", "monitor"])
def test_a_question_that_is_given_up_closes_its_connection(tmp_path: Path, behind: bool) -> None:
    """So the enclave hears of it, however the connection goes."""
    ended = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "enclave"))
        listener.listen()
        asked = threading.Event()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(5)
                asked.set()
                with contextlib.suppress(ConnectionError):
                    while connection.recv(100):
                        pass
            ended.set()

        thread = threading.Thread(target=serve)
        thread.start()

        async def scenario(url: str) -> None:
            connections = EnclaveConnections(Address.parse(url))
            question = asyncio.create_task(connections.exchange(FrameKind.STATUS_REQUEST))
            await asyncio.to_thread(asked.wait, 10)
            question.cancel()
            await asyncio.wait([question])
            assert await asyncio.to_thread(ended.wait, 10)

        with Monitor(tmp_path / "vm", {PORT: tmp_path / "enclave"}):
            asyncio.run(scenario(f"unix://{tmp_path}/vm?port={PORT}" if behind else f"unix://{tmp_path}/enclave"))
        thread.join(10)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--port", "7500"], "--port is no longer known: say --listen tcp://HOST:PORT instead"),
        (["--host", "0.0.0.0"], "--host is no longer known: say --listen tcp://HOST:PORT instead"),
        (["--listen", "127.0.0.1:7500"], "'127.0.0.1:7500' is not an address to use here"),
        (["--listen", "unix:///run/x?port=1"], "can only be connected to"),
        (["--listen", "unix:///nowhere/x"], "unix:///nowhere/x cannot be listened on"),
    ],
)
def test_where_an_enclave_cannot_listen(tiny_stack: Stack, tmp_path: Path, options: list[str], said: str) -> None:
    command = ["serve", "--bundle", str(tiny_stack.bundle), "--state", str(tmp_path / "state"), *options]
    done = subprocess.run(
        [sys.executable, "-m", "enclave_runtime", *command],
        capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path, env=environment(tmp_path),
    )  # fmt: skip
    assert done.returncode != 0
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
