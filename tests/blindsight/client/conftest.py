"""Both clients before a fake gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.blindsight.client.fake_gateway import Caller, FakeGateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def gateway(tmp_path: Path) -> FakeGateway:
    return FakeGateway(tmp_path / "state")


@pytest.fixture(params=["blocking", "asynchronous"])
def caller(gateway: FakeGateway, request: pytest.FixtureRequest) -> Iterator[Caller]:
    caller = Caller(gateway, request.param)
    yield caller
    caller.close()
