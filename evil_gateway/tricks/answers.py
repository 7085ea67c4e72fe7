"""Tricks with sealed requests and answers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from blindsight.problems import CATALOGUE, MEDIA_TYPE, Problem
from evil_gateway.forger import payload_of, resigned
from evil_gateway.stage import JSON, Reply, Trick

if TYPE_CHECKING:
    from collections.abc import Callable

    from evil_gateway.stage import Act, Ask, Stage

_SHARED = {"access-control-allow-origin": "*"}
_MADE_UP = {
    "predictions": [{"rank": 1, "class_id": 0, "label": "whatever you fear", "score": 1.0}],
    "image": None,
    "model": {"name": "resnet50", "version": "1", "digest": "00", "trained": True, "precision": "float32"},
    "timings_ms": {},
}
_TOO_MUCH = 3 << 20


def _changed(change: Callable[[bytes], bytes]) -> Act:
    """A trick that changes the enclave's encrypted answer without being able to decrypt it."""

    async def act(stage: Stage, ask: Ask) -> Reply:
        reply = await stage.forward(ask)
        return replace(reply, body=change(reply.body))

    return act


def _always(reply: Reply) -> Act:
    async def act(stage: Stage, ask: Ask) -> Reply:
        return reply

    return act


def _problem(code: str) -> Reply:
    body = Problem(code, "So it is.").body() | {"instance": "urn:uuid:0190a1b2-0000-7000-8000-000000000000"}
    return Reply(CATALOGUE[code].status, MEDIA_TYPE, json.dumps(body).encode(), _SHARED)


async def _relabelled(stage: Stage, ask: Ask) -> Reply:
    return replace(await stage.forward(ask), media_type="application/octet-stream")


async def _sent_twice(stage: Stage, ask: Ask) -> Reply:
    await stage.forward(ask)
    return await stage.forward(ask)


async def _yesterdays(stage: Stage, ask: Ask) -> Reply:
    """Replay the answer to the first request for every later one. The first gets no answer of its own."""
    if "kept" not in stage.memory:
        first = stage.memory["kept"] = await stage.forward(ask)
        return replace(first, body=first.body[::-1])
    kept: Reply = stage.memory["kept"]
    return kept


async def _then_another_enclave(stage: Stage, ask: Ask) -> Reply:
    """Pass on honest evidence first, then report that the keys have changed, and offer another enclave's evidence."""
    reply = await stage.forward(ask)
    if not stage.memory.get("claimed"):
        return reply
    return reply.with_fields(document=resigned(payload_of(reply.document), stage.forger.own_chain()))


async def _claim_change(stage: Stage, ask: Ask) -> Reply:
    stage.memory["claimed"] = True
    return _problem("ohttp_key")


TRICKS = (
    Trick("made-up-answer", "answers in the enclave's place, unsealed", "not_sealed",
          sealed=_always(Reply(200, JSON, json.dumps(_MADE_UP).encode(), _SHARED))),
    Trick("blamed-photo", "says in the enclave's place that the photo is none", "not_sealed",
          sealed=_always(_problem("not_an_image"))),
    Trick("plea-for-plaintext", "says that it takes photos in the clear only", "unsupported_media_type",
          sealed=_always(_problem("unsupported_media_type"))),
    Trick("relabelled-answer", "calls the sealed answer something else", "not_sealed", sealed=_relabelled),
    Trick("cut-answer", "cuts the sealed answer short", "answer_not_genuine", sealed=_changed(lambda body: body[:-1])),
    Trick("flipped-answer", "changes a bit of the sealed answer", "answer_not_genuine",
          sealed=_changed(lambda body: body[:-1] + bytes([body[-1] ^ 1]))),
    Trick("old-answer", "gives the answer to another question", "answer_not_genuine", sealed=_yesterdays),
    Trick("endless-answer", "answers without an end", "unexpected_answer",
          sealed=_changed(lambda body: body + bytes(_TOO_MUCH))),
    Trick("changing-keys", "says for ever that the keys have changed", "unknown_key",
          sealed=_always(_problem("ohttp_key"))),
    Trick("bait-and-switch", "says that the keys have changed, and shows another enclave then", "root_not_pinned",
          _then_another_enclave, _claim_change),
    Trick("sent-twice", "sends the sealed photo to the enclave twice", "replayed", sealed=_sent_twice),
    Trick("elsewhere", "sends the caller to another place", "unexpected_answer", page_code="unreachable",
          sealed=_always(Reply(307, "", b"", _SHARED | {"location": "http://127.0.0.1:9/ohttp"}))),
    Trick("no-enclave", "serves no enclave at all", "unavailable",
          sealed=_always(Reply(502, "text/html", b"<h1>", _SHARED))),
)  # fmt: skip
