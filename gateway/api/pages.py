"""The pages: a landing page, Swagger UI from our own files, and what each problem code means."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse

from blindsight.problems import CATALOGUE

STATIC: Final = Path(__file__).parents[1] / "static"

router = APIRouter(include_in_schema=False)


@router.get("/")
async def index() -> FileResponse:
    """The landing page."""
    return FileResponse(STATIC / "index.html")


@router.get("/docs")
async def docs() -> FileResponse:
    """Swagger UI, without a content delivery network."""
    return FileResponse(STATIC / "docs.html")


@router.get("/problems")
async def problems() -> HTMLResponse:
    """What each problem code means; the target of every `type` that no standard has registered."""
    rows = "".join(
        f'<dt id="{kind.code}">{kind.code} ({kind.status})</dt><dd>{html.escape(kind.title)}.'
        f"{' The same request may succeed later.' if kind.retry else ''}</dd>"
        for kind in CATALOGUE.values()
    )
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Problem codes</title>'
        '<link rel="stylesheet" href="/static/style.css"></head>'
        f"<body><main><h1>Problem codes</h1><dl>{rows}</dl></main></body></html>"
    )
