"""The enclave without Cape: it classifies in both lanes, and knows none of Cape's questions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blindsight import Client
from blindsight.attestation import Policy
from blindsight.wire import frames
from blindsight.wire.protocol import FrameKind
from tests.support import images, wire
from tests.support.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.models import TinyModel

CLASS = 427


class ClassifierStack(Stack):
    variant = "classifier"


@pytest.fixture(scope="module")
def stack(colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Its policy accepts what `measure --variant classifier` prints."""
    stack = ClassifierStack(colour_model.folder, tmp_path_factory.mktemp("classifier"))
    yield stack
    stack.stop()


def test_it_classifies_in_both_lanes(stack: Stack) -> None:
    photo = images.plain(CLASS)
    answer = stack.client.post("/classify", files={"file": photo})
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"][0]["class_id"] == CLASS
    with Client(stack.gateway.url, policy=Policy.load(stack.policy_file)) as client:
        assert client.classify(photo).predictions[0].class_id == CLASS


@pytest.mark.parametrize("kind", [FrameKind.CAPE_OPEN, FrameKind.CAPE_CALL])
def test_capes_questions_are_bad_frames(stack: Stack, kind: FrameKind) -> None:
    with wire.admitted(stack.enclave_port, stack.state / "gateway_secret") as (connection, stream):
        connection.sendall(frames.encode(kind, frames.pack({"route": "run"})))
        answer, payload = wire.receive(stream)
    assert answer is FrameKind.REFUSAL
    assert frames.unpack(payload)["code"] == "bad_frame"


def test_an_account_is_asked_for_in_vain(stack: Stack) -> None:
    assert stack.client.get("/v1/key").status_code in {401, 404, 503}
