"""The API inside the envelope: a binary HTTP request in, a binary HTTP response out."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from blindsight import problems
from blindsight.cape.protocol import PREFIX
from blindsight.errors import CapeError
from blindsight.problems import Problem
from blindsight.sealing import bhttp

if TYPE_CHECKING:
    from collections.abc import Callable

    from enclave_runtime.function import Function
    from enclave_runtime.workers.pool import WorkerPool

_log = logging.getLogger(__name__)

_DEFAULT_TOP_K = 5
_WHOLE = re.compile(r"-?[0-9]{1,9}")


class InnerApi:
    """Answers `POST /classify`. Every outcome is a response, so that even a refusal goes back sealed."""

    def __init__(self, function: Function, pool: WorkerPool, decrypt: Callable[[bytes], bytes]) -> None:
        """`decrypt` opens a `cape:` value, and raises `CapeError` if it cannot or may not."""
        self._pool = pool
        self._decrypt = decrypt
        manifest = function.manifest
        self._model = {
            "name": manifest["name"],
            "version": manifest["version"],
            "digest": function.model_digest.hex(),
            "trained": manifest["trained"],
        }

    async def respond(self, request: bhttp.Request) -> bhttp.Response:
        try:
            return _json(200, "application/json", await self._route(request))
        except Problem as problem:
            failed = problem
        except Exception as error:  # noqa: BLE001 -- a fault here must not pass for a lost connection, which is retried
            _log.error("request failed", extra={"exception": type(error).__name__})
            failed = Problem("internal", "The request could not be answered.")
        return _json(failed.kind.status, problems.MEDIA_TYPE, failed.body())

    async def _route(self, request: bhttp.Request) -> dict[str, Any]:
        path, _, query = request.path.partition("?")
        if path != "/classify":
            raise Problem("not_found", "The enclave answers POST /classify.")
        if request.method != "POST":
            raise Problem("method_not_allowed", "The enclave answers POST /classify.")
        content, top_k = request.content, _top_k(query)
        if content.startswith(PREFIX):
            content = await self._opened(content)
        result = await self._pool.classify(content, top_k)
        return {**result, "model": self._model}

    async def _opened(self, value: bytes) -> bytes:
        try:
            return await asyncio.to_thread(self._decrypt, value)
        except CapeError as error:
            raise Problem("cannot_decrypt", "The ciphertext is not for the account of this classifier.") from error


def _top_k(query: str) -> int:
    values = parse_qs(query, keep_blank_values=True).get("top_k", [str(_DEFAULT_TOP_K)])
    # `int` alone would take "1_0", " 5" and digits of other scripts.
    if len(values) != 1 or not _WHOLE.fullmatch(values[0]):
        raise Problem("invalid_top_k", "top_k must be one whole number.")
    return int(values[0])


def _json(status: int, media_type: str, content: dict[str, Any]) -> bhttp.Response:
    return bhttp.Response(status, [("content-type", media_type)], json.dumps(content).encode())
