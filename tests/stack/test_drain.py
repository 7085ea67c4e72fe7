"""Stopping loses no answer; killing is noticed at once and mended."""

from __future__ import annotations

import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.support.images import plain
from tests.support.problems import check
from tests.support.rawhttp import Connection
from tests.support.waiting import wait_until
from tests.support.wire import free_port, loopback

if TYPE_CHECKING:
    from tests.support.processes import Gateway
    from tests.support.stack import Stack


def classified(client: httpx2.Client, class_id: int) -> bool:
    answer = client.post("/classify", files={"file": plain(class_id)})
    return bool(answer.status_code == 200 and answer.json()["predictions"][0]["class_id"] == class_id)


def test_a_gateway_that_is_told_to_stop_answers_what_it_has(tiny_stack: Stack) -> None:
    gateway = tiny_stack.start_gateway()
    gateway.wait_ready()
    body = plain(42)
    with Connection(gateway.port) as waiting:
        # A request that is known to be inside: its head has been read and its body is still to come.
        waiting.start("POST", "/classify", {"content-type": "image/png", "content-length": str(len(body))})
        waiting.send(body[:10])
        wait_until("the request holds a place", lambda: gateway.metric("requests_in_progress") == 1)
        gateway.terminate()
        wait_until("the gateway drains", lambda: "draining" in gateway.log())
        wait_until("new connections are refused", lambda: refuses(gateway))
        waiting.send(body[10:])
        answer = waiting.response()
    assert answer.status_code == 200
    assert answer.json()["predictions"][0]["class_id"] == 42
    gateway.stop()


def refuses(gateway: Gateway) -> bool:
    try:
        httpx2.get(f"{gateway.url}/livez", trust_env=False, timeout=5)
    except httpx2.TransportError:
        return True
    return False


def test_an_enclave_that_is_told_to_stop_answers_the_image_in_its_hands(tiny_stack: Stack) -> None:
    """The worker is held for as long as the enclave needs to hear the signal and to close its listener."""
    port = free_port()
    enclave = tiny_stack.start_enclave(port=port, workers=1)
    enclave.wait_warm()
    with tiny_stack.another_gateway(enclave=loopback(port)) as gateway, ThreadPoolExecutor(1) as threads:
        (worker,) = enclave.workers()
        worker.suspend()
        try:
            answered = threads.submit(classified, gateway.client, 44)
            wait_until("the image is with the worker", lambda: enclave.status()["busy"] == 1)
            enclave.terminate()
            wait_until("new connections are refused", lambda: not connects(port))
        finally:
            worker.resume()
        assert answered.result(timeout=30)
        enclave.stop()  # Checks that it ended with status 0.


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except (ConnectionRefusedError, ConnectionResetError):
        # Reset: it was still in the listener's queue when the listener closed.
        return False
    return True


def test_an_enclave_that_is_told_to_stop_under_load_loses_no_answer(tiny_stack: Stack) -> None:
    """Requests run all the while; each is answered or refused as the catalogue says, and the enclave ends well."""
    port = free_port()
    enclave = tiny_stack.start_enclave(port=port)
    enclave.wait_warm()
    with tiny_stack.another_gateway(enclave=loopback(port)) as gateway:
        stop = threading.Event()

        def call(class_id: int) -> list[tuple[int, str]]:
            outcomes = []
            with httpx2.Client(base_url=gateway.url, timeout=30, trust_env=False) as client:
                while not stop.is_set():
                    answer = client.post("/classify", files={"file": plain(class_id)})
                    body = answer.json()
                    right = answer.status_code == 200 and body["predictions"][0]["class_id"] == class_id
                    outcomes.append((answer.status_code, "right" if right else str(body.get("code", "wrong"))))
            return outcomes

        with ThreadPoolExecutor(8) as threads:
            calls = [threads.submit(call, class_id) for class_id in range(100, 900, 100)]
            wait_until("answers", lambda: gateway.metric("images_classified_total") > 50)
            enclave.stop()  # Checks that it ends with status 0.
            wait_until("refusals", lambda: gateway.client.get("/readyz").status_code == 503)
            stop.set()
            outcomes = {outcome for done in calls for outcome in done.result()}
    assert (200, "right") in outcomes
    assert outcomes <= {(200, "right"), (503, "enclave_unavailable")}


def test_an_enclave_that_hangs_is_noticed_and_taken_back(tiny_stack: Stack) -> None:
    """It keeps its connections, and says nothing."""
    port = free_port()
    enclave = tiny_stack.start_enclave(port=port)
    enclave.wait_warm()
    with tiny_stack.another_gateway(enclave=loopback(port)) as gateway:
        assert classified(gateway.client, 5)
        enclave.process.send_signal(signal.SIGSTOP)
        try:
            wait_until("not ready", lambda: gateway.client.get("/readyz").status_code == 503, seconds=20)
            check(gateway.client.post("/classify", files={"file": plain(5)}), "enclave_unavailable")
        finally:
            enclave.process.send_signal(signal.SIGCONT)
        wait_until("ready", lambda: gateway.client.get("/readyz").status_code == 200)
        assert classified(gateway.client, 6)
    enclave.stop()


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_lost_enclave_is_noticed_and_taken_back(tiny_stack: Stack, how: str) -> None:
    port = free_port()
    enclave = tiny_stack.start_enclave(port=port)
    enclave.wait_warm()
    with tiny_stack.another_gateway(enclave=loopback(port)) as gateway:
        assert classified(gateway.client, 5)
        getattr(enclave, how)()
        started = time.monotonic()
        check(gateway.client.post("/classify", files={"file": plain(5)}), "enclave_unavailable")
        assert time.monotonic() - started < 1
        wait_until("not ready", lambda: gateway.client.get("/readyz").status_code == 503)
        assert gateway.client.get("/livez").status_code == 200
        again = tiny_stack.start_enclave(port=port)
        wait_until("ready", lambda: gateway.client.get("/readyz").status_code == 200)
        assert classified(gateway.client, 6)
        again.stop()
