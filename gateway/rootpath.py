"""The path prefix under which a proxy serves the gateway (`BLINDSIGHT_ROOT_PATH`), whether or not the proxy strips it.

Inside, paths do not have the prefix, so that code that depends on paths (hosts, origins, places, CORS) sees a single
form. Code that creates links adds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

OWN_NAMES: Final = frozenset(
    {
        ".well-known", "attestation", "blindsight.html", "classify", "device", "docs", "info", "livez", "oauth",
        "ohttp", "openapi.json", "policy", "problems", "readyz", "static", "v1", "v2",
    }
)  # fmt: skip
"""First segments of the gateway's own paths. A prefix that begins with one of them would be ambiguous."""
_ROOT: Final = "root_path"
"""Key in `scope["state"]`. ASGI's own `root_path` is for paths that include it."""
_NO_SLASH: Final = "without_slash"


def without(root: str, path: str) -> str:
    """`path` without the prefix `root`; unchanged if it does not have it."""
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


def root_of(scope: Mapping[str, Any]) -> str:
    """The path prefix; empty, or with a leading slash only."""
    return str(scope.get("state", {}).get(_ROOT, ""))


def lacks_slash(request: Request) -> bool:
    """Whether the prefix itself was requested without a trailing slash, so that relative links would be wrong."""
    return _NO_SLASH in request.scope["state"]


def link(request: Request, path: str) -> str:
    """The full address of the gateway's own `path` for the caller."""
    return f"{request.url.scheme}://{request.url.netloc}{root_of(request.scope)}{path}"


class RootPath:
    """Strips the path prefix. It must be outside of all code that uses paths."""

    def __init__(self, app: ASGIApp, root: str) -> None:
        self._app = app
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and self._root:
            # The same object: the connection reads there what becomes of the request.
            state = scope.setdefault("state", {})
            state[_ROOT] = self._root
            path = without(self._root, scope["path"])
            if path == self._root:
                path, state[_NO_SLASH] = "/", True
            scope = {**scope, "path": path}
        await self._app(scope, receive, send)
