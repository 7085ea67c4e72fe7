"""Refusing is cheap: nothing is read, little is logged, and who comes back too early waits."""

from __future__ import annotations

import contextlib
import itertools
import time
from typing import TYPE_CHECKING

import pytest

from tests.gateway.conftest import STRICT
from tests.support import images
from tests.support.problems import check
from tests.support.rawhttp import Connection
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

    from tests.support.processes import Gateway
    from tests.support.stack import Stack

PHOTO = images.plain(107)
HEAD = (
    f"POST /classify HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\ncontent-length: {len(PHOTO)}\r\n\r\n"
).encode()
UPLOAD = HEAD + PHOTO


FIRST_WAIT = 0.25
"""Seconds; each further request that comes too early waits twice as long."""
RETRY_AFTER = 1
FREE_DENIALS = 32
LINES, WINDOW_SECONDS = 6, 10
"""Most lines in the log about refusals, in so many seconds."""

ONE_PLACE = {**STRICT, "body_timeout": 60}
"""And a body that may take its time."""

_addresses = itertools.count(1)


@pytest.fixture(scope="module")
def gateway(tiny_stack: Stack) -> Iterator[Gateway]:
    with tiny_stack.another_gateway(**ONE_PLACE) as gateway:
        yield gateway


@pytest.fixture
def fresh_gateway(tiny_stack: Stack) -> Iterator[Gateway]:
    with tiny_stack.another_gateway(**ONE_PLACE) as gateway:
        yield gateway


@pytest.fixture
def here() -> str:
    """An address that no other test calls from."""
    return f"127.1.0.{next(_addresses)}"


@pytest.fixture
def elsewhere() -> str:
    return f"127.1.0.{next(_addresses)}"


@contextlib.contextmanager
def full(gateway: Gateway) -> Iterator[Connection]:
    """The place is taken by a request whose last byte is to come; gives its connection."""
    with Connection(gateway.port, source=f"127.1.0.{next(_addresses)}") as holder:
        holder.send(UPLOAD[:-1])
        wait_until("the place is taken", lambda: gateway.metric("requests_in_progress") == 1)
        yield holder


def answer(connection: Connection, upload: bytes = UPLOAD) -> httpx2.Response:
    connection.send(upload)
    return connection.response()


def refused(gateway: Gateway) -> float:
    return gateway.metric('requests_rejected_total{reason="overloaded"}')


@pytest.mark.parametrize("path", ["/classify", "/classify/batch", "/ohttp", "//classify"])
@pytest.mark.parametrize("framing", ["content-length: 90000", "transfer-encoding: chunked"])
def test_a_refusal_does_not_wait_for_the_body(gateway: Gateway, here: str, path: str, framing: str) -> None:
    with full(gateway), Connection(gateway.port, source=here) as connection:
        connection.send(
            f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\n{framing}\r\n\r\n".encode()
        )
        check(connection.response(), "overloaded")
    with Connection(gateway.port, source=here) as other:
        other.send(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert other.response().status_code == 200


def test_refusals_are_recorded_as_the_route_would_record_them(fresh_gateway: Gateway) -> None:
    gateway, ours = fresh_gateway, "00000000-1111-2222-3333-444444444444"
    with full(gateway):
        answers = [
            gateway.client.post(path, content=b"x", headers={"x-request-id": ours, **more})
            for path, more in (("/classify", {}), ("/ohttp", {"origin": "null", "content-type": "message/ohttp-req"}))
        ]
        for each in answers:
            check(each, "overloaded")
            assert each.headers["x-request-id"] == ours
            assert each.headers["cache-control"] == "no-store"
        # Pages of any origin may read the sealed lane's.
        assert answers[1].headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-origin" not in answers[0].headers
        assert refused(gateway) == 2
        for path in ("/classify", "/ohttp"):
            assert gateway.metric(f'http_requests_total{{method="POST",route="{path}",status="503"}}') == 1
        # What needs no place is answered as ever.
        assert gateway.client.get("/classify").status_code == 405
        assert gateway.client.post("/classify/").status_code == 404


def test_a_token_is_still_asked_for_first(tiny_stack: Stack) -> None:
    from gateway import tokens

    file = tiny_stack.folder / "refusals-tokens"
    token = tokens.create("alice", file)
    with tiny_stack.another_gateway(**ONE_PLACE, tokens_file=file) as gateway:
        allowed = f"authorization: Bearer {token}\r\n".encode()
        with Connection(gateway.port) as holder:
            holder.send(HEAD[:-2] + allowed + b"\r\n" + PHOTO[:-1])
            wait_until("the place is taken", lambda: gateway.metric("requests_in_progress") == 1)
            with Connection(gateway.port) as connection:
                check(answer(connection), "unauthenticated")
                check(answer(connection, HEAD[:-2] + allowed + b"\r\n" + PHOTO), "overloaded")


@pytest.mark.parametrize("how", ["on one connection", "connecting anew"])
def test_a_flood_without_a_token_waits_too(tiny_stack: Stack, here: str, elsewhere: str, how: str) -> None:
    from gateway import tokens

    file = tiny_stack.folder / f"flood-tokens-{len(how)}"
    tokens.create("alice", file)
    with tiny_stack.another_gateway(tokens_file=file) as gateway, contextlib.ExitStack() as stack:
        connection: Connection | None = None
        waits = []
        for _ in range(FREE_DENIALS + 4):
            if connection is None or how == "connecting anew":
                stack.close()
                connection = stack.enter_context(Connection(gateway.port, source=here))
            started = time.monotonic()
            check(answer(connection), "unauthenticated")
            waits.append(time.monotonic() - started)
            with Connection(gateway.port, source=elsewhere) as other:
                check(answer(other), "unauthenticated")
    # The one beyond the free ones goes through, and tells that further ones will not.
    for index, wait in enumerate(waits[FREE_DENIALS + 1 :]):
        assert wait >= FIRST_WAIT * 2**index


def test_a_crowd_does_not_fill_the_log(fresh_gateway: Gateway) -> None:
    gateway = fresh_gateway
    with full(gateway), contextlib.ExitStack() as crowd:
        connections = [crowd.enter_context(Connection(gateway.port)) for _ in range(100)]
        for connection in connections:
            connection.send(UPLOAD)
        for connection in connections:
            check(connection.response(), "overloaded")

        def told() -> list[dict[str, object]]:
            return [event for event in gateway.events() if event.get("code") == "overloaded"]

        def counted() -> int:
            return sum(int(str(event.get("count", 1))) for event in told())

        wait_until("all are accounted for", lambda: counted() == 100, seconds=WINDOW_SECONDS + 10)
        assert len(told()) <= 2 * LINES


def test_who_comes_back_too_early_waits(gateway: Gateway, here: str, elsewhere: str) -> None:
    before = refused(gateway)
    with full(gateway), Connection(gateway.port, source=here) as impatient:
        check(answer(impatient), "overloaded")
        for wait in (FIRST_WAIT, 2 * FIRST_WAIT):
            started = time.monotonic()
            check(answer(impatient), "overloaded")
            assert time.monotonic() - started >= wait
            # Others are not held up for it.
            with Connection(gateway.port, source=elsewhere) as other:
                impatient.send(UPLOAD)
                check(answer(other), "overloaded")
            check(impatient.response(), "overloaded")
        assert refused(gateway) == before + 7


def test_who_keeps_to_it_does_not_wait(gateway: Gateway, here: str) -> None:
    """A request that comes in time is refused before one that came too early, and was sent before it."""
    with (
        full(gateway),
        Connection(gateway.port, source=here) as patient,
        Connection(gateway.port, source=here) as impatient,
    ):
        check(answer(patient), "overloaded")
        told = time.monotonic()
        check(answer(impatient), "overloaded")
        for _ in range(3):
            check(answer(impatient), "overloaded")
        wait_until("Retry-After has passed", lambda: time.monotonic() > told + RETRY_AFTER)
        impatient.send(UPLOAD)
        check(answer(patient), "overloaded")
        assert not impatient.readable()
        check(impatient.response(), "overloaded")


def test_connecting_anew_gains_nothing(gateway: Gateway, here: str, elsewhere: str) -> None:
    with full(gateway):
        with Connection(gateway.port, source=here) as first:
            check(answer(first), "overloaded")
        for wait in (FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT):
            with Connection(gateway.port, source=here) as again:
                started = time.monotonic()
                again.send(UPLOAD)
                with Connection(gateway.port, source=elsewhere) as other:
                    check(answer(other), "overloaded")
                check(again.response(), "overloaded")
                assert time.monotonic() - started >= wait


def test_who_waits_is_let_in_if_there_is_a_place_by_then(gateway: Gateway, here: str) -> None:
    with full(gateway) as holder, Connection(gateway.port, source=here) as impatient:
        check(answer(impatient), "overloaded")
        impatient.send(UPLOAD)
        holder.send(UPLOAD[-1:])
        assert holder.response().status_code == 200
        served = impatient.response()
        assert served.json()["predictions"][0]["class_id"] == 107
        # And is a caller like any other from then on.
        assert answer(impatient).status_code == 200


def test_who_waits_with_a_faulty_body_is_told_of_that_alone(gateway: Gateway, here: str, elsewhere: str) -> None:
    faulty = b"POST /classify HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n-3\r\nabc\r\n"
    with full(gateway):
        before = refused(gateway)
        with Connection(gateway.port, source=here) as impatient:
            check(answer(impatient), "overloaded")
            # At once: after `Retry-After` it would not be early any more, and would be refused for want of a place.
            impatient.send(faulty)
            (told,) = impatient.answers(["POST"])
            check(told, "bad_request")
        with Connection(gateway.port, source=elsewhere) as other:
            for _ in range(3):  # The last of them waits for longer than the faulty one would have.
                check(answer(other), "overloaded")
        assert refused(gateway) == before + 4


def test_who_waits_may_leave(gateway: Gateway, here: str) -> None:
    with full(gateway) as holder:
        for _ in range(20):
            with Connection(gateway.port, source=here) as leaving:
                leaving.send(UPLOAD)
        with Connection(gateway.port, source=here) as impatient:
            check(answer(impatient), "overloaded")
            impatient.send(UPLOAD)
        holder.send(UPLOAD[-1:])
        assert holder.response().status_code == 200
    wait_until("all places are free", lambda: gateway.metric("requests_in_progress") == 0)


def test_pipelined_requests_wait_as_well(gateway: Gateway, here: str) -> None:
    with full(gateway), Connection(gateway.port, source=here) as impatient:
        started = time.monotonic()
        impatient.send(UPLOAD * 3 + UPLOAD.replace(b"host: x", b"host: localhost\r\nconnection: close"))
        for each in impatient.answers(["POST"] * 4):
            check(each, "overloaded")
        assert time.monotonic() - started >= 7 * FIRST_WAIT


def test_a_gateway_that_stops_does_not_wait_for_those(fresh_gateway: Gateway, here: str) -> None:
    gateway = fresh_gateway
    with full(gateway) as holder, Connection(gateway.port, source=here) as impatient:
        check(answer(impatient), "overloaded")
        impatient.send(UPLOAD)
        gateway.terminate()
        wait_until("the gateway drains", lambda: "draining" in gateway.log())
        holder.send(UPLOAD[-1:])
        assert holder.response().status_code == 200
        check(impatient.response(), "draining")
