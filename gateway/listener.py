"""What a listener needs to know beside what uvicorn's configuration holds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Match, Mount

if TYPE_CHECKING:
    from starlette.types import ASGIApp


class ListenerConfig(uvicorn.Config):
    """uvicorn's configuration, and where WebSockets are."""

    def __init__(self, app: ASGIApp, **options: Any) -> None:  # noqa: ANN401 -- uvicorn's
        super().__init__(app, **options)
        self._application = app

    def is_websocket(self, path: str) -> bool:
        """Whether `path`, decoded, is a WebSocket's. An application that is not Starlette's decides for itself."""
        app = self._application
        if not isinstance(app, Starlette):
            return True
        scope = {"type": "websocket", "path": one_slash(path), "root_path": "", "headers": []}
        # Mounted applications, which serve files, would match by their prefix alone.
        return any(route.matches(scope)[0] is Match.FULL for route in app.routes if not isinstance(route, Mount))


def one_slash(path: str) -> str:
    """`path` with single slashes: Cape's clients keep the slash at the end of their base URL."""
    return re.sub("/+", "/", path)
