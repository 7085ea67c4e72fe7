"""Any caller may ask for any number of device codes; another caller's login works all the same."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from sqlalchemy import text

from gateway.audit.log import Audit
from gateway.cape import device_codes
from gateway.cape.device import GRANT_TYPE
from gateway.cape.device_codes import Device
from gateway.cape.guesses import MAX_WRONG
from gateway.connections import source_of

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.cape.store import Store
    from tests.support.cape_front import Front

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
REPORTED = 1001
"""Requests that were enough to keep all users from logging in for ten minutes."""


async def _begin(client: httpx2.AsyncClient) -> dict[str, Any]:
    response = await client.post("/oauth/device/code", data={"client_id": "x"})
    assert response.status_code == 200, response.text
    begun: dict[str, Any] = response.json()
    return begun


async def _poll(client: httpx2.AsyncClient, device_code: str) -> httpx2.Response:
    return await client.post("/oauth/token", data={"device_code": device_code, "grant_type": GRANT_TYPE})


def _client(front: Front, address: str) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(front.app, client=(address, 1234))
    return httpx2.AsyncClient(transport=transport, base_url="https://cape.test")


@pytest.mark.parametrize("victim", ["192.0.2.1", "198.51.100.1"], ids=["the flood's own address", "another"])
async def test_a_login_works_during_a_flood(front: Front, victim: str) -> None:
    ada = await front.sign_up("ada")

    async def flood(client: httpx2.AsyncClient) -> None:
        for _ in range(REPORTED):
            await client.post("/oauth/device/code", data={"client_id": "x"})

    async with _client(front, "192.0.2.1") as crowd, _client(front, victim) as device:
        await flood(crowd)
        flooding = asyncio.create_task(flood(crowd))
        begun = await _begin(device)
        assert (await _poll(device, begun["device_code"])).json()["error"] == "authorization_pending"
        await flooding
        body = {"user_code": begun["user_code"], "allow": True, "access_token": ada.token()}
        decided = await front.client.post("/oauth/device/decision", json=body, headers=ada.bearer())
        assert (decided.status_code, decided.json()) == (200, {})
        again = await _begin(device)
        assert again["user_code"] != begun["user_code"]


async def _rows(store: Store, where: str = "true") -> int:
    query = text(f"SELECT count(*) FROM device_codes WHERE {where}")
    return await store._database.read(lambda connection: int(connection.execute(query).scalar_one()))


@pytest.mark.parametrize("allow", [True, False])
async def test_guesses_fill_no_audit_log(front: Front, tmp_path: Path, allow: bool) -> None:
    """What is refused without a look at the code is no decision."""
    file = tmp_path / "audit.log"
    services = front.app.state.services
    services.cape = replace(services.cape, audit=Audit(file))
    ada = await front.sign_up("ada")
    body = {"user_code": "AAAA-AAAA", "allow": allow, "access_token": ada.token()}
    statuses = [
        (await front.client.post("/oauth/device/decision", json=body, headers=ada.bearer())).status_code
        for _ in range(MAX_WRONG + 5)
    ]
    assert statuses == [404] * MAX_WRONG + [429] * 5
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    assert [entry["outcome"] for entry in entries if entry["act"] != "account.created"] == ["unknown_code"] * MAX_WRONG


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_codes, "MAX_CODES", 30)
    monkeypatch.setattr(device_codes, "MAX_FROM_ONE", 10)


@pytest.mark.usefixtures("few")
async def test_one_caller_s_codes_are_bounded(store: Store) -> None:
    """However many addresses of an IPv6 network it has; and others lose none."""
    other = await store.device_codes.create(Device(address="192.0.2.9"), now=NOW)
    for number in range(40):
        await store.device_codes.create(Device(address=f"2001:db8::{number:x}"), now=NOW + timedelta(seconds=number))
        await store.device_codes.create(Device(address="192.0.2.1"), now=NOW + timedelta(seconds=number))
    assert await _rows(store) <= 21
    assert await _rows(store, "source = '2001:db8::/64'") == await _rows(store, "source = '192.0.2.1'") == 10
    assert (await store.device_codes.poll(other.device_code, now=NOW)).state == "pending"


@pytest.mark.usefixtures("few")
async def test_all_codes_are_bounded(store: Store) -> None:
    for number in range(100):
        await store.device_codes.create(Device(address=f"192.0.2.{number}"), now=NOW + timedelta(seconds=number))
    assert await _rows(store) == 30


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("flood", ["192.0.2.1", None], ids=["one address", "many"])
async def test_codes_that_are_asked_about_stay(store: Store, flood: str | None) -> None:
    """A code that its device asks about outlives those that were made and left, and an approved one all others."""
    codes = store.device_codes
    waiting = await codes.create(Device(address="192.0.2.1"), now=NOW)
    approved = await codes.create(Device(address="192.0.2.1"), now=NOW)
    await codes.decide(approved.user_code, allow=True, access_token="token", now=NOW)
    for number in range(40):
        moment = NOW + timedelta(seconds=5 * number)
        assert (await codes.poll(waiting.device_code, now=moment)).state == "pending"
        for index in range(12):
            address = flood or f"198.51.{number}.{index}"
            await codes.create(Device(address=address), now=moment)
    late = NOW + timedelta(seconds=205)
    assert (await codes.poll(approved.device_code, now=late)).access_token == "token"
    await codes.decide(waiting.user_code, allow=True, access_token="token", now=late)
    assert (await codes.poll(waiting.device_code, now=late)).access_token == "token"


@pytest.mark.usefixtures("few")
async def test_a_flood_that_asks_about_its_codes_forgets_its_own(store: Store) -> None:
    """Those that were asked about longest ago go first."""
    codes = store.device_codes
    waiting = await codes.create(Device(address="192.0.2.1"), now=NOW)
    for number in range(100):
        moment = NOW + timedelta(seconds=5 * number)
        assert (await codes.poll(waiting.device_code, now=moment)).state == "pending"
        for _ in range(4):
            new = await codes.create(Device(address="192.0.2.1"), now=moment)
            assert (await codes.poll(new.device_code, now=moment)).state == "pending"
    assert await _rows(store) <= 10


async def test_the_real_bounds_leave_time_to_ask(store: Store) -> None:
    """Forgetting takes a part of the codes at a time, and never those of the last seconds."""
    assert device_codes.MAX_CODES >= 2 * device_codes.MAX_FROM_ONE >= 10 * REPORTED - 10
    assert device_codes.MAX_FROM_ONE // device_codes._FORGOTTEN_AT_ONCE < device_codes.MAX_FROM_ONE // 10


def test_what_counts_as_one_caller() -> None:
    assert source_of("192.0.2.7") == source_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert source_of("2001:db8::1") == source_of("2001:db8:0:0:ffff::1") == "2001:db8::/64"
    assert source_of("2001:db8:0:1::1") != source_of("2001:db8::1")
    assert source_of("fe80::1%eth0") == "fe80::/64"
    assert source_of("testclient") == "testclient"
