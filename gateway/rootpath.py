"""The path under which a proxy shows the gateway (`BLINDSIGHT_ROOT_PATH`), whether the proxy takes it off or not.

Inside, paths are without it: what goes by a path (hosts, origins, places, CORS) has one spelling to look at. What names
an address to a caller puts it back.
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
"""With which the gateway's own paths begin. If a root path did, too, nothing would tell whether a proxy took it off."""
_ROOT: Final = "root_path"
"""In `scope["state"]`. ASGI's own `root_path` is of paths that have it."""
_NO_SLASH: Final = "without_slash"


def without(root: str, path: str) -> str:
    """`path` below `root`; as it is if it is not below."""
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


def root_of(scope: Mapping[str, Any]) -> str:
    """The path under which the gateway is shown; empty, or with a slash at its beginning alone."""
    return str(scope.get("state", {}).get(_ROOT, ""))


def lacks_slash(request: Request) -> bool:
    """Whether the root path itself was asked for, to which the page's links are not relative."""
    return _NO_SLASH in request.scope["state"]


def link(request: Request, path: str) -> str:
    """The full address of the gateway's own `path`, as its caller may ask for it."""
    return f"{request.url.scheme}://{request.url.netloc}{root_of(request.scope)}{path}"


class RootPath:
    """Takes the root path off. It belongs outside of everything that looks at paths."""

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
