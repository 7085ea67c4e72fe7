"""Evidence and keys are given out only if messages to these keys are delivered to that enclave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.inprocess import running_app
from tests.support.problems import check

if TYPE_CHECKING:
    import pytest

    from gateway.enclave.member import Member
    from tests.support.stack import Stack


def test_keys_whose_messages_would_go_elsewhere(tiny_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The enclave is told to replace them, and its new ones are in the evidence at once."""
    with running_app(tiny_stack) as app:
        fleet = app.services.fleet
        looks: list[Member] = []
        genuine = fleet.look_at

        async def look_at(member: Member) -> None:
            looks.append(member)
            await genuine(member)

        monkeypatch.setattr(fleet, "look_at", look_at)
        monkeypatch.setattr(fleet, "reaches", lambda *_: bool(looks))
        check(app.client.get("/.well-known/ohttp-gateway"), "enclave_unavailable")
        assert not looks, "it asks no enclave"
        assert app.client.get("/attestation").status_code == 200
        assert looks == list(fleet.members)
        assert app.client.get("/.well-known/ohttp-gateway").status_code == 200
        monkeypatch.setattr(fleet, "reaches", lambda *_: False)
        check(app.client.get("/attestation"), "enclave_unavailable")
