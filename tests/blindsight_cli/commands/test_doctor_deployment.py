"""`blindsight doctor` on a deployment: each finding is provoked, and names its next step."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import os
import re
import signal
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text

import blindsight as core
from blindsight.attestation import Policy
from blindsight.attestation.release import Release
from blindsight_cli import localca, stored
from enclave_runtime.evidence.simulated import SimulatedProducer
from gateway.cape import migrating
from gateway.cape.store import Store
from tests.support import answering
from tests.support.answering import by_path, json_of
from tests.support.command import blindsight
from tests.support.waiting import wait_until
from tests.support.wire import free_port, loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from tests.support.stack import Stack

NOW = datetime.now(UTC)
READY = json_of({"status": "ready"})
EVIDENCE = json_of({"kind": "simulated"})
INFO = {
    "name": "blindsight",
    "version": core.__version__,
    "model": {"name": "tiny", "version": "1", "trained": True},
    "enclaves": [],
    "notices": [],
}
PINNED = Policy.expecting({0: "ab" * 48}, function_in_image=True)


@dataclasses.dataclass(frozen=True)
class Row:
    mark: str
    text: str


def doctor(folder: Path, *arguments: object) -> dict[str, Row]:
    """The rows by their check. The exit status is that of the worst."""
    done = blindsight(folder, "doctor", *arguments)
    assert "Traceback" not in done.stderr, done.stderr
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith(("ok", "mend", "none"))]
    rows = {line.split("  ")[0]: Row(mark, line) for mark, line in lines}
    assert done.returncode == any(row.mark == "mend" for row in rows.values())
    return rows


def stated(**changes: object) -> answering.Respond:
    return by_path({"/readyz": READY, "/attestation": EVIDENCE, "/info": json_of(INFO | changes)})


def a_state(folder: Path, policy: Policy | None = None) -> Path:
    state = folder / "state"
    (state / "gateway").mkdir(parents=True)
    state.chmod(0o700)
    if policy is not None:
        (state / "policy.json").write_text(policy.to_json())
    return state


def test_a_good_deployment(tiny_stack: Stack, tmp_path: Path) -> None:
    rows = doctor(tmp_path, "--url", tiny_stack.gateway.url, "--policy", tiny_stack.policy_file)
    (enclave,) = (row for name, row in rows.items() if name.startswith("enclave "))
    assert (enclave.mark, "accepted by the policy" in enclave.text) == ("ok", True)
    assert (rows["gateway's clock"].mark, rows["versions"].mark) == ("ok", "ok")
    assert f"gateway {core.__version__}, these commands {core.__version__}" in rows["versions"].text
    assert not rows.keys() & {"ports", "accounts", "policy's end", "database", "TLS certificate"}


def test_a_policy_that_does_not_accept_the_enclave(tiny_stack: Stack, tmp_path: Path) -> None:
    (release,) = tiny_stack.policy.releases
    other = dataclasses.replace(release, pcrs={**release.pcrs, 0: frozenset({"ab" * 48})})
    (tmp_path / "policy.json").write_text(Policy(releases=(other,)).to_json())
    rows = doctor(tmp_path, "--url", tiny_stack.gateway.url, "--policy", tmp_path / "policy.json")
    (enclave,) = (row for name, row in rows.items() if name.startswith("enclave "))
    assert enclave.mark == "mend"
    assert "which the policy does not accept" in enclave.text


def test_each_enclave_of_a_fleet_is_checked(tiny_stack: Stack, tmp_path: Path) -> None:
    """One with another root, which neither the gateway's policy nor the caller's has."""
    port = free_port()
    other = tiny_stack.start_enclave(state=tmp_path / "other", port=port, workers=1)
    try:
        other.wait_warm()
        addresses = f"{loopback(tiny_stack.enclave_port)},{loopback(port)}"
        with tiny_stack.another_gateway(enclave=addresses) as gateway:
            rows = doctor(tmp_path, "--url", gateway.url, "--policy", tiny_stack.policy_file)
        enclaves = [row for name, row in rows.items() if name.startswith("enclave ")]
        assert sorted(row.mark for row in enclaves) == ["mend", "ok"]
        (bad,) = (row for row in enclaves if row.mark == "mend")
        assert "not in the policy" in bad.text
    finally:
        other.stop()


@pytest.mark.parametrize("what", ["policy", "release"])
def test_a_policy_or_a_release_that_ends_soon(tmp_path: Path, what: str) -> None:
    soon = (NOW + timedelta(days=3)).replace(microsecond=0)
    (release,) = PINNED.releases
    named = dataclasses.replace(release, name="1.4.0", expires=soon)
    policy = dataclasses.replace(PINNED, expires=soon) if what == "policy" else Policy(releases=(named,))
    rows = doctor(tmp_path, "--state", a_state(tmp_path, policy), "--url", f"http://127.0.0.1:{free_port()}")
    assert rows["policy"].mark == "ok"
    row = rows["policy's end"]
    assert row.mark == "mend"
    assert ("the policy expires at" if what == "policy" else "release 1.4.0 expires at") in row.text
    assert "write a policy with a later time" in row.text


@pytest.mark.parametrize("seconds", [-7200, 7200])
def test_a_gateway_whose_clock_is_off(tmp_path: Path, seconds: int) -> None:
    def respond(request: answering.BaseHTTPRequestHandler) -> None:
        shown = datetime.now(UTC) + timedelta(seconds=seconds)
        request.date_time_string = lambda timestamp=None: format_datetime(shown, usegmt=True)  # type: ignore[method-assign]
        stated()(request)

    with answering.answering(respond) as url:
        row = doctor(tmp_path, "--url", url)["gateway's clock"]
    assert row.mark == "mend"
    assert re.search(f"(7199|720[0-9]) s {'ahead of' if seconds > 0 else 'behind'} this machine's", row.text)
    assert "NTP" in row.text


@pytest.mark.parametrize("seconds", [-900, 900])
def test_an_enclave_whose_clock_is_off(tmp_path: Path, seconds: int) -> None:
    """Its evidence is genuine, of another time."""
    producer = SimulatedProducer(
        tmp_path / "enclave", {0: b"\1" * 48}, lambda: datetime.now(UTC) + timedelta(seconds=seconds)
    )
    release = Release(
        kind="simulated", roots=frozenset({producer.root_fingerprint}), pcrs={0: frozenset({"01" * 48})},
        any_function=True,
    )  # fmt: skip
    (tmp_path / "policy.json").write_text(Policy(releases=(release,)).to_json())

    def evidence(request: answering.BaseHTTPRequestHandler) -> None:
        (nonce,) = parse_qs(urlsplit(request.path).query).get("nonce", [""])
        document = producer.attest(nonce=bytes.fromhex(nonce), user_data=None, public_key=None)
        json_of({"kind": "simulated", "document": base64.b64encode(document).decode()})(request)

    def respond(request: answering.BaseHTTPRequestHandler) -> None:
        if request.path.startswith("/attestation"):
            evidence(request)
        else:
            stated(enclaves=[{"id": "ab" * 8}])(request)

    with answering.answering(respond) as url:
        rows = doctor(tmp_path, "--url", url, "--policy", tmp_path / "policy.json")
    assert rows[f"enclave {'ab' * 8}"].mark == "mend"
    row = rows[f"enclave {'ab' * 8}'s clock"]
    assert row.mark == "mend"
    assert "s ahead of" if seconds > 0 else "s behind" in row.text
    assert "NTP" in row.text


@contextlib.contextmanager
def serving_tls(folder: Path, *, made: datetime) -> Iterator[str]:
    """A gateway's answers over TLS, with a certificate of 90 days that was made at that time."""
    files = localca.ensure(folder, ["localhost", "127.0.0.1"], now=made)
    with answering.answering(stated()) as url:
        port = int(url.rpartition(":")[2])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    real = ThreadingHTTPServer.server_bind

    def bind(server: ThreadingHTTPServer) -> None:
        real(server)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ThreadingHTTPServer, "server_bind", bind)
        with answering.answering(stated(), port) as url:
            yield url.replace("http:", "https:")


@pytest.mark.parametrize(
    ("age", "said"), [(80, "days"), (91, "days ago"), (1, "valid until")], ids=["soon", "expired", "good"]
)
def test_the_certificate_that_a_gateway_presents(tmp_path: Path, age: int, said: str) -> None:
    with serving_tls(tmp_path / "tls", made=NOW - timedelta(days=age)) as url:
        row = doctor(tmp_path, "--url", url)["TLS certificate"]
    assert row.mark == ("ok" if age == 1 else "mend")
    assert said in row.text
    assert ("BLINDSIGHT_TLS_CERTIFICATE" in row.text) == (age != 1)


def test_the_certificates_of_a_stack_end_soon(tmp_path: Path) -> None:
    state = a_state(tmp_path)
    localca.ensure(state / "tls", ["localhost"], now=NOW - timedelta(days=80))
    rows = doctor(tmp_path, "--state", state, "--url", f"http://127.0.0.1:{free_port()}")
    row = rows["this stack's TLS certificate"]
    assert row.mark == "mend"
    assert f"`blindsight tls --out {state / 'tls'}`" in row.text
    assert "this stack's TLS authority" not in rows
    # The next step mends it.
    assert blindsight(tmp_path, "tls", "--out", state / "tls").returncode == 0
    rows = doctor(tmp_path, "--state", state, "--url", f"http://127.0.0.1:{free_port()}")
    assert "this stack's TLS certificate" not in rows


def test_a_stack_that_listens_elsewhere(tmp_path: Path) -> None:
    state, port = a_state(tmp_path), free_port()
    script = (
        "import fcntl, os, socket, sys, time\n"
        "lock = open(sys.argv[1], 'a+'); fcntl.flock(lock, fcntl.LOCK_EX); lock.write(str(os.getpid())); lock.flush()\n"
        "if os.fork():\n    os.wait()\n"
        "else:\n"
        "    server = socket.create_server(('127.0.0.1', int(sys.argv[2]))); time.sleep(60)\n"
    )
    words = [sys.executable, "-c", script, str(state / "lock"), str(port)]
    with subprocess.Popen(words, start_new_session=True) as stack:
        try:
            other = free_port()
            url = f"http://127.0.0.1:{other}"
            row = wait_until("the port", lambda: doctor(tmp_path, "--state", state, "--url", url).get("ports"))
            assert row.mark == "mend"
            assert f"listens on {port}, and not on {other}" in row.text
            assert "--url" in row.text
            assert "ports" not in doctor(tmp_path, "--state", state, "--url", f"http://127.0.0.1:{port}")
        finally:
            os.killpg(stack.pid, signal.SIGKILL)


@pytest.mark.parametrize(("version", "mark"), [("9.9.9", "mend"), (f"{core.__version__}", "ok"), ("\x1b[2J", None)])
def test_versions(tmp_path: Path, version: str, mark: str | None) -> None:
    with answering.answering(stated(version=version)) as url:
        row = doctor(tmp_path, "--url", url).get("versions")
    assert (row and row.mark) == mark
    if row is not None and mark == "mend":
        assert f"gateway 9.9.9, these commands {core.__version__}" in row.text
        assert "install the commands of release 9.9.9" in row.text


def at_schema(state: Path, change: Callable[[Connection], object]) -> Path:
    async def make() -> None:
        store = Store(f"sqlite:///{stored.database(state)}")
        await store.upgrade()
        await store.add_account("ada", b"k" * 32, b"record")
        await store._database.administer(change)
        await store.close()

    asyncio.run(make())
    return state


def _newer(connection: Connection) -> None:
    connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))


@pytest.mark.parametrize(
    ("change", "mark", "said"),
    [
        (lambda connection: None, "ok", f"schema {migrating.revisions()[-1]} (this release"),
        (lambda connection: migrating.downgrade(connection, "0002"), "mend", "python -m gateway database upgrade"),
        (_newer, "mend", "its schema is 9999"),
    ],
    ids=["current", "older", "newer"],
)
def test_the_database_of_a_stack(tmp_path: Path, change: Callable[[Connection], object], mark: str, said: str) -> None:
    state = at_schema(a_state(tmp_path), change)
    (state / "enclave").mkdir()
    (state / "enclave" / "root_secret").write_bytes(b"r" * 32)
    rows = doctor(tmp_path, "--state", state, "--url", f"http://127.0.0.1:{free_port()}")
    assert rows["database"].mark == mark
    assert said in rows["database"].text
    assert "root secret" not in rows


def test_a_database_that_is_none(tmp_path: Path) -> None:
    state = a_state(tmp_path)
    stored.database(state).write_text("no database, whatever its name says" * 100)
    row = doctor(tmp_path, "--state", state, "--url", f"http://127.0.0.1:{free_port()}")["database"]
    assert row.mark == "mend"
    assert "BLINDSIGHT_DATABASE" in row.text


def test_accounts_whose_root_secret_is_missing(tmp_path: Path) -> None:
    state = at_schema(a_state(tmp_path), lambda connection: None)
    row = doctor(tmp_path, "--state", state, "--url", f"http://127.0.0.1:{free_port()}")["root secret"]
    assert row.mark == "mend"
    assert "1 accounts cannot be used" in row.text
    assert f"`blindsight restore --secrets FILE --state {state}`" in row.text


HOSTILE = [None, [], {}, 1, "x", [None], [{"id": 1}], [{"id": "../../x"}], [{"id": "ab" * 8}] * 1000]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:20])
def test_what_a_hostile_gateway_states_is_no_traceback(tmp_path: Path, value: object) -> None:
    (tmp_path / "policy.json").write_text(PINNED.to_json())
    with answering.answering(stated(enclaves=value, notices=value)) as url:
        rows = doctor(tmp_path, "--url", url, "--policy", tmp_path / "policy.json")
    assert len(rows) < 90
