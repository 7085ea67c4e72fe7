"""What a host and its documents say to Cape's client is JSON in UTF-8, read in one way only."""

from __future__ import annotations

import base64
import json

import httpx2
import pytest

from blindsight.client import cape as client
from tests.support.misspelt import misspelt

SPELLINGS = pytest.mark.parametrize("spelling", misspelt("{}"))
USER_DATA = json.dumps({"key": base64.b64encode(b"a Cape Key").decode(), "username": "eve"})


@SPELLINGS
def test_user_data_in_another_spelling_claims_nothing(spelling: str) -> None:
    assert client.claim(USER_DATA.encode(), "key") == b"a Cape Key"
    assert client.claim(misspelt(USER_DATA)[spelling], "key") is None


@SPELLINGS
def test_an_answer_in_another_spelling_says_nothing(spelling: str) -> None:
    assert client.json_object(httpx2.Response(200, content=USER_DATA.encode()))["username"] == "eve"
    assert client.json_object(httpx2.Response(200, content=misspelt(USER_DATA)[spelling])) == {}
