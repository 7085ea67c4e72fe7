"""The ASGI application: passes requests on to the honest gateway, except for what the current trick changes."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import httpx2
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from blindsight.client import routes
from blindsight.sealing import ohttp
from evil_gateway.forger import Forger
from evil_gateway.stage import Ask, Reply, Stage
from evil_gateway.tricks import TRICKS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request

    from evil_gateway.stage import Act, Trick

CONTROL = "/__evil/trick/{name}"
"""`PUT` selects the trick for all later requests; the name `none` turns tricks off."""

_METHODS = ["GET", "POST", "PUT", "DELETE", "OPTIONS"]
_HOP = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})


class EvilGateway:
    """The application (`app`), which plays `trick` in front of the gateway at the URL `upstream`.

    `state` is the folder of a simulated root, for tricks that need its key; None excludes them.
    """

    def __init__(self, upstream: str, state: Path | None, trick: Trick | None = None) -> None:
        self._upstream = routes.asynchronous(upstream, timeout=60)
        self._forger = Forger(state)
        self.play(trick)
        self.app = Starlette(
            routes=[
                Route(CONTROL, self._choose, methods=["PUT"]),
                Route("/{path:path}", self._serve, methods=_METHODS),
            ],
            lifespan=self._lifespan,
        )

    def play(self, trick: Trick | None) -> None:
        """Play `trick` from now on (None: none), and reset what earlier ones have stored."""
        self._trick = trick
        self._stage = Stage(self._upstream, self._forger)
        self.sealed_requests = 0
        """Number of sealed requests since then. Must remain 0 if the client has refused the evidence."""

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        await self._upstream.aclose()

    async def _choose(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name != "none" and name not in TRICKS:
            return JSONResponse({"error": "there is no such trick"}, 404)
        self.play(TRICKS.get(name))
        return JSONResponse({"trick": name})

    async def _serve(self, request: Request) -> Response:
        ask = Ask(
            request.method,
            re.sub("/+", "/", request.url.path),
            dict(request.query_params),
            {name: value for name, value in request.headers.items() if name not in _HOP},
            await request.body(),
        )
        act = self._act(ask)
        try:
            reply = await (act(self._stage, ask) if act else self._stage.forward(ask))
        except httpx2.HTTPError as error:
            reply = Reply(502, "text/plain", f"the honest gateway does not answer ({type(error).__name__})".encode())
        except LookupError as error:
            reply = Reply(501, "text/plain", str(error).encode())
        media_type = {"content-type": reply.media_type} if reply.media_type else {}
        return Response(reply.body, reply.status, headers=reply.headers | media_type)

    def _act(self, ask: Ask) -> Act | None:
        sealed = ask.method == "POST" and ask.headers.get("content-type") == ohttp.REQUEST_MEDIA_TYPE
        self.sealed_requests += sealed
        if self._trick is None:
            return None
        if ask.path == "/attestation" and ask.method == "GET":
            return self._trick.evidence
        if ask.path == "/policy":
            return self._trick.policy
        return self._trick.sealed if sealed else None
