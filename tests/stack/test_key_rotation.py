"""Sealing keys that are replaced every second: no caller's photo is lost by it, and old keys are refused as such."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from blindsight import Client
from blindsight.attestation import Policy
from tests.support import images
from tests.support.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.models import TinyModel

CLASS = 427
KEY_SECONDS = 1.0
KEYS = "/.well-known/ohttp-gateway"


class RotatingStack(Stack):
    def start_enclave(self, *arguments: object, **options: object) -> object:
        return super().start_enclave(*arguments, key_seconds=KEY_SECONDS, **options)


@pytest.fixture(scope="module")
def stack(colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = RotatingStack(colour_model.folder, tmp_path_factory.mktemp("rotating"))
    yield stack
    stack.stop()


def test_every_photo_is_answered_in_both_lanes(stack: Stack) -> None:
    seen = set()
    photo = images.plain(CLASS)
    until = time.monotonic() + 5 * KEY_SECONDS

    def sealed() -> int:
        with Client(stack.gateway.url, policy=Policy.load(stack.policy_file)) as client:
            count = 0
            while time.monotonic() < until:
                assert client.classify(photo).predictions[0].class_id == CLASS
                count += 1
            return count

    with ThreadPoolExecutor(1) as callers:
        running = callers.submit(sealed)
        while time.monotonic() < until:
            answer = stack.client.post("/classify", files={"file": photo})
            assert answer.status_code == 200, answer.text
            assert answer.json()["predictions"][0]["class_id"] == CLASS
            keys = stack.client.get(KEYS)
            if keys.status_code == 200:
                seen.add(keys.content)
        assert running.result() > 10
    assert len(seen) >= 3, "the keys were not replaced"


def test_a_client_with_old_evidence_verifies_anew_once(stack: Stack) -> None:
    """Its keys are unknown by now, as after the grace time: it hears so, verifies, and its photo is answered."""
    with Client(stack.gateway.url, policy=Policy.load(stack.policy_file)) as client:
        client.verify()
        before = client.recipient
        assert before is not None
        stale = replace(before, config=replace(before.config, key_id=before.config.key_id ^ 0xFF))
        client._core._accepted = stale, time.monotonic()
        assert client.classify(images.plain(CLASS)).predictions[0].class_id == CLASS
        assert client.recipient is not stale
