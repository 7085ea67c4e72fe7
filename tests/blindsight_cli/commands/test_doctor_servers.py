"""`blindsight doctor` at servers that are no gateway, or a hostile one: a row says so, in limited time."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from blindsight_cli import doctor
from tests.support import answering
from tests.support.answering import by_path, content, json_of
from tests.support.command import blindsight

if TYPE_CHECKING:
    from pathlib import Path

READY = json_of({"status": "ready"})
EVIDENCE = json_of({"kind": "simulated"})
INFO = json_of({"model": {"name": "tiny", "version": "1", "trained": True}})
GOOD = {"/readyz": READY, "/attestation": EVIDENCE, "/info": INFO}
PAGE = content(b"<!doctype html><title>Router</title>", content_type="text/html")
OTHER_JSON: list[object] = [{}, [], "x", None, 1, True, [{}], {"kind": 1, "model": 1, "status": 1}, {"status": "UP"}]


def findings(respond: answering.Respond) -> dict[str, doctor.Finding]:
    """What is found at such a server, by the name of the check."""
    with answering.answering(respond) as url:
        return {each.name: each for each in doctor._gateway(url, None)}


def test_a_good_gateway() -> None:
    found = findings(by_path(GOOD))
    assert {name: each.good for name, each in found.items()} == {"gateway": True, "evidence": True, "model": True}
    assert found["model"].seen == "tiny 1"


@pytest.mark.parametrize("status", [200, 404, 500])
@pytest.mark.parametrize("respond", [PAGE, content(b""), content(b"\xff"), content(b"[" * 100_000)],
                         ids=["page", "empty", "bytes", "deep"])  # fmt: skip
def test_a_page_at_every_path_is_no_gateway(respond: answering.Respond, status: int) -> None:
    def with_status(request: answering.BaseHTTPRequestHandler) -> None:
        send = request.send_response
        request.send_response = lambda _: send(status)
        respond(request)

    found = findings(with_status)
    assert not found["gateway"].good
    assert "no Blindsight gateway" in found["gateway"].seen
    assert "--url" in found["gateway"].next_step
    assert list(found) == ["gateway"]


@pytest.mark.parametrize("value", OTHER_JSON, ids=repr)
def test_any_json_at_every_path_is_no_gateway(value: object) -> None:
    found = findings(json_of(value))
    assert list(found) == ["gateway"]
    assert not found["gateway"].good
    assert "no Blindsight gateway" in found["gateway"].seen


@pytest.mark.parametrize("path", ["/attestation", "/info"])
@pytest.mark.parametrize(
    "respond",
    [PAGE, content(b"", 404), answering.endless, answering.packed, content(b"", 302, location="http://127.0.0.1:1/"),
     *map(json_of, OTHER_JSON)],
    ids=["page", "404", "endless", "packed", "redirect", *map(repr, OTHER_JSON)],
)  # fmt: skip
def test_another_answer_at_one_path_is_a_finding_of_its_own(path: str, respond: answering.Respond) -> None:
    found = findings(by_path(GOOD | {path: respond}))
    name = {"/attestation": "evidence", "/info": "model"}[path]
    assert {each.name for each in found.values() if not each.good} == {name}
    assert found[name].seen
    assert found[name].next_step


@pytest.mark.parametrize(
    "model",
    [None, 1, "x", [], {}, {"name": "x"}, {"name": 1, "version": "1", "trained": True},
     {"name": "x", "version": [], "trained": True}, {"name": "x", "version": "1", "trained": "false"},
     {"name": "x", "version": "1", "trained": 1}],
    ids=repr,
)  # fmt: skip
def test_what_is_no_model_is_said(model: object) -> None:
    found = findings(by_path(GOOD | {"/info": json_of({"model": model})}))
    assert not found["model"].good


@pytest.mark.parametrize("detail", [1, None, [], {"x": "y"}], ids=repr)
def test_a_problem_without_a_text(detail: object) -> None:
    found = findings(json_of({"title": "x", "detail": detail}, 503))
    assert found["gateway"].seen == "HTTP 503, but no Blindsight gateway"


def test_a_problem_of_the_gateway_is_told() -> None:
    found = findings(json_of({"title": "x", "detail": "The enclave cannot be reached."}, 503))
    assert (found["gateway"].good, found["gateway"].seen) == (False, "The enclave cannot be reached.")


def test_texts_of_a_server_are_short() -> None:
    """A table is for people; a server chooses its texts."""
    long = "x" * 100_000
    info = json_of({"model": {"name": long, "version": long, "trained": True}})
    found = findings(by_path({"/readyz": READY, "/attestation": json_of({"kind": long}), "/info": info}))
    found |= {"problem": findings(json_of({"title": long, "detail": long}, 503))["gateway"]}
    assert all(len(each.seen) < 1000 for each in found.values())


def test_a_redirect_is_not_followed() -> None:
    with answering.answering(by_path(GOOD)) as gateway:
        found = findings(lambda request: content(b"", 307, location=gateway + request.path)(request))
    assert list(found) == ["gateway"]
    assert found["gateway"].seen == "HTTP 307, but no Blindsight gateway"


@pytest.mark.parametrize("path", [None, "/attestation", "/info"])
@pytest.mark.parametrize(
    "respond", [answering.silent, answering.trickling, answering.trickling_head], ids=["silent", "body", "head"]
)
def test_a_slow_server_is_waited_for_in_limits(
    monkeypatch: pytest.MonkeyPatch, path: str | None, respond: answering.Respond
) -> None:
    monkeypatch.setattr(doctor, "_GATEWAY_SECONDS", 0.5)
    began = time.monotonic()
    found = findings(respond if path is None else by_path(GOOD | {path: respond}))
    assert time.monotonic() - began < 5
    (slow,) = [each for each in found.values() if not each.good]
    assert "in time" in slow.seen
    assert slow.next_step


def test_a_port_that_accepts_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_GATEWAY_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as port:
        (found,) = doctor._gateway(f"http://127.0.0.1:{port.getsockname()[1]}", None)
    assert (found.good, "in time" in found.seen) == (False, True)


@pytest.mark.parametrize("respond", [PAGE, json_of({"model": []}), answering.endless], ids=["page", "json", "endless"])
def test_the_command_has_a_row_for_it(tmp_path: Path, respond: answering.Respond) -> None:
    with answering.answering(respond) as url:
        done = blindsight(tmp_path, "doctor", "--url", url)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    (row,) = [row for row in done.stdout.splitlines() if row.startswith("mend") and " gateway " in row]
    assert "no Blindsight gateway" in row
