"""What a trick has to work with: the caller's request, the honest gateway behind it, and a memory."""

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
    """What the caller sent."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def nonce(self) -> bytes:
        """The caller's, for evidence."""
        return bytes.fromhex(self.query.get("nonce", ""))


@dataclass(frozen=True)
class Reply:
    """What goes back."""

    status: int
    media_type: str
    body: bytes = field(repr=False)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, Any]:
        """The members of a JSON object."""
        fields: dict[str, Any] = json.loads(self.body)
        return fields

    def with_fields(self, **changes: Any) -> Reply:  # noqa: ANN401 -- whatever JSON holds
        """The same JSON object with other members; bytes become base64."""
        encoded = {
            name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
            for name, value in changes.items()
        }
        return replace(self, body=json.dumps(self.fields | encoded).encode())

    @property
    def document(self) -> bytes:
        return base64.b64decode(self.fields["document"])

    @property
    def key_configs(self) -> bytes:
        return base64.b64decode(self.fields["key_configs"])


class Stage:
    """One trick being played."""

    def __init__(self, upstream: httpx2.AsyncClient, forger: Forger) -> None:
        self._upstream = upstream
        self.forger = forger
        self.memory: dict[str, Any] = {}
        """What a trick keeps from one request to the next."""

    async def forward(self, ask: Ask) -> Reply:
        """What the honest gateway answers."""
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
        """The honest enclave's evidence for a nonce of our choice."""
        query = {} if nonce is None else {"nonce": nonce.hex()}
        return await self.forward(Ask("GET", "/attestation", query, {"accept": JSON}, b""))


Act = Callable[[Stage, Ask], Awaitable[Reply]]


@dataclass(frozen=True)
class Trick:
    """One trick. `evidence` plays at `/attestation`, `sealed` at sealed requests, `policy` at `/policy`.

    `code` is that of the refusal by which callers must meet it, `page_code` the page's if that differs; None where it
    cannot be played on one of them.
    """

    name: str
    story: str
    code: str | None
    evidence: Act | None = None
    sealed: Act | None = None
    policy: Act | None = None
    page_code: str | None = ""
    needs_root: bool = False
    """Only the holder of the simulated root's key can play it: on real hardware no operator can."""

    @property
    def code_on_page(self) -> str | None:
        return self.code if self.page_code == "" else self.page_code
