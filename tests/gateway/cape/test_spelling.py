"""Bodies of the Cape host's REST requests are JSON in UTF-8, read in one way only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from blindsight.cape.messages import b64
from tests.support.cape_front import owner
from tests.support.misspelt import misspelt

if TYPE_CHECKING:
    from tests.support.cape_front import Front


@pytest.mark.parametrize("spelling", misspelt("{}"))
async def test_an_account_is_not_made_from_another_spelling_of_json(front: Front, spelling: str) -> None:
    ada = owner("ada")
    body = json.dumps({"username": "ada", "owner_public_key": b64(ada.public), "proof": ada.token()})
    response = await front.client.post("/v1/accounts", content=misspelt(body)[spelling])
    assert response.status_code == 400
    assert response.json()["error"] == "the body is not JSON"
    assert front.enclave.calls == []
    assert (await front.client.post("/v1/accounts", content=body.encode())).status_code == 201
