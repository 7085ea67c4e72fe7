"""The judge lets through what is documented, and nothing else: answers, refusals and durations made up for it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blindsight.problems import CATALOGUE, MEDIA_TYPE, Problem
from campaigns.callers import Batch, Plain
from campaigns.judge import RETRYABLE, Judge, Reply, Windows
from campaigns.photos import Photo
from campaigns.plan import Plan

PLAN = Plan(Path("model"), (), deadline=0.2, margin=0.3)
PHOTO = Photo(b"\xff\xd8 a photo", 7, 0.9, "a class", "canary", "name.jpeg")
RIGHT = {"predictions": [{"class_id": 7, "score": 0.9, "label": "a class"}], "model": {"version": "1"}}
WRONG = {"predictions": [{"class_id": 8, "score": 0.9, "label": "another"}], "model": {"version": "1"}}


def judge(*, gateway_fault: bool = False) -> Judge:
    return Judge(PLAN, lambda _start, _end: gateway_fault)


def refusal(code: str, **changes: Any) -> Reply:
    problem = Problem(code, "A detail.").body()
    reply = Reply("plain", 0, 0.1, CATALOGUE[code].status, MEDIA_TYPE, "1", problem)
    return replace(reply, **changes)


def kinds(found: Judge) -> dict[str, int]:
    return {kind: len(listed) for kind, listed in found.mistakes.items() if listed}


@pytest.mark.parametrize("code", sorted(RETRYABLE))
def test_documented_refusals_pass(code: str) -> None:
    found = judge()
    found.replied(refusal(code))
    assert (found.passed, found.refused[code]) == (True, 1)


@pytest.mark.parametrize("code", sorted(CATALOGUE.keys() - RETRYABLE))
def test_all_others_fail(code: str) -> None:
    found = judge()
    found.replied(refusal(code))
    assert kinds(found) == {"undocumented": 1}


@pytest.mark.parametrize(
    "reply",
    [
        refusal("overloaded", retry_after=None),
        refusal("overloaded", status=500),
        refusal("overloaded", problem={"code": "overloaded", "retryable": False}),
        refusal("overloaded", problem={"code": "unheard_of", "retryable": True}),
        refusal("overloaded", media_type="text/html", problem=None),
        Reply("plain", 0, 0.1, 502, "text/html"),
        Reply("plain", 0, 0.1, 0, error="ReadError"),
        Reply("plain", 0, 0.1, 404),
    ],
)  # fmt: skip
def test_a_refusal_that_is_not_as_documented_fails(reply: Reply) -> None:
    found = judge()
    found.replied(reply)
    assert kinds(found) == {"undocumented": 1}


def test_a_connection_may_be_cut_only_with_a_gateway() -> None:
    for status in (0, 502, 504):
        found = judge(gateway_fault=True)
        found.replied(Reply("plain", 0, 0.1, status))
        assert (found.passed, found.cut["plain"]) == (True, 1)
    found = judge(gateway_fault=True)
    found.replied(Reply("plain", 0, 0.1, 500))
    assert not found.passed


def test_the_sealing_client_may_be_asked_to_verify_again() -> None:
    found = judge()
    found.replied(refusal("ohttp_key", lane="sealed", retry_after=None))
    assert found.passed


def test_a_late_reply_fails_whatever_it_is() -> None:
    for reply in (Reply("plain", 0, 0.6, 200), refusal("overloaded", ended=0.6)):
        found = judge()
        found.replied(reply)
        assert kinds(found) == {"late": 1}


def test_windows_are_remembered() -> None:
    windows = Windows()
    windows.begin("gateway 1")
    assert windows.now == {"gateway 1"}
    assert windows.any_of("gateway", 0, float("inf"))
    assert not windows.any_of("enclave", 0, float("inf"))
    windows.end("gateway 1")
    assert not windows.now
    assert windows.any_of("gateway", 0, float("inf"))
    assert not windows.any_of("gateway", 0, 1)


def test_the_longest_gap_between_right_answers_of_a_lane() -> None:
    found = judge()
    found.times = {"sealed": [1.0, 2.0, 6.0, 7.0]}
    assert found.longest_gap("sealed", 0, 7.5) == 4
    assert found.longest_gap("sealed", 0, 12) == 5
    assert found.longest_gap("sealed", 6.5, 7.2) == 0.5
    assert found.longest_gap("plain", 0, 12) == 12


async def asked(caller: type[Plain], content: dict[str, Any], *, status: int = 200, seconds: float = 0.0,
                cut: bool = False) -> Judge:  # fmt: skip
    """What the judge finds when a real caller asks a service that answers so, after so many seconds."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked_for = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(asked_for.partition(b"content-length: ")[2].partition(b"\r")[0]))
        await asyncio.sleep(seconds)
        if not cut:
            media_type = "application/json" if status == 200 else MEDIA_TYPE
            body = json.dumps(content).encode()
            head = f"HTTP/1.1 {status} X\r\ncontent-type: {media_type}\r\ncontent-length: {len(body)}\r\n"
            writer.write(f"{head}connection: close\r\n\r\n".encode() + body)
        writer.close()

    found = judge()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        made = caller(0, f"http://127.0.0.1:{port}", [PHOTO], found, 0)
        await made.ask()
        await made.close()
    return found


async def test_a_caller_reports_a_right_answer() -> None:
    found = await asked(Plain, RIGHT)
    assert (found.passed, found.right["plain"]) == (True, 1)


@pytest.mark.parametrize("content", [WRONG, {"predictions": []}, {}, {"predictions": [{"class_id": 7, "score": 0.5}]}])
async def test_a_wrong_answer_is_found(content: dict[str, Any]) -> None:
    assert kinds(await asked(Plain, content)) == {"wrong answer": 1}


async def test_a_wrong_answer_in_a_batch_is_found() -> None:
    assert kinds(await asked(Batch, {"results": [RIGHT, WRONG, RIGHT]})) == {"wrong answer": 1}
    assert "wrong answer" in kinds(await asked(Batch, {"results": [RIGHT]}))


async def test_a_problem_in_a_batch_must_be_documented() -> None:
    lost, odd = ({"problem": Problem(code, "A detail.").body()} for code in ("worker_lost", "internal"))
    found = await asked(Batch, {"results": [RIGHT, lost, RIGHT]})
    assert (found.passed, found.refused["worker_lost"], found.right["batch"]) == (True, 1, 2)
    assert kinds(await asked(Batch, {"results": [RIGHT, odd, RIGHT]})) == {"undocumented": 1}


async def test_an_undocumented_error_is_found() -> None:
    assert kinds(await asked(Plain, Problem("internal", "A detail.").body(), status=500)) == {"undocumented": 1}
    assert kinds(await asked(Plain, {}, cut=True)) == {"undocumented": 1}


async def test_a_late_answer_is_found_though_it_is_right() -> None:
    found = await asked(Plain, RIGHT, seconds=PLAN.deadline + PLAN.margin + 0.1)
    assert (kinds(found), found.right["plain"]) == ({"late": 1}, 1)
