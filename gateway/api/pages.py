"""Static pages: the classifier page, built from gateway/web; Swagger UI; the list of problem codes."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse

from blindsight.problems import CATALOGUE
from gateway.rootpath import lacks_slash, root_of
from gateway.services import services_of

STATIC: Final = Path(__file__).parents[1] / "static"

_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)

_PROBLEMS: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Problem codes</title><link rel="stylesheet" href="static/style.css"></head>
<body><main><h1>Problem codes</h1>
<p>What the <code>code</code> of a problem document means, with its HTTP status. The requests are described in the
<a href="docs">API documentation</a>.</p>
<dl>{rows}</dl>
</main></body></html>
"""

router = APIRouter(include_in_schema=False)


@router.get("/", response_model=None)
async def index(request: Request) -> FileResponse | RedirectResponse:
    """The page that verifies the enclave, encrypts a photo to it and decrypts the answer in the browser."""
    if lacks_slash(request):
        return RedirectResponse(f"{root_of(request.scope)}/")
    headers = {"Content-Security-Policy": _PAGE_POLICY, "Cache-Control": "no-cache"}
    return FileResponse(STATIC / "app" / "index.html", headers=headers)


@router.get("/blindsight.html")
async def single_file() -> FileResponse:
    """The same page as a single file, to store and open from disk."""
    file = STATIC / "app" / "blindsight.html"
    return FileResponse(file, filename="blindsight.html", headers={"Cache-Control": "no-cache"})


@router.get("/policy")
async def policy(request: Request) -> Response:
    """The gateway's policy. A client that verifies the enclave itself needs its own."""
    text = services_of(request).fleet.policy.to_json()
    return Response(text, media_type="application/json", headers={"Cache-Control": "no-store"})


@router.get("/docs")
async def docs() -> FileResponse:
    """Swagger UI, served from the gateway's own files."""
    return FileResponse(STATIC / "docs.html")


@router.get("/problems")
async def problems() -> HTMLResponse:
    """The meaning of each problem code; the target of every unregistered `type`."""
    rows = "".join(
        f'<dt id="{kind.code}"><code>{kind.code}</code> ({kind.status})</dt><dd>{html.escape(kind.title)}.'
        f"{' The same request may succeed later.' if kind.retry else ''}</dd>"
        for kind in CATALOGUE.values()
    )
    return HTMLResponse(_PROBLEMS.format(rows=rows))
