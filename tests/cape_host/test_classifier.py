"""`/classify` takes a Cape client's ciphertexts for the account whose owner has signed for the classifier."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support import images
from tests.support.cape_guest import Guest, trust_of
from tests.support.problems import check
from tests.support.stack import running_stack
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx2 import Response

    from tests.support.models import TinyModel
    from tests.support.stack import Stack

CLASS = 137


@pytest.fixture(scope="module")
def stack(colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("classifier")
    with running_stack(
        colour_model.folder, folder, workers=1, cape=True, classifier_grant=folder / "grant"
    ) as stack:  # fmt: skip
        yield stack


@pytest.fixture(scope="module")
def ada(stack: Stack) -> Guest:
    """Whose ciphertexts are taken."""
    ada = Guest.sign_up("ada", stack.gateway.url, trust_of(stack))
    assert check(post(stack, ada.encrypt(images.plain(CLASS))), "cannot_decrypt")
    put(stack, ada, timedelta(days=7))
    wait_until("the grant counts", lambda: post(stack, ada.encrypt(images.plain(CLASS))).status_code == 200)
    return ada


def put(stack: Stack, guest: Guest, lifetime: timedelta, **options: str) -> None:
    """Put the guest's permission where the gateway looks for it."""
    checksum = stack.measured.function_checksum
    draft = stack.folder / "draft"
    draft.write_text(
        guest.token(
            "deploy", func_checksum=checksum, function_name="classifier", public=False, lifetime=lifetime, **options
        )
    )
    draft.rename(stack.folder / "grant")


def post(stack: Stack, value: bytes) -> Response:
    return stack.gateway.client.post("/classify", content=value, headers={"content-type": "text/plain; charset=utf-8"})


def best(response: Response) -> int:
    assert response.status_code == 200, response.text
    return int(response.json()["predictions"][0]["class_id"])


def test_a_ciphertext_is_classified_like_its_image(stack: Stack, ada: Guest) -> None:
    value = ada.encrypt(images.plain(CLASS))
    assert best(post(stack, value)) == CLASS
    assert best(post(stack, value + b"\n")) == CLASS
    assert best(stack.gateway.client.post("/classify", json={"ciphertext": value.decode()})) == CLASS
    tensor = ada.encrypt(images.tensor(CLASS))
    assert best(post(stack, tensor)) == CLASS


def test_what_is_in_a_ciphertext_is_judged_like_any_image(stack: Stack, ada: Guest) -> None:
    check(post(stack, ada.encrypt(b"no image")), "not_an_image")
    check(post(stack, ada.encrypt(b"")), "empty_body")


def test_anothers_ciphertext_and_a_damaged_one_are_refused(stack: Stack, ada: Guest) -> None:
    bob = Guest.sign_up("bob", stack.gateway.url, ada.trust)
    value = bytearray(ada.encrypt(images.plain(CLASS)))
    check(post(stack, bob.encrypt(images.plain(CLASS))), "cannot_decrypt")
    value[-20] = ord("A") if value[-20] != ord("A") else ord("B")
    for damaged in (bytes(value), bytes(value[:-8]), b"cape:", b"cape:\xff", b"cape:!"):
        check(post(stack, damaged), "cannot_decrypt")


def test_the_next_enclave_is_told_again(stack: Stack, ada: Guest) -> None:
    value = ada.encrypt(images.plain(CLASS))
    stack.enclave.stop()
    stack.enclave = stack.start_enclave()
    stack.enclave.wait_warm()
    wait_until("the grant counts again", lambda: post(stack, value).status_code == 200)
    assert best(post(stack, value)) == CLASS
    acts = [line for line in stack.logs().splitlines() if '"audit": true' in line]
    assert json.dumps("ada") not in "\n".join(line for line in stack.logs().splitlines() if line not in acts)


def test_a_grant_ends_and_another_takes_its_place(stack: Stack, ada: Guest) -> None:
    """The gateway presents a new one when it finds it in the file's place."""
    bob = Guest.sign_up("brief", stack.gateway.url, ada.trust)
    adas, bobs = (guest.encrypt(images.plain(CLASS)) for guest in (ada, bob))
    put(stack, bob, timedelta(seconds=8))
    wait_until("bob's grant counts", lambda: post(stack, bobs).status_code == 200)
    check(post(stack, adas), "cannot_decrypt")
    wait_until("bob's grant has ended", lambda: post(stack, bobs).status_code != 200, seconds=30)
    check(post(stack, bobs), "cannot_decrypt")
    put(stack, ada, timedelta(days=1))
    wait_until("ada's grant counts", lambda: post(stack, adas).status_code == 200)
