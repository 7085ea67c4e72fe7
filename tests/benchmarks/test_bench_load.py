"""The load generator against a real HTTP server in this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from python_multipart.multipart import parse_options_header

from benchmarks import http1, lanes, load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

PREDICTIONS = [{"rank": 1, "class_id": 207, "label": "golden retriever", "score": 0.9}]


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.connections: set[tuple[str, int]] = set()
        self.requests = 0
        self.bodies: set[bytes] = set()
        self.fail_after: int | None = None
        self.fail_every: int | None = None
        self.change_after: int | None = None
        self.hang_up = False
        self.counting = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.counting:
            self.server.requests += 1
            number = self.server.requests
            self.server.connections.add(self.client_address)
            self.server.bodies.add(body)
        if self.server.hang_up:
            self.close_connection = True
            return
        failing = self.server.fail_after is not None and number > self.server.fail_after
        if self.server.fail_every is not None:
            failing = number % self.server.fail_every == 0
        changed = self.server.change_after is not None and number > self.server.change_after
        predictions = [PREDICTIONS[0] | {"label": "tabby"}] if changed else PREDICTIONS
        content = json.dumps({"predictions": predictions, "timings_ms": {"run": 50.0}}).encode()
        self.send_response(503 if failing else 200)
        if failing:
            self.send_header("Retry-After", "600")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpeg"
    path.write_bytes(b"\xff\xd8\xff photo")
    return path


def turn(
    server: Server, photo: Path, *crowds: dict[str, Any], seconds: float = 0.3, warm_up: float = 0.1
) -> dict[str, Any]:
    spec = {"lane": "form", "port": server.server_port, "photo": str(photo), "warm_up": warm_up, "seconds": seconds}
    return uvloop.run(load.turn(spec | {"crowds": list(crowds)}))


def test_callers_keep_their_connections_and_only_the_counted_time_counts(server: Server, photo: Path) -> None:
    result = turn(server, photo, {"callers": 3})
    (crowd,) = result["crowds"]
    assert len(server.connections) == 3
    assert 0 < crowd["answers"] == len(crowd["latencies_ms"]) < server.requests
    assert result["seconds"] > 0.29
    assert crowd["predictions"] == PREDICTIONS
    assert crowd["stages_ms"]["run"] == 50.0


def test_callers_who_close_have_a_connection_for_each_request(server: Server, photo: Path) -> None:
    turn(server, photo, {"callers": 2, "close": True})
    assert len(server.connections) == server.requests > 2


def test_a_refusal_ends_the_run(server: Server, photo: Path) -> None:
    server.fail_after = 5
    with pytest.raises(load.WrongAnswer, match="503"):
        turn(server, photo, {"callers": 2}, seconds=30)


def test_a_lost_connection_ends_the_run(server: Server, photo: Path) -> None:
    server.hang_up = True
    with pytest.raises(OSError, match="lost"):
        turn(server, photo, {"callers": 1}, seconds=30)


def test_those_who_wait_ask_again_after_retry_after_and_those_who_do_not_at_once(server: Server, photo: Path) -> None:
    server.fail_every = 2
    waiting = {"callers": 4, "refusals": load.WAIT}
    result = turn(server, photo, waiting, {"callers": 2, "refusals": load.IGNORE}, seconds=2.0, warm_up=0.0)
    polite, impolite = result["crowds"]
    assert polite["refused"] <= 4, "each was told once to come back in ten minutes"
    assert impolite["refused"] > 2, "more than once each"
    assert impolite["other"] == polite["other"] == 0


class Slow:
    """A caller whose answers take so many seconds each; the last of them for all that come later."""

    def __init__(self, *seconds: float, opened: list[str] | None = None) -> None:
        self.seconds = list(seconds)
        self.asked = 0
        self.opened = opened

    async def ask(self) -> http1.Answer:
        self.asked += 1
        if self.opened is not None:
            self.opened.append("asked")
        await asyncio.sleep(self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0])
        return http1.Answer(200, 0.0, json.dumps({"predictions": PREDICTIONS}).encode())


def turn_of(monkeypatch: pytest.MonkeyPatch, callers: list[Slow], crowd: dict[str, Any]) -> dict[str, Any]:
    """A turn of 0.2 s after 0.1 s in which these are the callers, in this order."""
    left = list(callers)

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Slow]:
        caller = left.pop(0)
        if caller.opened is not None:
            caller.opened.append("connected")
        yield caller

    monkeypatch.setattr(lanes, "callers", lambda _: opened)
    return asyncio.run(load.turn({"warm_up": 0.1, "seconds": 0.2, "crowds": [crowd]}))


def test_while_an_answer_is_awaited_that_began_in_the_counted_time_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or it would come sooner than under the load that is measured, and its share would be too great."""
    quick, slow = Slow(0.01), Slow(0.0, 1.0)
    turn_of(monkeypatch, [quick, slow], {"callers": 2})
    assert quick.asked > 60, "0.1 s of warm-up and 0.2 s are 30 at most"


def test_callers_connect_one_after_the_other_and_ask_once_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    turn_of(monkeypatch, [Slow(0.05, opened=opened) for _ in range(3)], {"callers": 3})
    assert opened[:6] == ["connected", "asked"] * 3


def test_a_crowd_that_may_be_refused_is_there_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    turn_of(monkeypatch, [Slow(0.05, opened=opened) for _ in range(3)], {"callers": 3, "refusals": load.WAIT})
    assert opened[:3] == ["connected"] * 3


def test_what_is_between_the_stages_is_of_each_answer() -> None:
    """The median of sums is not the sum of medians."""
    crowd = load.Crowd(1, load.ERROR)
    for number, (run, rest) in enumerate([(10.0, 5.0), (20.0, 1.0), (30.0, 3.0)]):
        timings = {"decode": 2.0, "preprocess": 1.0, "run": run, "enclave": 3.0 + run + rest}
        content = json.dumps({"predictions": PREDICTIONS, "timings_ms": timings}).encode()
        crowd.answers.append((number, number + 0.001 * (timings["enclave"] + 7.0), 200, content))
    stages = crowd.result(0.0, 5.0)["stages_ms"]
    assert stages["inside"] == pytest.approx(3.0)
    assert stages["outside"] == pytest.approx(7.0)


@pytest.mark.parametrize("began", [0.1, 0.6, 0.74, 0.76])
@pytest.mark.parametrize("seconds", [0.5, 1.3, 2.0])
def test_throughput_does_not_depend_on_where_the_counted_time_begins_and_ends(began: float, seconds: float) -> None:
    """Sixteen callers whose requests are processed at once, in 0.75 s: 21.3 a second, however many bunches end."""
    crowd = load.Crowd(16, load.ERROR)
    content = json.dumps({"predictions": PREDICTIONS}).encode()
    crowd.answers = [
        (0.75 * bunch, 0.75 * (bunch + 1), 200, content) for bunch in range(6) for _ in range(crowd.callers)
    ]
    assert crowd.result(began, began + seconds)["images"] / seconds == pytest.approx(16 / 0.75)


def test_refused_requests_are_no_images() -> None:
    crowd = load.Crowd(2, load.IGNORE)
    crowd.answers = [(0.0, 1.0, 200, json.dumps({"predictions": PREDICTIONS}).encode()), (0.0, 1.0, 503, b"")]
    assert crowd.result(0.5, 2.0)["images"] == pytest.approx(0.5)


def test_the_counted_time_goes_on_until_there_are_answers(server: Server, photo: Path) -> None:
    result = turn(server, photo, {"callers": 1}, seconds=0.0, warm_up=0.0)
    assert result["crowds"][0]["answers"] >= 3


def test_answers_that_never_come_end_the_run(server: Server, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.hang_up = True
    monkeypatch.setattr(load, "_LAST_ANSWERS_SECONDS", 0.2)
    with pytest.raises(load.WrongAnswer, match="no answer came"):
        turn(server, photo, {"callers": 2, "refusals": load.IGNORE})


def test_an_answer_unlike_the_first_is_found(server: Server, photo: Path) -> None:
    server.change_after = 5
    with pytest.raises(load.WrongAnswer, match="differ"):
        turn(server, photo, {"callers": 2})


def test_lanes_by_turns_have_equally_many_requests(server: Server, photo: Path) -> None:
    common = {"port": server.server_port, "photo": str(photo)}
    alternate = {"one": common | {"lane": "form"}, "other": common | {"lane": "raw"}}
    result = uvloop.run(load.alternate({"alternate": alternate, "warm_up": 0.05, "seconds": 0.3}))
    counts = {name: len(values) for name, values in result["latencies_ms"].items()}
    assert counts["one"] == counts["other"] > 0
    assert photo.read_bytes() in server.bodies
    assert len(server.bodies) == 2


def test_scores_may_differ_by_rounding_only() -> None:
    near, far = [PREDICTIONS[0] | {"score": 0.9 + 1e-8}], [PREDICTIONS[0] | {"score": 0.901}]
    load.check_alike([PREDICTIONS, near])
    with pytest.raises(load.WrongAnswer):
        load.check_alike([PREDICTIONS, far])


def test_the_form_is_multipart_with_the_photo_as_it_is() -> None:
    body, media_type = http1.form(b"\r\n--bytes--\r\n")
    kind, options = parse_options_header(media_type)
    boundary = b"--" + options[b"boundary"]
    before, part, after = body.split(boundary)
    head, content = part.split(b"\r\n\r\n", 1)
    assert (kind, before, after) == (b"multipart/form-data", b"", b"--\r\n")
    assert b'name="file"' in head
    assert content == b"\r\n--bytes--\r\n" + b"\r\n"
