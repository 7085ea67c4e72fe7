"""What a listener can count: one length of requests, one of answers, whatever is asked and answered.

Counted on the wire itself, heads included, between caller and gateway and between gateway and enclave.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import struct
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from blindsight import AsyncClient, Classification, Problem, receipts
from blindsight.wire.protocol import FrameKind
from tests.support import images
from tests.support.containers import isobmff
from tests.support.models import BROKEN_CLASS
from tests.support.wire import Recorder, loopback

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.stack.conftest import TellingStack
    from tests.support.stack import Stack

TOGETHER = 8
"""Requests at once."""

HEADER, ENC, TAG, NONCE = 7, 1120, 16, 32
"""Bytes of the hybrid's messages, docs/protocol.md, section 3."""

KIB = 1 << 10
SMALL_REQUEST = HEADER + ENC + 32 * KIB + TAG
SMALL_ANSWER = NONCE + 8 * KIB + TAG

Asked = tuple[bytes, dict[str, Any]]
"""An image, and how to classify it."""


def http_messages(stream: bytes) -> Iterator[tuple[int, int]]:
    """Of each HTTP message in a direction of a connection the length of head and body."""
    while stream:
        head, _, rest = stream.partition(b"\r\n\r\n")
        announced = re.search(rb"(?im)^content-length: *([0-9]+)\r?$", head)
        length = int(announced[1]) if announced else 0
        assert b"transfer-encoding" not in head.lower()
        assert len(rest) >= length, "the stream ends inside a message"
        yield len(head), length
        stream = rest[length:]


def frames(stream: bytes) -> Iterator[tuple[FrameKind, int]]:
    """Of each frame in a direction of a connection the kind and the payload's length; the last may still be coming."""
    at = 0
    while at + 5 <= len(stream):
        length, kind = struct.unpack_from(">IB", stream, at)
        at += 4 + length
        if at <= len(stream):
            yield FrameKind(kind), length - 1


class Listener:
    """Listens on both sides of a gateway, and counts the sealed messages."""

    def __init__(self, stack: Stack, near: Recorder, far: Recorder) -> None:
        self.url = f"http://127.0.0.1:{near.port}"
        self.policy = stack.policy
        self._near = near
        self._far = far
        self._relayed: dict[FrameKind, Counter[int]] = {
            FrameKind.SEALED_REQUEST: Counter(),
            FrameKind.SEALED_RESPONSE: Counter(),
        }

    async def ask(self, asked: Iterable[Asked]) -> list[Classification | Problem]:
        """Send them, some at once, each on the wire and sealed; the answers in order."""
        places = asyncio.Semaphore(TOGETHER)

        async def one(image: bytes, options: dict[str, Any]) -> Classification | Problem:
            async with places:
                try:
                    return await client.classify(image, **options)
                except Problem as problem:
                    return problem

        async with AsyncClient(self.url, policy=self.policy) as client:
            return await asyncio.gather(*[one(image, options) for image, options in asked])

    async def lengths(self, asked: list[Asked]) -> tuple[list[Classification | Problem], set[int], set[int]]:
        """The answers to `asked`, the lengths of the sealed requests and those of the sealed answers.

        On the way the heads are found to have one length each, and gateway and enclave to say as much to each other.
        """
        before = len(self._near.streams())
        answers = await self.ask(asked)
        streams = [list(http_messages(stream)) for stream in self._near.streams()[before:]]
        # The question for evidence has no body, and its answer comes first on that question's connection.
        requests, replies = [], []
        for up, down in zip(streams[::2], streams[1::2], strict=True):
            assert len(up) == len(down)
            sealed = [(request, reply) for request, reply in zip(up, down, strict=True) if request[1]]
            requests += [request for request, _ in sealed]
            replies += [reply for _, reply in sealed]
        assert len(requests) == len(asked)
        assert len({head for head, _ in requests}) == len({head for head, _ in replies}) == 1
        self._check_the_enclaves_side([body for _, body in requests], [body for _, body in replies])
        return answers, {body for _, body in requests}, {body for _, body in replies}

    def _check_the_enclaves_side(self, requests: list[int], replies: list[int]) -> None:
        found = [frame for stream in self._far.streams() for frame in frames(stream)]
        for kind, lengths in ((FrameKind.SEALED_REQUEST, requests), (FrameKind.SEALED_RESPONSE, replies)):
            self._relayed[kind].update(lengths)
            assert Counter(length for each, length in found if each is kind) == self._relayed[kind]


@pytest.fixture(scope="module")
def listener(telling_stack: TellingStack) -> Iterator[Listener]:
    stack = telling_stack.stack
    with (
        Recorder(stack.enclave_port) as far,
        stack.another_gateway(enclave=loopback(far.port)) as gateway,
        Recorder(gateway.port) as near,
    ):
        yield Listener(stack, near, far)


def answered(answer: Classification | Problem) -> int:
    assert isinstance(answer, Classification), answer
    return answer.predictions[0].class_id


async def test_every_label_has_one_length(listener: Listener, telling_stack: TellingStack) -> None:
    """Each is answered once; the one that the model cannot answer is a problem, and as long.

    `BLINDSIGHT_TEST_EVERY=1` asks for all 1000 instead of every fifth.
    """
    classes = sorted({*range(0, 1000, int(os.environ.get("BLINDSIGHT_TEST_EVERY", "5"))), BROKEN_CLASS})
    asked: list[Asked] = [(images.plain(class_id), {}) for class_id in classes]
    answers, requests, replies = await listener.lengths(asked)
    broken = answers.pop(classes.index(BROKEN_CLASS))
    assert isinstance(broken, Problem)
    classes.remove(BROKEN_CLASS)
    assert [answered(answer) for answer in answers] == classes
    labels = [[each.label for each in answer.predictions] for answer in answers if isinstance(answer, Classification)]
    assert [first for first, *_ in labels] == [telling_stack.labels[number] for number in classes]
    # Unpadded they would be of many lengths.
    assert len({len(json.dumps(several)) for several in labels}) > 50
    assert requests == {SMALL_REQUEST}
    assert replies == {SMALL_ANSWER}


def photos(count: int, least: int, most: int) -> list[bytes]:
    """Pictures of `least` to `most` bytes, no two of one content or size in pixels, in all three encodings."""
    random = np.random.default_rng(count)
    found: dict[tuple[int, int], bytes] = {}
    while len(found) < count:
        image_format = ("JPEG", "PNG", "WEBP")[len(found) % 3]
        size = (int(random.integers(8, 400)), int(random.integers(8, 400)))
        # Noise enlarged: as hard to compress as a photo is, more or less.
        noise = random.integers(0, 256, (size[1] // 3 + 1, size[0] // 3 + 1, 3), dtype=np.uint8)
        picture = Image.fromarray(noise).resize(size, Image.Resampling.BILINEAR)
        if random.integers(2):
            picture = picture.convert("L")
        encoded = images.encode(picture, image_format)
        if least <= len(encoded) <= most:
            found[size] = encoded
    return list(found.values())


@pytest.mark.parametrize(
    ("count", "least", "most", "padded"), [(50, 1, 32_000, 32 * KIB), (12, 33_000, 65_000, 64 * KIB)]
)
async def test_photos_of_one_size_class_have_one_length(
    listener: Listener, count: int, least: int, most: int, padded: int
) -> None:
    pictures = photos(count, least, most)
    answers, requests, replies = await listener.lengths([(picture, {}) for picture in pictures])
    sizes = {tuple((answer.image or {}).values()) for answer in answers if isinstance(answer, Classification)}
    assert len(sizes) == count
    assert len({answered(answer) for answer in answers}) > 1
    assert max(map(len, pictures)) > 2 * min(map(len, pictures)) or least > 1
    assert requests == {HEADER + ENC + padded + TAG}
    assert replies == {SMALL_ANSWER}


PHOTO = images.plain(427, size=(61, 47))

PROBLEMS: dict[str, list[Asked]] = {
    "not_an_image": [(b"no image", {}), (PHOTO[1:], {})],
    "truncated_image": [(PHOTO[:-20], {}), (images.truncated(b"marker"), {})],
    "too_many_pixels": [(images.huge(), {})],
    "unsupported_media_type": [(isobmff(b"heic"), {}), (b"GIF89a" + bytes(40), {})],
    "cannot_decrypt": [(b"cape:" + bytes(40), {})],
    "invalid_top_k": [(PHOTO, {"top_k": top_k}) for top_k in (0, -1, 1001, 999_999_999)],
}


async def test_problems_are_as_long_as_answers(listener: Listener) -> None:
    expected = [code for code, asked in PROBLEMS.items() for _ in asked]
    asked = [each for several in PROBLEMS.values() for each in several]
    asked += [(image, {**options, "with_receipt": True}) for image, options in asked]
    answers, requests, replies = await listener.lengths([*asked, (PHOTO, {})])
    assert answered(answers.pop()) == 427
    assert [answer.kind.code for answer in answers if isinstance(answer, Problem)] == 2 * expected
    assert requests == {SMALL_REQUEST}
    assert replies == {SMALL_ANSWER}


async def test_a_receipt_does_not_show(listener: Listener) -> None:
    """Neither that one was asked for nor that one was given."""
    asked: list[Asked] = [
        (images.plain(class_id), {"with_receipt": bool(class_id % 2)}) for class_id in range(100, 140)
    ]
    answers, requests, replies = await listener.lengths(asked)
    for (image, options), answer in zip(asked, answers, strict=True):
        assert isinstance(answer, Classification)
        assert (answer.archive is not None) == options["with_receipt"]
        if answer.archive is not None:
            assert receipts.verify(answer.archive, policy=listener.policy, image=image).image_checked
    assert requests == {SMALL_REQUEST}
    assert replies == {SMALL_ANSWER}


@pytest.mark.parametrize(("top_k", "padded"), [(1, 8), (20, 8), (21, 16), (60, 16), (100, 32), (1000, 256)])
async def test_only_the_number_of_classes_shows(listener: Listener, top_k: int, padded: int) -> None:
    """docs/protocol.md, section 4: the same for a problem and with a receipt."""
    options = {"top_k": top_k}
    asked: list[Asked] = [(images.plain(class_id), options) for class_id in (0, 427, 999)]
    asked += [(PHOTO, {**options, "with_receipt": True}), (b"no image", options)]
    answers, requests, replies = await listener.lengths(asked)
    problem = answers.pop()
    assert isinstance(problem, Problem)
    assert {len(answer.predictions) for answer in answers if isinstance(answer, Classification)} == {top_k}
    assert len(answers) == 4
    assert requests == {SMALL_REQUEST}
    assert replies == {NONCE + padded * KIB + TAG}
