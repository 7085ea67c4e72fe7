"""The interface of tricks: the caller's request, the reply, the honest gateway behind, and a memory."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2

    from evil_gateway.forger import Forger

JSON = "application/json"


@dataclass(frozen=True)
class Ask:
    """A caller's request. Names of `headers` are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def nonce(self) -> bytes:
        """The nonce of a request for evidence; empty without one. Raises `ValueError` if it is not hexadecimal."""
        return bytes.fromhex(self.query.get("nonce", ""))


@dataclass(frozen=True)
class Reply:
    """A reply to the caller. `headers` has no content type or length."""

    status: int
    media_type: str
    body: bytes = field(repr=False)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, Any]:
        """The members of the body, a JSON object. Raises `ValueError` if it is not JSON."""
        fields: dict[str, Any] = json.loads(self.body)
        return fields

    def with_fields(self, **changes: Any) -> Reply:  # noqa: ANN401 -- whatever JSON holds
        """This reply with some members of its JSON object replaced; bytes are encoded in base64."""
        encoded = {
            name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
            for name, value in changes.items()
        }
        return replace(self, body=json.dumps(self.fields | encoded).encode())

    @property
    def document(self) -> bytes:
        """The attestation document in a reply with evidence. Raises `KeyError`, `ValueError`."""
        return base64.b64decode(self.fields["document"])

    @property
    def key_configs(self) -> bytes:
        """The key configurations (RFC 9458, section 3) in a reply with evidence. Raises `KeyError`, `ValueError`."""
        return base64.b64decode(self.fields["key_configs"])


class Stage:
    """The surroundings of a trick while it is played. `forger` makes documents."""

    def __init__(self, upstream: httpx2.AsyncClient, forger: Forger) -> None:
        self._upstream = upstream
        self.forger = forger
        self.memory: dict[str, Any] = {}
        """Values that a trick stores between requests."""

    async def forward(self, ask: Ask) -> Reply:
        """Send `ask` to the honest gateway, and return its reply. Raises `httpx2.HTTPError`."""
        response = await self._upstream.request(
            ask.method, ask.path, params=ask.query, headers=ask.headers, content=ask.body
        )
        kept = {
            name: value
            for name, value in response.headers.items()
            if name not in {"content-length", "content-type", "content-encoding", "transfer-encoding", "date"}
        }
        return Reply(response.status_code, response.headers.get("content-type", ""), response.content, kept)

    async def evidence(self, nonce: bytes | None) -> Reply:
        """The honest gateway's evidence for `nonce`, or without one. Raises `httpx2.HTTPError`."""
        query = {} if nonce is None else {"nonce": nonce.hex()}
        return await self.forward(Ask("GET", "/attestation", query, {"accept": JSON}, b""))


Act = Callable[[Stage, Ask], Awaitable[Reply]]


@dataclass(frozen=True)
class Trick:
    """An attack, described by `story`.

    `evidence` replaces the answer to `GET /attestation`, `sealed` that to a sealed request, `policy` that to `/policy`;
    None leaves it honest. `code` is the error code with which the Python client must refuse the trick, None if it does
    not apply there. `page_code` is the same for the page; the empty string stands for the same code.
    """

    name: str
    story: str
    code: str | None
    evidence: Act | None = None
    sealed: Act | None = None
    policy: Act | None = None
    page_code: str | None = ""
    needs_root: bool = False
    """Whether the trick needs the simulated root's key. On real hardware no operator has such a key."""

    @property
    def code_on_page(self) -> str | None:
        """The error code with which the page must refuse the trick; None if it does not apply there."""
        return self.code if self.page_code == "" else self.page_code
